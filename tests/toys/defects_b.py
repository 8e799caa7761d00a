"""Planted defects that limits, uploads, proxies and filters call for, beside those of `defects.py`.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

from typing import Any

from testbed import sse
from testbed.script import DialectName
from testbed.trace import Failure
from tests.toys import requests
from tests.toys.defects_parsing import parsing
from tests.toys.errors import Reset
from tests.toys.parsers import HandParser
from tests.toys.requests import Asked
from tests.toys.rows import ANTHROPIC, CHAT, Toy
from tests.toys.rules import Receive, Rules, Send, Sleep, Steps

_BOTH = (DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES)

# So much of a request leaves before the rest.
_FIRST_PART = 16_000
_MOMENT = 0.05


class BlankLineIsTwoLineFeeds(HandParser):
    """Looks for two LF between events; where lines end with CR LF there are none."""

    def feed(self, piece: bytes) -> tuple[sse.Event, ...]:
        *whole, self.waiting = (self.waiting + piece).split(b"\n\n")
        return tuple(event for block in whole for event in super().feed(block + b"\n\n"))

    def eof(self) -> None:
        super().eof()
        self.waiting = b""


class EarlyIsBroken(Rules):
    """Writes, then reads: an answer that comes while it still has something to write is a broken pipe."""

    def send(self, asked: Asked) -> Steps:
        data = requests.write(self.http, self.target, asked, session=self.session)
        yield from self.explained(Send(data[:_FIRST_PART], self.patience()))
        if len(data) > _FIRST_PART:
            yield Sleep(_MOMENT)
            yield from self.nothing_came()
            yield from self.explained(Send(data[_FIRST_PART:], self.patience()))

    def nothing_came(self) -> Steps:
        """Look whether the server has something to say already."""
        try:
            yield Receive(_MOMENT)
        except TimeoutError:
            return
        except OSError as error:
            raise self.explain(error) from error
        raise Reset("broken pipe")


class ImpatientUpload(Rules):
    """Gives the server a second to begin its answer, however much it was sent and whatever it was told."""

    def patience(self) -> float | None:
        return super().patience() if self.seen else 0.8


class NeedsHeartbeat(Rules):
    """Expects a sign of life four times within the time-out, as the vendor promises."""

    def patience(self) -> float | None:
        told = super().patience()
        return told / 4 if self.seen and told is not None else told


class QuarterSecond(Rules):
    """Takes a quarter of a second without a byte for the end of the connection, once text has come."""

    def patience(self) -> float | None:
        return 0.25 if self.seen else super().patience()


_EARLY = Failure.EARLY_TIMEOUT

_ROWS: tuple[tuple[str, type[Any], Failure, tuple[DialectName, ...], tuple[str, ...]], ...] = (
    ("blank-is-two-line-feeds", BlankLineIsTwoLineFeeds, Failure.FALSE_FAILURE, _BOTH, ("crlf-stream",)),
    ("early-is-broken", EarlyIsBroken, Failure.WRONG_ERROR_CLASS, _BOTH, ("early-response-to-upload",)),
    ("impatient-upload", ImpatientUpload, _EARLY, CHAT, ("slow-upload", "long-chat-history")),
    ("needs-heartbeat", NeedsHeartbeat, _EARLY, ANTHROPIC, ("stripped-heartbeats",)),
    ("quarter-second", QuarterSecond, _EARLY, CHAT, ("vpn-rekey-stall", "corporate-proxy-buffering")),
)

DEFECTS: tuple[Toy, ...] = tuple(
    Toy(name, parsing(kind) if issubclass(kind, HandParser) else kind, planted, dialects=dialects, scenarios=scenarios)
    for name, kind, planted, dialects, scenarios in _ROWS
)
