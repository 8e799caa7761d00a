r"""A client in any language: one process a run.

The law of this module: the contract is what this docstring says, and a client in any language can keep it. The target
comes as JSON in the environment variable ``TESTBED_TARGET``. The client writes the text to stdout as it arrives
(UTF-8, nothing added) and exits 0. If it fails it exits 1, and the last line of stderr is ``testbed-error: <class>``;
several classes are separated by commas, and ``status=503`` and ``code=overloaded`` may follow. Every other exit is a
crash. No shell is involved.

Under TLS the target's `ca` is the path of a PEM file with the one authority to trust; ``TESTBED_CA`` names it too, and
so do the variables that TLS libraries read by themselves (``SSL_CERT_FILE``, ``NODE_EXTRA_CA_CERTS`` and their like).
"""

from __future__ import annotations

import codecs
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import final

import trio

from testbed._values import encode
from testbed.adapters._loopback import without_proxy
from testbed.adapters._measure import watch_process
from testbed.adapters._witness import Witness
from testbed.adapters.classify import Promises, outcomes
from testbed.adapters.drive import cancellation
from testbed.errors import UsageError, alone
from testbed.ports import Recorder, Runtime, Target
from testbed.script import DialectName
from testbed.trace import ClientProfile, Option, Outcome, Raised, Wrapping

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

ERROR_LINE = "testbed-error:"

# Seconds between "please stop" and the end, and for output that is still in the pipe when the process is gone.
GRACE = 1.0
STDERR_TAIL = 4096

