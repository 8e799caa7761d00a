"""The plan that shows each planted defect and nothing else, on every engine. None takes a right client longer than 3 s.

No gap lies within half a second of a time-out, so that a loaded machine cannot turn one verdict into another. The
texts differ from each other, so that what was lost, doubled or moved can be told.
"""

from __future__ import annotations

from testbed.dialects import DIALECTS
from testbed.faults.toxics import ResetAfter, ResetAfterAttributes
from testbed.plan import Attempt, Certificate, ClientSettings, Plan, Tls
from testbed.program import layout
from testbed.script import (
    Body,
    Comment,
    ContentFault,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Framing,
    Head,
    Interim,
    Open,
    Pause,
    Quirk,
    Raw,
    Script,
    SplitEvery,
    Step,
    Text,
)

DIALECT = DialectName.OPENAI_CHAT
ALPHA, BETA, GAMMA = Text("alpha "), Text("beta "), Text("gamma")
WHOLE: tuple[Step, ...] = (Head(), Open(), ALPHA, BETA, GAMMA, Finish(), Done())


def _script(
    *steps: Step,
    faults: tuple[ContentFault, ...] = (),
    quirks: tuple[Quirk, ...] = (),
    dialect: DialectName = DIALECT,
) -> Script:
    return Script(dialect=dialect, steps=steps, faults=faults, quirks=quirks)


def _status(status: int, *headers: tuple[str, str]) -> Script:
    body = DIALECTS[DIALECT].error_body(status, "", "the server says no")
    head = Head(status=status, content_type="application/json", headers=headers, framing=Framing.LENGTH)
    return _script(head, Body(body))


def _plan(title: str, *scripts: Script | Attempt, client: ClientSettings | None = None) -> Plan:
    return Plan(
        scenario="toy",
        title=title,
        attempts=tuple(one if isinstance(one, Attempt) else Attempt(script=one) for one in scripts),
        client=client or ClientSettings(),
    )


def whole() -> Plan:
    """Nothing is wrong."""
    return _plan("a whole answer", _script(*WHOLE))


def cut_before_terminal() -> Plan:
    """The body ends well, the answer does not."""
    return _plan("a clean end before the terminal", _script(Head(), Open(), ALPHA, BETA))


def byte_at_a_time() -> Plan:
    """Each byte is a chunk of its own, those of one character too."""
    texts = (Text("naïve "), Text("日本語 "), Text("😀👍🏽"))
    steps = (Head(), Open(), *texts, Finish(), Done())
    return _plan("byte by byte", _script(*steps, faults=(SplitEvery(1),)))


def _reset_after_beta() -> Attempt:
    """The whole answer, of which two tokens pass before an RST: a toxic, because not every engine hands an RST on."""
    script = _script(*WHOLE)
    passed = max(event.wire[1] for event in layout(script).events if script.steps[event.step] is BETA)
    return Attempt(script=script, toxics=(ResetAfter(attributes=ResetAfterAttributes(bytes=passed)),))


def reset_mid_stream() -> Plan:
    """A reset after two tokens."""
    return _plan("a reset in the middle", _reset_after_beta())


def reset_then_whole() -> Plan:
    """A reset after two tokens; whoever asks again gets everything."""
    whole_answer = _script(*WHOLE)
    return _plan(
        "a reset, then a whole answer", _reset_after_beta(), whole_answer, client=ClientSettings(max_retries=1)
    )


def open_after_done() -> Plan:
    """Everything was said, and the server keeps the connection open."""
    script = _script(*WHOLE, End(Ending.OPEN))
    return _plan("no farewell after the terminal", script, client=ClientSettings(idle_timeout=0.6))


def stalled() -> Plan:
    """One token, and then silence for ever."""
    script = _script(Head(), Open(), ALPHA, End(Ending.OPEN))
    return _plan("a stall without end", script, client=ClientSettings(idle_timeout=0.6))


