"""Driving a client: the order of what is recorded, cancellation in each runtime, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import threading

import anyio
import pytest
import trio

from testbed.adapters import Event, Finish, ToolCall, Usage, client, drive
from testbed.errors import UsageError
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Cancelled, Ended, Outcome, Raised, SawEvent, SawFinish, SawText, SawTool, Started, Wrapping
from tests.adapters.support import ListRecorder

TARGET = Target(base_url="http://127.0.0.1:9", dialect=DialectName.OPENAI_CHAT)
ASYNC = pytest.mark.parametrize("runtime", [Runtime.TRIO, Runtime.ASYNCIO])


class Trouble(Exception): ...


def run(adapter, runtime, *, cancel_at=None, deadline=10.0) -> ListRecorder:
    """Drive a client once; the deadline cancels from outside, as a run's own does."""
    recorder = ListRecorder()

    async def main() -> None:
        with trio.move_on_after(deadline):
            await adapter.drive(TARGET, runtime, recorder, cancel_at)

    trio.run(main)
    return recorder


def kinds(recorder: ListRecorder) -> list[type]:
    return [type(seen) for seen in recorder.seen]


# --- items ------------------------------------------------------------------------------------------------------------


@client()
async def talker(target):
    yield "a"
    yield ""
    yield Finish("stop")
    yield Event(type="tick", data="d", id="7")
    yield ToolCall(name="lookup")
    yield Usage(output_tokens=3)
    yield "b"


@client()
def sync_talker(target):
    yield from ("a", "", Finish("stop"), Event(type="tick", data="d", id="7"), ToolCall(), Usage(), "b")


@pytest.mark.parametrize(
    ("adapter", "runtime"),
    [(talker, Runtime.TRIO), (talker, Runtime.ASYNCIO), (sync_talker, Runtime.THREAD)],
)
def test_items_are_recorded_in_order(adapter, runtime):
    """Started, then what the caller sees, then Ended; empty text and what is not judged leave no trace."""
    recorder = run(adapter, runtime)
    assert kinds(recorder) == [Started, SawText, SawFinish, SawEvent, SawTool, SawText, Ended]
    assert recorder.text == "ab"
    assert recorder.reasons == ["stop"]
    assert recorder.events == [("tick", "d", "7")]


@ASYNC
def test_what_no_adapter_may_yield_is_the_testers_mistake(runtime):
    """It is raised, and not held against the client; the generator is closed all the same."""
    closed = []

    @client()
    async def wrong(target):
        try:
            yield 42
        finally:
            closed.append(1)

    with pytest.raises(UsageError, match="it yielded 42; yield the text as str"):
        run(wrong, runtime)
    assert closed == [1]


def test_a_runtime_that_the_client_does_not_have_is_refused():
    """An async client does not run in a thread."""
    with pytest.raises(UsageError, match="client talker: it cannot run on thread; it can run on asyncio, trio"):
        run(talker, Runtime.THREAD)


# --- errors -----------------------------------------------------------------------------------------------------------


@ASYNC
def test_an_error_ends_the_run(runtime):
    """What the caller saw before it stays."""

    @client(base=Trouble, errors={Trouble: {"reset"}})
    async def failing(target):
        yield "a"
        raise Trouble("gone")

    recorder = run(failing, runtime)
    assert kinds(recorder) == [Started, SawText, Raised]
    assert (recorder.raised.message, recorder.raised.classes) == ("gone", (Outcome.RESET,))


def test_an_error_in_a_thread_ends_the_run():
    """The blocking twin."""

    @client(errors={Trouble: {"reset"}})
    def failing(target):
        yield "a"
        raise Trouble

    assert kinds(run(failing, Runtime.THREAD)) == [Started, SawText, Raised]


@pytest.mark.parametrize("runtime", [Runtime.TRIO, Runtime.ASYNCIO])
def test_an_exit_of_the_client_is_a_crash_and_does_not_end_us(runtime):
    """SystemExit is recorded like any other break-down."""

    @client()
    async def quitter(target):
        yield "a"
        raise SystemExit(3)

    assert run(quitter, runtime).raised.wrapping is Wrapping.BUG


def test_a_cancellation_that_the_client_makes_up_is_an_error():
    """Nobody cancelled: the caller would see CancelledError out of nowhere."""

    @client()
    async def confused(target):
        yield "a"
        raise asyncio.CancelledError

    assert run(confused, Runtime.ASYNCIO).raised.type.endswith("CancelledError")


def test_a_nursery_inside_the_client_does_not_hide_its_error():
    """The group of one that trio makes is unwrapped."""

    @client(errors={Trouble: {"reset"}})
    async def nested(target):
        yield "a"
        async with trio.open_nursery():
            raise Trouble

    assert run(nested, Runtime.TRIO).classes == {"reset"}


