"""Time-outs that come too early or too late.

The law of this module: only what the client was told is judged, and only beyond the margin of its clock; where
libraries measure a silence in different ways, the earliest of them decides what is early and the latest what is late.
"""

from __future__ import annotations

from msgspec import structs

from testbed.oracle.case import SECOND, Case, Deadline
from testbed.oracle.checks.outcome import TIMEOUTS
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.given import Given
from testbed.oracle.rows import GivenKind
from testbed.oracle.transports import SILENT, End, Progress
from testbed.trace import Failure, Outcome, Raised


def check(case: Case) -> Report:
    """Judge every attempt that the client gave up while its connection was open."""
    report = NOTHING
    for number, connection in enumerate(case.attempts):
        # Attempts that were followed by another count, too: a client that retries too early is as wrong as one that
        # raises.
        at = _given_up(case, number)
        if at is not None:
            found = _judged(case, connection, at, strict=number + 1 < len(case.attempts))
            # When a client gave up a connection that it left behind is not known, only that it had before the next.
            report += found if _is_known(case, number) else _without(found, Failure.LATE_TIMEOUT)
    return report


def _is_known(case: Case, number: int) -> bool:
    """Whether the moment at which this attempt was given up can be seen."""
    if number + 1 == len(case.attempts):
        return True
    left = case.attempts[number].left
    return left is not None and left <= case.attempts[number + 1].opened


def _without(report: Report, failure: Failure) -> Report:
    return structs.replace(report, findings=tuple(one for one in report.findings if one.failure is not failure))


def _given_up(case: Case, number: int) -> int | None:
    """When the client gave this attempt up for its silence; None if it did not."""
    connection = case.attempts[number]
    if number + 1 < len(case.attempts):
        following = case.attempts[number + 1].opened
        # The old connection is left when the time-out strikes, the new one opened after the back-off.
        return min(following, connection.left) if connection.left is not None else following
    # An error that names no time-out is judged as that error, whenever it comes.
    end = case.view.end
    if not isinstance(end, Raised) or not frozenset(end.classes) & TIMEOUTS:
        return None
    return end.t


def _judged(case: Case, connection: Connection, at: int, *, strict: bool) -> Report:
    # Read at the moment of giving up, not at the end of the run.
    given = case.look(connection, at)
    # Only silence can be given up too early or too late; every other end has a time of its own.
    if given.end is not End.OPEN or given.kind not in (SILENT if strict else SILENT | {GivenKind.SILENT_AFTER_FINISH}):
        return NOTHING
    deadline = case.deadline(connection, given, at)
    if deadline is None:
        return Report(unchecked=(_untold(given),))
    return _compared(case, connection, given, at, deadline)


def _crossed(case: Case, connection: Connection, at: int) -> bool:
    """Whether what came last may not have been read when the time-out struck: without it, it was due."""
    before = at - case.races.back
    if before < connection.opened:
        return False
    given = case.look(connection, before)
    deadline = case.deadline(connection, given, before)
    return deadline is not None and at >= deadline.earliest - round(case.margin(case.told(given)) * SECOND)


def _untold(given: Given) -> str:
    name = Outcome.IDLE_TIMEOUT if given.progress >= Progress.TOKENS else Outcome.FIRST_BYTE_TIMEOUT
    name = Outcome.CONNECT if given.progress is Progress.HANDSHAKE else name
    return f"when {name.value} is raised: the client was told none"


def _compared(case: Case, connection: Connection, given: Given, at: int, deadline: Deadline) -> Report:
    told = case.told(given)
    # Beyond the margin on either side there is no doubt on this clock; inside it there is no judgement.
    margin = round(case.margin(told) * SECOND)
    last = connection.last_byte(at)
    heard = f"the last byte came at {seconds(last)}" if last is not None else "no byte had come"
    detail = f"connection {connection.number}: {heard}, the time-out is {told} s, given up at {seconds(at)}"
    if at < deadline.earliest - margin and not _crossed(case, connection, at):
        summary = f"The client gave up {seconds(deadline.earliest - at)} before its time-out was over."
        return Report(findings=(finding(case, Failure.EARLY_TIMEOUT, summary, detail),))
    if at > deadline.latest + margin + round(case.taken * SECOND):
        summary = f"The client gave up {seconds(at - deadline.latest)} after its time-out was over."
        return Report(findings=(finding(case, Failure.LATE_TIMEOUT, summary, detail),))
    return NOTHING
