"""The runs of a sweep: many at a time in one loop, and shared out among processes where there are thousands.

The law of this module: who runs a place changes nothing of what becomes of it. A worker is a process of its own that
reads one question from its standard input and answers in lines; it knows the client by name, so no code is sent to it.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, final

from msgspec import structs

from testbed import runner
from testbed._scenario_sweep import Part
from testbed._values import Value, decode, encode
from testbed.adapters import load
from testbed.errors import HarnessError
from testbed.oracle import Verdict, judge
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Engine
from testbed.trace import Cancelled, Ended, Failure, Raised, Trace

# So many runs share one loop. More would not be faster: what is saved is the loop's start.
BATCH = 64
MOST_WORKERS = 8
# Seconds for a worker that was told to go to be gone.
_FAREWELL = 5.0


class Outcome(Value):
    """What became of one place."""

    verdict: Verdict
    reported: str
    failure: Failure | None = None
    cause: str = ""


class Question(Value):
    """What a worker is asked."""

    client: str
    engine: str
    part: Part


Told = Callable[[int], None]


def alone(part: Part, over: Engine, client: ClientAdapter, told: Told) -> list[Outcome]:
    """Run all places in this process; `told(n)` is called when n are done."""
    found: list[Outcome] = []
    for batch in _batches(part):
        found += _together(batch, over, client)
        told(len(found))
    return found


def _batches(part: Part) -> Iterator[list[Plan]]:
    for start in range(0, len(part.places), BATCH):
        yield [part.struck(place) for place in part.places[start : start + BATCH]]


def _together(plans: Sequence[Plan], over: Engine, client: ClientAdapter) -> list[Outcome]:
    return [_outcome(plan, trace) for plan, trace in zip(plans, runner.run_many(plans, over, client), strict=True)]


def _outcome(plan: Plan, trace: Trace) -> Outcome:
    judgement = judge(plan, trace)
    root = judgement.findings[0] if judgement.findings else None
    return Outcome(judgement.verdict, _reported(trace), root.failure if root else None, root.cause if root else "")


def _reported(trace: Trace) -> str:
    """What the client told its caller in the end: ``complete``, the exception's type, or that we had to stop it."""
    for seen in reversed(trace.observations):
        if isinstance(seen, Ended):
            return "complete"
        if isinstance(seen, Raised):
            return seen.type
        if isinstance(seen, Cancelled):
            return "had to be stopped"
    return "nothing"


# --- processes --------------------------------------------------------------------------------------------------------


@final
class Team:
    """Worker processes, one a core, as long as the context is open."""

    def __init__(self, client: str, engine: str) -> None:
        self._client = client
        self._engine = engine
        self._workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Team:
        for _ in range(min(MOST_WORKERS, _cores())):
            command = [sys.executable, "-m", __name__]
            self._workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
            with worker:
                worker.wait(_FAREWELL)

    def run(self, part: Part, told: Told) -> list[Outcome]:
        """Share the places out in turn, so that short and long streams are spread evenly, and put them together.

        Raises :class:`HarnessError` if a worker breaks down.
        """
        count = len(self._workers)
        done = [0] * count

        def ask(number: int) -> list[Outcome]:
            share = structs.replace(part, places=part.places[number::count])
            found: list[Outcome] = []
            for batch in _answers(self._workers[number], Question(self._client, self._engine, share)):
                found += batch
                done[number] = len(found)
                told(sum(done))
            if len(found) != len(share.places):
                raise HarnessError(f"a process of the sweep ended after {len(found)} of {len(share.places)} places")
            return found

        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(ask, range(count)))
        return [answers[index % count][index // count] for index in range(len(part.places))]


def _answers(worker: subprocess.Popen[bytes], question: Question) -> Iterator[list[Outcome]]:
    stdin, stdout = _pipes(worker)
    stdin.write(encode(question))
    stdin.close()
    for line in stdout:
        yield decode(line, list[Outcome])


def _pipes(worker: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if worker.stdin is None or worker.stdout is None:
        raise HarnessError("a process of the sweep was started without pipes")
    return worker.stdin, worker.stdout


def _cores() -> int:
    # The cores that this process may use, which in a container are fewer than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work(stdin: IO[bytes], stdout: IO[bytes]) -> None:
    """Answer one question: a line of outcomes for each batch of places."""
    question = decode(stdin.read(), Question)
    client, over = load(question.client), runner.engine(question.engine)
    # What is loaded by now stays: the collector need not look at it again after every few hundred runs.
    gc.collect()
    gc.freeze()
    for batch in _batches(question.part):
        stdout.write(encode(_together(batch, over, client)) + b"\n")
        stdout.flush()


if __name__ == "__main__":
    # A client that prints must not break the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work(sys.stdin.buffer, answers)
