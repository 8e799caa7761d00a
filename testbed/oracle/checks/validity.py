"""Whether the run asked what its plan asks.

The law of this module: nothing here is about the client. A run whose faults did not happen, whose request was refused
by our server, or whose client could not be told what matters is no basis for PASS.
"""

from __future__ import annotations

import re

from testbed.faults.toxics import Latency, Noop, Slicer, Toxic
from testbed.oracle.case import Case
from testbed.oracle.findings import NOTHING, Report
from testbed.script import Coding
from testbed.timing import margin, needs
from testbed.trace import FALLBACK, Clock, Fired, Late, Request


def ours(case: Case) -> str:
    """Why this run says nothing of the client through our own fault, whatever was seen; empty if it says something."""
    # An adapter that records no end has failed us: even a client that hangs is stopped, and that is recorded.
    if case.view.end is None:
        return "the trace does not say how the client ended"
    # Up to the least margin every check of times has room for us; beyond it not even a good verdict is sound.
    return too_late(case) if lateness(case) > margin(0.0, case.clock) else ""


def lateness(case: Case) -> float:
    """How late our own loop woke, at worst, in seconds."""
    # In virtual time the watchdog measures the tester's machine, which nobody's time-outs depend on.
    if case.clock is not Clock.REAL:
        return 0.0
    return max((seen.by for seen in case.trace.observations if isinstance(seen, Late)), default=0) / 1_000_000


def too_late(case: Case) -> str:
    """Say how late we were."""
    return f"our own watchdog woke {lateness(case):.3f} s late: this machine was too busy to judge times"


def uncoded(case: Case) -> str:
    """Why nothing can be asked of this client: an answer was compressed in a way that it does not accept."""
    # Without the field anything would be acceptable (RFC 9110, section 12.5.3); but clients that send none decode none.
    for seen in case.trace.observations:
        if isinstance(seen, Request) and not seen.aside:
            number = seen.conn if seen.attempt < 0 else seen.attempt
            coding = case.plan.attempt(number).script.head.coding
            if coding is not Coding.IDENTITY and not _accepts(seen.accepts, coding.value):
                return f"{case.profile.name} does not accept {coding.value}, in which attempt {number} is compressed"
    return ""


def _accepts(field: str, coding: str) -> bool:
    weights = {}
    for part in field.lower().split(","):
        name, _, weight = part.partition(";")
        weights[name.strip()] = re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return weights.get(coding, weights.get("*", False))


def check(case: Case) -> Report:
    """Find what makes a good verdict hollow."""
    return _refused(case) + _missed(case) + _unasked(case)


def _refused(case: Case) -> Report:
    refused = [one for one in case.exchanges if one.problem]
    if not refused:
        return NOTHING
    # The server judges requests by the vendor's documentation. An odd request may be the client's mistake or the
    # adapter's; what is sure is that the plan was not asked.
    one = refused[0]
    return Report(inconclusive=(f"the server refused the client's request on {one.name}: {one.problem}",))


def _missed(case: Case) -> Report:
    """Toxics that never struck, of attempts that took place."""
    if case.plan.expect.may_miss:
        return NOTHING
    # By attempt, not by connection: one strike shows that the fault can happen at this address.
    fired = {(_place(case, seen.conn), seen.toxic) for seen in case.trace.observations if isinstance(seen, Fired)}
    # Toxics go by the number of the connection and scripts by that of the request. Where the two differ (a connection
    # was kept, a handshake went before) the plan asked for both, and its faults must have struck in either case.
    happened = sorted({_place(case, number) for one in case.attempts for number in (one.number, one.played)})
    missed = [
        f"{_name(toxic)} of attempt {place} never struck"
        for place in happened
        for index, toxic in enumerate(case.plan.attempt(place).toxics)
        if _must_strike(toxic) and (place, index) not in fired
    ]
    return Report(inconclusive=("; ".join(missed),)) if missed else NOTHING


def _place(case: Case, number: int) -> int:
    """The attempt that a connection or a request of this number is: the last one repeats."""
    if number >= FALLBACK:
        return FALLBACK + min(number - FALLBACK, len(case.plan.fallback) - 1)
    return min(number, len(case.plan.attempts) - 1)


def _name(toxic: Toxic) -> str:
    return str(type(toxic).__struct_config__.tag)


def _must_strike(toxic: Toxic) -> bool:
    """Whether the toxic strikes every connection by definition."""
    # Chance decides over these, by definition; that it decided against them is no surprise.
    if toxic.toxicity < 1 or isinstance(toxic, Noop):
        return False
    if isinstance(toxic, Latency):
        # Jitter alone can come out as no delay at all.
        return toxic.attributes.latency > 0
    return not isinstance(toxic, Slicer) or toxic.attributes.average_size > 0


def _unasked(case: Case) -> Report:
    # The runner asks this before it runs. Traces also come from files.
    missing = needs(case.plan) - frozenset(case.profile.options)
    if not missing:
        return NOTHING
    options = ", ".join(sorted(option.value for option in missing))
    return Report(unsupported=(f"{case.profile.name} takes no {options}, on which the right outcome depends",))
