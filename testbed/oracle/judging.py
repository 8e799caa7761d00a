"""Judging one run: every check, one verdict.

The law of this module: pure. The worst of what was found decides; a proven defect is reported even where the run did
not ask all that its plan asks, but nothing is proven by a run that we spoiled ourselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from msgspec import structs

from testbed.oracle.case import Case
from testbed.oracle.causes import cause
from testbed.oracle.checks import (
    cancel,
    certificate,
    events,
    finish,
    hang,
    outcome,
    patience,
    resources,
    resume,
    retries,
    showing,
    text,
    timing,
    tools,
    validity,
)
from testbed.oracle.cures import CURES, Proof, Shown
from testbed.oracle.evidence import finding
from testbed.oracle.findings import NOTHING, Finding, Judgement, Report, Verdict, roots
from testbed.oracle.rows import GivenKind
from testbed.plan import Plan
from testbed.trace import Cure, Failure, Trace

Check = Callable[[Case], Report]

# The order is that of reading, no more: which finding is listed first is decided by rank, and checks do not know of
# each other.
CHECKS: tuple[Check, ...] = (
    outcome.check,
    certificate.check,
    text.check,
    events.check,
    tools.check,
    finish.check,
    timing.check,
    patience.check,
    hang.check,
    retries.check,
    resume.check,
    cancel.check,
    resources.check,
    validity.check,
)


def judge(plan: Plan, trace: Trace) -> Judgement:
    """Judge what the client did in this run of `plan`."""
    return judge_case(Case(plan, trace))


def given_of(plan: Plan, trace: Trace) -> GivenKind | None:
    """What the client was given in the end, as the kind of a row of the table; None if it never had a connection."""
    given = Case(plan, trace).given
    return None if given is None else given.kind


def judge_case(case: Case, checks: Iterable[Check] = CHECKS) -> Judgement:
    """Judge a run that is already laid out, by these checks."""
    # Our own fault comes before everything: a busy machine can make any client look bad.
    if reason := validity.ours(case):
        return Judgement(Verdict.ERROR, reason=reason)
    if reason := validity.uncoded(case):
        return Judgement(Verdict.UNSUPPORTED, reason=reason)
    report = NOTHING
    for check in checks:
        report += check(case)
    shown = showing.cures(case, report.findings)
    report += _demanded(case, shown, report)
    verdict = _verdict(report)
    # A machine that was a little late can make a client look bad and not good: its lateness only adds silence. So what
    # went well went well, and nothing else is said of such a run.
    if validity.lateness(case) and verdict.verdict in _DOUBTED:
        return Judgement(Verdict.ERROR, reason=validity.too_late(case))
    # A run that did not ask what its plan asks proves nothing; what it disproves, it disproves.
    hollow = verdict.verdict in _HOLLOW
    kept = tuple(one for one in shown if not hollow or one.proof is Proof.DISPROVEN)
    causes = tuple(_with_cause(case, found) for found in verdict.findings)
    return structs.replace(verdict, findings=causes, cures=kept)


_HOLLOW = (Verdict.INCONCLUSIVE, Verdict.UNSUPPORTED)

# What a plan finds that demands a cure, where the cure is too small to be a finding by itself.
_DEMANDED: Mapping[Cure, Failure] = MappingProxyType(
    {
        Cure.JITTER: Failure.RETRY_STORM,
        Cure.GROWING_BACKOFF: Failure.RETRY_STORM,
        Cure.STABLE_KEY: Failure.RETRIED_NON_RETRYABLE,
        Cure.NOTHING_FINAL_RETRIED: Failure.RETRIED_NON_RETRYABLE,
    }
)


def _demanded(case: Case, shown: Iterable[Shown], report: Report) -> Report:
    """Cures that the plan demands and the run disproves, and that no finding speaks of yet."""
    found = {finding.failure for finding in report.findings}
    missed = [one for one in shown if one.proof is Proof.DISPROVEN and one.cure in case.plan.expect.cures]
    return Report(
        findings=tuple(
            finding(
                case,
                _DEMANDED[one.cure],
                f"The plan expects this, and it is not so: {CURES[one.cure].claim}",
                one.evidence,
            )
            for one in missed
            if one.cure in _DEMANDED and not found.intersection(CURES[one.cure].failures)
        )
    )


# The verdicts that a late machine can bring about by itself.
_DOUBTED = (Verdict.FAIL, Verdict.INCONCLUSIVE)


def _with_cause(case: Case, found: Finding) -> Finding:
    return structs.replace(found, cause=cause(case, found))


def _verdict(report: Report) -> Judgement:
    unchecked = tuple(dict.fromkeys(report.unchecked))
    findings = roots(report.findings)
    # A defect that was proven is not unproven by a fault that did not strike.
    if findings:
        return Judgement(Verdict.FAIL, findings, findings[0].summary, unchecked)
    # Worst first: what could not be asked, what was not asked, what is only tolerated.
    for verdict, reasons in (
        (Verdict.UNSUPPORTED, report.unsupported),
        (Verdict.INCONCLUSIVE, report.inconclusive),
        (Verdict.LENIENT, report.lenient),
    ):
        if reasons:
            return Judgement(verdict, reason="; ".join(dict.fromkeys(reasons)), unchecked=unchecked)
    return Judgement(Verdict.PASS, unchecked=unchecked)
