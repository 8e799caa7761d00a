"""Toxics as values: Toxiproxy's names, attributes, units and JSON, and ours beside them.

The law of this module: what is written here is the JSON of Toxiproxy's HTTP API (2.12) word for word, so the same
value is a line of a scenario file, an argument of the real server and the input of our own
:class:`~testbed.faults.connection.ConnectionModel`. Units are Toxiproxy's: `ms` unless the attribute says otherwise,
rates in KB/s (1 KB = 1000 bytes), slicer delay in microseconds. What a toxic *does* stands in its stage, never here.
"""

from __future__ import annotations

import enum
from typing import Union

from testbed._values import Value
from testbed.errors import UsageError


class Direction(str, enum.Enum):
    """Toxiproxy's word `stream`: upstream is client to server, downstream is server to client."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


class ResetMode(str, enum.Enum):
    """How a reset treats what was already sent (DESIGN, rule 6 of the core)."""

    DRAINED = "drained"  # the peer has acknowledged every byte before the RST
    IMMEDIATE = "immediate"  # what is still queued is destroyed by the RST


class _Toxic(Value, tag_field="type"):
    """The fields that every toxic has, whatever its type. `toxicity` is the share of connections that it strikes."""

    name: str | None = None  # None stands for Toxiproxy's default, <type>_<stream>
    stream: Direction = Direction.DOWNSTREAM
    toxicity: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.toxicity <= 1.0:
            raise UsageError(f"toxic: toxicity is {self.toxicity}; it must lie between 0 and 1")


class LatencyAttributes(Value):
    """Milliseconds: every chunk is held `latency` plus a uniform draw from ±`jitter`."""

    latency: int = 0
    jitter: int = 0


class Latency(_Toxic, tag="latency"):
    """Delay everything."""

    attributes: LatencyAttributes = LatencyAttributes()


class BandwidthAttributes(Value):
    """KB/s; 0 stalls for ever, as the real server does."""

    rate: int = 0

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise UsageError(f"bandwidth: rate is {self.rate}; it must not be negative (Toxiproxy 2.12 crashes on it)")


class Bandwidth(_Toxic, tag="bandwidth"):
    """Throttle to a rate."""

    attributes: BandwidthAttributes = BandwidthAttributes()


class SlowCloseAttributes(Value):
    """Milliseconds."""

    delay: int = 0


class SlowClose(_Toxic, tag="slow_close"):
    """Data passes, the end of the stream waits."""

    attributes: SlowCloseAttributes = SlowCloseAttributes()


class TimeoutAttributes(Value):
    """Milliseconds; 0 never closes."""

    timeout: int = 0


class Timeout(_Toxic, tag="timeout"):
    """Drop all data; close after that long without a chunk."""

    attributes: TimeoutAttributes = TimeoutAttributes()


class ResetPeerAttributes(Value):
    """Milliseconds from the first chunk to the reset."""

    timeout: int = 0


class ResetPeer(_Toxic, tag="reset_peer"):
    """Swallow the first chunk, wait, reset."""

    attributes: ResetPeerAttributes = ResetPeerAttributes()


class SlicerAttributes(Value):
    """Bytes, bytes, and *microseconds* after each piece."""

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0


class Slicer(_Toxic, tag="slicer"):
    """Cut chunks into small pieces."""

    attributes: SlicerAttributes = SlicerAttributes()


class LimitDataAttributes(Value):
    """Bytes that pass, counted from when the toxic met the connection."""

    bytes: int = 0


class LimitData(_Toxic, tag="limit_data"):
    """Let that much through, then close."""

    attributes: LimitDataAttributes = LimitDataAttributes()


class NoAttributes(Value):
    """An empty object."""


class Noop(_Toxic, tag="noop"):
    """Do nothing (it exists in Toxiproxy's API)."""

    attributes: NoAttributes = NoAttributes()


class PacketLossAttributes(Value):
    """Bernoulli loss over segments of `mss` bytes (correlation 0); a lost segment stalls what is behind it.

    `loss_rate` and `correlation` are shares from 0 to 1, `rto` is the initial retransmission time-out in ms (RFC
    6298, Linux: 200), `rtt` the round trip in ms after which a fast retransmit arrives.
    """

    loss_rate: float = 0.0
    correlation: float = 0.0
    mss: int = 1460
    rto: int = 200
    rtt: int = 40

    def __post_init__(self) -> None:
        for field in ("loss_rate", "correlation"):
            value = getattr(self, field)
            if not 0.0 <= value < 1.0:
                raise UsageError(f"packet_loss: {field} is {value}; it must be at least 0 and below 1")
        if self.mss < 1 or self.rto < 1 or self.rtt < 0:
            raise UsageError("packet_loss: mss and rto must be at least 1, rtt at least 0")


class PacketLoss(_Toxic, tag="packet_loss"):
    """Ours: loss as TCP shows it, a stall and never a hole."""

    attributes: PacketLossAttributes = PacketLossAttributes()


class ResetAfterAttributes(Value):
    """Exactly `bytes` wire bytes pass (the head counted), then RST."""

    bytes: int
    mode: ResetMode = ResetMode.DRAINED


class ResetAfter(_Toxic, kw_only=True, tag="reset_after"):
    """Ours: RST at an exact byte."""

    attributes: ResetAfterAttributes


class CloseAfterAttributes(Value):
    """Exactly one of the two: wire bytes that pass, or milliseconds since the connection opened; then FIN."""

    bytes: int | None = None
    after: int | None = None

    def __post_init__(self) -> None:
        if (self.bytes is None) == (self.after is None):
            raise UsageError("close_after: give exactly one of bytes (wire bytes) and after (milliseconds)")


class CloseAfter(_Toxic, kw_only=True, tag="close_after"):
    """Ours: FIN at an exact byte or time."""

    attributes: CloseAfterAttributes


class StallAttributes(Value):
    """After `bytes` wire bytes nothing passes for `duration` ms; None is for ever."""

    bytes: int
    duration: int | None = None


class Stall(_Toxic, kw_only=True, tag="stall"):
    """Ours: silence from an exact byte on, the connection staying open."""

    attributes: StallAttributes


Toxic = Union[
    Latency,
    Bandwidth,
    SlowClose,
    Timeout,
    ResetPeer,
    Slicer,
    LimitData,
    Noop,
    PacketLoss,
    ResetAfter,
    CloseAfter,
    Stall,
]

# What Toxiproxy 2.12 knows by itself; the rest is ours.
NATIVE = (Latency, Bandwidth, SlowClose, Timeout, ResetPeer, Slicer, LimitData, Noop)


def type_name(toxic: Toxic) -> str:
    """The toxic's type as it stands in JSON: ``latency``, ``reset_after``."""
    return str(type(toxic).__struct_config__.tag)
