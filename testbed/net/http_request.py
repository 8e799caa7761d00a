"""Reading one HTTP/1.1 request with h11, and turning it into an ASGI scope.

The law of this module: whatever a client sends, the result is a request, a :class:`Malformed` that says in a sentence
what is wrong with it, or a :class:`PeerGone`; head and body are bounded.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import h11

from testbed.ports import ByteConnection

MOST_HEAD = 64 * 1024
MOST_BODY = 16 * 1024 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """The request is no HTTP, or too large. `status` is what to answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class PeerGone(Exception):
    """The peer left before its request was whole."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("the peer left before its request was whole")
        self.reset = reset


class IncomingRequest(NamedTuple):
    """A whole request. `answered` counts the bytes of an interim answer that went out while it was read."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    answered: int

    @property
    def path(self) -> str:
        """The target's path, decoded. A target in absolute form names it behind the host."""
        return unquote(self._parts()[0])

    def scope(self) -> dict[str, object]:
        """Build the ASGI connection scope."""
        path, query = self._parts()
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": self.version,
            "method": self.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": list(self.headers),
            "client": None,
            "server": None,
            "state": {},
            "extensions": {"testbed.wire": {}},
        }

    def _parts(self) -> tuple[str, str]:
        target = self.target
        if target.startswith("/"):
            path, _, query = target.partition("?")
            return path, query
        try:
            parts = urlsplit(target)
        except ValueError:  # http://[ and its like: no path that anybody serves
            return target, ""
        return parts.path or "/", parts.query


async def read_request(connection: ByteConnection) -> IncomingRequest:
    """Read one whole request; raises :class:`Malformed` or :class:`PeerGone`."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
    head: h11.Request | None = None
    body = bytearray()
    answered = 0
    while True:
        event = _next_event(parser)
        if isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST_BODY:
                raise Malformed(413, f"the body is longer than {MOST_BODY} bytes")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _request(head, bytes(body), answered)
        else:
            answered += await _interim(parser, connection)
            parser.receive_data(await _receive(connection))


def _next_event(parser: h11.Connection) -> object:
    try:
        return parser.next_event()
    except h11.RemoteProtocolError as error:
        raise Malformed(error.error_status_hint, str(error)) from error


async def _interim(parser: h11.Connection, connection: ByteConnection) -> int:
    """Tell a client that waits with its body to go on."""
    if not parser.they_are_waiting_for_100_continue:
        return 0
    parser.send(h11.InformationalResponse(status_code=100, headers=[]))
    try:
        await connection.send(_CONTINUE)
    except ConnectionError as error:
        raise PeerGone(reset=True) from error
    return len(_CONTINUE)


async def _receive(connection: ByteConnection) -> bytes:
    try:
        data = await connection.receive()
    except ConnectionError as error:
        raise PeerGone(reset=True) from error
    if not data:
        raise PeerGone(reset=False)
    return data


def _request(head: h11.Request, body: bytes, answered: int) -> IncomingRequest:
    return IncomingRequest(
        method=head.method.decode("ascii"),
        target=head.target.decode("ascii"),
        version=head.http_version.decode("ascii"),
        headers=tuple((bytes(name), bytes(value)) for name, value in head.headers),
        body=body,
        answered=answered,
    )
