"""What every stage is: one toxic at work on one direction of one connection.

The law of this module: a stage is a synchronous state machine that owns what it holds. Items enter by `take` in the
order of the stream and leave by `emit` in the same order; a stage never asks for the time, it is told. An item is a
chunk (what one read brought) or the end of the stream, and the end is always the last item.

A stage holds one item at a time, "in hand", as Toxiproxy's unbuffered channels do; `DEPTH` says how many more it lets
queue up in front of it. Whoever drives the stages (:mod:`testbed.faults.pipeline`) gives an item only to a stage that
is `ready`, and asks for the next one only when there is room behind it: that is all there is to back-pressure.
"""

from __future__ import annotations

import enum
import random
from collections import deque
from functools import cached_property
from typing import ClassVar, NamedTuple, Union

CHUNK = 32 * 1024  # the most that one read brings, as in Toxiproxy
WINDOW = 64 * 1024  # bytes on their way to a destination before its slowness is felt

# Toxiproxy's timers take milliseconds and so do its attributes; whole microseconds keep every sum exact, which floats
# would not, and two runs of one plan must agree to the last digit.
MS = 1000  # microseconds: toxics speak in milliseconds, the model in microseconds


class Chunk(NamedTuple):
    """Bytes, and when they arrived in microseconds (latency counts their age from there)."""

    data: bytes
    stamp: int


class End(enum.Enum):
    """How a stream ends at the place where this item stands."""

    FIN = "fin"  # the source closed its side
    CLOSE = "close"  # a toxic closes the connection
    RESET_DRAINED = "reset-drained"
    RESET_IMMEDIATE = "reset-immediate"


Item = Union[Chunk, End]


# A stage lives from one live change to the next; what must outlive it stands apart. On the real server only limit_data
# keeps anything; the draws are here too, so that an update does not replay the delays of the stage before it.
class Memory:
    """What a toxic keeps of a connection however often its attributes change: its draws and its count of bytes."""

    def __init__(self, seed: int, index: int) -> None:
        self.index = index
        self.opened = 0  # when the connection opened
        self.passed = 0  # bytes that went through, for the toxics that count
        self._seed = seed

    # Two generators, so that a share of connections can change without changing a single delay. They are
    # built at the first draw: seeding one costs more than carrying a chunk.
    @cached_property
    def chance(self) -> random.Random:
        """Draws whether the toxic strikes this connection at all."""
        return random.Random(f"{self._seed}/{self.index}/toxicity")

    @cached_property
    def draws(self) -> random.Random:
        """Draws what is random in the toxic itself."""
        return random.Random(f"{self._seed}/{self.index}")


class Stage:
    """A stage that passes everything at once. Each toxic overrides `when`, `leave`, or more."""

    DEPTH: ClassVar[int] = 0

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.struck = False  # it changed something: the trace must say that the fault fired
        self._hand: Item | None = None
        self._due: int | None = None  # when the item in hand may go on; None is never
        self._queue: deque[Item] = deque()

    @property
    def interruptible(self) -> bool:
        """Whether a live change may take this stage out of what it is doing."""
        return True

    def ready(self) -> bool:
        """Say whether `take` may be called."""
        return self._hand is None or len(self._queue) < self.DEPTH

    # The three calls below are all that a pipeline needs. Time passes only in its arguments, so a stage cannot tell a
    # test from a virtual clock from a socket.

    def take(self, item: Item, now: int) -> None:
        """Accept the next item of the stream."""
        if self._hand is None:
            self._begin(item, now)
        else:
            self._queue.append(item)

    def deadline(self) -> int | None:
        """When this stage next does something by itself; a time gone by means that it is blocked from behind."""
        return None if self._hand is None else self._due

    def emit(self, now: int) -> Item | None:
        """Give the next item that is due, or None. Only called when there is room for it behind this stage."""
        if self._hand is None or self._due is None or self._due > now:
            return None
        item = self.leave(self._hand, now)
        # The next one is looked at now and not when it arrived: its wait begins when the hand is free, as in a
        # goroutine that reads its channel again.
        if self._hand is None and self._queue:
            self._begin(self._queue.popleft(), now)
        return item

    def when(self, item: Item, now: int) -> int | None:
        """Decide when an item that just came in hand may go on; None is never."""
        return now

    def leave(self, item: Item, now: int) -> Item | None:
        """Let the item in hand go, or a part of it, in which case the rest stays in hand with a new due time."""
        self._hand = None
        return item

    def interrupt(self) -> list[Item]:
        """Stop: give up the chunk in hand undelayed. An end is not given up, it waits in `leftover`."""
        # An interrupted goroutine has not "received" the end: its channel stays closed, and the next one meets it
        # again.
        if self._hand is None or isinstance(self._hand, End):
            return []
        chunk, self._hand = self._hand, None
        return [chunk] if chunk.data else []

    def leftover(self) -> list[Item]:
        """Give up, after `interrupt`, what has not been looked at yet."""
        held = [] if self._hand is None else [self._hand]
        items = [*held, *self._queue]
        self._hand = None
        self._queue.clear()
        return items

    def _begin(self, item: Item, now: int) -> None:
        self._hand = item
        self._due = self.when(item, now)
