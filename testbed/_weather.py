"""What toxics add to the times of a connection, as far as it is known before a run.

The law of this module: numbers only, on the long side; what a toxic *does* stands in its stage
(:mod:`testbed.faults.stages`). A toxic with a toxicity below 1 counts as if it struck.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from testbed._values import Value
from testbed.faults import toxics as kinds
from testbed.faults.toxics import Direction, Toxic


class Weather(Value):
    """What toxics add at the worst.

    Seconds before the first byte, to a later silence, to every byte, and to the end.
    """

    first: float = 0.0
    wobble: float = 0.0
    per_byte: float = 0.0
    close: float = 0.0

    def __add__(self, other: Weather) -> Weather:
        """Both at once."""
        return Weather(*(getattr(self, field) + getattr(other, field) for field in self.__struct_fields__))


def weather(toxics: Iterable[Toxic]) -> Weather:
    """Sum up what these toxics may add. Those that end or stall a connection at a byte are not weather."""
    total = Weather()
    for toxic in toxics:
        if type(toxic) in _ADDS:
            total += _ADDS[type(toxic)](toxic)
    return total


def _latency(toxic: kinds.Latency) -> Weather:
    first = (toxic.attributes.latency + toxic.attributes.jitter) / 1000
    # A chunk held long behind one held short: the silence between them grows by both jitters.
    wobble = 2 * toxic.attributes.jitter / 1000
    return Weather(first=first, wobble=wobble if _is_down(toxic) else 0.0)


def _bandwidth(toxic: kinds.Bandwidth) -> Weather:
    if not _is_down(toxic):
        return Weather()
    return Weather(per_byte=1 / (1000 * toxic.attributes.rate) if toxic.attributes.rate else math.inf)


def _slicer(toxic: kinds.Slicer) -> Weather:
    if not _is_down(toxic) or not toxic.attributes.average_size:
        return Weather()
    return Weather(per_byte=toxic.attributes.delay / 1e6 / toxic.attributes.average_size)


def _slow_close(toxic: kinds.SlowClose) -> Weather:
    return Weather(close=toxic.attributes.delay / 1000)


def _packet_loss(toxic: kinds.PacketLoss) -> Weather:
    # Two losses in a row of the same segment: the retransmission time-out and its double.
    return Weather(first=3 * toxic.attributes.rto / 1000, wobble=3 * toxic.attributes.rto / 1000)


_ADDS: Mapping[type, Callable[[Any], Weather]] = MappingProxyType(
    {
        kinds.Latency: _latency,
        kinds.Bandwidth: _bandwidth,
        kinds.Slicer: _slicer,
        kinds.SlowClose: _slow_close,
        kinds.PacketLoss: _packet_loss,
    }
)


def _is_down(toxic: Toxic) -> bool:
    return toxic.stream is Direction.DOWNSTREAM


def sending(toxics: Iterable[Toxic], size: int) -> float:
    """Seconds that a request of `size` bytes takes on its way to the server."""
    throttles = [toxic for toxic in toxics if isinstance(toxic, kinds.Bandwidth) and not _is_down(toxic)]
    if not size:
        return 0.0
    return sum(size / (1000 * toxic.attributes.rate) if toxic.attributes.rate else math.inf for toxic in throttles)


# --- a whole stream ---------------------------------------------------------------------------------------------------


def loss_stalls(toxics: Iterable[Toxic], writes: int, size: int) -> float:
    """Seconds that packet loss adds to a whole stream.

    The mean number of losses and two deviations, each at its dearest.
    """
    total = 0.0
    for toxic in toxics:
        if isinstance(toxic, kinds.PacketLoss):
            rate = toxic.attributes.loss_rate
            segments = max(writes, size // toxic.attributes.mss + 1)
            losses = segments * rate + 2 * math.sqrt(segments * rate * (1 - rate))
            total += losses * toxic.attributes.rto / 1000 / (1 - rate)
    return total


def stalled(toxics: Iterable[Toxic], start: int, stop: int) -> float:
    """Seconds that stall toxics hold what stands between these two wire bytes; the end counts as a byte."""
    return sum(
        math.inf if toxic.attributes.duration is None else toxic.attributes.duration / 1000
        for toxic in toxics
        if isinstance(toxic, kinds.Stall) and start <= toxic.attributes.bytes < max(stop, start + 1)
    )


def byte_limit(toxics: Sequence[Toxic]) -> float:
    """The downstream wire byte at which a toxic ends the connection."""
    limits = [
        toxic.attributes.bytes
        for toxic in toxics
        if isinstance(toxic, (kinds.LimitData, kinds.ResetAfter, kinds.CloseAfter)) and _is_down(toxic)
    ]
    return min((limit for limit in limits if limit is not None), default=math.inf)


def time_limit(toxics: Sequence[Toxic]) -> float:
    """The second at which a toxic ends the connection, whatever was said."""
    times = [toxic.attributes.after for toxic in toxics if isinstance(toxic, kinds.CloseAfter)]
    return min((time / 1000 for time in times if time is not None), default=math.inf)


def swallowed(toxics: Sequence[Toxic]) -> float | None:
    """Seconds after which a toxic that lets nothing through ends the connection; None if no toxic does that."""
    ends = [
        math.inf
        if isinstance(toxic, kinds.Timeout) and toxic.attributes.timeout <= 0
        else toxic.attributes.timeout / 1000
        for toxic in toxics
        # A reset_peer with toxicity 0 passes everything: it only turns a later end into an RST.
        if isinstance(toxic, (kinds.ResetPeer, kinds.Timeout)) and toxic.toxicity > 0
    ]
    return min(ends, default=None)
