"""What a wire program is made of: writes, silences, and one end.

The law of this module: an operation is a plain value, and its ranges say exactly what of it is body. Who makes programs
is :mod:`testbed.program`; what breaks their framing is :mod:`testbed.faults.framing`.
"""

from __future__ import annotations

from typing import Union

from testbed._values import Value
from testbed.script import Ending

Range = tuple[int, int]

FRAMING_STEP = -1  # the step of a write that belongs to no step: the last chunk


class Write(Value):
    """Hand `data` to the network in one write.

    `payload` is the part of `data` that is body (empty, at its end, for the head and the last chunk), `body` the same
    part counted in body bytes. `ends_step`: the step is complete with this write. `held`: the bytes leave together with
    those of the next write, in one.

    Of a compressed body `payload` is as it is sent and `body` as it is read, so the two differ in length. A write of no
    `data` sends nothing: it says that with the bytes before it this part of the body can be read, too.

    `missing`: so many bytes of the step, as they are read, are still to follow; or would, had a fault not cut them off.
    """

    step: int
    data: bytes
    payload: Range
    body: Range
    ends_step: bool
    held: bool = False
    missing: int = 0


class Wait(Value):
    """Say nothing for `seconds`."""

    seconds: float


class Close(Value):
    """End the connection. `framed`: the message is complete by its framing once this has happened."""

    how: Ending
    framed: bool


Operation = Union[Write, Wait, Close]
