"""How long a run takes: what a right client waits for, and when a wrong one is stopped.

The law of this module: times are computed from the plan alone, before the run, and err on the long side; what really
happened stands in the trace and nowhere here. A number of this module may bound a run or choose a plan, it never decides a
verdict by itself.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence

from testbed._values import Value
from testbed.faults import toxics as kinds
from testbed.faults.toxics import Direction, Toxic
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.program import Close, Wait, Write, compile_script
from testbed.script import Body, DialectName, Done, Ending, Finish, Head, Message, Raw, Text
from testbed.trace import Clock, Option

# Statuses that a client may send again, because the next answer can be another one.
RETRYABLE_STATUS = frozenset({408, 409, 429}) | frozenset(range(500, 600))

# The back-off that client libraries agree on: half a second, doubling, at most eight.
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 8.0

# A `Retry-After` up to this long is waited for; a longer one is surfaced.
RETRY_AFTER_MOST = 60.0

# Read time-outs that clients have without being told start at five seconds. A longer silence is a fair question only to a
# client that could be told the plan's own time-out.
SHORTEST_DEFAULT = 4.0

_TOKENS = (Text, Message, Body, Raw)


class _End(enum.Enum):
    """How an attempt leaves a right client."""

    WHOLE = "whole"
    RETRYABLE = "retryable"
    FINAL = "final"


class _Leg(Value):
    """One attempt as a right client lives it: how long, how it ends, and whether a time-out ended it."""

    seconds: float
    end: _End
    timed_out: bool = False
    before_token: bool = True


class Silence(Value):
    """A time in which the client receives nothing: between `shortest` and `longest` seconds."""

    shortest: float
    longest: float
    before_token: bool


def margin(timeout: float, clock: Clock) -> float:
    """How far from a time-out a silence must stay for early and late to be told apart.

    >>> margin(10.0, Clock.REAL), margin(1.0, Clock.REAL)
    (2.5, 0.5)
    """
    if clock is Clock.VIRTUAL:
        return 0.05 + 0.01 * timeout  # virtual time is exact; the SDKs' own rounding is not
    return max(0.5, 0.25 * timeout)


def backoff(retry: int) -> float:
    """The longest usual wait before retry number `retry` (from 0)."""
    return min(BACKOFF_MOST, BACKOFF_FIRST * 2.0**retry)


def nominal(plan: Plan) -> float:
    """Seconds that a right client takes at the longest: pauses, latencies, time-outs and back-off; infinite if it may wait for ever."""
    total = 0.0
    for number, leg in enumerate(_legs(plan)):
        total += leg.seconds
        if leg.end is _End.RETRYABLE and number < plan.client.max_retries:
            total += max(backoff(number), retry_after(plan.attempt(number)))
    return total


def patience(plan: Plan) -> float:
    """Seconds after which a client is stopped as hanging.

    Ten seconds and half of the nominal duration again are far more than a loaded machine takes; where even a right
    client may wait for ever, a minute shows enough.
    """
    longest = nominal(plan)
    return 60.0 if math.isinf(longest) else 1.5 * longest + 10.0


def needs(plan: Plan) -> frozenset[Option]:
    """The settings that a client must be able to take, or the right outcome of this plan can not be asked of it."""
    wanted: set[Option] = set()
    split = plan.client.first_byte_timeout is not None
    for number, leg in enumerate(_legs(plan)):
        if leg.end is _End.RETRYABLE:
            wanted.add(Option.MAX_RETRIES)
        if leg.timed_out:
            wanted.add(Option.FIRST_BYTE_TIMEOUT if split and leg.before_token else Option.IDLE_TIMEOUT)
        if plan.client.idle_timeout is not None and _longest(plan.attempt(number)) > SHORTEST_DEFAULT:
            wanted.add(Option.IDLE_TIMEOUT)
    if plan.client.cancel_at is not None:
        wanted.add(Option.CANCEL)
    return frozenset(wanted)


def retry_after(attempt: Attempt) -> float:
    """The seconds that the answer asks a client to wait, 0 if it asks nothing or a date, or more than clients wait."""
    head = attempt.script.head
    fields = {name.lower(): value for name, value in head.headers}
    if head.status not in RETRYABLE_STATUS or "retry-after" not in fields:
        return 0.0
    try:
        asked = float(fields["retry-after"])
    except ValueError:
        return 0.0
    return asked if 0 <= asked <= RETRY_AFTER_MOST else 0.0


# --- the network's share ----------------------------------------------------------------------------------------------


class Weather(Value):
    """What an attempt's toxics add, at the worst: seconds before the first byte, to a later silence, and to every byte."""

    first: float = 0.0
    wobble: float = 0.0
    per_byte: float = 0.0
    close: float = 0.0


