"""The load of the server benchmark: one process, one epoll, any number of streams read side by side.

It needs nothing but the standard library, and prints one JSON object. The law: it is to be lighter than any server that
it measures, so it parses no HTTP and no events. A token is a marker that is counted where it arrives, a stream is whole
when all its markers and the last chunk were seen (not every server closes when it is asked to); every loop has a
deadline.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import errno
import json
import resource
import select
import socket
import time

from marker import MARKER

_LAST_CHUNK = b"0\r\n\r\n"
_BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}],"stream":true}'
_REQUEST = (
    b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sk-bench\r\nAccept: text/event-stream\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
)
_RECEIVED = 256 * 1024


class Stream:
    """One connection, and what was seen on it."""

    __slots__ = ("error", "last", "sock", "tail", "tokens")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tokens = 0
        self.last = 0.0
        self.tail = b""
        self.error = 0


class Load:
    """All streams of one measurement."""

    def __init__(self, address: tuple[str, int], path: str, streams: int, tokens: int, ramp: float) -> None:
        self._address = address
        self._request = _REQUEST % (path.encode(), len(_BODY), _BODY)
        self._wanted = streams
        self._tokens = tokens
        self._ramp = ramp
        self._poll = select.epoll()
        self._open: dict[int, Stream] = {}
        self._buffer = bytearray(_RECEIVED)
        self.gaps = array.array("d")
        self.last = 0.0  # when the last token of all arrived
        self.whole = self.tokens = self.opened = self.most = 0
        self.errors: dict[str, int] = {}

    def run(self, limit: float) -> float:
        """Open all streams and read them to their ends; the seconds until the last token."""
        start = time.perf_counter()
        deadline = start + limit
        while (now := time.perf_counter()) < deadline and (self._open or self.opened < self._wanted):
            due = self._wanted if not self._ramp else min(self._wanted, int((now - start) / self._ramp * self._wanted))
            # A few at a time, so that those which are open are read between them.
            for _ in range(min(due - self.opened, 64)):
                self._connect()
            waiting = 0.0 if due > self.opened else 0.001 if self.opened < self._wanted else 0.25
            for number, mask in self._poll.poll(waiting):
                self._ready(self._open[number], mask)
        if self._open:
            self.errors["out of time"] = len(self._open)
        return max(self.last - start, 0.0)

    def _connect(self) -> None:
        self.opened += 1
        sock = socket.socket()
        sock.setblocking(False)  # noqa: FBT003
        if (code := sock.connect_ex(self._address)) not in {0, errno.EINPROGRESS}:
            self._failed(errno.errorcode.get(code, str(code)))
            sock.close()
            return
        self._open[sock.fileno()] = Stream(sock)
        self.most = max(self.most, len(self._open))
        self._poll.register(sock, select.EPOLLOUT)

    def _ready(self, stream: Stream, mask: int) -> None:
        try:
            if mask & select.EPOLLOUT:
                stream.sock.send(self._request)
                self._poll.modify(stream.sock, select.EPOLLIN)
                return
            count = stream.sock.recv_into(self._buffer)
        except OSError as error:
            self._failed(errno.errorcode.get(error.errno or 0, str(error)))
            self._close(stream)
            return
        if count:
            self._count(stream, stream.tail + self._buffer[:count])
        if stream.tokens == self._tokens and stream.tail == _LAST_CHUNK:
            self.whole += 1
            self._close(stream)
        elif not count:
            self._failed("incomplete")
            self._close(stream)

    def _count(self, stream: Stream, data: bytes) -> None:
        seen = data.count(MARKER)
        stream.tail = bytes(data[1 - len(MARKER) :])  # a marker may be cut between two reads
        if seen:
            now = time.perf_counter()
            if stream.tokens:
                self.gaps.append(now - stream.last)
            self.gaps.extend([0.0] * (seen - 1))
            stream.tokens += seen
            stream.last = self.last = now
            self.tokens += seen

    def _failed(self, why: str) -> None:
        self.errors[why] = self.errors.get(why, 0) + 1

    def _close(self, stream: Stream) -> None:
        del self._open[stream.sock.fileno()]
        stream.sock.close()


def _at(ordered: list[float], share: float) -> float | None:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None


def main() -> None:
    """Measure once, and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    for name in ("streams", "tokens"):
        parser.add_argument(f"--{name}", type=int, default=1)
    parser.add_argument("--ramp", type=float, default=0.0)
    parser.add_argument("--limit", type=float, default=60.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = Load(("127.0.0.1", options.port), options.path, options.streams, options.tokens, options.ramp)
    wall = load.run(options.limit)
    gaps = sorted(load.gaps)
    report = {
        "wall": wall,
        "tokens": load.tokens,
        "whole": load.whole,
        "most_open": load.most,
        "gap_p50": _at(gaps, 0.5),
        "gap_p99": _at(gaps, 0.99),
        "gap_max": _at(gaps, 1.0),
        "errors": load.errors,
        "cpu": time.process_time(),
    }
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(report))


if __name__ == "__main__":
    main()
