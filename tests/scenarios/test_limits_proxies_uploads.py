"""What the plans say: limits, filters in the browser, uploads, proxies, misconfiguration, and field bugs of parsing."""

from __future__ import annotations

import functools
import json

import pytest

from testbed import loader
from testbed.dialects import DIALECTS, Asked
from testbed.dialects.prompts import prompted, request_bytes
from testbed.errors import UsageError
from testbed.faults.toxics import Bandwidth, Direction, ResetAfter, Slicer, Stall
from testbed.plan import ClientSettings, Plan
from testbed.program import Write, compile_script, layout
from testbed.script import (
    Body,
    CutBody,
    DialectName,
    Done,
    Ending,
    Finish,
    Framing,
    Join,
    Pause,
    Quirk,
    Script,
    SplitEvery,
    Text,
)
from testbed.strategies import LONGEST, draw_many
from testbed.timing import margin, needs, nominal, silences, upload
from testbed.trace import Clock, Option, Outcome

# No version of Python draws another plan from the same seed.
pytestmark = pytest.mark.once

UPLOADS = ("early-response-to-upload", "reset-during-upload", "slow-upload", "unparseable-file", "upload-too-large")
REFUSALS = (
    *("bad-api-key", "context-length-exceeded", "org-not-verified", "org-not-verified-400", "stream-unsupported"),
    *("early-response-to-upload", "unparseable-file", "upload-too-large"),
)
# What the same request would be told again.
FINAL = frozenset({400, 401, 403, 404, 413, 415, 422})
DOCUMENTS = ("html-instead-of-sse", "html-or-json-200-instead-of-sse", "json-instead-of-sse")
SURVIVED = (
    *("corporate-proxy-buffering", "isp-throttling", "slow-upload", "tiny-mtu", "vpn-latency", "vpn-rekey-stall"),
    *("choices-empty-and-usage-chunk", "crlf-stream", "finish-length", "large-event-64k-1m", "no-charset-non-ascii"),
    *("multi-line-data-and-no-space", "one-byte-segments-with-emoji", "u2028-in-json"),
)


@functools.cache
def drawn(name: str, clock: Clock = Clock.VIRTUAL, count: int = 8) -> tuple[Plan, ...]:
    """`count` plans of a scenario in each of its dialects."""
    scenario = loader.load(name)
    return tuple(plan for one in scenario.dialects for plan in draw_many(scenario, [one], clock, count, 3))


def first(plan: Plan) -> Script:
    """What the first attempt says."""
    return plan.attempts[0].script


def body_of(script: Script) -> bytes:
    """The bytes of the body."""
    writes = [one for one in compile_script(script) if isinstance(one, Write)]
    return b"".join(one.data[one.payload[0] : one.payload[1]] for one in writes)


# --- long requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [name for name in DialectName if name is not DialectName.EVENTSOURCE])
def test_a_long_request_is_one_that_the_vendor_takes(dialect):
    """History and file stand where the dialect has its prompt, and its own check of requests finds nothing wrong."""
    request = prompted(dialect, "testbed-1", history=5, attachment=3000)
    text = json.dumps(request)
    assert "Question 2" in text
    assert "Answer 2" in text
    assert "00000002 0123456789abcdef" in text
    if dialect is DialectName.MCP:
        return  # it is asked of a session, not by the body alone
    own = {key: value for key, value in request.items() if dialect is not DialectName.GEMINI or key != "model"}
    path, _, query = DIALECTS[dialect].path.partition("?")
    keys = dict.fromkeys(("authorization", "x-api-key", "x-goog-api-key"), "Bearer key")
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", **keys}
    assert DIALECTS[dialect].refuse(Asked("POST", path, query, headers, json.dumps(own).encode())) is None


@pytest.mark.parametrize("size", [1, 73, 74, 75, 10_000])
def test_a_file_has_the_size_that_it_is_told(size):
    """The request grows by just the bytes of the file, so the time of an upload is known from the plan."""
    content = prompted(DialectName.OLLAMA, "testbed-1", attachment=size)["messages"][-1]["content"]
    assert content == f"Say something.\n\n{content[-size:]}"
    assert request_bytes(DialectName.OLLAMA, 0, size) > size


def test_an_ordinary_request_is_as_it_was():
    """Nothing is put into a request that is told nothing, and it takes no time that counts."""
    for name, dialect in DIALECTS.items():
        assert prompted(name, "testbed-1") == dialect.request("testbed-1")
        assert request_bytes(name, 0, 0) == 0


