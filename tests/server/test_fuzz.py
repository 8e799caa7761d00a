"""Whatever is sent to the server: nothing crashes, nothing hangs, other streams go on, and memory stays flat.

``benchmarks/fuzz_server.py`` runs the same for longer, against a server in a process of its own.
"""

from __future__ import annotations

import functools
import gc
import itertools
import random
import tracemalloc
from collections import Counter

import pytest
import trio

from testbed.plan import Attempt, Plan, Quota
from testbed.script import DialectName, Done, Finish, Head, Message, Open, Pause, Script, Text
from testbed.server.stages import House, Stage, Turn
from testbed.serving import serve
from testbed.trace import Observation
from tests.net.support import chat, post, wire_of
from tests.server.fuzzing import attack

pytestmark = pytest.mark.once

BYTES = 300_000
ATTACKERS = 12
SEED = 7


class Calm:
    """A watcher that keeps what of ours went wrong."""

    def __init__(self) -> None:
        self.troubles: list[str] = []

    def turn(self, number: int, turn: Turn) -> None:
        """Nothing to keep."""

    def seen(self, number: int, observation: Observation) -> None:
        """Nothing to keep."""

    def over(self, number: int, trouble: str) -> None:
        """Keep an error of ours."""
        if trouble:
            self.troubles.append(trouble)


# A stream that takes a while, for those who behave.
STEADY = chat(*[step for number in range(10) for step in (Pause(0.01), Text(f"{number} "))])


def house() -> House:
    """Every dialect, by name, beside the steady stream."""
    stages = [stage("steady", STEADY)]
    for dialect in DialectName:
        steps = (Message("hi"),) if dialect is DialectName.EVENTSOURCE else (Open(), Text("hi"), Finish())
        last = () if dialect in {DialectName.EVENTSOURCE, DialectName.GEMINI} else (Done(),)
        stages.append(stage("any", Script(dialect, (Head(), *steps, *last), resumes=True)))
    return House(stages, by_name=True)


def stage(name: str, script: Script) -> Stage:
    """One script for ever; a quota that is met now and then."""
    plan = Plan(name, (Attempt(script),))
    quota = None if name == "steady" else Quota(requests=50, seconds=0.2)
    return Stage(name, script.dialect, (Turn(plan, conn) for conn in itertools.repeat(0)), quota)


async def behave(port: int, over: trio.Event) -> int:
    """Ask for the steady stream again and again: it comes whole each time, and soon. Returns how often."""
    count = 0
    while not over.is_set() or count < 2:
        with trio.fail_after(5):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(post("/steady/v1/chat/completions"))
                seen = b"".join([data async for data in stream])
        assert seen == wire_of(STEADY)
        count += 1
    return count


def test_no_request_stops_the_server_or_the_streams_of_others() -> None:
    """A storm of wrong requests beside a client that behaves: its streams are whole, the storm has its answers, no
    error is ours, and afterwards nothing is left in memory.
    """

    async def main() -> None:
        calm, answers, over = Calm(), Counter[str](), trio.Event()
        async with trio.open_nursery() as nursery:
            root = await nursery.start(functools.partial(serve, house(), watcher=calm))
            port = int(root.rpartition(":")[2])
            connect = functools.partial(trio.open_tcp_stream, "127.0.0.1", port)

            async def storm(seed: int, size: int) -> None:
                budget = [size]
                async with trio.open_nursery() as attackers:
                    for number in range(ATTACKERS):
                        draw = random.Random(f"{seed}/{number}")
                        attackers.start_soon(attack, connect, draw, ("/any", "/steady", ""), budget, answers)

            nursery.start_soon(behave, port, over)
            await storm(SEED, BYTES // 3)  # what is made once is made here
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            with trio.fail_after(60):
                await storm(SEED + 1, BYTES)
            over.set()
            with trio.fail_after(10):
                assert await behave(port, over) >= 2
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            nursery.cancel_scope.cancel()
        assert calm.troubles == []
        assert {"200", "400", "404"} <= set(answers)
        assert grown < 2_000_000, f"{grown} bytes more than before the storm"

    tracemalloc.start()
    try:
        trio.run(main)
    finally:
        tracemalloc.stop()
