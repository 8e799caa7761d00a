"""Why the model stopped: an answer cut by a limit or a filter is complete, and its caller must be able to tell.

The law of this module: judged only where the adapter shows finish reasons, and where the script names one; a dialect's
normal reason is no news.
"""

from __future__ import annotations

from testbed.dialects import DIALECTS
from testbed.oracle.case import Case
from testbed.oracle.connections import Tier
from testbed.oracle.contents import hits
from testbed.oracle.evidence import finding
from testbed.oracle.findings import NOTHING, Report
from testbed.script import Done, Finish, Terminal
from testbed.trace import Ended, Failure


def check(case: Case) -> Report:
    """Compare the reason that was shown with the reason that was sent."""
    # Only with success: an error says more than any reason.
    reason = given_reason(case)
    if not reason or not isinstance(case.view.end, Ended):
        return NOTHING
    if not case.profile.shows_finish:
        return Report(unchecked=("the finish reason: the adapter shows none",))
    # Adapters pass on what each chunk holds, so empty reasons are many and mean nothing.
    shown = [one for one in case.view.finishes if one]
    if reason in shown:
        return NOTHING
    # A wrong reason is a falsehood, a missing one a loss.
    failure = Failure.CORRUPTED_TEXT if shown else Failure.LOST_EVENT
    said = f"shows {shown[-1]!r}" if shown else "shows none"
    return Report(findings=(finding(case, failure, f"The answer stopped for {reason!r}; the client {said}."),))


def given_reason(case: Case) -> str:
    """The reason that was delivered on the last connection, if the script names one."""
    last = case.last
    if last is None:
        return ""
    # The strictest tier: what arrived in the last two bytes cannot be missed.
    script, received = last.attempt.script, last.received(case.end)
    # Where the soft terminal is none, the reason stands in the last event.
    told_by = Finish if DIALECTS[script.dialect].terminal(Finish()) is not Terminal.NONE else Done
    for span in last.body:
        whole = span.whole and span.needs(Tier.CHUNK) <= received and not hits(script, span)
        if whole and isinstance(script.steps[span.step], told_by):
            return next((step.reason for step in script.steps if isinstance(step, Finish) and step.choice == 0), "")
    return ""
