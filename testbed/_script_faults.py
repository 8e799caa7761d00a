"""Content faults as data: what goes wrong with the bytes of a script.

The law of this module: a fault says where it strikes and what it writes there, never how; the functions that carry it
out are in :mod:`testbed.faults.content` (the body) and :mod:`testbed.faults.framing` (the HTTP around it).
"""

from __future__ import annotations

import enum
from typing import Union

from testbed._script_words import Ending
from testbed._values import Value
from testbed.errors import UsageError

# --- content faults ---------------------------------------------------------------------------------------------------
# They strike body bytes, after the dialect has spelled the steps and before the body is framed: the framing of a faulty
# body is still right HTTP. Addresses count body bytes from 0 and do not see chunk sizes.


class CutBody(Value, tag_field="fault", tag="cut_body"):
    """Body bytes from `at` on are never written; the connection then ends `how`. Steps after the cut do not happen."""

    at: int
    how: Ending = Ending.CLEAN


class SplitAt(Value, tag_field="fault", tag="split_at"):
    """Cut the writes at these body bytes: each piece is a write, and a chunk, of its own."""

    at: tuple[int, ...]


class SplitEvery(Value, tag_field="fault", tag="split_every"):
    """Cut the body into writes (and chunks) of `size` bytes."""

    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"split_every: size is {self.size}; it must be at least 1 byte")


class Replace(Value, tag_field="fault", tag="replace"):
    """Overwrite body bytes from `at` on with `data`: malformed JSON, invalid UTF-8."""

    at: int
    data: bytes


# --- the HTTP around the body -----------------------------------------------------------------------------------------
# These strike after the body is framed. Each has a part of the message for itself (the head, the chunks, what stands
# behind the end, the writes), so their order matters only among faults of the same part.
#
# Text that goes on the wire is Latin-1: each character from U+0000 to U+00FF is the byte of that number.

MOST_TIMES = 10_000_000
_MOST_BYTES = 256 * 1024 * 1024


class HeadBytes(Value, tag_field="fault", tag="head_bytes"):
    """The head is `data`, `times` over, in place of what stood there. No bytes at all are an answer without a head."""

    data: bytes
    times: int = 1

    def __post_init__(self) -> None:
        _check_times("head_bytes", self.data, self.times)


class HeadLine(Value, tag_field="fault", tag="head_line"):
    """Before line `at` of the head stands `data`, `times` over, and `drop` lines from there on are left out.

    Line 0 is the status line, line -1 the empty one that ends the head; the number of lines is the place behind it.
    `data` brings its own line end.
    """

    at: int
    data: bytes = b""
    drop: int = 0
    times: int = 1

    def __post_init__(self) -> None:
        _check_times("head_line", self.data, self.times)
        if self.drop < 0:
            raise UsageError(f"head_line: drop is {self.drop}; it must be at least 0 lines")


class HeadField(Value, tag_field="fault", tag="head_field"):
    """The head has the field `name` once for each of `values`, where the first one stood; no value removes it.

    `{length}` in a value is the length of the body in decimal, `{length+2}` and `{length-2}` lie about it, and
    `{length:9}` is padded to so many digits by zeros. Name and values are written as they are, whatever they hold.
    """

    name: str
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in (self.name, *self.values):
            _check_latin("head_field", "name or value", text)


class HeadEnds(Value, tag_field="fault", tag="head_ends"):
    """Every CR LF of the head is `end`: LF alone, CR alone."""

    end: str = "\n"

    def __post_init__(self) -> None:
        _check_latin("head_ends", "end", self.end)


class SlowHead(Value, tag_field="fault", tag="slow_head"):
    """The head leaves in writes of `size` bytes, with `gap` seconds of silence between them."""

    size: int
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"slow_head: size is {self.size}; it must be at least 1 byte")
        if not 0 <= self.gap <= 86_400:
            raise UsageError(f"slow_head: gap is {self.gap}; it must lie between 0 and 86400 seconds (a day)")


class ChunkLine(Value, tag_field="fault", tag="chunk_line"):
    """The size line of a chunk is `text` and then `end`.

    `{size}` is the right size in hexadecimal, `{size+2}` and `{size-2}` lie about it, `{size:16}` is padded to so many
    digits by zeros. `chunk`: which one, from 0; -1 is the last one, which is empty; None is every one that is not.
    """

    text: str
    chunk: int | None = None
    end: str = "\r\n"

    def __post_init__(self) -> None:
        _check_chunk("chunk_line", self.chunk)
        _check_latin("chunk_line", "text", self.text)
        _check_latin("chunk_line", "end", self.end)


class ChunkEnd(Value, tag_field="fault", tag="chunk_end"):
    """Behind the bytes of a chunk stands `text` in place of CR LF. `chunk` is counted as in `chunk_line`.

    Of the last chunk it is the empty line that ends the message.
    """

    text: str = ""
    chunk: int | None = None

    def __post_init__(self) -> None:
        _check_chunk("chunk_end", self.chunk)
        _check_latin("chunk_end", "text", self.text)


class After(Value, tag_field="fault", tag="after"):
    """Behind the end of the message the server writes `data`, `times` over, in one write that belongs to no step."""

    data: bytes
    times: int = 1

    def __post_init__(self) -> None:
        _check_times("after", self.data, self.times)


class CutWire(Value, tag_field="fault", tag="cut_wire"):
    """Wire bytes from `at` on are never written, head and framing counted; the connection then ends `how`."""

    at: int
    how: Ending = Ending.FIN

    def __post_init__(self) -> None:
        if self.how not in _CUT_ENDINGS:
            raise UsageError(
                f"cut_wire: how is {self.how.value}; a message that is cut off can only end by fin, rst, abort or open"
            )


_CUT_ENDINGS = frozenset({Ending.FIN, Ending.RST, Ending.ABORT, Ending.OPEN})


class Joint(str, enum.Enum):
    """What is joined."""

    WRITE = "write"  # the writes alone: each event keeps its chunk
    CHUNK = "chunk"  # the chunks, too: all of it is one


class Join(Value, tag_field="fault", tag="join"):
    """All that is written between two silences leaves in one write, the head with it."""

    into: Joint = Joint.WRITE


ContentFault = Union[
    CutBody, SplitAt, SplitEvery, Replace,
    HeadBytes, HeadLine, HeadField, HeadEnds, SlowHead, ChunkLine, ChunkEnd, After, CutWire, Join,
]  # fmt: skip


def _check_times(fault: str, data: bytes, times: int) -> None:
    if not 1 <= times <= MOST_TIMES:
        raise UsageError(f"{fault}: times is {times}; it must lie between 1 and {MOST_TIMES}")
    # A script is compiled in memory; a slip of the keyboard must not take the machine with it.
    if len(data) * times > _MOST_BYTES:
        raise UsageError(f"{fault}: its data times {times} is {len(data) * times} bytes; the most is {_MOST_BYTES}")


def _check_chunk(fault: str, chunk: int | None) -> None:
    if chunk is not None and chunk < -1:
        raise UsageError(f"{fault}: chunk is {chunk}; it must be -1 (the last, empty one) or a number from 0")


def _check_latin(fault: str, what: str, text: str) -> None:
    if any(ord(character) > 0xFF for character in text):
        raise UsageError(f"{fault}: its {what} is {text!a}; it is sent as Latin-1, so no character is above U+00FF")
