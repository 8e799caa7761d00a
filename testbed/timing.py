"""How long a run takes: what a right client waits for, and when a wrong one is stopped.

The law of this module: times are computed from the plan alone, before the run, and err on the long side; what really
happened stands in the trace and nowhere here. A number of this module may choose a plan or bound a run, it never
decides a verdict by itself.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Iterable, Iterator

from testbed._values import Value
from testbed._weather import Weather, byte_limit, loss_stalls, sending, stalled, swallowed, time_limit, weather
from testbed.dialects import DIALECTS
from testbed.dialects.prompts import request_bytes
from testbed.faults.toxics import PacketLoss, Toxic
from testbed.plan import Attempt, ClientSettings, Handshake, Keepalives, Plan, Tls
from testbed.program import Close, Wait, Write, compile_script
from testbed.retrying import Form, says_no, waits
from testbed.script import (
    Body,
    Comment,
    DialectName,
    Ending,
    Message,
    Ping,
    Quirk,
    Raw,
    Reading,
    Script,
    Terminal,
    Text,
    ToolCall,
)
from testbed.trace import Clock, Option

__all__ = [
    "Silence",
    "Weather",
    "backoff",
    "margin",
    "needs",
    "nominal",
    "patience",
    "retry_after",
    "silences",
    "upload",
    "weather",
]

# The back-off that client libraries agree on: half a second, doubling, at most eight.
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 8.0

# A `Retry-After` up to this long is waited for; a longer one is surfaced.
RETRY_AFTER_MOST = 60.0

# Clients that are told nothing have read time-outs from five seconds up. A silence longer than this is a fair
# question only to a client that can be told the plan's own time-out.
SHORTEST_DEFAULT = 4.0

# A client that asks no more than it must.
ORDINARY = ClientSettings()

# What TLS adds: the server's part of a handshake, and the wrapping of each write. About, for all that is computed of it
# is about: who strikes sealed bytes by their number learns from the trace what was hit.
_HANDSHAKE, _RECORD = 1_600, 22

# What a caller may be shown one by one.
_ITEMS = (Text, Message, ToolCall, Raw)

# What a run may cost beyond a right client's time before the client counts as hanging: far more than a loaded machine
# takes.
PATIENCE = 10.0
# Where even a right client may wait for ever, this much shows enough.
ENDLESS = 60.0


def margin(timeout: float, clock: Clock) -> float:
    """How far from a time-out a silence must stay for early and late to be told apart.

    >>> margin(10.0, Clock.REAL), margin(1.0, Clock.REAL)
    (2.5, 0.5)
    """
    if clock is Clock.VIRTUAL:
        return 0.05 + 0.01 * timeout  # virtual time is exact; the rounding of the SDKs is not
    return max(0.5, 0.25 * timeout)


def backoff(retry: int) -> float:
    """The longest usual wait before retry number `retry`, from 0."""
    return min(BACKOFF_MOST, BACKOFF_FIRST * 2.0**retry)


def retry_after(attempt: Attempt) -> float:
    """The seconds that the answer asks a client to wait, in whichever form is the longest.

    0 if it asks nothing, or more than clients wait.
    """
    if attempt.script.head.status < 400 or says_no(attempt.script):
        return 0.0
    told = [one for one in waits(attempt.script) if one.seconds <= RETRY_AFTER_MOST]
    # A date is rounded up to its second.
    return max((one.seconds + (one.form is Form.DATE) for one in told), default=0.0)


@functools.lru_cache(maxsize=64)
def nominal(plan: Plan) -> float:
    """Seconds that a right client takes at the longest: pauses, latencies, time-outs and back-off, or until it is
    cancelled.

    Infinite if it may wait for ever.
    """
    total = 0.0
    for number, leg in enumerate(_legs(plan)):
        total += leg.seconds
        if leg.end in _AGAIN and number < plan.client.max_retries:
            total += max(backoff(number), retry_after(plan.attempt(number)))
    # What was not asked at the second address costs nothing, but who knows that beforehand.
    total += _quota(plan) + (0.0 if plan.second is None else nominal(plan.second))
    total += taken(plan)
    return total if plan.client.cancel_at is None else min(total, plan.client.cancel_at)


@functools.lru_cache(maxsize=64)
def taken(plan: Plan) -> float:
    """Seconds that the caller takes over the items of an answer, all together."""
    if plan.client.pace is None:
        return 0.0
    # Beside what is text there is a reason, and the look behind it that finds the end.
    items = (sum(isinstance(step, _ITEMS) for step in one.script.steps) for one in plan.attempts)
    return plan.client.pace * (max(items) + 2)


def _quota(plan: Plan) -> float:
    """What a right client waits because its requests are too many; a request that is too long is not asked again."""
    quota, retries = plan.quota, plan.client.max_retries
    if quota is None or (quota.tokens is None and (quota.requests or 0) > retries):
        return 0.0
    return retries * min(quota.seconds, RETRY_AFTER_MOST)


def patience(plan: Plan) -> float:
    """Seconds after which a client is stopped as hanging."""
    longest = nominal(plan)
    return ENDLESS if math.isinf(longest) else 1.5 * longest + PATIENCE


@functools.lru_cache(maxsize=64)
def needs(plan: Plan) -> frozenset[Option]:
    """The settings that a client must be able to take, or the right outcome of this plan cannot be asked of it."""
    wanted: set[Option] = set()
    split = plan.client.first_byte_timeout is not None
    # Who does not resume is asked all the same, and then one connection is all that there is.
    for number, leg in enumerate(_first_of(_legs(plan))):
        # A reconnecting EventSource is bounded by nothing; it is asked all the same.
        if leg.end is _End.RETRYABLE and plan.dialect is not DialectName.EVENTSOURCE:
            wanted.add(Option.MAX_RETRIES)
        if leg.connecting:
            wanted.add(Option.CONNECT_TIMEOUT)
        elif leg.timed_out:
            wanted.add(Option.FIRST_BYTE_TIMEOUT if split and not leg.said_something else Option.IDLE_TIMEOUT)
        longest = _longest_silence(plan.attempt(number), plan.client)
        if plan.client.idle_timeout is not None and longest > SHORTEST_DEFAULT:
            wanted.add(Option.IDLE_TIMEOUT)
    if plan.second is not None:
        wanted |= {Option.FALLBACK, *needs(plan.second)}
    if plan.client.cancel_at is not None:
        wanted.add(Option.CANCEL)
    if plan.sealed:
        wanted.add(Option.CA)
    if plan.client.max_event_bytes is not None:
        wanted.add(Option.MAX_EVENT_BYTES)
    if plan.client.keepalives is Keepalives.NO_PROGRESS and _keeps_alive(plan):
        wanted.add(Option.KEEPALIVES)
    return frozenset(wanted)


def _first_of(legs: Iterator[_Leg]) -> Iterator[_Leg]:
    """The attempts before a stream is resumed."""
    for leg in legs:
        yield leg
        if leg.end is _End.RESUMABLE:
            return


def _keeps_alive(plan: Plan) -> bool:
    steps = (step for attempt in plan.attempts for step in attempt.script.steps)
    return any(isinstance(step, (Comment, Ping)) for step in steps)


class Silence(Value):
    """A time in which a connected client receives nothing: between `shortest` and `longest` seconds."""

    shortest: float
    longest: float
    before_token: bool


def upload(dialect: DialectName, client: ClientSettings, reading: Reading, toxics: Iterable[Toxic]) -> float:
    """Seconds from the first byte of a long request until the server says its first step; 0 for an ordinary one.

    What a client has handed to its kernel has left it, so all of this may be silence to it.
    """
    size = request_bytes(dialect, client.history, client.attachment)
    wanted = size if reading.most is None else min(size, reading.most)
    return sending(toxics, wanted) + (wanted / reading.rate if reading.rate is not None else 0.0)


def silences(attempt: Attempt, client: ClientSettings = ORDINARY) -> tuple[Silence, ...]:
    """Every silence of this attempt that ends with bytes or with the connection, toxics counted.

    What `client` sends stands before the first.
    """
    around = weather(attempt.toxics)
    limit, wire, token = byte_limit(attempt.toxics), 0, False
    found = []
    for number, beat in enumerate(_beats(attempt, client)):
        held = beat.silence + stalled(attempt.toxics, wire, wire + beat.size)
        extra = around.wobble if number else around.first
        found.append(Silence(max(0.0, held - around.wobble), held + extra, not token))
        wire += beat.size
        token = token or beat.token
        if wire >= limit:
            break
    return tuple(found)


def _longest_silence(attempt: Attempt, client: ClientSettings) -> float:
    return max((silence.longest for silence in silences(attempt, client)), default=0.0)


# --- one attempt ------------------------------------------------------------------------------------------------------


class _End(enum.Enum):
    """How an attempt leaves a right client."""

    WHOLE = "whole"
    RETRYABLE = "retryable"
    RESUMABLE = "resumable"  # not from the beginning: what was shown is not asked for again
    FINAL = "final"


_AGAIN = frozenset({_End.RETRYABLE, _End.RESUMABLE})


class _Leg(Value):
    """One attempt as a right client lives it."""

    seconds: float
    end: _End
    timed_out: bool = False
    said_something: bool = False
    connecting: bool = False  # the time-out was that of the TLS handshake


class _Beat(Value):
    """Bytes that reach the client after a silence; the last beat is the end of the connection, and has none."""

    silence: float
    size: int = 0
    token: bool = False
    terminal: Terminal = Terminal.NONE
    quiet: bool = False  # no progress to a client that was told so


def _legs(plan: Plan) -> Iterator[_Leg]:
    """The attempts that a right client lives through when it makes every retry that it may."""
    for number in range(plan.client.max_retries + 1):
        leg = _leg(plan.attempt(number), plan.client)
        yield leg
        if leg.end not in _AGAIN:
            return


def _handshake(tls: Tls, client: ClientSettings) -> _Leg:
    """An attempt that never comes to a request."""
    if tls.handshake is Handshake.COMPLETE:
        # A bad certificate stays bad, but many clients ask again all the same, and that takes its time.
        return _Leg(sum(map(backoff, range(client.max_retries))), _End.FINAL)
    if tls.handshake is not Handshake.SILENCE:
        return _Leg(0.0, _End.RETRYABLE)
    connect = client.connect_timeout
    return _Leg(math.inf if connect is None else connect, _End.RETRYABLE, timed_out=True, connecting=True)


# Several questions about one attempt are asked one after the other.
@functools.lru_cache(maxsize=16)
def _beats(attempt: Attempt, client: ClientSettings) -> tuple[_Beat, ...]:
    """What the server says, in order."""
    return tuple(_said(attempt, client))


def _said(attempt: Attempt, client: ClientSettings) -> Iterator[_Beat]:
    steps, dialect = attempt.script.steps, DIALECTS[attempt.script.dialect]
    silence = upload(dialect.name, client, attempt.script.reading, attempt.toxics)
    sealing = 0 if attempt.tls is None else _HANDSHAKE + _RECORD
    strict = client.keepalives is Keepalives.NO_PROGRESS
    for action in compile_script(attempt.script):
        if isinstance(action, Wait):
            silence += action.seconds
        elif isinstance(action, Close):
            yield _Beat(math.inf if action.how is Ending.OPEN else silence)
        elif isinstance(action, Write):
            said = steps[action.step] if action.step >= 0 and action.ends_step else None
            token = isinstance(said, (Text, Message, Body, Raw))
            terminal = Terminal.NONE if said is None else dialect.terminal(said)
            quiet = strict and action.step >= 0 and isinstance(steps[action.step], (Comment, Ping))
            yield _Beat(silence, len(action.data) + sealing, token, terminal, quiet)
            sealing = 0 if attempt.tls is None else _RECORD
            silence = 0.0


def _leg(attempt: Attempt, client: ClientSettings) -> _Leg:
    """Follow one attempt until it ends, or until a time-out of the client ends it."""
    if attempt.tls is not None and not attempt.tls.works:
        return _handshake(attempt.tls, client)
    if (until := swallowed(attempt.toxics)) is not None:
        if attempt.tls is not None and client.connect_timeout is not None and until > client.connect_timeout:
            return _handshake(Tls(handshake=Handshake.SILENCE), client)
        timed_out = client.first_byte is not None and until > client.first_byte
        return _Leg(min(until, client.first_byte or math.inf), _End.RETRYABLE, timed_out)
    beats = _beats(attempt, client)
    # Lost packets are counted over the whole stream, so they are no weather here.
    around = weather(toxic for toxic in attempt.toxics if not isinstance(toxic, PacketLoss))
    clock = loss_stalls(attempt.toxics, len(beats), sum(beat.size for beat in beats))
    limit, last = byte_limit(attempt.toxics), time_limit(attempt.toxics)
    wire, token, said, unheard = 0, False, Terminal.NONE, 0.0
    for number, beat in enumerate(beats):
        timeout = client.idle_timeout if token else client.first_byte
        silence = beat.silence + stalled(attempt.toxics, wire, wire + beat.size)
        silence += 0.0 if number else around.first
        if timeout is not None and unheard + silence > timeout and said is Terminal.NONE:
            at = clock + timeout - unheard
            return _Leg(at, _trouble(attempt, token=token), timed_out=True, said_something=token)
        unheard = unheard + silence if beat.quiet else 0.0
        wire += beat.size
        clock += min(beat.size, limit) * around.per_byte
        # Nobody waits for the end of a connection behind the last word. Behind a soft one a client may, for a while.
        if said is Terminal.NONE or beat.size:
            clock += silence
        elif said is Terminal.SOFT:
            clock += min(silence, timeout or 0.0)
        if wire <= limit:
            token, said = token or beat.token, max(said, beat.terminal)
        if wire >= limit or clock >= last:
            break
    whole = said is not Terminal.NONE
    return _Leg(clock + around.close, _ended(attempt, token=token, whole=whole), said_something=token)


def _ended(attempt: Attempt, *, token: bool, whole: bool) -> _End:
    """How an attempt that came to its end leaves a right client."""
    status = attempt.script.head.status
    if status != 200:
        return _End.RETRYABLE if status >= 400 and not says_no(attempt.script) else _End.FINAL
    if whole:
        return _End.WHOLE
    return _trouble(attempt, token=token)


def _trouble(attempt: Attempt, *, token: bool) -> _End:
    """Whether a client may ask again after trouble, or after a clean end that is too early.

    After the first token that would show text twice, unless the protocol is made for it: a plain EventSource
    reconnects, and has no terminal that would make any end a good one.
    """
    page = any(isinstance(step, Body) for step in attempt.script.steps)
    reconnects = attempt.script.dialect is DialectName.EVENTSOURCE and not page
    if not token or reconnects:
        return _End.RETRYABLE
    return _End.RESUMABLE if _has_numbers(attempt.script) else _End.FINAL


def _has_numbers(script: Script) -> bool:
    """Whether every event says its number, so that a client can ask for what is behind it."""
    if script.dialect is DialectName.OPENAI_RESPONSES:
        return Quirk.BACKGROUND in script.quirks
    return script.dialect is DialectName.MCP and Quirk.STATELESS not in script.quirks
