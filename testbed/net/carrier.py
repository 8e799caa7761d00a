"""The carrier: takes the client ends of one network's connections, and carries each through its link to the server.

The law of this module: connection number n, counted in the order in which the clients came, gets attempt n of the
plan; and a failure of ours in any task ends the network with a plain exception, never a group and never silence.

::

    client end ── Link(ConnectionModel) ── memory pair ── serve(n, ...)
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import final

import trio

from testbed.errors import HarnessError, TestbedError, alone
from testbed.faults.connection import ConnectionModel, Semantics
from testbed.net.connections import memory_pair
from testbed.net.link import run_link
from testbed.plan import Plan
from testbed.ports import ByteConnection, Recorder, Serve
from testbed.trace import Opened

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

# How connection n gets from the client's end, which it owns, to `serve` and back.
Connect = Callable[[int, ByteConnection], Awaitable[None]]

# So many connections at a time; a client in a reconnecting frenzy must not take the tester's machine with it.
MOST_AT_ONCE = 64


@final
class Carrier:
    """The connections of one network. Made by :func:`open_carrier`."""

    def __init__(self, connect: Connect, recorder: Recorder, nursery: trio.Nursery) -> None:
        self._connect = connect
        self._recorder = recorder
        self._nursery = nursery
        self._count = 0
        self._open = 0
        self.failure: Exception | None = None

    def carry(self, client: ByteConnection) -> None:
        """Carry one more connection, in the background, and own its end; one too many is closed at once."""
        if self._open >= MOST_AT_ONCE:
            client.close()
            return
        conn = self._count
        self._count += 1
        self._open += 1
        self._recorder.record(Opened(t=self._recorder.now(), conn=conn))
        self.run_beside(self._carry, conn, client)

    def run_beside(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task as long as the network is open; if it fails, the network does."""
        self._nursery.start_soon(self._guard, task, *arguments)

    async def _guard(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await task(*arguments)
        except Exception as error:  # whatever it is, it is ours, and the runner must hear of it
            self.failure = self.failure or _explain(error)
            self._nursery.cancel_scope.cancel()

    async def _carry(self, conn: int, client: ByteConnection) -> None:
        try:
            await self._connect(conn, client)
        finally:
            self._open -= 1


def _through_model(plan: Plan, serve: Serve, recorder: Recorder) -> Connect:
    """Carry through our own model of the network, to a server in this process."""

    async def connect(conn: int, client: ByteConnection) -> None:
        near, far = memory_pair()
        model = ConnectionModel(plan.attempt(conn).toxics, seed=plan.seed + conn, semantics=Semantics.TRANSPARENT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_link, model, client, near, conn, recorder)
            await serve(conn, far)

    return connect


@asynccontextmanager
async def open_carrier(
    plan: Plan, serve: Serve, recorder: Recorder, connect: Connect | None = None
) -> AsyncIterator[Carrier]:
    """Open the carrier of one run. Leaving ends every connection. `connect` stands in for our model of the network.

    A failure in one of its tasks cancels the body and is raised as it is if it is one of our own errors, else as a
    :class:`HarnessError` with its cause.
    """
    error: BaseException | None = None
    carrier: Carrier | None = None
    try:
        async with trio.open_nursery() as nursery:
            carrier = Carrier(connect or _through_model(plan, serve, recorder), recorder, nursery)
            try:
                yield carrier
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # the body's own exception, which the nursery has wrapped
        error = alone(group)
    if carrier is not None and carrier.failure is not None:
        raise carrier.failure
    if error is not None:
        raise error


def _explain(error: Exception) -> Exception:
    """Our own errors stay what they are; anything else is told as a failure of the harness, with its cause."""
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, TestbedError):
        return cause
    failure = HarnessError(f"the network failed: {type(cause).__name__}: {cause}")
    failure.__cause__ = cause
    return failure
