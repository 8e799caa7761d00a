"""Several defects in one run: each is found, the root of each stands first, and all of them reach the report."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed._found import counterexample
from testbed.oracle import Verdict, judge
from testbed.oracle.findings import CONSEQUENCES, ROOT_FIRST
from testbed.reports.text import describe_one
from testbed.script import Body, Done, End, Ending, Finish, Framing, Head, Open, Pause, Text
from testbed.trace import Clock, Outcome, Wrapping
from testbed.trace import Failure as F
from tests.oracle.runs import STEPS, WORDS, Run, plan_of, profile, script

ONE = (Head(), Open(), Text("One "), Text("fine "))
BUSY = script(
    Head(status=429, headers=(("Retry-After", "3"),), content_type="text/plain", framing=Framing.LENGTH), Body("no")
)


def reset() -> Run:
    """Two words, and two seconds later a reset."""
    return Run(plan_of(script(*ONE, Pause(2), End(Ending.RST)))).play()


def retried(**play) -> Run:  # type: ignore[no-untyped-def]
    """A request that is refused for three seconds, and a whole answer."""
    return Run(plan_of(BUSY, script(), max_retries=2)).play().play(**play)


# What is found, in the order in which it is listed.
SEVERAL: dict[str, tuple[tuple[F, ...], Callable[[], Run]]] = {
    "wrong text and a wrong class": (
        (F.CORRUPTED_TEXT, F.WRONG_ERROR_CLASS),
        lambda: reset().shows("One ", "f\ufffdne ").raises(Outcome.DECODE, at=2.1),
    ),
    "wrong text and a raw exception": (
        (F.CORRUPTED_TEXT, F.UNWRAPPED_ERROR),
        lambda: reset().shows("One ", "f\ufffdne ").raises(at=2.1, wrapping=Wrapping.FOREIGN),
    ),
    "text twice and success on a stream that was cut": (
        (F.DUPLICATED_TEXT, F.SILENT_TRUNCATION),
        lambda: Run(plan_of(script(*ONE))).play().shows("One ", "One ", "fine ").ends(0.1),
    ),
    "a wait that was not waited for and words swapped": (
        (F.RETRY_AFTER_IGNORED, F.REORDERED_EVENT),
        lambda: retried(at=0.6).shows("fine ", "One ", *WORDS[2:], at=0.6).ends(0.7),
    ),
    "text that was made up and a time-out too late": (
        (F.LATE_TIMEOUT, F.PHANTOM_EVENT),
        lambda: (
            Run(plan_of(script(*ONE, Pause(100))))
            .play(until=20)
            .shows("One ", "fine ", "XYZ")
            .raises(Outcome.IDLE_TIMEOUT, at=20)
        ),
    ),
    "a hang and wrong text": (
        (F.HANG, F.CORRUPTED_TEXT),
        lambda: Run(plan_of(script(*STEPS, End(Ending.OPEN)))).play().shows("One ", "f?ne ", *WORDS[2:]).cancelled(30),
    ),
    "a word lost and a wrong class": (
        (F.LOST_EVENT, F.WRONG_ERROR_CLASS),
        lambda: reset().shows("fine ").raises(Outcome.PROTOCOL, at=2.1),
    ),
    "a stall that was sat out and another finish reason": (
        (F.LATE_TIMEOUT, F.CORRUPTED_TEXT),
        lambda: (
            Run(plan_of(script(*ONE, Pause(30), Finish("length"), Done())), client=profile(shows_finish=True))
            .play()
            .shows("One ", "fine ")
            .shows_finish("stop", at=30)
            .ends(30.1)
        ),
    ),
}


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(("failures", "build"), SEVERAL.values(), ids=SEVERAL)
def test_defects_that_do_not_explain_each_other_are_all_found(
    failures: tuple[F, ...], build: Callable[[], Run], clock: Clock
) -> None:
    """None of them hides another one, and what explains most stands first."""
    run = build()
    run.clock = clock
    judgement = judge(run.plan, run.trace())
    assert tuple(finding.failure for finding in judgement.findings) == failures
    assert judgement.verdict is Verdict.FAIL
    assert judgement.reason == judgement.findings[0].summary
    assert list(failures) == sorted(failures, key=ROOT_FIRST.index)
    assert failures[1] not in CONSEQUENCES.get(failures[0], frozenset())


@pytest.mark.parametrize("build", [build for _, build in SEVERAL.values()], ids=SEVERAL)
def test_all_of_them_are_reported_with_the_plan_that_showed_them(build: Callable[[], Run]) -> None:
    """What stands behind the root is told beside it, in a sentence of its own."""
    run = build()
    findings = judge(run.plan, run.trace()).findings
    found = counterexample(run.plan, findings)
    assert found.classes == tuple(finding.failure for finding in findings)
    told = describe_one(found)
    assert told.startswith(f"{findings[0].failure.value}: {findings[0].summary}")
    for other in findings[1:]:
        assert f"{other.failure.value}: {other.summary}" in told.replace("\n", " ")
