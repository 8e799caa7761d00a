"""Serving: plans played on one address to whoever connects, faults and all, for clients that we do not drive.

The law of this module: every connection gets the next turn of the stage that it is for, and a turn is one attempt of
one plan; what goes wrong with one connection never ends the serving. The network is the model of the engine `embedded`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, final

import msgspec
import trio

from testbed._scenario_build import is_constant
from testbed.catalogue import Scenario, single
from testbed.dialects import DIALECTS
from testbed.errors import HarnessError, Unsupported, UsageError, alone
from testbed.faults.connection import ConnectionModel, Semantics
from testbed.net import crowd_task
from testbed.net.connections import SocketConnection, memory_pair
from testbed.net.crowd_stream import Limits
from testbed.net.crowd_stream import Turn as CrowdTurn
from testbed.net.http_request import IncomingRequest, Malformed
from testbed.net.link import run_link
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.plan import Plan, Tls
from testbed.ports import ByteConnection
from testbed.script import DialectName, Ending
from testbed.server.app import Setting, make_serve, serve_by
from testbed.server.crowd import clock, crowds, host_of
from testbed.server.glance import Replayed, glance
from testbed.server.stages import House, Place, Porter, Stage, Turn, TurnOfAny, TurnOfOne
from testbed.strategies import draw_many
from testbed.trace import Clock, Observation, Opened, PeerLeft, ServerEnd

__all__ = [
    "House",
    "Stage",
    "Turn",
    "Watcher",
    "base_url",
    "dialect_for",
    "draw_for_ever",
    "repeat",
    "sealed",
    "serve",
    "stages",
]

_BATCH = 8

# So many connections at a time, and so many seconds for a request to be whole.
MOST_AT_ONCE = 1000
MOST_TIME = 30.0


class Watcher(Protocol):
    """Who is told of what happens, by the number of the connection, from 1."""

    def turn(self, number: int, turn: Turn) -> None:
        """It gets this turn. A request that is for no stage has none."""
        ...

    def seen(self, number: int, observation: Observation) -> None:
        """What was seen of it. Times are microseconds since it was accepted."""
        ...

    def over(self, number: int, trouble: str) -> None:
        """It is over. `trouble`: what of ours went wrong, or the empty string."""
        ...


@final
class _Nobody:
    """Wants to know nothing."""

    def turn(self, number: int, turn: Turn) -> None: ...

    def seen(self, number: int, observation: Observation) -> None: ...

    def over(self, number: int, trouble: str) -> None: ...


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


def sealed(turns: Iterable[Turn]) -> Iterator[Turn]:
    """The same turns under TLS, those that have none of their own with a certificate that is right."""
    for plan, conn in turns:
        attempts = (msgspec.structs.replace(one, tls=one.tls or Tls()) for one in plan.attempts)
        yield Turn(msgspec.structs.replace(plan, attempts=tuple(attempts)), conn)


def dialect_for(scenario: Scenario, wanted: str | None = None) -> DialectName:
    """The dialect to serve: the one that is wanted, else the first that the scenario speaks."""
    known = [dialect.value for dialect in scenario.dialects]
    if wanted is not None and wanted not in known:
        raise UsageError(f"{scenario.name} does not speak {wanted!r}; it speaks {', '.join(known)}")
    return DialectName(wanted or known[0])


def stages(
    scenarios: Iterable[Scenario], dialects: Iterable[DialectName], seed: int, *, tls: bool = False
) -> Iterator[Stage]:
    """A stage for each scenario in each of the dialects that it speaks."""
    wanted = tuple(dialects)
    for scenario in scenarios:
        for dialect in (one for one in wanted if one in scenario.dialects):
            turns = draw_for_ever(scenario, dialect, seed)
            plan = single(scenario) if is_constant(scenario) and not tls else None
            yield Stage(scenario.name, dialect, sealed(turns) if tls else turns, scenario.quota, plan=plan)


@final
class _LiveRecorder:
    """Keeps nothing: it tells the watcher of every fact as it happens, with the number of the connection."""

    def __init__(self, number: int, watcher: Watcher) -> None:
        self._number = number
        self._watcher = watcher
        self._start = time.monotonic()

    def now(self) -> int:
        """Microseconds since the connection was accepted."""
        return round((time.monotonic() - self._start) * 1_000_000)

    def record(self, observation: Observation) -> None:
        """Pass it on."""
        self._watcher.seen(self._number, observation)


@final
class _Serving:
    """The connections of one address."""

    def __init__(self, house: House, watcher: Watcher, nursery: trio.Nursery) -> None:
        self._house = house
        self._watcher = watcher
        self._nursery = nursery
        self._numbers = itertools.count(1)
        self._open = 0
        self._drawing = {stage: trio.Lock() for stage in house.stages}

    def accept(self, client: SocketConnection) -> None:
        """Give a connection its turn; one too many is closed at once."""
        if self._open >= MOST_AT_ONCE:
            client.close()
            return
        self._open += 1
        self._nursery.start_soon(self._carry, next(self._numbers), client)

    async def _carry(self, number: int, client: SocketConnection) -> None:
        trouble = ""
        try:
            await self._serve(number, client)
        except Exception as error:  # whatever it is, it is of this connection, and the others go on
            cause = alone(error)
            trouble = f"{type(cause).__name__}: {cause}"
        finally:
            client.close()
            self._open -= 1
            self._watcher.over(number, trouble)

    async def _serve(self, number: int, client: SocketConnection) -> None:
        recorder = _LiveRecorder(number, self._watcher)
        recorder.record(Opened(t=0, conn=number))
        if (stage := self._house.only) is not None:
            await self._play(Place(stage), number, client, recorder)
            return
        looked = Replayed(client)
        seen = await glance(looked, MOST_TIME, self._house.knows)
        place = self._house.place(seen)
        if place is None:
            await serve_by(Porter(self._house, seen), recorder, setting=_setting())(number, looked)
        else:
            await self._play(place, number, looked, recorder)

    async def _play(self, place: Place, number: int, client: ByteConnection, recorder: _LiveRecorder) -> None:
        order = await self._order(place.stage)
        plan, conn = order.turn
        self._watcher.turn(number, order.turn)
        attempt = plan.attempt(conn)
        near, far = memory_pair()
        model = ConnectionModel(attempt.toxics, seed=plan.seed + conn, semantics=Semantics.TRANSPARENT)
        serve = make_serve(plan, recorder, order=order, memory=place.stage.memory, setting=_setting(place.prefix))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_link, model, client, near, conn, recorder)
                await serve(conn, far)
        finally:
            order.over(struck=bool(attempt.toxics) or attempt.tls is not None)

    async def _order(self, stage: Stage) -> TurnOfOne:
        """Give a connection its turn. To draw plans takes a while, in which the other streams go on."""
        async with self._drawing[stage]:
            if not stage.ready:
                stage.give_back(await trio.to_thread.run_sync(stage.take))
            return TurnOfOne(stage)


def _setting(prefix: str = "") -> Setting:
    # A clock that all connections share: a quota is counted over all of them.
    return Setting(MOST_TIME, clock, prefix)


async def serve(
    what: House | Iterator[Turn],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    watcher: Watcher | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled. Started with the root of the URL; raises :class:`UsageError` if the port is in use."""
    house = what if isinstance(what, House) else House([_stage_of(what)])
    with await listen(host, port) as listener:
        task_status.started(endpoint_of(listener).root)
        if (stage := _for_a_crowd(house)) is not None:
            crowd = _CrowdHost(stage, watcher or _Nobody())
            await crowd_task.run(crowd, listener, watch=crowd.recorder, limits=Limits(seconds=MOST_TIME))
        async with trio.open_nursery() as nursery:
            await accept_forever(listener, _Serving(house, watcher or _Nobody(), nursery).accept)


