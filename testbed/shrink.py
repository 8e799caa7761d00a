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
        smaller = size(wish)
        if smaller >= self.size or (name := digest(wish)) in self.seen or not keeps_the_rules(wish, self.first):
            return False
        self.seen.add(name)
        if self.left <= self.runs or time.monotonic() > self.until:
            raise _SpentError
        self.runs += 1
        judgement = self.probe(wish)
        if judgement is None:
            return False
        self.plan, self.judgement, self.size = wish, judgement, smaller
        return True
