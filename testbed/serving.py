"""Serving: plans played on one address to whoever connects, faults and all, for clients that we do not drive.

The law of this module: every connection gets the next turn, and a turn is one attempt of one plan; what goes wrong
with one connection never ends the serving. The network is the model of the engine `embedded`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, final

import trio

from testbed.catalogue import Scenario
from testbed.dialects import DIALECTS
from testbed.errors import Unsupported, UsageError
from testbed.faults.connection import ConnectionModel, Semantics
from testbed.net.carrier import MOST_AT_ONCE
from testbed.net.connections import SocketConnection, memory_pair
from testbed.net.link import run_link
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.plan import Plan
from testbed.script import DialectName
from testbed.server.app import make_serve
from testbed.strategies import draw_many
from testbed.trace import Clock, Observation

_BATCH = 8

Watch = Callable[[int, Observation], None]


class Turn(NamedTuple):
    """What one connection gets: attempt number `conn` of `plan`."""

    plan: Plan
    conn: int


def repeat(plan: Plan) -> Iterator[Turn]:
    """The turns of one plan: its attempts in order, and the last one for ever."""
    return (Turn(plan, conn) for conn in itertools.count())


def draw_for_ever(scenario: Scenario, dialect: DialectName, seed: int) -> Iterator[Turn]:
    """The turns of a whole family: plan after plan, each with all its attempts."""
    for batch in itertools.count():
        plans = draw_many(scenario, [dialect], clock=Clock.REAL, count=_BATCH, seed=seed + batch)
        if not plans:
            raise Unsupported(f"{scenario.name}: no plan fits its ranges on a real clock")
        for plan in plans:
            yield from (Turn(plan, conn) for conn in range(len(plan.attempts)))


def dialect_for(scenario: Scenario, wanted: str | None = None) -> DialectName:
    """The dialect to serve: the one that is wanted, else the first that the scenario speaks."""
    known = [dialect.value for dialect in scenario.dialects]
    if wanted is not None and wanted not in known:
        raise UsageError(f"{scenario.name} does not speak {wanted!r}; it speaks {', '.join(known)}")
    return DialectName(wanted or known[0])


@final
class _LiveRecorder:
    """Keeps nothing: it tells `watch` of every fact as it happens, with the number of the connection."""

    def __init__(self, number: int, watch: Watch) -> None:
        self._number = number
        self._watch = watch
        self._start = time.monotonic()

    def now(self) -> int:
        """Microseconds since the connection was accepted."""
        return round((time.monotonic() - self._start) * 1_000_000)

    def record(self, observation: Observation) -> None:
        """Pass it on."""
        self._watch(self._number, observation)


@final
class _Serving:
    """The connections of one address."""

    def __init__(self, turns: Iterator[Turn], watch: Watch, nursery: trio.Nursery) -> None:
        self._turns = turns
        self._watch = watch
        self._nursery = nursery
        self._numbers = itertools.count(1)
        self._open = 0

    def accept(self, client: SocketConnection) -> None:
        """Give a connection its turn; one too many is closed at once."""
        if self._open >= MOST_AT_ONCE:
            client.close()
            return
        self._open += 1
        self._nursery.start_soon(self._carry, next(self._turns), client)

    async def _carry(self, turn: Turn, client: SocketConnection) -> None:
        recorder = _LiveRecorder(next(self._numbers), self._watch)
        near, far = memory_pair()
        toxics = turn.plan.attempt(turn.conn).toxics
        model = ConnectionModel(toxics, seed=turn.plan.seed + turn.conn, semantics=Semantics.TRANSPARENT)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_link, model, client, near, turn.conn, recorder)
                await make_serve(turn.plan, recorder)(turn.conn, far)
        finally:
            client.close()
            self._open -= 1


async def serve(
    turns: Iterator[Turn],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    watch: Watch = lambda number, observation: None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled. Started with the root of the URL; raises :class:`UsageError` if the port is in use."""
    with await listen(host, port) as listener:
        async with trio.open_nursery() as nursery:
            task_status.started(endpoint_of(listener).root)
            await accept_forever(listener, _Serving(turns, watch, nursery).accept)


def base_url(root: str, dialect: DialectName) -> str:
    """What the dialect's SDK wants as its base URL."""
    return root + DIALECTS[dialect].base_path
