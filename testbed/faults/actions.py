"""What a connection model asks of its driver.

The law of this module: an action is a plain value; the driver carries actions out in the order in which it gets them.
"""

from __future__ import annotations

import enum
from typing import Union

from testbed._values import Value
from testbed.faults.toxics import Direction, ResetMode


class Extent(str, enum.Enum):
    """How much of the destination's socket an :class:`Eof` takes with it."""

    HALF = "half"  # FIN in this direction; the other one goes on
    WHOLE = "whole"  # the socket is closed: nothing will be read from it any more
    RESET = "reset"  # as WHOLE, but by RST


class Forward(Value):
    """Write `data` to the destination of `direction`, in one write, and tell the model when that is done."""

    direction: Direction
    data: bytes


# A wire hands a FIN on and leaves the other direction alone; a proxy closes a socket, and both directions of that
# socket with it. The second needs saying only while the other direction still has bytes to deliver: otherwise it is a
# Close.
class Eof(Value):
    """End the stream to the destination of `direction`. All bytes forwarded that way have been consumed by now."""

    direction: Direction
    extent: Extent = Extent.HALF


# Neither end overtakes bytes: the model gives it only when what was forwarded that way has been consumed.
class Reset(Value):
    """Send an RST to both sides, `mode` saying whether unacknowledged bytes are waited for; the connection is over."""

    mode: ResetMode


class Close(Value):
    """Send a FIN to both sides; the connection is over."""


# A fault that never fired makes a verdict worthless, so the model says when one did: once, at the first change it made,
# ahead of the action that shows the change.
class Fired(Value):
    """Toxic number `toxic` changed something for the first time on this connection."""

    toxic: int
    type: str


Action = Union[Forward, Eof, Reset, Close, Fired]
