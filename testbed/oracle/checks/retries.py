"""How often, how soon and after what the client asks again.

The law of this module: requests are counted on the wire. A gap is measured from one request's connection to the next,
so an attempt that took long never makes a retry look hasty; a wait that the server asked for is compared with what it
asked and with nothing else.
"""

from __future__ import annotations

from itertools import pairwise

from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.given import Given
from testbed.oracle.rows import GivenKind
from testbed.script import Message
from testbed.timing import RETRYABLE_STATUS
from testbed.trace import Failure, Option

# Requests this close together are no back-off.
HASTY = SECOND // 10
# Back-off with jitter can come out shorter than the one before by chance; half of it, three times in a row, does not.
SHRINKS = 0.5
# Timers may fire a little early.
TOLERANCE = SECOND // 20

_FEWEST_HASTY = 2
_FEWEST_SHRINKING = 3


def check(case: Case) -> Report:
    """Judge the sequence of attempts."""
    # First the sequence as a whole, then each attempt against the one that followed it.
    report = _count(case) + _gaps(case) + _partial(case)
    for number, connection in enumerate(case.attempts[:-1]):
        given = case.look(connection, case.until(number))
        following = case.attempts[number + 1]
        report += _final(case, given, following) + _too_soon(case, connection, given, following)
    return report


def _count(case: Case) -> Report:
    # There a new request is how the protocol goes on; its pace is judged, its number is not.
    if case.is_eventsource and case.profile.reconnects:
        return NOTHING
    if Option.MAX_RETRIES not in case.profile.options:
        return (
            Report(unchecked=("the number of retries: the client was told none",))
            if len(case.attempts) > 1
            else NOTHING
        )
    allowed = case.plan.client.max_retries + 1
    if len(case.attempts) <= allowed:
        return NOTHING
    summary = f"{len(case.attempts)} requests were made; max_retries allows {allowed}."
    return Report(findings=(finding(case, Failure.RETRY_STORM, summary),))


def _gaps(case: Case) -> Report:
    if _asked_to_hurry(case):
        return NOTHING
    # From opening to opening: generous to the client, and the same on every engine. A gap that the server asked for is
    # the server's.
    gaps = [after.opened - before.opened for before, after in pairwise(case.attempts) if asked_wait(before) is None]
    # One hasty retry is a tolerated habit (the first attempt may have met a stale connection); two are a policy.
    if len(gaps) >= _FEWEST_HASTY and max(gaps) < HASTY:
        summary = f"{len(gaps) + 1} requests were made without back-off, at most {seconds(max(gaps))} apart."
        return Report(findings=(finding(case, Failure.RETRY_STORM, summary),))
    shrinking = _longest_shrinking(gaps)
    if shrinking >= _FEWEST_SHRINKING:
        summary = f"{shrinking} waits in a row were each at most half as long as the one before."
        return Report(findings=(finding(case, Failure.RETRY_STORM, summary, _listed(gaps)),))
    if gaps and max(gaps) < HASTY:
        return Report(lenient=(f"a retry came {seconds(max(gaps))} after the first request, without back-off",))
    return NOTHING


def _listed(gaps: list[int]) -> str:
    return "waits: " + ", ".join(seconds(gap) for gap in gaps[:10])


def _longest_shrinking(gaps: list[int]) -> int:
    """The longest run of gaps of which each is at most half of the one before."""
    # Full jitter draws each wait anew, so one short wait after a long one happens; three halvings in a row are a
    # mistake.
    longest = run = 1 if gaps else 0
    for before, after in pairwise(gaps):
        run = run + 1 if after <= before * SHRINKS else 1
        longest = max(longest, run)
    return longest


def _asked_to_hurry(case: Case) -> bool:
    """An event stream may name a reconnection time of its own, however short."""
    steps = [step for attempt in case.plan.attempts for step in attempt.script.steps]
    return any(isinstance(step, Message) and step.retry is not None for step in steps)


# --- after what -------------------------------------------------------------------------------------------------------


def _final(case: Case, given: Given, following: Connection) -> Report:
    # The statuses that may pass are data of :mod:`testbed.timing`, where the nominal duration of a plan uses them, too.
    refused = 400 <= given.status < 500 and given.status not in RETRYABLE_STATUS
    if not refused and given.kind not in (GivenKind.WHOLE, GivenKind.EVENTSOURCE_NO_CONTENT):
        return NOTHING
    what = f"status {given.status}" if given.status != 200 else "a whole answer"
    summary = f"The request was sent again after {what}."
    answered, again = seconds(given.cause or 0), seconds(following.opened)
    detail = f"connection {given.conn} was answered at {answered}, connection {following.number} opened at {again}"
    return Report(findings=(finding(case, Failure.RETRIED_NON_RETRYABLE, summary, detail),))


def _partial(case: Case) -> Report:
    """An answer that was shown in part is not asked for again; an EventSource client does just that, and rightly."""
    if case.is_eventsource:
        return NOTHING
    # Once is enough: the first such retry is the defect, the others follow from it.
    for number, following in enumerate(case.attempts[1:]):
        shown = case.window(number).text
        if shown and not following.resumed:
            summary = f"The request was sent again after {len(shown)} characters had been shown."
            detail = f"connection {following.number} opened at {seconds(following.opened)}"
            return Report(findings=(finding(case, Failure.RETRY_AFTER_PARTIAL_OUTPUT, summary, detail),))
    return NOTHING


# --- Retry-After ------------------------------------------------------------------------------------------------------


def asked_wait(connection: Connection) -> float | None:
    """The seconds that the answer asks the client to wait; None if it names none, or a date."""
    fields = {name.lower(): value for name, value in connection.attempt.script.head.headers}
    # The finer field wins, as in the SDKs that know it.
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait = float(fields[name]) * unit
        except (KeyError, ValueError):
            continue
        return wait if wait >= 0 else None
    return None


def _too_soon(case: Case, connection: Connection, given: Given, following: Connection) -> Report:
    wait = asked_wait(connection)
    # The field means nothing in a success; and what never arrived was never asked.
    if wait is None or given.status < 300 or given.cause is None:
        return NOTHING
    # A connection may be opened ahead; what must wait is the request.
    asked = following.requested if following.requested is not None else following.opened
    waited = asked - given.cause
    if waited >= wait * SECOND - TOLERANCE:
        return NOTHING
    summary = f"The server asked to wait {wait:g} s; the client asked again after {seconds(waited)}."
    detail = f"connection {given.conn} gave status {given.status} with Retry-After at {seconds(given.cause)}"
    return Report(findings=(finding(case, Failure.RETRY_AFTER_IGNORED, summary, detail),))
