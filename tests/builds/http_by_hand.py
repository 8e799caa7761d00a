"""HTTP/1.1 (RFC 9112) on a blocking socket, written by hand.

The law of this module: every byte is accounted for. A head, a chunk or a body that breaks its rules is an error at the
byte that breaks them, and every wait is bounded.
"""

from __future__ import annotations

import email.utils
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from testbed.ports import Target
from testbed.script import DialectName
from tests.builds import trouble

MOST_HEAD = 65536
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

# The fields of a head by their names in small letters, and under "" its version.
Fields = dict[str, list[str]]

# --- the connection ---------------------------------------------------------------------------------------------------


class Wire:
    """A socket with a buffer, whose every wait is bounded."""

    def __init__(self, target: Target, shown: Callable[[], bool], patience: Callable[[], float | None]) -> None:
        self.shown, self.patience = shown, patience
        self.buffer = bytearray()
        url = urlsplit(target.base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            self.socket = socket.create_connection((url.hostname or "", port), target.connect_timeout)
        except OSError as error:
            raise trouble.Unreachable(str(error)) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme == "https":
            self.seal(target, url.hostname or "")

    def seal(self, target: Target, host: str) -> None:
        """Put TLS around the socket; an end without close_notify is no end."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(target.ca) if target.ca else context.load_default_certs()
            self.socket = context.wrap_socket(self.socket, server_hostname=host, suppress_ragged_eofs=False)
        except OSError as error:
            self.socket.close()
            raise trouble.Unreachable(str(error)) from error

    def send(self, data: bytes) -> None:
        """Write all of the request."""
        self.socket.settimeout(self.patience())
        try:
            self.socket.sendall(data)
        except TimeoutError as error:
            raise trouble.SlowStart(str(error)) from error
        except OSError:
            # The peer may have answered and closed before it read all of this: what it said is worth more.
            return

    def more(self) -> bytes:
        """The next bytes, empty at the end."""
        self.socket.settimeout(self.patience())
        try:
            return self.socket.recv(65536)
        except TimeoutError as error:
            raise (trouble.Stalled if self.shown() else trouble.SlowStart)("nothing came for too long") from error
        except ssl.SSLEOFError as error:
            raise trouble.Truncated("the sealed connection was cut") from error
        except OSError as error:
            raise trouble.Reset(str(error)) from error

    def line(self) -> bytes:
        """A line without its CR LF."""
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > MOST_HEAD:
                raise trouble.Malformed("a line has no end")
            piece = self.more()
            if not piece:
                raise trouble.Truncated("the connection closed inside the message")
            self.buffer += piece
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        # A lone LF ends a line, too (RFC 9112, section 2.2); a CR elsewhere does not.
        line = line.removesuffix(b"\r")
        if b"\r" in line:
            raise trouble.Malformed("a CR stands alone")
        return line

    def up_to(self, count: int) -> bytes:
        """Some bytes, at most so many; none at the end."""
        piece = bytes(self.buffer[:count])
        del self.buffer[:count]
        if not piece:
            self.buffer += self.more()
            return self.up_to(count) if self.buffer else b""
        return piece

    def close(self) -> None:
        """Leave."""
        self.socket.close()


# --- HTTP -------------------------------------------------------------------------------------------------------------


def request(target: Target, last_id: str) -> bytes:
    """The whole request."""
    url = urlsplit(target.base_url)
    fields = {"Host": url.netloc, "Accept": "text/event-stream", "Accept-Encoding": "identity", "Connection": "close"}
    if target.dialect is DialectName.EVENTSOURCE:
        line, content = f"GET {url.path or '/'} HTTP/1.1", b""
        fields |= {"Cache-Control": "no-store"} | ({"Last-Event-ID": last_id} if last_id else {})
    else:
        path = {DialectName.OPENAI_CHAT: "/chat/completions"}.get(target.dialect, "/v1/messages")
        line, content = (
            f"POST {url.path.rstrip('/')}{path} HTTP/1.1",
            json.dumps({**target.request, "stream": True}).encode(),
        )
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        fields |= {"Authorization": f"Bearer {target.api_key}", "X-Api-Key": target.api_key}
        fields |= {"Anthropic-Version": "2023-06-01"}
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode() + content


def head(wire: Wire) -> tuple[int, Fields]:
    """The status and the fields of a head."""
    version, _, rest = wire.line().partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit() or rest[3:4] not in (b"", b" "):
        raise trouble.Malformed("this is no HTTP")
    fields: Fields = {"": [version.decode()]}
    size = 0
    while line := wire.line():
        size += len(line)
        name, colon, value = line.partition(b":")
        if size > MOST_HEAD or not colon or not name or not TOKEN.issuperset(name) or b"\0" in value:
            raise trouble.Malformed("a field of the head is malformed")
        fields.setdefault(name.decode().lower(), []).append(value.strip(b" \t").decode("latin-1"))
    return int(rest[:3]), fields


def body(status: int, fields: Fields, wire: Wire) -> Iterator[bytes]:
    """The pieces of the body, as its framing has them."""
    codings = [one.strip().lower() for value in fields.get("transfer-encoding", []) for one in value.split(",")]
    lengths = {one.strip() for value in fields.get("content-length", []) for one in value.split(",")}
    if status in (204, 304):
        return
    if codings:
        if lengths or codings != ["chunked"] or fields[""] != ["HTTP/1.1"]:
            raise trouble.Malformed("the head contradicts itself about the body")
        yield from chunks(wire)
    elif lengths:
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdigit()):
            raise trouble.Malformed("the length is none")
        yield from counted(wire, int(length))
    else:
        while piece := wire.up_to(65536):
            yield piece


def chunks(wire: Wire) -> Iterator[bytes]:
    """The data of chunks; the trailer behind the last one is read and left."""
    while True:
        size = wire.line().partition(b";")[0].strip(b" \t")
        if not size or not all(digit in b"0123456789abcdefABCDEF" for digit in size) or len(size) > 16:
            raise trouble.Malformed(f"{size[:20]!r} is no size of a chunk")
        if not int(size, 16):
            break
        yield from counted(wire, int(size, 16))
        if wire.line():
            raise trouble.Malformed("a chunk is longer than its size")
    while wire.line():
        pass


def counted(wire: Wire, left: int) -> Iterator[bytes]:
    """So many bytes."""
    while left:
        piece = wire.up_to(left)
        if not piece:
            raise trouble.Truncated(f"the connection closed, and {left} bytes are missing")
        left -= len(piece)
        yield piece


def asked_wait(fields: Fields) -> float | None:
    """How long the server asks to wait."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        waits = [_seconds(value, fields) for value in fields.get(name, [])]
        if found := [wait / unit for wait in waits if wait > 0]:
            return max(found)
    return None


def _seconds(value: str, fields: Fields) -> float:
    try:
        return float(value)
    except ValueError:
        pass
    now = fields.get("date", [email.utils.formatdate(usegmt=True)])[0]
    try:
        return (email.utils.parsedate_to_datetime(value) - email.utils.parsedate_to_datetime(now)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
