"""A crowd on a real port, and clients that are nothing but sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import trio
import trio.testing

from testbed.net.crowd import Crowd, OneForAll
from testbed.net.crowd_stream import USUAL, Host, Limits
from testbed.net.crowd_task import drive
from testbed.net.listener import listen
from testbed.net.schedule import schedule_of
from testbed.script import Script
from tests.net.support import Log, post, read_socket


@final
class Place:
    """A crowd that is running: where it is, and what can be asked of it."""

    def __init__(self, host: Host, limits: Limits) -> None:
        self.address = ("", 0)
        self.log = Log()
        self.crowd = Crowd(host, watch=self._watch, limits=limits, clock=trio.current_time)
        self._admitted = self._connected = 0

    def _watch(self, _conn: int) -> Log:
        self._admitted += 1
        return self.log

    async def connect(self, request: bytes = post(), *, window: int = 0) -> trio.SocketStream:
        """Open a connection, and say `request`. A small `window` makes a client that takes little at a time."""
        sock = trio.socket.socket()
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await sock.connect(self.address)
        self._connected += 1
        stream = trio.SocketStream(sock)
        if request:
            await stream.send_all(request)
        return stream

    async def fetch(self, request: bytes = post()) -> tuple[bytes, str]:
        """The whole answer to one request, and how it ended."""
        async with await self.connect(request) as stream:
            return await read_socket(stream)

    async def emptied(self) -> None:
        """Wait until all who came were let in and no stream is open."""
        virtual = isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
        while len(self.crowd) or self._admitted < self._connected:
            if virtual:
                await trio.sleep(0.01)
            else:
                await trio.testing.wait_all_tasks_blocked(0.001)


@asynccontextmanager
async def crowd_of(what: Host | Script, limits: Limits = USUAL, seconds: float = 20) -> AsyncIterator[Place]:
    """Play a script to everybody, or what a host says; leaving ends the crowd."""
    host = OneForAll(schedule_of(what)) if isinstance(what, Script) else what
    place = Place(host, limits)
    with trio.fail_after(seconds):
        async with trio.open_nursery() as nursery:
            with await listen() as listener:
                place.address = listener.getsockname()
                nursery.start_soon(drive, place.crowd, listener)
                try:
                    yield place
                finally:
                    nursery.cancel_scope.cancel()


def reset(stream: trio.SocketStream) -> None:
    """Leave with an RST."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    stream.socket.close()
