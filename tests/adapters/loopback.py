"""A tiny raw server on the loopback: it reads a request and plays a list of byte strings and endings.

It knows nothing of the testbed's own server, so that adapters are tried against something they did not grow up with.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# A part is bytes to send, or one of these words.
RST, FIN, WAIT = "rst", "fin", "wait"
Part = bytes | str

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """A whole answer: each piece a chunk."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if end else b"")


def status(line: str, body: bytes = b"{}", headers: str = "", content_type: str = "application/json") -> bytes:
    """A whole answer with a status of its own."""
    head = f"HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return (head + headers + "\r\n").encode() + body


@dataclass
class Loopback:
    """The server: request n gets answer n, the last one repeats."""

    answers: Sequence[Sequence[Part]]
    requests: list[bytes] = field(default_factory=list)
    left: list[threading.Event] = field(default_factory=list)  # set when the client's side of connection n is gone
    _sockets: list[socket.socket] = field(default_factory=list)

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """Serve until the block ends; the value is the root URL."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                for connection in self._sockets:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(5)

    def _accept(self, listener: socket.socket) -> None:
        threads = []
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                break
            self._sockets.append(connection)
            self.left.append(threading.Event())
            thread = threading.Thread(target=self._play, args=(connection, len(self._sockets) - 1), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(5)

    def _play(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            self.requests.append(_read_request(connection))
            for part in self.answers[min(number, len(self.answers) - 1)]:
                if isinstance(part, bytes):
                    connection.sendall(part)
                elif part == RST:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                elif part == FIN:
                    connection.shutdown(socket.SHUT_WR)
                elif part == WAIT:
                    _wait_for_close(connection, self.left[number])


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """An address at which every connection is refused; it stays ours while the block runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields.get(b"content-length", b"0")):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def _wait_for_close(connection: socket.socket, left: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass
    left.set()
