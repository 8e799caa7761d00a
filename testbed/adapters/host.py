"""``python -m testbed.adapters.host CLIENT``: one run of a Python client in a process of its own.

The law of this module: what its parent reads is what a witness in the same process would have recorded, line for line
and at the same times (both read the machine's one monotonic clock). The client is called once before anything is
measured, against an answer that is whole, so that what a library makes once for all calls is there already. The
process ends without ceremony when the last line is written: what the client left behind was counted, and is no matter
of ours any more.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing, suppress
from typing import Any, NoReturn, final

import trio

from testbed import adapters
from testbed._values import Value, decode
from testbed._values import encode as encode_value
from testbed.adapters._measure import Warned, collect, look, settled
from testbed.adapters._stage import Stage
from testbed.adapters._witness import Witness
from testbed.adapters.declare import FunctionClient
from testbed.adapters.drive import GRACE, Blocking, close_in_asyncio, exhaust, in_trio
from testbed.errors import UsageError
from testbed.ports import Runtime, Target
from testbed.trace import Observation, Phase, Resources

RUN = "TESTBED_RUN"

# The rehearsal is for what a library does once; whoever takes longer is measured without it.
_REHEARSAL = 5.0
_POLL = 0.02


class Run(Value):
    """What the parent says beside the target: when its run began on the monotonic clock, and when to lose interest."""

    began: float
    cancel_at: float | None = None


class Complaint(Value, tag_field="kind", tag="host.complaint"):
    """The adapter is wrong: what the tester is to be told."""

    message: str


@final
class PipeRecorder:
    """Writes each observation as a line of JSON, whole and at once."""

    def __init__(self, descriptor: int, began: float) -> None:
        self._descriptor, self._began = descriptor, began
        self._lock = threading.Lock()

    def now(self) -> int:
        """Microseconds since the parent's run began."""
        return round((time.monotonic() - self._began) * 1_000_000)

    def record(self, observation: Observation | Complaint) -> None:
        """Write it down."""
        line = memoryview(encode_value(observation) + b"\n")
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


def main(spec: str) -> NoReturn:
    """Run the client once and end the process."""
    # What the client prints goes where it can do no harm.
    private = os.dup(1)
    os.dup2(2, 1)
    run = decode(os.environ.pop(RUN), Run)
    target = decode(os.environ["TESTBED_TARGET"], Target)
    recorder = PipeRecorder(private, run.began)
    try:
        client = adapters.load(spec)
        if not isinstance(client, FunctionClient):
            raise UsageError(f"client {spec!r}: only a client that is a function can be run in a process of its own")
        _PLAY[_runtime(client)](_Visit(client, target, recorder, run.cancel_at))
    except UsageError as error:
        recorder.record(Complaint(str(error)))
    os._exit(0)


def _runtime(client: FunctionClient) -> Runtime:
    return next(one for one in (Runtime.ASYNCIO, Runtime.THREAD, Runtime.TRIO) if one in client.runtimes)


@final
class _Visit:
    """One call, with a look at the process before and after it."""

    def __init__(self, client: FunctionClient, target: Target, recorder: PipeRecorder, cancel_at: float | None) -> None:
        self.call: Callable[[Target], Any] = client.function
        self.target, self.cancel_at = target, cancel_at
        self.witness = Witness(recorder, client.promises)
        self._recorder, self._warned = recorder, Warned()
        self._before: Resources | None = None

    def begins(self) -> None:
        """The rehearsal is over, the call is next."""
        collect()
        self._warned.listen()
        self._before = look(self._recorder, Phase.BEFORE, self._warned)
        self._recorder.record(self._before)
        self.witness.started()

    def settles(self) -> bool:
        """Whether all is as it was; else there is still time."""
        return self._before is None or settled(look(self._recorder, Phase.AFTER, self._warned), self._before)

    def ends(self) -> None:
        """All that was to go has gone."""
        collect()
        self._recorder.record(look(self._recorder, Phase.AFTER, self._warned))


async def _settle(visit: _Visit, sleep: Callable[[float], Awaitable[object]]) -> None:
    """Give what winds down the time for it, in its own event loop."""
    collect()
    deadline = time.monotonic() + GRACE
    while not visit.settles() and time.monotonic() < deadline:
        await sleep(_POLL)
    visit.ends()


# --- one way for each runtime -----------------------------------------------------------------------------------------


def _on_asyncio(visit: _Visit) -> None:
    async def play() -> None:
        with Stage(visit.target) as rehearsal, suppress(Exception, asyncio.CancelledError):
            await asyncio.wait_for(_exhausted(visit, rehearsal), _REHEARSAL)
        visit.begins()
        run = exhaust(visit.call, visit.target, visit.witness, close_in_asyncio, asyncio.sleep)
        task = asyncio.ensure_future(run)
        done, _ = await asyncio.wait({task}, timeout=visit.cancel_at)
        if not done:
            visit.witness.cancelled(planned=True)
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE)
        with suppress(asyncio.CancelledError, asyncio.InvalidStateError):
            task.result()
        del task, run, done
        await _settle(visit, asyncio.sleep)
        # Here and not behind the loop: closing it may wait for what the client left in it.
        os._exit(0)

    asyncio.run(play())


def _on_trio(visit: _Visit) -> None:
    async def play() -> None:
        with Stage(visit.target) as rehearsal, suppress(Exception), trio.move_on_after(_REHEARSAL):
            await _exhausted(visit, rehearsal)
        visit.begins()
        await in_trio(visit.call, visit.target, visit.witness, visit.cancel_at)
        await _settle(visit, trio.sleep)
        os._exit(0)

    trio.run(play)


async def _exhausted(visit: _Visit, target: Target) -> None:
    async with aclosing(visit.call(target)) as items:
        async for _ in items:
            pass


def _in_thread(visit: _Visit) -> None:
    with Stage(visit.target) as rehearsal:
        _joined(lambda: _drained(visit, rehearsal), _REHEARSAL)
    visit.begins()
    job = Blocking(visit.call, visit.target, visit.witness)
    thread, errors = _joined(job.run, visit.cancel_at)
    if thread.is_alive():
        visit.witness.cancelled(planned=True)
        job.stop()
        thread.join(GRACE)
    for error in errors:
        raise error
    collect()
    deadline = time.monotonic() + GRACE
    while not visit.settles() and time.monotonic() < deadline:
        time.sleep(_POLL)
    visit.ends()


def _drained(visit: _Visit, target: Target) -> None:
    with suppress(Exception), closing(visit.call(target)) as items:
        for _ in items:
            pass


def _joined(play: Callable[[], None], timeout: float | None) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            play()
        except BaseException as error:  # it belongs to whoever waits for the thread
            errors.append(error)

    thread = threading.Thread(target=guarded, name="testbed-client", daemon=True)
    thread.start()
    thread.join(timeout)
    return thread, errors


_PLAY: dict[Runtime, Callable[[_Visit], None]] = {
    Runtime.ASYNCIO: _on_asyncio,
    Runtime.TRIO: _on_trio,
    Runtime.THREAD: _in_thread,
}

if __name__ == "__main__":
    main(sys.argv[1])
