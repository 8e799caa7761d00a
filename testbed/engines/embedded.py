"""The engine `embedded`: a loopback listener in this process, on the real clock.

The law of this module: nothing but Python is needed, and nothing but loopback is bound. Without toxics it is the direct
path between a client and the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar, final

import trio

from testbed.net.carrier import open_carrier
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.plan import Plan
from testbed.ports import Endpoint, Recorder, Serve
from testbed.trace import Clock

T = TypeVar("T")


@final
class Embedded:
    """Real sockets, real time, our own model of the network."""

    name = "embedded"
    clock = Clock.REAL

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._port = port

    def unsupported(self, plan: Plan) -> str | None:
        """Every toxic is carried exactly: the model is ours."""
        return None

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run `main` under trio."""
        return trio.run(main)

    def network(self, plan: Plan, serve: Serve, recorder: Recorder) -> AbstractAsyncContextManager[Endpoint]:
        """Listen on a port of its own and carry every connection as the plan says."""
        return self._network(plan, serve, recorder)

    @asynccontextmanager
    async def _network(self, plan: Plan, serve: Serve, recorder: Recorder) -> AsyncIterator[Endpoint]:
        with await listen(self._host, self._port) as listener:
            async with open_carrier(plan, serve, recorder) as carrier:
                carrier.run_beside(accept_forever, listener, carrier.carry)
                yield endpoint_of(listener)
