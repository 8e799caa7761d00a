"""Calls that are over: stop means stop, and the server can see it; and no call leaves its connection behind.

The law of this module: when a call is over, cancelled or by itself, and the grace period behind it, no connection that
still carries its answer may be open from the client's side, and after a cancellation none may be opened anew. A
connection that the network or the server had ended by then proves nothing either way, and one whose answer was whole
may be kept for the next request.
"""

from __future__ import annotations

from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.given import is_framed
from testbed.oracle.process import exit_of
from testbed.trace import Cancelled, Ended, Failure, Raised

# The grace period ends as soon as every connection is seen to be closed; one that was cut short for another reason
# proves nothing.
_LEAST_GRACE = 9 * SECOND // 10


def check(case: Case) -> Report:
    """Judge what a client left behind."""
    end = case.view.end
    if case.closed is None or end is None:
        return NOTHING
    closed = min(case.closed, exit_of(case) or case.closed)
    # A client that ended by itself before the caller lost interest was never asked to stop.
    if isinstance(end, Cancelled):
        return _cancelled(case, end, closed) if end.planned else NOTHING
    return _ended(case, end, closed)


def _cancelled(case: Case, end: Cancelled, closed: int) -> Report:
    # Every connection, used or not: one that was opened ahead of need is left open just as well.
    for one in case.connections:
        # A retry that was already on its way when the call was cancelled is no defiance.
        if one.opened > end.t + case.races.ahead:
            summary = f"A connection was opened {seconds(one.opened - end.t)} after the call was cancelled."
            return Report(findings=(finding(case, Failure.CANCEL_IGNORED, summary),))
        if _still_open(case, one):
            summary = f"The connection was still open {seconds(closed - end.t)} after the call was cancelled."
            return Report(findings=(finding(case, Failure.CANCEL_IGNORED, summary),))
    return NOTHING


def _ended(case: Case, end: Ended | Raised, closed: int) -> Report:
    if closed - end.t < _LEAST_GRACE:
        return NOTHING
    for one in under_way(case):
        if _still_open(case, one):
            summary = f"{one.name[0].upper()}{one.name[1:]} was still open {seconds(closed - end.t)} after the call was"
            summary += " over, with an answer on it that was not finished."
            return Report(findings=(finding(case, Failure.RESOURCE_LEAK, summary),))
    return NOTHING


def under_way(case: Case) -> tuple[Connection, ...]:
    """The connections that carried an unfinished answer when the call was over, and that nobody else had ended."""
    # What an answer that is whole leaves behind is a connection that a pool may keep.
    return tuple(
        one
        for one in case.exchanges
        if one.used and (one.over is None or one.over > case.end) and not is_framed(one, one.received(case.end))
    )


def _still_open(case: Case, one: Connection) -> bool:
    # Either side's word that the client is gone will do; and where the connection had ended anyway, nobody would see a
    # client leave.
    if one.left is None and one.gone is None and one.over is None:
        return True
    # What was left only when its process ended was not left by the client.
    exit_ = exit_of(case)
    ends = [when for when in (one.left, one.gone, one.over) if when is not None]
    return exit_ is not None and one.opened <= exit_ < min(ends)
