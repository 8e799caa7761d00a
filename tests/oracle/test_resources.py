"""What a process held, judged on runs that are made by hand."""

from __future__ import annotations

import pytest

from testbed.oracle import Verdict, judge
from testbed.oracle.checks.resources import MEGABYTE, SLACK
from testbed.script import Done, End, Ending, Finish, Framing, Head, Open, Raw, Text
from testbed.trace import Cure, Failure, Outcome, Phase, Resources
from tests.oracle.runs import Run, plan_of, script, us

MANY = [Text("a long story ", times=80_000)] * 80  # 1 MB each
FAST = script(Head(), Open(), *MANY, Finish(), Done())
ENDLESS = script(Head(framing=Framing.CLOSE), Open(), Raw(b"data: "), Raw(b"x" * 1024, times=60_000), End(Ending.CLEAN))
BROKEN = script(Head(), Open(), Text("One "), End(Ending.RST))

NORMAL = {"memory": 50 * MEGABYTE, "descriptors": 7, "sockets": 0, "threads": 1, "tasks": 1}


def looked(run: Run, at: float = 2.0, **after: object) -> Run:
    """The run, looked at before it and after it, where `after` is not as it was."""
    run.add(Resources(0, Phase.BEFORE, **NORMAL))
    return run.add(Resources(us(at), Phase.AFTER, **(NORMAL | after)))


def whole() -> Run:
    """A whole answer, shown and ended well."""
    return Run(plan_of(script())).play().shows("One ", "fine ", "day", ".").ends(0.1)


def broken() -> Run:
    """A connection that is reset behind the first word, and a client that says so."""
    return Run(plan_of(BROKEN, max_retries=0)).play().shows("One ").raises(Outcome.RESET, at=0.1)


def findings(run: Run) -> list[Failure]:
    run.closed(3.0)
    return [one.failure for one in judge(run.plan, run.trace()).findings]


@pytest.mark.parametrize(
    "left",
    [
        {"threads": 2},
        {"tasks": 2},
        {"descriptors": 9, "sockets": 2},
        {"descriptors": 17},
        {"warnings": ("unclosed <socket.socket fd=7>",)},
    ],
)
def test_what_is_left_of_a_call_is_a_leak(left: dict[str, object]):
    """One more thread, task or socket than may be kept, many descriptors, or a thing that nobody closed."""
    assert findings(looked(whole(), **left)) == [Failure.RESOURCE_LEAK]


@pytest.mark.parametrize(
    "left",
    [
        {},
        {"descriptors": 8, "sockets": 1},  # the connection of a whole answer
        {"descriptors": 15},
        {"threads": -1, "tasks": -1, "descriptors": -1, "sockets": -1},
        {"memory": 500 * MEGABYTE},  # nobody told the client to be modest
        {"threads": 0, "tasks": 0},
    ],
)
def test_what_a_library_may_keep_is_no_leak(left: dict[str, object]):
    """A connection that is fit for the next request, a few descriptors, and all that nobody could count."""
    assert findings(looked(whole(), **left)) == []


def test_the_socket_of_a_broken_answer_is_a_leak():
    """The network had ended it, so nobody else would see that the client did not close it."""
    assert findings(looked(broken(), descriptors=8, sockets=1)) == [Failure.RESOURCE_LEAK]
    assert findings(looked(broken())) == []


def test_what_had_no_time_to_wind_down_is_no_leak():
    """A look right after the end of the call proves nothing."""
    assert findings(looked(whole(), at=0.5, threads=2)) == []


def test_a_connection_that_only_the_end_of_the_process_closed_is_a_leak_and_told_once():
    """The server saw the client leave, but behind the last look at its process."""
    half = script(Head(), Open(), Text("One "), Finish(), Done(), End(Ending.OPEN))

    def left_at(when: float) -> Run:
        run = Run(plan_of(half)).play(until=when).shows("One ").ends(0.1)
        return looked(run, at=1.2, descriptors=8, sockets=1)

    assert findings(left_at(1.3)) == [Failure.RESOURCE_LEAK]


