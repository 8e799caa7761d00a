"""A client that was told of a second address and never asked there."""

from __future__ import annotations

import pytest

from testbed.oracle import Proof, Verdict, judge
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.script import Body, End, Ending, Framing, Head, Open, Script, Text
from testbed.trace import Cure, Option, Outcome
from testbed.trace import Failure as F
from tests.oracle.runs import Run, profile, script

STAYED = "the client was told to retry and surfaced the first trouble instead"
RESET_WITH_TEXT = script(Head(), Open(), Text("One "), End(Ending.RST))


def refusal(status: int) -> Script:
    """An error answer."""
    return script(Head(status=status, content_type="text/plain", framing=Framing.LENGTH), Body("no"))


def failed_by(first: Script, *, second: bool = True, without: tuple[Option, ...] = ()) -> Run:
    """The first address fails, and the client has a second one or not."""
    fallback = (Attempt(script()),) if second else ()
    plan = Plan("by-hand", (Attempt(first),), ClientSettings(idle_timeout=10.0), fallback=fallback)
    return Run(plan, client=profile(without=without)).play()


def judged(run: Run) -> tuple[Verdict, str]:
    """The verdict and its reason."""
    judgement = judge(run.plan, run.trace())
    return judgement.verdict, judgement.reason


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 503])
def test_what_is_of_no_concern_elsewhere_is_asked_there(status: int) -> None:
    """A key, a model or a quota of one provider may be none of the other's concern; to stay is tolerated."""
    stays = failed_by(refusal(status)).raises(Outcome.HTTP_STATUS, at=0.1, status=status)
    assert judged(stays) == (Verdict.LENIENT, STAYED)
    alone = failed_by(refusal(status), second=False).raises(Outcome.HTTP_STATUS, at=0.1, status=status)
    assert judged(alone)[0] is Verdict.PASS
    untold = failed_by(refusal(status), without=(Option.FALLBACK,))
    assert judged(untold.raises(Outcome.HTTP_STATUS, at=0.1, status=status))[0] is Verdict.UNSUPPORTED


@pytest.mark.parametrize("status", [400, 405, 422])
def test_what_is_wrong_everywhere_need_not_be_asked_again(status: int) -> None:
    """A bad request is one at every address."""
    assert judged(failed_by(refusal(status)).raises(Outcome.HTTP_STATUS, at=0.1, status=status))[0] is Verdict.PASS


def test_behind_text_nobody_begins_anew() -> None:
    """What was shown would be shown again, so the trouble is reported; without text the other address is asked."""
    shown = failed_by(RESET_WITH_TEXT).shows("One ").raises(Outcome.RESET, at=0.1)
    assert judged(shown)[0] is Verdict.PASS
    nothing = Run(failed_by(RESET_WITH_TEXT).plan).play(only=0, end=Ending.RST).raises(Outcome.RESET, at=0.1)
    assert judged(nothing) == (Verdict.LENIENT, STAYED)


def test_a_plan_that_expects_the_second_answer_finds_who_stays() -> None:
    """The finding speaks of the address, and of retries only where there is none."""
    run = failed_by(refusal(401)).raises(Outcome.HTTP_STATUS, at=0.1, status=401)
    expects = Plan(
        "by-hand",
        run.plan.attempts,
        run.plan.client,
        type(run.plan.expect)(outcome=(Outcome.COMPLETE,)),
        fallback=run.plan.fallback,
    )
    judgement = judge(expects, run.trace())
    assert [one.failure for one in judgement.findings] == [F.FALSE_FAILURE]
    assert judgement.reason == "SomeError, although there was a second address to ask."
    assert [one.proof for one in judgement.cures if one.cure is Cure.FALLBACK] == [Proof.DISPROVEN]