def slow_and_steady() -> Plan:
    """Longer than the idle time-out in all, but never silent for half as long."""
    tokens: tuple[Step, ...] = (ALPHA, BETA, GAMMA, Text(" delta"), Text(" epsilon"), Text(" zeta"))
    steps = [step for token in tokens for step in (token, Pause(0.35))]
    script = _script(Head(), Open(), *steps, Finish(), Done())
    return _plan("slow and steady", script, client=ClientSettings(idle_timeout=1.6))


def unauthorized() -> Plan:
    """401, with retries allowed."""
    return _plan("a wrong key", _status(401), client=ClientSettings(max_retries=2))


def overloaded() -> Plan:
    """503 for ever, with two retries allowed."""
    return _plan("an overload", _status(503), client=ClientSettings(max_retries=2))


def server_fault() -> Plan:
    """500, and no retry."""
    return _plan("a server error", _status(500))


def rate_limited() -> Plan:
    """429 with a Retry-After that is far from anybody's own back-off; then a whole answer."""
    limited = _status(429, ("Retry-After", "2"))
    return _plan("a rate limit", limited, _script(*WHOLE), client=ClientSettings(max_retries=1))


def cancelled() -> Plan:
    """The caller loses interest while the server is silent."""
    script = _script(Head(), Open(), ALPHA, End(Ending.OPEN))
    return _plan("a cancelled call", script, client=ClientSettings(cancel_at=0.5))


def fast_server() -> Plan:
    """Far more than anybody reads: the caller takes its time, and then loses interest."""
    steps = (Head(), Open(), *[Text("a fast server ", times=20_000)] * 190, Finish(), Done())
    return _plan("a fast server", _script(*steps), client=ClientSettings(pace=1.5, cancel_at=4.0))


def endless_event() -> Plan:
    """One event of 60 MiB, to a client that was told to hold 64 KiB of one."""
    line = (Raw(b"data: "), Raw(b"no line has an end here; " * 41, times=60_000))
    script = _script(Head(framing=Framing.CLOSE), Open(), *line, End(Ending.CLEAN))
    return _plan("an endless event", script, client=ClientSettings(max_event_bytes=65_536))


def commented() -> Plan:
    """A comment between two tokens."""
    return _plan("a comment", _script(Head(), Open(), ALPHA, Comment("keep-alive"), BETA, GAMMA, Finish(), Done()))


def marked() -> Plan:
    """A byte order mark before the first event."""
    script = _script(Head(), ALPHA, BETA, GAMMA, quirks=(Quirk.BOM,), dialect=DialectName.EVENTSOURCE)
    return _plan("a byte order mark", script)


def several_choices() -> Plan:
    """Two answers to one question, of which a caller is taken to show the first."""
    other = (Text("other ", choice=1), Text("words", choice=1), Finish(choice=1))
    return _plan("two choices", _script(Head(), Open(), ALPHA, *other, BETA, GAMMA, Finish(), Done()))


def hinted() -> Plan:
    """An interim head, and a while later the one of the answer."""
    return _plan("early hints", _script(Interim(103), Pause(0.3), *WHOLE))


def cut_where_closed() -> Plan:
    """The connection alone ends the body, and it ends too early."""
    return _plan("closed before the terminal", _script(Head(framing=Framing.CLOSE), Open(), ALPHA, BETA))


def expired() -> Plan:
    """A certificate of yesterday."""
    return _plan("an expired certificate", Attempt(script=_script(*WHOLE), tls=Tls(certificate=Certificate.EXPIRED)))


def sealed() -> Plan:
    """Nothing is wrong, and all of it is sealed."""
    return _plan("a sealed answer", Attempt(script=_script(*WHOLE), tls=Tls()))


def sealed_and_cut() -> Plan:
    """A sealed body that the connection alone ends, and that ends without close_notify."""
    script = _script(Head(framing=Framing.CLOSE), Open(), ALPHA, BETA, GAMMA, End(Ending.FIN))
    return _plan("cut under its seal", Attempt(script=script, tls=Tls()))
