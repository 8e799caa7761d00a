"""Planted defects that the scenarios of the catalogue call for, beside those of `defects.py`: ends, waits and lines.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from testbed import sse
from testbed.adapters.items import Item, ToolCall
from testbed.script import DialectName, Terminal
from testbed.trace import Failure
from tests.toys import readings
from tests.toys.defects_answers import reading
from tests.toys.defects_parsing import LIMIT, parsing
from tests.toys.errors import Provider, Status, ToyError, Undecodable
from tests.toys.parsers import HandParser
from tests.toys.readings import Json
from tests.toys.rows import ANTHROPIC, CHAT, EVENTS, NO_RECONNECT, Toy
from tests.toys.rules import Rules

RESPONSES = (DialectName.OPENAI_RESPONSES,)


# --- where an answer ends ---------------------------------------------------------------------------------------------


class BlockStopIsTheEnd(readings.Anthropic):
    """Takes the end of the content block for the end of the message."""

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("type") == "content_block_stop":
            self.terminal = Terminal.SOFT
        yield from super().of(data)


class ItemDoneIsTheEnd(readings.Responses):
    """Takes a finished item for a finished response."""

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("type") == "response.output_item.done":
            self.terminal = Terminal.SOFT
        yield from super().of(data)


class BeginsAgain(readings.Anthropic):
    """Begins its buffer anew with each message_start, and shows what it collected at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.collected = ""

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("type") == "message_start":
            self.collected = ""
        for item in super().of(data):
            if isinstance(item, str):
                self.collected += item
            else:
                yield self.collected
                yield item


class LongLineIsTheEnd(Rules):
    """Reads lines through a scanner with a buffer of 64 KiB, and takes the scanner's giving up for the end."""

    def read(self, piece: bytes) -> Iterator[Item]:
        yield from super().read(piece)
        if self.unfinished > LIMIT:
            self.reading.terminal = Terminal.HARD


# --- tool calls -------------------------------------------------------------------------------------------------------


class MendsArguments(readings.Chat):
    """Closes what is open in the arguments of a tool call, and hands the call out."""

    def finished(self, reason: str) -> Iterator[Item]:
        for index, (call_id, name, pieces) in list(self.calls.open.items()):
            if pieces and not readings.is_object("".join(pieces)):
                yield ToolCall(call_id, name, "".join(pieces) + '"}')
                del self.calls.open[index]
        yield from super().finished(reason)


# --- errors -----------------------------------------------------------------------------------------------------------


class WaitsWithTheError(Rules):
    """Keeps the provider's error until the body is over."""

    kept: ToyError | None = None

    def items(self, event: sse.Event) -> Iterator[Item]:
        try:
            yield from super().items(event)
        except (Provider, Undecodable) as error:
            self.kept = error

    def judge_end(self) -> None:
        if self.kept is not None:
            raise self.kept
        super().judge_end()


class ShowsWhatIsNoJson(Rules):
    """Takes an event that is no JSON for plain text."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        try:
            yield from super().items(event)
        except Undecodable:
            yield event.data


# --- waits ------------------------------------------------------------------------------------------------------------


class TenthOfTheWait(Rules):
    """Comes back after a tenth of the time that it was told, ten times as clever as the others."""

    def pause(self, error: ToyError | None, retry: int) -> float:
        asked = getattr(error, "retry_after", None) if isinstance(error, Status) else None
        return float(asked) / 10 if asked else super().pause(error, retry)


# --- events -----------------------------------------------------------------------------------------------------------


class IdMakesAnEvent(HandParser):
    """Dispatches whenever an id is known, with data or without."""

    def events(self) -> list[sse.Event]:
        if not self.data and self.id:
            return [sse.Event(self.type or "message", "", self.last_event_id, self.intact)]
        return super().events()


class NameMakesAnEvent(HandParser):
    """Dispatches a named event without data."""

    def events(self) -> list[sse.Event]:
        if not self.data and self.type:
            return [sse.Event(self.type, "", self.last_event_id, self.intact)]
        return super().events()


def client(kind: type[Any]) -> type[Rules]:
    """A client with that reading, that parser, or that rule."""
    if issubclass(kind, HandParser):
        return parsing(kind)
    return reading(kind) if issubclass(kind, readings.Reading) else kind


_CUT, _FALSE, _PHANTOM = Failure.SILENT_TRUNCATION, Failure.FALSE_FAILURE, Failure.PHANTOM_EVENT

_ROWS: Iterable[tuple[str, type[Any], Failure, tuple[DialectName, ...], tuple[str, ...]]] = (
    ("block-stop-is-the-end", BlockStopIsTheEnd, _CUT, ANTHROPIC, ("eof-before-message-stop",)),
    ("item-done-is-the-end", ItemDoneIsTheEnd, _CUT, RESPONSES, ("eof-before-response-completed",)),
    ("begins-again", BeginsAgain, Failure.LOST_EVENT, ANTHROPIC, ("duplicate-message-start",)),
    ("long-line-is-the-end", LongLineIsTheEnd, _CUT, NO_RECONNECT, ("endless-line", "huge-event")),
    ("mends-arguments", MendsArguments, Failure.PARTIAL_EVENT_DELIVERED, CHAT, ("tool-call-at-limit",)),
    ("waits-with-the-error", WaitsWithTheError, Failure.WRONG_ERROR_CLASS, CHAT, ("error-event-then-open-socket",)),
    ("shows-what-is-no-json", ShowsWhatIsNoJson, _PHANTOM, CHAT + ANTHROPIC, ("data-colon-keepalive",)),
    ("tenth-of-the-wait", TenthOfTheWait, Failure.RETRY_AFTER_IGNORED, CHAT + ANTHROPIC, ("rate-limit-window",)),
    ("id-makes-an-event", IdMakesAnEvent, _FALSE, CHAT, ("comment-after-id",)),
    ("id-makes-a-message", IdMakesAnEvent, _PHANTOM, EVENTS, ("comment-after-id",)),
    ("name-makes-an-event", NameMakesAnEvent, _FALSE, CHAT, ("retry-only-block",)),
)

DEFECTS: tuple[Toy, ...] = tuple(
    Toy(name, client(kind), planted, dialects=dialects, scenarios=scenarios)
    for name, kind, planted, dialects, scenarios in _ROWS
)
