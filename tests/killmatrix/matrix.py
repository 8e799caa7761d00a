"""The whole matrix: what is asked, in which order, by how many processes.

The law of this module: the same options ask the same questions; every answer is kept until the table is printed.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import NamedTuple, TypeVar

from testbed import loader, runner
from testbed.engines.toxiproxy_server import find_server
from testbed.errors import Unsupported
from testbed.plan import Plan
from testbed.script import DialectName
from testbed.strategies import draw_many
from testbed.trace import Clock
from tests.killmatrix import real, virtual
from tests.killmatrix.cells import OWN, VIRTUAL, Answer, Question
from tests.killmatrix.clients import CORRECT, MUTANTS, by_name, is_asked, on_virtual_time, scenarios_of

T = TypeVar("T")

# A run on a real clock is mostly waiting, so many fit side by side; more would make us late too often.
AT_ONCE = 12
BATCH = 120

# Plans of a blocking client that cannot be asked on virtual time are drawn, and one of them must show it.
DRAWN = 6

# How often a mutant that was missed on a real clock is asked, each time another plan.
TURNS = 3


class Options(NamedTuple):
    """What is asked. Empty: everything."""

    clients: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    times: int = 1
    seed: int = 0
    examples: int = 8  # for a correct client on virtual time
    hunt: int = 100  # for a mutant there
    plans: int = 1  # for a correct client on a real clock
    processes: int = 2
    only: str = ""  # "mutants" or "correct"


def engines(options: Options) -> tuple[str, ...]:
    """The engines that are asked: toxiproxy where there is a server, or where one was promised."""
    if options.engines:
        return options.engines
    promised = os.environ.get("TESTBED_REQUIRE_TOXIPROXY") == "1" or bool(os.environ.get("TOXIPROXY_URL"))
    return (VIRTUAL, "embedded", *(("toxiproxy",) if promised or find_server() is not None else ()))


def questions(options: Options) -> list[Question]:
    """Every client × scenario that is to be asked."""
    there = [name for name in loader.names() if not options.scenarios or name in options.scenarios]
    asked: list[Question] = []
    for run in range(options.times):
        seed = options.seed + run
        if options.only != "mutants":
            asked += [
                Question(client, one, "", seed)
                for one in there
                for client in _chosen(CORRECT, options)
                if _speaks(client, one) and is_asked(client, one)
            ]
        if options.only != "correct":
            asked += [
                Question(client, one, MUTANTS[client].planted.value, seed)  # type: ignore[union-attr]
                for client in _chosen(MUTANTS, options)
                for one in scenarios_of(client)
                if (one in there and _speaks(client, one)) or one == OWN
            ]
    return asked


def _chosen(clients: Iterable[str], options: Options) -> list[str]:
    return [name for name in clients if not options.clients or name in options.clients]


def _speaks(client: str, scenario: str) -> bool:
    return bool(_spoken(scenario) & set(by_name(client).profile.dialects))


@functools.cache
def _spoken(scenario: str) -> frozenset[DialectName]:
    return frozenset(loader.load(scenario).dialects)


# --- the work of one process ------------------------------------------------------------------------------------------


def _virtual(question: Question, options: Options) -> list[Answer]:
    return [virtual.ask(question, options.hunt if question.planted else options.examples)]


def _jobs(question: Question, over: Sequence[str], options: Options, turn: int) -> dict[str, list[real.Job]]:
    """What is to be run of this question on real clocks, for each engine: plans that show the defect, or as they come.

    Who was missed has another turn, with another plan.
    """
    client = by_name(question.client)
    if runner.runtime_for(client, Clock.REAL) is None:
        return {}
    sure = on_virtual_time(question.client) is not None or question.scenario == OWN
    if not question.planted:
        found = dict.fromkeys(over, _drawn(question, options.plans, turn))
    elif not sure:
        found = dict.fromkeys(over, _drawn(question, DRAWN, turn))
    else:
        found = _hunted(question, over, options, turn)
    jobs = {engine: [real.Job(question, plan, sure) for plan in plans] for engine, plans in found.items()}
    return {engine: [job for job in mine if real.fits(engine, job)] for engine, mine in jobs.items()}


def _hunted(question: Question, over: Sequence[str], options: Options, turn: int) -> dict[str, Sequence[Plan]]:
    """One plan for all engines, or else one for each."""
    seed = question.seed + 7919 * turn
    for engines_at_once in (tuple(over), *((engine,) for engine in over if len(over) > 1)):
        plan = virtual.plan_for_real(question, engines_at_once, options.hunt, seed)
        if plan is not None and engines_at_once == tuple(over):
            return dict.fromkeys(over, (plan,))
        if plan is not None:
            return {engines_at_once[0]: (plan,)}
    return {}


def _drawn(question: Question, count: int, turn: int) -> Sequence[Plan]:
    dialects = by_name(question.client).profile.dialects
    try:
        # The first is the simplest, which is asked on virtual time; the others say more.
        found = draw_many(
            loader.load(question.scenario), dialects, clock=Clock.REAL, count=count + 1, seed=question.seed + turn
        )
    except Unsupported:
        return ()
    return found[1:] or found


# --- everything -------------------------------------------------------------------------------------------------------


def run(options: Options, tell: Callable[[Answer], None]) -> list[Answer]:
    """Ask everything. `tell` is called for each answer as it comes."""
    answers: list[Answer] = []
    asked, over = questions(options), engines(options)

    def keep(found: Iterable[Answer]) -> None:
        for answer in found:
            answers.append(answer)
            tell(answer)

    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        if VIRTUAL in over:
            for found in _all(pool.submit(_virtual, question, options) for question in asked):
                keep(found)
        keep(_on_real_clocks(pool, asked, [engine for engine in over if engine != VIRTUAL], options))
    return answers


def _on_real_clocks(
    pool: ProcessPoolExecutor, asked: Sequence[Question], over: Sequence[str], options: Options
) -> Iterator[Answer]:
    answers = {(one, engine): _nothing(one, engine) for one in asked for engine in over}
    for turn in range(TURNS):
        left = [one for one in asked if any(_again(answers[one, engine], turn) for engine in over)]
        jobs: dict[str, list[real.Job]] = {engine: [] for engine in over}
        for found in _all(pool.submit(_jobs, one, over, options, turn) for one in left):
            for engine, mine in found.items():
                jobs[engine] += [job for job in mine if _again(answers[job.question, engine], turn)]
        for engine in over:
            for answer in _merged(_played(pool, engine, jobs[engine])):
                answers[answer.question, engine] = answer
    yield from answers.values()


def _again(answer: Answer, turn: int) -> bool:
    """Whether this is asked in this turn: everything in the first, and then what was missed."""
    return turn == 0 or (bool(answer.question.planted) and not answer.right)


def _nothing(question: Question, engine: str) -> Answer:
    return Answer(question, engine, "UNSUPPORTED", reason="no plan of it can be carried there")


def _played(pool: ProcessPoolExecutor, engine: str, jobs: Sequence[real.Job]) -> Iterator[Answer]:
    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    for answers in _all(pool.submit(real.play, engine, batch, AT_ONCE) for batch in batches):
        yield from answers


def _merged(answers: Iterable[Answer]) -> Iterator[Answer]:
    """One answer for each question: of several plans one must show a defect, and none may accuse a correct client."""
    groups: dict[Question, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(answer.question, []).append(answer)
    for question, found in groups.items():
        yield next((one for one in found if one.right is bool(question.planted)), found[0])


def _all(futures: Iterable[Future[T]]) -> Iterator[T]:
    for future in as_completed(list(futures)):
        yield future.result()
