"""Each dialect spells its steps byte by byte, judges their order, and knows its terminals and requests."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.dialects import DIALECTS, Dialect
from testbed.dialects.eventsource import events
from testbed.errors import UsageError
from testbed.script import (
    Body,
    Comment,
    DialectName,
    Done,
    End,
    Failure,
    Finish,
    Head,
    Message,
    Open,
    Pause,
    Ping,
    Raw,
    Step,
    Terminal,
    Text,
)
from testbed.sse import Event, Parser

OPENAI = DIALECTS[DialectName.OPENAI_CHAT]
ANTHROPIC = DIALECTS[DialectName.ANTHROPIC_MESSAGES]
EVENTSOURCE = DIALECTS[DialectName.EVENTSOURCE]
LLM = [OPENAI, ANTHROPIC]

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name.value)
every_llm = pytest.mark.parametrize("dialect", LLM, ids=lambda dialect: dialect.name.value)

WHOLE: tuple[Step, ...] = (
    Head(),
    Open(),
    Text("a"),
    Ping(),
    Pause(1),
    Text("b"),
    Comment("c"),
    Finish(),
    Done(),
    End(),
)


def parsed(dialect: Dialect, *steps: Step) -> tuple[Event, ...]:
    """Parse what the dialect writes for `steps`."""
    return Parser().feed(b"".join(data for step in dialect.encode(steps) for data in step))


def payloads(dialect: Dialect, *steps: Step) -> list[Any]:
    """Parse the JSON of each event."""
    return [json.loads(event.data) for event in parsed(dialect, *steps)]


# --- spelling ---------------------------------------------------------------------------------------------------------


def test_openai_chat_is_spelled_as_chunks_and_done() -> None:
    """The bytes of a whole answer, one event a step: role, texts, keep-alive, comment, finish_reason, [DONE]."""
    frame = (
        '{"id":"chatcmpl-testbed","object":"chat.completion.chunk","created":1700000000,"model":"testbed-1",'
        '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}'
    )

    def chunk(delta: str, reason: str = "null") -> tuple[bytes]:
        return (f"data: {frame % (delta, reason)}\n\n".encode(),)

    assert OPENAI.encode(WHOLE) == (
        (),
        chunk('{"role":"assistant","content":""}'),
        chunk('{"content":"a"}'),
        (b": keep-alive\n\n",),
        (),
        chunk('{"content":"b"}'),
        (b": c\n\n",),
        chunk("{}", '"stop"'),
        (b"data: [DONE]\n\n",),
        (),
    )


def test_anthropic_messages_is_spelled_as_named_events() -> None:
    """Every event's name is its data's type; the opening and the finish are two events each."""
    seen = [(event.type, json.loads(event.data)) for event in parsed(ANTHROPIC, *WHOLE)]
    assert all(name == data["type"] for name, data in seen)
    assert [name for name, _ in seen] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [len(step) for step in ANTHROPIC.encode(WHOLE)] == [0, 2, 1, 1, 0, 1, 1, 2, 1, 0]
    assert seen[0][1]["message"]["content"] == []
    assert seen[0][1]["message"]["stop_reason"] is None
    assert {data["index"] for name, data in seen if name.startswith("content_block")} == {0}


def test_anthropic_counts_output_tokens_cumulatively() -> None:
    """message_delta counts the text steps that stand before it."""
    assert payloads(ANTHROPIC, *WHOLE)[-2]["usage"] == {"output_tokens": 2}


def test_eventsource_text_is_a_message() -> None:
    """A text step is a message event whose data is the text; an opening has no bytes."""
    assert EVENTSOURCE.encode((Open(), Text("a\nb"), Message("c", "x", "7", 9))) == (
        (),
        (b"data: a\ndata: b\n\n",),
        (b"event: x\nid: 7\nretry: 9\ndata: c\n\n",),
    )


@every_dialect
def test_body_and_raw_are_sent_as_they_are(dialect: Dialect) -> None:
    """A body is its UTF-8, raw bytes are themselves, and empty ones are no event at all."""
    assert dialect.encode((Body("é\n"), Raw(b"\xff"), Body(""), Raw(b""))) == ((b"\xc3\xa9\n",), (b"\xff",), (), ())


@every_llm
def test_finish_reasons_are_the_dialects_own_words(dialect: Dialect) -> None:
    """An empty reason is the normal one, another one is sent as it is."""
    key, normal = ("finish_reason", "stop") if dialect is OPENAI else ("stop_reason", "end_turn")
    for reason, sent in (("", normal), ("length", "length")):
        assert f'"{key}":"{sent}"' in parsed(dialect, Finish(reason))[-1].data


def test_failures_have_each_vendors_shape() -> None:
    """An in-band error is a plain chunk with an error for one vendor, a named event for the other."""
    failure = Failure("overloaded_error", "too much")
    (event,) = parsed(OPENAI, failure)
    error = {"message": "too much", "type": "overloaded_error", "param": None, "code": "overloaded_error"}
    assert (event.type, json.loads(event.data)) == ("message", {"error": error})
    (event,) = parsed(ANTHROPIC, failure)
    assert event.type == "error"
    assert json.loads(event.data)["error"] == {"type": "overloaded_error", "message": "too much"}


@every_llm
@settings(deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_deltas_join_to_the_text(dialect: Dialect, texts: list[str]) -> None:
    """Invariant: the deltas' texts are the steps' texts, and everything else is the same in every chunk."""
    data = payloads(dialect, *map(Text, texts))
    deltas = [value["choices"][0].pop("delta") if dialect is OPENAI else value.pop("delta") for value in data]
    assert texts == [delta["content" if dialect is OPENAI else "text"] for delta in deltas]
    assert all(value == data[0] for value in data)


@every_dialect
def test_text_is_sent_as_utf8_not_as_escapes(dialect: Dialect) -> None:
    """A character of several bytes is on the wire as these bytes, so that they can be split."""
    assert "é👩\u2028".encode() in dialect.encode((Text("é👩\u2028"),))[0][0]


@every_dialect
def test_half_a_surrogate_pair_is_refused(dialect: Dialect) -> None:
    """Text that has no UTF-8 is a usage error that names the step."""
    with pytest.raises(UsageError, match=r"^step 1 \(text\): text: .* which UTF-8 cannot carry"):
        dialect.encode((Text("a"), Text("\ud83d")))


@pytest.mark.parametrize("step", [Finish(), Done(), Failure("x")])
def test_eventsource_refuses_what_it_has_no_words_for(step: Step) -> None:
    """No terminal and no error exist in the protocol: the error names the step and the rule."""
    with pytest.raises(UsageError) as raised:
        EVENTSOURCE.encode((Head(), Text("a"), step))
    assert str(raised.value).startswith(f"step 2 ({type(step).__name__.lower()}): eventsource has no ")
    assert EVENTSOURCE.violations((Head(), Text("a"), step)) == (str(raised.value),)


# --- terminals --------------------------------------------------------------------------------------------------------


@every_llm
def test_terminals_of_the_llm_dialects(dialect: Dialect) -> None:
    """Finish is soft, done is hard, nothing else is terminal."""
    terminal = [dialect.terminal(step) for step in WHOLE]
    assert terminal == [Terminal.NONE] * 7 + [Terminal.SOFT, Terminal.HARD, Terminal.NONE]


def test_eventsource_has_no_terminal() -> None:
    """No step of an event source says that it is over."""
    assert {EVENTSOURCE.terminal(step) for step in WHOLE} == {Terminal.NONE}


@every_llm
def test_the_soft_terminal_is_the_last_event_of_its_step(dialect: Dialect) -> None:
    """Only the last event of a finish step tells the reason."""
    *before, last = dialect.encode((Finish("why"),))[0]
    assert b'"why"' in last
    assert not any(b"why" in data for data in before)


# --- order ------------------------------------------------------------------------------------------------------------

WORST = (
    Text("a"),
    Finish(),
    Open(),
    Open(),
    Done(),
    Text("b"),
    Finish(),
    Finish(),
    Done(),
    Done(),
    Ping(),
    Failure("x"),
)


@every_llm
def test_a_clean_answer_and_its_prefixes_break_no_rule(dialect: Dialect) -> None:
    """A stream that merely stops is in order: what is missing is the terminal's affair."""
    for length in range(len(WHOLE) + 1):
        assert dialect.violations(WHOLE[:length]) == ()
    assert dialect.violations((Head(), Open(), Failure("x"))) == ()
    assert dialect.violations((Head(), Failure("x"))) == ()


