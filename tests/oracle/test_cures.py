"""Each cure that clients claim: a run by hand that proves it, one that disproves it, and what that one finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from testbed.oracle import Proof, Verdict, judge
from testbed.oracle.checks.waits import Pause as Waited
from testbed.oracle.checks.waits import growth
from testbed.oracle.cures import CURES, Shown, in_words, together
from testbed.plan import Attempt, ClientSettings, Expect, Plan
from testbed.ports import Recorder
from testbed.program import layout
from testbed.runner import Elsewhere
from testbed.script import (
    Arguments,
    Body,
    Done,
    End,
    Ending,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Script,
    Step,
    Text,
    ToolCall,
)
from testbed.trace import Clock, Closed, Cure, Observation, Outcome, Request, SawTool
from testbed.trace import Failure as F
from tests.oracle.runs import EVENTSOURCE, STEPS, WORDS, Run, plan_of, profile, script, us

# A date in 1970 counts from the moment of the answer.
EPOCH = "Thu, 01 Jan 1970 00:00:{:02} GMT"
SPENT = '{"error": {"message": "no", "code": "insufficient_quota"}}'
CALLING: tuple[Step, ...] = (Head(), Open(), ToolCall("look"), Arguments('{"at": '), Arguments("1}"), Finish(), Done())
NO_SENTINEL = (Head(), Open(), Text("One "), Finish())
NEITHER = (Head(), Open(), Text("One "))
OPEN_BEHIND = (*STEPS, End(Ending.OPEN))


def status(code: int, *headers: tuple[str, str], body: str = "{}") -> Script:
    """An error answer."""
    return script(Head(status=code, headers=headers, framing=Framing.LENGTH), Body(body))


def asked(*scripts: Script, client=None, clock: Clock = Clock.VIRTUAL, **plan) -> Run:  # type: ignore[no-untyped-def]
    """A run of these scripts, not yet played."""
    plan.setdefault("max_retries", 5)
    return Run(plan_of(*scripts, **plan), client=client or profile(shows_tools=True, shows_finish=True), clock=clock)


def failing(*gaps: float, max_retries: int = 5, clock: Clock = Clock.VIRTUAL) -> Run:
    """A server that is down for good, and the client's pauses."""
    run, at = asked(status(503), max_retries=max_retries, clock=clock).play(until=0.0), 0.0
    for gap in gaps:
        at += gap
        run.play(at=at, until=at)
    return run.raises(Outcome.OVERLOADED, at=at + 0.01, status=503)


def told(first: Script, wait: float, *, key: str = "", again: str = "") -> Run:
    """A refusal, and a second request that is answered."""
    run = asked(first, script()).play(until=0.0, key=key).play(at=wait, key=again or key)
    return run.shows(*WORDS, at=wait).ends(wait)


def limited(*header: str) -> Script:
    """Too many requests."""
    return status(429, (header[0], header[1]))


def metered(wait: float) -> Run:
    """A quota refuses the first request for three seconds."""
    run = asked(script())
    refused = asked(status(429)).play(until=0.0).seen[1:]
    for seen in refused:
        aside = isinstance(seen, Request)
        run.add(Request(seen.t, 0, "POST", "/", aside=True, status=429, wait=us(3)) if aside else seen)
    run.wires.append(asked(status(429)).play().wires[0])
    return run.play(at=wait, attempt=0).shows(*WORDS, at=wait).ends(wait)


def refused(code: int, *headers: tuple[str, str], body: str = "{}", again: bool = False, cures=()) -> Run:  # type: ignore[no-untyped-def]
    """A final answer, and whether the client takes it for one."""
    run = asked(status(code, *headers, body=body)).play(until=0.0)
    run.plan = Plan("by-hand", run.plan.attempts, run.plan.client, Expect(cures=cures))
    if again:
        run.play(at=1, until=1)
    return run.raises(Outcome.HTTP_STATUS, at=1.1, status=code)


def broken_off(*, again: bool) -> Run:
    """A reset after one word; the client reports it, or begins anew."""
    run = asked(script(*NEITHER, End(Ending.RST)), script()).play().shows("One ")
    if not again:
        return run.raises(Outcome.RESET, at=0.1)
    return run.play(at=1).shows(*WORDS, at=1).ends(1)


