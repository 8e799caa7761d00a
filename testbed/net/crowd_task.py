"""A crowd in a trio program: the one task that all its streams need.

The law of this module: between two slices of the crowd every other task of the program has its turn, and a crowd that
is cancelled leaves nothing open.
"""

from __future__ import annotations

import math
import selectors
from typing import NoReturn

import trio

from testbed.net.crowd import Crowd, Watch, nobody
from testbed.net.crowd_stream import USUAL, Host, Limits

# A selector that cannot be waited on by another one (Windows) cannot be in a trio task.
AVAILABLE = hasattr(selectors.DefaultSelector, "fileno")


async def run(
    host: Host, listener: trio.socket.SocketType, *, watch: Watch = nobody, limits: Limits = USUAL
) -> NoReturn:
    """Accept and play until cancelled; then every stream is closed, and the listener is left open.

    Raises :class:`~testbed.errors.TestbedError` if the host fails; what clients do is never an error here.
    """
    await drive(Crowd(host, watch=watch, limits=limits, clock=trio.current_time), listener)


async def drive(crowd: Crowd, listener: trio.socket.SocketType) -> NoReturn:
    """The same for a crowd that somebody made to look at; its clock must be trio's."""
    try:
        crowd.open(listener.fileno(), listener.family)
        while True:
            with trio.move_on_at(math.inf if (deadline := crowd.deadline()) is None else deadline):
                await trio.lowlevel.wait_readable(crowd.readiness)
            for _ in crowd.slices():
                await trio.lowlevel.checkpoint()
    finally:
        crowd.close()
