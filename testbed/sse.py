"""Server-sent events: the encoder, and the reference parser of the WHATWG standard ("Server-sent events", 9.2).

The laws of this module: bytes are cut into lines only at CR, LF and CRLF (never by :meth:`str.splitlines`, which also
cuts at U+2028, U+0085 and others); what the parser says does not depend on how the bytes were cut into pieces; its work
is linear in the bytes it is fed. The oracle uses the parser and never the encoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import final

from testbed._values import Value
from testbed.errors import UsageError

# The three line ends of the standard. CRLF stands first, else it would count as two.
_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE_END_BYTES = re.compile(rb"\r\n|\r|\n")

_BOM = b"\xef\xbb\xbf"

# A reconnection time of more digits than this is as good as "never", and int() refuses very long numerals.
_RETRY_DIGITS = 15

# --- encoder ----------------------------------------------------------------------------------------------------------


def event(
    data: str, event: str | None = None, id: str | None = None, retry: int | None = None, *, space: str = " "
) -> bytes:
    r"""Encode one event, blank line included. `space` stands behind each colon; it may be empty.

    A receiver takes one space away, so a value that begins with one always has another before it. A line end inside
    `data` starts a new data line, so the receiver gets it back as LF, whichever it was. An id may hold NUL: sending
    what a client must ignore is what this encoder is for.

    >>> event("a\nb", event="tick", id="7")
    b'event: tick\nid: 7\ndata: a\ndata: b\n\n'
    """
    # The name and the id come before the data, as servers write them: a stream cut inside the data has shown both.
    fields = (("event", event), ("id", id), ("retry", retry))
    lines = [_field(name, _one_line(name, str(value)), space) for name, value in fields if value is not None]
    lines += [_field("data", line, space) for line in _LINE_END.split(data)]
    return utf8("\n".join(lines) + "\n\n")


def _field(name: str, value: str, space: str) -> str:
    return f"{name}:{' ' if value.startswith(' ') else space}{value}"


def comment(text: str = "") -> bytes:
    r"""Encode a comment, one comment line for each line of `text`, and the blank line that servers put behind it.

    The blank line belongs to what real servers send, and it finds clients that take it for an event.

    >>> comment("ping")
    b': ping\n\n'
    """
    return utf8("".join(f": {line}\n" for line in _LINE_END.split(text)) + "\n")


def as_received(data: str) -> str:
    r"""Return the data that arrives when `data` is sent: every line end has become LF.

    >>> as_received("a\r\nb\rc")
    'a\nb\nc'
    """
    return _LINE_END.sub("\n", data)


def utf8(text: str) -> bytes:
    """Encode `text` as UTF-8; raises :class:`UsageError` for half a surrogate pair, which has no bytes."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"text: character {error.start} is the lone surrogate {text[error.start]!a}, which UTF-8 cannot carry; "
            "to send broken UTF-8, use a raw step or a replace fault"
        ) from None


def _one_line(name: str, value: str) -> str:
    # A line end here would smuggle in another field; in `data` it has a meaning, in these it has none.
    if _LINE_END.search(value):
        raise UsageError(f"event: {name} is {value!r}; it must not hold a line end")
    return value


# --- parser -----------------------------------------------------------------------------------------------------------


class Event(Value):
    """One dispatched event. `id` is the last event id at that moment, its own or an earlier one.

    `intact` is false if a line of its block held invalid UTF-8: the standard then demands U+FFFD, which is what stands
    in the event; a stricter client can raise an error instead.
    """

    type: str
    data: str
    id: str = ""
    intact: bool = True