def reconnecting(*, back: bool) -> Run:
    """Two events, a clean end, and the rest for a client that says what it has."""
    steps = (Head(), Message("a", id="1"), Message("b", id="2"))
    client = profile(reconnects=True)
    run = Run(
        plan_of(script(*steps, dialect=EVENTSOURCE), script(Head(status=204), dialect=EVENTSOURCE)), client=client
    )
    run.plan = Plan("by-hand", run.plan.attempts, ClientSettings(idle_timeout=10.0, max_retries=3))
    run.play().shows_event("a", id="1").shows_event("b", id="2")
    if not back:
        return run.ends(0.1)
    return run.play(at=3, resumes="2", method="GET").ends(3)


def silent(*steps: Step, at: float, outcome: Outcome) -> Run:
    """A server that says this much and then nothing, and when the client gave up; it was told ten seconds."""
    return asked(script(*steps, End(Ending.OPEN)), max_retries=0).play(until=at).raises(outcome, at=at)


def cancelled(*, leaves: bool) -> Run:
    """The caller loses interest in an open stream."""
    run = asked(script(*NEITHER, End(Ending.OPEN)), cancel_at=1.0).play(until=1.0 if leaves else None).shows("One ")
    return run.cancelled(1.0, planned=True).closed(2.0)


def over(*, leaves: bool) -> Run:
    """The answer is whole to the client, and the server has not ended it."""
    run = asked(script(*OPEN_BEHIND), max_retries=0).play(until=0.1 if leaves else None)
    return run.shows(*WORDS).ends(0.1).closed(1.1)


def calling(*arguments: str, cut: int = 0, good: bool = True) -> Run:
    """An answer with a tool call, perhaps cut, and what the client handed over."""
    steps = CALLING[:-cut] if cut else CALLING
    run = asked(script(*steps), max_retries=0).play()
    run.add(*(SawTool(0, "", "look", text) for text in arguments))
    return run.ends(0.1) if good else run.raises(Outcome.INCOMPLETE, at=0.1)


def finished(*shown: str) -> Run:
    """An answer that a limit has cut, and the reasons that the client shows."""
    run = asked(script(*NEITHER, Finish("length"), Done()), max_retries=0).play().shows("One ")
    for reason in shown:
        run.shows_finish(reason)
    return run.ends(0.1)


def torn(*words: str) -> Run:
    """The usual answer in two deliveries, the first of which ends inside an event."""
    span = next(one for one in layout(script()).events if getattr(STEPS[one.step], "text", "") == "fine ")
    whole = asked(script(), max_retries=0).play()
    run = asked(script(), max_retries=0).play(only=span.wire[0] + 20)
    return run.add(*(seen for seen in whole.seen[1:] if type(seen).__name__ in _DOWN)).shows(*words).ends(0.1)


_DOWN = {"Delivered", "LinkEof"}


class _Into(NamedTuple):
    """A recorder that appends to a run."""

    run: Run

    def now(self) -> int:
        """No clock: the observations have their times."""
        return 0

    def record(self, observation: Observation) -> None:
        """Append."""
        self.run.add(observation)


def fallen_back(*, asks: bool, again: bool = False) -> Run:
    """The first address says 503 for ever; the second one answers."""
    first = script(*NEITHER, End(Ending.RST)) if again else status(503)
    plan = Plan("by-hand", (Attempt(first),), ClientSettings(idle_timeout=10.0), fallback=(Attempt(script()),))
    run = Run(plan).play(until=0.1)
    if again:
        run.shows("One ")
    if not asks:
        return run.raises(Outcome.OVERLOADED, at=0.2, status=503)
    assert plan.second is not None
    into: Recorder = _Into(run)
    for seen in Run(plan.second).play(at=0.3).shows(*WORDS, at=0.3).ends(0.4).seen[1:]:
        Elsewhere(into).record(seen)
    return run


class Pair(NamedTuple):
    """A cure, a run that proves it, one that disproves it, and what that one is judged."""

    title: str
    cure: Cure
    variant: str
    proves: Callable[[], Run]
    disproves: Callable[[], Run]
    found: F | Verdict


