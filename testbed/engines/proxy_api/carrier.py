"""One proxy's network: its listener, and a link with a connection model for every connection.

The law of this module: clients are accepted first and their server is dialled then, as in the real server, but for each
client on its own: one slow server keeps nobody else waiting, and nothing here can block the API. A change of toxics
reaches every open connection before the call returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import final

import trio

from testbed.engines.proxy_api import addresses
from testbed.engines.proxy_api.messages import ApiError, ToxicEntry
from testbed.faults.connection import ConnectionModel, Semantics
from testbed.faults.toxics import ResetPeer
from testbed.net.connections import SocketConnection
from testbed.net.link import Link
from testbed.net.listener import accept_forever
from testbed.ports import ByteConnection, Recorder


@dataclass(slots=True, eq=False)
class _Connection:
    """One client: the scope of its task, and from when its server is reached on, what carries it."""

    client: SocketConnection
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    carried: tuple[ConnectionModel, Link] | None = None


class _Abrupt:
    """An end whose every close is a reset: what `reset_peer` makes of a socket, by the option SO_LINGER with 0."""

    def __init__(self, inner: ByteConnection) -> None:
        self.receive = inner.receive
        self.send = inner.send
        self.send_eof = inner.send_eof
        self.drain = inner.drain
        self.reset = self.close = inner.reset


@final
class LoopCarrier:
    """A :class:`testbed.engines.proxy_api.collection.Carrier` on trio sockets."""

    def __init__(self, nursery: trio.Nursery, recorder: Recorder, seeds: Iterator[int]) -> None:
        self._nursery = nursery
        self._recorder = recorder
        self._seeds = seeds
        self._upstream = ""
        self._toxics: dict[str, ToxicEntry] = {}
        self._listener: trio.socket.SocketType | None = None
        self._accepting = trio.CancelScope()
        self._connections: set[_Connection] = set()
        self._ended = trio.lowlevel.ParkingLot()

    async def start(self, listen: str, upstream: str, toxics: Sequence[ToxicEntry]) -> str:
        """Listen, and return where; raise :class:`ApiError` if that cannot be done."""
        self._listener, bound = await addresses.bind(listen)
        self._upstream = upstream
        self._toxics = {toxic.name: toxic for toxic in toxics}
        self._accepting = trio.CancelScope()
        self._nursery.start_soon(self._accept, self._listener, self._accepting)
        return bound

    async def stop(self) -> None:
        """Close the listener and every connection."""
        self._accepting.cancel()
        if self._listener is not None:
            self._listener.close()
        for connection in self._connections:
            connection.scope.cancel()
        while self._connections:
            await self._ended.park()

    async def resolve(self, listen: str) -> str:
        """The address that `listen` would come out as; raise :class:`ApiError` if it is none."""
        return addresses.join(*await addresses.resolve(listen))

    # --- toxics -------------------------------------------------------------------------------------------------------

    def add(self, toxic: ToxicEntry) -> None:
        """Add a toxic to the connections that are open, and to those to come."""
        self._toxics[toxic.name] = toxic
        self._change(lambda model, now: model.add(toxic.toxic(), now))

    def update(self, toxic: ToxicEntry) -> None:
        """Change the toxic of that name."""
        self._toxics[toxic.name] = toxic
        self._change(lambda model, now: model.update(toxic.name, toxic.toxic(), now))

    def remove(self, name: str) -> None:
        """Remove the toxic of that name."""
        self._toxics.pop(name, None)
        self._change(lambda model, now: model.remove(name, now))

    def _change(self, change: Callable[[ConnectionModel, int], object]) -> None:
        for connection in tuple(self._connections):
            if connection.carried is not None:
                model, link = connection.carried
                change(model, self._recorder.now())
                link.poke()

    # --- connections --------------------------------------------------------------------------------------------------

    async def _accept(self, listener: trio.socket.SocketType, scope: trio.CancelScope) -> None:
        with scope, listener:
            await accept_forever(listener, self._take)

    def _take(self, client: SocketConnection) -> None:
        connection = _Connection(client)
        self._connections.add(connection)
        self._nursery.start_soon(self._carry, connection)

    async def _carry(self, connection: _Connection) -> None:
        try:
            with connection.scope:
                await self._connect(connection)
        finally:
            connection.client.close()
            self._connections.discard(connection)
            self._ended.unpark_all()

    async def _connect(self, connection: _Connection) -> None:
        try:
            host, port = addresses.split(self._upstream)
            stream = await trio.open_tcp_stream(host or addresses.LOOPBACK, int(port))
        except (OSError, ValueError, ApiError):
            return  # there is no server: the client's connection just ends, as with the real proxy
        # From here to the link's first step nothing waits, so no change of toxics can fall in between.
        toxics = [toxic.toxic() for toxic in self._toxics.values()]
        model = ConnectionModel(toxics, seed=next(self._seeds), semantics=Semantics.TOXIPROXY)
        client: ByteConnection = connection.client
        server: ByteConnection = SocketConnection(stream.socket)
        if any(isinstance(toxic, ResetPeer) for toxic in toxics):
            client, server = _Abrupt(client), _Abrupt(server)
        link = Link(model, client, server, 0, self._recorder)
        connection.carried = (model, link)
        await link.run()