# --- cancellation -----------------------------------------------------------------------------------------------------


def waiting(cleaned: list[str]):
    """A client that says one thing and then waits for ever, and cleans up when it is stopped."""

    @client()
    async def waiter(target):
        try:
            yield "a"
            await anyio.sleep_forever()
        finally:
            cleaned.append("closed")

    return waiter


@ASYNC
def test_a_planned_cancellation_stops_the_client(runtime):
    """The caller loses interest: the client's own cleaning up runs before driving is over."""
    cleaned = []
    recorder = run(waiting(cleaned), runtime, cancel_at=0.05)
    assert kinds(recorder) == [Started, SawText, Cancelled]
    assert recorder.end.planned
    assert recorder.end.t >= 50_000
    assert cleaned == ["closed"]


@ASYNC
def test_the_runs_deadline_stops_the_client(runtime):
    """A client that hangs is stopped from outside, and that is no plan."""
    cleaned = []
    recorder = run(waiting(cleaned), runtime, deadline=0.05)
    assert kinds(recorder) == [Started, SawText, Cancelled]
    assert not recorder.end.planned
    assert cleaned == ["closed"]


@ASYNC
def test_a_client_that_is_done_in_time_is_not_cancelled(runtime):
    """`cancel_at` is an upper bound, not a delay."""
    recorder = run(talker, runtime, cancel_at=5.0)
    assert isinstance(recorder.end, Ended)
    assert recorder.end.t < 4_000_000


@ASYNC
def test_what_a_client_does_after_its_cancellation_is_not_recorded(runtime):
    """It may turn the cancellation into an error of its own; nobody is there to see it."""

    @client()
    async def stubborn(target):
        try:
            yield "a"
            await anyio.sleep_forever()
        except BaseException:
            raise Trouble from None

    assert kinds(run(stubborn, runtime, cancel_at=0.05)) == [Started, SawText, Cancelled]


def test_a_client_that_does_not_listen_is_given_up():
    """An asyncio client that swallows its cancellation holds nobody up for longer than the grace period."""
    release = threading.Event()

    @client()
    async def deaf(target):
        yield "a"
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        threading.Thread(target=lambda: (release.wait(20), loop.call_soon_threadsafe(woken.set)), daemon=True).start()
        while not woken.is_set():
            try:
                await woken.wait()
            except asyncio.CancelledError:  # noqa: PERF203 - to be deaf takes a loop
                continue
        yield "b"

    recorder = run(deaf, Runtime.ASYNCIO, cancel_at=0.05, deadline=15.0)
    release.set()
    assert kinds(recorder) == [Started, SawText, Cancelled]
    assert recorder.now() < (0.05 + drive.GRACE + 5) * 1_000_000


def test_a_blocked_thread_is_given_up_and_closed_later():
    """Nothing wakes a thread out of a read; what it says afterwards is not recorded."""
    release, closed = threading.Event(), threading.Event()

    @client()
    def blocked(target):
        try:
            yield "a"
            release.wait(20)
            yield "b"
        finally:
            closed.set()

    recorder = run(blocked, Runtime.THREAD, deadline=0.05)
    release.set()
    assert closed.wait(10)
    assert kinds(recorder) == [Started, SawText, Cancelled]


def test_a_thread_is_stopped_between_two_items():
    """A blocking client that goes on talking is closed at its next item."""
    closed = threading.Event()

    @client()
    def chatty(target):
        try:
            while True:
                yield "a"
        finally:
            closed.set()

    recorder = run(chatty, Runtime.THREAD, cancel_at=0.02)
    assert closed.is_set()
    assert isinstance(recorder.seen[-1], Cancelled)


# --- surroundings -----------------------------------------------------------------------------------------------------


@ASYNC
def test_a_client_that_drops_a_generator_leaves_no_warning(runtime):
    """Several SDKs do: warnings are errors here, so this test would fail by itself."""

    async def inner():
        yield "a"
        yield "b"

    @client()
    async def dropping(target):
        async for item in inner():
            yield item
            break

    assert run(dropping, runtime).text == "a"


@pytest.mark.parametrize("runtime", [Runtime.TRIO, Runtime.ASYNCIO, Runtime.THREAD])
def test_proxies_are_kept_away_while_a_client_runs(runtime):
    """NO_PROXY names the loopback during the run, with what was exempt before, and is put back after it."""
    seen = []

    async def look(target):
        seen.append(os.environ.get("NO_PROXY", ""))
        yield "a"

    def sync_look(target):
        seen.append(os.environ.get("NO_PROXY", ""))
        yield "a"

    before = os.environ.get("NO_PROXY")
    run(client()(sync_look if runtime is Runtime.THREAD else look), runtime)
    assert "127.0.0.1" in seen[0].split(",")
    assert (before or "") in seen[0]
    assert os.environ.get("NO_PROXY") == before