# Where the TLS libraries look for the authorities to trust: OpenSSL and what is built on it (Python, Ruby, PHP, Go on
# Linux), Node, requests, curl. The first is ours, for a client that reads it itself.
_CA_VARIABLES = ("TESTBED_CA", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def command_adapter(command: str) -> CommandClient:
    """Make a client of a command line; raises :class:`UsageError` if there is no such program."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"command {command!r}: {error}") from None
    if not words:
        raise UsageError("command: it is empty; give a program and its arguments, such as 'node client.mjs'")
    if shutil.which(words[0]) is None:
        raise UsageError(f"command {command!r}: there is no program {words[0]!r}, neither here nor on PATH")
    return CommandClient(command, words)


@final
class CommandClient:
    """A client under test that is a program. Implements :class:`testbed.ports.ClientAdapter`."""

    runtimes = frozenset({Runtime.PROCESS})

    def __init__(self, command: str, words: Sequence[str]) -> None:
        # Everything is claimed: the target says it all, and what the program does with it is what is tested.
        self.profile = ClientProfile(name=command, dialects=tuple(DialectName), options=tuple(Option))
        self._words = tuple(words)

    def __repr__(self) -> str:
        return f"<client --command {self.profile.name!r}>"

    async def drive(self, target: Target, runtime: Runtime, recorder: Recorder, cancel_at: float | None) -> None:
        """Start the program, record what it writes, and how it ends."""
        if runtime not in self.runtimes:
            raise UsageError(f"client {self.profile.name}: it cannot run on {runtime.value}; it is a process")
        witness = Witness(recorder, Promises())
        witness.started()
        try:
            async with trio.open_nursery() as nursery:
                if cancel_at is not None:
                    nursery.start_soon(_lose_interest, cancel_at, witness, nursery.cancel_scope)
                await self._run(target, witness, recorder)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            # The nurseries are an implementation detail: their groups must not hide our own error.
            raise cancellation(group) or alone(group) from None

    async def _run(self, target: Target, witness: Witness, recorder: Recorder) -> None:
        process = await self._start(target)
        tail = bytearray()
        try:
            await _listen(process, witness, tail, recorder, target.pace)
        except BaseException as error:
            # The run's deadline, perhaps in a group: the readers are tasks. Of no effect if the plan's own cancellation
            # came first, and a mistake of ours passes.
            if cancellation(error) is not None:
                witness.cancelled(planned=False)
            raise
        finally:
            await end_process(process)
        _report(process.returncode, tail.decode("utf-8", "replace"), witness, recorder)

    async def _start(self, target: Target) -> trio.Process:
        environment = {**os.environ, **without_proxy(os.environ, target.base_url)}
        environment["TESTBED_TARGET"] = encode_target(target)
        if target.ca is not None:
            environment |= dict.fromkeys(_CA_VARIABLES, target.ca)
        try:
            return await trio.lowlevel.open_process(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # a process group of its own, so that what it starts can be ended with it
            )
        except OSError as error:
            raise UsageError(f"command {self.profile.name!r}: it could not be started: {error}") from error


def encode_target(target: Target) -> str:
    """Write the target as JSON with every field, null where nothing is said: other languages should not need defaults.

    >>> encode_target(Target(base_url="http://127.0.0.1:1", dialect=DialectName.EVENTSOURCE))[:30]
    '{"api_key":"sk-testbed","base_'
    """
    fields: Mapping[str, object] = {name: getattr(target, name) for name in target.__struct_fields__}
    return encode(fields).decode()


async def _lose_interest(cancel_at: float, witness: Witness, scope: trio.CancelScope) -> None:
    await trio.sleep(cancel_at)
    witness.cancelled(planned=True)
    scope.cancel()


# --- what a process shows ---------------------------------------------------------------------------------------------


async def _listen(
    process: trio.Process, witness: Witness, tail: bytearray, recorder: Recorder, pace: float | None
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(watch_process, process.pid, recorder, family=True))
        nursery.start_soon(_read_text, process, witness, pace)
        nursery.start_soon(read_tail, process, tail)
        await process.wait()
        # A child of the program may hold the pipes open for longer than the program lives.
        nursery.cancel_scope.deadline = trio.current_time() + GRACE


async def _read_text(process: trio.Process, witness: Witness, pace: float | None) -> None:
    if process.stdout is None:
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for piece in process.stdout:
        witness.saw(decoder.decode(piece))
        # A slow reader of a pipe is a slow reader of the client.
        await trio.sleep(pace or 0)
    witness.saw(decoder.decode(b"", final=True))


async def read_tail(process: trio.Process, tail: bytearray) -> None:
    """Keep the end of what a process writes to stderr."""
    if process.stderr is None:
        return
    async for piece in process.stderr:
        tail += piece
        del tail[:-STDERR_TAIL]


async def end_process(process: trio.Process) -> None:
    """Ask the whole process group to end, then insist. After a normal exit this finds what the program left behind."""
    with trio.CancelScope(shield=True):
        _signal(process, signal.SIGTERM)
        with trio.move_on_after(GRACE):
            await process.wait()
        _signal(process, signal.SIGKILL)
        await process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                await pipe.aclose()


def _signal(process: trio.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _report(returncode: int | None, stderr: str, witness: Witness, recorder: Recorder) -> None:
    if returncode == 0:
        witness.ended()
        return
    lines = stderr.strip().splitlines()
    last = lines[-1] if lines else ""
    if returncode == 1 and last.startswith(ERROR_LINE):
        classes, fields = _parse(last)
        witness.died(
            Raised(
                t=recorder.now(),
                type="exit 1",
                message=last,
                classes=classes,
                wrapping=Wrapping.DECLARED,
                status=int(fields["status"]) if fields.get("status", "").isdigit() else None,
                code=fields.get("code"),
            )
        )
        return
    how, message = last_words(returncode, stderr)
    witness.died(Raised(t=recorder.now(), type=how, message=message, classes=(), wrapping=Wrapping.BUG))


def last_words(returncode: int | None, stderr: str) -> tuple[str, str]:
    """How a process died, and what it said last."""
    how = f"exit {returncode}" if returncode is None or returncode >= 0 else f"signal {-returncode}"
    return how, "\n".join(stderr.strip().splitlines()[-5:]) or "(it wrote nothing to stderr)"


def _parse(line: str) -> tuple[tuple[Outcome, ...], dict[str, str]]:
    words = line[len(ERROR_LINE) :].split()
    fields = dict(word.split("=", 1) for word in words if "=" in word)
    names = ",".join(word for word in words if "=" not in word)
    classes = outcomes([name for name in names.split(",") if name])
    if not classes:
        raise UsageError(f"client: its last line is {line!r}; name an error class after {ERROR_LINE!r}")
    return classes, fields
