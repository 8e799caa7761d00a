"""`packet_loss`: loss as a receiver behind TCP sees it, a stall and then everything at once.

::

    in   1-2-x-4-5-6-7---------         segment 3 is lost, 4 to 6 follow it
    out  1-2---------34567-----         one round trip after 6: fast retransmit
    in   1-2-x-----------------         nothing follows
    out  1-2-----------------3-         after the retransmission time-out, which doubles with every further loss

The law: not a byte is dropped, changed or reordered; loss only decides *when*. What is behind a lost segment waits
for it (head-of-line blocking).

What is modelled. Each chunk is sent at once as segments of `mss` bytes. A segment's first transmission is lost with
probability `loss_rate`; with `correlation` c the chain is Markov, after a loss p + c (1 - p), after an arrival p (1 -
c), so that the share of lost segments stays p and losses come in bursts (Gilbert's model with a good and a bad
state). A lost segment is sent again when three later ones have arrived (fast retransmit, RFC 5681), which arrives
`rtt` after the third, or when `rto` has run out, doubling up to two minutes (RFC 6298). Copies are lost independently
with the same `loss_rate`; a lost fast retransmit is left to the time-out.

What is not. No congestion window, no slow start after a loss, no selective acknowledgements or tail loss probes
(Linux repairs some tails sooner), no measuring of the round trip, no loss of acknowledgements, of the handshake or of
a FIN. Kernels give up after about 15 copies and break the connection; here the 15th copy arrives. How a loaded kernel
spreads such stalls differs in detail; that they happen, how long a lone loss lasts and that the stream is whole
afterwards does not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import final

from testbed.faults.stages.base import MS, WINDOW, Chunk, End, Item, Memory, Stage
from testbed.faults.toxics import PacketLoss

DUPLICATES = 3  # later arrivals that trigger a fast retransmit
COPIES = 15  # retransmissions by time-out; the last one always arrives
RTO_MAX = 120_000 * MS


@dataclass(slots=True)
class _Sent:
    """A run of segments that share their fate, or the end, and when the receiver has it."""

    item: Item
    arrives: int
    later: int = DUPLICATES  # arrivals still missing for a fast retransmit


@final
class PacketLossStage(Stage):
    """The receiver's reassembly queue."""

    def __init__(self, toxic: PacketLoss, memory: Memory, now: int) -> None:
        super().__init__(memory)
        self._attributes = toxic.attributes
        self._line: deque[_Sent] = deque()  # in the order of the stream
        self._holes: list[_Sent] = []  # lost, and not yet sent again fast
        self._held = 0  # bytes in the line
        self._lost_before = False

    def ready(self) -> bool:
        """A hole keeps the receiver's window shut once that much is waiting behind it."""
        return self._held < WINDOW

    # A segment's arrival is settled when it is sent: the draws for all its copies are made at once and only a fast
    # retransmit can still move it, to an earlier time. So the line needs one time a run and no timers of its own.

    def take(self, item: Item, now: int) -> None:
        """Send a chunk as segments, runs of arrivals kept together."""
        if isinstance(item, End):
            self._line.append(_Sent(item, now))
            return
        # Runs and not segments are kept: a long write without loss stays one piece, and costs one draw a segment.
        data, mss, start = item.data, self._attributes.mss, 0
        self._held += len(data)
        for at in range(0, len(data), mss):
            if self._loses():
                self._arrive(data[start:at], item.stamp, now)
                self._lose(data[at : at + mss], item.stamp, now)
                start = at + mss
        self._arrive(data[start:], item.stamp, now)

    def deadline(self) -> int | None:
        """The arrival that everything else waits for."""
        return self._line[0].arrives if self._line else None

    def emit(self, now: int) -> Item | None:
        """Hand over in one piece all that has become contiguous."""
        ripe: list[Chunk] = []
        while self._line and self._line[0].arrives <= now:
            item = self._line[0].item
            if isinstance(item, End):
                break
            ripe.append(item)
            self._line.popleft()
        if ripe:
            data = b"".join(chunk.data for chunk in ripe)
            self._held -= len(data)
            return Chunk(data, ripe[-1].stamp)
        # Only the end can be at the head and due: it leaves alone, after all data.
        return self._line.popleft().item if self._line and self._line[0].arrives <= now else None

    def interrupt(self) -> list[Item]:
        """Give up every byte in the line: all of it has been looked at."""
        chunks = [sent.item for sent in self._line if isinstance(sent.item, Chunk)]
        self._queue.extend(sent.item for sent in self._line if isinstance(sent.item, End))
        self._line.clear()
        self._held = 0
        return [*chunks]

    def _loses(self) -> bool:
        rate, correlation = self._attributes.loss_rate, self._attributes.correlation
        share = rate + correlation * (1 - rate) if self._lost_before else rate * (1 - correlation)
        self._lost_before = self.memory.draws.random() < share
        return self._lost_before

    def _arrive(self, data: bytes, stamp: int, now: int) -> None:
        if not data:
            return
        self._line.append(_Sent(Chunk(data, stamp), now))
        # Every later arrival is acknowledged with the number that the receiver still misses: three such duplicates and
        # the sender need not wait for its clock.
        segments = -(-len(data) // self._attributes.mss)
        for hole in self._holes:
            hole.later -= segments
            if hole.later <= 0 and not self._copy_is_lost():
                hole.arrives = min(hole.arrives, now + self._attributes.rtt * MS)
        # One fast retransmit a hole, whether its copy arrived or not; holes that the clock has mended are done too.
        self._holes = [hole for hole in self._holes if hole.later > 0 and hole.arrives > now]

    def _lose(self, data: bytes, stamp: int, now: int) -> None:
        self.struck = True
        hole = _Sent(Chunk(data, stamp), now + self._time_outs())
        self._line.append(hole)
        self._holes.append(hole)

    def _time_outs(self) -> int:
        """How long until a copy arrives if nothing but the clock asks for it."""
        # Bounded, so that any rate below 1 delivers the stream in the end, if late.
        rto = total = self._attributes.rto * MS
        for _ in range(COPIES - 1):
            if not self._copy_is_lost():
                break
            rto = min(rto * 2, RTO_MAX)
            total += rto
        return total

    def _copy_is_lost(self) -> bool:
        return self.memory.draws.random() < self._attributes.loss_rate
