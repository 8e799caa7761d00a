"""Silences that a client sat out, although it was told a time-out that ends them.

The law of this module: the same deadline that bounds a client which gives up bounds one that does not. A silence that
the server breaks in the end is a hang that somebody else has ended: the next one may last for ever. What is sat out
behind the end of an answer harms nobody and is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.transports import SILENT, End
from testbed.trace import Failure


def check(case: Case) -> Report:
    """Judge every silence that ended before the client did."""
    for number, connection in enumerate(case.attempts):
        # What comes after the client has left ends no silence of its.
        until = case.until(number)
        until = until if connection.left is None else min(until, connection.left)
        for start, end in _silences(case, connection, until):
            report = _sat_out(case, connection, start, end)
            if report.findings:
                return report
    return NOTHING


def _silences(case: Case, connection: Connection, until: int) -> Iterator[tuple[int, int]]:
    """The spans without a byte that a time-out could have ended, up to the byte or the end that ended them."""
    told = [one for one in (case.timeouts.connecting, case.timeouts.before_token, case.timeouts.mid_stream) if one]
    shortest = round(min(told, default=0.0) * SECOND)
    ends = () if connection.over is None else (connection.over,)
    times = [connection.opened, *(time for time, _ in connection.arrivals), *ends]
    # Nothing that is shorter than every time-out is asked about: a stream has thousands of them.
    yield from ((one, other) for one, other in pairwise(sorted(times)) if other <= until and other - one > shortest > 0)


def _sat_out(case: Case, connection: Connection, start: int, end: int) -> Report:
    given = case.look(connection, start)
    if given.end is not End.OPEN or given.kind not in SILENT:
        return NOTHING
    # The moment before the silence ended: what ended it is no part of it.
    deadline = case.deadline(connection, given, end - 1)
    told = case.told(given)
    if deadline is None or end <= deadline.latest + round((case.margin(told) + case.taken) * SECOND):
        return NOTHING
    summary = f"The client sat out a silence of {seconds(end - start)}, although its time-out is {told} s."
    detail = f"{connection.name}: no byte came from {seconds(start)} to {seconds(end)}"
    return Report(findings=(finding(case, Failure.LATE_TIMEOUT, summary, detail),))
