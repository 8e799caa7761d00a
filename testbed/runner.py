"""One run: a plan, carried by an engine, met by a client, gives a trace.

The law of this module: composition only. It puts server, network and client together and waits; it judges nothing,
and whatever the client does, the caller gets a trace. Only our own mistakes are raised
(:class:`~testbed.errors.HarnessError`), and what cannot be carried exactly (:class:`~testbed.errors.Unsupported`).
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import final

import msgspec
import trio

from testbed._values import digest
from testbed.dialects import DIALECTS
from testbed.dialects.prompts import prompted
from testbed.errors import Unsupported, unknown_name
from testbed.net.certificates import ca_file
from testbed.net.watchdog import watch
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Endpoint, Engine, Recorder, Runtime, Target
from testbed.server.app import make_serve
from testbed.timing import needs, patience
from testbed.trace import (
    FALLBACK,
    ClientLeft,
    Clock,
    Closed,
    Cure,
    Header,
    LinkReset,
    Observation,
    Opened,
    Request,
    Trace,
)

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

# After the client is done we wait this long for its connections to be seen closed; the wait ends as soon as they are.
GRACE = 1.0
_GRACE_STEP = 0.005

# A process may take so long to come up on a machine that is busy with others; it has not been called by then.
_START_UP = 30.0

# The one to ask for at the second address.
FALLBACK_MODEL = "testbed-2"

_ENGINES = {
    "simulated": ("testbed.engines.simulated", "Simulated"),
    "embedded": ("testbed.engines.embedded", "Embedded"),
    "toxiproxy": ("testbed.engines.toxiproxy", "Toxiproxy"),
}
AUTO = ("simulated", "embedded")

# Which runtimes of a client an engine can drive, best first.
_RUNTIMES = {
    Clock.VIRTUAL: (Runtime.TRIO,),
    Clock.REAL: (Runtime.ASYNCIO, Runtime.THREAD, Runtime.PROCESS, Runtime.TRIO),
}


@final
class TraceRecorder:
    """Collects observations from any thread, in the order of time."""

    def __init__(self, clock: Clock) -> None:
        self._read: Callable[[], float] = trio.current_time if clock is Clock.VIRTUAL else time.monotonic
        self._start = self._read()
        self._lock = threading.Lock()
        self._observations: list[Observation] = []

    def now(self) -> int:
        """Microseconds since the recorder was made."""
        return round((self._read() - self._start) * 1_000_000)

    def record(self, observation: Observation) -> None:
        """Append one observation."""
        with self._lock:
            self._observations.append(observation)

    def trace(self, header: Header) -> Trace:
        """Return what was seen so far, sorted by time (stable.

        Simultaneous facts keep the order in which they were recorded).
        """
        with self._lock:
            return Trace(header=header, observations=tuple(sorted(self._observations, key=lambda seen: seen.t)))

    def open_connections(self) -> int:
        """Count the connections that the client has opened and not left."""
        with self._lock:
            opened = {seen.conn for seen in self._observations if isinstance(seen, Opened)}
            over = {seen.conn for seen in self._observations if isinstance(seen, (ClientLeft, LinkReset))}
        return len(opened - over)


@final
class Elsewhere:
    """The recorder of the second address: the same trace, with connections that nobody takes for the first one's."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def now(self) -> int:
        """Microseconds since the run began."""
        return self._recorder.now()

    def record(self, observation: Observation) -> None:
        """Append one observation, as of a connection of the second address."""
        moved: dict[str, object] = {}
        if (conn := getattr(observation, "conn", None)) is not None:
            moved["conn"] = conn + FALLBACK
        if isinstance(observation, Request):
            # An attempt that is told by the number of its connection goes on to be.
            moved["attempt"] = observation.attempt if observation.attempt < 0 else observation.attempt + FALLBACK
            moved["fallback"] = True
        self._recorder.record(msgspec.structs.replace(observation, **moved))


def engine(name: str) -> Engine:
    """Make the engine of that name; raises :class:`~testbed.errors.UsageError` for one that does not exist."""
    if name not in _ENGINES:
        raise unknown_name("engine", name, [*_ENGINES, "auto"])
    module, attribute = _ENGINES[name]
    made: Engine = getattr(importlib.import_module(module), attribute)()
    return made


def engine_names() -> tuple[str, ...]:
    """The names of all engines."""
    return tuple(_ENGINES)


def resolve_engines(names: Iterable[str], client: ClientAdapter) -> tuple[str, ...]:
    """Expand ``auto`` to the engines that can drive `client`; names given explicitly stay, once each."""
    resolved: list[str] = []
    for name in names:
        wanted = [auto for auto in AUTO if runtime_for(client, _clock_of(auto))] if name == "auto" else [name]
        for one in wanted:
            if one not in _ENGINES:
                raise unknown_name("engine", one, [*_ENGINES, "auto"])
            if one not in resolved:
                resolved.append(one)
    return tuple(resolved)


def _clock_of(name: str) -> Clock:
    return Clock.VIRTUAL if name == "simulated" else Clock.REAL


def runtime_for(client: ClientAdapter, clock: Clock) -> Runtime | None:
    """The runtime in which `client` runs on that clock, or None if it cannot."""
    return next((runtime for runtime in _RUNTIMES[clock] if runtime in client.runtimes), None)


