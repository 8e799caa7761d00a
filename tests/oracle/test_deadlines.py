"""When a silence may be given up: from which byte it is counted, and by which of the time-outs that were told."""

from __future__ import annotations

import pytest

from testbed.oracle import Verdict, judge
from testbed.oracle.case import Case, Timeouts
from testbed.plan import Keepalives
from testbed.script import Done, End, Ending, Finish, Head, Open, Pause, Ping, Text
from testbed.timing import margin
from testbed.trace import Clock, Option, Outcome
from testbed.trace import Failure as F
from tests.oracle.runs import STEPS, Run, plan_of, profile, script, us

FIRST, IDLE, CONNECT = 4.0, 10.0, 2.0
NEVER = Pause(1000)
NOTHING = (NEVER, *STEPS)

# What the server does, what the client is told beside the usual, and the seconds at which a right client gives up: not
# before the first, not after the second.
DEADLINES = [
    ("nothing comes", NOTHING, {}, (FIRST, IDLE)),
    ("nothing comes, and both are one time-out", NOTHING, {"first_byte_timeout": None}, (IDLE, IDLE)),
    ("nothing comes, and the idle time-out is the shorter", NOTHING, {"idle_timeout": 3.0}, (FIRST, FIRST)),
    ("a head at once", [Head(), NEVER], {}, (FIRST, IDLE)),
    ("a head after a while", [Pause(3), Head(), NEVER], {"idle_timeout": 3.0}, (FIRST, 3 + FIRST)),
    (
        "a head, and an idle time-out that is over before the first token is due",
        [Pause(1), Head(), NEVER],
        {"first_byte_timeout": 20.0, "idle_timeout": 3.0},
        (1 + 3, 1 + 20),
    ),
    ("a token at once", [Head(), Open(), Text("One "), NEVER], {}, (IDLE, IDLE)),
    ("a token after a while", [Pause(3), Head(), Open(), Text("One "), NEVER], {}, (3 + IDLE, 3 + IDLE)),
    ("a keep-alive behind a token", [Head(), Open(), Text("One "), Pause(5), Ping(), NEVER], {}, (IDLE, 5 + IDLE)),
    (
        "a keep-alive that is progress",
        [Head(), Open(), Text("One "), Pause(5), Ping(), NEVER],
        {"keepalives": Keepalives.PROGRESS},
        (5 + IDLE, 5 + IDLE),
    ),
    (
        "a keep-alive that is none",
        [Head(), Open(), Text("One "), Pause(5), Ping(), NEVER],
        {"keepalives": Keepalives.NO_PROGRESS},
        (IDLE, IDLE),
    ),
]


def silent(steps, clock: Clock = Clock.VIRTUAL, client=None, **told) -> Run:  # type: ignore[no-untyped-def]
    """A server that falls silent, to a client that is told three different time-outs."""
    told = {"connect_timeout": CONNECT, "first_byte_timeout": FIRST, "idle_timeout": IDLE, **told}
    return Run(plan_of(script(*steps), **told), clock=clock, client=client)


@pytest.mark.parametrize(("name", "steps", "told", "expected"), DEADLINES, ids=[one[0] for one in DEADLINES])
def test_the_span_in_which_a_silence_is_given_up(name: str, steps, told, expected: tuple[float, float]) -> None:  # type: ignore[no-untyped-def]
    """The earliest of the ways to count decides what is early, the latest what is late."""
    run = silent(steps, **told).play(until=100)
    case = Case(run.plan, run.raises(Outcome.IDLE_TIMEOUT, at=100).trace())
    assert case.last is not None
    assert case.given is not None
    deadline = case.deadline(case.last, case.given, case.end)
    assert deadline is not None
    assert (deadline.earliest, deadline.latest) == (us(expected[0]), us(expected[1]))


SPANS = [one for one in DEADLINES if "keepalives" not in one[2]]


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(("name", "steps", "told", "expected"), SPANS, ids=[one[0] for one in SPANS])
def test_a_time_out_is_right_from_the_earliest_to_the_latest(  # type: ignore[no-untyped-def]
    name: str, steps, told, expected: tuple[float, float], clock: Clock
) -> None:
    """At both ends nothing is found; well before the one and well behind the other it is."""
    token = steps is not NOTHING and Text("One ") in steps
    shown = sum(step.seconds for step in steps[: steps.index(Text("One "))] if isinstance(step, Pause)) if token else 0

    def found(at: float) -> list[F]:
        run = silent(steps, clock, **told).play(until=at).shows(*["One "] * token, at=shown)
        both = (Outcome.FIRST_BYTE_TIMEOUT, Outcome.IDLE_TIMEOUT)
        run.raises(*both, at=at)
        return [one.failure for one in judge(run.plan, run.trace()).findings]

    early, late = expected
    assert found(early) == found(late) == []
    slack = margin(told.get("first_byte_timeout") or IDLE, clock) + 0.1
    if early > slack:
        assert found(early - slack) == [F.EARLY_TIMEOUT]
    assert found(late + slack) == [F.LATE_TIMEOUT]


