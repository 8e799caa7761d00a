"""The times of a generated script: the shape of its pace, a pace that was recorded, and heartbeats on a schedule.

The law of this module: whatever the shape, no gap is longer than the widest one that was drawn, so what keeps clear of
a time-out does so in every shape; and all of it ends up as pauses and steps in the plan.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import MappingProxyType

from testbed._values import Value
from testbed.script import Comment, Head, Pause, Ping, Step, Text


class Pace(str, enum.Enum):
    """How the gaps between tokens are spread below the widest one."""

    UNIFORM = "uniform"  # anything up to it
    CONSTANT = "constant"  # all alike
    LOGNORMAL = "lognormal"  # most are short, a few come near it: what networks and schedulers do
    BURSTY = "bursty"  # several tokens at once, then nothing for as long as it
    CRAWL = "crawl"  # each gap longer than the one before: a server that goes under


class Beat(str, enum.Enum):
    """What a heartbeat is."""

    COMMENT = "comment"
    PING = "ping"  # the dialect's own: an event, or a comment
    EMPTY = "empty"  # an event of the dialect that adds no text


class Heartbeat(Value):
    """A sign of life every so many seconds, counted from the head, whether or not tokens come."""

    every: float
    kind: Beat = Beat.PING


# The middle and the spread of the logarithm; shares above 1 are cut off, which befalls some 2 % of them.
_MEDIAN, _SIGMA = 0.2, 0.8
_MOST_IN_A_BURST = 8

_BEATS: Mapping[Beat, Callable[[], Step]] = MappingProxyType(
    {Beat.COMMENT: lambda: Comment("keep-alive"), Beat.PING: Ping, Beat.EMPTY: lambda: Text("")}
)


def shares(pace: Pace, seed: int, count: int) -> tuple[float, ...]:
    """`count` shares from 0 to 1 of the widest gap; seed 0 is the even pace, whatever the shape."""
    if seed == 0 or pace is Pace.CONSTANT:
        return (1.0,) * count
    rng = random.Random(seed)
    if pace is Pace.BURSTY:
        return tuple(_bursts(rng, count))
    if pace is Pace.LOGNORMAL:
        return tuple(min(1.0, _MEDIAN * rng.lognormvariate(0.0, _SIGMA)) for _ in range(count))
    if pace is Pace.CRAWL:
        steep = rng.uniform(1.0, 4.0)
        return tuple(((index + 1) / count) ** steep for index in range(count))
    return tuple(rng.random() for _ in range(count))


def _bursts(rng: random.Random, count: int) -> Iterator[float]:
    left = rng.randint(1, _MOST_IN_A_BURST)
    for _ in range(count):
        left -= 1
        yield 0.0 if left else 1.0
        left = left or rng.randint(1, _MOST_IN_A_BURST)


def played(recorded: tuple[float, ...], count: int) -> list[float]:
    """The silence behind each of `count` tokens from a recording of gaps, played again from its start when it ends."""
    gaps = [recorded[index % len(recorded)] for index in range(count - 1)]
    return [*gaps, 0.0] if count else []


def lost_from(steps: Iterable[Step], beat: Heartbeat, count: int, share: float) -> range:
    """The numbers of `count` heartbeats in a row; `share` (below 1) says where in the silences of these steps."""
    silent = sum(step.seconds for step in steps if isinstance(step, Pause))
    start = int(share * (max(0, int(silent / beat.every) - count) + 1))
    return range(start, start + count)


def with_heartbeats(steps: Iterable[Step], beat: Heartbeat, lost: Container[int] = ()) -> Iterator[Step]:
    """Put a heartbeat wherever the schedule falls into a silence behind the head.

    One that falls together with the end of a silence comes before what follows. Those whose number (from 0) is in
    `lost` never come.
    """
    began, now, due, number = False, 0.0, beat.every, 0
    for step in steps:
        began = began or isinstance(step, Head)
        if not (began and isinstance(step, Pause)):
            yield step
            continue
        end = round(now + step.seconds, 6)
        while due <= end:
            if number not in lost:
                if due > now:
                    yield Pause(round(due - now, 6))
                yield _BEATS[beat.kind]()
                now = due
            due, number = round(due + beat.every, 6), number + 1
        if end > now:
            yield Pause(round(end - now, 6))
        now = end
