"""A glance at a request before it is served: just enough of it to know whose it is.

The law of this module: what was read is not lost. The connection that comes back says the same bytes again, so whoever
serves it, and whatever network lies in between, sees the request as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, final

import msgspec
import trio

from testbed.net.http_request import IncomingRequest, Malformed, PeerGone, RequestParser
from testbed.ports import ByteConnection


class Seen(NamedTuple):
    """What a glance saw. `path` is "" where there was no request to see; `model` is "" where it was not looked for."""

    path: str
    headers: Mapping[str, str]
    model: str


@final
class Replayed:
    """A byte connection from which bytes were read that come again."""

    def __init__(self, connection: ByteConnection) -> None:
        self._connection = connection
        self._again = bytearray()

    async def look(self) -> bytes:
        """Read bytes ahead of whoever will be served."""
        data = await self._connection.receive()
        self._again += data
        return data

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return the next bytes, those that were looked at first."""
        if not self._again:
            return await self._connection.receive(max_bytes)
        await trio.lowlevel.checkpoint()
        data = bytes(self._again[:max_bytes])
        del self._again[:max_bytes]
        return data

    async def send(self, data: bytes) -> None:
        """Send."""
        await self._connection.send(data)

    async def send_eof(self, *, abrupt: bool = False) -> None:
        """Send FIN."""
        await self._connection.send_eof(abrupt=abrupt)

    async def drain(self) -> None:
        """Wait until the peer has everything."""
        await self._connection.drain()

    def reset(self) -> None:
        """Send RST."""
        self._connection.reset()

    def close(self) -> None:
        """Close."""
        self._connection.close()


async def glance(connection: Replayed, most_time: float, enough: Callable[[str], bool]) -> Seen:
    """Look at the head of the request that comes, and at its JSON body too if its path is not `enough`.

    Never raises for what a client does; who serves the connection will meet the same.
    """
    parser = RequestParser()
    with trio.move_on_after(most_time):
        try:
            return _seen(await _read(connection, parser, enough))
        except (Malformed, PeerGone, ConnectionError):
            pass
    return _seen(parser.head)


async def _read(connection: Replayed, parser: RequestParser, enough: Callable[[str], bool]) -> IncomingRequest | None:
    while (request := parser.take()) is None:
        head = parser.head
        # A client that waits for the word to go on is not given it here: it belongs to the answer.
        if head is not None and (parser.wants_continue or enough(head.path)):
            return head
        if not (data := await connection.look()):
            return head
        parser.feed(data)
    return request


def _seen(request: IncomingRequest | None) -> Seen:
    if request is None:
        return Seen("", {}, "")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    return Seen(request.path, headers, _model(request.body))


def _model(body: bytes) -> str:
    try:
        model = msgspec.json.decode(body, type=_Named).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return model


class _Named(msgspec.Struct):
    """What of a body is looked at."""

    model: str = ""
