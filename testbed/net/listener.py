"""Listening: a bound socket, and a loop that accepts for ever.

The law of this module: what goes wrong with *one* connection, or with the number of open files, never ends the
listening; and an address that cannot be had is the tester's business, told in one sentence.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import trio

from testbed.errors import UsageError
from testbed.net.connections import SocketConnection
from testbed.ports import Endpoint

# So many may wait to be accepted; the kernel takes what it allows (on Linux net.core.somaxconn). Behind a queue that is
# full a client tries again after a second, so a crowd that comes at once must fit.
BACKLOG = 16_384
# Out of files, memory or buffers: others must finish first. Trying again at once would only burn the processor.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EXHAUSTED_PAUSE = 0.1

_WHY = {
    errno.EADDRINUSE: "the port is in use; choose another, or 0 for a free one",
    errno.EACCES: "the system does not allow it; choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; 127.0.0.1 is always there",
}
# Beside the system's own refusals: a host with a NUL or no encoding, a port beyond 65535.
_IMPOSSIBLE = (OSError, ValueError, OverflowError)


async def listen(host: str = "127.0.0.1", port: int = 0) -> trio.socket.SocketType:
    """Bind and listen; port 0 takes a free one. Raises :class:`UsageError` if the address cannot be had."""
    try:
        family = (await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0][0]
        listener = trio.socket.socket(family)
    except _IMPOSSIBLE as error:
        raise _refused(host, port, error) from error
    try:
        if sys.platform != "win32":
            # On Windows the option means something else: it would let two servers share the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException as error:  # cancellation too: nobody else knows of the socket yet
        listener.close()
        if isinstance(error, _IMPOSSIBLE):
            raise _refused(host, port, error) from error
        raise
    return listener


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


def _refused(host: str, port: int, error: Exception) -> UsageError:
    reason = _WHY.get(error.errno or 0) if isinstance(error, OSError) else None
    return UsageError(f"cannot listen on {host}:{port}: {reason or error}")
