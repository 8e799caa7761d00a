"""`timeout`: nothing passes; after `timeout` ms without a chunk the connection is closed.

::

    in   A-----B-----------------
    out  ------------------CLOSE        (counted from B: every chunk winds the clock up again)

The law: data that reaches this stage is gone. 0 never closes. An end of the source passes at once, for there is
nothing left to be silent about. Taking the toxic away closes the connection, since the hole in its stream cannot be
mended.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import MS, End, Item, Memory, Stage
from testbed.faults.toxics import Timeout


@final
class TimeoutStage(Stage):
    """Drop, and close when nothing is left to drop."""

    def __init__(self, toxic: Timeout, memory: Memory, now: int) -> None:
        super().__init__(memory)
        self._timeout = toxic.attributes.timeout * MS
        self._wind(now)

    def take(self, item: Item, now: int) -> None:
        """Drop a chunk and wind the clock up; keep an end."""
        if isinstance(item, End):
            self._hand, self._due = item, now
        else:
            # The clock measures silence of the source, not of the destination, whose silence began with the toxic. A
            # source that keeps talking is never cut off: that surprises its users, and it is what the real one does.
            self.struck = True
            self._wind(now)

    def deadline(self) -> int | None:
        """The clock runs without anything in hand."""
        return self._due

    def emit(self, now: int) -> Item | None:
        """Pass the end, or make one."""
        if self._due is None or self._due > now:
            return None
        # Closing a connection that nobody had spoken on is a change as well, and the only one there may be.
        if self._hand is None:
            self.struck = True
        return self._hand or End.CLOSE

    def _wind(self, now: int) -> None:
        self._due = now + self._timeout if self._timeout > 0 else None
