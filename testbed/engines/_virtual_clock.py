"""A clock that stands still while anything computes, and jumps when everything waits.

The law of this module: time moves only when no task is runnable *and* no thread is at work, and then exactly to the
next deadline.

Trio asks its clock how long to sleep only when its run queue is empty, so the question itself says that all tasks are
blocked. ``MockClock(autojump_threshold=0)`` would do, but for clients that hop to a thread (openai does, once): it
sees an idle loop, jumps to the run's own deadline, and the client seems to hang. Here a borrowed thread token means
"wait for real, the thread will wake the loop".
"""

from __future__ import annotations

import math
from typing import final

import trio
import trio.abc

# Real seconds between two looks while a thread is at work; its completion wakes the loop at once, this is only the
# upper bound.
_THREAD_PATIENCE = 1.0


@final
class VirtualClock(trio.abc.Clock):
    """Starts at 0.0 and counts virtual seconds."""

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        """Nothing to start: time is moved, it does not run."""

    def current_time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Jump to `deadline`, unless a thread is at work or there is nothing to wait for but the outside world."""
        if trio.to_thread.current_default_thread_limiter().borrowed_tokens:
            return _THREAD_PATIENCE
        if math.isinf(deadline):
            return _THREAD_PATIENCE
        self._now = max(self._now, deadline)
        return 0.0
