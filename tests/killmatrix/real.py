"""Questions on real clocks: many plans of many clients side by side, over one engine.

The law of this module: a failure is believed only if it comes back when it is asked alone, and a run in which we were
late says nothing; so is it in the product.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

import trio

from testbed import explore, runner
from testbed.catalogue import to_toml
from testbed.errors import Unsupported
from testbed.explore import CONFIRMATIONS
from testbed.oracle import Judgement, Verdict, judge
from testbed.plan import Plan
from testbed.ports import Engine
from testbed.trace import Trace
from tests.killmatrix.cells import Answer, Question
from tests.killmatrix.clients import by_name


class Job(NamedTuple):
    """One run to be made. `sure`: the plan was seen to show the defect on virtual time."""

    question: Question
    plan: Plan
    sure: bool = True


def play(engine: str, jobs: Sequence[Job], at_once: int) -> list[Answer]:
    """Run all jobs, at most `at_once` of them at a time, and judge them."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    over = runner.engine(engine)
    traces = _side_by_side(over, jobs, at_once)
    return [_answer(over, job, judge(job.plan, trace)) for job, trace in zip(jobs, traces, strict=True)]


def _side_by_side(over: Engine, jobs: Sequence[Job], at_once: int) -> list[Trace]:
    traces: dict[int, Trace] = {}

    async def one(index: int, limiter: trio.CapacityLimiter) -> None:
        async with limiter:
            traces[index] = await runner.run_async(jobs[index].plan, over, by_name(jobs[index].question.client))

    async def everything() -> None:
        limiter = trio.CapacityLimiter(at_once)
        async with trio.open_nursery() as nursery:
            for index in range(len(jobs)):
                nursery.start_soon(one, index, limiter)

    over.run(everything)
    return [traces[index] for index in range(len(jobs))]


def _answer(over: Engine, job: Job, first: Judgement) -> Answer:
    started = time.monotonic()
    judgement, note = first, ""
    for _ in range(CONFIRMATIONS):
        missed = bool(job.question.planted) and job.sure and not _expected(job, judgement)
        if not missed and judgement.verdict is not Verdict.ERROR:
            break
        judgement = explore.check(job.plan, over, by_name(job.question.client))
    if not _expected(job, judgement) and not job.question.planted:
        # It counts as it is; whether it comes back tells where to look for its cause.
        again = explore.check(job.plan, over, by_name(job.question.client))
        note = f" (asked again: {again.verdict.name})"
    classes = tuple(finding.failure.value for finding in judgement.findings)
    reason = (judgement.findings[0].summary if judgement.findings else judgement.reason) + note
    shown = Answer(job.question, over.name, judgement.verdict.name, classes, reason, examples=1)
    return shown._replace(plan="" if shown.right else to_toml(job.plan), seconds=time.monotonic() - started)


def _expected(job: Job, judgement: Judgement) -> bool:
    if job.question.planted:
        return any(one.failure == job.question.planted for one in judgement.findings)
    return judgement.verdict in {Verdict.PASS, Verdict.LENIENT}


def fits(engine: str, job: Job) -> bool:
    """Whether this engine can carry the plan exactly, for this client."""
    try:
        return runner.unsupported(job.plan, runner.engine(engine), by_name(job.question.client)) is None
    except Unsupported:
        return False
