"""Which failure classes a plan usually brings to light.

The law of this module: a hint for people and nothing that judges; it is read off what was given and what the plan asks,
never off a client.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.oracle.rows import GivenKind, Row
from testbed.plan import Plan
from testbed.retrying import RETRYABLE_STATUS
from testbed.script import Arguments, DialectName, Pause, ToolCall
from testbed.trace import Failure, Outcome

# More would be a list of everything.
MOST = 5

_SILENT = {one for one in GivenKind if one.value.startswith("silent")}


def typical(plan: Plan, row: Row | None) -> tuple[Failure, ...]:
    """The classes to look for first, the likeliest first."""
    return tuple(dict.fromkeys((*_by_what_is_asked(plan), *(_by_outcome(row, plan) if row is not None else ()))))[:MOST]


def _by_what_is_asked(plan: Plan) -> Iterator[Failure]:
    # What a plan goes out of its way to ask comes first: nobody writes a second attempt for nothing.
    statuses = [attempt.script.head.status for attempt in plan.attempts]
    if plan.client.cancel_at is not None:
        yield Failure.CANCEL_IGNORED
    if plan.sealed and not all(attempt.tls is None or attempt.tls.works for attempt in plan.attempts):
        yield Failure.CERTIFICATE_IGNORED
    if any(name.lower().startswith("retry-after") for one in plan.attempts for name, _ in one.script.head.headers):
        yield Failure.RETRY_AFTER_IGNORED
    if any(400 <= status < 500 and status not in RETRYABLE_STATUS for status in statuses):
        yield Failure.RETRIED_NON_RETRYABLE
    if any(status in RETRYABLE_STATUS for status in statuses):
        yield Failure.RETRY_STORM
    if plan.dialect is DialectName.EVENTSOURCE and plan.client.max_retries:
        yield Failure.NO_RESUME
    elif len(plan.attempts) > 1 or (plan.client.max_retries and statuses[0] == 200):
        yield Failure.DUPLICATED_TEXT
        yield Failure.RETRY_AFTER_PARTIAL_OUTPUT
    if any(isinstance(step, (ToolCall, Arguments)) for one in plan.attempts for step in one.script.steps):
        yield Failure.PARTIAL_EVENT_DELIVERED


def _by_outcome(row: Row, plan: Plan) -> Iterator[Failure]:
    if row.kind in _SILENT:
        yield Failure.HANG
        yield Failure.LATE_TIMEOUT
    if Outcome.COMPLETE in row.preferred:
        yield Failure.FALSE_FAILURE
        yield Failure.CORRUPTED_TEXT
        yield Failure.LOST_EVENT
        if any(isinstance(step, Pause) for one in plan.attempts for step in one.script.steps):
            yield Failure.EARLY_TIMEOUT
            yield Failure.LATE_DELIVERY
        return
    if Outcome.INCOMPLETE in row.preferred | row.lenient:
        yield Failure.SILENT_TRUNCATION
    yield Failure.UNWRAPPED_ERROR
    yield Failure.WRONG_ERROR_CLASS
    yield Failure.CRASH
