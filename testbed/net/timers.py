"""A timer queue: who is due next, among any number.

The law of this module: it reads no clock (the time comes in as an argument, in integers of the caller's own unit), what
is due comes out in the order of its deadlines, equal ones in the order in which they were set, and nothing comes out
that was cancelled. Setting, cancelling and taking cost O(log n), over a sequence of them.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Generic, NewType, TypeVar, final

Item = TypeVar("Item")

# A binary heap rather than a calendar queue: its depth at 10,000 streams is 14, and heapq does it in C, while the
# buckets of a calendar would have to be kept in Python.

# Opaque to the caller: the entry of the heap itself, [deadline, number, item], so that a timer costs no second object.
Timer = NewType("Timer", list)  # type: ignore[type-arg]

_FEW = 64  # cancelled entries that are not worth sweeping out


@final
class Timers(Generic[Item]):
    """Items with deadlines.

    >>> timers = Timers()
    >>> late, soon = timers.set(30, "late"), timers.set(10, "soon")
    >>> timers.next(), timers.take(20), timers.take(20)
    (10, 'soon', None)
    >>> timers.cancel(late)
    >>> timers.next() is None
    True
    """

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._numbers = itertools.count()
        self._cancelled = 0  # entries in the heap whose item is gone

    def __len__(self) -> int:
        """How many timers are set."""
        return len(self._heap) - self._cancelled

    def set(self, deadline: int, item: Item) -> Timer:
        """Have `item` come out when the time is `deadline` or later; the result cancels it."""
        # The number decides between equal deadlines, so that two items are never compared.
        timer = Timer([deadline, next(self._numbers), item])
        heapq.heappush(self._heap, timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        """Forget a timer. One that has come out, or was cancelled before, is let be."""
        if len(timer) == 3:
            timer.pop()
            self._cancelled += 1
            # An entry deep in the heap stays there until it comes up; a few sweeps keep the dead from outnumbering
            # the living, at a cost that the cancellings before it have paid for.
            if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if len(entry) == 3]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def next(self) -> int | None:
        """Return the earliest deadline, or None if no timer is set."""
        heap = self._heap
        while heap and len(heap[0]) != 3:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def take(self, now: int) -> Item | None:
        """Take out the earliest item if it is due by `now`, else return None."""
        deadline = self.next()
        if deadline is None or deadline > now:
            return None
        # Emptied, so that a late cancel finds nothing to do.
        item: Item = heapq.heappop(self._heap).pop()
        return item
