"""Planted defects of the parser: how bytes become lines, lines become events, and events become text.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from testbed import sse
from testbed.adapters.items import Event, Item
from testbed.script import DialectName
from testbed.trace import Failure
from tests.toys import plans, readings
from tests.toys.errors import Broken, Undecodable
from tests.toys.parsers import HandParser
from tests.toys.rows import ANTHROPIC, CHAT, EVENTS, Toy
from tests.toys.rules import Rules

LIMIT = 65_536


def parsing(kind: type[HandParser]) -> type[Rules]:
    """A client with that parser."""

    class ByHand(Rules):
        def make_parser(self) -> Any:
            return kind()

    ByHand.__name__ = kind.__name__
    ByHand.__doc__ = kind.__doc__
    return ByHand


# --- lines ------------------------------------------------------------------------------------------------------------


class UnicodeLines(HandParser):
    """Cuts lines with str.splitlines, which also cuts at U+2028, U+2029, U+0085, FF, VT and others."""

    def lines(self, piece: bytes) -> list[bytes]:
        return [part.encode() for line in super().lines(piece) for part in self.cut(line)]

    def cut(self, line: bytes) -> list[str]:
        """What becomes of one line."""
        return line.decode("utf-8", "replace").splitlines() or [""]


class NextLines(UnicodeLines):
    """Takes U+0085, the next line of some standards, for a line end."""

    def cut(self, line: bytes) -> list[str]:
        return line.decode("utf-8", "replace").split("\x85")


class OnlyLineFeeds(HandParser):
    """Knows LF and CRLF, and no CR alone."""

    def lines(self, piece: bytes) -> list[bytes]:
        *lines, self.buffer = (self.buffer + piece).split(b"\n")
        return [self.without_bom(line.removesuffix(b"\r")) for line in lines]


class SplitPairs(HandParser):
    """Forgets between two reads that the last one ended with a CR, and takes the LF behind it for another line end."""

    def lines(self, piece: bytes) -> list[bytes]:
        self.after_cr = False
        return super().lines(piece)


class KeepsMark(HandParser):
    """Takes a byte order mark for a part of the first field's name."""

    def without_bom(self, line: bytes) -> bytes:
        return line


class DecodesPieces(HandParser):
    """Decodes each read by itself and leaves out what it cannot decode."""

    def lines(self, piece: bytes) -> list[bytes]:
        return super().lines(piece.decode("utf-8", "ignore").encode())


class LineLimit(Rules):
    """Reads lines through a buffer of 64 KiB, as asyncio's readline does, and gives up at a longer one."""

    def read(self, piece: bytes) -> Iterator[Item]:
        items = list(super().read(piece))
        if self.unfinished > LIMIT:
            raise Broken("Separator is not found, and chunk exceed the limit")
        yield from items


class SilentLimit(HandParser):
    """Keeps 64 KiB of a line and forgets the rest, as C's fgets into a buffer does."""

    def lines(self, piece: bytes) -> list[bytes]:
        lines = super().lines(piece)
        return [line for line in lines if len(line) <= LIMIT]


# --- fields -----------------------------------------------------------------------------------------------------------


class NeedsSpace(HandParser):
    """Looks for `data: ` with its space, which the standard does not ask for."""

    def line(self, line: str) -> list[sse.Event]:
        return [] if re.match(r"data:[^ ]", line) else super().line(line)


class StripsAll(HandParser):
    """Strips all space from a value where the standard takes away one."""

    def value(self, text: str) -> str:
        return text.strip()


class LastLineOnly(HandParser):
    """Of several data lines it keeps the last."""

    def joined(self) -> str:
        return self.data[-1]


class JoinsWithout(HandParser):
    """Joins several data lines without the line end between them."""

    def joined(self) -> str:
        return "".join(self.data)


class EventPerLine(HandParser):
    """Takes each data line for an event: it never saw one with two."""

    def events(self) -> list[sse.Event]:
        type_ = self.type or "message"
        return [sse.Event(type_, line, self.last_event_id, self.intact) for line in self.data]


class ShowsEmpty(HandParser):
    """Shows an event for every blank line."""

    def events(self) -> list[sse.Event]:
        return [sse.Event(self.type or "message", self.joined(), self.last_event_id, self.intact)]


class StickyType(HandParser):
    """Keeps the name of an event for those behind it."""

    def clear(self) -> None:
        kept = getattr(self, "type", "")
        super().clear()
        self.type = kept


class CommentEnds(HandParser):
    """Forgets what it has of an event when a comment stands inside it."""

    def line(self, line: str) -> list[sse.Event]:
        if line.startswith(":"):
            self.clear()
            return []
        return super().line(line)


class CommentIsData(HandParser):
    """Looks for the first colon with something before it, and takes a comment for data."""

    def line(self, line: str) -> list[sse.Event]:
        return super().line("data" + line if line.startswith(":") else line)


class ColonInData(HandParser):
    """Splits a line at every colon and keeps the second part."""

    def line(self, line: str) -> list[sse.Event]:
        parts = line.split(":")
        return super().line(
            ":".join(parts[:2]) if parts[0] == "data" and not parts[1].lstrip().startswith("{") else line
        )


class TakesIdAtOnce(HandParser):
    """Believes an id when it stands there, though its event may never become whole."""

    def take_id(self, value: str) -> None:
        self.id = self.last_event_id = value


# --- events -----------------------------------------------------------------------------------------------------------


class ShowsHalf(Rules):
    """Shows the block that was not over when the body ended."""

    def flush(self) -> Iterable[Item]:
        rest = self.parser.feed(b"\n\n") if self.status == 200 else ()
        return [item for event in rest for item in self.items(event)]


