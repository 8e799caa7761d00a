"""Listening: a bound socket, and a loop that accepts for ever.

The law of this module: what goes wrong with *one* connection, or with the number of open files, never ends the
listening; and an address that cannot be had is the tester's business, told in one sentence.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import NoReturn

import trio

from testbed.net.connections import SocketConnection
from testbed.net.listening import BACKLOG, EXHAUSTED, EXHAUSTED_PAUSE, IMPOSSIBLE, bind_resolved, refused
from testbed.ports import Endpoint

__all__ = ["BACKLOG", "accept_forever", "endpoint_of", "listen"]


async def listen(host: str = "127.0.0.1", port: int = 0) -> trio.socket.SocketType:
    """Bind and listen; port 0 takes a free one. Raises :class:`UsageError` if the address cannot be had."""
    try:
        family, *_, address = (await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
    except IMPOSSIBLE as error:
        raise refused(host, port, error) from error
    return trio.socket.from_stdlib_socket(bind_resolved(family, str(address[0]), host, port))


def endpoint_of(listener: trio.socket.SocketType) -> Endpoint:
    """Where clients must connect to."""
    host, port = listener.getsockname()[:2]
    return Endpoint(host=host, port=port)


async def accept_forever(listener: trio.socket.SocketType, handle: Callable[[SocketConnection], None]) -> NoReturn:
    """Hand each accepted connection to `handle`, which owns it and must not wait."""
    while True:
        if (connection := await _accept(listener)) is not None:
            handle(connection)


async def _accept(listener: trio.socket.SocketType) -> SocketConnection | None:
    try:
        sock, _ = await listener.accept()
    except OSError as error:
        if error.errno == errno.EBADF:
            raise
        # Anything else befell one connection that was never made (ECONNABORTED and its like): the next one is due.
        await trio.sleep(EXHAUSTED_PAUSE if error.errno in EXHAUSTED else 0)
        return None
    return SocketConnection(sock)
