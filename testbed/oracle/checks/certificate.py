"""Clients that go on with a server whose certificate they must refuse, and those that refuse a good one.

The law of this module: the request is the proof. A client that has sent one has accepted the certificate, whatever it
says afterwards; one that has sent none has not.
"""

from __future__ import annotations

from testbed.oracle.case import SECOND, Case
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.transports import End
from testbed.plan import Certificate
from testbed.trace import Failure, Outcome, Raised, Wrapping

_TIMEOUTS = frozenset({Outcome.FIRST_BYTE_TIMEOUT, Outcome.IDLE_TIMEOUT})


def check(case: Case) -> Report:
    """Judge what became of the certificates that the plan shows."""
    for one in case.attempts:
        tls = one.attempt.tls
        if tls is not None and tls.certificate is not Certificate.VALID and one.requested is not None:
            summary = f"The client sent its request to a server whose certificate is no good ({tls.certificate.value})."
            detail = f"connection {one.number}: the request was read at {seconds(one.requested)}"
            return Report(findings=(finding(case, Failure.CERTIFICATE_IGNORED, summary, detail),))
    if isinstance(case.view.end, Raised) and distrusts(case):
        # Who was told to trust the authority and did not is most often an adapter that does not hand it on.
        why = f"the client refused a valid certificate ({case.view.end.type}): does its adapter hand on target.ca?"
        return Report(inconclusive=(why,))
    return NOTHING


def distrusts(case: Case) -> bool:
    """Whether the client raised an error of its own before it asked anything, although the certificate was good."""
    last, given, end = case.last, case.given, case.view.end
    if last is None or given is None or not isinstance(end, Raised) or end.wrapping is Wrapping.BUG:
        return False
    if last.attempt.tls is None or not last.attempt.tls.works or last.requested is not None or last.presented is None:
        return False
    # Time-outs have a cause of their own, and so has an end of the connection.
    if given.received < last.presented or given.end is not End.OPEN or frozenset(end.classes) & _TIMEOUTS:
        return False
    # Behind the connect time-out it is that which ended a handshake of which a part was still to come (TLS 1.2).
    connect = case.timeouts.connecting
    return connect is None or end.t < last.opened + round((connect - case.margin(connect)) * SECOND)