def unsupported(plan: Plan, over: Engine, client: ClientAdapter) -> str | None:
    """Say why this plan cannot be asked of this client over this engine, or return None."""
    name = client.profile.name
    if plan.dialect not in client.profile.dialects:
        spoken = ", ".join(dialect.value for dialect in client.profile.dialects)
        return f"{name} does not speak {plan.dialect.value} (it speaks {spoken})"
    if runtime_for(client, over.clock) is None:
        return f"{name} cannot run on {over.name}: that engine needs a client that runs on trio"
    if Cure.MEMORY_BOUNDED in plan.expect.cures and runtime_for(client, over.clock) is not Runtime.PROCESS:
        return f"memory is measured of a client in a process of its own: name {name} with --isolate, on a real clock"
    missing = needs(plan) - frozenset(client.profile.options)
    if missing:
        options = ", ".join(sorted(option.value for option in missing))
        return f"{name} takes no {options}, on which the right outcome depends"
    settings = plan.client
    if client.profile.shared_read_timeout and settings.first_byte_timeout not in (None, settings.idle_timeout):
        return f"{name} has one read time-out and cannot take a first_byte_timeout that differs from idle_timeout"
    return over.unsupported(plan) or (None if plan.second is None else over.unsupported(plan.second))


def run(plan: Plan, over: Engine, client: ClientAdapter) -> Trace:
    """Run one plan. Raises :class:`Unsupported` where it cannot be carried exactly."""
    return run_many([plan], over, client)[0]


def run_many(plans: Sequence[Plan], over: Engine, client: ClientAdapter) -> tuple[Trace, ...]:
    """Run several plans at the same time, each with a network and addresses of its own.

    Traces in the order of plans.
    """
    for plan in plans:
        if (reason := unsupported(plan, over, client)) is not None:
            raise Unsupported(reason)
    traces: dict[int, Trace] = {}

    async def one(index: int) -> None:
        traces[index] = await run_async(plans[index], over, client)

    async def all_at_once() -> None:
        async with trio.open_nursery() as nursery:
            for index in range(len(plans)):
                nursery.start_soon(one, index)

    with _loopback_is_direct():
        try:
            over.run(all_at_once)
        except BaseExceptionGroup as group:  # our own tasks: callers get the first cause, not trio's wrapping
            raise _root(group) from group
    return tuple(traces[index] for index in range(len(plans)))


async def run_async(plan: Plan, over: Engine, client: ClientAdapter) -> Trace:
    """The run itself, inside the engine's loop."""
    runtime = runtime_for(client, over.clock)
    if runtime is None:
        raise Unsupported(f"{client.profile.name} cannot run on {over.name}")
    recorder = TraceRecorder(over.clock)
    async with trio.open_nursery() as nursery:
        if over.clock is Clock.REAL:
            nursery.start_soon(watch, recorder)
        async with AsyncExitStack() as networks:
            endpoint = await networks.enter_async_context(over.network(plan, make_serve(plan, recorder), recorder))
            target = target_of(plan, endpoint)
            if (second := plan.second) is not None:
                elsewhere = Elsewhere(recorder)
                network = over.network(second, make_serve(second, elsewhere), elsewhere)
                target = _with_fallback(target, plan, await networks.enter_async_context(network))
            with trio.move_on_after(patience(plan) + (_START_UP if runtime is Runtime.PROCESS else 0.0)):
                await client.drive(target, runtime, recorder, plan.client.cancel_at)
            await _wait_until_left(recorder)
        nursery.cancel_scope.cancel()
    return recorder.trace(Header(plan=digest(plan), engine=over.name, clock=over.clock, client=client.profile))


def _root(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that matters: an interrupt if there is one, else the first leaf."""
    interrupts, _ = group.split(KeyboardInterrupt)
    error: BaseException = interrupts or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _wait_until_left(recorder: TraceRecorder) -> None:
    with trio.move_on_after(GRACE):
        while recorder.open_connections():  # noqa: ASYNC110  # the recorder is fed by threads, an Event is not
            await trio.sleep(_GRACE_STEP)
    recorder.record(Closed(t=recorder.now()))


def target_of(plan: Plan, endpoint: Endpoint) -> Target:
    """What the client is told for this plan."""
    dialect = DIALECTS[plan.dialect]
    settings = plan.client
    model = "testbed-1"
    if plan.sealed:
        endpoint = msgspec.structs.replace(endpoint, scheme="https")
    return Target(
        base_url=endpoint.root + dialect.base_path,
        dialect=plan.dialect,
        model=model,
        request=prompted(plan.dialect, model, history=settings.history, attachment=settings.attachment),
        connect_timeout=settings.connect_timeout,
        first_byte_timeout=settings.first_byte,
        idle_timeout=settings.idle_timeout,
        max_retries=settings.max_retries,
        ca=ca_file() if plan.sealed else None,
        keepalives=settings.keepalives,
        max_event_bytes=settings.max_event_bytes,
        pace=settings.pace,
    )


def _with_fallback(target: Target, plan: Plan, second: Endpoint) -> Target:
    elsewhere = target_of(plan, second)
    return msgspec.structs.replace(target, fallback_url=elsewhere.base_url, fallback_model=FALLBACK_MODEL)


@contextmanager
def _loopback_is_direct() -> Iterator[None]:
    """Keep a proxy of the machine's environment out of the way of loopback traffic, for clients in this process and
    below it.
    """
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    for name, value in before.items():
        os.environ[name] = ",".join(filter(None, [value, "127.0.0.1", "localhost"]))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
