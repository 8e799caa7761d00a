"""`close_after`: the connection is closed after `bytes` bytes, or `after` ms after it opened.

::

    in   AAAA--BBBB--CCCC               in   AAAA--BBBB--CCCC
    out  AAAA--BB CLOSE  (bytes = 6)    out  AAAA--BBBB CLOSE   (after, at that moment)

The law: by bytes it is that of :mod:`testbed.faults.stages.cut`. By time, whatever has passed by then has passed, and
the close waits for nothing in front of it; toxics behind this one still see it in its place in the stream.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import MS, End, Item, Memory, Stage
from testbed.faults.stages.cut import CutStage
from testbed.faults.toxics import CloseAfter


def close_after(toxic: CloseAfter, memory: Memory, now: int) -> Stage:
    """Build the stage that counts, or the one that waits: the attributes say which."""
    # Two stages and not one with a switch: a count is exact to the byte and a time is not, and they share nothing.
    attributes = toxic.attributes
    if attributes.bytes is not None:
        return CutStage(memory, attributes.bytes, End.CLOSE)
    return CloseAtTimeStage(memory, attributes.after or 0)


@final
class CloseAtTimeStage(Stage):
    """Pass everything until the moment comes."""

    def __init__(self, memory: Memory, after: int) -> None:
        super().__init__(memory)
        # From the opening, even for a toxic that was added later: the moment is an address, and addresses do not move.
        self._at = memory.opened + after * MS

    def deadline(self) -> int | None:
        """The moment; what is in hand never waits."""
        return self._at

    def emit(self, now: int) -> Item | None:
        """Close from the moment on, pass until then."""
        # What is in hand at the moment stays in hand: it had not passed, so it is lost with the connection.
        if now < self._at:
            return super().emit(now)
        self.struck = True
        return End.CLOSE
