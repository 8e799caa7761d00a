"""A parser of server-sent events as people write them by hand: right as it stands, and wrong where one overrides it.

The law of this module: `HandParser` says the same as the reference parser of the testbed, piece for piece; a test draws
streams and compares them.
"""

from __future__ import annotations

import re

from testbed import sse

_BOM = b"\xef\xbb\xbf"


class HandParser:
    """Bytes in, events out."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self.eof()

    def eof(self) -> None:
        """Another body begins."""
        self.buffer = b""
        self.begun = False
        self.after_cr = False
        self.id = self.last_event_id
        self.clear()

    def clear(self) -> None:
        """Another event begins."""
        self.data: list[str] = []
        self.type = ""
        self.intact = True

    def feed(self, piece: bytes) -> tuple[sse.Event, ...]:
        """Take the next bytes, and return the events that they complete."""
        events: list[sse.Event] = []
        for line in self.lines(piece):
            events += self.line(self.decode(line))
        return tuple(events)

    def lines(self, piece: bytes) -> list[bytes]:
        """The lines that a piece completes. A CR ends its line at once, and an LF behind it belongs to it."""
        if self.after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self.after_cr = False
        if not piece:
            return []
        self.after_cr = piece.endswith(b"\r")
        *lines, self.buffer = re.split(rb"\r\n|\r|\n", self.buffer + piece)
        return [self.without_bom(line) for line in lines]

    def without_bom(self, line: bytes) -> bytes:
        """The very first line may begin with a mark that is no part of it."""
        first, self.begun = not self.begun, True
        return line.removeprefix(_BOM) if first else line

    def decode(self, line: bytes) -> str:
        """The text of a line."""
        text = line.decode("utf-8", "replace")
        self.intact = self.intact and text.encode() == line
        return text

    def line(self, line: str) -> list[sse.Event]:
        """One line: a field, a comment, or the end of an event."""
        if not line:
            return self.dispatch()
        name, _, value = line.partition(":")
        self.field(name, self.value(value))
        return []

    def value(self, text: str) -> str:
        """What stands behind the colon, without one space."""
        return text.removeprefix(" ")

    def field(self, name: str, value: str) -> None:
        """One field."""
        if name == "data":
            self.data.append(value)
        elif name == "event":
            self.type = value
        elif name == "id" and "\0" not in value:
            self.take_id(value)
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value[:15])

    def take_id(self, value: str) -> None:
        """An id counts from its event on, and not before that is whole."""
        self.id = value

    def dispatch(self) -> list[sse.Event]:
        """A blank line: show the event, if it has data."""
        self.last_event_id = self.id
        events = self.events()
        self.clear()
        return events

    def events(self) -> list[sse.Event]:
        """The event that is whole now."""
        if not self.data:
            return []
        return [sse.Event(self.type or "message", self.joined(), self.last_event_id, self.intact)]

    def joined(self) -> str:
        """Several lines of data are one text."""
        return "\n".join(self.data)
