"""The whole matrix: what is asked, in which order, by how many processes.

The law of this module: the same options ask the same questions; every answer is kept until the table is printed.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import NamedTuple, TypeVar

from testbed import loader, runner
from testbed.engines.toxiproxy_server import find_server
from testbed.errors import Unsupported
from testbed.plan import Plan
from testbed.strategies import draw_many
from testbed.trace import Clock
from tests.killmatrix import real, virtual
from tests.killmatrix.cells import OWN, VIRTUAL, Answer, Question
from tests.killmatrix.clients import CORRECT, MUTANTS, by_name, on_virtual_time, scenarios_of

T = TypeVar("T")

# A run on a real clock is mostly waiting, so many fit side by side; more would make us late too often.
AT_ONCE = 12
BATCH = 120

# Plans of a blocking client that cannot be asked on virtual time are drawn, and one of them must show it.
DRAWN = 6


class Options(NamedTuple):
    """What is asked. Empty: everything."""

    clients: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    times: int = 1
    seed: int = 0
    examples: int = 12  # for a correct client on virtual time
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
                if _speaks(client, one)
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
    return bool(set(loader.load(scenario).dialects) & set(by_name(client).profile.dialects))


# --- the work of one process ------------------------------------------------------------------------------------------


def _virtual(question: Question, options: Options) -> list[Answer]:
    return [virtual.ask(question, options.hunt if question.planted else options.examples)]


def _jobs(question: Question, engine: str, options: Options) -> list[real.Job]:
    """What is to be run of this question on a real clock: plans that show the defect, or plans as they come."""
    client = by_name(question.client)
    if runner.runtime_for(client, Clock.REAL) is None:
        return []
    if not question.planted:
        drawn = list(_drawn(question, options.plans))
    elif on_virtual_time(question.client) is None and question.scenario != OWN:
        drawn = list(_drawn(question, DRAWN))
    else:
        plan = virtual.plan_for_real(question, engine, 2 * options.hunt)
        drawn = [plan] if plan is not None else []
    sure = on_virtual_time(question.client) is not None or question.scenario == OWN
    jobs = [real.Job(question, plan, sure) for plan in drawn]
    return [job for job in jobs if real.fits(engine, job)]


def _drawn(question: Question, count: int) -> Sequence[Plan]:
    dialects = by_name(question.client).profile.dialects
    try:
        # The first is the simplest, which is asked on virtual time; the others say more.
        found = draw_many(
            loader.load(question.scenario), dialects, clock=Clock.REAL, count=count + 1, seed=question.seed
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
        for engine in over:
            if engine != VIRTUAL:
                keep(_on_real_clock(pool, asked, engine, options))
    return answers


def _on_real_clock(
    pool: ProcessPoolExecutor, asked: Sequence[Question], engine: str, options: Options
) -> Iterator[Answer]:
    jobs: list[real.Job] = []
    for found in _all(pool.submit(_jobs, question, engine, options) for question in asked):
        jobs += found
    none = set(asked) - {job.question for job in jobs}
    for question in sorted(none):
        yield Answer(question, engine, "UNSUPPORTED", reason="no plan of it can be carried there")
    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    played = [
        answer
        for answers in _all(pool.submit(real.play, engine, batch, AT_ONCE) for batch in batches)
        for answer in answers
    ]
    yield from _merged(played)


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
