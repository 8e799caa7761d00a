"""What becomes of a connection when an answer is over, for each ending that a script can have.

The law of this module: an ending does what its name says and nothing before it; each but OPEN is bounded in time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import trio

from testbed.ports import ByteConnection
from testbed.script import Ending

# After our FIN: how long the peer has for its own, in seconds, before the socket is closed on it.
LINGER = 5.0


async def _end_with_fin(connection: ByteConnection, left: trio.Event, *, abrupt: bool = False) -> None:
    # Closing at once would answer late input with an RST, and that would destroy what the peer has not read yet.
    with trio.move_on_after(LINGER):
        await connection.send_eof(abrupt=abrupt)
        await left.wait()
    connection.close()


async def _end_abruptly(connection: ByteConnection, left: trio.Event) -> None:
    await _end_with_fin(connection, left, abrupt=True)


async def _end_drained(connection: ByteConnection, _left: trio.Event) -> None:
    await connection.drain()
    connection.reset()


async def _end_at_once(connection: ByteConnection, _left: trio.Event) -> None:
    connection.reset()


async def _end_open(connection: ByteConnection, left: trio.Event) -> None:
    await left.wait()
    connection.close()


async def _end_of_the_answer(_connection: ByteConnection, _left: trio.Event) -> None:
    # What becomes of the connection is for the next request to say.
    await trio.lowlevel.checkpoint()


ENDINGS: Mapping[Ending, Callable[[ByteConnection, trio.Event], Awaitable[None]]] = MappingProxyType(
    {
        Ending.CLEAN: _end_with_fin,
        Ending.FIN: _end_abruptly,
        Ending.RST: _end_drained,
        Ending.ABORT: _end_at_once,
        Ending.OPEN: _end_open,
        Ending.KEEP: _end_of_the_answer,
        Ending.STALE: _end_of_the_answer,
    }
)

# The endings that a kernel turns into an RST when there is input that nobody read.
ORDERLY = frozenset({Ending.CLEAN, Ending.FIN})
