"""Exploration: from a scenario to a verdict, with the smallest plan for every finding.

The law of this module: everything that is said of a client rests on plans that were run, and the plan that is printed
is the one that failed. On `simulated`, Hypothesis draws, runs and shrinks live. On a real clock nothing is
property-based while it runs (a search that fights the network's timing proves nothing): K plans are drawn up front
from the seed and run at the same time; a failure is run again, shrunk on `simulated` where the client can run there,
and the small plan must fail again on the engine where it was found.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from random import Random
from typing import final

import hypothesis
import hypothesis.errors
from hypothesis import HealthCheck, Phase

from testbed import runner
from testbed._values import Value
from testbed.catalogue import Scenario
from testbed.errors import Unsupported
from testbed.oracle import Finding, Judgement, Verdict, judge
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Engine
from testbed.strategies import draw_many, plans
from testbed.trace import Clock, Failure

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

# How often a failure on a real clock is run again before anything is said of it.
CONFIRMATIONS = 3


class Settings(Value):
    """The budget.

    `examples` is for virtual time, `plans` for real clocks, `budget` in seconds for one item on a real clock.
    """

    examples: int = 100
    plans: int = 8
    seed: int = 0
    budget: float = 60.0


class Counterexample(Value):
    """A finding together with the smallest plan that shows it. `reproduce` is filled in by whoever saves the plan."""

    failure: Failure
    summary: str
    requirement: str
    sources: tuple[str, ...]
    evidence: tuple[str, ...]
    plan: Plan
    reproduce: str = ""


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


@final
class _Tally:
    """What the runs so far amount to."""

    def __init__(self) -> None:
        self.examples = 0
        self.reasons: dict[Verdict, str] = {}
        self.failures: dict[Failure, tuple[Plan, tuple[Finding, ...]]] = {}

    def count(self, plan: Plan, judgement: Judgement, known: frozenset[Failure] = frozenset()) -> None:
        """Add one run.

        A later failure of the same class replaces an earlier one, for Hypothesis ends with the smallest; one that is
        already `known` has its smallest plan.
        """
        self.examples += 1
        if judgement.verdict is Verdict.FAIL:
            if judgement.findings[0].failure not in known:
                self.failures[judgement.findings[0].failure] = (plan, judgement.findings)
        else:
            self.reasons.setdefault(judgement.verdict, judgement.reason)

    def verdict(self) -> tuple[Verdict, str]:
        """The worst that was seen, with its first reason; UNSUPPORTED only if nothing could be asked at all."""
        if self.failures:
            slugs = ", ".join(sorted(failure.value for failure in self.failures))
            return Verdict.FAIL, slugs
        for worst in (Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.LENIENT, Verdict.PASS, Verdict.UNSUPPORTED):
            if worst in self.reasons:
                return worst, self.reasons[worst]
        return Verdict.UNSUPPORTED, "no plan could be drawn"

    def counterexamples(self) -> tuple[Counterexample, ...]:
        """One for each failure class that was found, with its plan."""
        return tuple(
            Counterexample(
                failure=finding.failure,
                summary=finding.summary,
                requirement=finding.requirement,
                sources=finding.sources,
                evidence=finding.evidence,
                plan=plan,
            )
            for plan, findings in self.failures.values()
            for finding in findings[:1]
        )


class _FailedError(Exception):
    """Raised inside Hypothesis; one subclass a failure class, so that each is shrunk by itself."""


# No database: an old failure must not decide what a seed means. No deadline: one slow example is no failure.
_QUIET = hypothesis.settings(
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    derandomize=False,
    report_multiple_bugs=True,
)

_FAILED = {failure: type(f"_Failed[{failure.value}]", (_FailedError,), {}) for failure in Failure}


Progress = Callable[[int, int], None]


def explore(
    scenario: Scenario,
    over: Engine,
    client: ClientAdapter,
    settings: Settings | None = None,
    *,
    on_progress: Progress | None = None,
) -> Result:
    """Search `scenario` for plans that `client` gets wrong over `over`.

    `on_progress(done, of)` is called after each run. Raises :class:`~testbed.errors.HarnessError` for our own faults;
    what cannot be asked of this client is a Result with the verdict UNSUPPORTED.
    """
    started = time.monotonic()
    search = _Search(scenario, over, client, settings or Settings(), on_progress or (lambda done, of: None))
    try:
        search.live() if over.clock is Clock.VIRTUAL else search.real()
    except Unsupported as reason:
        search.tally.reasons.setdefault(Verdict.UNSUPPORTED, str(reason))
    verdict, reason_text = search.tally.verdict()
    return Result(
        scenario=scenario.name,
        client=client.profile.name,
        engine=over.name,
        verdict=verdict,
        examples=search.tally.examples,
        duration=round(time.monotonic() - started, 3),
        reason=reason_text,
        findings=search.tally.counterexamples(),
    )


def check(plan: Plan, over: Engine, client: ClientAdapter) -> Judgement:
    """Run one plan and judge it; our own lateness is given one more chance. Raises :class:`Unsupported`."""
    judgement = judge(plan, runner.run(plan, over, client))
    if judgement.verdict is Verdict.ERROR:
        judgement = judge(plan, runner.run(plan, over, client))
    return judgement


@final
class _Search:
    """One exploration under way: what is asked of whom, and the tally so far."""

    def __init__(
        self, scenario: Scenario, over: Engine, client: ClientAdapter, settings: Settings, progress: Progress
    ) -> None:
        self.scenario = scenario
        self.over = over
        self.client = client
        self.settings = settings
        self.progress = progress
        self.tally = _Tally()

    # --- virtual time: Hypothesis live --------------------------------------------------------------------------------

    def live(self) -> None:
        """Let Hypothesis draw, run and shrink, and again for what one defect hid, until a round finds nothing new.

        Hypothesis stops looking soon after the first failure it meets, and a client with one defect often has another.
        """
        found = -1
        while found < len(self.tally.failures):
            found = len(self.tally.failures)
            self._round(known=frozenset(self.tally.failures))

    def _round(self, known: frozenset[Failure]) -> None:
        """Spend the examples once on what is not `known`; each new failure class is shrunk by itself."""
        skipped: list[str] = []

        @hypothesis.seed(self.settings.seed)
        @hypothesis.settings(_QUIET, max_examples=self.settings.examples)
        @hypothesis.given(plans(self.scenario, self.client.profile.dialects, clock=self.over.clock))
        def property_holds(plan: Plan) -> None:
            if (reason := runner.unsupported(plan, self.over, self.client)) is not None:
                skipped.append(reason)
                hypothesis.reject()
            judgement = judge(plan, runner.run(plan, self.over, self.client))
            self.tally.count(plan, judgement, known)
            self.progress(min(self.tally.examples, self.settings.examples), self.settings.examples)
            if judgement.verdict is Verdict.FAIL and (failure := judgement.findings[0].failure) not in known:
                raise _FAILED[failure](judgement.findings[0].summary)

        try:
            property_holds()
        except _FailedError:
            return  # it is in the tally, smallest last
        except hypothesis.errors.Unsatisfiable:
            raise Unsupported(skipped[0] if skipped else f"{self.scenario.name}: no plan fits its ranges") from None
        except BaseExceptionGroup as group:
            if group.split(_FailedError)[1] is not None:  # something besides several failure classes
                raise

    # --- real clocks: plans drawn up front ----------------------------------------------------------------------------

    def real(self) -> None:
        """Run K plans at the same time, then look closer at those that failed, within the budget."""
        fitting = self._drawn_up_front()
        deadline = time.monotonic() + self.settings.budget
        judgements = list(map(judge, fitting, runner.run_many(fitting, self.over, self.client)))
        for done, (plan, judgement) in enumerate(zip(fitting, judgements, strict=True), 1):
            if judgement.verdict is Verdict.ERROR:
                judgement = check(plan, self.over, self.client)  # noqa: PLW2901  # the second run is the one that counts
            if judgement.verdict is Verdict.FAIL:
                self._confirm(plan, judgement, deadline)
            else:
                self.tally.count(plan, judgement)
            self.progress(done, len(fitting))

    def _drawn_up_front(self) -> list[Plan]:
        """The K plans that this engine and this client can be asked; raises :class:`Unsupported` if there is none."""
        drawn = draw_many(
            self.scenario,
            self.client.profile.dialects,
            clock=self.over.clock,
            count=self.settings.plans,
            seed=self.settings.seed,
        )
        reasons = [runner.unsupported(plan, self.over, self.client) for plan in drawn]
        fitting = [plan for plan, reason in zip(drawn, reasons, strict=True) if reason is None]
        if not fitting:
            raise Unsupported(reasons[0] or f"{self.scenario.name}: no plan fits its ranges")
        return fitting

    def _confirm(self, plan: Plan, first: Judgement, deadline: float) -> None:
        """Believe a failure on a real clock only if it comes back; then prefer a smaller plan that also shows it."""
        failure = first.findings[0].failure
        if failure in self.tally.failures:
            self.tally.examples += 1  # one plan a class is confirmed; the others say nothing new
            return
        confirmed = None
        for _ in range(CONFIRMATIONS):
            again = check(plan, self.over, self.client)
            if again.verdict is Verdict.FAIL and again.findings[0].failure is failure:
                confirmed = again
                break
        if confirmed is None:
            doubt = f"{failure.value} was seen once and not again in {CONFIRMATIONS} runs of the same plan"
            self.tally.count(plan, Judgement(verdict=Verdict.INCONCLUSIVE, reason=doubt))
            return
        self.tally.count(plan, confirmed)
        if time.monotonic() < deadline and (small := self._smaller(failure)) is not None:
            repeated = check(small, self.over, self.client)
            if repeated.verdict is Verdict.FAIL and repeated.findings[0].failure is failure:
                self.tally.failures[failure] = (small, repeated.findings)

    def _smaller(self, failure: Failure) -> Plan | None:
        """Search the same family, with the ranges of a real clock, for its smallest plan that shows `failure` on
        `simulated`.
        """
        simulated = runner.engine("simulated")
        if runner.runtime_for(self.client, simulated.clock) is None:
            return None

        def shows(plan: Plan) -> bool:
            if any(runner.unsupported(plan, one, self.client) is not None for one in (simulated, self.over)):
                return False
            judgement = judge(plan, runner.run(plan, simulated, self.client))
            return judgement.verdict is Verdict.FAIL and judgement.findings[0].failure is failure

        family = plans(self.scenario, self.client.profile.dialects, clock=self.over.clock)
        try:
            settings = hypothesis.settings(_QUIET, max_examples=200)
            return hypothesis.find(family, shows, settings=settings, random=Random(self.settings.seed))
        except hypothesis.errors.NoSuchExample:
            return None