def test_a_plain_event_source_has_no_body_to_put_a_file_into():
    """A plan that asks for it is refused in a sentence."""
    plan = draw_many(loader.load("crlf-stream"), [DialectName.EVENTSOURCE], Clock.VIRTUAL, 1, 0)[0]
    with pytest.raises(UsageError, match="asked without a body"):
        Plan(scenario="x", attempts=plan.attempts, client=ClientSettings(attachment=1))


@pytest.mark.parametrize(("field", "value"), [("history", -1), ("history", 20_001), ("attachment", 8_000_001)])
def test_a_request_has_a_largest_size(field, value):
    """What the server would not take, or nobody would send, is refused."""
    with pytest.raises(UsageError, match=field):
        ClientSettings(**{field: value})


# --- token-limit ------------------------------------------------------------------------------------------------------


def test_abrupt_end_at_limit_says_whole_events_and_no_end():
    """Nothing is cut inside an event, no terminal is said, and HTTP ends well."""
    for plan in drawn("abrupt-end-at-limit"):
        script = first(plan)
        assert script.faults == ()
        assert not any(isinstance(step, (Finish, Done)) for step in script.steps)
        assert layout(script).terminal_wire is None


def test_finish_length_names_a_reason_of_the_vendors():
    """Every plan ends whole, with the vendor's own word for an answer that was cut."""
    reasons = {}
    for plan in drawn("finish-length"):
        (finish,) = (step for step in first(plan).steps if isinstance(step, Finish))
        reasons.setdefault(plan.dialect, set()).add(finish.reason)
    assert reasons == {
        DialectName.OPENAI_CHAT: {"length"},
        DialectName.OPENAI_RESPONSES: {"max_output_tokens"},
        DialectName.ANTHROPIC_MESSAGES: {"max_tokens"},
        DialectName.GEMINI: {"MAX_TOKENS"},
        DialectName.OLLAMA: {"length"},
    }


def test_context_length_is_told_in_the_vendors_words():
    """The refusal is a 400, and where the vendor has a code for it, it is in the body."""
    for plan in drawn("context-length-exceeded"):
        assert first(plan).head.status == 400
        if plan.dialect in (DialectName.OPENAI_CHAT, DialectName.OPENAI_RESPONSES):
            assert json.loads(body_of(first(plan)))["error"]["code"] == "context_length_exceeded"


def test_long_chat_history_is_long_and_waited_for():
    """Every request has many messages; its answer is a stream or a refusal, and never slower than the time-out."""
    plans = drawn("long-chat-history")
    assert {first(plan).head.status for plan in plans} == {200, 400, 413}
    for plan in plans:
        assert plan.client.history >= 20
        clear = margin(plan.client.idle_timeout, Clock.REAL)
        assert silences(plan.attempts[0], plan.client)[0].longest <= plan.client.idle_timeout - clear + 1e-6


# --- browser-interference ---------------------------------------------------------------------------------------------


def test_extensions_kill_in_four_ways_and_never_too_late():
    """Each way occurs, and the terminal event is never whole."""
    ways = set()
    for plan in drawn("extension-kills-stream", count=25):
        (cut,) = first(plan).faults
        ways.add(cut.how)
        assert layout(first(plan)).terminal_wire is None
    assert ways == {Ending.FIN, Ending.CLEAN, Ending.RST, Ending.ABORT}


def test_a_buffered_stream_is_one_write():
    """Whatever was said leaves at once, behind one silence on either side of the time-out."""
    sides = set()
    for plan in drawn("extension-buffers-stream", count=25):
        script = first(plan)
        data = [one for one in compile_script(script) if isinstance(one, Write) and one.data]
        assert any(isinstance(fault, Join) for fault in script.faults)
        assert not any(isinstance(step, Pause) for step in script.steps[1:])
        assert data
        sides.add(silences(plan.attempts[0])[0].longest > plan.client.idle_timeout)
    assert sides == {True, False}


def test_a_stale_cache_has_whole_bodies_and_halves():
    """By the framing every replay is whole, by its own words not all are; each says how old it is."""
    ends = set()
    for plan in drawn("stale-cache-replay", count=25):
        script = first(plan)
        cut = next(fault for fault in script.faults if isinstance(fault, CutBody))
        assert cut.how is Ending.CLEAN
        assert script.head.framing in (Framing.LENGTH, Framing.CHUNKED)
        assert dict(script.head.headers)["X-Cache"] == "HIT"
        ends.add(layout(script).terminal_wire is None)
    assert ends == {True, False}


def test_stripped_heartbeats_leave_silence_on_both_sides_of_the_timeout():
    """No plan has a sign of life, and both questions are asked on every clock."""
    for clock in Clock:
        sides = set()
        for plan in drawn("stripped-heartbeats", clock, 15):
            assert {type(step).__name__ for step in first(plan).steps}.isdisjoint({"Ping", "Comment"})
            sides.add(max(one.longest for one in silences(plan.attempts[0])) > plan.client.idle_timeout)
        assert sides == {True, False}