@pytest.mark.parametrize(
    ("without", "shared", "expected"),
    [
        ((), False, Timeouts(CONNECT, FIRST, IDLE)),
        ((Option.CONNECT_TIMEOUT,), False, Timeouts(None, FIRST, IDLE)),
        ((Option.FIRST_BYTE_TIMEOUT,), False, Timeouts(CONNECT, None, IDLE)),
        ((Option.FIRST_BYTE_TIMEOUT,), True, Timeouts(CONNECT, FIRST, IDLE)),
        ((Option.IDLE_TIMEOUT,), False, Timeouts(CONNECT, FIRST, None)),
        ((Option.IDLE_TIMEOUT,), True, Timeouts(CONNECT, FIRST, IDLE)),
        ((Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT), True, Timeouts(CONNECT, None, None)),
    ],
)
def test_only_what_could_be_told_is_held_against_a_client(
    without: tuple[Option, ...], shared: bool, expected: Timeouts
) -> None:
    """A library with one read time-out takes it through either option; without both it has none."""
    run = silent(NOTHING, client=profile(without=without, shared_read_timeout=shared)).play(until=1)
    assert Case(run.plan, run.trace()).timeouts == expected


def test_what_came_last_may_not_have_been_read_when_the_time_out_struck() -> None:
    """On a real clock a time-out and the byte that would have averted it cross; a fast stream is no such excuse."""

    def verdict(pause: float, *outcomes: Outcome, at: float, clock: Clock = Clock.REAL) -> Verdict:
        steps = [Head(), Open(), Text("One "), Pause(pause), Text("two "), End(Ending.OPEN)]
        run = silent(steps, clock).play(until=at).shows("One ").raises(*outcomes, at=at)
        return judge(run.plan, run.trace()).verdict

    assert verdict(9.9, Outcome.IDLE_TIMEOUT, at=10.0) is Verdict.PASS
    assert verdict(9.9, Outcome.IDLE_TIMEOUT, at=10.0, clock=Clock.VIRTUAL) is Verdict.FAIL
    assert verdict(5.0, Outcome.IDLE_TIMEOUT, at=5.1) is Verdict.FAIL
    assert verdict(5.0, Outcome.RESET, at=5.1) is Verdict.FAIL


def crossed(
    *steps, at: float, outcome: Outcome, clock: Clock = Clock.REAL, words: tuple[str, ...] = (), **told
) -> Verdict:  # type: ignore[no-untyped-def]
    """What is said of a client that ends with `outcome` while something comes."""
    run = silent(steps, clock, **told).play(until=at).shows(*words).raises(outcome, at=at)
    return judge(run.plan, run.trace()).verdict


ONE = (Head(), Open(), Text("One "))
REST = (Finish(), Done(), End(Ending.OPEN))


@pytest.mark.parametrize(
    ("pause", "expected"), [(9.9, Verdict.LENIENT), (8.0, Verdict.LENIENT), (7.0, Verdict.FAIL), (1.0, Verdict.FAIL)]
)
def test_the_end_of_an_answer_may_cross_an_idle_time_out(pause: float, expected: Verdict) -> None:
    """Only where the time-out was due: else every error would be excused by the last half second of a fast stream."""
    idle = {"outcome": Outcome.IDLE_TIMEOUT, "words": ("One ",)}
    assert crossed(*ONE, Pause(pause), *REST, at=pause + 0.1, **idle) is expected
    assert crossed(*ONE, Pause(pause), *REST, at=pause + 0.1, clock=Clock.VIRTUAL, **idle) is Verdict.FAIL
    assert crossed(*ONE, Pause(pause), *REST, at=pause + 0.6, **idle) is Verdict.FAIL


@pytest.mark.parametrize(("pause", "expected"), [(3.9, Verdict.LENIENT), (2.5, Verdict.FAIL)])
def test_an_answer_may_cross_the_time_out_before_its_first_byte(pause: float, expected: Verdict) -> None:
    """That time-out is the shorter one here, and it is due by itself."""
    assert crossed(Pause(pause), *ONE, *REST, at=pause + 0.1, outcome=Outcome.FIRST_BYTE_TIMEOUT) is expected


@pytest.mark.parametrize(
    ("late", "clock", "found"),
    [
        (0.05, Clock.REAL, []),
        (0.2, Clock.REAL, [F.FALSE_FAILURE]),
        (0.0005, Clock.VIRTUAL, []),
        (0.05, Clock.VIRTUAL, [F.FALSE_FAILURE]),
    ],
)
def test_a_reset_that_is_written_down_after_it_was_seen(late: float, clock: Clock, found: list[F]) -> None:
    """The client may have met it first, by less than the clock's uncertainty."""
    run = silent([*ONE, Pause(2), End(Ending.ABORT)], clock).play().shows("One ").raises(Outcome.RESET, at=2 - late)
    assert [one.failure for one in judge(run.plan, run.trace()).findings] == found


def test_a_caller_who_takes_his_time_is_waited_for() -> None:
    """Each thing that he was shown, and the last wait, may have taken as long as his pace; no more may."""

    def found(at: float, pace: float | None) -> list[F]:
        run = (
            silent([*ONE, NEVER], pace=pace)
            .play(until=at)
            .shows("O", "n", "e", " ")
            .raises(Outcome.IDLE_TIMEOUT, at=at)
        )
        return [one.failure for one in judge(run.plan, run.trace()).findings]

    assert found(IDLE + 5 * 3 + 0.1, 3.0) == []
    assert found(IDLE + 5 * 3 + 0.2, 3.0) == [F.LATE_TIMEOUT]
    assert found(IDLE + 1, None) == [F.LATE_TIMEOUT]
