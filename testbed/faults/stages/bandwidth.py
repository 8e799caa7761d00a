"""`bandwidth`: at most `rate` KB a second, 1 KB being 1000 bytes.

::

    in   AAAAAAAA------------B--FIN     rate such that A takes four units
    out  --A--A--A--A----------B-FIN    (a long chunk leaves in slices of 100 ms)

The law: the debt grows with every byte and is paid by waiting; being idle earns no credit. Rate 0 never lets a chunk
go, and an end behind that chunk waits with it; an end with no data before it passes.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import MS, Chunk, End, Item, Memory, Stage
from testbed.faults.toxics import Bandwidth

# Below this a chunk leaves whole: the receiver sees a slow stream in steps of at most a tenth of a second, not in 32
# KiB lumps with long silences between them.
SLICE_MS = 100
# A timer that fires late must not lower the rate, so lateness is paid back. Beyond this much it is not the timer that
# was late but the destination that was slow, and for that there is no credit.
FORGIVEN = 5 * MS


@final
class BandwidthStage(Stage):
    """Make each chunk pay for its length in time."""

    def __init__(self, toxic: Bandwidth, memory: Memory, now: int) -> None:
        super().__init__(memory)
        self._rate = toxic.attributes.rate
        self._debt = 0  # nanoseconds: at high rates one byte is worth less than a microsecond
        self._since = 0  # when the present wait began

    def when(self, item: Item, now: int) -> int | None:
        """Charge the chunk and wait for its first slice."""
        if isinstance(item, End):
            return now
        # The real server waits in slices of no bytes, for ever. No deadline says the same and wakes nobody.
        if self._rate == 0:
            self.struck = True
            return None
        self._debt += len(item.data) * 1_000_000 // self._rate
        return self._wait(item, now)

    def leave(self, item: Item, now: int) -> Item | None:
        """Send a slice and wait again, or send the rest."""
        size = self._rate * SLICE_MS
        if isinstance(item, Chunk) and len(item.data) > size:
            # By the clock that was asked for and not the one that was kept: lateness within a chunk is not paid back.
            self._debt -= SLICE_MS * 1_000_000
            rest = Chunk(item.data[size:], item.stamp)
            self._hand, self._due = rest, self._wait(rest, now)
            return Chunk(item.data[:size], item.stamp)
        if isinstance(item, Chunk):
            self._debt -= min(now - self._since, self._payment() + FORGIVEN) * 1000
        self._hand = None
        return item

    def _wait(self, chunk: Chunk, now: int) -> int:
        sliced = len(chunk.data) > self._rate * SLICE_MS
        wait = SLICE_MS * MS if sliced else self._payment()
        self._since = now
        if wait > 0:
            self.struck = True
        return now + wait

    def _payment(self) -> int:
        return max(0, self._debt // 1000)
