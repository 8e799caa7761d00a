"""How long a client that we stopped may have waited: for a retry, for a wait that it was told, for a connection."""

from __future__ import annotations

import pytest

from testbed.oracle import Verdict, judge
from testbed.plan import Tls
from testbed.script import Body, Done, End, Ending, Finish, Framing, Head, Open, Pause, Script, Text
from testbed.timing import backoff, margin
from testbed.trace import ERROR_CLASSES, Clock, Option, Outcome
from testbed.trace import Failure as F
from tests.oracle.runs import STEPS, WORDS, Run, plan_of, profile, script

SLACK = margin(10.0, Clock.VIRTUAL)
NO_COUNT = profile(without=[Option.MAX_RETRIES])
ONE = (Head(), Open(), Text("One "))


def refusal(status: int = 503, *headers: tuple[str, str]) -> Script:
    """An error answer."""
    return script(Head(status=status, headers=headers, content_type="text/plain", framing=Framing.LENGTH), Body("no"))


def stopped(first: Script, at: float, *, client=None, attempts: int = 1, max_retries: int = 0) -> bool:  # type: ignore[no-untyped-def]
    """Whether a client hangs that gets the same answer each time, all at once, and is stopped then."""
    run = Run(plan_of(first, max_retries=max_retries), client=client)
    for number in range(attempts):
        run.play(at=2.0 * number)
    judgement = judge(run.plan, run.cancelled(2.0 * (attempts - 1) + at).trace())
    return F.HANG in [one.failure for one in judgement.findings]


@pytest.mark.parametrize(
    ("max_retries", "attempts", "client", "patient"),
    [
        (0, 1, None, 0.0),
        (1, 1, None, backoff(0)),
        (1, 2, None, 0.0),
        (2, 2, None, backoff(1)),
        (0, 1, NO_COUNT, backoff(0)),  # its own number of retries is not known
        (0, 2, NO_COUNT, backoff(1)),
        (9, 3, NO_COUNT, 0.0),
    ],
)
def test_a_client_that_may_retry_may_wait_for_it(
    max_retries: int, attempts: int, client: object, patient: float
) -> None:
    """As long as a usual back-off; one that has no retry left may not, and hangs."""
    told = {"client": client, "attempts": attempts, "max_retries": max_retries}
    assert stopped(refusal(), SLACK + patient + 0.01, **told)
    assert not stopped(refusal(), SLACK + patient - 0.01, **told)


@pytest.mark.parametrize("answer", [script(*ONE), refusal(400)])
def test_where_no_retry_is_welcome_nobody_waits_for_one(answer: Script) -> None:
    """Behind text, and after a bad request."""
    assert stopped(answer, SLACK + 0.01, max_retries=2)


@pytest.mark.parametrize(
    ("status", "max_retries", "attempts", "client", "obeys"),
    [
        (429, 1, 1, None, True),
        (429, 1, 2, None, False),
        (429, 0, 1, None, False),
        (429, 9, 2, NO_COUNT, True),
        (429, 9, 3, NO_COUNT, False),
        (400, 1, 1, None, False),
        (200, 1, 1, None, False),
    ],
)
def test_a_wait_that_was_told_may_be_obeyed(
    status: int, max_retries: int, attempts: int, client: object, obeys: bool
) -> None:
    """However long it is, but only by a client that may ask again, and after an answer that asks for it."""
    answer = refusal(status, ("Retry-After", "90"))
    assert stopped(answer, 60.0, client=client, attempts=attempts, max_retries=max_retries) is not obeys


# --- the end of a call, from outside ----------------------------------------------------------------------------------


def test_success_long_after_the_terminal_event_is_a_remark() -> None:
    """Nothing is wrong with it but the wait, and at once there is none; without a terminal event nobody waited."""

    def reason(at: float, *steps: object) -> str:
        run = Run(plan_of(script(*(steps or (*STEPS, End(Ending.OPEN)))))).play(until=at).shows(*WORDS[:1])
        run.shows(*(WORDS[1:] if not steps else ()))
        return judge(run.plan, run.ends(at).trace()).reason

    assert reason(SLACK + 0.01) == f"success was reported {SLACK + 0.01:.3f} s after the terminal event"
    assert reason(SLACK - 0.01) == ""
    assert reason(SLACK + 0.01, *ONE, Finish(), End(Ending.OPEN)) == ""


def test_one_class_for_most_causes_is_a_remark() -> None:
    """A set that names more than half of all classes tells its caller next to nothing; half of them will do."""
    others = sorted(ERROR_CLASSES - {Outcome.RESET})
    half = len(ERROR_CLASSES) // 2

    def verdict(size: int) -> Verdict:
        run = Run(plan_of(script(*ONE, End(Ending.RST)))).play().shows("One ")
        return judge(run.plan, run.raises(Outcome.RESET, *others[: size - 1], at=0.1).trace()).verdict

    assert verdict(half) is Verdict.PASS
    assert verdict(half + 1) is Verdict.LENIENT


@pytest.mark.parametrize("steps", [(Pause(50), *STEPS), (Head(), Pause(50)), (*ONE, Pause(50), Finish(), Done())])
def test_an_error_while_nothing_is_wrong(steps) -> None:  # type: ignore[no-untyped-def]
    """Before its time-out no silence is trouble; at the time-out an error of any name may mean it."""
    words = ("One ",) if Text("One ") in steps[:3] else ()

    def found(at: float) -> list[F]:
        run = Run(plan_of(script(*steps))).play(until=at).shows(*words).raises(Outcome.INCOMPLETE, at=at)
        return [one.failure for one in judge(run.plan, run.trace()).findings]

    assert found(9.0) == [F.FALSE_FAILURE]
    assert found(9.9) == [F.WRONG_ERROR_CLASS]


def test_a_second_attempt_is_measured_by_itself() -> None:
    """An error in its first second is out of the blue, however long ago the first attempt was."""
    run = Run(plan_of(refusal(), script(Pause(50), *STEPS), max_retries=1)).play().play(at=20.0, until=21.0)
    run.raises(Outcome.PROTOCOL, at=21.0)
    assert [one.failure for one in judge(run.plan, run.trace()).findings] == [F.FALSE_FAILURE]


def test_a_good_certificate_that_is_refused_says_nothing_of_the_client() -> None:
    """Its adapter may not hand on whom to trust; behind the connect time-out it is that which ended the handshake."""

    def verdict(at: float, *outcomes: Outcome) -> tuple[Verdict, str]:
        run = Run(plan_of(script(), tls=Tls(), connect_timeout=5.0))
        run.play(only=0, asks=False, until=at)
        run.seen = [seen for seen in run.seen if type(seen).__name__ != "Sent"]
        judgement = judge(run.plan, run.raises(*outcomes, at=at).trace())
        return judgement.verdict, judgement.reason

    refused = "the client refused a valid certificate (SomeError): does its adapter hand on target.ca?"
    assert verdict(1.0, Outcome.CONNECT) == (Verdict.INCONCLUSIVE, refused)
    assert verdict(1.0, Outcome.PROTOCOL) == (Verdict.INCONCLUSIVE, refused)
    assert verdict(5.0, Outcome.CONNECT)[1] != refused