def weather(toxics: Sequence[Toxic]) -> Weather:
    """Sum up what these toxics may add; the ones that end or stall a connection at a byte are not weather."""
    first = wobble = per_byte = close = 0.0
    for toxic in toxics:
        down = toxic.stream is Direction.DOWNSTREAM
        if isinstance(toxic, kinds.Latency):
            first += (toxic.attributes.latency + toxic.attributes.jitter) / 1000
            wobble += 2 * toxic.attributes.jitter / 1000 if down else 0.0
        elif isinstance(toxic, kinds.Bandwidth) and down:
            per_byte += 1 / (1000 * toxic.attributes.rate) if toxic.attributes.rate else math.inf
        elif isinstance(toxic, kinds.Slicer) and down and toxic.attributes.average_size:
            per_byte += toxic.attributes.delay / 1e6 / toxic.attributes.average_size
        elif isinstance(toxic, kinds.SlowClose):
            close += toxic.attributes.delay / 1000
        elif isinstance(toxic, kinds.PacketLoss):
            # Two losses in a row of the same segment: the retransmission time-out and its double.
            first += 3 * toxic.attributes.rto / 1000
            wobble += 3 * toxic.attributes.rto / 1000
    return Weather(first=first, wobble=wobble, per_byte=per_byte, close=close)


