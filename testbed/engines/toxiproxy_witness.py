"""Whether a toxic in somebody else's server struck, as far as it can be known from both its ends.

The law of this module: a strike is claimed only for what was seen at the two ends of the real proxy, which are
ours: what went into each direction, what came out towards the client, how that ended. In between nothing can be
asked. So `latency` strikes when bytes go in, but an exact cut strikes only if exactly its bytes came out and then
its end: if the real server lost some on the way, the fault did not fire, and the run is no proof of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

from testbed.faults import toxics
from testbed.faults.toxics import Direction, Toxic, type_name
from testbed.ports import ByteConnection, Recorder
from testbed.trace import Delivered, Fired, LinkEof, LinkReset, Observation


@dataclass(slots=True)
class _Seen:
    """The two ends of one connection through the real server."""

    entered: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    largest: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    ended: dict[Direction, bool] = field(default_factory=lambda: dict.fromkeys(Direction, False))
    delivered: int = 0  # to the client
    closed: bool = False  # the client got an end
    reset: bool = False  # ... and it was an RST

    def into(self, direction: Direction, size: int) -> None:
        self.entered[direction] += size
        self.largest[direction] = max(self.largest[direction], size)


Rule = Callable[[Any, _Seen], bool]  # `Any` because each row takes its own toxic; the key is the proof


def _data(toxic: Toxic, seen: _Seen) -> bool:
    return seen.entered[toxic.stream] > 0


def _reset_by_peer(toxic: toxics.ResetPeer, seen: _Seen) -> bool:
    # Spared by its toxicity, it still turns every close of the connection into a reset.
    return seen.reset or (toxic.toxicity > 0 and (_data(toxic, seen) or seen.ended[toxic.stream]))


def _cut_at(toxic: Toxic, count: int, seen: _Seen) -> bool:
    out = seen.delivered if toxic.stream is Direction.DOWNSTREAM else count
    return out == max(count, 0) and seen.entered[toxic.stream] >= max(count, 1)


def _sliced(toxic: toxics.Slicer, seen: _Seen) -> bool:
    attributes = toxic.attributes
    pieces = seen.largest[toxic.stream] - attributes.average_size > attributes.size_variation
    return pieces or (attributes.delay > 0 and _data(toxic, seen))


_RULES: Mapping[type, Rule] = MappingProxyType(
    {
        toxics.Latency: lambda toxic, seen: toxic.attributes != toxics.LatencyAttributes() and _data(toxic, seen),
        toxics.Bandwidth: _data,
        toxics.Slicer: _sliced,
        toxics.SlowClose: lambda toxic, seen: toxic.attributes.delay > 0 and seen.ended[toxic.stream],
        toxics.Timeout: lambda toxic, seen: _data(toxic, seen) or (seen.closed and not any(seen.ended.values())),
        toxics.ResetPeer: _reset_by_peer,
        toxics.LimitData: lambda toxic, seen: seen.closed and _cut_at(toxic, toxic.attributes.bytes, seen),
        toxics.CloseAfter: lambda toxic, seen: seen.closed and _cut_at(toxic, toxic.attributes.bytes, seen),
        toxics.ResetAfter: lambda toxic, seen: seen.reset and _cut_at(toxic, toxic.attributes.bytes, seen),
    }
)


@final
class Witness:
    """The recorder of one connection, which adds Fired where what it records proves a strike."""

    def __init__(self, struck_by: Sequence[Toxic], conn: int, recorder: Recorder) -> None:
        self._recorder = recorder
        self._conn = conn
        self._seen = _Seen()
        self._waiting = {
            index: toxic
            for index, toxic in enumerate(struck_by)
            if toxic.toxicity > 0 or isinstance(toxic, toxics.ResetPeer)
        }

    def now(self) -> int:
        """Microseconds since the run began."""
        return self._recorder.now()

    def record(self, observation: Observation) -> None:
        """Append one observation of the link in front of the real server, and what follows from it."""
        self._recorder.record(observation)
        seen = self._seen
        if isinstance(observation, Delivered) and observation.direction is Direction.UPSTREAM:
            seen.into(Direction.UPSTREAM, observation.total - seen.entered[Direction.UPSTREAM])
        elif isinstance(observation, Delivered):
            seen.delivered = observation.total
        elif isinstance(observation, (LinkEof, LinkReset)) and observation.direction is Direction.UPSTREAM:
            seen.ended[Direction.UPSTREAM] = True
        elif isinstance(observation, (LinkEof, LinkReset)):
            seen.closed = True
            seen.reset = isinstance(observation, LinkReset)
        self._conclude()

    def sent(self, size: int) -> None:
        """Take note that the server is handing bytes to the real proxy."""
        self._seen.into(Direction.DOWNSTREAM, size)
        self._conclude()

    def ended(self) -> None:
        """Take note that the server ends its side."""
        self._seen.ended[Direction.DOWNSTREAM] = True
        self._conclude()

    def _conclude(self) -> None:
        for index, toxic in list(self._waiting.items()):
            rule = _RULES.get(type(toxic))
            if rule is not None and rule(toxic, self._seen):
                del self._waiting[index]
                kind = type_name(toxic)
                self._recorder.record(Fired(t=self._recorder.now(), conn=self._conn, toxic=index, type=kind))


@final
class WitnessedConnection:
    """The server's end, which tells a witness what goes into the real proxy."""

    def __init__(self, inner: ByteConnection, witness: Witness) -> None:
        self._inner = inner
        self._witness = witness

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return the next bytes, b"" at FIN; raise :class:`ConnectionResetError` at an RST."""
        return await self._inner.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """Hand all of `data` to the real proxy."""
        self._witness.sent(len(data))
        await self._inner.send(data)

    async def send_eof(self, *, abrupt: bool = False) -> None:
        """Send FIN; receiving goes on."""
        self._witness.ended()
        await self._inner.send_eof(abrupt=abrupt)

    async def drain(self) -> None:
        """Wait until the real proxy's kernel has acknowledged every byte."""
        await self._inner.drain()

    def reset(self) -> None:
        """Send RST now and close."""
        self._witness.ended()
        self._inner.reset()

    def close(self) -> None:
        """Close both directions."""
        self._witness.ended()
        self._inner.close()
