"""`latency`: every chunk waits until it is `latency` ± `jitter` old.

::

    in   A-B-----------C--FIN
    out  ------A-B-----------C-FIN      (the delay is counted from the chunk's arrival, order holds)

The law: chunks keep their order, so one that drew a long delay delays those behind it. Opening the connection and an
end with no data before it are not delayed. Up to 1024 chunks queue here, as in Toxiproxy, before the sender feels any
of it.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import MS, Chunk, End, Item, Memory, Stage
from testbed.faults.toxics import Latency


@final
class LatencyStage(Stage):
    """Hold each chunk for a while."""

    # Latency is a long wire, not a narrow one: without a queue a second chunk would wait for the first to leave before
    # its own delay began, and latency would turn into a limit on throughput.
    DEPTH = 1024

    def __init__(self, toxic: Latency, memory: Memory, now: int) -> None:
        super().__init__(memory)
        self._attributes = toxic.attributes
        self._wait = 0

    def when(self, item: Item, now: int) -> int | None:
        """Let the chunk reach its drawn age."""
        # An end has no age: it passes as soon as it is at the head of the queue, so a stream of nothing but an end is
        # not delayed at all.
        self._wait = 0 if isinstance(item, End) else self._delay() - (now - item.stamp)
        if self._wait > 0:
            self.struck = True
        return now + max(0, self._wait)

    def leave(self, item: Item, now: int) -> Item | None:
        """Shift the chunk's stamp by the wait, even by a negative one.

        A second latency behind this one therefore sees a chunk that had queued as older than it should and delays it
        less. That is how the real server chains latencies, and plans must come out alike on both.
        """
        self._hand = None
        return item if isinstance(item, End) else Chunk(item.data, item.stamp + self._wait)

    def _delay(self) -> int:
        latency, jitter = self._attributes.latency, self._attributes.jitter
        # From -jitter up to jitter - 1: the real server's draw leaves out its upper end.
        drawn = self.memory.draws.randrange(-jitter, jitter) if jitter > 0 else 0
        return (latency + drawn) * MS
