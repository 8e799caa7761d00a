"""Drive one client for one run: in the engine's trio loop, in an asyncio loop of its own, or in a thread.

The law of this module: what the client does never raises here, it is recorded; a wrong *adapter* raises
:class:`UsageError`. The generator is always closed, and every wait for a client that was asked to stop is bounded by
`GRACE`.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, final

import trio

from testbed.adapters._loopback import unproxied
from testbed.adapters._witness import Witness
from testbed.adapters.classify import Promises
from testbed.errors import alone
from testbed.ports import Recorder, Runtime, Target

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

if TYPE_CHECKING:
    from outcome import Outcome

AsyncCall = Callable[[Target], AsyncGenerator[object, None]]
SyncCall = Callable[[Target], Generator[object, None, None]]

# Seconds that a client which was asked to stop may take over its own cleaning up.
GRACE = 1.0


async def drive(  # noqa: PLR0917 - the port's four, and whom to call
    call: Callable[[Target], Any],
    promises: Promises,
    target: Target,
    runtime: Runtime,
    recorder: Recorder,
    cancel_at: float | None,
) -> None:
    """Call the client and record what its caller sees; see :meth:`testbed.ports.ClientAdapter.drive`."""
    witness = Witness(recorder, promises)
    with unproxied(target.base_url):
        witness.started()
        if runtime is Runtime.TRIO:
            await in_trio(call, target, witness, cancel_at)
        elif runtime is Runtime.ASYNCIO:
            await _in_thread(_OwnLoop(call, target, witness), witness, cancel_at)
        else:
            await _in_thread(Blocking(call, target, witness), witness, cancel_at)


# --- both kinds of event loop -----------------------------------------------------------------------------------------


async def exhaust(
    call: AsyncCall,
    target: Target,
    witness: Witness,
    close: Callable[[AsyncGenerator[object, None]], Awaitable[None]],
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    """Ask an async client for one item after the other until the run is over, then close it."""
    stream = call(target)
    try:
        while not witness.over:
            try:
                item = await stream.__anext__()
            except StopAsyncIteration:  # noqa: PERF203 - the loop is the client's own pace
                witness.ended()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # whatever a client raises is an observation
                cancelled = cancellation(error)
                if cancelled is not None:
                    # Of no effect if the plan's own cancellation was recorded before.
                    witness.cancelled(planned=False)
                    raise cancelled from None
                # asyncio's CancelledError comes here too: once we have asked for it the run is over and this says
                # nothing, and before that the client made it up, which its caller would see.
                witness.raised(error)
            else:
                witness.saw(item)
                await _take(item, target.pace, witness, sleep)
    finally:
        # What a client raises while it is being closed reaches no caller.
        with suppress(Exception):
            await close(stream)


async def _take(
    item: object, pace: float | None, witness: Witness, sleep: Callable[[float], Awaitable[object]]
) -> None:
    """The caller's own time over an item."""
    if pace is None or item == "":
        return
    try:
        await sleep(pace)
    except trio.Cancelled:
        witness.cancelled(planned=False)
        raise


def cancellation(error: BaseException) -> BaseException | None:
    """The part of `error` by which trio cancels, if there is one; a nursery wraps it in a group."""
    if isinstance(error, BaseExceptionGroup):
        # Whatever else is in the group happened because of the cancellation.
        cancelled, _ = error.split(trio.Cancelled)
        return cancelled
    return error if isinstance(error, trio.Cancelled) else None


# --- in the engine's own loop -----------------------------------------------------------------------------------------


async def in_trio(call: AsyncCall, target: Target, witness: Witness, cancel_at: float | None) -> None:
    """Drive an async client in the trio loop that is running."""
    _tolerate_dropped_generators()
    try:
        async with trio.open_nursery() as nursery:
            if cancel_at is not None:
                nursery.start_soon(_lose_interest, cancel_at, witness, nursery.cancel_scope)
            await exhaust(call, target, witness, close_in_trio, trio.sleep)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The nursery is an implementation detail: its group must not hide our own error.
        raise alone(group) from None


async def _lose_interest(cancel_at: float, witness: Witness, scope: trio.CancelScope) -> None:
    await trio.sleep(cancel_at)
    # Recorded before the client hears of it, so that whatever it does in answer stands behind it in the trace.
    witness.cancelled(planned=True)
    scope.cancel()


