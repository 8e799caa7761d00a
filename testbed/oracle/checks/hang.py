"""Clients that never end.

The law of this module: a client hangs if we had to stop it and it had no right to wait: its stream was over, or
silent for longer than the time-out that it was told. A client that nobody told a time-out may wait for ever, and a
stream that still flowed when we stopped the client says nothing.
"""

from __future__ import annotations

from testbed.oracle.accept import retry_is_welcome
from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.given import Given
from testbed.oracle.rows import GivenKind
from testbed.oracle.table import TABLE
from testbed.oracle.transports import Progress
from testbed.retrying import says_no, waits
from testbed.timing import backoff, retry_after
from testbed.trace import Cancelled, Failure, Option, Outcome

# What an EventSource client waits before it reconnects, if the server names no time: a few seconds everywhere.
_RECONNECT = 10.0


def check(case: Case) -> Report:
    """Judge a client that we stopped."""
    end = case.view.end
    if not isinstance(end, Cancelled):
        return NOTHING
    # A planned cancellation usually comes before anything is due; then there is nothing to say.
    if case.last is None or case.given is None:
        return NOTHING if end.planned else _unsure("it was stopped before it had used a connection")
    if case.given.cause is not None:
        return _overdue(case, end, case.given, case.given.cause)
    return _silent(case, end, case.last, case.given)


def _unsure(why: str) -> Report:
    return Report(inconclusive=(f"whether the client hangs cannot be said: {why}",))


# Two ways to hang. Overdue: the end was there and the client did not take it. Silent: there was no end, and the
# client did not make one.
def _overdue(case: Case, end: Cancelled, given: Given, cause: int) -> Report:
    """The client knew how it ended."""
    # Counted from when the client could know, not from when we lost patience.
    waited = (end.t - cause) / SECOND
    if waited <= (told := _told_to_wait(case, given)):
        return Report(unchecked=(f"what it does after the {told:g} s that it was told to wait: it was stopped before",))
    if waited > case.margin(case.timeouts.mid_stream) + _may_wait(case, given) + case.taken:
        if given.kind is GivenKind.EVENTSOURCE_RECONNECT:
            return _no_resume(case, given, waited)
        summary = f"The client was given {TABLE[given.kind].given} and was still waiting {waited:.3f} s later."
        return Report(findings=(finding(case, Failure.HANG, summary),))
    reconnects = case.profile.reconnects and case.is_eventsource
    return NOTHING if end.planned or reconnects else _unsure("it was stopped too soon after its connection ended")


def _no_resume(case: Case, given: Given, waited: float) -> Report:
    summary = f"The client had not reconnected {waited:.3f} s after a clean end."
    return Report(findings=(finding(case, Failure.NO_RESUME, summary, row=TABLE[given.kind]),))


def _may_wait(case: Case, given: Given) -> float:
    """Seconds that a right client may let pass before it tries again."""
    if case.is_eventsource and case.profile.reconnects:
        return _RECONNECT
    # Without the option the client has its own number; two is what SDKs make of it, and errs on the patient side.
    retries = case.plan.client.max_retries if Option.MAX_RETRIES in case.profile.options else 2
    if len(case.attempts) > retries or given.progress >= Progress.TOKENS or not retry_is_welcome(given):
        return 0.0
    return max(backoff(len(case.attempts) - 1), retry_after(given.attempt))


def _told_to_wait(case: Case, given: Given) -> float:
    """Seconds that the answer asks for, however many: most clients surface a long wait, and some obey."""
    retries = case.plan.client.max_retries if Option.MAX_RETRIES in case.profile.options else 2
    if given.status < 400 or len(case.attempts) > retries or says_no(given.attempt.script):
        return 0.0
    return max((wait.seconds for wait in waits(given.attempt.script)), default=0.0)


def _silent(case: Case, end: Cancelled, last: Connection, given: Given) -> Report:
    """The connection was open, or the client had no word of its end."""
    # The runner stops a client only long after its deadline; that it does is for the runner, so the time is looked at
    # again.
    deadline = case.deadline(last, given, end.t)
    told = case.told(given)
    if deadline is None:
        return NOTHING if end.planned else _untold(case, given)
    if end.t > deadline.latest + round((case.margin(told) + case.taken) * SECOND):
        heard = last.last_byte(end.t)
        since = f"its last byte came at {seconds(heard)}" if heard is not None else "no byte came"
        summary = f"The client did not give up a silent connection: {since}, its time-out is {told} s."
        return Report(findings=(finding(case, Failure.HANG, summary),))
    return NOTHING if end.planned else _unsure("it was stopped before its time-out was over")


def _untold(case: Case, given: Given) -> Report:
    """No time-out is known: because the plan sets none, or because the adapter cannot pass it on."""
    # Whose fault it is that there is no time-out decides between the two verdicts that say nothing.
    name, planned = Outcome.FIRST_BYTE_TIMEOUT.value, case.settings.first_byte
    if given.progress is Progress.HANDSHAKE:
        name, planned = Option.CONNECT_TIMEOUT.value, case.settings.connect_timeout
    elif given.progress >= Progress.TOKENS:
        name, planned = Outcome.IDLE_TIMEOUT.value, case.settings.idle_timeout
    if planned is None:
        return _unsure(f"the plan sets no {name}, so it may wait for ever")
    return Report(unsupported=(f"{case.profile.name} cannot be told a time-out ({name}), and may wait for ever",))
