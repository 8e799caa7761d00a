"""Planted defects of overload, unstable networks, long prompts and time-outs, beside those of `defects.py`.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

import json
import math
from typing import Any

import h11

from testbed import sse
from testbed.script import DialectName, Terminal
from testbed.trace import Failure
from tests.toys.errors import Status, ToyError
from tests.toys.rows import ALL, CHAT, EVENTS, Toy
from tests.toys.rules import Rules, Sleep, Steps

MCP = (DialectName.MCP,)
_NO_SILENCE_EVENTS = (DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES, DialectName.OPENAI_RESPONSES)


# --- time-outs --------------------------------------------------------------------------------------------------------


class HeadEndsTheWait(Rules):
    """Bounds the wait for the head, and nothing behind it."""

    def patience(self) -> float | None:
        return None if self.status else super().patience()


class ArmedByFirstToken(Rules):
    """Starts its watchdog when the first token is there."""

    def patience(self) -> float | None:
        return super().patience() if self.seen else None


class OwnNumber(Rules):
    """Waits for a third of what it was told, and thirty seconds at the most: nobody answers later than that."""

    def patience(self) -> float | None:
        told = super().patience()
        return told if told is None or not self.seen else min(30.0, told / 3)


class EveryByteCounts(Rules):
    """Re-arms its time-out with every byte, whatever it was told of signs of life."""

    def hear(self, event: sse.Event) -> None:
        self.heard_at = self.now()

    def heard(self, data: bytes) -> bytes:
        self.heard_at = self.now()
        return super().heard(data)


class OnlyEventsCount(Rules):
    """Takes nothing but tokens for a sign of life."""

    def patience(self) -> float | None:
        told = super().patience()
        return told if told is None else max(0.001, self.heard_at + told - self.now())


class ThreeBeats(Rules):
    """Learns how often heartbeats come, and takes three missing ones for the end of the server."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.beat_at = math.nan
        self.interval = math.inf

    def heard(self, data: bytes) -> bytes:
        if b": keep-alive" in data or b"ping" in data or b"keepalive" in data:
            since = self.now() - self.beat_at
            self.interval = min(self.interval, since) if since > 0.1 else self.interval
            self.beat_at = self.now()
        return super().heard(data)

    def patience(self) -> float | None:
        told = super().patience()
        return told if told is None else min(told, max(0.4, 3 * self.interval))


# --- ends -------------------------------------------------------------------------------------------------------------


class FinIsEnd(Rules):
    """Takes the end of the connection for the end of the body, in the middle of a chunk too."""

    def next_event(self) -> object:
        try:
            return super().next_event()
        except ToyError:
            if not self.http.trailing_data[1]:
                raise
            self.reading.terminal = max(self.reading.terminal, Terminal.SOFT)
            return h11.EndOfMessage()


class WaitsForResponse(Rules):
    """Keeps a future for each call, and nobody resolves it when the stream is over."""

    def end(self) -> Steps:
        if self.reading.terminal is Terminal.NONE:
            yield Sleep(math.inf)
        yield from super().end()


# --- answers ----------------------------------------------------------------------------------------------------------


class ErrorPagesAreJson(Rules):
    """Reads the body of every error status as JSON."""

    def refusal(self) -> Status:
        json.loads(self.page)
        return super().refusal()


class NoSuchStatus(Rules):
    """Knows the statuses of the vendor's own documentation."""

    known = frozenset({400, 401, 403, 404, 413, 429, 500, 503, 529})

    def refusal(self) -> Status:
        if self.status not in self.known:
            raise KeyError(self.status)
        return super().refusal()


# --- asking again -----------------------------------------------------------------------------------------------------


class ReconnectsAnyway(Rules):
    """Reconnects after a clean end, as an EventSource does, though it was told to make no retry."""

    again = 2

    def call(self) -> Steps:
        yield from super().call()
        while not self.complete and self.again:
            self.again -= 1
            yield Sleep(0.5)
            yield from super().call()


class CleanEndsAreFree(Rules):
    """Backs off after trouble; a stream that ended well is none, so the next is asked for at once."""

    def pause(self, error: ToyError | None, retry: int) -> float:
        return 0.0 if error is None else super().pause(error, retry)


_EARLY, _HANG, _CUT = Failure.EARLY_TIMEOUT, Failure.HANG, Failure.SILENT_TRUNCATION

_ROWS: tuple[tuple[str, type[Rules], Failure, tuple[DialectName, ...]], ...] = (
    ("head-ends-the-wait", HeadEndsTheWait, _HANG, ALL),
    ("armed-by-first-token", ArmedByFirstToken, _HANG, ALL),
    ("own-number", OwnNumber, _EARLY, ALL),
    ("every-byte-counts", EveryByteCounts, Failure.LATE_TIMEOUT, CHAT),
    ("only-events-count", OnlyEventsCount, _EARLY, CHAT),
    ("three-beats", ThreeBeats, _EARLY, _NO_SILENCE_EVENTS),
    ("fin-is-end", FinIsEnd, _CUT, CHAT),
    ("waits-for-response", WaitsForResponse, _HANG, MCP),
    ("error-pages-are-json", ErrorPagesAreJson, Failure.UNWRAPPED_ERROR, ALL),
    ("no-such-status", NoSuchStatus, Failure.CRASH, CHAT),
    ("reconnects-anyway", ReconnectsAnyway, Failure.RETRY_STORM, EVENTS),
    ("clean-ends-are-free", CleanEndsAreFree, Failure.RETRY_STORM, EVENTS),
)

DEFECTS: tuple[Toy, ...] = tuple(Toy(name, kind, planted, dialects=dialects) for name, kind, planted, dialects in _ROWS)
