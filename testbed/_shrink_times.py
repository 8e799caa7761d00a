"""Shorter times that mean the same, and what a smaller plan must not do to time and order.

The law of this module: a silence that outlasts a time-out still does so after it was made shorter, one that does not
still does not, and neither is brought near enough to it that a busy machine could turn one into the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from testbed.dialects import DIALECTS
from testbed.faults import toxics as kinds
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.script import Pause, Step
from testbed.timing import margin, nominal, silences
from testbed.trace import Clock

# What any plan may take, however quick the one was that it came from.
_ALWAYS_ALLOWED = 3.0

_TOLD = ("connect_timeout", "first_byte_timeout", "idle_timeout", "cancel_at")

# The fields of a plan that are times of the client's own.
TIMEOUTS = frozenset((ClientSettings, name) for name in _TOLD)


def keeps_the_rules(wish: Plan, plan: Plan) -> bool:
    """Whether a wish breaks no rule that the plan keeps: order of steps, clear silences, time."""
    if _violations(wish) > _violations(plan) or nominal(wish) > max(_ALWAYS_ALLOWED, nominal(plan)):
        return False
    return _is_clear(wish) or not _is_clear(plan)


def scaled(plan: Plan) -> Iterator[Plan]:
    """All times at once, so that the longest time-out is a second, two, or half of what it was."""
    told = [getattr(plan.client, name) for name in _TOLD if getattr(plan.client, name) is not None]
    longest = max(told, default=0.0)
    for target in (1.0, 2.0, round(longest / 2, 3)):
        if 1.0 <= target < longest:
            yield _scaled(plan, target / longest)


def _violations(plan: Plan) -> int:
    return sum(len(DIALECTS[plan.dialect].violations(one.script.steps)) for one in (*plan.attempts, *plan.fallback))


def _is_clear(plan: Plan) -> bool:
    """Whether no silence lies so near a time-out that early and late could not be told apart on a real clock."""
    for attempt in (*plan.attempts, *plan.fallback):
        for silence in silences(attempt):
            limit = plan.client.first_byte if silence.before_token else plan.client.idle_timeout
            if limit is None:
                continue
            near = margin(limit, Clock.REAL)
            if silence.longest > limit - near and silence.shortest < limit + near:
                return False
    return True


def _scaled(plan: Plan, factor: float) -> Plan:
    changes = {
        name: max(0.001, round(getattr(plan.client, name) * factor, 3))
        for name in _TOLD
        if getattr(plan.client, name) is not None
    }
    client = msgspec.structs.replace(plan.client, **changes)
    limits = _limits(plan.client), _limits(client)

    def time(seconds: float) -> float:
        return _kept_aside(seconds, factor, *limits)

    attempts = tuple(_attempt_scaled(one, time) for one in plan.attempts)
    return msgspec.structs.replace(plan, client=client, attempts=attempts)


def _limits(client: ClientSettings) -> tuple[float, ...]:
    return tuple(one for one in (client.first_byte, client.idle_timeout) if one is not None)


def _kept_aside(seconds: float, factor: float, before: tuple[float, ...], after: tuple[float, ...]) -> float:
    """A time made shorter, on the same side of every time-out as it was."""
    value = seconds * factor
    for old, new in zip(before, after, strict=True):
        near = margin(new, Clock.REAL)
        value = max(value, new + near) if seconds > old else min(value, max(0.0, new - near))
    return math.ceil(value * 1000) / 1000 if any(seconds > old for old in before) else math.floor(value * 1000) / 1000


def _attempt_scaled(attempt: Attempt, time: Any) -> Attempt:
    def step(one: Step) -> Step:
        return Pause(time(one.seconds)) if isinstance(one, Pause) else one

    def toxic(one: Any) -> Any:
        if isinstance(one, kinds.Stall) and one.attributes.duration is not None:
            duration = round(time(one.attributes.duration / 1000) * 1000)
            return msgspec.structs.replace(one, attributes=msgspec.structs.replace(one.attributes, duration=duration))
        return one

    script = msgspec.structs.replace(attempt.script, steps=tuple(map(step, attempt.script.steps)))
    return msgspec.structs.replace(attempt, script=script, toxics=tuple(map(toxic, attempt.toxics)))
