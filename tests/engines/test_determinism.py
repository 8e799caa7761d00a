"""A canary for trio's private switches, and the proof that they are put back."""

from __future__ import annotations

import random

import trio

from testbed.engines._determinism import repeatable, scheduler_is_seeded


def schedule(seed: str) -> list[int]:
    """Record in which order trio runs twenty tasks that are all runnable, several times over."""
    order: list[int] = []

    async def task(number: int) -> None:
        for _ in range(3):
            order.append(number)
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(task, number)

    with repeatable(seed):
        trio.run(main)
    return order


def test_this_trio_still_has_the_switches():
    """If a new trio moves its switches this fails, and runs are no longer the same to the byte."""
    assert scheduler_is_seeded()


def test_the_same_seed_gives_the_same_schedule():
    """Two runs with one seed agree; with many seeds some differ, so the seed is what decides."""
    assert schedule("a") == schedule("a")
    assert len({tuple(schedule(str(seed))) for seed in range(8)}) > 1


def test_generators_are_as_before_afterwards():
    """A user's own random numbers are not disturbed by our seeding."""
    random.seed(7)
    expected = random.Random(7).random()
    with repeatable("anything"):
        random.random()
    assert random.random() == expected
