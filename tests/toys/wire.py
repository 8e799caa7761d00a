"""A plain TCP socket for the toys, on trio and on asyncio.

No transport and no stream stands between a toy and the kernel: what a toy does not close stays open, and that is how
one of them leaks a connection on purpose without any library closing it behind its back.
"""

from __future__ import annotations

import asyncio
import atexit
import socket
from typing import Protocol

import sniffio
import trio


class Wire(Protocol):
    """One connection."""

    async def receive(self, size: int) -> bytes: ...

    async def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class TrioWire:
    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock

    async def receive(self, size: int) -> bytes:
        return await self._socket.recv(size)

    async def send(self, data: bytes) -> None:
        while data:
            data = data[await self._socket.send(data) :]

    def close(self) -> None:
        self._socket.close()


class AsyncioWire:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    async def receive(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, size)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def close(self) -> None:
        self._socket.close()


async def connect(host: str, port: int) -> Wire:
    """Open a connection with the socket of the running event loop."""
    if sniffio.current_async_library() == "trio":
        trio_socket = trio.socket.socket()
        try:
            await trio_socket.connect((host, port))
        except BaseException:
            trio_socket.close()
            raise
        return TrioWire(trio_socket)
    plain = socket.socket()
    try:
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, (host, port))
    except BaseException:
        plain.close()
        raise
    return AsyncioWire(plain)


_leaked: list[Wire] = []


def leak(wire: Wire) -> None:
    """Keep a connection open for the rest of the process."""
    _leaked.append(wire)


@atexit.register
def release() -> None:
    """Close what was leaked."""
    while _leaked:
        _leaked.pop().close()
