"""The server of the embedded Toxiproxy: the API on one port, its proxies on theirs.

The law of this module: when :func:`serve_proxy_api` is left, every port that it or a proxy opened is closed.
"""

from __future__ import annotations

import itertools
import secrets

import trio

from testbed.engines.proxy_api.app import make_app
from testbed.engines.proxy_api.carrier import LoopCarrier
from testbed.engines.proxy_api.collection import Proxies
from testbed.net.connections import SocketConnection
from testbed.net.http_server import serve_connection
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.ports import Endpoint
from testbed.trace import Observation

DEFAULT_PORT = 8474


class _Clock:
    """A recorder that tells the time and keeps nothing: a proxy runs for days."""

    def now(self) -> int:
        """Microseconds, from wherever trio counts."""
        return round(trio.current_time() * 1_000_000)

    def record(self, observation: Observation) -> None:
        """Forget."""


async def serve_proxy_api(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    seed: int | None = None,
    task_status: trio.TaskStatus[Endpoint] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve Toxiproxy's HTTP API, and the proxies it is asked for, until cancelled.

    Port 0 takes a free one; started by ``nursery.start`` it tells which. With `seed`, connection n draws the same
    toxicity, jitter and slices every time. Raises :class:`~testbed.errors.UsageError` if the port cannot be had.
    """
    clock = _Clock()
    listener = await listen(host, port)
    with listener:
        async with trio.open_nursery() as nursery:
            seeds = itertools.count(secrets.randbits(32) if seed is None else seed)
            app = make_app(Proxies(lambda: LoopCarrier(nursery, clock, seeds)))
            numbers = itertools.count()

            def take(client: SocketConnection) -> None:
                nursery.start_soon(serve_connection, app, next(numbers), client, clock)

            task_status.started(endpoint_of(listener))
            await accept_forever(listener, take)
