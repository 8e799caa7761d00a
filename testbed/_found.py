"""What was found so far, and what it amounts to: results, counterexamples, and the tally behind them.

The law of this module: two findings are the same if class and cause are the same, and then the last one counts; a
counterexample carries everything that its run showed, the root first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, final

from msgspec import structs

from testbed import runner
from testbed._sweep_words import Grid
from testbed._values import Value
from testbed.oracle import Finding, Judgement, Shown, Verdict, judge
from testbed.oracle.cures import together
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Engine
from testbed.trace import Failure


class Counterexample(Value):
    """A finding together with the smallest plan that shows it.

    `cause` tells it apart from another of its class, `also` is what else the same run showed. `confirmed` names the
    real engines on which the plan was seen to fail, `doubt` says in a sentence why there is none. `reproduce` and
    `file` are filled in by whoever saves the plan.
    """

    failure: Failure
    summary: str
    requirement: str
    sources: tuple[str, ...]
    evidence: tuple[str, ...]
    plan: Plan
    reproduce: str = ""
    cause: str = ""
    also: tuple[Finding, ...] = ()
    confirmed: tuple[str, ...] = ()
    doubt: str = ""
    file: str = ""

    @property
    def classes(self) -> tuple[Failure, ...]:
        """Every failure class that the run showed, the root first."""
        return (self.failure, *(finding.failure for finding in self.also))


def counterexample(plan: Plan, findings: tuple[Finding, ...]) -> Counterexample:
    """Put a plan and what was found with it together; there must be a finding."""
    root, *others = findings
    said = {field: getattr(root, field) for field in Finding.__struct_fields__}
    return Counterexample(**said, plan=plan, also=tuple(others))


class Result(Value):
    """What became of one scenario × client × engine. `duration` is in real seconds."""

    scenario: str
    client: str
    engine: str
    verdict: Verdict
    examples: int
    duration: float
    reason: str = ""
    findings: tuple[Counterexample, ...] = ()
    grids: tuple[Grid, ...] = ()  # of a sweep, one for each dialect
    cures: tuple[Shown, ...] = ()  # what the runs proved and disproved of them


class Key(NamedTuple):
    """By what two findings are told apart."""

    failure: Failure
    cause: str


def key_of(judgement: Judgement) -> Key | None:
    """The key of the root finding, or None if nothing was found."""
    if judgement.verdict is not Verdict.FAIL:
        return None
    return Key(judgement.findings[0].failure, judgement.findings[0].cause)


def check(plan: Plan, over: Engine, client: ClientAdapter) -> Judgement:
    """Run one plan and judge it; our own lateness is given one more chance. Raises :class:`Unsupported`."""
    judgement = judge(plan, runner.run(plan, over, client))
    if judgement.verdict is Verdict.ERROR:
        judgement = judge(plan, runner.run(plan, over, client))
    return judgement


@final
class Tally:
    """What the runs so far amount to."""

    def __init__(self) -> None:
        self.examples = 0
        self.reasons: dict[Verdict, str] = {}
        self.cures: tuple[Shown, ...] = ()
        self.found: dict[Key, Counterexample] = {}

    def count(self, plan: Plan, judgement: Judgement, known: frozenset[Key] = frozenset()) -> None:
        """Add one run.

        A later failure replaces an earlier one of the same key, for Hypothesis ends with the smallest; one that is
        already `known` has its smallest plan.
        """
        self.examples += 1
        self.cures = together((*self.cures, *judgement.cures))
        key = key_of(judgement)
        if key is None:
            self.reasons.setdefault(judgement.verdict, judgement.reason)
        elif key not in known:
            self.found[key] = counterexample(plan, judgement.findings)

    def in_order(self) -> Iterator[Key]:
        """What was found, in the order in which it was; it may be replaced meanwhile."""
        yield from tuple(self.found)

    def replace(self, key: Key, plan: Plan, judgement: Judgement) -> None:
        """Put a smaller plan in the place of the one that is here."""
        smaller, before = counterexample(plan, judgement.findings), self.found[key]
        self.found[key] = structs.replace(smaller, confirmed=before.confirmed, doubt=before.doubt)

    def confirm(self, key: Key, engines: tuple[str, ...], doubt: str = "") -> None:
        """Note the real engines on which the plan fails, too, or why there is none."""
        self.found[key] = structs.replace(self.found[key], confirmed=engines, doubt=doubt)

    def verdict(self) -> tuple[Verdict, str]:
        """The worst that was seen, with its first reason; UNSUPPORTED only if nothing could be asked at all."""
        if self.found:
            return Verdict.FAIL, ", ".join(classes(tuple(self.found.values())))
        for worst in (Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.LENIENT, Verdict.PASS, Verdict.UNSUPPORTED):
            if worst in self.reasons:
                return worst, self.reasons[worst]
        return Verdict.UNSUPPORTED, "no plan could be drawn"


def classes(found: tuple[Counterexample, ...]) -> tuple[str, ...]:
    """The slugs of everything that was found, each once, in alphabetical order."""
    return tuple(sorted({failure.value for one in found for failure in one.classes}))
