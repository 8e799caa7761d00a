"""Confirmation: what was found in virtual time is asked once more on a real engine.

The law of this module: it adds to what is known of a finding and takes nothing away; whatever keeps a finding from
being confirmed, our own trouble too, is said in a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from testbed import runner
from testbed._found import check
from testbed.errors import HarnessError, Unsupported
from testbed.oracle import Judgement, Verdict, judge
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Engine
from testbed.strategies import LONGEST
from testbed.timing import nominal
from testbed.trace import Failure

# The real engine on which a finding of virtual time is asked once more: the one that needs nothing.
CONFIRMING = "embedded"


class Confirmation(NamedTuple):
    """The real engines on which a plan was seen to fail, or a sentence that says why there is none."""

    engines: tuple[str, ...]
    doubt: str


def confirm(asked: Sequence[tuple[Plan, Failure]], client: ClientAdapter) -> list[Confirmation]:
    """Ask each plan once, all at the same time, whether its class of failure shows on a real engine as well."""
    over = runner.engine(CONFIRMING)
    reasons = [_unaskable(plan, over, client) for plan, _ in asked]
    judged = iter(_judged([plan for (plan, _), reason in zip(asked, reasons, strict=True) if not reason], over, client))
    said = [reason or _said(failure, next(judged)) for (_, failure), reason in zip(asked, reasons, strict=True)]
    return [
        Confirmation((), f"not confirmed on {over.name}: {why}") if why else Confirmation((over.name,), "")
        for why in said
    ]


def _unaskable(plan: Plan, over: Engine, client: ClientAdapter) -> str:
    """Why a plan is not asked again on a real engine, or nothing."""
    if (reason := runner.unsupported(plan, over, client)) is not None:
        return reason
    return "" if nominal(plan) <= LONGEST else f"it takes a right client {nominal(plan):g} s"


def _judged(plans: Sequence[Plan], over: Engine, client: ClientAdapter) -> list[Judgement]:
    try:
        traces = runner.run_many(plans, over, client) if plans else ()
        judged = list(map(judge, plans, traces))
        # Several at the same time can make us late in all of them; the one that counts is then asked alone.
        return [
            check(plan, over, client) if one.verdict is Verdict.ERROR else one
            for plan, one in zip(plans, judged, strict=True)
        ]
    except (HarnessError, Unsupported) as error:
        return [Judgement(Verdict.ERROR, reason=str(error))] * len(plans)


def _said(failure: Failure, judgement: Judgement) -> str:
    """What a run there said against the finding, or nothing if it showed the same class."""
    classes = [finding.failure for finding in judgement.findings]
    if failure in classes:
        return ""
    named = ", ".join(one.value for one in classes)
    return f"the same plan gave {judgement.verdict.name}{f' ({named})' if named else ''} there"