@every_llm
@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ((Text("a"),), "step 0 (text)"),
        ((Open(), Open()), "step 1 (open)"),
        ((Open(), Done()), "step 1 (done)"),
        ((Open(), Finish(), Text("a")), "step 2 (text)"),
        ((Open(), Finish(), Finish()), "step 2 (finish)"),
        ((Open(), Finish(), Done(), Done()), "step 3 (done)"),
        ((Open(), Finish(), Done(), Failure("x")), "step 3 (failure)"),
        ((Open(), Failure("x"), Text("a")), "step 2 (text)"),
        ((Open(), Failure("x"), Ping()), "step 2 (ping)"),
        ((Open(), Message("a")), "step 1 (message)"),
        ((Open(), Body("a")), "step 1 (body)"),
        ((Open(), Raw(b"a")), "step 1 (raw)"),
    ],
)
def test_each_broken_rule_is_named_with_its_step(dialect: Dialect, steps: tuple[Step, ...], where: str) -> None:
    """One step out of order is one violation, which says where it is and what the rule is."""
    (violation,) = dialect.violations(steps)
    assert violation.startswith(where + ": ")
    sentences = {rule.sentence for rule in dialect.order.values()}
    assert violation.removeprefix(where + ": ") in sentences


@every_dialect
@settings(deadline=None)
@given(steps=st.lists(st.sampled_from((*WHOLE, *WORST, Body("x"), Raw(b"x"), Message("x"), Head(status=500)))))
def test_violations_of_a_prefix_are_a_prefix(dialect: Dialect, steps: list[Step]) -> None:
    """Invariant: each further step adds at most one violation and takes none away."""
    before: tuple[str, ...] = ()
    for length in range(len(steps) + 1):
        now = dialect.violations(steps[:length])
        assert now[: len(before)] == before
        assert len(now) - len(before) <= 1
        before = now


