"""A client in a process of its own: everything comes out of it, and it is looked at before and after."""

from __future__ import annotations

import time

import pytest
import trio
import trio.testing
from msgspec import structs

from testbed.adapters import client, command_adapter, isolated, load
from testbed.errors import UsageError
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Cancelled, Phase, Raised, Resources, SawText, Started, Wrapping
from tests.adapters.support import ListRecorder, drive_once

pytestmark = pytest.mark.once

TARGET = Target(base_url="http://127.0.0.1:9/v1", dialect=DialectName.OPENAI_CHAT)


def apart(name: str, *, cancel_at: float | None = None, runtime: Runtime | None = None) -> ListRecorder:
    """A run of a client of `apart.py`: in a process of its own, or in this one."""
    spec = f"tests.adapters.apart:{name}"
    adapter = isolated(spec, load(spec)) if runtime is None else load(spec)
    recorder = ListRecorder()
    drive_once(adapter, TARGET, runtime or Runtime.PROCESS, recorder, cancel_at)
    return recorder


def said(recorder: ListRecorder) -> list[object]:
    """What is seen of the client, without the times."""
    return [structs.replace(one, t=0) for one in recorder.seen if not isinstance(one, Resources)]


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("everything", Runtime.ASYNCIO),
        ("known", Runtime.ASYNCIO),
        ("foreign", Runtime.THREAD),
        ("mistaken", Runtime.THREAD),
    ],
)
def test_what_comes_out_is_what_would_have_been_seen_here(name: str, runtime: Runtime):
    """Text of every kind, events, tools, the reason, and an error with all that is said of it."""
    recorder = apart(name)
    assert said(recorder) == said(apart(name, runtime=runtime))
    looks = [one.phase for one in recorder.all(Resources) if one.phase is not Phase.DURING]
    assert looks == [Phase.BEFORE, Phase.AFTER]


def test_times_are_of_the_same_clock():
    """What comes out carries the moment at which it was seen, and not that at which it was read."""
    recorder = ListRecorder()
    began = recorder.now()
    spec = "tests.adapters.apart:sleepy"
    drive_once(isolated(spec, load(spec)), TARGET, Runtime.PROCESS, recorder)
    first, second = (one.t for one in recorder.all(SawText))
    assert began < recorder.all(Started)[0].t <= first
    assert first + 20_000 <= second <= recorder.now()


@pytest.mark.parametrize("name", ["endless", "on_trio"])
def test_a_caller_that_loses_interest_is_believed(name: str):
    """The client is cancelled where it runs, and looked at behind that."""
    recorder = apart(name, cancel_at=0.2)
    assert [one.planned for one in recorder.all(Cancelled)] == [True]
    assert isinstance(recorder.seen[-1], Resources)
    assert recorder.seen[-1].phase is Phase.AFTER


def test_a_process_that_dies_is_a_crash():
    """What it showed before is kept."""
    recorder = apart("dies")
    assert recorder.text == "a"
    raised = recorder.all(Raised)[0]
    assert (raised.type, raised.wrapping) == ("exit 3", Wrapping.BUG)


def test_a_wrong_adapter_is_told_as_here():
    """The sentence is the same."""
    with pytest.raises(UsageError, match="it yielded 7"):
        apart("wrong_kind")


def test_only_a_function_can_be_isolated():
    """A program is a process already."""
    with pytest.raises(UsageError, match="only a client that is a function"):
        isolated("true", command_adapter("true"))


def test_a_run_that_is_stopped_leaves_no_process_behind():
    """The run's deadline ends it, whatever it does."""
    recorder, spec = ListRecorder(), "tests.adapters.apart:endless"

    async def run() -> None:
        with trio.move_on_after(0.5):
            await isolated(spec, load(spec)).drive(TARGET, Runtime.PROCESS, recorder, None)

    started = time.monotonic()
    trio.run(run)
    assert [one.planned for one in recorder.all(Cancelled)] == [False]
    assert time.monotonic() - started < 15


def test_a_slow_caller_takes_its_time_over_each_item():
    """Whoever drives the client waits between items, and not behind an empty one."""

    @client()
    async def three(target):
        yield "a"
        yield ""
        yield "b"

    recorder = ListRecorder()
    clock = trio.testing.MockClock(autojump_threshold=0)
    took = 0.0

    async def run() -> None:
        nonlocal took
        began = trio.current_time()
        await three.drive(structs.replace(TARGET, pace=5.0), Runtime.TRIO, recorder, None)
        took = trio.current_time() - began

    trio.run(run, clock=clock)
    assert took == pytest.approx(10.0)
    assert recorder.text == "ab"