async def close_in_trio(stream: AsyncGenerator[object, None]) -> None:
    """Close what a client left open, on trio, within `GRACE`."""
    with trio.move_on_after(GRACE) as scope:
        scope.shield = True
        await stream.aclose()


def _tolerate_dropped_generators() -> None:
    """Keep trio's ResourceWarning about generators that a client drops half-read from becoming the run's problem.

    Several SDKs leave an inner async generator to the garbage collector. Trio then closes it in time, which is all
    that matters here, and warns; under "warnings are errors" that would fail a test of somebody who can not mend the
    SDK. Trio takes its hooks back at the end of its run, so this lasts just as long.
    """
    finalizer = sys.get_asyncgen_hooks().finalizer
    if finalizer is None or isinstance(finalizer, _QuietFinalizer):
        return
    sys.set_asyncgen_hooks(finalizer=_QuietFinalizer(finalizer))


@final
class _QuietFinalizer:
    def __init__(self, finalizer: Callable[[AsyncGenerator[Any, Any]], object]) -> None:
        self._finalizer = finalizer

    def __call__(self, generator: AsyncGenerator[Any, Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            self._finalizer(generator)


# --- threads ----------------------------------------------------------------------------------------------------------


class _Job(Protocol):
    """Something that runs in a thread and, the witness being over, can be asked to stop."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


async def _in_thread(job: _Job, witness: Witness, cancel_at: float | None) -> None:
    token, finished = trio.lowlevel.current_trio_token(), trio.Event()
    results: list[Outcome[None]] = []

    def deliver(result: Outcome[None]) -> None:
        results.append(result)
        # A thread that was given up may come back after everything is over.
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(finished.set)

    trio.lowlevel.start_thread_soon(job.run, deliver, name="testbed-client")
    try:
        with trio.move_on_after(math.inf if cancel_at is None else cancel_at):
            await finished.wait()
        if not finished.is_set():
            witness.cancelled(planned=True)
            await _stop(job, finished)
    except trio.Cancelled:
        witness.cancelled(planned=False)
        await _stop(job, finished)
        raise
    for result in results:
        result.unwrap()


async def _stop(job: _Job, finished: trio.Event) -> None:
    """Ask, wait a bounded moment, give up: the engine closes the sockets of a client that does not listen."""
    job.stop()
    with trio.move_on_after(GRACE) as scope:
        scope.shield = True
        await finished.wait()


@final
class _OwnLoop:
    """An async client in a fresh asyncio event loop."""

    def __init__(self, call: AsyncCall, target: Target, witness: Witness) -> None:
        self._call, self._target, self._witness = call, target, witness
        self._lock = threading.Lock()
        self._stopping = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None

    def run(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._main())

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            if self._running is not None:
                loop, task = self._running
                # The loop may have closed a moment ago; then there is nothing left to stop.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(task.cancel)

    async def _main(self) -> None:
        task = asyncio.current_task()
        with self._lock:
            if self._stopping or task is None:
                return
            self._running = asyncio.get_running_loop(), task
        await exhaust(self._call, self._target, self._witness, close_in_asyncio, asyncio.sleep)


async def close_in_asyncio(stream: AsyncGenerator[object, None]) -> None:
    """The same on asyncio."""
    # Not wait_for: it may close the generator in another task, which cancel scopes inside it do not allow.
    task = asyncio.current_task()
    alarm = asyncio.get_running_loop().call_later(GRACE, lambda: task and task.cancel())
    try:
        await stream.aclose()
    except asyncio.CancelledError:
        pass  # the alarm, or a second request to stop: either way this is the end
    finally:
        alarm.cancel()


@final
class Blocking:
    """A sync client. It can be stopped between two items only: nothing can wake a thread out of a read."""

    def __init__(self, call: SyncCall, target: Target, witness: Witness) -> None:
        self._call, self._target, self._witness = call, target, witness

    def stop(self) -> None:
        """The witness is over; that is what `run` looks at."""

    def run(self) -> None:
        """Call the client to its end."""
        stream = self._call(self._target)
        try:
            while not self._witness.over:
                try:
                    item = next(stream)
                except StopIteration:  # noqa: PERF203 - the loop is the client's own pace
                    self._witness.ended()
                except BaseException as error:  # whatever a client raises is an observation
                    self._witness.raised(error)
                else:
                    self._witness.saw(item)
                    if self._target.pace is not None and item != "":
                        time.sleep(self._target.pace)
        finally:
            # What a client raises while it is being closed reaches no caller.
            with suppress(Exception):
                stream.close()
