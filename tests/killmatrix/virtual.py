"""Questions on virtual time: what `testbed run` would find, and plans with which a defect can be shown on a real clock.

The law of this module: what is said of a mutant on `simulated` was found by the product's own search, with its own
budget; only its shrinking is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random

import hypothesis
import hypothesis.errors
import msgspec
from hypothesis import HealthCheck, Phase

from testbed import loader, runner
from testbed.catalogue import to_toml
from testbed.errors import HarnessError, Unsupported
from testbed.explore import Settings, check, explore
from testbed.oracle import judge
from testbed.plan import Plan
from testbed.ports import ClientAdapter
from testbed.strategies import plans
from testbed.trace import Clock
from tests.killmatrix.cells import OWN, VIRTUAL, Answer, Question
from tests.killmatrix.clients import MUTANTS, SWEPT, by_name, on_virtual_time

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
    answer = _search(question, client, Settings(examples=examples, seed=question.seed, shrink=False))
    # A first failure may be of another class than the planted one, as a cut answer may first show as a wrong error.
    if question.planted and answer.verdict == "FAIL" and not answer.right:
        answer = _searched_on(question, client, examples, answer)
    return answer._replace(seconds=time.monotonic() - started)


def _searched_on(question: Question, client: ClientAdapter, examples: int, first: Answer) -> Answer:
    plan = _find(question, client, _shows(question, client), examples, Clock.VIRTUAL)
    if plan is None:
        return first
    return first._replace(classes=(*first.classes, question.planted), plan=to_toml(plan))


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
    scenario = loader.load(question.scenario)
    if not question.planted and question.client not in SWEPT:
        scenario = msgspec.structs.replace(scenario, sweep=None)
    try:
        result = explore(scenario, runner.engine(VIRTUAL), client, settings)
    except HarnessError as error:
        return Answer(question, VIRTUAL, "ERROR", reason=str(error))
    classes = tuple(dict.fromkeys(failure.value for one in result.findings for failure in one.classes))
    plan = to_toml(result.findings[0].plan) if result.findings else ""
    reason = result.findings[0].summary if result.findings else result.reason
    return Answer(question, VIRTUAL, result.verdict.name, classes, reason, plan, result.examples)


def plan_for_real(question: Question, engines: Sequence[str], examples: int, seed: int) -> Plan | None:
    """A plan that all these engines carry and that shows the planted defect on virtual time, by the margins of a real
    clock; None if there is none to be found.
    """
    if question.scenario == OWN:
        return own_plan(question)
    client = on_virtual_time(question.client)
    if client is None:
        return None
    over = [runner.engine(engine) for engine in engines]
    shows = _shows(question, client, clock=Clock.REAL)

    def carried(plan: Plan) -> bool:
        return all(runner.unsupported(plan, one, by_name(question.client)) is None for one in over) and shows(plan)

    return _find(question._replace(seed=seed), client, carried, examples, Clock.REAL)


Check = Callable[[Plan], bool]


def _shows(question: Question, client: ClientAdapter, clock: Clock = Clock.VIRTUAL) -> Check:
    """Whether a plan shows the planted defect, when it is judged by the margins of that clock."""
    simulated = runner.engine(VIRTUAL)

    def shows(plan: Plan) -> bool:
        if runner.unsupported(plan, simulated, client) is not None:
            return False
        trace = runner.run(plan, simulated, client)
        header = msgspec.structs.replace(trace.header, clock=clock)
        found = judge(plan, msgspec.structs.replace(trace, header=header)).findings
        return any(one.failure == question.planted for one in found)

    return shows


def _find(question: Question, client: ClientAdapter, shows: Check, examples: int, clock: Clock) -> Plan | None:
    settings = hypothesis.settings(_QUIET, max_examples=examples)
    try:
        family = plans(loader.load(question.scenario), client.profile.dialects, clock=clock)
        return hypothesis.find(family, shows, settings=settings, random=Random(question.seed))
    except (hypothesis.errors.NoSuchExample, hypothesis.errors.Unsatisfiable, Unsupported):
        return None