# --- file-upload ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UPLOADS)
def test_an_upload_has_a_file_in_it(name):
    """Every plan of the cause sends one, in a dialect whose requests have a body."""
    for plan in drawn(name):
        assert plan.client.attachment >= 1000
        assert plan.dialect is not DialectName.EVENTSOURCE


def test_a_slow_upload_ends_before_the_timeout():
    """The way up is narrow on the network, and the answer still begins within the time-out; some take seconds."""
    for clock, longest in ((Clock.VIRTUAL, 5.0), (Clock.REAL, 1.0)):
        taken = []
        for plan in drawn("slow-upload", clock, 15):
            (toxic,) = plan.attempts[0].toxics
            assert isinstance(toxic, Bandwidth)
            assert toxic.stream is Direction.UPSTREAM
            taken.append(upload(plan.dialect, plan.client, first(plan).reading, plan.attempts[0].toxics))
            assert taken[-1] <= plan.client.idle_timeout - margin(plan.client.idle_timeout, Clock.REAL)
            assert clock is Clock.VIRTUAL or nominal(plan) <= LONGEST
        assert max(taken) > longest


def test_what_sending_takes_counts_as_time():
    """A plan whose upload is long needs a client that can be told its time-out, and lasts at least so long."""
    plan = max(drawn("slow-upload"), key=nominal)
    assert nominal(plan) >= upload(plan.dialect, plan.client, first(plan).reading, plan.attempts[0].toxics) > 4.0
    assert Option.IDLE_TIMEOUT in needs(plan)


@pytest.mark.parametrize("name", ["early-response-to-upload", "reset-during-upload"])
def test_the_server_speaks_before_the_upload_is_over(name):
    """The script begins when only a part of the request was read, whatever its size."""
    for plan in drawn(name):
        most = first(plan).reading.most
        early = most is not None and most < plan.client.attachment
        assert early


def test_a_reset_during_upload_leaves_nothing_of_the_answer():
    """Not one byte passes; what is asked again is served."""
    for plan in drawn("reset-during-upload"):
        (toxic,) = plan.attempts[0].toxics
        assert isinstance(toxic, ResetAfter)
        assert toxic.attributes.bytes == 0
        assert plan.attempts[-1].toxics == ()
        assert layout(plan.attempts[-1].script).terminal_wire is not None


# --- what is refused, and what is no stream ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_final(name):
    """The status is an error that no retry can mend, and the client is allowed to make some."""
    plans = drawn(name)
    assert max(plan.client.max_retries for plan in plans) > 0
    for plan in plans:
        status = first(plan).head.status
        assert status in FINAL
        assert any(isinstance(step, Body) for step in first(plan).steps)


def test_org_not_verified_400_has_the_code():
    """The vendor's own body names parameter and code; an aggregator has it inside its own."""
    bodies = {body_of(first(plan)) for plan in drawn("org-not-verified-400", count=25)}
    assert len(bodies) == 3
    assert all(b"must be verified" in body and json.loads(body)["error"] for body in bodies)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_no_stream_in_any_dialect(name):
    """Status 200, a content type of no dialect, and a body without one event."""
    for plan in drawn(name):
        head = first(plan).head
        assert head.status == 200
        assert head.content_type.partition(";")[0] not in ("text/event-stream", "application/x-ndjson")


# --- what is survived -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURVIVED)
def test_what_is_survived_says_its_whole_answer(name):
    """Nothing else than success is expected, and the last attempt has its terminal event where the dialect has one."""
    assert set(loader.load(name).expect.outcome) <= {Outcome.COMPLETE, Outcome.RECONNECT}
    for plan in drawn(name):
        script = plan.attempts[-1].script
        assert plan.dialect is DialectName.EVENTSOURCE or layout(script).terminal_wire is not None
        assert max(one.longest for one in silences(plan.attempts[0], plan.client)) < plan.client.idle_timeout


def test_a_rekeying_tunnel_holds_the_stream_in_its_middle():
    """One stall at a byte behind the first token, shorter than the time-out."""
    for plan in drawn("vpn-rekey-stall"):
        (stall,) = (toxic for toxic in plan.attempts[0].toxics if isinstance(toxic, Stall))
        assert 0 < stall.attributes.bytes < layout(first(plan)).wire
        assert stall.attributes.duration / 1000 < plan.client.idle_timeout


def test_a_dropped_tunnel_is_silent_for_ever_before_the_end():
    """The first connection never comes to its terminal event, and the second is sound."""
    for plan in drawn("vpn-drop"):
        (stall,) = plan.attempts[0].toxics
        assert stall.attributes.duration is None
        assert stall.attributes.bytes <= layout(first(plan)).terminal_wire
        assert plan.attempts[1].toxics == ()