PAIRS = (
    Pair("retries that end", Cure.BOUNDED_RETRIES, "", lambda: failing(0.5, 1.1, max_retries=2),
         lambda: failing(0.5, 1.1, 2.3, max_retries=2), F.RETRY_STORM),
    Pair("pauses that grow", Cure.GROWING_BACKOFF, "", lambda: failing(0.5, 1.1), lambda: failing(8, 3, 1),
         F.RETRY_STORM),
    Pair("pauses at all", Cure.GROWING_BACKOFF, "", lambda: failing(0.5, 1.1), lambda: failing(0.01, 0.02),
         F.RETRY_STORM),
    Pair("pauses with chance in them", Cure.JITTER, "", lambda: failing(0.44, 0.96, 1.77), lambda: failing(0.5, 1, 2),
         Verdict.LENIENT),
    Pair("pauses up to a longest", Cure.JITTER, "", lambda: failing(0.44, 0.96, 1.77, 2, 2),
         lambda: failing(0.5, 1, 2, 4, 4), Verdict.LENIENT),
    Pair("a constant pause", Cure.JITTER, "", lambda: failing(1.1, 1.3, 1.2), lambda: failing(1, 1, 1),
         Verdict.LENIENT),
    Pair("seconds", Cure.RETRY_AFTER, "seconds", lambda: told(limited("Retry-After", "3"), 3),
         lambda: told(limited("Retry-After", "3"), 1), F.RETRY_AFTER_IGNORED),
    Pair("milliseconds", Cure.RETRY_AFTER, "ms", lambda: told(limited("retry-after-ms", "900"), 0.9),
         lambda: told(limited("retry-after-ms", "900"), 0.5), F.RETRY_AFTER_IGNORED),
    Pair("a date", Cure.RETRY_AFTER, "date", lambda: told(limited("Retry-After", EPOCH.format(30)), 29.1),
         lambda: told(limited("Retry-After", EPOCH.format(30)), 28.9), F.RETRY_AFTER_IGNORED),
    Pair("a quota", Cure.RETRY_AFTER, "quota", lambda: metered(3), lambda: metered(2), F.RETRY_AFTER_IGNORED),
    Pair("the same key", Cure.STABLE_KEY, "", lambda: told(status(503), 1, key="k"),
         lambda: told(status(503), 1, key="k", again="other"), Verdict.LENIENT),
    Pair("a bad request", Cure.NOTHING_FINAL_RETRIED, "", lambda: refused(400), lambda: refused(400, again=True),
         F.RETRIED_NON_RETRYABLE),
    Pair("a quota that is used up", Cure.NOTHING_FINAL_RETRIED, "", lambda: refused(429, body=SPENT),
         lambda: refused(429, body=SPENT, again=True), F.RETRIED_NON_RETRYABLE),
    Pair("the server's own no", Cure.NOTHING_FINAL_RETRIED, "", lambda: refused(503, ("x-should-retry", "false")),
         lambda: refused(503, ("x-should-retry", "false"), again=True), Verdict.LENIENT),
    Pair("text once", Cure.NO_TEXT_TWICE, "", lambda: broken_off(again=False), lambda: broken_off(again=True),
         F.DUPLICATED_TEXT),
    Pair("the rest", Cure.RESUME, "", lambda: reconnecting(back=True), lambda: reconnecting(back=False), F.NO_RESUME),
    Pair("before the head", Cure.TIMEOUT_PER_PHASE, "first byte",
         lambda: silent(Head(), at=10, outcome=Outcome.FIRST_BYTE_TIMEOUT),
         lambda: silent(Head(), at=5, outcome=Outcome.FIRST_BYTE_TIMEOUT), F.EARLY_TIMEOUT),
    Pair("in mid-stream", Cure.TIMEOUT_PER_PHASE, "idle",
         lambda: silent(*NEITHER, at=10, outcome=Outcome.IDLE_TIMEOUT).shows("One "),
         lambda: silent(*NEITHER, at=20, outcome=Outcome.IDLE_TIMEOUT).shows("One "), F.LATE_TIMEOUT),
    Pair("the second address", Cure.FALLBACK, "", lambda: fallen_back(asks=True), lambda: fallen_back(asks=False),
         Verdict.LENIENT),
    Pair("text that the first has shown", Cure.FALLBACK, "", lambda: fallen_back(asks=True),
         lambda: fallen_back(asks=True, again=True), F.DUPLICATED_TEXT),
    Pair("stop", Cure.CANCEL, "", lambda: cancelled(leaves=True), lambda: cancelled(leaves=False), F.CANCEL_IGNORED),
    Pair("nothing left behind", Cure.CONNECTION_CLOSED, "", lambda: over(leaves=True), lambda: over(leaves=False),
         F.RESOURCE_LEAK),
    Pair("a whole call", Cure.WHOLE_TOOL_CALLS, "", lambda: calling('{"at":1}'), lambda: calling('{"at": '),
         F.PARTIAL_EVENT_DELIVERED),
    Pair("a call once", Cure.WHOLE_TOOL_CALLS, "", lambda: calling('{"at":1}'), lambda: calling('{"at":1}', '{"at":1}'),
         F.DUPLICATED_TEXT),
    Pair("a call at all", Cure.WHOLE_TOOL_CALLS, "", lambda: calling('{"at":1}'), calling, F.LOST_EVENT),
    Pair("the call that was sent", Cure.WHOLE_TOOL_CALLS, "", lambda: calling('{"at":1}'), lambda: calling('{"at":2}'),
         F.CORRUPTED_TEXT),
    Pair("a call that was cut", Cure.WHOLE_TOOL_CALLS, "", lambda: calling(cut=3, good=False),
         lambda: calling('{"at": null}', cut=3, good=False), F.PARTIAL_EVENT_DELIVERED),
    Pair("why it stopped", Cure.FINISH_VISIBLE, "length", lambda: finished("length"), finished, F.LOST_EVENT),
    Pair("half an event", Cure.PARTIAL_CHUNKS, "", lambda: torn(*WORDS), lambda: torn("One ", "day", "."),
         F.LOST_EVENT),
    Pair("no sentinel", Cure.SENTINEL, "no sentinel",
         lambda: asked(script(*NO_SENTINEL), max_retries=0).play().shows("One ").ends(0.1),
         lambda: asked(script(*NO_SENTINEL), max_retries=0).play().shows("One ").raises(Outcome.INCOMPLETE, at=0.1),
         F.FALSE_FAILURE),
    Pair("neither", Cure.SENTINEL, "neither",
         lambda: asked(script(*NEITHER), max_retries=0).play().shows("One ").raises(Outcome.INCOMPLETE, at=0.1),
         lambda: asked(script(*NEITHER), max_retries=0).play().shows("One ").ends(0.1), F.SILENT_TRUNCATION),
    Pair("an open socket", Cure.SENTINEL, "an open socket", lambda: over(leaves=True),
         lambda: asked(script(*OPEN_BEHIND), max_retries=0).play().shows(*WORDS).cancelled(30.0), F.HANG),
)  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.cure.value}: {pair.title}")
def test_a_cure_is_proven_by_one_run_and_disproven_by_another(pair: Pair) -> None:
    """The two runs differ in what the client does, and the second is judged by the cure's own failure class."""
    proven, disproven = pair.proves(), pair.disproves()
    good, bad = judge(proven.plan, proven.trace()), judge(disproven.plan, disproven.trace())
    assert [one.proof for one in good.cures if one.cure is pair.cure] == [Proof.PROVEN], good
    assert {one.variant for one in good.cures if one.cure is pair.cure} == {pair.variant}
    assert good.findings == ()
    assert [one.proof for one in bad.cures if one.cure is pair.cure] == [Proof.DISPROVEN], bad
    if isinstance(pair.found, Verdict):
        assert (bad.verdict, bad.findings) == (pair.found, ())
    else:
        assert [one.failure for one in bad.findings] == [pair.found]


