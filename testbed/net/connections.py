"""Byte connections: one end of a TCP connection, over a real socket or in memory.

The law of this module: what is in memory behaves, byte for byte, like what is on a socket (the same tests run on
both), and what ends a connection (`reset`, `close`) is synchronous, so that no cancellation can come between the
decision and the deed.

Three facts of a kernel that both kinds share, because faults are made of them:

- bytes that arrived before an RST stay readable, and only then does receiving fail; what had not arrived is lost;
- closing with unread input sends RST in place of FIN, and destroys what the peer has not received yet;
- sending to a peer that has closed succeeds once, is answered by an RST, and fails from then on.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from contextlib import suppress
from typing import final

import trio

if sys.platform == "linux":
    import fcntl
    import termios

# How long `drain` waits for a peer that does not read, in seconds. A drained reset must come some day.
DRAIN_LIMIT = 10.0
WINDOW = 65536
_LINGER_ZERO = struct.pack("ii", 1, 0)
_TCP_CLOSE = 7  # the state in which the kernel keeps a connection that was reset (net/tcp_states.h)


@final
class SocketConnection:
    """A :class:`testbed.ports.ByteConnection` over a connected trio socket; it owns the socket."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock
        self._lost = False
        # Small writes are the point of a stream: Nagle's algorithm would glue them together. A peer that is gone
        # already makes some kernels refuse the option; the first receive tells that better than we can here.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def receive(self, max_bytes: int = WINDOW) -> bytes:
        """Return the next bytes, b"" at the peer's FIN; raise :class:`ConnectionResetError` at its RST."""
        try:
            data = await self._sock.recv(max_bytes)
        except OSError as error:
            raise self._translate(error) from error
        if not data:
            await self._tell_fin_from_reset()
        return data

    async def send(self, data: bytes) -> None:
        """Hand all of `data` to the kernel, in one write where it fits.

        Raises :class:`ConnectionError` if the peer is gone.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[await self._sock.send(rest) :]
        except OSError as error:
            raise self._translate(error) from error

    async def send_eof(self, *, abrupt: bool = False) -> None:  # in the clear both are the same
        """Send FIN; receiving goes on. Without effect when the peer is gone: there is nobody left to tell."""
        await trio.lowlevel.checkpoint()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    async def drain(self) -> None:
        """Wait until the peer has acknowledged every byte sent, is gone, or 10 seconds are over.

        Exact on Linux, where the kernel says how many bytes are unacknowledged (SIOCOUTQ). Other kernels do not say;
        there it waits 50 ms, which is best effort: enough on loopback with a peer that reads.
        """
        await trio.lowlevel.checkpoint()
        pause = 0.0002  # the kernel sends no event for "acknowledged", so it is asked, less and less often
        with trio.move_on_after(DRAIN_LIMIT):
            while self._unacknowledged():
                await trio.sleep(pause)
                pause = min(pause * 2, 0.02)
            if sys.platform != "linux":
                await trio.sleep(0.05)

    def reset(self) -> None:
        """Send RST now and close; what is still queued is lost."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._sock.close()

    def close(self) -> None:
        """Close both directions: FIN, or RST if there is unread input. Closing twice is allowed."""
        self._sock.close()

    async def _tell_fin_from_reset(self) -> None:
        """The kernel tells of a reset once: if a send was told, receiving sees a FIN that nobody sent."""
        # A send may have been told in this very round of the scheduler; trio then lets a round pass before it raises.
        # Two rounds later it has raised for certain, and `_lost` is true.
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        if self._lost:
            raise ConnectionResetError(errno.ECONNRESET, "the peer reset the connection")

    def _unacknowledged(self) -> int:
        if sys.platform != "linux" or self._sock.fileno() == -1:
            return 0
        # A connection that was reset keeps its last count for ever, so the state is asked first.
        state = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        if state == _TCP_CLOSE:
            return 0
        count: int = struct.unpack("i", fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        return count

    def _translate(self, error: OSError) -> Exception:
        """One meaning for each errno: we closed it, or the peer is gone (time-outs, unreachable hosts included)."""
        if error.errno == errno.EBADF:
            return trio.ClosedResourceError("this end was closed")
        self._lost = True
        return error if isinstance(error, ConnectionError) else ConnectionResetError(error.errno, str(error))


class _Pipe:
    """One direction in memory: what the sender has queued, and what has arrived in the receiver's window."""

    __slots__ = ("arrived", "fin", "queued", "readable", "window", "writable")

    def __init__(self, window: int) -> None:
        self.window = window
        self.queued = bytearray()
        self.arrived = bytearray()
        self.fin = False
        self.readable = trio.lowlevel.ParkingLot()
        self.writable = trio.lowlevel.ParkingLot()

    def put(self, data: memoryview) -> int:
        """Accept what fits into window and queue, and say how much that was."""
        part = data[: max(2 * self.window - len(self.arrived) - len(self.queued), 0)]
        self.queued += part
        self._move()
        return len(part)

    def take(self, max_bytes: int) -> bytes:
        """Remove bytes that have arrived; the window opens again by as much."""
        data = bytes(self.arrived[:max_bytes])
        del self.arrived[:max_bytes]
        self._move()
        if self.writable:
            self.writable.unpark_all()
        return data

    def _move(self) -> None:
        room = self.window - len(self.arrived)
        if room > 0 and self.queued:
            self.arrived += self.queued[:room]
            del self.queued[:room]
            if self.readable:
                self.readable.unpark_all()

    @property
    def ended(self) -> bool:
        """The FIN has arrived: it travels behind the last byte."""
        return self.fin and not self.queued

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self.readable.unpark_all()
        self.writable.unpark_all()


@final
class MemoryConnection:
    """A :class:`testbed.ports.ByteConnection` in memory; made in pairs by :func:`memory_pair`."""

    def __init__(self, inbound: _Pipe, outbound: _Pipe) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self._peer: MemoryConnection = self  # memory_pair puts the real one in
        self._closed = False
        self._torn = False  # an RST has arrived here
        self._lost = False  # ... and an operation has said so

    async def receive(self, max_bytes: int = WINDOW) -> bytes:
        """Return the next bytes, b"" at the peer's FIN; raise :class:`ConnectionResetError` at its RST."""
        pipe = self._inbound
        if self._closed or self._torn or pipe.arrived or pipe.fin:
            await trio.lowlevel.checkpoint()
        while not self._closed:
            if pipe.arrived:
                return pipe.take(max_bytes)
            if pipe.ended and not self._lost:
                return b""
            if self._torn:
                raise self._reset_error()
            await pipe.readable.park()
        raise trio.ClosedResourceError("this end was closed")

    async def send(self, data: bytes) -> None:
        """Hand all of `data` to the peer's window, or queue it; wait while both are full."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while True:
            self._check_sending()
            if self._peer._closed:  # the other half of the same thing
                self._tear()
                return
            rest = rest[self._outbound.put(rest) :]
            if not rest:
                return
            await self._outbound.writable.park()

    async def send_eof(self, *, abrupt: bool = False) -> None:  # in the clear both are the same
        """Send FIN; receiving goes on. Without effect when the peer is gone."""
        await trio.lowlevel.checkpoint()
        self.send_eof_nowait()

    async def drain(self) -> None:
        """Wait until every byte sent has arrived in the peer's window, the peer is gone, or 10 seconds are over."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(DRAIN_LIMIT):
            while self._outbound.queued and not (self._closed or self._torn):
                await self._outbound.writable.park()

    def reset(self) -> None:
        """Send RST now and close; what is still queued is lost."""
        if not self._closed:
            self._closed = True
            self._inbound.arrived.clear()
            self._peer._tear()

    def close(self) -> None:
        """Close both directions: FIN, or RST if there is unread input. Closing twice is allowed."""
        if self._inbound.arrived:
            self.reset()
        elif not self._closed:
            self.send_eof_nowait()
            self._closed = True
            self._inbound.wake()
            self._outbound.wake()

    def send_eof_nowait(self) -> None:
        """Send FIN, as `send_eof` does, without a checkpoint: in memory there is nothing to wait for."""
        if not (self._closed or self._torn):
            self._outbound.fin = True
            self._outbound.readable.unpark_all()

    def _tear(self) -> None:
        """An RST arrives at this end: what was queued on either side is lost, what has arrived here stays readable."""
        if not self._closed:
            self._torn = True
        if self._inbound.queued:
            self._inbound.queued.clear()
            self._inbound.fin = False  # it stood behind bytes that will never come
        self._outbound.queued.clear()
        self._inbound.wake()
        self._outbound.wake()

    def _check_sending(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end was closed")
        if self._torn:
            raise self._reset_error()
        if self._outbound.fin:
            raise BrokenPipeError(errno.EPIPE, "this end has sent its FIN")

    def _reset_error(self) -> ConnectionResetError:
        self._lost = True
        return ConnectionResetError(errno.ECONNRESET, "the peer reset the connection")


def memory_pair(buffer: int = WINDOW) -> tuple[MemoryConnection, MemoryConnection]:
    """Return two connected ends: `buffer` bytes fit into a receiver's window, as many wait in its sender's queue."""
    there, back = _Pipe(buffer), _Pipe(buffer)
    one, other = MemoryConnection(back, there), MemoryConnection(there, back)
    one._peer, other._peer = other, one
    return one, other
