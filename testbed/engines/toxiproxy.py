"""The engine `toxiproxy`: the real toxiproxy-server between the client and our server, on the real clock.

The law of this module: connection n meets the toxics of attempt n in the real server and nowhere else, and what the
trace says of the link was seen by us and not inferred.

::

    client ── tap ────────────── real proxy of attempt n ── listener of attempt n ── serve(n, ...)
              our listener and   its toxics, lowered        our listener
              a model without
              toxics: it sees every byte and end that the client gets

One proxy and one listener an attempt. Which connection came out at a listener? The last attempt repeats, so several
may be on their way through one proxy; but Toxiproxy's accept loop is serial, it dials upstream before it accepts
again and before it reads a byte. So the tap dials one at a time: under the attempt's lock it connects and waits for
the connection to come out. The pair is then certain, whatever becomes of the connection before its request.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, closing
from typing import TypeVar, final

import trio

from testbed.engines.toxiproxy_client import ToxiproxyClient
from testbed.engines.toxiproxy_lowering import lower, why_not
from testbed.engines.toxiproxy_server import close_quietly, running_server, unreachable
from testbed.engines.toxiproxy_witness import Witness, WitnessedConnection
from testbed.errors import HarnessError
from testbed.faults.connection import ConnectionModel, Semantics
from testbed.net.carrier import open_carrier
from testbed.net.connections import SocketConnection
from testbed.net.link import run_link
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.plan import Attempt, Plan
from testbed.ports import ByteConnection, Endpoint, Recorder, Serve
from testbed.trace import Clock

T = TypeVar("T")

# From the tap's connect to the connection's arrival behind the real proxy. On loopback it takes less than 1 ms.
DIAL_WITHIN = 5.0

# One server a run of trio, shared by all its networks.
_SERVER: trio.lowlevel.RunVar[ToxiproxyClient] = trio.lowlevel.RunVar("testbed_toxiproxy")


@final
class Toxiproxy:
    """Real Toxiproxy: the one at `url` or at TOXIPROXY_URL, else a toxiproxy-server that we start and stop."""

    name = "toxiproxy"
    clock = Clock.REAL

    def __init__(self, url: str | None = None) -> None:
        self._url = url

    def unsupported(self, plan: Plan) -> str | None:
        """Say in a sentence why the real server cannot carry this plan exactly, or return None."""
        return why_not(plan)

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run `main` under trio, with a server that was found, or is started and stopped around it."""

        async def beside_the_server() -> T:
            async with running_server(self._url) as url:
                _SERVER.set(ToxiproxyClient(url))
                return await main()

        return trio.run(beside_the_server)

    def network(self, plan: Plan, serve: Serve, recorder: Recorder) -> AbstractAsyncContextManager[Endpoint]:
        """Open a tap, and a proxy for every attempt; all of it is gone when the context is left."""
        return self._network(plan, serve, recorder)

    @asynccontextmanager
    async def _network(self, plan: Plan, serve: Serve, recorder: Recorder) -> AsyncIterator[Endpoint]:
        async with AsyncExitStack() as stack:
            routes = [await stack.enter_async_context(_route(_server(), attempt)) for attempt in plan.attempts]

            async def connect(conn: int, client: ByteConnection) -> None:
                await routes[min(conn, len(routes) - 1)].carry(conn, client, serve, recorder)

            tap = stack.enter_context(await listen())
            carrier = await stack.enter_async_context(open_carrier(plan, serve, recorder, connect))
            carrier.run_beside(accept_forever, tap, carrier.carry)
            yield endpoint_of(tap)


def _server() -> ToxiproxyClient:
    try:
        return _SERVER.get()
    except LookupError:
        raise HarnessError("a network of the toxiproxy engine was opened outside of its run()") from None


@asynccontextmanager
async def _route(server: ToxiproxyClient, attempt: Attempt) -> AsyncIterator[_Route]:
    """Open the proxy of one attempt and the listener behind it."""
    # Unique, because the server may be shared with other runs, and with whatever else the tester does with it.
    name = f"testbed-{secrets.token_hex(6)}"
    with await listen() as listener:
        behind = endpoint_of(listener)
        upstream = f"{behind.host}:{behind.port}"
        try:
            opening = (name, upstream, lower(attempt), "127.0.0.1:0")
            state = await trio.to_thread.run_sync(server.open_proxy, *opening)
            yield _Route(attempt, *state.address, listener)
        finally:
            await close_quietly(server, name)


@final
class _Route:
    """The way of one attempt: into its proxy, out at its listener."""

    def __init__(self, attempt: Attempt, host: str, port: int, listener: trio.socket.SocketType) -> None:
        self._attempt = attempt
        self._host = host
        self._port = port
        self._listener = listener
        self._dialling = trio.Lock()

    async def carry(self, conn: int, client: ByteConnection, serve: Serve, recorder: Recorder) -> None:
        """Carry one connection through the real proxy until it is over on both sides."""
        with closing(client):
            near, far = await self._dial()
            with closing(near), closing(far):
                witness = Witness(self._attempt.toxics, conn, recorder)
                tap = ConnectionModel((), seed=0, semantics=Semantics.TRANSPARENT)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run_link, tap, client, near, conn, witness)
                    await serve(conn, WitnessedConnection(far, witness))

    async def _dial(self) -> tuple[SocketConnection, SocketConnection]:
        """Connect to the proxy, and wait for this very connection to come out behind it."""
        async with self._dialling:
            try:
                near = SocketConnection((await trio.open_tcp_stream(self._host, self._port)).socket)
            except OSError as error:
                raise unreachable(self._host, self._port) from error
            with ExitStack() as undo:
                undo.callback(near.close)
                try:
                    with trio.fail_after(DIAL_WITHIN):
                        far, _ = await self._listener.accept()
                except trio.TooSlowError as error:
                    late = f"Toxiproxy took a connection but did not hand it on within {DIAL_WITHIN:g} s"
                    raise HarnessError(late) from error
                undo.pop_all()
            return near, SocketConnection(far)
