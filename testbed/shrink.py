"""Shrinking a plan: smaller and smaller, as long as the same thing is still wrong with the client.

The laws of this module: it works on plans and not on draws, so any plan can be shrunk, wherever it came from; each
step is strictly smaller by :func:`testbed._shrink_size.size` and was run; the same plan, client and number of runs end
at the same plan. What counts as the same is for the one who asks: here a finding's class and cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

from testbed import runner
from testbed._found import Key, check, key_of
from testbed._shrink_size import size
from testbed._shrink_steps import PASSES, Pass
from testbed._shrink_times import keeps_the_rules
from testbed._values import Value, digest
from testbed.errors import HarnessError, Unsupported, UsageError
from testbed.oracle import Judgement, judge
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Engine
from testbed.trace import Clock

# What a search may cost on a real clock, where a client that cannot run on `simulated` must be asked itself.
RUNS_HERE, SECONDS_HERE = 60, 20.0

# Says what is wrong with the client in a run of this plan, or None if it is not what is looked for.
Probe = Callable[[Plan], "Judgement | None"]


class Budget(Value):
    """How much may be spent: runs, and seconds of a real clock. The seconds are a bound, not a plan."""

    runs: int = 250
    seconds: float = 30.0


class Shrunk(Value):
    """The smallest plan that was found, how it was judged, and what it cost. `done`: there is nothing left to try."""

    plan: Plan
    judgement: Judgement
    runs: int
    done: bool


def shrink(plan: Plan, judgement: Judgement, probe: Probe, budget: Budget | None = None) -> Shrunk:
    """Make `plan`, which gave `judgement`, as small as the budget allows; what `probe` confirms is kept."""
    return _Shrinker(plan, judgement, probe, budget or Budget()).run()


def probe_for(key: Key, over: Engine, client: ClientAdapter) -> Probe:
    """A probe that looks for one finding, by class and cause, of one client over one engine."""

    def probe(plan: Plan) -> Judgement | None:
        if runner.unsupported(plan, over, client) is not None:
            return None
        try:
            # Virtual time is never late, so a run of it needs no second one.
            virtual = over.clock is Clock.VIRTUAL
            judgement = judge(plan, runner.run(plan, over, client)) if virtual else check(plan, over, client)
        except (Unsupported, UsageError, HarnessError):
            return None  # whatever is wrong with this wish, the plan that we have is good
        return judgement if key_of(judgement) == key else None

    return probe


def shrink_for(
    plan: Plan, judgement: Judgement, over: Engine, client: ClientAdapter, budget: Budget | None = None
) -> Shrunk:
    """Shrink a plan that gave `judgement` over `over`; what is returned was seen to fail there.

    A real clock is slow and a search needs many runs: where the client can run on `simulated` and fails there too, the
    search is made there, and what it ends at must fail once more where the finding comes from.
    """
    key, allowed = key_of(judgement), budget or Budget()
    if key is None:
        raise UsageError(f"{plan.scenario}: nothing is wrong in this run, so there is nothing to shrink")
    if over.clock is Clock.VIRTUAL:
        return shrink(plan, judgement, probe_for(key, over, client), allowed)
    simulated = runner.engine("simulated")
    there = check(plan, simulated, client) if runner.unsupported(plan, simulated, client) is None else None
    # The libraries below differ, and their exceptions with them: between engines the class is what counts.
    if there is None or (same := key_of(there)) is None or same.failure is not key.failure:
        few = Budget(runs=min(allowed.runs, RUNS_HERE), seconds=min(allowed.seconds, SECONDS_HERE))
        return _seen_again(shrink(plan, judgement, probe_for(key, over, client), few), plan, judgement, over, client)
    found = shrink(plan, there, _carried(probe_for(same, simulated, client), over, client), allowed)
    return _seen_again(found, plan, judgement, over, client)


def _carried(probe: Probe, over: Engine, client: ClientAdapter) -> Probe:
    """A probe of another engine, for plans that this engine and its clock can carry."""
    return lambda plan: probe(plan) if runner.unsupported(plan, over, client) is None else None


def _seen_again(found: Shrunk, plan: Plan, judgement: Judgement, over: Engine, client: ClientAdapter) -> Shrunk:
    """What was found if it fails here once more, else what was there before."""
    again = check(found.plan, over, client) if found.plan != plan else judgement
    if (key := key_of(again)) is not None and key.failure is judgement.findings[0].failure:
        return Shrunk(found.plan, again, found.runs + 1, found.done)
    return Shrunk(plan, judgement, found.runs + 1, done=False)


class _SpentError(Exception):
    """The budget is used up."""


@final
class _Shrinker:
    """One search: the smallest plan so far, and what was tried."""

    def __init__(self, plan: Plan, judgement: Judgement, probe: Probe, budget: Budget) -> None:
        self.first = self.plan = plan
        self.judgement = judgement
        self.probe = probe
        self.left = budget.runs
        self.runs = 0
        self.until = time.monotonic() + budget.seconds
        self.size = size(plan)
        self.seen = {digest(plan)}

    def run(self) -> Shrunk:
        """Go through all passes again and again, until none of them helps."""
        done = False
        try:
            while not done:
                before = self.size
                for one in PASSES:
                    self._takes(one)
                done = self.size == before
        except _SpentError:
            pass
        return Shrunk(plan=self.plan, judgement=self.judgement, runs=self.runs, done=done)

    def _takes(self, one: Pass) -> None:
        """Take every wish of a pass that holds.

        Behind a wish that was taken the pass goes on where it stood: those before it were asked a moment ago.
        """
        place: int | None = 0
        while place is not None:
            place = self._next(one, place)

    def _next(self, one: Pass, start: int) -> int | None:
        """Take the first wish from number `start` on that holds, and return its number."""
        for place, wish in enumerate(one(self.plan)):
            if place >= start and self._holds(wish):
                return place
        return None

    def _holds(self, wish: Plan) -> bool:
        try:
            smaller, name = size(wish), digest(wish)
            if smaller >= self.size or name in self.seen or not keeps_the_rules(wish, self.first):
                return False
        except UsageError:
            return False  # a script that cannot be said
        self.seen.add(name)
        if self.left <= self.runs or time.monotonic() > self.until:
            raise _SpentError
        self.runs += 1
        judgement = self.probe(wish)
        if judgement is None:
            return False
        self.plan, self.judgement, self.size = wish, judgement, smaller
        return True