@final
class Parser:
    r"""Incremental parser: bytes in, events out.

    `last_event_id` is what a reconnecting client would send. `retry` is the reconnection time in milliseconds that the
    server asked for (None: it did not). `invalid_at` is the byte of this stream at which the first invalid UTF-8 of a
    complete line stands (None: there was none).

    >>> parser = Parser()
    >>> parser.feed(b"data: hel")
    ()
    >>> parser.feed(b"lo\n\n")
    (Event(type='message', data='hello', id='', intact=True),)
    """

    def __init__(self, *, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._begin_stream()

    @property
    def unfinished(self) -> bool:
        """Whether bytes are waiting for the blank line that would dispatch them; at the end of a body they are lost."""
        return bool(self._tail or self._data or self._type or self._id != self.last_event_id)

    def feed(self, piece: bytes) -> tuple[Event, ...]:
        """Take the next bytes of the stream, and return the events that they complete."""
        return tuple(self._events(piece))

    def eof(self) -> None:
        """End this stream: an unterminated block is discarded, as the standard says.

        The next byte fed begins a new stream; the last event id and the reconnection time survive, as they do in a
        client that reconnects.
        """
        self._begin_stream()

    def _begin_stream(self) -> None:
        # Pieces of a line that is not over. They are joined once, at its end: adding each to one growing buffer would
        # copy an 8 MiB line some 6000 times.
        self._tail: list[bytes] = []
        self.invalid_at: int | None = None
        self._position = 0  # bytes of this stream before the current piece
        self._line_start = 0  # byte of this stream at which the current line begins
        self._after_cr = False  # the last byte was a CR: an LF now belongs to it
        self._id = self.last_event_id
        self._clear_block()

    def _clear_block(self) -> None:
        self._data: list[str] = []
        self._type = ""
        self._intact = True

    def _events(self, piece: bytes) -> Iterator[Event]:
        # A CR ends its line at once. Waiting to see whether an LF follows would hold back an event that is complete.
        start = 1 if self._after_cr and piece.startswith(b"\n") else 0
        if start:
            self._line_start += 1
        if piece:
            self._after_cr = piece.endswith(b"\r")
        for end in _LINE_END_BYTES.finditer(piece, start):
            self._tail.append(piece[start : end.start()])
            yield from self._line(b"".join(self._tail))
            self._tail.clear()
            start = end.end()
            self._line_start = self._position + start
        if start < len(piece):
            self._tail.append(piece[start:])
        self._position += len(piece)

    def _line(self, line: bytes) -> Iterator[Event]:
        # One byte order mark is dropped, and only at the very beginning of the stream.
        skip = len(_BOM) if self._line_start == 0 and line.startswith(_BOM) else 0
        text = self._decode(line[skip:], self._line_start + skip)
        # An empty line is the only thing that ever dispatches.
        if not text:
            yield from self._dispatch()
            return
        name, _, value = text.partition(":")
        # A comment is a line with nothing before its colon: no field has that name, so it needs no rule of its own.
        # Names are compared as they are, case and spaces counted.
        handler = self._FIELDS.get(name)
        if handler is not None:
            handler(self, value.removeprefix(" "))  # exactly one space

    def _decode(self, line: bytes, at: int) -> str:
        # Line by line is the same as over the whole stream: CR and LF never occur inside a UTF-8 sequence, and a
        # sequence that is cut short by one of them is replaced before it either way.
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            if self.invalid_at is None:
                self.invalid_at = at + error.start
            self._intact = False
            return line.decode("utf-8", "replace")

    def _dispatch(self) -> Iterator[Event]:
        # The id is committed even if there is nothing to dispatch; the event name, in that case, is forgotten.
        self.last_event_id = self._id
        # A list, not a string: one empty `data` line is an event with empty data, no `data` line is no event.
        if self._data:
            yield Event(self._type or "message", "\n".join(self._data), self.last_event_id, self._intact)
        self._clear_block()

    def _on_data(self, value: str) -> None:
        self._data.append(value)

    def _on_event(self, value: str) -> None:
        # Overwritten, not appended: of two names in a block the last one counts.
        self._type = value

    def _on_id(self, value: str) -> None:
        # NUL is ignored as a whole field: it could not be sent back in a Last-Event-ID header.
        if "\0" not in value:
            self._id = value

    def _on_retry(self, value: str) -> None:
        # isdigit() alone would take the digits of every script of the world.
        if value.isascii() and value.isdigit():
            digits = value.lstrip("0")
            self.retry = int(digits or "0") if len(digits) <= _RETRY_DIGITS else 10**_RETRY_DIGITS

    _FIELDS: dict[str, Callable[[Parser, str], None]] = {  # noqa: RUF012 - a constant table
        "data": _on_data,
        "event": _on_event,
        "id": _on_id,
        "retry": _on_retry,
    }
