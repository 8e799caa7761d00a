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
    # A client that ended by itself before the caller lost interest was never asked to stop.
    if not isinstance(end, Cancelled) or not end.planned or case.closed is None:
        return NOTHING
    # Every connection, used or not: one that was opened ahead of need is left open just as well.
    for one in case.connections:
        # A retry that was already on its way when the call was cancelled is no defiance.
        if one.opened > end.t + case.races.ahead:
            summary = f"A connection was opened {seconds(one.opened - end.t)} after the call was cancelled."
            return Report(findings=(finding(case, Failure.CANCEL_IGNORED, summary),))
        if _still_open(one):
            summary = f"The connection was still open {seconds(case.closed - end.t)} after the call was cancelled."
            return Report(findings=(finding(case, Failure.CANCEL_IGNORED, summary),))
    return NOTHING


def _still_open(one: Connection) -> bool:
    # Either side's word that the client is gone will do; and where the connection had ended anyway, nobody would see a
    # client leave.
    return one.left is None and one.gone is None and one.over is None
