"""The virtual clock jumps when everything waits, and never while a thread is at work."""

from __future__ import annotations

import threading
import time

import trio

from testbed.engines._virtual_clock import VirtualClock


def run(main):
    return trio.run(main, clock=VirtualClock())


def test_an_hour_costs_no_real_time():
    """Sleeping for an hour is a jump."""

    async def main() -> float:
        await trio.sleep(3600)
        return trio.current_time()

    before = time.perf_counter()
    assert run(main) == 3600
    assert time.perf_counter() - before < 60  # three orders of magnitude under an hour, far above any machine's noise


def test_deadlines_fire_in_order_and_at_their_exact_time():
    """Tasks that sleep for different times wake in that order, each at its own moment."""
    woken = []

    async def sleeper(seconds: float) -> None:
        await trio.sleep(seconds)
        woken.append((seconds, trio.current_time()))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for seconds in (3.5, 0.25, 2.0, 7200.0):
                nursery.start_soon(sleeper, seconds)

    run(main)
    assert woken == [(0.25, 0.25), (2.0, 2.0), (3.5, 3.5), (7200.0, 7200.0)]


def test_time_stands_still_while_a_thread_is_at_work():
    """A deadline does not overtake a thread: the client that hops to one is not taken for a hanging client."""
    released = threading.Event()

    async def main() -> bool:
        async def release() -> None:
            released.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(release)
            with trio.move_on_after(1) as scope:  # virtual: it would be over at once if the clock saw only tasks
                await trio.to_thread.run_sync(released.wait, 10)
            return not scope.cancelled_caught

    assert run(main)


def test_an_idle_loop_without_deadlines_does_not_move_the_clock():
    """Where only a thread's message can wake the loop, no time passes until it comes."""

    async def main() -> float:
        token = trio.lowlevel.current_trio_token()
        woken = trio.Event()
        thread = threading.Thread(target=lambda: token.run_sync_soon(woken.set))
        thread.start()
        await woken.wait()
        thread.join()
        return trio.current_time()

    assert run(main) == 0.0