@every_llm
def test_an_error_answer_has_a_body_and_no_events(dialect: Dialect) -> None:
    """With a status that is no success, a body is in order and an event is not."""
    assert dialect.violations((Head(status=429), Body("{}"))) == ()
    assert dialect.violations((Head(status=429), Text("a"))) == (
        "step 1 (text): an answer with status 429 has a body, not events",
    )


def test_events_may_stand_anywhere_in_an_event_source() -> None:
    """Order rules of an event source concern only what is no event."""
    assert EVENTSOURCE.violations((Head(), Ping(), Text("a"), Comment(), Message("b"), Text("c"))) == ()
    assert len(EVENTSOURCE.violations((Head(), Body("a"), Raw(b"b")))) == 2


@every_dialect
def test_every_step_is_spelled_or_refused_and_every_event_has_a_rule(dialect: Dialect) -> None:
    """The tables are complete: no step can fall between them."""
    assert set(dialect.spelling) | set(dialect.refused) == set(get_args(Step))
    assert set(dialect.spelling).isdisjoint(dialect.refused)
    assert set(dialect.order) == set(dialect.spelling) - dialect.wordless


# --- what an event source dispatches ----------------------------------------------------------------------------------

WIRE_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n "), max_size=20)
ONE_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=8)
SOURCE_STEPS = st.lists(
    st.one_of(
        st.builds(Text, WIRE_TEXT),
        st.builds(Message, WIRE_TEXT, st.none() | ONE_LINE, st.none() | ONE_LINE, st.none() | st.integers(0, 10**6)),
        st.builds(Comment, WIRE_TEXT),
        st.sampled_from((Head(), Open(), Ping(), Pause(1))),
    )
)


@settings(deadline=None)
@given(SOURCE_STEPS)
def test_events_are_what_the_reference_parser_dispatches(steps: list[Step]) -> None:
    """Invariant: the events derived from the steps are those parsed from their bytes."""
    assert events(steps) == tuple((event.type, event.data, event.id) for event in parsed(EVENTSOURCE, *steps))


