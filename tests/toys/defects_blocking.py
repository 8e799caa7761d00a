"""Planted defects of a client on blocking sockets.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from testbed.adapters.items import Item
from testbed.script import Terminal
from testbed.trace import Failure
from tests.toys import defects, plans
from tests.toys.blocking import Blocking
from tests.toys.errors import Reset, ToyError
from tests.toys.rows import ANTHROPIC, CHAT, EVENTS, THREAD, Toy
from tests.toys.rules import Receive, Rules, Step

BUFFER = 2048


class BlocksForEver(Blocking):
    """Sets a time-out for connecting, and takes it back for the stream."""

    def do(self, step: Step) -> bytes | None:
        return super().do(step._replace(timeout=None) if isinstance(step, Receive) else step)


class FillsBuffer(Blocking):
    """Reads through a buffered file, which waits until it is full."""

    def do(self, step: Step) -> bytes | None:
        received = super().do(step)
        if not isinstance(step, Receive) or not received:
            return received
        while len(received) < BUFFER and (more := super().do(step)):
            received += more
        return received


class RawTimeout(Rules):
    """Lets the socket's time-out out."""

    def timed_out(self) -> Exception:
        return TimeoutError("timed out")


class OneDeadline(Blocking):
    """Takes the time-out of a read for that of the whole call: it was written for short answers."""

    def patience(self) -> float | None:
        told = super().patience()
        return None if told is None else max(0.001, self.started + told - self.now())


class EmptyIsNotYet(Blocking):
    """Takes an empty read for nothing new, and reads again."""

    def do(self, step: Step) -> bytes | None:
        received = super().do(step)
        while isinstance(step, Receive) and received == b"" and self.reading.terminal is Terminal.NONE:
            time.sleep(0.05)
            received = super().do(step)
        return received


class HastyReconnect(Rules):
    """Retries at once: the next server behind the balancer may be well."""

    def pause(self, error: ToyError | None, retry: int) -> float:
        return 0.0


class RestartsAnswer(Rules):
    """Asks again after a reset, from the beginning."""

    def may_retry(self, error: ToyError) -> bool:
        return isinstance(error, Reset) or super().may_retry(error)


class DecodesReads(Rules):
    """Decodes each read of the socket by itself."""

    def read(self, piece: bytes) -> Iterator[Item]:
        yield from super().read(piece.decode("utf-8", "ignore").encode())


DEFECTS: tuple[Toy, ...] = tuple(
    Toy(f"blocking-{name}", kind, planted, runtimes=THREAD, dialects=dialects, scenarios=scenarios, plan=plan)
    for name, kind, planted, dialects, scenarios, plan in (
        (
            "silent-truncation",
            defects.SilentTruncation,
            Failure.SILENT_TRUNCATION,
            ANTHROPIC,
            ("abrupt-end",),
            None,
        ),
        ("for-ever", BlocksForEver, Failure.HANG, CHAT, ("stall-mid-stream",), plans.stalled),
        ("fills-buffer", FillsBuffer, Failure.LATE_DELIVERY, CHAT, (), plans.slow_and_steady),
        ("raw-timeout", RawTimeout, Failure.UNWRAPPED_ERROR, CHAT, ("stall-mid-stream",), plans.stalled),
        ("one-deadline", OneDeadline, Failure.EARLY_TIMEOUT, CHAT, (), plans.slow_and_steady),
        ("empty-is-not-yet", EmptyIsNotYet, Failure.HANG, CHAT, ("abrupt-end",), plans.cut_where_closed),
        ("hasty", HastyReconnect, Failure.RETRY_STORM, CHAT, ("overloaded-before-stream",), plans.overloaded),
        ("restarts", RestartsAnswer, Failure.DUPLICATED_TEXT, CHAT, ("mid-stream-reset",), plans.reset_then_whole),
        ("decodes-reads", DecodesReads, Failure.CORRUPTED_TEXT, EVENTS, ("split-utf8", "byte-at-a-time"), None),
    )
)
