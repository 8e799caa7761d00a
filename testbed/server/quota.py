"""A quota as vendors keep it: so many requests and tokens in a time, for each API key, on all its connections.

The laws of this module: it reads no clock, for the time (integer microseconds) is an argument and never goes back; a
client that waits as long as it was told is admitted, and one that waits a microsecond less is not; what is refused uses
nothing. The arithmetic is in whole numbers, so no rounding adds up over a day.

How many tokens a request counts for is estimated before it is answered, as vendors do: a quarter of the characters of
its prompt, rounded up, and as many as it allows the answer to have.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, final

import msgspec

from testbed.plan import Quota, Window

MICROSECONDS = 1_000_000
NEVER = -1  # the wait of a request that is larger than the whole quota

# So many keys are remembered; a client that invents a key for each request must not fill the memory.
MOST_KEYS = 10_000


class Gauge(NamedTuple):
    """How one limit stands: what is left of it, and in how many microseconds it is whole again."""

    name: str
    limit: int
    remaining: int
    reset: int


class Ruling(NamedTuple):
    """What the quota says of one request. `wait`: microseconds until it would be admitted (0: it is, or NEVER)."""

    wait: int
    gauges: tuple[Gauge, ...]
    short: str = ""  # the limit that refused it: requests or tokens

    @property
    def admitted(self) -> bool:
        """Whether the request may be answered."""
        return self.wait == 0


class _Limit(Protocol):
    """One limit of one key."""

    def wait(self, amount: int, now: int) -> int: ...

    def take(self, amount: int, now: int) -> None: ...

    def gauge(self, name: str, now: int) -> Gauge: ...


@final
class _Bucket:
    """A token bucket. Its level counts in units of 1/period, so that it rises by `limit` each microsecond."""

    def __init__(self, limit: int, period: int) -> None:
        self._limit = limit
        self._period = period
        self._full = limit * period
        self._level = self._full
        self._at = 0

    def _rise(self, now: int) -> None:
        self._level = min(self._full, self._level + (now - self._at) * self._limit)
        self._at = now

    def wait(self, amount: int, now: int) -> int:
        self._rise(now)
        if amount > self._limit:
            return NEVER
        return max(0, -((self._level - amount * self._period) // self._limit))

    def take(self, amount: int, now: int) -> None:
        self._rise(now)
        self._level -= amount * self._period

    def gauge(self, name: str, now: int) -> Gauge:
        self._rise(now)
        reset = -((self._level - self._full) // self._limit)
        return Gauge(name, self._limit, self._level // self._period, reset)


@final
class _FixedWindow:
    """A window that begins with the first request in it."""

    def __init__(self, limit: int, period: int) -> None:
        self._limit = limit
        self._period = period
        self._used = 0
        self._until = 0

    def _turn(self, now: int) -> None:
        if now >= self._until:
            self._used = 0

    def wait(self, amount: int, now: int) -> int:
        self._turn(now)
        if amount > self._limit:
            return NEVER
        return 0 if self._used + amount <= self._limit else self._until - now

    def take(self, amount: int, now: int) -> None:
        self._turn(now)
        if self._used == 0:
            self._until = now + self._period
        self._used += amount

    def gauge(self, name: str, now: int) -> Gauge:
        self._turn(now)
        return Gauge(name, self._limit, self._limit - self._used, self._until - now if self._used else 0)


_WINDOWS: Mapping[Window, type[_Bucket] | type[_FixedWindow]] = {
    Window.BUCKET: _Bucket,
    Window.FIXED: _FixedWindow,
}


@final
class Meter:
    """Keeps one quota for every API key."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._keys: OrderedDict[str, dict[str, _Limit]] = OrderedDict()

    def ask(self, key: str, tokens: int, now: int) -> Ruling:
        """Admit a request of `tokens` and count it, or say how long to wait."""
        limits = self._limits(key)
        amounts = {"requests": 1, "tokens": tokens}
        waits = {name: limit.wait(amounts[name], now) for name, limit in limits.items()}
        # The longest wait counts, and the one that never ends is the longest.
        short = max(waits, key=lambda name: math.inf if waits[name] == NEVER else waits[name])
        wait = waits[short]
        if wait == 0:
            for name, limit in limits.items():
                limit.take(amounts[name], now)
        gauges = tuple(limit.gauge(name, now) for name, limit in limits.items())
        return Ruling(wait, gauges, "" if wait == 0 else short)

    def _limits(self, key: str) -> dict[str, _Limit]:
        if key not in self._keys:
            self._keys[key] = dict(self._new())
            if len(self._keys) > MOST_KEYS:
                self._keys.popitem(last=False)
        self._keys.move_to_end(key)
        return self._keys[key]

    def _new(self) -> Iterator[tuple[str, _Limit]]:
        quota = self._quota
        period = round(quota.seconds * MICROSECONDS)
        for name, limit in (("requests", quota.requests), ("tokens", quota.tokens)):
            if limit is not None:
                yield name, _WINDOWS[quota.window](limit, period)


# --- what is counted --------------------------------------------------------------------------------------------------

# Where vendors take the API key from, the first that is there; the scheme of an Authorization is not part of it.
_KEY_FIELDS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")

# What of a body is the prompt, in any dialect, and what bounds the answer.
_PROMPT = ("messages", "input", "contents", "prompt", "system", "instructions", "systemInstruction")
_MOST = ("max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens", "num_predict")
_NESTED = ("generationConfig", "options")
_NOT_TEXT = frozenset({"role", "type", "id"})

CHARACTERS_A_TOKEN = 4


def key_of(headers: Mapping[str, str]) -> str:
    """The API key of a request, from its headers (names in lower case); all without one share the key ""."""
    given = next((headers[field] for field in _KEY_FIELDS if headers.get(field)), "")
    return given.partition(" ")[2].strip() or given if given.lower().startswith("bearer ") else given


def tokens_of(body: bytes) -> int:
    """Estimate the tokens of a JSON request: a quarter of its prompt's characters, and the bound of the answer."""
    try:
        read = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1
    if not isinstance(read, dict):
        return 1
    characters = sum(len(text) for field in _PROMPT for text in _texts(read.get(field)))
    return max(1, -(-characters // CHARACTERS_A_TOKEN) + _bound(read))


def _texts(value: Any) -> Iterator[str]:
    # The JSON decoder bounds the depth of what it reads, but by more than Python's own stack would take.
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting.extend(item for name, item in one.items() if name not in _NOT_TEXT)
        elif isinstance(one, list):
            waiting.extend(one)


def _bound(read: dict[str, Any]) -> int:
    for place in (read, *(read.get(name) for name in _NESTED)):
        for name in _MOST:
            value = place.get(name) if isinstance(place, dict) else None
            if type(value) is int and value > 0:
                return value
    return 0