def test_events_continue_with_the_clients_id() -> None:
    """A client that reconnects brings its id; it stays until the stream sends another; one with NUL is none."""
    steps = (Text("a"), Message("b", id="2\0"), Message("c", id="3"), Text("d"), Message("e", id=""))
    assert [event[2] for event in events(steps, last_event_id="1")] == ["1", "1", "3", "3", ""]


# --- requests and errors ----------------------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json; charset=utf-8"}


@every_llm
def test_the_request_that_a_dialect_builds_is_right(dialect: Dialect) -> None:
    """A dialect finds nothing wrong with its own request."""
    body = json.dumps(dialect.request("m")).encode()
    assert dialect.check_request("POST", dialect.path, JSON, body) == ""
    assert dialect.check_request("POST", dialect.path + "?beta=true", JSON, body) == ""
    assert dialect.request("m")["model"] == "m"


@every_llm
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"stream": False}, "the body's stream is false; it must be true: this server only streams"),
        ({"stream": 1}, "the body's stream is 1; it must be true: this server only streams"),
        ({"messages": []}, "the body's messages is []; it must be a list of at least one message"),
        ({"model": None}, "the body's model is null; it must name a model"),
    ],
)
def test_a_wrong_body_is_described(dialect: Dialect, change: dict[str, object], problem: str) -> None:
    """Each missing or wrong key has its sentence, with the value that was sent."""
    body = json.dumps({**dialect.request("m"), **change}).encode()
    assert dialect.check_request("POST", dialect.path, JSON, body) == problem


@every_llm
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "the body is not JSON: Input data was truncated"),
        (b'{"model": "\xff"}', "the body is not JSON: "),
        pytest.param(b"[" * 100_000, "the body is not JSON: ", id="deep"),
        (b"[]", "the body is a JSON list; it must be an object"),
    ],
)
def test_a_body_that_is_no_object_is_described(dialect: Dialect, body: bytes, problem: str) -> None:
    """Broken JSON and JSON of the wrong kind are told apart."""
    assert dialect.check_request("POST", dialect.path, JSON, body).startswith(problem)


def test_anthropic_wants_max_tokens() -> None:
    """The vendor's one further obligatory key is checked."""
    body = json.dumps({**ANTHROPIC.request("m"), "max_tokens": 0}).encode()
    problem = "the body's max_tokens is 0; it must be a positive number"
    assert ANTHROPIC.check_request("POST", "/v1/messages", JSON, body) == problem


def test_path_method_and_content_type_are_checked_in_that_order() -> None:
    """The first thing wrong is the one that is said."""
    assert OPENAI.check_request("GET", "/chat", {}, b"") == (
        "the path is /chat; openai-chat is served at /v1/chat/completions"
    )
    assert OPENAI.check_request("GET", "/v1/chat/completions", {}, b"") == (
        "the method is GET; /v1/chat/completions takes POST"
    )
    assert OPENAI.check_request("POST", "/v1/chat/completions", {"content-type": "text/plain"}, b"") == (
        "the content type is 'text/plain'; it must be application/json"
    )
    assert EVENTSOURCE.check_request("POST", "/events", {}, b"") == "the method is POST; /events takes GET"
    assert EVENTSOURCE.check_request("GET", "/events?topic=1", {}, b"") == ""


def test_an_event_source_is_asked_for_without_a_body() -> None:
    """There is nothing to say in the request of an event source."""
    assert EVENTSOURCE.request("m") == {}


@every_dialect
def test_error_bodies_are_json_with_the_message(dialect: Dialect) -> None:
    """An HTTP error's body is the vendor's JSON: its kind is the given one, or else usual for the status."""
    given_kind = json.loads(dialect.error_body(429, "my_kind", "é"))["error"]
    assert (given_kind["type"], given_kind["message"]) == ("my_kind", "é")
    usual = {"openai-chat": "rate_limit_exceeded", "anthropic-messages": "rate_limit_error", "eventsource": "error"}
    assert json.loads(dialect.error_body(429, "", "x"))["error"]["type"] == usual[dialect.name.value]
