"""Sockets that are no sockets: what trio hands to a client in place of TCP.

The law of this module: a client that uses trio's public socket interface cannot tell the difference, except that only
addresses that :class:`VirtualNet` knows can be reached. What is not simulated says so in a sentence; ``setsockopt``
is accepted quietly, for options do not change what a byte stream shows. The two behaviours that matter are TCP's:
bytes that arrived before an RST can still be read, and a write after the peer is gone fails.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket as stdlib_socket
from collections.abc import Callable
from typing import Any, final

import trio
import trio.abc

from testbed.net.connections import MemoryConnection
from testbed.ports import Endpoint

_FIRST_PORT = 49152
# Above every limit of open files: whoever polls it is told that it is invalid.
_NO_DESCRIPTOR = 1 << 24


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))  # the constructor picks ConnectionRefusedError and its like by itself


@final
class VirtualNet(trio.abc.SocketFactory):
    """The addresses that exist within one trio run, and what accepts connections there."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], Callable[[], MemoryConnection]] = {}
        self._ports = itertools.count(_FIRST_PORT)

    def install(self) -> None:
        """Make every trio socket of the current run one of ours."""
        trio.socket.set_custom_socket_factory(self)

    def listen(self, accept: Callable[[], MemoryConnection]) -> Endpoint:
        """Open an address; `accept` is called for each connection and returns the client's end of it."""
        endpoint = Endpoint(host="127.0.0.1", port=next(self._ports))
        self._listeners[endpoint.host, endpoint.port] = accept
        return endpoint

    def forget(self, endpoint: Endpoint) -> None:
        """Close an address: from now on it refuses."""
        del self._listeners[endpoint.host, endpoint.port]

    def connect(self, address: tuple[str, int]) -> MemoryConnection:
        """Open a connection to `address`; raises :class:`ConnectionRefusedError` where nothing listens."""
        accept = self._listeners.get(address)
        if accept is None:
            raise _os_error(errno.ECONNREFUSED)
        return accept()

    def socket(
        self, family: int = stdlib_socket.AF_INET, type: int = stdlib_socket.SOCK_STREAM, proto: int = 0
    ) -> VirtualSocket:
        """Make an unconnected TCP socket; only those can be simulated."""
        if type != stdlib_socket.SOCK_STREAM or family not in (stdlib_socket.AF_INET, stdlib_socket.AF_INET6):
            raise _os_error(errno.EPROTONOSUPPORT)
        return VirtualSocket(self, family, proto)


@final
class VirtualSocket(trio.socket.SocketType):
    """One TCP socket of a client in the simulation."""

    def __init__(self, net: VirtualNet, family: int, proto: int) -> None:
        self._net = net
        self._family = stdlib_socket.AddressFamily(family)
        self._proto = proto
        self._connection: MemoryConnection | None = None
        self._closed = False
        self._shut = False

    # What a socket is. These are properties in trio's own type, and SocketStream reads them.

    @property
    def family(self) -> stdlib_socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return self._family

    @property
    def type(self) -> stdlib_socket.SocketKind:
        """Always SOCK_STREAM."""
        return stdlib_socket.SOCK_STREAM

    @property
    def proto(self) -> int:
        """What the caller asked for."""
        return self._proto

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # trio's name
        """Whether FIN was sent."""
        return self._shut

    def fileno(self) -> int:
        """Return -1 once closed, as trio's own sockets do; before that a number that is nobody's descriptor."""
        return -1 if self._closed else _NO_DESCRIPTOR

    def setsockopt(self, *args: Any) -> None:
        """Accept and forget."""

    def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> Any:
        """Everything is 0: no error is pending, no option is set."""
        return 0 if buflen is None else bytes(buflen)

    def getpeername(self) -> tuple[str, int]:
        """Not known before connecting, and of no use to a client after it."""
        return ("127.0.0.1", 0)

    getsockname = getpeername

    def is_readable(self) -> bool:
        """Connection pools ask this of an idle connection.

        Ours are never kept idle, so a readable one is a dead one.
        """
        return False

    # What a socket does.

    async def bind(self, address: Any) -> None:
        """Any local address is as good as any other."""
        await trio.lowlevel.checkpoint()

    async def connect(self, address: Any) -> None:
        """Reach a listener of this net, or be refused."""
        await trio.lowlevel.checkpoint()
        self._check_open()
        self._connection = self._net.connect((address[0], address[1]))

    async def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """The next bytes; b"" at FIN; ConnectionResetError at RST once everything that came before it was read."""
        return await self._connected().receive(bufsize)

    async def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Like `recv`, into a buffer."""
        view = memoryview(buffer)
        data = await self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    async def send(self, data: Any, flags: int = 0) -> int:
        """Hand over all of `data`, waiting for room as a blocking send would."""
        connection = self._connected()
        if self._shut:
            raise _os_error(errno.EPIPE)
        await connection.send(bytes(data))
        return len(data)

    async def wait_writable(self) -> None:
        """`send` does the waiting."""
        await trio.lowlevel.checkpoint()

    def shutdown(self, how: int) -> None:
        """Send FIN (SHUT_WR, SHUT_RDWR); a shut-down read side is of no consequence."""
        if how != stdlib_socket.SHUT_RD:
            self._shut = True
            self._connected().send_eof_nowait()

    def close(self) -> None:
        """Close both directions."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> VirtualSocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise _os_error(errno.EBADF)

    def _connected(self) -> MemoryConnection:
        self._check_open()
        if self._connection is None:
            raise _os_error(errno.ENOTCONN)
        return self._connection
