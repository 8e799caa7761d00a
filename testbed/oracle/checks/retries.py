"""How often, how soon and after what the client asks again.

The law of this module: requests are counted on the wire. A gap is measured from one request's connection to the next,
so an attempt that took long never makes a retry look hasty; a wait that the server asked for is compared with what it
asked and with nothing else. Each address is judged by itself: what one server said binds nobody at another.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from testbed._values import Value
from testbed.oracle.case import SECOND, Case
from testbed.oracle.checks.tools import shown_calls
from testbed.oracle.checks.waits import Pause, Told, growth, lanes, pauses, told
from testbed.oracle.connections import Connection, Tier
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.given import Given
from testbed.oracle.rows import GivenKind
from testbed.retrying import Form, needs_body, only_advised, says_no
from testbed.script import Body, Message
from testbed.trace import Clock, Failure, Option, Request

# Requests this close together are no back-off.
HASTY = SECOND // 10
# Back-off with jitter can come out shorter than the one before by chance; half of it, three times in a row, does not.
SHRINKS = 0.5
# Timers may fire a little early. A date has no parts of a second, so who reads one may be a second too early.
TOLERANCE = SECOND // 20
TOLERANCE_OF_DATES = TOLERANCE + SECOND

_FEWEST_HASTY = 2
_FEWEST_SHRINKING = 3


def check(case: Case) -> Report:
    """Judge the sequence of attempts."""
    # First the sequence as a whole, then each attempt against the one that followed it at the same address.
    report = _partial(case) + _keys(case) + _chance(case)
    for lane in lanes(case):
        report += _count(case, lane) + _gaps(case, lane)
        for number, following in pairwise(lane):
            given = case.look(case.attempts[number], case.until(number))
            report += _final(case, number, given, case.attempts[following])
            report += _too_soon(case, case.attempts[number], given, case.attempts[following])
    return report


def _count(case: Case, lane: tuple[int, ...]) -> Report:
    # There a new request is how the protocol goes on; its pace is judged, its number is not. That there are to be none
    # is another thing: it says that the stream is one-shot, and can be kept by any client that can be told so.
    if case.is_eventsource and case.profile.reconnects and case.plan.client.max_retries:
        return NOTHING
    if Option.MAX_RETRIES not in case.profile.options:
        return Report(unchecked=("the number of retries: the client was told none",)) if len(lane) > 1 else NOTHING
    allowed = case.plan.client.max_retries + 1
    if len(lane) <= allowed:
        return NOTHING
    summary = f"{len(lane)} requests were made; max_retries allows {allowed}."
    return Report(findings=(finding(case, Failure.RETRY_STORM, summary),))


def _gaps(case: Case, lane: tuple[int, ...]) -> Report:
    if _asked_to_hurry(case):
        return NOTHING
    # From opening to opening: generous to the client, and the same on every engine. A gap that the server asked for is
    # the server's.
    both = [(case.attempts[before], case.attempts[after]) for before, after in pairwise(lane)]
    gaps = [after.opened - before.opened for before, after in both if told(case, before) is None]
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


def _chance(case: Case) -> Report:
    """Clients that failed together come back together if nothing in their pauses is left to chance."""
    own = own_pauses(case)
    if case.clock is not Clock.VIRTUAL or not growth(own).exact:
        return NOTHING
    return Report(lenient=(f"nothing in the back-off is left to chance ({listed(own)})",))


def own_pauses(case: Case) -> tuple[Pause, ...]:
    """The pauses that the client chose itself, at the address where there are most of them.

    None in an event stream: there the time between two connections is the protocol's, and may be a constant.
    """
    if case.is_eventsource:
        return ()
    by_lane = (tuple(pause for pause in pauses(case, lane) if pause.told is None) for lane in lanes(case))
    return max(by_lane, key=len, default=())


def listed(own: tuple[Pause, ...]) -> str:
    """The pauses in words."""
    return "pauses of " + ", ".join(seconds(pause.waited) for pause in own[:10])


def _keys(case: Case) -> Report:
    """A key by which a server knows a repeated request must be the same in each of them."""
    changed = next((keys for keys in idempotency_keys(case) if len(set(keys)) > 1), None)
    if changed is None:
        return NOTHING
    return Report(lenient=(f"the Idempotency-Key of a retry was another one ({', '.join(map(repr, changed[:3]))})",))


def idempotency_keys(case: Case) -> Iterator[tuple[str, ...]]:
    """The keys of the requests at each address, in order, where the client sends any."""
    asked = [
        seen for seen in case.trace.observations if isinstance(seen, Request) and (not seen.aside or seen.wait >= 0)
    ]
    for fallback in (False, True):
        keys = tuple(seen.key for seen in asked if seen.fallback is fallback)
        if any(keys):
            yield keys


# --- after what -------------------------------------------------------------------------------------------------------


def final(case: Case, number: int, given: Given) -> str:
    """Why the same request could not succeed after attempt `number`, in words behind "after"; empty if it could."""
    if given.kind in (GivenKind.WHOLE, GivenKind.EVENTSOURCE_NO_CONTENT):
        return "a whole answer" if given.status == 200 else f"status {given.status}"
    if given.status < 400:
        return ""
    connection = case.attempts[number]
    script = connection.attempt.script
    if needs_body(script):
        # What stands in a body that never came whole, nobody has read.
        received = connection.received(case.until(number))
        read = {span.step for span in connection.body if span.whole and span.needs(Tier.CHUNK) <= received}
        if any(isinstance(step, Body) and place not in read for place, step in enumerate(script.steps)):
            return ""
    return says_no(script)


def _final(case: Case, number: int, given: Given, following: Connection) -> Report:
    what = final(case, number, given)
    if not what:
        return NOTHING
    # A client need not know what stands in no standard; whether it does is for the plan to demand.
    if given.status >= 400 and only_advised(case.attempts[number].attempt.script):
        return Report(lenient=(f"the request was sent again after {what}",))
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
        shown, calls = case.window(number).text, shown_calls(case, number)
        if (shown or calls) and not following.resumed:
            what = f"{len(shown)} characters had been shown" if shown else "a tool call had been handed over"
            summary = f"The request was sent again after {what}."
            detail = f"connection {following.number} opened at {seconds(following.opened)}"
            return Report(findings=(finding(case, Failure.RETRY_AFTER_PARTIAL_OUTPUT, summary, detail),))
    return NOTHING


# --- Retry-After ------------------------------------------------------------------------------------------------------


class Waited(Value):
    """A wait that the server asked for, and how long the client waited."""

    told: Told
    waited: int

    @property
    def enough(self) -> bool:
        """Whether it was as long as was asked."""
        tolerance = TOLERANCE_OF_DATES if self.told.form is Form.DATE else TOLERANCE
        return self.waited >= self.told.seconds * SECOND - tolerance


def waited(case: Case, connection: Connection, given: Given, following: Connection) -> Waited | None:
    """Compare what an answer asked with when the next request came; None if it asked for nothing."""
    wait = told(case, connection)
    # The field means nothing in a success; and what never arrived was never asked.
    if wait is None or given.status < 300 or given.cause is None:
        return None
    # A connection may be opened ahead; what must wait is the request.
    asked = following.requested if following.requested is not None else following.opened
    return Waited(wait, asked - given.cause)


def _too_soon(case: Case, connection: Connection, given: Given, following: Connection) -> Report:
    found = waited(case, connection, given, following)
    if found is None or found.enough:
        return NOTHING
    asked, after = found.told.seconds, seconds(found.waited)
    summary = f"The server asked to wait {asked:g} s; the client asked again after {after}."
    detail = f"connection {given.conn} gave status {given.status} with Retry-After at {seconds(given.cause or 0)}"
    return Report(findings=(finding(case, Failure.RETRY_AFTER_IGNORED, summary, detail),))
