"""How each vendor tells that a quota is used up: the error, and the fields of its head.

The law of this module: every field says the same, in its own form. ``Retry-After`` is in whole seconds and rounded up,
so a client that obeys any of them comes back when it is admitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone

from testbed.dialects import Answer, Case, Dialect
from testbed.script import DialectName
from testbed.server.quota import MICROSECONDS, NEVER, Gauge, Ruling

# The case of each limit, where the dialect names its cases.
_CASES = {"requests": "rate-limit", "tokens": "token-limit"}

Fields = Iterator[tuple[str, str]]


def refusal(dialect: Dialect, ruling: Ruling, date: datetime) -> Answer:
    """Answer a request that the quota refused; `date` is the moment of it."""
    case = dialect.cases.get(_CASES[ruling.short], Case(429, ""))
    headers = (*_retry_fields(dialect.name, ruling.wait), *_gauges(dialect.name, ruling, date))
    return dialect.answer(case._replace(status=429, message=sentence(ruling), headers=headers))


def sentence(ruling: Ruling) -> str:
    """Say which limit was met and when it ends."""
    gauge = next(one for one in ruling.gauges if one.name == ruling.short)
    if ruling.wait == NEVER:
        return f"the request is larger than the limit of {gauge.limit} {gauge.name}; it can never be answered"
    waiting = duration(ruling.wait)
    return f"the limit of {gauge.limit} {gauge.name} is reached; try again in {waiting}"


def duration(microseconds: int) -> str:
    """Spell a time as OpenAI's fields do, to the millisecond and rounded up.

    >>> duration(250_000), duration(1_500_000), duration(360_000_000)
    ('250ms', '1.5s', '6m0s')
    """
    milliseconds = -(-microseconds // 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


def _retry_fields(dialect: DialectName, wait: int) -> Fields:
    if wait == NEVER:
        return
    yield "Retry-After", str(-(-wait // MICROSECONDS))
    if dialect in _OPENAI:
        yield "retry-after-ms", str(-(-wait // 1000))


_OPENAI = frozenset({DialectName.OPENAI_CHAT, DialectName.OPENAI_RESPONSES})


def _openai(gauge: Gauge, _date: datetime) -> Fields:
    yield f"x-ratelimit-limit-{gauge.name}", str(gauge.limit)
    yield f"x-ratelimit-remaining-{gauge.name}", str(gauge.remaining)
    yield f"x-ratelimit-reset-{gauge.name}", duration(gauge.reset)


def _anthropic(gauge: Gauge, date: datetime) -> Fields:
    # Whole seconds, rounded up as Retry-After is.
    whole = date.replace(microsecond=0) + timedelta(seconds=-(-gauge.reset // MICROSECONDS) + bool(date.microsecond))
    yield f"anthropic-ratelimit-{gauge.name}-limit", str(gauge.limit)
    yield f"anthropic-ratelimit-{gauge.name}-remaining", str(gauge.remaining)
    yield f"anthropic-ratelimit-{gauge.name}-reset", whole.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


_GAUGES: Mapping[DialectName, Callable[[Gauge, datetime], Fields]] = {
    DialectName.OPENAI_CHAT: _openai,
    DialectName.OPENAI_RESPONSES: _openai,
    DialectName.ANTHROPIC_MESSAGES: _anthropic,
}


def _gauges(dialect: DialectName, ruling: Ruling, date: datetime) -> Fields:
    if (write := _GAUGES.get(dialect)) is not None:
        for gauge in ruling.gauges:
            yield from write(gauge, date)
