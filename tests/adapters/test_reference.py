"""The reference client: each law of its module, on both event loops."""

from __future__ import annotations

import pytest

from testbed.adapters import load
from testbed.adapters import reference_errors as errors
from testbed.ports import Runtime
from testbed.script import DialectName, Done, Failure, Finish, Message, Open, Raw, Text
from testbed.trace import Ended
from tests.adapters.loopback import FIN, HEAD, RST, WAIT, chunked, status
from tests.adapters.support import MESSAGES, TOKENS, WHOLE, call, events

CHAT = DialectName.OPENAI_CHAT
LLM = [CHAT, DialectName.ANTHROPIC_MESSAGES]
SOURCE = DialectName.EVENTSOURCE

pytestmark = pytest.mark.parametrize("runtime", [Runtime.ASYNCIO, Runtime.TRIO])


def ask(runtime, *answers, dialect=CHAT, **settings):
    return call(load("reference"), runtime, *answers, dialect=dialect, **settings)


def raw(*pieces: bytes) -> bytes:
    return chunked(*pieces)


# --- how an answer ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", LLM)
def test_the_end_of_the_body_is_not_the_end_of_the_answer(runtime, dialect):
    """Without a terminal, a clean end is incomplete."""
    recorder, _ = ask(runtime, [chunked(*events(dialect, TOKENS))], dialect=dialect)
    assert recorder.text == "naïve 日本語"
    assert recorder.classes == {"incomplete"}


@pytest.mark.parametrize("dialect", LLM)
@pytest.mark.parametrize("farewell", ["nothing", "fin", "rst", "silence"])
def test_a_finished_answer_is_complete_whatever_follows(runtime, dialect, farewell):
    """After the soft terminal only the protocol's farewell is missing."""
    body = chunked(*events(dialect, (*TOKENS, Finish())), end=farewell == "nothing")
    rest = {"nothing": [], "fin": [FIN], "rst": [RST], "silence": [WAIT]}[farewell]
    recorder, _ = ask(runtime, [body, *rest], dialect=dialect, idle_timeout=0.3, first_byte_timeout=0.3)
    assert isinstance(recorder.end, Ended)
    assert recorder.text == "naïve 日本語"


@pytest.mark.parametrize("dialect", LLM)
def test_nothing_is_waited_for_after_the_hard_terminal(runtime, dialect):
    """The server keeps the connection open; the client leaves."""
    recorder, server = ask(runtime, [chunked(*events(dialect, WHOLE), end=False), WAIT], dialect=dialect)
    assert isinstance(recorder.end, Ended)
    assert server.left[0].wait(5)


def test_done_without_a_finish_is_complete(runtime):
    """The hard terminal is enough."""
    recorder, _ = ask(runtime, [chunked(*events(CHAT, (*TOKENS, Done())))])
    assert isinstance(recorder.end, Ended)


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "classes"),
    [
        ([RST], {"reset"}),
        ([FIN], {"incomplete", "protocol"}),
        ([HEAD[:20], FIN], {"incomplete", "protocol"}),
        ([chunked(*events(CHAT, TOKENS), end=False), RST], {"reset"}),
        ([chunked(*events(CHAT, TOKENS), end=False), FIN], {"incomplete", "protocol"}),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], {"incomplete", "protocol"}),
        ([raw(b"data: {not json}\n\n")], {"decode"}),
        ([raw(b'data: "a string"\n\n')], {"decode"}),
        ([raw(b'data: {"choices":[{"delta":{"content":5}}]}\n\n')], {"decode"}),
        ([raw(b'data: {"choices":"none"}\n\n')], {"decode"}),
        ([raw(b'data: {"choices":[{"delta":"x"}]}\n\n')], {"decode"}),
        ([raw(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n')], {"decode"}),
        ([raw(b'data: {"error":{"message":"no","type":"server_error"}}\n\n')], {"provider"}),
        ([status("200 OK", b"<html>", content_type="text/html")], {"protocol"}),
        ([status("200 OK", b"{}")], {"protocol"}),
    ],
)
def test_trouble_has_the_class_that_fits(runtime, answer, classes):
    """Each kind of trouble, with no retry allowed."""
    recorder, server = ask(runtime, answer)
    assert recorder.classes == classes
    assert len(server.requests) == 1


@pytest.mark.parametrize("piece", [b": comment\n\n", b'data: {"choices":[],"usage":{}}\n\n', b'data: {"new":1}\n\n'])
def test_what_it_does_not_know_is_ignored(runtime, piece):
    """A comment, a chunk with nothing but usage, a chunk from the future."""
    recorder, _ = ask(runtime, [chunked(piece, *events(CHAT, WHOLE))])
    assert isinstance(recorder.end, Ended)


@pytest.mark.parametrize(("begun", "kind"), [((Open(),), "first_byte_timeout"), (TOKENS, "idle_timeout")])
def test_silence_is_told_apart_by_the_first_token(runtime, begun, kind):
    """Two time-outs, and each is used where it belongs."""
    limits = {"first_byte_timeout": 0.2, "idle_timeout": 0.5}
    recorder, _ = ask(runtime, [chunked(*events(CHAT, begun), end=False), WAIT], **limits)
    assert recorder.classes == {kind}
    assert limits[kind] * 900_000 < recorder.raised.t < limits[kind] * 1_000_000 + 5_000_000


def test_an_idle_timeout_may_be_the_longer_one(runtime):
    """The first-byte time-out does not go on ruling once tokens flow: the head's own read limit is lifted."""
    limits = {"first_byte_timeout": 0.2, "idle_timeout": 0.7}
    recorder, _ = ask(runtime, [chunked(*events(CHAT, TOKENS), end=False), WAIT], **limits)
    assert recorder.classes == {"idle_timeout"}
    assert recorder.raised.t > 600_000


# --- retries ----------------------------------------------------------------------------------------------------------

GOOD = [chunked(*events(CHAT, WHOLE))]


@pytest.mark.parametrize("trouble", [[RST], [FIN], [status("500 Oops")], [status("408 Slow")], [status("429 Slow")]])
def test_trouble_before_the_first_token_is_retried(runtime, trouble):
    """After a back-off of half a second, less at most a quarter of it."""
    recorder, server = ask(runtime, trouble, GOOD, max_retries=2)
    assert isinstance(recorder.end, Ended)
    assert len(server.requests) == 2
    assert recorder.end.t > 375_000


@pytest.mark.parametrize(
    "trouble",
    [
        [status("401 No")],
        [status("400 No")],
        [status("429 Money", b'{"error":{"code":"insufficient_quota"}}')],
        [status("429 Later", headers="Retry-After: 61\r\n")],
        [chunked(*events(CHAT, TOKENS), end=False), RST],
        [chunked(*events(CHAT, TOKENS))],
        [chunked(*events(CHAT, (Failure("overloaded_error"),)))],
        [status("200 OK", b"<html>", content_type="text/html")],
    ],
)
def test_what_is_final_is_not_retried(runtime, trouble):
    """A request that cannot succeed, one that asks for too long a wait, and one whose text was shown."""
    recorder, server = ask(runtime, trouble, GOOD, max_retries=2)
    assert recorder.raised.wrapping.value == "declared"
    assert len(server.requests) == 1


def test_an_exhausted_quota_has_a_class_of_its_own(runtime):
    """429 with a code that says that waiting does not help."""
    recorder, _ = ask(runtime, [status("429 Money", b'{"error":{"code":"insufficient_quota"}}')])
    assert (recorder.classes, recorder.raised.code) == ({"quota_exhausted"}, "insufficient_quota")


def test_retries_are_bounded(runtime):
    """One request and `max_retries` more, then the trouble surfaces."""
    recorder, server = ask(runtime, [status("503 Busy")], max_retries=1)
    assert recorder.classes == {"overloaded"}
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "fields",
    ["Retry-After: 1\r\n", "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2015 07:28:01 GMT\r\n"],
)
def test_retry_after_is_waited_for(runtime, fields):
    """In seconds, or as a date by the server's own clock."""
    recorder, _ = ask(runtime, [status("429 Slow", headers=fields)], GOOD, max_retries=1)
    assert isinstance(recorder.end, Ended)
    assert 1_000_000 <= recorder.end.t < 6_000_000


