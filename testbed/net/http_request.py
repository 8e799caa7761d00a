"""Reading HTTP/1.1 requests with h11, and turning them into ASGI scopes.

The law of this module: whatever a client sends, the result is a request, a :class:`Malformed` that says in a sentence
what is wrong with it, or a :class:`PeerGone`; head and body are bounded. It does no I/O.
"""

from __future__ import annotations

from typing import NamedTuple, final
from urllib.parse import unquote, urlsplit

import h11

from testbed.errors import HarnessError

MOST_HEAD = 64 * 1024
MOST_BODY = 16 * 1024 * 1024
_VERSIONS = frozenset({"1.0", "1.1"})
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
    """A request. `answered` counts the bytes of an interim answer that went out while it was read.

    `whole`: the body is all of it; otherwise it is as much as was read before the answer began.
    """

    method: str
    target: str
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    answered: int = 0
    whole: bool = True

    @property
    def path(self) -> str:
        """The target's path, decoded. A target in absolute form names it behind the host."""
        return unquote(self._parts()[0])

    @property
    def query(self) -> str:
        """What stands behind the target's question mark, as it was sent."""
        return self._parts()[1]

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
            "extensions": {"testbed.wire": {"whole": self.whole}},
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


@final
class RequestParser:
    """Requests out of the bytes of one connection, one after the other, without any I/O.

    Feed it what arrives, take what is whole, and ask before waiting for more whether the client waits itself.
    """

    def __init__(self, *, most_head: int = MOST_HEAD, most_body: int = MOST_BODY) -> None:
        self._most_head = most_head
        self._most_body = most_body
        self._ended = False
        self._wrong: Malformed | None = None
        self._begin(b"")

    def _begin(self, data: bytes) -> None:
        # A reader of its own for each request: h11 would want to see our answers before it reads on, and they are
        # not always such as it would let us write.
        self._reader = h11.Connection(h11.SERVER, max_incomplete_event_size=self._most_head)
        self._head: IncomingRequest | None = None
        self._body = bytearray()
        self._waiting = False
        self._forgetting = False
        self._fresh = not data
        if data:
            self._reader.receive_data(data)

    @property
    def head(self) -> IncomingRequest | None:
        """The request that is being read, without its body; None while its head is not whole."""
        return self._head

    @property
    def received(self) -> int:
        """How many bytes of its body were read so far."""
        return len(self._body)

    @property
    def idle(self) -> bool:
        """Whether no byte of a further request has arrived."""
        return self._fresh

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits with its body for the word to go on."""
        return self._waiting and not self._body

    def feed(self, data: bytes) -> None:
        """Give it the next bytes that arrived; never empty ones."""
        self._fresh = False
        self._reader.receive_data(data)

    def eof(self) -> None:
        """Tell it that nothing more will come."""
        self._ended = True

    def continued(self) -> bytes:
        """Return the interim answer that a waiting client must be sent; it is then not waiting any more."""
        self._waiting = False
        return _CONTINUE

    def take(self) -> IncomingRequest | None:
        """Return the next whole request, or None when it needs more bytes.

        Raises :class:`Malformed`, for good: what follows is no request either. Raises :class:`PeerGone` when there is
        none and will be none.
        """
        if self._wrong is not None:
            raise self._wrong
        try:
            return self._take()
        except Malformed as wrong:
            self._wrong = wrong
            raise

    def _take(self) -> IncomingRequest | None:
        while True:
            event = self._next_event()
            if isinstance(event, h11.Request):
                self._read_head(event)
            elif isinstance(event, h11.Data):
                self._read_body(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return self._finish()
            elif self._ended:
                raise PeerGone(reset=False)
            else:
                return None

    def forget(self) -> None:
        """Keep no more of the body that is being read; its end is still looked for."""
        self._forgetting = True
        self._body.clear()

    def so_far(self) -> IncomingRequest:
        """Return the request whose head was read with as much of its body as has come."""
        if self._head is None:
            raise HarnessError("the request has no head yet")
        return self._head._replace(body=bytes(self._body), whole=False)

    def _next_event(self) -> object:
        try:
            return self._reader.next_event()
        except h11.RemoteProtocolError as error:
            raise Malformed(error.error_status_hint, str(error)) from error

    def _read_head(self, head: h11.Request) -> None:
        self._head = IncomingRequest(
            method=head.method.decode("ascii"),
            target=head.target.decode("ascii"),
            version=head.http_version.decode("ascii"),
            headers=tuple((bytes(name), bytes(value)) for name, value in head.headers),
        )
        if self._head.version not in _VERSIONS:
            raise Malformed(505, f"the version is HTTP/{self._head.version}; this server speaks HTTP/1.1")
        self._waiting = self._reader.they_are_waiting_for_100_continue
        # A declared length is believed, so that a client which waits for the word to go on sends nothing in vain.
        declared = next((value for name, value in self._head.headers if name == b"content-length"), b"0")
        self._bound(int(declared))

    def _read_body(self, data: bytes) -> None:
        if not self._forgetting:
            self._body += data
            self._bound(len(self._body))

    def _bound(self, length: int) -> None:
        if length > self._most_body:
            raise Malformed(413, f"the body is longer than {self._most_body} bytes")

    def _finish(self) -> IncomingRequest:
        request = self.so_far()._replace(whole=True)
        # What came behind the request is the beginning of the next.
        self._begin(self._reader.trailing_data[0])
        return request
