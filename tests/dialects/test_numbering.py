"""What a client says it has: read in the dialect's own words, and counted as the bytes of the answer count it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.dialects import DIALECTS, Asked
from testbed.dialects._mcp_requests import read_cursor
from testbed.script import Comment, DialectName, Done, Finish, Head, Open, Ping, Quirk, Script, Step, Text, Thinking
from testbed.sse import Event, Parser

MCP, RESPONSES, EVENTSOURCE = DialectName.MCP, DialectName.OPENAI_RESPONSES, DialectName.EVENTSOURCE

texts = st.builds(Text, st.sampled_from(["a", "", "naïve", "two\nlines"]))
extra = st.one_of(texts, texts, st.builds(Comment, st.just("x")), st.just(Ping()))


def parsed(script: Script) -> list[list[Event]]:
    """The events of each step, by the reference parser."""
    parser = Parser()
    encoded = DIALECTS[script.dialect].encode(script.steps, script.quirks)
    return [[one for event in events for one in parser.feed(event)] for events in encoded]


@given(st.lists(extra, max_size=8), st.sampled_from([(), (Quirk.BACKGROUND,)]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_responses_count_their_events_as_their_sequence_numbers_do(
    said: list[Step], quirks: tuple[Quirk, ...], thinks: bool
) -> None:
    """The numbers of each step's events are those that stand in their JSON."""
    steps = (Head(), Open(), *([Thinking("hm")] if thinks else []), *said, Finish(), Done())
    script = Script(RESPONSES, steps, (), quirks)
    numbering = DIALECTS[RESPONSES].numbering
    assert numbering is not None
    first = 0
    for count, events in zip(numbering.counts(script), parsed(script), strict=True):
        numbers = [json.loads(event.data)["sequence_number"] for event in events if event.data]
        assert numbers == list(range(first, first + count))
        first += count


@given(st.lists(extra, max_size=8), st.sampled_from([(), (Quirk.STATELESS,)]))
@settings(max_examples=60, deadline=None)
def test_mcp_counts_its_events_as_their_ids_do(said: list[Step], quirks: tuple[Quirk, ...]) -> None:
    """The number in an event's id is its place among those that have one; without a state none has."""
    script = Script(MCP, (Head(), Open(), *said, Done()), (), quirks)
    numbering = DIALECTS[MCP].numbering
    assert numbering is not None
    counts = numbering.counts(script)
    assert len(counts) == len(script.steps)
    ids = [event.id for events in parsed(script) for event in events if event.id]
    assert [numbering.read(one) for one in ids] == list(range(sum(counts)))
    assert (Quirk.STATELESS in quirks) is (not ids)


@pytest.mark.parametrize(
    ("dialect", "asked", "known"),
    [
        (EVENTSOURCE, Asked("GET", "/events", "", {"last-event-id": "7"}, b""), "7"),
        (EVENTSOURCE, Asked("GET", "/events", "", {}, b""), ""),
        # The standard has it sent in UTF-8, and a server hands on bytes one by one.
        (EVENTSOURCE, Asked("GET", "/events", "", {"last-event-id": "ä".encode().decode("latin-1")}, b""), "ä"),
        (EVENTSOURCE, Asked("GET", "/events", "", {"last-event-id": "ä"}, b""), "ä"),
        (EVENTSOURCE, Asked("GET", "/events", "", {"last-event-id": "\u2028"}, b""), "\u2028"),
        (MCP, Asked("GET", "/mcp", "", {"last-event-id": "2/2/4"}, b""), "2/2/4"),
        (MCP, Asked("POST", "/mcp", "", {"last-event-id": "2/2/4"}, b"{}"), ""),
        (RESPONSES, Asked("GET", "/v1/responses/resp_testbed", "stream=true&starting_after=0", {}, b""), "0"),
        (RESPONSES, Asked("GET", "/v1/responses/resp_testbed", "stream=true", {}, b""), ""),
        (RESPONSES, Asked("GET", "/v1/responses/resp_testbed", "starting_after=x", {}, b""), ""),
        (RESPONSES, Asked("POST", "/v1/responses", "starting_after=4", {}, b"{}"), ""),
        (DialectName.OPENAI_CHAT, Asked("GET", "/", "", {"last-event-id": "7"}, b""), None),
    ],
)
def test_what_a_client_says_it_has_is_read_in_the_dialects_words(
    dialect: DialectName, asked: Asked, known: str | None
) -> None:
    """A header or a query, and nothing where the protocol has no such thing."""
    assert DIALECTS[dialect].resumes(asked) == known


def test_a_number_is_read_from_what_a_client_says() -> None:
    """What is no number of the dialect's is none."""
    mcp, responses = DIALECTS[MCP].numbering, DIALECTS[RESPONSES].numbering
    assert mcp is not None
    assert responses is not None
    assert (mcp.read("2/2/4"), mcp.read("4"), mcp.read("")) == (4, None, None)
    assert (responses.read("4"), responses.read("")) == (4, None)
    assert read_cursor("2/2/4") is not None
    assert (mcp.goes_on, responses.goes_on) == (True, False)
    assert DIALECTS[DialectName.OPENAI_CHAT].numbering is None