# --- EventSource ------------------------------------------------------------------------------------------------------


def test_a_plain_source_without_reconnects_ends_well(runtime):
    """Its protocol knows no terminal."""
    recorder, _ = ask(runtime, [chunked(*events(SOURCE, MESSAGES))], dialect=SOURCE)
    assert isinstance(recorder.end, Ended)


@pytest.mark.parametrize("end", [[], [RST]])
def test_a_plain_source_is_reconnected_with_the_last_id(runtime, end):
    """After a clean end and after trouble, when the server says, until 204."""
    first = events(SOURCE, (Message("one", id="ä7", retry=10), Message("two")))
    answers = (
        [chunked(*first, end=not end), *end],
        [chunked(*events(SOURCE, (Text("three"),)))],
        [status("204 Over", b"")],
    )
    recorder, server = ask(runtime, *answers, dialect=SOURCE, max_retries=5)
    assert [data for _, data, _ in recorder.events] == ["one", "two", "three"]
    assert isinstance(recorder.end, Ended)
    assert [b"last-event-id: \xc3\xa47" in request.lower() for request in server.requests] == [False, True, True]
    assert recorder.end.t < 3_000_000


def test_a_plain_source_out_of_reconnects_reports_its_last_trouble(runtime):
    """The class of what happened last."""
    answer = [chunked(*events(SOURCE, (Message("one", retry=10),)), end=False), RST]
    recorder, server = ask(runtime, answer, dialect=SOURCE, max_retries=1)
    assert recorder.classes == {"reset"}
    assert len(server.requests) == 2


def test_a_plain_source_replaces_invalid_utf8(runtime):
    """Its standard asks for U+FFFD."""
    recorder, _ = ask(runtime, [chunked(*events(SOURCE, (Raw(b"data: \xff\n\n"),)))], dialect=SOURCE)
    assert recorder.events == [("message", "\ufffd", "")]


# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        (CHAT, b"POST /v1/chat/completions HTTP/1.1"),
        (DialectName.ANTHROPIC_MESSAGES, b"POST /v1/messages HTTP/1.1"),
        (SOURCE, b"GET /events HTTP/1.1"),
    ],
)
def test_the_request_is_what_the_dialect_asks(runtime, dialect, line):
    """Path, key, and what is accepted."""
    answer = chunked(*events(dialect, MESSAGES if dialect is SOURCE else WHOLE))
    _, server = ask(runtime, [answer], dialect=dialect)
    assert server.requests[0].startswith(line)
    assert b"accept: text/event-stream" in server.requests[0].lower()
    assert (b"sk-testbed" in server.requests[0]) == (dialect is not SOURCE)


def test_every_status_has_an_error(runtime):
    """The table, and what falls out of it."""
    del runtime
    assert type(errors.http_error(418, None)) is errors.HttpError
    assert type(errors.http_error(507, None)) is errors.ServerFault
    assert str(errors.http_error(503, "overloaded")) == "HTTP status 503 (overloaded)"
