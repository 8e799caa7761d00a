"""`stall`: after `bytes` bytes nothing passes for `duration` ms, or for ever; the connection stays open.

::

    in   AAAA--BBBB--CCCC--FIN
    out  AAAA--BB----------BBCCCC-FIN   (bytes = 6)

The law: the silence begins when the last of the `bytes` bytes has passed, at exactly that byte however the stream was
cut into chunks; with 0, when the first byte (or the end) would pass. Nothing is lost: the end of the stream waits in
its place, and the source is slowed by back-pressure. One stage is silent once.
"""

from __future__ import annotations

import enum
from typing import final

from testbed.faults.stages.base import MS, End, Item, Memory, Stage
from testbed.faults.toxics import Stall


class _Phase(enum.Enum):
    BEFORE = "before"
    SILENT = "silent"
    AFTER = "after"


@final
class StallStage(Stage):
    """Fall silent at one byte."""

    def __init__(self, toxic: Stall, memory: Memory, now: int) -> None:
        super().__init__(memory)
        self._bytes = max(0, toxic.attributes.bytes)
        self._duration = toxic.attributes.duration
        # An update may move the byte to a place that has gone by; silence would then strike at a byte nobody asked for.
        self._phase = _Phase.AFTER if memory.passed > self._bytes else _Phase.BEFORE
        self._until: int | None = None

    def when(self, item: Item, now: int) -> int | None:
        """Pass before and after, hold while silent."""
        # Only with 0 bytes, or after an update to just this byte, has nothing passed here that could begin the silence.
        if self._phase is _Phase.BEFORE and self.memory.passed == self._bytes:
            self._fall_silent(now)
        if self._phase is _Phase.SILENT:
            return None if self._until is None else max(now, self._until)
        return now

    def leave(self, item: Item, now: int) -> Item | None:
        """Pass up to the byte; what is left of the chunk waits."""
        self._hand = None
        # Leaving while silent means that the silence is over: nothing else makes an item due.
        if self._phase is _Phase.SILENT:
            self._phase = _Phase.AFTER
        if isinstance(item, End):
            return item
        left = self._bytes - self.memory.passed
        if self._phase is _Phase.AFTER or len(item.data) < left:
            self.memory.passed += len(item.data)
            return item
        self.memory.passed = self._bytes
        # Silence counts from the byte and not from the next chunk, so a source that pauses by itself pauses inside it:
        # the receiver sees the longer of the two, never their sum.
        self._fall_silent(now)
        if len(item.data) > left:
            self._hand, self._due = item._replace(data=item.data[left:]), self._until
        return item._replace(data=item.data[:left])

    def _fall_silent(self, now: int) -> None:
        self.struck = True
        self._phase = _Phase.SILENT
        self._until = None if self._duration is None else now + self._duration * MS
