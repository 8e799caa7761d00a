"""A Python client in a process of its own: one process a run, whose memory and descriptors can be measured.

The law of this module: for the caller nothing changes. What the client shows, how it ends and when comes out of the
process as it would have been recorded here, with what the process holds beside it; only a process that dies is news.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Union, final

import msgspec
import trio

from testbed._values import encode
from testbed.adapters._loopback import without_proxy
from testbed.adapters._measure import watch_process
from testbed.adapters._witness import Witness
from testbed.adapters.classify import Promises
from testbed.adapters.command import GRACE, encode_target, end_process, last_words, read_tail
from testbed.adapters.declare import FunctionClient
from testbed.adapters.drive import cancellation
from testbed.adapters.host import RUN, Complaint, Run
from testbed.errors import UsageError, alone
from testbed.ports import Recorder, Runtime, Target
from testbed.trace import Observation, Raised, Wrapping

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

# Processes that start at the same time: each takes all of a core for a moment, and somebody is measuring time.
_STARTING = trio.CapacityLimiter(max(1, (os.cpu_count() or 2) - 1))

_LINES: msgspec.json.Decoder[Observation | Complaint] = msgspec.json.Decoder(Union[Observation, Complaint])


@final
class IsolatedClient:
    """A client under test that runs elsewhere. Implements :class:`testbed.ports.ClientAdapter`."""

    runtimes = frozenset({Runtime.PROCESS})

    def __init__(self, spec: str, client: FunctionClient) -> None:
        self.profile = client.profile
        self._spec = spec

    def __repr__(self) -> str:
        return f"<client --isolate {self._spec}>"

    async def drive(self, target: Target, runtime: Runtime, recorder: Recorder, cancel_at: float | None) -> None:
        """Start the process, and record what it says."""
        if runtime not in self.runtimes:
            raise UsageError(f"client {self._spec}: it cannot run on {runtime.value}; it is a process")
        witness = Witness(recorder, Promises())
        try:
            await self._run(target, witness, recorder, cancel_at)
        except BaseExceptionGroup as group:
            # The nursery is an implementation detail: its group must not hide our own error.
            raise cancellation(group) or alone(group) from None

    async def _run(self, target: Target, witness: Witness, recorder: Recorder, cancel_at: float | None) -> None:
        tail = bytearray()
        async with _STARTING:
            process = await self._start(target, recorder, cancel_at)
            lines = _Lines(process)
            try:
                first = await lines.next()
            except BaseException:
                witness.cancelled(planned=False)
                await end_process(process)
                raise
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_tail, process, tail)
                nursery.start_soon(watch_process, process.pid, recorder)
                while first is not None:
                    _take(first, witness)
                    first = await lines.next()
                # A process that a client of ours started may hold the pipes open for longer.
                with trio.move_on_after(GRACE):
                    await process.wait()
                nursery.cancel_scope.cancel()
        except BaseException as error:
            if cancellation(error) is not None:
                witness.cancelled(planned=False)
            raise
        finally:
            await end_process(process)
        if not witness.over:
            how, said = last_words(process.returncode, tail.decode("utf-8", "replace"))
            witness.died(Raised(t=recorder.now(), type=how, message=said, classes=(), wrapping=Wrapping.BUG))

    async def _start(self, target: Target, recorder: Recorder, cancel_at: float | None) -> trio.Process:
        began = time.monotonic() - recorder.now() / 1_000_000
        environment = {**os.environ, **without_proxy(os.environ, target.base_url)}
        environment["TESTBED_TARGET"] = encode_target(target)
        environment[RUN] = encode(Run(began=began, cancel_at=cancel_at)).decode()
        # The client is imported there as it was here.
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        return await trio.lowlevel.open_process(
            [sys.executable, "-m", "testbed.adapters.host", self._spec],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a process group of its own, so that what it starts can be ended with it
        )


@final
class _Lines:
    """The lines that a process writes."""

    def __init__(self, process: trio.Process) -> None:
        self._stream = process.stdout
        self._buffer = bytearray()

    async def next(self) -> bytes | None:
        """The next whole line; None at the end, where half a line is none."""
        searched = 0
        while self._stream is not None:
            if (end := self._buffer.find(b"\n", searched)) >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return line
            searched = len(self._buffer)
            piece = await self._stream.receive_some()
            if not piece:
                break
            self._buffer += piece
        return None


def _take(line: bytes, witness: Witness) -> None:
    said = _LINES.decode(line)
    if isinstance(said, Complaint):
        raise UsageError(said.message)
    witness.relay(said)


def isolated(spec: str, client: object) -> IsolatedClient:
    """The client that is found by `spec`, in a process of its own; `client` is what was found here.

    Raises :class:`UsageError` for one that is no function: it could not be called there.
    """
    if not isinstance(client, FunctionClient):
        raise UsageError(f"client {spec!r}: only a client that is a function can be run in a process of its own")
    return IsolatedClient(spec, client)
