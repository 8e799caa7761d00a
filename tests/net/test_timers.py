"""The timer queue: the order of deadlines, against a model that sorts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testbed.net.timers import Timer, Timers

# What is done to a queue: a deadline is set, the n-th timer of all is cancelled, the time goes on by so much.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 50)),
        st.tuples(st.just("cancel"), st.integers(0, 60)),
        st.tuples(st.just("go"), st.integers(0, 20)),
    ),
    max_size=80,
)


@given(STEPS)
def test_what_comes_out_is_what_a_sorted_list_would_give(steps: list[tuple[str, int]]) -> None:
    """In the order of deadlines, equal ones as they were set, never early, never cancelled, each once."""
    timers: Timers[int] = Timers()
    handles: list[Timer] = []
    waiting: list[tuple[int, int]] = []
    now = 0
    for what, value in steps:
        if what == "set":
            waiting.append((now + value, len(handles)))
            handles.append(timers.set(now + value, len(handles)))
        elif what == "cancel" and handles:
            number = value % len(handles)
            timers.cancel(handles[number])
            waiting = [entry for entry in waiting if entry[1] != number]
        elif what == "go":
            now += value
            due = sorted(entry for entry in waiting if entry[0] <= now)
            assert [timers.take(now) for _ in due] == [number for _, number in due]
            assert timers.take(now) is None
            waiting = [entry for entry in waiting if entry[0] > now]
        assert len(timers) == len(waiting)
        assert timers.next() == min((deadline for deadline, _ in waiting), default=None)


def test_cancelled_timers_do_not_pile_up() -> None:
    """A queue in which everybody changes his mind stays as small as the number of those who wait."""
    timers: Timers[int] = Timers()
    timers.set(1, -1)  # in front of all, so that none of the cancelled ones comes up by itself
    for number in range(10_000):
        timers.cancel(timers.set(2, number))
    assert len(timers) == 1
    assert len(timers._heap) < 200


def test_cancelling_twice_or_too_late_is_let_be() -> None:
    """A stream may be freed by the very timer that it would cancel."""
    timers: Timers[str] = Timers()
    first, second = timers.set(1, "first"), timers.set(2, "second")
    assert timers.take(1) == "first"
    timers.cancel(first)
    timers.cancel(second)
    timers.cancel(second)
    assert (len(timers), timers.next(), timers.take(9)) == (0, None, None)
