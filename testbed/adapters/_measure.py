"""What a process holds: memory, descriptors, threads, tasks, and the warnings about what nobody closed.

The law of this module: a number that the platform does not tell is -1, and never a guess. Looking changes nothing but
the garbage, and raises nothing.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TextIO, final

import psutil
import trio

from testbed.ports import Recorder
from testbed.trace import Phase, Resources

UNKNOWN = -1

# Threads that runtimes keep for their next job. They are bounded, they are not the client's, and one more of them says
# only that two jobs met. An executor that nobody holds any more ends its threads by itself.
_POOLS = ("asyncio_", "Trio thread", "AnyIO worker thread", "ThreadPoolExecutor-")

# How often a process is looked at from outside, and the growth that is worth a line in the trace.
_EVERY = 0.05
_STEP = 1 << 20

_DESCRIPTORS = Path("/dev/fd")


@final
class Warned:
    """Keeps the texts of ResourceWarnings about unclosed things; other warnings go their way."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._before = warnings.showwarning

    def listen(self) -> None:
        """Begin."""
        warnings.simplefilter("always", ResourceWarning)
        warnings.showwarning = self._show

    def _show(  # noqa: PLR0917 - the signature of warnings.showwarning
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, ResourceWarning):
            self._before(message, category, filename, lineno, file, line)
        elif str(message).lower().startswith("unclosed"):
            self.texts.append(str(message)[:200])


def look(recorder: Recorder, phase: Phase, warned: Warned) -> Resources:
    """Look at this process, from inside."""
    descriptors, sockets = _descriptors()
    return Resources(
        t=recorder.now(),
        phase=phase,
        memory=psutil.Process().memory_info().rss,
        peak=_peak(),
        descriptors=descriptors,
        sockets=sockets,
        threads=sum(not thread.name.startswith(_POOLS) for thread in threading.enumerate()),
        tasks=_tasks(),
        warnings=tuple(warned.texts),
    )


def collect() -> None:
    """Let go of what only the collector can find; twice, for finalizers make garbage of their own."""
    gc.collect()
    gc.collect()


def settled(now: Resources, before: Resources) -> bool:
    """Whether nothing more is held than before."""
    names = ("descriptors", "sockets", "threads", "tasks")
    return all(getattr(now, name) <= getattr(before, name) for name in names)


def _descriptors() -> tuple[int, int]:
    try:
        numbers = [int(entry) for entry in os.listdir(_DESCRIPTORS)]
    except OSError:
        return UNKNOWN, UNKNOWN
    # The listing itself had one, which is gone now.
    there = {number: mode for number in numbers if (mode := _mode(number)) is not None}
    return len(there), sum(stat.S_ISSOCK(mode) and _is_internet(number) for number, mode in there.items())


def _mode(number: int) -> int | None:
    try:
        return os.fstat(number).st_mode
    except OSError:
        return None


def _is_internet(number: int) -> bool:
    try:
        other = socket.socket(fileno=os.dup(number))
    except OSError:
        return False
    with other:
        return other.family in (socket.AF_INET, socket.AF_INET6)


def _peak() -> int:
    # What getrusage says holds the parent's memory too, up to the moment of the fork.
    if sys.platform != "linux":
        return UNKNOWN
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return UNKNOWN


def _tasks() -> int:
    with suppress(RuntimeError):
        return len(asyncio.all_tasks())
    with suppress(RuntimeError):
        return trio.lowlevel.current_statistics().tasks_living
    return UNKNOWN


# --- from outside -----------------------------------------------------------------------------------------------------


async def watch_process(pid: int, recorder: Recorder, *, family: bool = False) -> None:
    """Record the memory and the descriptors of a process while it grows, until it is gone. `family`: its children too.

    Recorded is what is more than ever before, by a megabyte at the least.
    """
    most = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        while True:
            memory, descriptors = _held([process, *(process.children(recursive=True) if family else ())])
            if memory >= most + _STEP:
                most = memory
                seen = Resources(t=recorder.now(), phase=Phase.DURING, memory=memory, descriptors=descriptors)
                recorder.record(seen)
            await trio.sleep(_EVERY)


def _held(processes: list[psutil.Process]) -> tuple[int, int]:
    memory = sum(process.memory_info().rss for process in processes)
    # Other systems count handles, of which a process has many that nobody opened.
    known = hasattr(psutil.Process, "num_fds")
    return memory, sum(process.num_fds() for process in processes) if known else UNKNOWN
