"""Exploration: what is found, how small it gets, what is believed, and what a seed means."""

from __future__ import annotations

import time

import pytest

from testbed import adapters, explore, loader, runner
from testbed.adapters.declare import FunctionClient, client
from testbed.explore import Settings
from testbed.oracle import Verdict
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.ports import Target
from testbed.script import DialectName, Done, Finish, Head, Open, Pause, Script, Text
from testbed.trace import Failure, Option, Outcome
from tests.toys import TOYS

FEW = Settings(examples=60, plans=4)


def search(scenario: str, engine: str, toy: str | FunctionClient, settings: Settings = FEW) -> explore.Result:
    who = TOYS[toy].adapter if isinstance(toy, str) else toy
    return explore.explore(loader.load(scenario), runner.engine(engine), who, settings)


@pytest.mark.parametrize("engine", ["simulated", "embedded"])
def test_a_broken_client_is_found_with_a_small_plan(engine: str):
    """The smallest plan cuts the body before anything was said, on virtual time and (through it) on a real clock."""
    result = search("abrupt-end", engine, "silent-truncation")
    assert result.verdict is Verdict.FAIL
    (found,) = result.findings
    assert found.failure is Failure.SILENT_TRUNCATION
    (attempt,) = found.plan.attempts
    assert len(attempt.script.faults) == 1
    assert attempt.script.faults[0].at == 0
    assert found.plan.client.max_retries == 0
    assert found.requirement
    assert found.evidence


@pytest.mark.parametrize("engine", ["simulated", "embedded"])
def test_a_correct_client_passes(engine: str):
    """Nothing is found where there is nothing."""
    result = search("abrupt-end", engine, "per-read")
    assert (result.verdict, result.findings) == (Verdict.PASS, ())
    assert result.examples == (FEW.examples if engine == "simulated" else FEW.plans)


def test_the_same_seed_finds_the_same_plan():
    """A seed names a search: run again, it ends at the same plan with the same evidence."""
    one, other = (search("abrupt-end", "simulated", "silent-truncation") for _ in range(2))
    assert one.findings == other.findings
    assert one.examples == other.examples


def test_two_defects_in_one_client_are_two_findings():
    """Each failure class is shrunk by itself and reported with a plan of its own."""

    @client(name="twofold", dialects=[DialectName.OPENAI_CHAT], options=list(Option), base=LookupError, errors={})
    async def twofold(target: Target):
        inner = TOYS["silent-truncation"].adapter
        seen = ""
        async for text in inner.function(target):
            seen += text
            yield text
        if seen:
            raise ZeroDivisionError

    result = search("abrupt-end", "simulated", twofold)
    assert {found.failure for found in result.findings} >= {Failure.SILENT_TRUNCATION, Failure.CRASH}


def test_a_failure_that_does_not_come_back_is_not_believed():
    """On a real clock a failure that three runs of the same plan do not repeat is INCONCLUSIVE, not FAIL."""
    failed: list[bool] = []

    @client(name="once", dialects=[DialectName.OPENAI_CHAT], options=list(Option), base=LookupError, errors={})
    async def once(target: Target):
        if not failed:
            failed.append(True)
            raise ZeroDivisionError
        async for text in TOYS["per-read"].adapter.function(target):
            yield text

    result = search("missing-done", "embedded", once, Settings(plans=1))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "not again in 3 runs" in result.reason
    assert result.findings == ()


def test_what_cannot_be_asked_is_unsupported():
    """A scenario and a client without a common dialect give a reason, not an error."""
    result = search("abrupt-end", "simulated", adapters.load("httpx-sse"))
    assert result.verdict is Verdict.UNSUPPORTED
    assert result.reason.startswith("abrupt-end: it is about openai-chat, ")
    assert result.reason.endswith(", which this client does not speak")


def test_a_client_that_needs_another_loop_is_unsupported_on_simulated():
    """A blocking client cannot run on virtual time, and the reason says so."""
    result = search("missing-done", "simulated", adapters.load("openai-sync"))
    assert result.verdict is Verdict.UNSUPPORTED
    assert "needs a client that runs on trio" in result.reason


def test_progress_is_told():
    """Whoever waits is told how far the search is."""
    told: list[tuple[int, int]] = []
    explore.explore(
        loader.load("missing-done"),
        runner.engine("simulated"),
        TOYS["per-read"].adapter,
        Settings(examples=5),
        on_progress=lambda done, of: told.append((done, of)),
    )
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_an_hour_long_stall_takes_no_time():
    """A whole stream with an hour of silence in it is judged PASS, and costs far less than a second."""
    steps = (Head(), Open(), Text("before "), Pause(3600.0), Text("after"), Finish(), Done())
    plan = Plan(
        scenario="hour-long-stall",
        attempts=(Attempt(script=Script(dialect=DialectName.OPENAI_CHAT, steps=steps)),),
        client=ClientSettings(idle_timeout=7200.0),
    )
    before = time.perf_counter()
    judgement = explore.check(plan, runner.engine("simulated"), adapters.load("reference"))
    spent = time.perf_counter() - before
    assert judgement.verdict is Verdict.PASS
    assert spent < 60, "virtual time is not virtual"  # the figure itself is measured in benchmarks/


def test_a_published_client_is_caught_where_it_is_wrong():
    """The current openai SDK reports success when a stream ends before its terminal event."""
    result = search("abrupt-end", "simulated", adapters.load("openai"), Settings(examples=100))
    assert Failure.SILENT_TRUNCATION in {found.failure for found in result.findings}
    small = next(found.plan for found in result.findings if found.failure is Failure.SILENT_TRUNCATION)
    assert Outcome.COMPLETE not in small.expect.outcome
