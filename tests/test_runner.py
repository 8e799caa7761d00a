"""Composition: order, names, reasons, and an environment that is as before."""

from __future__ import annotations

import os

import pytest

from testbed import adapters, runner
from testbed.errors import HarnessError, Unsupported, UsageError
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.ports import Runtime
from testbed.script import DialectName
from testbed.trace import Closed, Ended, Request, SawText, Started, Trace
from tests.toys import TOYS, plans

CORRECT = TOYS["per-read"].adapter


def text_of(trace) -> str:
    return "".join(seen.text for seen in trace.observations if isinstance(seen, SawText))


@pytest.mark.parametrize("engine", ["simulated", "embedded"])
def test_traces_come_in_the_order_of_plans(engine: str):
    """Plans that run at the same time do not mix: each trace is its plan's own."""
    several = [plans.byte_at_a_time(), plans.whole(), plans.slow_and_steady(), plans.whole()]
    traces = runner.run_many(several, runner.engine(engine), CORRECT)
    assert [text_of(trace) for trace in traces] == [plan.attempts[0].script.text for plan in several]


@pytest.mark.parametrize("engine", ["simulated", "embedded"])
def test_a_trace_has_all_vantage_points_in_the_order_of_time(engine: str):
    """It begins with the client, shows server and link, and ends with the harness."""
    trace = runner.run(plans.whole(), runner.engine(engine), CORRECT)
    times = [seen.t for seen in trace.observations]
    assert times == sorted(times)
    kinds = [type(seen) for seen in trace.observations]
    assert kinds[0] is Started
    assert {Request, Ended, Closed} <= set(kinds)
    assert trace.from_jsonl(trace.to_jsonl()) == trace


def test_the_same_plan_gives_the_same_trace_on_simulated():
    """Byte for byte: a client without threads leaves nothing to chance on virtual time."""
    engine = runner.engine("simulated")
    assert len({runner.run(plans.rate_limited(), engine, CORRECT).to_jsonl() for _ in range(5)}) == 1


def test_an_unknown_engine_is_a_usage_error_with_a_suggestion():
    """A typing mistake is answered with the name that was meant."""
    with pytest.raises(UsageError, match="unknown engine 'embeded'; did you mean 'embedded'"):
        runner.engine("embeded")
    with pytest.raises(UsageError, match="unknown engine 'netnss'"):
        runner.resolve_engines(["netnss"], CORRECT)


def test_auto_is_what_the_client_can_run_on():
    """A client that runs on trio is asked on both engines, a blocking one on real sockets alone."""
    assert runner.resolve_engines(["auto"], CORRECT) == ("simulated", "embedded")
    assert runner.resolve_engines(["auto"], adapters.load("openai-sync")) == ("embedded",)
    assert runner.resolve_engines(["embedded", "auto"], CORRECT) == ("embedded", "simulated")


def test_a_dialect_that_the_client_does_not_speak_is_named():
    """The reason says what the plan speaks and what the client speaks."""
    with pytest.raises(Unsupported, match="anthropic does not speak openai-chat"):
        runner.run(plans.whole(), runner.engine("simulated"), adapters.load("anthropic"))


def test_two_read_timeouts_are_not_asked_of_a_client_that_has_one():
    """A plan whose time-outs differ says nothing of a client with a single read time-out."""
    settings = ClientSettings(first_byte_timeout=5.0, idle_timeout=1.0)
    plan = Plan(scenario="x", attempts=plans.whole().attempts, client=settings)
    single = adapters.load("openai")
    assert single.profile.shared_read_timeout
    reason = runner.unsupported(plan, runner.engine("simulated"), single)
    assert reason is not None
    assert "one read time-out" in reason


def test_the_environment_is_as_before():
    """A proxy of the machine is kept out of loopback's way during a run, and only then."""
    during: list[str] = []

    class Watching:
        profile = CORRECT.profile
        runtimes = frozenset({Runtime.TRIO})

        async def drive(self, target, runtime, recorder, cancel_at) -> None:
            during.append(os.environ["NO_PROXY"])
            recorder.record(Started(t=recorder.now()))
            recorder.record(Ended(t=recorder.now()))

    before = dict(os.environ)
    runner.run(plans.whole(), runner.engine("simulated"), Watching())
    assert "127.0.0.1" in during[0]
    assert dict(os.environ) == before


def test_a_fault_of_ours_is_raised_plainly():
    """An adapter that breaks its promise is a harness error, and no exception group."""

    class Broken:
        profile = CORRECT.profile
        runtimes = frozenset({Runtime.TRIO})

        async def drive(self, target, runtime, recorder, cancel_at) -> None:
            raise HarnessError("the adapter is broken")

    with pytest.raises(HarnessError, match="the adapter is broken"):
        runner.run(plans.whole(), runner.engine("simulated"), Broken())


def test_an_interrupt_wins_over_everything_else():
    """Ctrl-C during a run comes out as KeyboardInterrupt, whatever else went wrong at that moment."""

    class Interrupted:
        profile = CORRECT.profile
        runtimes = frozenset({Runtime.TRIO})

        async def drive(self, target, runtime, recorder, cancel_at) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(plans.whole(), runner.engine("simulated"), Interrupted())


def test_a_target_has_the_address_that_its_sdk_wants():
    """Each dialect's base URL ends where that SDK begins to add its own path."""
    from testbed.ports import Endpoint
    from testbed.script import Head, Script, Text

    def base(dialect: DialectName) -> str:
        script = Script(dialect=dialect, steps=(Head(), Text("x")))
        plan = Plan(scenario="x", attempts=(Attempt(script=script),))
        return runner.target_of(plan, Endpoint(host="127.0.0.1", port=1)).base_url

    assert base(DialectName.OPENAI_CHAT) == "http://127.0.0.1:1/v1"
    assert base(DialectName.ANTHROPIC_MESSAGES) == "http://127.0.0.1:1"
    assert base(DialectName.EVENTSOURCE) == "http://127.0.0.1:1/events"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty; its first line must be a header"),
        (b"{}\n", "line 1: "),
        (
            b'{"kind":"header","plan":"p","engine":"e","clock":"real","client":{"name":"c","dialects":[]},"format":9}',
            "format is 9",
        ),
        (b"\xff\n", "line 1: "),
    ],
)
def test_a_file_that_is_no_trace_is_a_usage_error(data: bytes, sentence: str):
    """What is wrong with it, and on which line, in one sentence."""
    with pytest.raises(UsageError, match=sentence):
        Trace.from_jsonl(data)