def _for_a_crowd(house: House) -> Stage | None:
    """The stage that one task can play to everybody: one plan, and no network or reading that it would need."""
    stage = house.only
    if stage is None or stage.plan is None or not crowd_task.AVAILABLE or not crowds(stage.plan):
        return None
    return stage


@final
class _CrowdHost:
    """The host of a crowd: it plays the turns of a stage, and tells the watcher of them."""

    def __init__(self, stage: Stage, watcher: Watcher) -> None:
        if stage.plan is None:
            raise HarnessError("a crowd is played one plan")
        self._plan = stage.plan
        self._watcher = watcher
        self._order = TurnOfAny(stage)
        self._host = host_of(stage.plan, clock, order=self._order, memory=stage.memory)

    def recorder(self, conn: int) -> _CrowdRecorder:
        """Who records what is seen of this connection."""
        return _CrowdRecorder(conn + 1, self._watcher)

    def choose(self, request: IncomingRequest, conn: int) -> CrowdTurn:
        """Play the turn that is due."""
        self._watcher.turn(conn + 1, Turn(self._plan, self._order.next(conn)[0]))
        # The watcher has the attempt's number; the connection's own would be another one.
        return self._host.choose(request, conn)

    def refuse(self, malformed: Malformed, conn: int) -> CrowdTurn:
        """Say what is wrong."""
        return self._host.refuse(malformed, conn)


@final
class _CrowdRecorder:
    """Tells the watcher of every fact, and of the end of the connection when it is one."""

    def __init__(self, number: int, watcher: Watcher) -> None:
        self._number = number
        self._watcher = watcher
        self._live = _LiveRecorder(number, watcher)
        self._live.record(Opened(t=0, conn=number))

    def now(self) -> int:
        """Microseconds since the connection was accepted."""
        return self._live.now()

    def record(self, observation: Observation) -> None:
        """Pass it on."""
        self._live.record(observation)
        if isinstance(observation, PeerLeft) or (
            isinstance(observation, ServerEnd) and observation.how is not Ending.OPEN
        ):
            self._watcher.over(self._number, "")


def _stage_of(turns: Iterator[Turn]) -> Stage:
    first = next(turns)
    plan = first.plan
    return Stage(plan.scenario, plan.dialect, itertools.chain([first], turns), plan.quota)


def base_url(root: str, dialect: DialectName) -> str:
    """What the dialect's SDK wants as its base URL."""
    return root + DIALECTS[dialect].base_path
