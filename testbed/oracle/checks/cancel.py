"""Cancellation: stop means stop, and the server can see it.

The law of this module: after a planned cancellation, and the grace period behind it, no connection that the client
opened may still be open from its side, and none may be opened anew. A connection that the network or the server had
ended by then proves nothing either way.
"""

from __future__ import annotations

from testbed.oracle.case import Case
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.trace import Cancelled, Failure


def check(case: Case) -> Report:
    """Judge what a cancelled client left behind."""
    end = case.view.end
    if not isinstance(end, Cancelled) or not end.planned or case.closed is None:
        return NOTHING
    for one in case.connections:
        if one.opened > end.t + case.races.ahead:
            summary = f"A connection was opened {seconds(one.opened - end.t)} after the call was cancelled."
            return Report(findings=(finding(case, Failure.CANCEL_IGNORED, summary),))
        if _still_open(one):
            summary = f"The connection was still open {seconds(case.closed - end.t)} after the call was cancelled."
            return Report(findings=(finding(case, Failure.CANCEL_IGNORED, summary),))
    return NOTHING


def _still_open(one: Connection) -> bool:
    return one.left is None and one.gone is None and one.over is None
