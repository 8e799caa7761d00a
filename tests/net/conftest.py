"""Pairs of connected ends, real and in memory, for tests that must hold on both."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from testbed.net.connections import SocketConnection, memory_pair
from testbed.ports import ByteConnection

SMALL = 4096
Pair = tuple[ByteConnection, ByteConnection]


async def socket_pair() -> Pair:
    """Two ends of a loopback TCP connection, with buffers as small as the kernel allows."""
    with trio.socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = trio.socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        await client.connect(listener.getsockname())
        server, _ = await listener.accept()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    return SocketConnection(client), SocketConnection(server)


async def in_memory() -> Pair:
    """Two ends in memory, with small buffers."""
    return memory_pair(SMALL)


@pytest.fixture(params=[socket_pair, in_memory], ids=["socket", "memory"])
def connected(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """A function that opens a pair as an async context and closes it afterwards."""
    make: Callable[[], Awaitable[Pair]] = request.param

    @asynccontextmanager
    async def opened() -> AsyncIterator[Pair]:
        with trio.fail_after(10):
            ends = await make()
            try:
                yield ends
            finally:
                for end in ends:
                    end.close()

    return opened


@pytest.fixture
def mock_time() -> trio.testing.MockClock:
    """A clock that jumps whenever every task waits."""
    return trio.testing.MockClock(autojump_threshold=0)