def test_every_cure_is_in_the_table_and_has_its_pair() -> None:
    """A cure that nobody can prove is no cure; memory is measured in a process and not on the wire."""
    assert set(CURES) == set(Cure)
    assert {pair.cure for pair in PAIRS} == set(Cure) - {Cure.MEMORY_BOUNDED}


def test_a_run_without_trouble_says_nothing_of_any_cure() -> None:
    """A whole answer at the first attempt asks for none."""
    run = asked(script()).play().shows(*WORDS).ends(0.1)
    assert judge(run.plan, run.trace()).cures == ()


def test_a_plan_can_demand_what_is_otherwise_a_remark() -> None:
    """The server's own no, and chance in the pauses: a finding if the scenario expects the cure."""
    no = ("x-should-retry", "false")
    run = refused(503, no, again=True, cures=(Cure.NOTHING_FINAL_RETRIED,))
    assert [one.failure for one in judge(run.plan, run.trace()).findings] == [F.RETRIED_NON_RETRYABLE]
    run = failing(0.5, 1, 2)
    run.plan = Plan("by-hand", run.plan.attempts, run.plan.client, Expect(cures=(Cure.JITTER,)))
    assert [one.failure for one in judge(run.plan, run.trace()).findings] == [F.RETRY_STORM]
    run = failing(0.44, 0.96, 1.77)
    run.plan = Plan("by-hand", run.plan.attempts, run.plan.client, Expect(cures=(Cure.JITTER,)))
    assert judge(run.plan, run.trace()).verdict is Verdict.PASS


