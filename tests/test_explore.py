"""Exploration: what is found, how small it gets, what is believed, and what a seed means."""

from __future__ import annotations

import time

import pytest
import sniffio

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


def test_a_search_can_end_at_its_first_failure_with_the_same_draws():
    """Without shrinking the first plan that fails is told as it was drawn, and not one run is made behind it."""
    first = search("abrupt-end", "simulated", "silent-truncation", Settings(examples=60, shrink=False))
    told: list[int] = []
    explore.explore(
        loader.load("abrupt-end"),
        runner.engine("simulated"),
        TOYS["silent-truncation"].adapter,
        FEW,
        on_progress=lambda done, of: told.append(done),
    )
    (found,) = first.findings
    assert (found.confirmed, found.doubt) == ((), "")
    # The last run is Hypothesis's own second look at what it found.
    assert 2 <= first.examples < len(told)


def test_what_virtual_time_shows_is_asked_once_on_a_real_engine():
    """The finding names the engine that confirms it."""
    (found,) = search("abrupt-end", "simulated", "silent-truncation").findings
    assert (found.confirmed, found.doubt) == (("embedded",), "")


def test_what_a_real_engine_does_not_show_is_found_all_the_same():
    """A client that fails in virtual time only is a finding with a doubt, and never a pass."""
    trio_only = _in_virtual_time_only()
    (found, *_) = search("missing-done", "simulated", trio_only, Settings(examples=5)).findings
    assert found.failure is Failure.CRASH
    assert found.confirmed == ()
    assert found.doubt == "not confirmed on embedded: the same plan gave PASS there"


def _in_virtual_time_only() -> FunctionClient:
    @client(name="virtual", dialects=[DialectName.OPENAI_CHAT], options=list(Option), base=LookupError, errors={})
    async def virtual(target: Target):
        if sniffio.current_async_library() == "trio":
            raise ZeroDivisionError
        async for text in TOYS["per-read"].adapter.function(target):
            yield text

    return virtual


def test_two_causes_of_one_class_are_two_findings():
    """Two different exceptions that break a client are two mistakes; each has its own smallest plan."""

    @client(name="two-crashes", dialects=[DialectName.OPENAI_CHAT], options=list(Option), base=LookupError, errors={})
    async def twice(target: Target):
        seen = ""
        async for text in TOYS["silent-truncation"].adapter.function(target):
            seen += text
            yield text
        raise ZeroDivisionError if seen else TypeError

    result = search("abrupt-end", "simulated", twice)
    found = {one.cause: one for one in result.findings if one.failure is Failure.CRASH}
    assert set(found) == {"ZeroDivisionError", "TypeError"}
    assert found["TypeError"].plan.attempts[0].script.text == ""
    assert found["ZeroDivisionError"].plan.attempts[0].script.text == "a"


def test_all_that_a_run_showed_is_carried_along():
    """A client that duplicates text and breaks down is told to do both, the root first."""

    @client(name="both", dialects=[DialectName.OPENAI_CHAT], options=list(Option), base=LookupError, errors={})
    async def both(target: Target):
        async for text in TOYS["per-read"].adapter.function(target):
            yield text
            yield text
        raise ZeroDivisionError

    result = search("missing-done", "simulated", both, Settings(shrink=False))
    most = max(result.findings, key=lambda one: len(one.classes))
    assert most.classes[0] is Failure.CRASH
    assert len(most.classes) > 1
    assert all(failure.value in result.reason for failure in most.classes)
