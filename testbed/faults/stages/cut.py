"""What `limit_data`, `reset_after` and `close_after` have in common: end the stream at an exact byte.

The law: exactly `limit` bytes pass, however the stream was cut into chunks, and the end follows at once, before
anything else of the stream is looked at. With a limit of 0 or less it is the first byte that triggers the end; a
stream without bytes is left alone.
"""

from __future__ import annotations

from testbed.faults.stages.base import End, Item, Memory, Stage


class CutStage(Stage):
    """Count, cut, end. The count lives in the memory, so that a new limit goes on from the old count."""

    def __init__(self, memory: Memory, limit: int, end: End) -> None:
        super().__init__(memory)
        self._limit = limit
        self._end = end

    def leave(self, item: Item, now: int) -> Item | None:
        """Pass what is left of the limit, and the end right behind it."""
        self._hand = None
        if isinstance(item, End):
            return item
        left = max(0, self._limit - self.memory.passed)
        # Reaching the limit is enough, nobody has to go beyond it: a stream of just that length is cut too, before its
        # own end. Otherwise an exact byte would depend on whether a byte follows.
        if len(item.data) < left:
            self.memory.passed += len(item.data)
            return item
        self.memory.passed += left
        self.struck = True
        if left == 0:
            return self._end
        # The end takes the place of the rest of the chunk, so nothing can come between the last byte and it.
        self._hand, self._due = self._end, now
        return item._replace(data=item.data[:left])

    def interrupt(self) -> list[Item]:
        """Keep the cut: a chunk in hand has not been counted, so it is looked at again instead of slipping past."""
        # The real server can not be interrupted here, because its counting stages hold nothing between two waits.
        return []