def test_without_a_process_nothing_is_said_of_it():
    """Neither a finding nor a cure; where the plan asks for memory, that it was not checked."""
    run = (
        Run(plan_of(FAST, pace=1.0, cancel_at=3.0)).play().shows(MANY[0].said).cancelled(3.0, planned=True).closed(3.1)
    )
    judgement = judge(run.plan, run.trace())
    assert judgement.verdict is Verdict.PASS
    assert judgement.unchecked == ("how much memory it needs: it has no process of its own",)
    assert Cure.MEMORY_BOUNDED not in {one.cure for one in judgement.cures}


def slow(grown: int, *, only: int | None = None, pace: float | None = 1.0, before: bool = True) -> Run:
    """A caller that saw one item of a fast server when it lost interest, and a client that has `grown` by then."""
    run = Run(plan_of(FAST, pace=pace, cancel_at=3.0)).play(only=only, until=3.0)
    run.shows(MANY[0].said, at=1.0).cancelled(3.0, planned=True)
    if before:
        run.add(Resources(0, Phase.BEFORE, **NORMAL))
    return run.add(Resources(us(2.5), Phase.DURING, memory=NORMAL["memory"] + grown))


def test_memory_that_grows_with_what_nobody_reads_is_unbounded():
    """The whole stream is with the client, in memory, and one item of it with its caller."""
    run = slow(80 * MEGABYTE)
    assert findings(run) == [Failure.UNBOUNDED_MEMORY]
    # A client whose caller takes no time may have handed on all of it.
    assert Failure.UNBOUNDED_MEMORY not in findings(slow(80 * MEGABYTE, pace=None))


@pytest.mark.parametrize(
    "run",
    [
        lambda: slow(SLACK - MEGABYTE, only=50 * MEGABYTE),  # no more than anything else may take
        lambda: slow(80 * MEGABYTE, only=8 * MEGABYTE),  # the network held the rest: it is not the stream that grew
        lambda: slow(36 * MEGABYTE),  # far less than what came: it was not kept
        lambda: slow(80 * MEGABYTE, before=False),  # nobody looked before the first byte
    ],
)
def test_growth_that_has_another_reason_is_not_accused(run):
    """The bounds are generous: memory, what was delivered, and both together must speak against the client."""
    assert findings(run()) == []


def test_a_right_client_shows_that_its_memory_is_bounded():
    """It was offered far more than it held."""
    run = slow(2 * MEGABYTE, only=4 * MEGABYTE).closed(3.1)
    assert Cure.MEMORY_BOUNDED in {one.cure for one in judge(run.plan, run.trace()).cures}


def endless(grown: int, **client: object) -> Run:
    """An event of 60 MiB that a client held to its end."""
    run = Run(plan_of(ENDLESS, max_retries=0, **client)).play().raises(Outcome.INCOMPLETE, at=2.0)
    run.add(Resources(0, Phase.BEFORE, **NORMAL))
    return run.add(Resources(us(1.9), Phase.DURING, memory=NORMAL["memory"] + grown))


def test_an_event_beyond_the_limit_that_was_told_is_unbounded_memory():
    """Without a limit, an event is as long as it is."""
    assert findings(endless(60 * MEGABYTE, max_event_bytes=65_536)) == [Failure.UNBOUNDED_MEMORY]
    assert findings(endless(60 * MEGABYTE)) == []
    assert findings(endless(60 * MEGABYTE, max_event_bytes=16 * MEGABYTE)) == []


def test_a_program_is_measured_from_its_first_byte_on():
    """It was looked at from outside, and its runtime may have a heap that grows by itself."""
    early = Resources(us(0.0), Phase.DURING, memory=40 * MEGABYTE)
    assert findings(slow(70 * MEGABYTE, before=False).add(early)) == []
