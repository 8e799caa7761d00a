"""For every kind of the table a run that gives a client just that, and the table once more in plain letters.

The copy is on purpose: a row that is changed without being meant to differs from it, and a test fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from testbed.oracle.rows import GivenKind as K
from testbed.plan import Certificate, Handshake, Tls
from testbed.program import Write, compile_script, layout
from testbed.script import (
    Body,
    ChunkLine,
    CutBody,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Framing,
    Head,
    HeadEnds,
    Message,
    Open,
    Pause,
    Raw,
    Replace,
    Script,
    Text,
)
from testbed.trace import Opened, Outcome
from tests.oracle.runs import ANTHROPIC, EVENTS, EVENTSOURCE, HANDSHAKE, STEPS, Run, Wire, plan_of, profile, script

ONE = (Head(), Open(), Text("One "))
LONG = Pause(100)
TIMEOUT = 10.0  # what the plans of these runs tell the client


def head_size(answer: Script) -> int:
    """The wire bytes of a script's head."""
    return layout(answer).head


def _run(answer: Script, **play) -> Run:  # type: ignore[no-untyped-def]
    return Run(plan_of(answer)).play(**play)


def _in_head(end: Ending | None) -> Run:
    return _run(script(), only=40, end=end)


def _status(status: int) -> Run:
    head = Head(status=status, content_type="application/json", framing=Framing.LENGTH)
    return _run(script(head, Body('{"error": {}}')))


def _cut(at: int, *steps, **fields) -> Run:  # type: ignore[no-untyped-def]
    """The body ends cleanly `at` bytes before its end."""
    size = layout(script(*steps, **fields)).body
    return _run(script(*steps, faults=(CutBody(size - at),), **fields))


def _events(*steps, reconnects: bool = False, **play) -> Run:  # type: ignore[no-untyped-def]
    plan = plan_of(script(*steps, dialect=EVENTSOURCE), max_retries=2 * reconnects)
    run = Run(plan, client=profile(reconnects=reconnects))
    return run.play(**play)


def _replaced(data: bytes, dialect=None) -> Run:  # type: ignore[no-untyped-def]
    """The second word's bytes are overwritten, in the middle of the word."""
    answer = script() if dialect is None else script(dialect=dialect)
    writes = (one for one in compile_script(answer) if isinstance(one, Write))
    write = next(one for one in writes if b"fine" in one.data)
    at = write.body[0] + write.data[write.payload[0] :].index(b"fine") + 1
    return _run(Script(answer.dialect, answer.steps, (Replace(at, data),)))


def _conflict() -> Run:
    """The head that the server would write cannot be said in a script, so the plan is changed after the fact."""
    run = _run(script(*ONE, End(Ending.FIN)))
    said = (Head(headers=(("Content-Length", "5"),)), *ONE[1:], End(Ending.FIN))
    run.plan = plan_of(script(*said))
    return run


def _handshake(tls: Tls, *, presented: int = 0, end: Ending | None = None, until: float | None = None) -> Run:
    """A connection that never comes to a request."""
    run = Run(plan_of(script(), tls=tls, connect_timeout=TIMEOUT))
    run.wires.append(Wire())
    run.add(Opened(0, 0)).shakes_hands(0, presented=presented, problem="it failed")
    if end is not None:
        run._end(0, end, 0.0)
    if until is not None:
        run.leave(0, until)
    return run


def _truncated() -> Run:
    """A sealed body without a length, and a FIN that anybody can have forged."""
    steps = (Head(framing=Framing.CLOSE), *ONE[1:], End(Ending.FIN))
    return Run(plan_of(script(*steps), tls=Tls())).play()


