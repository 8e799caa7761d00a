"""The watchdog: it barks when the loop was late, and only then."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from testbed.net.watchdog import watch
from testbed.trace import Late
from tests.net.support import Log


def test_a_loop_that_is_late_is_recorded() -> None:
    """When half a second passes between two wakes that should be 50 ms apart, the trace says by how much."""

    async def main() -> None:
        log = Log()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, log)
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(0.5)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        (late,) = log.of(Late)
        assert late.by == pytest.approx(450_000, abs=2)
        assert late.t == pytest.approx(500_000, abs=2)

    clock = trio.testing.MockClock()
    trio.run(main, clock=clock)


def test_a_loop_that_keeps_time_is_not(mock_time: trio.testing.MockClock) -> None:
    """Punctual wakes, and small delays within the tolerance, leave no mark."""

    async def main() -> None:
        log = Log()
        with trio.move_on_after(10):
            await watch(log)
        assert not log.all()

    trio.run(main, clock=mock_time)
