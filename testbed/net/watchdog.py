"""The watchdog: measures how late our own loop wakes.

The law of this module: it judges the machine and never the client. Where the loop is late, every time in the trace is
doubtful, and the run is ours to repeat.
"""

from __future__ import annotations

from typing import NoReturn

import trio

from testbed.ports import Recorder
from testbed.trace import Late


async def watch(recorder: Recorder, every: float = 0.05, tolerance: float = 0.1) -> NoReturn:
    """Wake `every` seconds, and record :class:`Late` whenever that happens more than `tolerance` seconds late."""
    while True:
        due = trio.current_time() + every
        await trio.sleep_until(due)
        late = trio.current_time() - due
        if late > tolerance:
            recorder.record(Late(t=recorder.now(), by=round(late * 1_000_000)))