# Each run up to the point where the client must make up its mind.
RUNS: Mapping[K, Callable[[], Run]] = {
    K.REFUSED: lambda: Run(plan_of(script(), expect=[Outcome.CONNECT])),
    K.SILENT_BEFORE_HEAD: lambda: _run(script(LONG, *STEPS), until=TIMEOUT),
    K.SILENT_BEFORE_TOKEN: lambda: _run(script(Head(), Open(), LONG, Text("One ")), until=TIMEOUT),
    K.SILENT_MID_STREAM: lambda: _run(script(*ONE, LONG, Done()), until=TIMEOUT),
    K.SILENT_AFTER_FINISH: lambda: _run(script(*ONE, Finish(), LONG, Done()), until=TIMEOUT),
    K.RESET_BEFORE_ANSWER: lambda: _run(script(), only=0, end=Ending.RST),
    K.RESET: lambda: _run(script(*ONE, End(Ending.RST))),
    K.RESET_AFTER_FINISH: lambda: _run(script(*ONE, Finish(), Pause(1), End(Ending.RST))),
    K.ENDING_MAYBE_LOST: lambda: _run(script(*STEPS, End(Ending.ABORT))),
    K.SILENT_HANDSHAKE: lambda: _handshake(Tls(handshake=Handshake.SILENCE), until=TIMEOUT),
    K.HANDSHAKE_FAILED: lambda: _handshake(Tls(handshake=Handshake.ALERT), end=Ending.FIN),
    K.BAD_CERTIFICATE: lambda: _handshake(Tls(certificate=Certificate.EXPIRED), presented=HANDSHAKE),
    K.SEALED_TRUNCATION: _truncated,
    K.FIN_BEFORE_ANSWER: lambda: _run(script(), only=0, end=Ending.FIN),
    K.FIN_IN_HEAD: lambda: _in_head(Ending.FIN),
    K.FIN_IN_BODY: lambda: _run(script(*ONE, End(Ending.FIN))),
    K.FIN_AFTER_FINISH: lambda: _run(script(*ONE, Finish(), End(Ending.FIN))),
    K.CLEAN_BEFORE_TERMINAL: lambda: _run(script(*ONE)),
    K.CLEAN_INSIDE_EVENT: lambda: _cut(20, *ONE, Text("two")),
    K.CLEAN_AFTER_FINISH: lambda: _run(script(*ONE, Finish())),
    K.CLEAN_BEFORE_MESSAGE_STOP: lambda: _run(script(*ONE, Finish(), dialect=ANTHROPIC)),
    K.CLEAN_INSIDE_DONE: lambda: _cut(5, *STEPS),
    K.WHOLE: lambda: _run(script()),
    K.PROVIDER_ERROR: lambda: _run(script(*ONE, Failure("overloaded"))),
    K.PROVIDER_ERROR_AFTER_FINISH: lambda: _run(script(*ONE, Finish(), Failure("overloaded"))),
    K.NOT_A_STREAM: lambda: _run(script(Head(content_type="text/html"), Body("<html>"))),
    K.WRONG_CONTENT_TYPE: lambda: _run(script(Head(content_type="text/plain"), *EVENTS[1:], dialect=EVENTSOURCE)),
    K.FRAMING_CONFLICT: _conflict,
    K.BROKEN_HEAD: lambda: _run(script(*STEPS, faults=(HeadEnds("\n"),))),
    K.BROKEN_FRAMING: lambda: _run(script(*STEPS, faults=(ChunkLine("xyz", chunk=1),))),
    K.BROKEN_UTF8: lambda: _replaced(b"\xff"),
    K.BROKEN_UTF8_EVENTSOURCE: lambda: _replaced(b"\xff", EVENTSOURCE),
    K.BROKEN_CONTENT: lambda: _run(script(*ONE, Raw(b"data: {not json\n\n"), Done())),
    K.EVENTSOURCE_END: lambda: _events(*EVENTS),
    K.EVENTSOURCE_RECONNECT: lambda: _events(*EVENTS, reconnects=True),
    K.EVENTSOURCE_NO_CONTENT: lambda: _events(Head(status=204)),
    K.NO_CONTENT: lambda: _run(script(Head(status=204))),
    K.STATUS_BAD_REQUEST: lambda: _status(422),
    K.STATUS_UNAUTHORIZED: lambda: _status(401),
    K.STATUS_PERMISSION_DENIED: lambda: _status(403),
    K.STATUS_NOT_FOUND: lambda: _status(404),
    K.STATUS_TIMEOUT: lambda: _status(504),
    K.STATUS_CONFLICT: lambda: _status(409),
    K.STATUS_TOO_LARGE: lambda: _status(413),
    K.STATUS_RATE_LIMITED: lambda: _status(429),
    K.STATUS_OVERLOADED: lambda: _status(529),
    K.STATUS_SERVER_ERROR: lambda: _status(500),
    K.STATUS_CLIENT_ERROR: lambda: _status(418),
    K.STATUS_UNEXPECTED: lambda: _status(302),
}

