"""`slow_close`: data passes, the end of the stream waits `delay` ms.

::

    in   A--B--FIN
    out  A--B----------FIN

The law: only a FIN waits. A reset is not an orderly end, and passes at once.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import MS, End, Item, Memory, Stage
from testbed.faults.toxics import SlowClose

# On the real server every end is an orderly one by the time it gets here, a peer's reset included. Where resets pass as
# resets, one that waited would be a reset that did not cut anything short.
_ORDERLY = (End.FIN, End.CLOSE)


@final
class SlowCloseStage(Stage):
    """Keep the connection open for a while after its end."""

    def __init__(self, toxic: SlowClose, memory: Memory, now: int) -> None:
        super().__init__(memory)
        self._delay = toxic.attributes.delay * MS

    def when(self, item: Item, now: int) -> int | None:
        """Hold an orderly end. A live change puts it through here again: the wait then starts anew."""
        # Data never waits here, not even behind an end: there is no data behind an end.
        if item not in _ORDERLY or self._delay <= 0:
            return now
        self.struck = True
        return now + self._delay