def test_a_real_clock_says_nothing_of_chance() -> None:
    """There the machine itself puts some into every pause."""
    run = failing(0.5, 1, 2, clock=Clock.REAL)
    judgement = judge(run.plan, run.trace())
    assert judgement.verdict is Verdict.PASS
    assert Cure.JITTER not in {one.cure for one in judgement.cures}


def test_a_code_that_nobody_can_have_read_makes_no_answer_final() -> None:
    """The body of the error never came, so its status is all that there was."""
    run = asked(status(429, body=SPENT), script())
    head = next(one for one in asked(status(429, body=SPENT)).play().seen if type(one).__name__ == "Sent")
    run.play(only=head.wire[1], end=Ending.FIN).play(at=1).shows(*WORDS, at=1).ends(1)
    judgement = judge(run.plan, run.trace())
    assert judgement.findings == ()


def test_a_kept_connection_is_no_leak() -> None:
    """An answer that is whole by its framing leaves a connection that a pool may keep."""
    run = asked(script(*STEPS, End(Ending.KEEP)), max_retries=0).play().shows(*WORDS).ends(0.1).add(Closed(us(1.1)))
    assert judge(run.plan, run.trace()).findings == ()


@pytest.mark.parametrize(
    ("waited", "grows", "exact"),
    [
        ((), None, False),
        ((1,), None, False),
        ((1, 2), True, False),
        ((1, 2, 4), True, True),
        ((1, 2, 4, 8, 8, 8), True, True),
        ((1, 1, 1), False, True),
        ((8, 8, 8), None, True),
        ((1, 2, 2), True, False),
        ((0.4, 1.1, 2.0), True, False),
        ((2, 1.5, 2.2), None, False),
    ],
)
def test_growth_and_chance_are_read_off_the_pauses(waited: tuple[float, ...], grows: bool | None, exact: bool) -> None:
    """Doubling up to a longest is a rule, and so is a constant; what a few pauses do not show is not said."""
    found = growth([Waited(us(one)) for one in waited])
    assert (found.grows, found.exact) == (grows, exact)


def test_one_disproof_outweighs_every_proof() -> None:
    """Runs are put together by cure and form, and told in one line."""
    good = Shown(Cure.RETRY_AFTER, Proof.PROVEN, "waited", "seconds")
    other = Shown(Cure.RETRY_AFTER, Proof.PROVEN, "waited", "date")
    bad = Shown(Cure.RETRY_AFTER, Proof.DISPROVEN, "did not", "seconds")
    for order in ((good, other, bad), (bad, good, other), (good, bad, bad, other, good)):
        assert together(order) == (other, bad)
    words = in_words((Shown(Cure.CANCEL, Proof.PROVEN, ""), good, other, bad))
    assert words == "cures shown: Retry-After (date), cancel; not shown: Retry-After (seconds)"
    assert in_words(()) == ""