# Kind: what is preferred, and what is tolerated.
ROWS: Mapping[K, tuple[str, str]] = {
    K.REFUSED: ("connect", ""),
    K.SILENT_BEFORE_HEAD: ("first_byte_timeout", ""),
    K.SILENT_BEFORE_TOKEN: ("first_byte_timeout", "idle_timeout"),
    K.SILENT_MID_STREAM: ("idle_timeout", ""),
    K.SILENT_AFTER_FINISH: ("complete", "idle_timeout"),
    K.RESET_BEFORE_ANSWER: ("reset", "connect incomplete"),
    K.RESET: ("reset", ""),
    K.RESET_AFTER_FINISH: ("complete", "reset"),
    K.ENDING_MAYBE_LOST: ("complete reset", ""),
    K.SILENT_HANDSHAKE: ("connect", "first_byte_timeout"),
    K.HANDSHAKE_FAILED: ("connect", "protocol reset incomplete"),
    K.BAD_CERTIFICATE: ("connect", "protocol"),
    K.SEALED_TRUNCATION: ("incomplete", "protocol reset"),
    K.FIN_BEFORE_ANSWER: ("connect reset incomplete", ""),
    K.FIN_IN_HEAD: ("incomplete", "protocol reset"),
    K.FIN_IN_BODY: ("incomplete", "protocol reset"),
    K.FIN_AFTER_FINISH: ("complete", "incomplete protocol reset"),
    K.CLEAN_BEFORE_TERMINAL: ("incomplete", ""),
    K.CLEAN_INSIDE_EVENT: ("incomplete", "decode protocol"),
    K.CLEAN_AFTER_FINISH: ("complete", ""),
    K.CLEAN_BEFORE_MESSAGE_STOP: ("complete", "incomplete"),
    K.CLEAN_INSIDE_DONE: ("complete", "incomplete decode protocol"),
    K.WHOLE: ("complete", ""),
    K.PROVIDER_ERROR: ("provider", "overloaded rate_limited quota_exhausted server_error"),
    K.PROVIDER_ERROR_AFTER_FINISH: (
        "provider",
        "complete overloaded rate_limited quota_exhausted server_error",
    ),
    K.NOT_A_STREAM: ("protocol", "decode http_status"),
    K.WRONG_CONTENT_TYPE: ("protocol http_status", "decode"),
    K.FRAMING_CONFLICT: ("protocol", "decode incomplete"),
    K.BROKEN_HEAD: (
        "protocol",
        "decode incomplete reset connect http_status server_error first_byte_timeout idle_timeout",
    ),
    K.BROKEN_FRAMING: ("protocol", "decode incomplete reset idle_timeout"),
    K.BROKEN_UTF8: ("decode protocol", ""),
    K.BROKEN_UTF8_EVENTSOURCE: ("complete reconnect", "decode protocol incomplete"),
    K.BROKEN_CONTENT: ("decode protocol", ""),
    K.EVENTSOURCE_END: ("complete reconnect", "incomplete"),
    K.EVENTSOURCE_RECONNECT: ("reconnect", "incomplete"),
    K.EVENTSOURCE_NO_CONTENT: ("complete", "http_status"),
    K.NO_CONTENT: ("incomplete protocol http_status", "decode"),
    K.STATUS_BAD_REQUEST: ("bad_request http_status", ""),
    K.STATUS_UNAUTHORIZED: ("unauthorized http_status", ""),
    K.STATUS_PERMISSION_DENIED: ("permission_denied http_status", ""),
    K.STATUS_NOT_FOUND: ("not_found http_status", ""),
    K.STATUS_TIMEOUT: ("http_status", "server_error"),
    K.STATUS_CONFLICT: ("conflict http_status", ""),
    K.STATUS_TOO_LARGE: ("too_large http_status", "bad_request"),
    K.STATUS_RATE_LIMITED: ("rate_limited quota_exhausted http_status", ""),
    K.STATUS_OVERLOADED: ("overloaded http_status", "server_error"),
    K.STATUS_SERVER_ERROR: ("server_error http_status", ""),
    K.STATUS_CLIENT_ERROR: ("http_status", "bad_request"),
    K.STATUS_UNEXPECTED: ("http_status", "protocol"),
}

# What is as true of the run above as its kind, and tolerated with it.
ALSO: Mapping[K, str] = {
    K.FRAMING_CONFLICT: "reset",  # the FIN that ends its body
    # A parser that takes them all the same has the whole stream.
    K.BROKEN_HEAD: "complete",
    K.BROKEN_FRAMING: "complete",
    K.BROKEN_UTF8: "complete",
    K.BROKEN_CONTENT: "complete",
}


def outcomes(names: str) -> frozenset[Outcome]:
    """The outcomes that a cell names."""
    return frozenset(map(Outcome, names.split()))


__all__ = ["ALSO", "ROWS", "RUNS", "TIMEOUT", "Message", "outcomes"]