def test_a_buffering_proxy_joins_what_comes_between_two_silences():
    """Several events leave in one write, and there is silence between the writes."""
    several = [plan for plan in drawn("corporate-proxy-buffering") if len(layout(first(plan)).events) > 10]
    assert several
    for plan in several:
        assert any(isinstance(fault, Join) for fault in first(plan).faults)
    assert any(isinstance(step, Pause) for plan in several for step in first(plan).steps)


def test_throttled_events_fit_into_the_timeout():
    """The largest event takes less than the time-out on the line of its plan, so no client may give up between two."""
    for plan in drawn("isp-throttling", count=25):
        (line,) = (toxic for toxic in plan.attempts[0].toxics if isinstance(toxic, Bandwidth))
        largest = max(len(one.data) for one in compile_script(first(plan)) if isinstance(one, Write))
        most = plan.client.idle_timeout - margin(plan.client.idle_timeout, Clock.REAL)
        assert largest / (1000 * line.attributes.rate) < most


def test_packets_of_a_tiny_mtu_are_small():
    """No piece is larger than a packet of 576 bytes leaves room for, and the real proxy can cut so."""
    for plan in drawn("tiny-mtu"):
        (slicer,) = plan.attempts[0].toxics
        assert isinstance(slicer, Slicer)
        assert slicer.attributes.size_variation < slicer.attributes.average_size <= 536


# --- the field corpus -------------------------------------------------------------------------------------------------


def test_every_token_has_a_line_separator_that_is_none():
    """The bytes of U+2028 and its like stand in the JSON as they are, not escaped."""
    for plan in drawn("u2028-in-json"):
        text = first(plan).text
        assert len(f"-{text}-".splitlines()) > 1
        # Ollama escapes this one, and not U+0085.
        if plan.dialect is not DialectName.OLLAMA and "\u2028" in text:
            assert "\u2028".encode() in body_of(first(plan))


def test_no_charset_is_named_and_the_text_is_not_ascii():
    """The head names the type alone; every plan has a character that Latin-1 would break."""
    for plan in drawn("no-charset-non-ascii"):
        head = next(one.data for one in compile_script(first(plan)) if isinstance(one, Write))
        assert b"charset" not in head.lower()
    assert (
        sum(not first(plan).text.isascii() for plan in drawn("no-charset-non-ascii"))
        > len(drawn("no-charset-non-ascii")) // 2
    )


def test_every_byte_comes_alone():
    """All writes of the body have one byte, and the text has characters of four."""
    for plan in drawn("one-byte-segments-with-emoji"):
        assert first(plan).faults == (SplitEvery(1),)
    assert any(max(map(ord, first(plan).text)) > 0xFFFF for plan in drawn("one-byte-segments-with-emoji"))


def test_lines_end_in_all_three_ways():
    """Each line end occurs in every dialect."""
    quirks = {}
    for plan in drawn("crlf-stream", count=25):
        quirks.setdefault(plan.dialect, set()).update(first(plan).quirks)
        assert b"\r" in body_of(first(plan))
    for dialect, seen in quirks.items():
        crlf = set() if dialect is DialectName.GEMINI else {Quirk.CRLF}
        assert seen == {Quirk.CR, Quirk.MIXED_LINE_ENDS} | crlf


def test_data_is_spread_or_has_no_space():
    """Both spellings occur: several data lines for one event, and a colon with nothing behind it."""
    spread = nothing = 0
    for plan in drawn("multi-line-data-and-no-space"):
        body = body_of(first(plan))
        if Quirk.MULTI_LINE_DATA in first(plan).quirks:
            spread += 1
            assert b"data: {\ndata: " in body.replace(b"\r\n", b"\n")
        if Quirk.NO_SPACE in first(plan).quirks:
            nothing += 1
            assert plan.dialect is DialectName.EVENTSOURCE or b"\ndata: " not in body
    assert min(spread, nothing) > 0


def test_large_events_lie_between_64_kilobytes_and_a_megabyte_or_so():
    """Each token is one event of that size, on one line."""
    for plan in drawn("large-event-64k-1m", count=5):
        sizes = [len(step.said.encode()) for step in first(plan).steps if isinstance(step, Text)]
        assert sizes
        assert all(64_000 <= size <= 1_300_000 for size in sizes)


def test_a_chunk_without_choices_is_there():
    """The first chunk of a cloud, or the last with the usage, has an empty list of choices."""
    for plan in drawn("choices-empty-and-usage-chunk"):
        assert b'"choices":[]' in body_of(first(plan))
