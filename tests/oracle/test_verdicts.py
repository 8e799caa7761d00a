"""From checks to one verdict: what cannot be judged, what was not asked, what is tolerated, what is narrowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed.dialects import DIALECTS
from testbed.faults.toxics import (
    Latency,
    LatencyAttributes,
    Noop,
    PacketLoss,
    ResetAfter,
    ResetAfterAttributes,
)
from testbed.oracle import Verdict, judge
from testbed.program import layout
from testbed.script import Body, Done, End, Ending, Finish, Framing, Head, Message, Open, Pause, Raw, Replace, Text
from testbed.trace import ERROR_CLASSES, Cancelled, Clock, Late, Option, Outcome, Wrapping
from testbed.trace import Failure as F
from tests.oracle.runs import ANTHROPIC, CHAT, EVENTSOURCE, STEPS, WORDS, Run, plan_of, profile, script

ONE = (Head(), Open(), Text("One "))
CUT = ResetAfter(attributes=ResetAfterAttributes(bytes=10_000))
NO_TIMEOUTS = profile(without=[Option.IDLE_TIMEOUT, Option.FIRST_BYTE_TIMEOUT])
OVERLOAD = (Head(status=503, content_type="text/plain", framing=Framing.LENGTH), Body("no"))
LONG_WAIT = (Head(status=429, headers=(("Retry-After", "90"),), framing=Framing.LENGTH), Body("no"))
ALL = tuple(sorted(ERROR_CLASSES))
VIRTUAL, REAL = Clock.VIRTUAL, Clock.REAL


def run(*scripts, clock=VIRTUAL, client=None, **plan) -> Run:  # type: ignore[no-untyped-def]
    """A run of these scripts; the usual answer without any."""
    return Run(plan_of(*(scripts or (script(),)), **plan), clock=clock, client=client)


def good(**fields) -> Run:  # type: ignore[no-untyped-def]
    """A whole answer, shown and reported as it should be."""
    return run(**fields).play().shows(*WORDS).ends(0.1)


def cut(*outcomes: Outcome, **fields) -> Run:  # type: ignore[no-untyped-def]
    """A reset after one word, reported as `outcomes`."""
    return run(script(*ONE, End(Ending.RST)), **fields).play().shows("One ").raises(*outcomes, at=0.1)


def events(*steps, client=None) -> Run:  # type: ignore[no-untyped-def]
    """A plain event stream, not yet played."""
    return Run(plan_of(script(*steps, dialect=EVENTSOURCE), max_retries=2), client=client)


def overwritten(data: bytes = b"\xff") -> Run:
    """The usual answer with the second letter of its second word overwritten."""
    start = next(one.body[0] for one in layout(script()).events if one.step == 3)
    event = DIALECTS[CHAT].encode(STEPS)[3][0]
    return run(script(*STEPS, faults=(Replace(start + event.index(b"fine") + 1, data),))).play()


CASES: list[tuple[str, Verdict, Callable[[], Run], str]] = [
    # --- ours -----------------------------------------------------------------------------------------------------
    ("no end of the client", Verdict.ERROR, lambda: run().play(), "does not say how the client ended"),
    ("a late watchdog that nothing came of", Verdict.PASS, lambda: good(clock=REAL).add(Late(5, 250_000)), ""),
    ("a watchdog later than any margin", Verdict.ERROR, lambda: good(clock=REAL).add(Late(5, 501_000)), "0.501 s late"),
    ("a late watchdog in virtual time", Verdict.PASS, lambda: good().add(Late(5, 250_000)), ""),
    (
        "a late watchdog hides no innocence",
        Verdict.ERROR,
        lambda: run(script(*ONE), clock=REAL).play().ends(0.1).add(Late(5, 250_000)),
        "too busy",
    ),
    # --- not asked ------------------------------------------------------------------------------------------------
    ("a toxic that never struck", Verdict.INCONCLUSIVE, lambda: good(toxics=(CUT,)), "reset_after of attempt 0"),
    ("a toxic that struck", Verdict.PASS, lambda: good(toxics=(CUT,)).fired(0, 0), ""),
    ("another toxic struck", Verdict.INCONCLUSIVE, lambda: good(toxics=(CUT, CUT)).fired(0, 1), "never struck"),
    ("a toxic that may miss", Verdict.PASS, lambda: good(toxics=(CUT,), may_miss=True), ""),
    (
        "a toxic of some connections",
        Verdict.PASS,
        lambda: good(toxics=(ResetAfter(toxicity=0.5, attributes=CUT.attributes),)),
        "",
    ),
    ("a toxic that does nothing", Verdict.PASS, lambda: good(toxics=(Noop(),)), ""),
    ("jitter alone", Verdict.PASS, lambda: good(toxics=(Latency(attributes=LatencyAttributes(jitter=5)),)), ""),
    (
        "latency",
        Verdict.INCONCLUSIVE,
        lambda: good(toxics=(Latency(attributes=LatencyAttributes(latency=5)),)),
        "latency",
    ),
    ("loss that lost nothing", Verdict.INCONCLUSIVE, lambda: good(toxics=(PacketLoss(),)), "packet_loss"),
    (
        "a toxic of an attempt that did not take place",
        Verdict.PASS,
        lambda: Run(plan_of(script(), script(), toxics=(CUT,))).play().fired(0, 0).shows(*WORDS).ends(0.1),
        "",
    ),
    (
        "a proven defect beside a toxic that never struck",
        Verdict.FAIL,
        lambda: run(script(*ONE), toxics=(CUT,)).play().shows("One ").ends(0.1),
        "Success",
    ),
    (
        "a request that our server refused",
        Verdict.INCONCLUSIVE,
        lambda: run().play(problem="the path is /x").shows(*WORDS).ends(0.1),
        "the path is /x",
    ),
    (
        "a client that never connected",
        Verdict.INCONCLUSIVE,
        lambda: run().raises(Outcome.CONNECT, at=0.1),
        "never used a connection",
    ),
    (
        "a plan whose expectation did not come true",
        Verdict.INCONCLUSIVE,
        lambda: cut(Outcome.RESET, expect=[Outcome.IDLE_TIMEOUT]),
        "expects idle_timeout, but the client was given reset",
    ),
    (
        "stopped while the stream still flowed",
        Verdict.INCONCLUSIVE,
        lambda: run(script(*ONE, Pause(8), Done())).play(until=6).shows("One ").cancelled(6),
        "before its time-out was over",
    ),
    (
        "no time-out in the plan",
        Verdict.INCONCLUSIVE,
        lambda: run(script(*ONE, End(Ending.OPEN)), idle_timeout=None).play(until=60).shows("One ").cancelled(60),
        "the plan sets no idle_timeout",
    ),
    (
        "stopped before it had connected",
        Verdict.INCONCLUSIVE,
        lambda: run().cancelled(60),
        "before it had used a connection",
    ),
    (
        "stopped in its back-off",
        Verdict.INCONCLUSIVE,
        lambda: run(script(*OVERLOAD), max_retries=1).play().cancelled(0.3),
        "too soon",
    ),
    # --- cannot be asked ------------------------------------------------------------------------------------------
    (
        "no way to tell the time-out",
        Verdict.UNSUPPORTED,
        lambda: run(script(*ONE, End(Ending.OPEN)), client=NO_TIMEOUTS).play(until=60).shows("One ").cancelled(60),
        "takes no idle_timeout",
    ),
    (
        "no way to tell the retries",
        Verdict.UNSUPPORTED,
        lambda: (
            run(script(*OVERLOAD), script(), max_retries=1, client=profile(without=[Option.MAX_RETRIES]))
            .play()
            .raises(Outcome.OVERLOADED, at=0.1)
        ),
        "takes no max_retries",
    ),
    (
        "a defect all the same",
        Verdict.FAIL,
        lambda: run(script(*ONE), client=profile(without=[Option.MAX_RETRIES])).play().shows("One ").ends(0.1),
        "Success",
    ),
    # --- sets of classes ------------------------------------------------------------------------------------------
    ("the cause alone", Verdict.PASS, lambda: cut(Outcome.RESET), ""),
    ("the cause among others", Verdict.PASS, lambda: cut(Outcome.CONNECT, Outcome.RESET, Outcome.INCOMPLETE), ""),
    ("every cause there is", Verdict.LENIENT, lambda: cut(*ALL), "19 different causes"),
    ("under the base, but mapped to nothing", Verdict.LENIENT, cut, "different causes"),
    (
        "only what is tolerated",
        Verdict.LENIENT,
        lambda: run(script(*ONE, End(Ending.FIN))).play().shows("One ").raises(Outcome.PROTOCOL, at=0.1),
        "protocol is tolerated after fin-in-body",
    ),
    # --- narrowing ------------------------------------------------------------------------------------------------
    ("narrowed to what came", Verdict.PASS, lambda: cut(Outcome.RESET, expect=[Outcome.RESET]), ""),
    (
        "a tolerated outcome that the plan wants",
        Verdict.PASS,
        lambda: (
            run(script(*ONE, End(Ending.FIN)), expect=[Outcome.PROTOCOL])
            .play()
            .shows("One ")
            .raises(Outcome.PROTOCOL, at=0.1)
        ),
        "",
    ),
    (
        "a right outcome that the plan does not want",
        Verdict.FAIL,
        lambda: (
            run(script(*ONE, End(Ending.FIN)), expect=[Outcome.PROTOCOL])
            .play()
            .shows("One ")
            .raises(Outcome.INCOMPLETE, at=0.1)
        ),
        "says incomplete",
    ),
    (
        "success that the plan does not want",
        Verdict.FAIL,
        lambda: (
            run(script(*ONE, Finish(), dialect=ANTHROPIC), expect=[Outcome.INCOMPLETE]).play().shows("One ").ends(0.1)
        ),
        "Success",
    ),
    (
        "an expectation cannot make wrong right",
        Verdict.FAIL,
        lambda: cut(Outcome.DECODE, expect=[Outcome.DECODE]),
        "decode",
    ),
    # --- retries --------------------------------------------------------------------------------------------------
    (
        "the first trouble of several",
        Verdict.LENIENT,
        lambda: (
            run(script(*OVERLOAD), script(), max_retries=1)
            .play()
            .play(at=1, only=0, end=Ending.RST)
            .raises(Outcome.OVERLOADED, at=1.1, status=503)
        ),
        "tolerated",
    ),
    (
        "no retry although told to",
        Verdict.LENIENT,
        lambda: run(script(*OVERLOAD), script(), max_retries=1).play().raises(Outcome.OVERLOADED, at=0.1),
        "told to retry",
    ),
    (
        "no retry of a wait that is too long",
        Verdict.PASS,
        lambda: run(script(*LONG_WAIT), script(), max_retries=1).play().raises(Outcome.RATE_LIMITED, at=0.1),
        "",
    ),
    (
        "one hasty retry",
        Verdict.LENIENT,
        lambda: run(script(*OVERLOAD), script(), max_retries=1).play().play(at=0.01).shows(*WORDS, at=0.01).ends(0.1),
        "without back-off",
    ),
    (
        "a connection that was opened ahead and never used",
        Verdict.PASS,
        lambda: run(max_retries=0).play().play(asks=False, only=0).leave(1, 0.05).shows(*WORDS).ends(0.1),
        "",
    ),
    (
        "all in the same microsecond",
        Verdict.FAIL,
        lambda: (
            run(script(*ONE, End(Ending.RST)), script(), max_retries=1)
            .play()
            .shows("One ")
            .play()
            .shows(*WORDS[1:])
            .ends()
        ),
        "sent again after 4 characters",
    ),
    # --- the end of a stream --------------------------------------------------------------------------------------
    (
        "complete only when the connection ended",
        Verdict.LENIENT,
        lambda: run(script(*STEPS, Pause(5))).play().shows(*WORDS).ends(5.1),
        "after the terminal event",
    ),
    (
        "complete as soon as a slow answer ends",
        Verdict.PASS,
        lambda: run(script(*ONE, Pause(8), Done())).play().shows("One ").ends(8.01),
        "",
    ),
    (
        "a sentinel without a finish reason",
        Verdict.PASS,
        lambda: run(script(*ONE, Done())).play().shows("One ").ends(0.1),
        "",
    ),
    (
        "a sentinel in raw bytes",
        Verdict.PASS,
        lambda: run(script(*ONE, Raw(b"data:[DONE]\n\n"))).play().shows("One ").ends(0.1),
        "",
    ),
    (
        "a raw comment is nothing",
        Verdict.PASS,
        lambda: run(script(*ONE, Raw(b": hello\n\n"), Done())).play().shows("One ").ends(0.1),
        "",
    ),
    (
        "cancelled as planned",
        Verdict.PASS,
        lambda: (
            run(script(*ONE, Pause(50)), cancel_at=2.0).play(until=2).shows("One ").cancelled(2, planned=True).closed(3)
        ),
        "",
    ),
    # --- plain event streams --------------------------------------------------------------------------------------
    (
        "an id that was seen before may be left out",
        Verdict.PASS,
        lambda: (
            events(Head(), Message("a", id="1"), client=profile(reconnects=True))
            .play()
            .shows_event("a", id="1")
            .play(at=3)
            .cancelled(4)
        ),
        "",
    ),
    (
        "an event stream as text",
        Verdict.PASS,
        lambda: events(Head(), Message("a"), Message("b")).play().shows("ab").ends(0.1),
        "",
    ),
    (
        "line ends of an event arrive as LF",
        Verdict.PASS,
        lambda: events(Head(), Message("a\r\nb\rc")).play().shows_event("a\nb\nc").ends(0.1),
        "",
    ),
    (
        "an id that is not the event's",
        Verdict.FAIL,
        lambda: events(Head(), Message("a", id="1")).play().shows_event("a", id="2").ends(0.1),
        "differs",
    ),
    (
        "an id that stays",
        Verdict.PASS,
        lambda: (
            events(Head(), Message("a", id="1"), Message("b"))
            .play()
            .shows_event("a", id="1")
            .shows_event("b", id="1")
            .ends(0.1)
        ),
        "",
    ),
    (
        "a raw event of a plain stream",
        Verdict.PASS,
        lambda: events(Head(), Raw(b"event: tick\ndata: 1\n\n")).play().shows_event("1", type="tick").ends(0.1),
        "",
    ),
    (
        "the last event of a plain stream never shown",
        Verdict.FAIL,
        lambda: events(Head(), Message("a"), Message("b")).play().shows_event("a").ends(0.1),
        "never shown",
    ),
    (
        "an event that raw bytes run into",
        Verdict.PASS,
        lambda: (
            events(Head(), Message("a"), Raw(b"data: x\n"), Message("b"))
            .play()
            .shows_event("a")
            .shows_event("x\nb")
            .ends(0.1)
        ),
        "",
    ),
    (
        "an event that is spread over raw steps",
        Verdict.PASS,
        lambda: (
            events(Head(), Text("a"), Raw(b"da"), Pause(1), Raw(b"ta: x\n\n"), Pause(1), Raw(b": bye\n"))
            .play()
            .shows_event("a")
            .shows_event("x", at=1)
            .ends(2.1)
        ),
        "",
    ),
    (
        "an event stream that asks its client to hurry",
        Verdict.PASS,
        lambda: (
            events(Head(), Message("a", retry=5), client=profile(reconnects=True))
            .play()
            .shows_event("a")
            .play(at=0.005)
            .shows_event("a", at=0.005)
            .play(at=0.01)
            .shows_event("a", at=0.01)
            .ends(0.011)
        ),
        "",
    ),
    # --- contents -------------------------------------------------------------------------------------------------
    (
        "a wrong content type around a good stream",
        Verdict.LENIENT,
        lambda: run(script(Head(content_type="text/plain"), *STEPS[1:])).play().shows(*WORDS).ends(0.1),
        "tolerated",
    ),
    (
        "a wrong content type refused",
        Verdict.PASS,
        lambda: run(script(Head(content_type="text/plain"), *STEPS[1:])).play().raises(Outcome.PROTOCOL, at=0.1),
        "",
    ),
    (
        "a coding that is not there",
        Verdict.PASS,
        lambda: (
            run(script(Head(headers=(("Content-Encoding", "gzip"),)), *STEPS[1:])).play().raises(Outcome.DECODE, at=0.1)
        ),
        "",
    ),
    (
        "a raw event that may mean anything, taken well",
        Verdict.PASS,
        lambda: run(script(*ONE, Raw(b'data: {"x":1}\n\n'), Done())).play().shows("One ", "and more").ends(0.1),
        "",
    ),
    (
        "a raw event that may mean anything, refused",
        Verdict.LENIENT,
        lambda: (
            run(script(*ONE, Raw(b'data: {"x":1}\n\n'), Done())).play().shows("One ").raises(Outcome.DECODE, at=0.1)
        ),
        "decode is tolerated",
    ),
    (
        "success that the plan cannot have meant",
        Verdict.INCONCLUSIVE,
        lambda: good(expect=[Outcome.RESET]),
        "the plan expects reset, but the client was given whole",
    ),
    (
        "an error in the middle of an overwritten word",
        Verdict.PASS,
        lambda: overwritten().shows("One ", "f").raises(Outcome.DECODE, at=0.1),
        "",
    ),
    (
        "U+FFFD in a place where nothing was overwritten",
        Verdict.FAIL,
        lambda: overwritten().shows("One ", "fine ", "d\ufffdy", ".").ends(0.1),
        "differs",
    ),
    (
        "the rest of the answer missing behind overwritten bytes",
        Verdict.FAIL,
        lambda: overwritten().shows("One ", "f\ufffdne ", "day").ends(0.1),
        "differs",
    ),
    (
        "overwritten bytes that can be read",
        Verdict.LENIENT,
        lambda: overwritten(b"u").shows("One ", "fune ", "day", ".").ends(0.1),
        "success is tolerated",
    ),
    (
        "another answer after a retry",
        Verdict.FAIL,
        lambda: (
            run(script(*ONE, End(Ending.RST)), script(Head(), Open(), Text("Two"), Finish(), Done()), max_retries=1)
            .play()
            .shows("One ")
            .play(at=1)
            .shows("Two", at=1)
            .ends(1.1)
        ),
        "sent again after 4 characters",
    ),
    (
        "a status that ends the stream for good",
        Verdict.PASS,
        lambda: events(Head(status=204), client=profile(reconnects=True)).play().ends(0.1),
        "",
    ),
]


@pytest.mark.parametrize(("name", "verdict", "build", "reason"), CASES, ids=[case[0] for case in CASES])
def test_the_verdict_and_its_reason(name: str, verdict: Verdict, build: Callable[[], Run], reason: str) -> None:
    """Each run has its verdict, and a reason that says why."""
    made = build()
    judgement = judge(made.plan, made.trace())
    assert judgement.verdict is verdict, (name, judgement)
    assert reason in judgement.reason
    assert bool(judgement.reason) is (verdict is not Verdict.PASS)


def test_what_cannot_be_checked_is_named() -> None:
    """A check that this client gives no handle for is listed, and is no finding."""
    made = run(script(*ONE, Finish("length"), Done())).play().shows("One ").ends(0.1)
    assert judge(made.plan, made.trace()).unchecked == ("the finish reason: the adapter shows none",)


def test_an_untold_time_out_is_not_judged() -> None:
    """When a client gives up by a time-out of its own is its own affair."""
    made = run(script(*ONE, Pause(3), Done()), client=NO_TIMEOUTS, idle_timeout=30.0)
    made.play(until=1).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=1)
    judgement = judge(made.plan, made.trace())
    assert judgement.verdict is Verdict.PASS
    assert judgement.unchecked == ("when idle_timeout is raised: the client was told none",)


def test_a_wrapped_error_is_judged_by_its_classes_alone() -> None:
    """An exception under the library's base that is mapped to nothing is no excuse where no error is right."""
    wrong = run().play().shows(*WORDS).raises(at=0.1, wrapping=Wrapping.BASE)
    assert [one.failure for one in judge(wrong.plan, wrong.trace()).findings] == [F.FALSE_FAILURE]


