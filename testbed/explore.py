"""Exploration: from a scenario to a verdict, with the smallest plan for every finding.

The law of this module: everything that is said of a client rests on plans that were run, and the plan that is printed
is the one that failed. On `simulated`, Hypothesis draws, runs and shrinks live, and what it found is asked once more
on a real engine. On a real clock nothing is property-based while it runs (a search that fights the network's timing
proves nothing): K plans are drawn up front from the seed and run at the same time; a failure is run again, shrunk on
`simulated` where the client can run there, and the small plan must fail again on the engine where it was found.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import final

import hypothesis
import hypothesis.errors
from hypothesis import HealthCheck, Phase

from testbed import runner
from testbed._confirm import confirm
from testbed._found import Counterexample, Key, Result, Tally, check, counterexample, key_of
from testbed._sweep_words import Grid
from testbed._values import Value
from testbed.catalogue import Scenario
from testbed.errors import Unsupported
from testbed.oracle import Judgement, Verdict, judge
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Engine
from testbed.shrink import Budget, shrink_for
from testbed.strategies import draw_many, plans
from testbed.sweep import sweep
from testbed.trace import Clock

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

__all__ = ["CONFIRMATIONS", "Counterexample", "Progress", "Result", "Settings", "check", "counterexample", "explore"]

# How often a failure on a real clock is run again before anything is said of it.
CONFIRMATIONS = 3

# How often the examples are spent again on what one defect hid. A client that shows something new every time has said
# enough by then.
ROUNDS = 5


class Settings(Value):
    """The budget.

    `examples` is for virtual time, `plans` for real clocks, `budget` in seconds for one item on a real clock. Without
    `shrink` the search ends at the first failure that it meets, and tells it as it was drawn: neither made smaller nor
    asked again on another engine.
    """

    examples: int = 100
    plans: int = 8
    seed: int = 0
    budget: float = 60.0
    shrink: bool = True
    # How a process of its own could load the client; empty: there is no such name, and a long sweep stays in this one.
    named: str = ""


class _FailedError(Exception):
    """Raised inside Hypothesis; one subclass a key, so that each is shrunk by itself."""


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

# The same draws, and the first failure ends them.
_FIRST = hypothesis.settings(_QUIET, phases=(Phase.generate,), report_multiple_bugs=False)


@functools.cache
def _failed(key: Key) -> type[_FailedError]:
    return type(f"_Failed[{key.failure.value}/{key.cause}]", (_FailedError,), {})


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
        findings=tuple(search.tally.found.values()),
        grids=search.grids,
        cures=search.tally.cures,
    )


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
        self.tally = Tally()
        self.grids: tuple[Grid, ...] = ()

    # --- virtual time: Hypothesis live --------------------------------------------------------------------------------

    def live(self) -> None:
        """Let Hypothesis draw, run and shrink, and again for what one defect hid, until a round finds nothing new.

        Hypothesis stops looking soon after the first failure it meets, and a client with one defect often has another.
        """
        if self.scenario.sweep is not None:
            asked = (self.scenario, self.over, self.client, self.tally, self.progress)
            self.grids = sweep(*asked, named=self.settings.named)
        for _ in range(ROUNDS if self.settings.shrink else 1):
            if self.tally.found and not self.settings.shrink:
                break
            found = len(self.tally.found)
            self._round(known=frozenset(self.tally.found))
            if found == len(self.tally.found):
                break
        if self.settings.shrink:
            keys = tuple(self.tally.in_order())
            for key in keys:
                self._shrunk(key)
            ends = [(self.tally.found[key].plan, key.failure) for key in keys]
            for key, said in zip(keys, confirm(ends, self.client), strict=True):
                self.tally.confirm(key, said.engines, said.doubt)

    def _shrunk(self, key: Key) -> None:
        """Shrink what Hypothesis ended at: it shrinks draws, and a word that a seed chose has no smaller draw."""
        plan = self.tally.found[key].plan
        judgement = check(plan, self.over, self.client)
        if key_of(judgement) == key:
            found = shrink_for(plan, judgement, self.over, self.client)
            self.tally.replace(key, found.plan, found.judgement)

    def _round(self, known: frozenset[Key]) -> None:
        """Spend the examples once on what is not `known`; each new failure is shrunk by itself."""
        skipped: list[str] = []

        @hypothesis.seed(self.settings.seed)
        @hypothesis.settings(_QUIET if self.settings.shrink else _FIRST, max_examples=self.settings.examples)
        @hypothesis.given(plans(self.scenario, self.client.profile.dialects, clock=self.over.clock))
        def property_holds(plan: Plan) -> None:
            if (reason := runner.unsupported(plan, self.over, self.client)) is not None:
                skipped.append(reason)
                hypothesis.reject()
            judgement = judge(plan, runner.run(plan, self.over, self.client))
            self.tally.count(plan, judgement, known)
            self.progress(min(self.tally.examples, self.settings.examples), self.settings.examples)
            if (key := key_of(judgement)) is not None and key not in known:
                raise _failed(key)(judgement.findings[0].summary)

        try:
            property_holds()
        except _FailedError:
            return  # it is in the tally, smallest last
        except hypothesis.errors.Unsatisfiable:
            raise Unsupported(skipped[0] if skipped else f"{self.scenario.name}: no plan fits its ranges") from None
        except BaseExceptionGroup as group:
            if group.split(_FailedError)[1] is not None:  # something besides several failures
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
            if self.tally.found and not self.settings.shrink:
                break

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
        key = key_of(first)
        if key is None or key in self.tally.found:
            self.tally.examples += 1  # one plan a key is confirmed; the others say nothing new
            return
        for _ in range(CONFIRMATIONS):
            again = check(plan, self.over, self.client)
            if key_of(again) == key:
                break
        else:
            doubt = f"{key.failure.value} was seen once and not again in {CONFIRMATIONS} runs of the same plan"
            self.tally.count(plan, Judgement(verdict=Verdict.INCONCLUSIVE, reason=doubt))
            return
        self.tally.count(plan, again)
        if self.settings.shrink and (left := deadline - time.monotonic()) > 0:
            found = shrink_for(plan, again, self.over, self.client, Budget(seconds=left))
            self.tally.replace(key, found.plan, found.judgement)
        self.tally.confirm(key, (self.over.name,))