def _loss_stalls(attempt: Attempt, writes: int, size: int) -> float:
    """The stalls that packet loss adds to a whole stream: the mean number of losses and two deviations, each at its dearest."""
    total = 0.0
    for toxic in attempt.toxics:
        if isinstance(toxic, kinds.PacketLoss):
            rate = toxic.attributes.loss_rate
            segments = max(writes, size // toxic.attributes.mss + 1)
            losses = segments * rate + 2 * math.sqrt(segments * rate * (1 - rate))
            total += losses * toxic.attributes.rto / 1000 / (1 - rate)
    return total


def _byte_limit(toxics: Sequence[Toxic]) -> float:
    """The downstream wire byte at which a toxic ends the connection."""
    limits = [math.inf]
    for toxic in toxics:
        if toxic.stream is Direction.DOWNSTREAM and isinstance(
            toxic, (kinds.LimitData, kinds.ResetAfter, kinds.CloseAfter)
        ):
            limit = toxic.attributes.bytes
            limits.append(math.inf if limit is None else limit)
    return min(limits)


def _time_limit(toxics: Sequence[Toxic]) -> float:
    """The second at which a toxic ends the connection whatever was said."""
    return min(
        (
            toxic.attributes.after / 1000
            for toxic in toxics
            if isinstance(toxic, kinds.CloseAfter) and toxic.attributes.after is not None
        ),
        default=math.inf,
    )


def _swallowed(toxics: Sequence[Toxic]) -> float | None:
    """Seconds after which a toxic that lets nothing through ends the connection; None if no toxic does that."""
    ends: list[float] = []
    for toxic in toxics:
        if isinstance(toxic, kinds.ResetPeer) and toxic.toxicity > 0:
            ends.append(toxic.attributes.timeout / 1000)
        elif isinstance(toxic, kinds.Timeout) and toxic.toxicity > 0:
            ends.append(toxic.attributes.timeout / 1000 if toxic.attributes.timeout > 0 else math.inf)
    return min(ends) if ends else None


# --- one attempt ------------------------------------------------------------------------------------------------------


class _Beat(Value):
    """Bytes that reach the client after a silence; `size` 0 is the end of the connection."""

    silence: float
    size: int
    token: bool
    terminal: bool
    closes: Ending | None = None


def _beats(attempt: Attempt) -> Iterator[_Beat]:
    """What reaches the client, in order, before any toxic ends the connection."""
    steps = attempt.script.steps
    silence = 0.0
    for action in compile_script(attempt.script):
        if isinstance(action, Wait):
            silence += action.seconds
        elif isinstance(action, Write):
            said = steps[action.step] if action.step >= 0 and action.ends_step else None
            yield _Beat(silence, len(action.data), isinstance(said, _TOKENS), isinstance(said, (Finish, Done)))
            silence = 0.0
        elif isinstance(action, Close):
            yield _Beat(
                math.inf if action.how is Ending.OPEN else silence, 0, token=False, terminal=False, closes=action.how
            )


def silences(attempt: Attempt) -> tuple[Silence, ...]:
    """Every time in which the client of this attempt receives nothing, toxics counted, while the connection lives."""
    found = []
    around = weather(attempt.toxics)
    token, wire, limit = False, 0, _byte_limit(attempt.toxics)
    for number, beat in enumerate(_beats(attempt)):
        extra = around.wobble if number else around.first
        held = _stalled(attempt.toxics, wire, wire + beat.size)
        found.append(Silence(max(0.0, beat.silence - around.wobble) + held, beat.silence + extra + held, not token))
        token = token or beat.token
        wire += beat.size
        if wire >= limit:
            break
    return tuple(found)


def _stalled(toxics: Sequence[Toxic], start: int, stop: int) -> float:
    """Seconds that a stall toxic holds what stands between these two wire bytes."""
    total = 0.0
    for toxic in toxics:
        if isinstance(toxic, kinds.Stall) and start <= toxic.attributes.bytes < max(stop, start + 1):
            total += math.inf if toxic.attributes.duration is None else toxic.attributes.duration / 1000
    return total


def _longest(attempt: Attempt) -> float:
    return max((silence.longest for silence in silences(attempt)), default=0.0)


def _legs(plan: Plan) -> Iterator[_Leg]:
    """The attempts that a right client lives through when it makes every retry that it may."""
    for number in range(plan.client.max_retries + 1):
        leg = _leg(plan.attempt(number), plan.client)
        yield leg
        if leg.end is not _End.RETRYABLE:
            return


def _leg(attempt: Attempt, client: ClientSettings) -> _Leg:
    eaten = _swallowed(attempt.toxics)
    if eaten is not None:
        return _silent_leg(eaten, client.first_byte)
    around = weather(attempt.toxics)
    beats = tuple(_beats(attempt))
    clock = _loss_stalls(attempt, len(beats), sum(beat.size for beat in beats))
    state = _Leg(seconds=clock, end=_End.RETRYABLE)
    wire, limit = 0, _byte_limit(attempt.toxics)
    token = whole = False
    for number, beat in enumerate(beats):
        timeout = client.idle_timeout if token else client.first_byte
        silence = beat.silence + (0.0 if number else around.first) + _stalled(attempt.toxics, wire, wire + beat.size)
        if whole and beat.closes is not None:
            return _Leg(clock + min(silence, 0.0) + around.close, _End.WHOLE)
        if timeout is not None and silence > timeout:
            return _Leg(clock + timeout, _after(token), timed_out=True, before_token=not token)
        clock += silence + beat.size * around.per_byte
        wire += beat.size
        token, whole = token or beat.token, whole or beat.terminal
        if wire >= limit or clock >= _time_limit(attempt.toxics) or beat.closes is not None:
            break
    state = _Leg(clock + around.close, _ended(attempt, token=token, whole=whole), before_token=not token)
    return state


def _silent_leg(until: float, timeout: float | None) -> _Leg:
    """An attempt in which nothing arrives, and the connection ends after `until` seconds."""
    if timeout is not None and until > timeout:
        return _Leg(timeout, _End.RETRYABLE, timed_out=True)
    return _Leg(until, _End.RETRYABLE)


def _after(token: bool) -> _End:  # noqa: FBT001 - a private question with one operand
    """Trouble after the first token is final: sending the request again would show text twice."""
    return _End.FINAL if token else _End.RETRYABLE


def _ended(attempt: Attempt, *, token: bool, whole: bool) -> _End:
    """How an attempt that reached its end leaves a right client."""
    if attempt.script.head.status in RETRYABLE_STATUS:
        return _End.RETRYABLE
    if attempt.script.head.status != 200:
        return _End.FINAL
    if whole:
        return _End.WHOLE
    # A plain EventSource has no terminal: the end of a stream is what it reconnects after.
    if attempt.script.dialect is DialectName.EVENTSOURCE:
        return _End.RETRYABLE
    return _after(token)


__all__ = [
    "RETRYABLE_STATUS",
    "Silence",
    "Weather",
    "backoff",
    "margin",
    "needs",
    "nominal",
    "patience",
    "retry_after",
    "silences",
    "weather",
]
_ = Head