class BasicPlaneOnly(Rules):
    """Knows characters of sixteen bits."""

    def show(self, items: list[Item]) -> Iterable[Item]:
        for item in items:
            if isinstance(item, str):
                yield "".join(chr(ord(character) & 0xFFFF) for character in item)
            elif isinstance(item, Event):
                narrow = "".join(chr(ord(character) & 0xFFFF) for character in item.data)
                yield Event(item.type, narrow, item.id)
            else:
                yield item


class Normalises(Rules):
    """Drops what it takes for invisible: joiners and selectors, of which emoji and Indic scripts are made."""

    def show(self, items: list[Item]) -> Iterable[Item]:
        for item in items:
            yield re.sub("[\u200b-\u200f\ufe00-\ufe0f]", "", item) if isinstance(item, str) else item


class LastInFirstOut(Rules):
    """Puts what one read brings on a stack."""

    def read(self, piece: bytes) -> Iterator[Item]:
        yield from reversed(list(super().read(piece)))


class OnePerRead(Rules):
    """Takes it that one read brings one event, and forgets the second of a read that brings more."""

    def read(self, piece: bytes) -> Iterator[Item]:
        for event in self.parser.feed(piece)[:1]:
            yield from self.items(event)


class JsonPerRead(Rules):
    """Takes each read for whole lines, and leaves out a line that is no JSON: the halves of one that was cut."""

    def read(self, piece: bytes) -> Iterator[Item]:
        for event in sse.Parser().feed(piece + b"\n\n"):
            with suppress(Undecodable):
                yield from self.items(event)


class NextLineLines(readings.Lines):
    """Cuts NDJSON with str.splitlines: nobody escapes U+0085."""

    def event(self, line: bytes) -> sse.Event:
        return super().event(line.split(b"\xc2\x85")[0])


class CutsNdjson(Rules):
    """Cuts lines of JSON where Unicode sees a line end."""

    def make_parser(self) -> Any:
        return NextLineLines()


_TEXT, _LOST, _FALSE = Failure.CORRUPTED_TEXT, Failure.LOST_EVENT, Failure.FALSE_FAILURE
_OLLAMA = (DialectName.OLLAMA,)

# What no scenario of the catalogue is about.
_OWN = {"keeps-mark": plans.marked}

DEFECTS: tuple[Toy, ...] = tuple(
    Toy(
        name,
        parsing(kind) if issubclass(kind, HandParser) else kind,
        planted,
        dialects=dialects,
        scenarios=scenarios,
        plan=_OWN.get(name),
    )
    for name, kind, planted, dialects, scenarios in (
        ("unicode-lines", UnicodeLines, _FALSE, CHAT, ("u2028-in-json", "split-utf8")),
        ("next-lines", NextLines, _FALSE, ANTHROPIC, ("split-utf8",)),
        ("only-line-feeds", OnlyLineFeeds, _LOST, EVENTS, ("split-crlf",)),
        ("split-pairs", SplitPairs, _TEXT, EVENTS, ("crlf-split-across-segments", "split-crlf")),
        ("keeps-mark", KeepsMark, _LOST, EVENTS, ()),
        ("decodes-pieces", DecodesPieces, _TEXT, CHAT, ("byte-at-a-time",)),
        ("line-limit", LineLimit, _FALSE, CHAT, ("large-event-64k-1m", "huge-event")),
        ("silent-limit", SilentLimit, _LOST, ANTHROPIC, ("large-event-64k-1m", "huge-event")),
        ("needs-space", NeedsSpace, _FALSE, CHAT, ("multi-line-data-and-no-space",)),
        ("strips-all", StripsAll, _TEXT, EVENTS, ("split-utf8", "byte-at-a-time", "vpn-latency")),
        ("last-line-only", LastLineOnly, _TEXT, EVENTS, ("multi-line-data-and-no-space",)),
        ("joins-without", JoinsWithout, _TEXT, EVENTS, ("multi-line-data-and-no-space",)),
        ("event-per-line", EventPerLine, _FALSE, CHAT, ("multi-line-data-and-no-space",)),
        ("shows-empty", ShowsEmpty, Failure.PHANTOM_EVENT, EVENTS, ("retry-only-block", "comment-keepalive")),
        ("sticky-type", StickyType, _TEXT, EVENTS, ("retry-only-block",)),
        ("comment-ends", CommentEnds, _LOST, EVENTS, ("comment-inside-event",)),
        ("comment-is-data", CommentIsData, _FALSE, CHAT, ("comment-keepalive",)),
        ("colon-in-data", ColonInData, _TEXT, EVENTS, ("multi-line-data-and-no-space",)),
        ("takes-id-at-once", TakesIdAtOnce, Failure.RESUME_GAP, EVENTS, ("resume-after-drop",)),
        ("shows-half", ShowsHalf, Failure.PARTIAL_EVENT_DELIVERED, EVENTS, ("resume-after-drop",)),
        ("basic-plane-only", BasicPlaneOnly, _TEXT, CHAT, ("split-utf8",)),
        ("normalises", Normalises, _TEXT, ANTHROPIC, ("split-utf8",)),
        ("last-in-first-out", LastInFirstOut, Failure.REORDERED_EVENT, CHAT, ("coalesced-events",)),
        ("one-per-read", OnePerRead, _LOST, CHAT, ("coalesced-events",)),
        ("json-per-read", JsonPerRead, _LOST, CHAT, ("split-utf8", "byte-at-a-time")),
        ("cuts-ndjson", CutsNdjson, _FALSE, _OLLAMA, ("u2028-in-json",)),
    )
)
