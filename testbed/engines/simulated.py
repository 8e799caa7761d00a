"""The engine `simulated`: client, network and server in one trio loop, on virtual time.

The law of this module: no real time passes but what computing costs, and nothing leaves the process. The client is
unmodified: it opens what it takes for a TCP socket and gets an in-memory connection, whose other end runs through the
same link and :class:`~testbed.faults.connection.ConnectionModel` as on every other engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar, final

import trio

from testbed.engines._determinism import repeatable
from testbed.engines._virtual_clock import VirtualClock
from testbed.engines._virtual_socket import VirtualNet
from testbed.net.carrier import open_carrier
from testbed.net.connections import MemoryConnection, memory_pair
from testbed.plan import Plan
from testbed.ports import Endpoint, Recorder, Serve
from testbed.trace import Clock

T = TypeVar("T")


@final
class Simulated:
    """Virtual time: an hour-long stall costs milliseconds, and the same plan gives the same run."""

    name = "simulated"
    clock = Clock.VIRTUAL

    def __init__(self) -> None:
        self._net = VirtualNet()

    def unsupported(self, plan: Plan) -> str | None:
        """Every toxic is carried exactly: the model is ours."""
        return None

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run `main` on a virtual clock that starts at 0, with trio's scheduler and the global generator seeded."""

        async def on_virtual_net() -> T:
            self._net.install()
            return await main()

        with repeatable("testbed"):
            return trio.run(on_virtual_net, clock=VirtualClock())

    def network(self, plan: Plan, serve: Serve, recorder: Recorder) -> AbstractAsyncContextManager[Endpoint]:
        """Open an in-memory network whose one address leads to `serve`."""
        return self._network(plan, serve, recorder)

    @asynccontextmanager
    async def _network(self, plan: Plan, serve: Serve, recorder: Recorder) -> AsyncIterator[Endpoint]:
        async with open_carrier(plan, serve, recorder) as carrier:

            def accept() -> MemoryConnection:
                theirs, ours = memory_pair()
                carrier.carry(ours)
                return theirs

            endpoint = self._net.listen(accept)
            try:
                yield endpoint
            finally:
                self._net.forget(endpoint)
