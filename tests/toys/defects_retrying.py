"""Planted defects of time, retries and reconnecting.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import msgspec

from testbed import sse
from testbed.adapters.items import Item
from testbed.ports import Target
from testbed.script import DialectName, Terminal
from testbed.trace import Failure
from tests.toys import requests
from tests.toys.correct import Correct
from tests.toys.defects_parsing import parsing
from tests.toys.errors import (
    ConnectFailed,
    FirstByteTimeout,
    IdleTimeout,
    Incomplete,
    Reset,
    Status,
    ToyError,
)
from tests.toys.parsers import HandParser
from tests.toys.requests import Asked
from tests.toys.rows import ANTHROPIC, CHAT, EVENTS, Toy
from tests.toys.rules import Rules, Step

RESPONSES = (DialectName.OPENAI_RESPONSES,)
MCP = (DialectName.MCP,)


# --- whether to ask again ---------------------------------------------------------------------------------------------


class OneMore(Rules):
    """Counts retries where it was told attempts, and makes one more than it may."""

    def __init__(self, target: Target) -> None:
        super().__init__(msgspec.structs.replace(target, max_retries=target.max_retries + 1))


class RetriesQuota(Rules):
    """Takes every 429 for a limit that passes."""

    def may_retry_status(self, error: Status) -> bool:
        return error.status_code == 429 or super().may_retry_status(error)


class RetriesBadRequests(Rules):
    """Retries 400 too: once it was an overload in disguise."""

    def may_retry_status(self, error: Status) -> bool:
        return error.status_code == 400 or super().may_retry_status(error)


class RetriesCutAnswers(Rules):
    """Asks again for an answer that broke off, though half of it was shown."""

    def may_retry(self, error: ToyError) -> bool:
        return isinstance(error, Incomplete) or super().may_retry(error)


class RetriesStalls(Rules):
    """Asks again after an idle time-out, though half of the answer was shown."""

    def may_retry(self, error: ToyError) -> bool:
        return isinstance(error, IdleTimeout) or super().may_retry(error)


class ForgetsOnSecond(Rules):
    """Knows at the first retry whether anything was shown, and not at the second."""

    def may_retry(self, error: ToyError) -> bool:
        return (self.retry >= 1 and isinstance(error, Reset)) or super().may_retry(error)


class SecondErrorRaw(Rules):
    """Maps the exception of the first attempt, and lets that of a retry out."""

    def explain(self, error: OSError) -> Exception:
        return error if self.retry else super().explain(error)


# --- when -------------------------------------------------------------------------------------------------------------


class IgnoresDates(Rules):
    """Knows Retry-After in seconds, and no date."""

    def asked_date(self) -> float | None:
        return None


class IgnoresMilliseconds(Rules):
    """Knows no retry-after-ms."""

    def asked_ms(self) -> float | None:
        return None


class IgnoresSecondWait(Rules):
    """Waits as it was told once, and then as it likes."""

    def pause(self, error: ToyError | None, retry: int) -> float:
        return super().pause(error, retry) if retry == 0 else self.back_off(0)


class MillisecondsForSeconds(Rules):
    """Takes the seconds of Retry-After for milliseconds."""

    def asked_seconds(self) -> float | None:
        wait = super().asked_seconds()
        return None if wait is None else wait / 1000


class ShrinkingPause(Rules):
    """Divides where it meant to multiply."""

    def back_off(self, retry: int) -> float:
        return 4.0 / 2.5**retry


class HastyAfterReset(Rules):
    """Backs off after statuses, and comes back at once after a broken connection."""

    def pause(self, error: ToyError | None, retry: int) -> float:
        return 0.0 if isinstance(error, (Reset, ConnectFailed)) else super().pause(error, retry)


# --- time-outs --------------------------------------------------------------------------------------------------------


class FirstByteForAll(Rules):
    """Uses the time-out for the first byte all the way."""

    def patience(self) -> float | None:
        return self.target.first_byte_timeout

    def timed_out(self) -> Exception:
        return FirstByteTimeout()


class HalfPatience(Rules):
    """Gives up after half of the time."""

    def patience(self) -> float | None:
        told = super().patience()
        return None if told is None else told / 2


class NoFirstTimeout(Rules):
    """Waits for ever for the first byte."""

    def patience(self) -> float | None:
        return super().patience() if self.seen else None


class EndlessOnSecond(Rules):
    """Sets the time-out on the first connection and on no other."""

    def patience(self) -> float | None:
        return None if self.retry else super().patience()


class TimeoutIsEnd(Rules):
    """Takes silence for the end of the answer, if there was any."""

    def forgives(self, error: ToyError) -> bool:
        if isinstance(error, IdleTimeout) and self.shown:
            self.reading.terminal = Terminal.SOFT
            return True
        return super().forgives(error)


class ResetIsEnd(Rules):
    """Takes a reset for the end of the answer, if there was any."""

    def forgives(self, error: ToyError) -> bool:
        if isinstance(error, Reset) and self.shown:
            self.reading.terminal = Terminal.SOFT
            return True
        return super().forgives(error)


class Polls(Correct):
    """Shows what has come once a second."""

    async def do(self, step: Step) -> bytes | None:
        received = await super().do(step)
        if received is not None:
            await anyio.sleep(1.0 - self.now() % 1.0)
        return received


# --- plain event streams ----------------------------------------------------------------------------------------------


class NoLastId(Rules):
    """Reconnects, and does not say what it has."""

    def asks(self) -> Asked:
        asked = super().asks()
        return asked._replace(fields=tuple(field for field in asked.fields if field[0] != "Last-Event-ID"))


class EndsForGood(Rules):
    """Takes the clean end of an event stream for its end."""

    def judge_end(self) -> None:
        super().judge_end()
        self.complete = True


class NoContentReconnects(Rules):
    """Takes 204 for an empty answer, and comes back."""

    def judge_end(self) -> None:
        if self.status != 204:
            super().judge_end()


class ForgetsId(HandParser):
    """Forgets the id at an event that has none."""

    def clear(self) -> None:
        super().clear()
        self.id = ""


class SkipsFirstOfResumed(Rules):
    """Leaves out the first event of a stream that goes on: it takes it for the one that it has."""

    skipping = False

    def begin(self) -> None:
        super().begin()
        self.skipping = self.seen

    def items(self, event: sse.Event) -> Iterator[Item]:
        if self.skipping:
            self.skipping = False
            return
        yield from super().items(event)


class OneTooFar(Rules):
    """Asks for what stands behind the event that it has not seen yet."""

    def asks(self) -> Asked:
        asked = super().asks()
        if "starting_after" in asked.path:
            path, _, number = asked.path.rpartition("=")
            return asked._replace(path=f"{path}={int(number) + 1}")
        return asked


class AsksAfresh(Rules):
    """Asks the whole question again where it could go on."""

    def asks(self) -> Asked:
        return requests.asks(self.target)


_CUT, _STORM, _FINAL = Failure.SILENT_TRUNCATION, Failure.RETRY_STORM, Failure.RETRIED_NON_RETRYABLE
_ASKED, _HANG = Failure.RETRY_AFTER_IGNORED, Failure.HANG
_STALLS = ("stall-mid-stream",)

_ROWS: tuple[tuple[str, type[Any], Failure, tuple[DialectName, ...], tuple[str, ...]], ...] = (
    ("one-more", OneMore, _STORM, CHAT, ("overloaded-before-stream",)),
    ("retries-quota", RetriesQuota, _FINAL, CHAT, ("quota-exhausted",)),
    ("retries-bad-requests", RetriesBadRequests, _FINAL, CHAT, ("context-length-exceeded",)),
    ("retries-cut-answers", RetriesCutAnswers, Failure.DUPLICATED_TEXT, ANTHROPIC, ("abrupt-end",)),
    ("retries-stalls", RetriesStalls, Failure.DUPLICATED_TEXT, CHAT, _STALLS),
    ("forgets-on-second", ForgetsOnSecond, Failure.DUPLICATED_TEXT, CHAT, ("flapping-server",)),
    ("second-error-raw", SecondErrorRaw, Failure.UNWRAPPED_ERROR, CHAT, ("flapping-server",)),
    ("ignores-dates", IgnoresDates, _ASKED, CHAT, ("rate-limited-then-ok",)),
    ("ignores-milliseconds", IgnoresMilliseconds, _ASKED, CHAT, ("rate-limited-then-ok",)),
    ("ignores-second-wait", IgnoresSecondWait, _ASKED, CHAT, ("rate-limited-forever",)),
    ("milliseconds-for-seconds", MillisecondsForSeconds, _ASKED, ANTHROPIC, ("rate-limited-then-ok",)),
    ("shrinking-pause", ShrinkingPause, _STORM, CHAT, ("rate-limited-forever",)),
    ("hasty-after-reset", HastyAfterReset, _STORM, CHAT, ("flapping-server",)),
    ("first-byte-for-all", FirstByteForAll, Failure.WRONG_ERROR_CLASS, CHAT, _STALLS),
    ("half-patience", HalfPatience, Failure.EARLY_TIMEOUT, CHAT, _STALLS),
    ("no-first-timeout", NoFirstTimeout, _HANG, CHAT, ("slow-first-token",)),
    ("endless-on-second", EndlessOnSecond, _HANG, CHAT, ("slow-first-token",)),
    ("timeout-is-end", TimeoutIsEnd, _CUT, ANTHROPIC, _STALLS),
    ("reset-is-end", ResetIsEnd, _CUT, CHAT, ("mid-stream-reset",)),
    ("polls", Polls, Failure.LATE_DELIVERY, CHAT, ("vpn-latency",)),
    ("no-last-id", NoLastId, Failure.NO_RESUME, EVENTS, ("resume-after-drop",)),
    ("ends-for-good", EndsForGood, Failure.NO_RESUME, EVENTS, ("resume-after-drop",)),
    ("no-content-reconnects", NoContentReconnects, _FINAL, EVENTS, ("reconnect-storm-empty-or-204",)),
    ("forgets-id", ForgetsId, Failure.NO_RESUME, EVENTS, ("comment-after-id",)),
    ("skips-first-of-resumed", SkipsFirstOfResumed, Failure.LOST_EVENT, EVENTS, ("resume-after-drop",)),
    ("one-too-far", OneTooFar, Failure.RESUME_GAP, RESPONSES, ("resume-after-drop",)),
    ("asks-afresh", AsksAfresh, Failure.DUPLICATED_TEXT, MCP + RESPONSES, ("resume-after-drop",)),
)

DEFECTS: tuple[Toy, ...] = tuple(
    Toy(name, parsing(kind) if issubclass(kind, HandParser) else kind, planted, dialects=dialects, scenarios=scenarios)
    for name, kind, planted, dialects, scenarios in _ROWS
)