def test_the_first_word_of_the_client_counts() -> None:
    """A cancellation that is recorded after the client's own end changes nothing."""
    made = good().add(Cancelled(200_000, planned=False))
    assert judge(made.plan, made.trace()).verdict is Verdict.PASS


def test_an_untold_time_out_before_the_first_token_is_not_judged() -> None:
    """The same before the answer has begun."""
    made = run(script(Pause(3), *STEPS), client=NO_TIMEOUTS, idle_timeout=30.0).play(until=1)
    judgement = judge(made.plan, made.raises(Outcome.FIRST_BYTE_TIMEOUT, at=1).trace())
    assert judgement.verdict is Verdict.PASS
    assert judgement.unchecked == ("when first_byte_timeout is raised: the client was told none",)


def test_evidence_of_a_long_text_is_short() -> None:
    """Both ends of a long text are quoted, and no line grows with it."""
    words = tuple(f"word {number} " for number in range(2000))
    made = run(script(Head(), Open(), *map(Text, words), Finish(), Done())).play().shows(*words[:-1], "x").ends(0.1)
    (finding,) = judge(made.plan, made.trace()).findings
    assert all(len(line) <= 300 for line in finding.evidence)
    assert any("word 0 " in line and " … " in line for line in finding.evidence)


def test_evidence_of_many_attempts_is_short() -> None:
    """A storm of a hundred requests is a handful of lines."""
    made = run(script(*OVERLOAD), max_retries=1)
    for number in range(100):
        made.play(at=number * 10.0)
    judgement = judge(made.plan, made.raises(Outcome.OVERLOADED, at=995.0).trace())
    assert [finding.failure for finding in judgement.findings] == [F.RETRY_STORM]
    assert len(judgement.findings[0].evidence) < 10
    assert judgement.findings[0].evidence[0] == "97 earlier connections are left out"


def test_an_overwritten_byte_of_a_plain_stream_read_as_text() -> None:
    """U+FFFD is what the standard demands there, also from a client that shows text."""
    steps = (Head(), Message("One"), Message("fine"))
    start = layout(script(*steps, dialect=EVENTSOURCE)).events[1].body[0]
    answer = script(*steps, dialect=EVENTSOURCE, faults=(Replace(start + len("data: f"), b"\xff"),))
    made = run(answer).play().shows("Onef\ufffdne").ends(0.1)
    assert judge(made.plan, made.trace()).verdict is Verdict.PASS
