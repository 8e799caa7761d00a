"""`slicer`: cut each chunk into pieces of about `average_size` bytes, `delay` µs apart.

::

    in   AAAAAA---------FIN
    out  AA--AA--AA-----FIN

The law: pieces joined are the chunk. Sizes lie within `average_size` ± `size_variation` as far as halving reaches; a
size of 0 means 1, and a cut never falls outside its piece, where the real server would end in a crash.
"""

from __future__ import annotations

from collections import deque
from typing import final

from testbed.faults.stages.base import Chunk, End, Item, Memory, Stage
from testbed.faults.toxics import Slicer


@final
class SlicerStage(Stage):
    """Cut, and pause after each piece."""

    def __init__(self, toxic: Slicer, memory: Memory, now: int) -> None:
        super().__init__(memory)
        # The real server recurses without end on an average of 0 and panics where the variation reaches the average.
        self._average = max(1, toxic.attributes.average_size)
        self._variation = max(0, toxic.attributes.size_variation)
        self._delay = max(0, toxic.attributes.delay)
        self._pieces: deque[bytes] = deque()

    def when(self, item: Item, now: int) -> int | None:
        """Cut the chunk. The first piece goes at once."""
        if isinstance(item, Chunk):
            self._pieces = deque(self._cut(item.data))
            if len(self._pieces) > 1 or self._delay > 0:
                self.struck = True
        return now

    def leave(self, item: Item, now: int) -> Item | None:
        """Send one piece and pause. The pause after the last one holds up whatever comes next."""
        if isinstance(item, End) or not self._pieces:
            self._hand = None
            return item if isinstance(item, End) else None
        # While pieces are left, what is in hand is only a token for them: its data is rebuilt if it comes to that.
        piece = Chunk(self._pieces.popleft(), item.stamp)
        self._due = now + self._delay
        if not self._pieces and self._delay == 0:
            self._hand = None
        return piece

    def interrupt(self) -> list[Item]:
        """Give up the pieces that have not gone yet as one."""
        if isinstance(self._hand, Chunk):
            self._hand = Chunk(b"".join(self._pieces), self._hand.stamp)
            self._pieces.clear()
        return super().interrupt()

    def _cut(self, data: bytes) -> list[bytes]:
        # Halving with a stack instead of recursion: the pieces of a 32 KiB chunk can be single bytes.
        pieces, todo = [], [(0, len(data))]
        while todo:
            start, stop = todo.pop()
            if stop - start - self._average <= self._variation:
                pieces.append(data[start:stop])
            else:
                middle = self._middle(start, stop)
                todo += [(middle, stop), (start, middle)]
        return pieces

    def _middle(self, start: int, stop: int) -> int:
        variation = self._variation
        drawn = self.memory.draws.randrange(-variation, variation) if variation > 0 else 0
        # A wide variation can draw a cut outside the piece. Pulled back inside it still halves something, so the
        # stack empties.
        return min(max(start + (stop - start) // 2 + drawn, start + 1), stop - 1)
