"""The oracle's own oracle: each planted defect is named by its class, and a correct client is accused of nothing.

Before any verdict on a published client is believed, this must hold on every engine.
"""

from __future__ import annotations

import pytest

from testbed import explore, runner
from testbed.oracle import Verdict, judge
from testbed.ports import Engine
from tests.engines.toxiproxies import missing_real
from tests.toys import PLANS, TOYS, Toy
from tests.toys.rows import PROCESS

DEFECTIVE = [name for name, toy in TOYS.items() if toy.planted is not None and toy.plan is not None]
# One that takes a process for each run has tests of its own.
CORRECT = [name for name, toy in TOYS.items() if toy.planted is None and toy.runtimes != PROCESS]


@pytest.fixture(
    params=["simulated", *(pytest.param(name, marks=pytest.mark.once) for name in ("embedded", "toxiproxy"))]
)
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "toxiproxy":
        missing_real()
    return runner.engine(request.param)


def _can_be_driven(engine: Engine, toy: Toy) -> None:
    if runner.runtime_for(toy.adapter, engine.clock) is None:
        pytest.skip("virtual time is for clients that run on trio")
    if toy.runtimes == PROCESS and engine.name != "embedded":
        pytest.skip("what a process holds is the same over every network")


@pytest.mark.parametrize("name", DEFECTIVE)
def test_exactly_the_planted_defect_is_found(engine: Engine, name: str):
    """The findings are the planted class and no other."""
    toy = TOYS[name]
    _can_be_driven(engine, toy)
    assert toy.plan is not None
    judgement = explore.check(toy.plan(), engine, toy.adapter)
    assert [finding.failure for finding in judgement.findings] == [toy.planted], judgement
    assert judgement.verdict is Verdict.FAIL


@pytest.mark.parametrize("name", CORRECT)
def test_nothing_is_found_in_a_correct_client(engine: Engine, name: str):
    """Every plan that shows somebody else's defect passes for a correct client."""
    _can_be_driven(engine, TOYS[name])
    asked = [build() for build in PLANS]
    plans = [plan for plan in asked if runner.unsupported(plan, engine, TOYS[name].adapter) is None]
    assert len(plans) >= len(asked) - 1  # a blocking client can not be cancelled
    traces = runner.run_many(plans, engine, TOYS[name].adapter)
    verdicts = {plan.title: judge(plan, trace) for plan, trace in zip(plans, traces, strict=True)}
    # They run side by side, so one standstill of the machine makes us late in all of them. A run in which we were late
    # says nothing of the client, and is asked again as everywhere.
    late = [plan for plan in plans if verdicts[plan.title].verdict is Verdict.ERROR]
    verdicts |= {plan.title: explore.check(plan, engine, TOYS[name].adapter) for plan in late}
    assert {title: one for title, one in verdicts.items() if one.verdict is not Verdict.PASS} == {}
