"""Questions on virtual time: what `testbed run` would find, and plans with which a defect can be shown on a real clock.

The law of this module: what is said of a mutant on `simulated` was found by the product's own search, with its own
budget; only its shrinking is left out.
"""

from __future__ import annotations

import time
from random import Random

import hypothesis
from hypothesis import HealthCheck, Phase

from testbed import loader, runner
from testbed.catalogue import Scenario, to_toml
from testbed.errors import HarnessError, Unsupported
from testbed.explore import Settings, check, explore
from testbed.oracle import judge
from testbed.plan import Plan
from testbed.ports import ClientAdapter
from testbed.strategies import plans
from testbed.trace import Clock
from tests.killmatrix.cells import OWN, VIRTUAL, Answer, Question
from tests.killmatrix.clients import MUTANTS, by_name, on_virtual_time

# A first failure may be of another class than the planted one, as a cut answer may first show as a wrong error: then
# the search is begun anew, so often.
TRIES = 4

_QUIET = hypothesis.settings(
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def ask(question: Question, examples: int) -> Answer:
    """Search a scenario for what a client gets wrong; a mutant until its class is found."""
    client = on_virtual_time(question.client)
    if client is None:
        return Answer(question, VIRTUAL, "UNSUPPORTED", reason="it does not run on trio")
    if question.scenario == OWN:
        return _ask_own(question, client)
    started = time.monotonic()
    found: list[str] = []
    answer = Answer(question, VIRTUAL, "UNSUPPORTED")
    for attempt in range(TRIES if question.planted else 1):
        answer = _search(
            question, client, Settings(examples=examples, seed=question.seed + 1000 * attempt, shrink=False)
        )
        found += answer.classes
        if answer.verdict != "FAIL" or question.planted in found:
            break
    return answer._replace(classes=tuple(dict.fromkeys(found)), seconds=time.monotonic() - started)


def own_plan(question: Question) -> Plan:
    """The plan beside a mutant."""
    make = MUTANTS[question.client].plan
    assert make is not None
    return make()


def _ask_own(question: Question, client: ClientAdapter) -> Answer:
    plan = own_plan(question)
    judgement = check(plan, runner.engine(VIRTUAL), client)
    classes = tuple(finding.failure.value for finding in judgement.findings)
    return Answer(question, VIRTUAL, judgement.verdict.name, classes, judgement.reason, to_toml(plan), 1)


def _search(question: Question, client: ClientAdapter, settings: Settings) -> Answer:
    try:
        result = explore(loader.load(question.scenario), runner.engine(VIRTUAL), client, settings)
    except HarnessError as error:
        return Answer(question, VIRTUAL, "ERROR", reason=str(error))
    classes = tuple(dict.fromkeys(failure.value for one in result.findings for failure in one.classes))
    plan = to_toml(result.findings[0].plan) if result.findings else ""
    reason = result.findings[0].summary if result.findings else result.reason
    return Answer(question, VIRTUAL, result.verdict.name, classes, reason, plan, result.examples)


def plan_for_real(question: Question, engine: str, examples: int) -> Plan | None:
    """A plan that fits a real clock and shows the planted defect on virtual time; None if there is none to be found."""
    if question.scenario == OWN:
        return own_plan(question)
    client = on_virtual_time(question.client)
    if client is None:
        return None
    simulated, over = runner.engine(VIRTUAL), runner.engine(engine)
    scenario = loader.load(question.scenario)

    def shows(plan: Plan) -> bool:
        if runner.unsupported(plan, simulated, client) or runner.unsupported(plan, over, by_name(question.client)):
            return False
        return any(one.failure == question.planted for one in judge(plan, runner.run(plan, simulated, client)).findings)

    try:
        return _find(scenario, client, shows, examples, question.seed)
    except (hypothesis.errors.NoSuchExample, hypothesis.errors.Unsatisfiable, Unsupported):
        return None


def _find(scenario: Scenario, client: ClientAdapter, shows, examples: int, seed: int) -> Plan:  # type: ignore[no-untyped-def]
    family = plans(scenario, client.profile.dialects, clock=Clock.REAL)
    return hypothesis.find(
        family, shows, settings=hypothesis.settings(_QUIET, max_examples=examples), random=Random(seed)
    )
