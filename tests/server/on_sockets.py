"""A plan's server on a real port of the loopback, for clients that know nothing but a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from testbed.net.connections import SocketConnection
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.plan import Plan
from testbed.ports import Recorder
from testbed.server.app import ALONE, Setting, make_serve

T = TypeVar("T")


@asynccontextmanager
async def served(plan: Plan, recorder: Recorder, setting: Setting = ALONE) -> AsyncIterator[str]:
    """Serve the plan, connection n as number n; yields the root of its URL."""
    serve = make_serve(plan, recorder, setting=setting)
    async with trio.open_nursery() as nursery:
        with await listen() as listener:
            count = iter(range(1_000_000))

            def handle(connection: SocketConnection) -> None:
                nursery.start_soon(serve, next(count), connection)

            nursery.start_soon(accept_forever, listener, handle)
            try:
                yield endpoint_of(listener).root
            finally:
                nursery.cancel_scope.cancel()


async def beside(call: Callable[[], T]) -> T:
    """Run blocking code of a client in a thread, for at most twenty seconds."""
    with trio.fail_after(20):
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)
