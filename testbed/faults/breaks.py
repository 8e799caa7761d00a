"""What the faults of a script break, as far as it matters for what a right client may do.

The laws of this module: a fault that leaves legal HTTP of the usual size, framed as the script says, breaks nothing;
where that cannot be known from the script alone, it counts as broken. Nobody is accused for what stands here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from testbed import http1
from testbed.script import (
    After,
    ChunkEnd,
    ChunkLine,
    CutWire,
    Framing,
    HeadBytes,
    HeadEnds,
    HeadField,
    HeadLine,
    Script,
)


class Breaks(enum.Flag):
    """What is broken; several may be."""

    NOTHING = 0
    HEAD = enum.auto()  # what stands in place of the head is not the head that the script says, or no head at all
    LIMITS = enum.auto()  # the head or the framing is legal, and larger than many parsers take
    LENGTHS = enum.auto()  # the head speaks of the length more than once
    FRAMING = enum.auto()  # the body does not end where its framing says
    CONTENT = enum.auto()  # content type or coding are not those that the script says
    AFTER = enum.auto()  # bytes stand behind the end of the message
    CUT = enum.auto()  # the answer breaks off at a byte of the wire


# What h11, undici and llhttp take without being told otherwise begins at 8 KiB and at 100 fields.
_MOST_HEAD = 8 * 1024
_MOST_FIELDS = 64
_MOST_DIGITS = 16  # of a number: what fits into 64 bits, written in hexadecimal

# A length that nobody writes by hand: a number that stands in a fault as a numeral is then taken for a wrong one.
_ANY_LENGTH = 987_654_321


def breaks(script: Script) -> Breaks:
    """Tell what the script's faults break; a length given as a numeral counts as wrong."""
    return breaks_of(script, _ANY_LENGTH)


def breaks_of(script: Script, length: int) -> Breaks:
    """Tell the same where the length of the body is known."""
    found = Breaks.NOTHING
    for fault in script.faults:
        if type(fault) in _BREAKS:
            found |= _BREAKS[type(fault)](fault, script, length)
    return found


def _head_line(fault: HeadLine, _script: Script, _length: int) -> Breaks:
    # Behind the status line and before the empty one there may be more fields; anywhere else nothing belongs.
    if fault.drop or fault.at not in {1, -1} or not http1.are_field_lines(fault.data):
        return Breaks.HEAD
    names = {line.partition(b":")[0].decode("ascii").lower() for line in fault.data.split(b"\r\n")[:-1]}
    found = Breaks.NOTHING
    for name in names:
        found |= _BY_NAME.get(name, Breaks.NOTHING)
    return found | _limits(len(fault.data) * fault.times, fault.data.count(b"\n") * fault.times)


# A second field of one of these names beside the head's own.
_BY_NAME: Mapping[str, Breaks] = MappingProxyType(
    {
        "content-length": Breaks.LENGTHS | Breaks.FRAMING,
        "transfer-encoding": Breaks.LENGTHS | Breaks.FRAMING,
        "content-type": Breaks.CONTENT,
        "content-encoding": Breaks.CONTENT,
    }
)


def _limits(size: int, fields: int) -> Breaks:
    return Breaks.LIMITS if size > _MOST_HEAD or fields > _MOST_FIELDS else Breaks.NOTHING


def _head_field(fault: HeadField, script: Script, length: int) -> Breaks:
    if not all(http1.are_field_lines(f"{fault.name}: {value}\r\n".encode("latin-1")) for value in fault.values):
        return Breaks.HEAD
    # Three names decide how the body is read; any other field is as good as its bytes.
    name = fault.name.lower()
    if name == "content-length":
        return _lengths(fault, script, length)
    if name == "transfer-encoding":
        right = script.head.framing is Framing.CHUNKED and [value.lower() for value in fault.values] == ["chunked"]
        return Breaks.NOTHING if right else Breaks.FRAMING
    return _BY_NAME.get(name, Breaks.NOTHING) | _limits(sum(map(len, fault.values)), len(fault.values))


def _lengths(fault: HeadField, script: Script, length: int) -> Breaks:
    texts = [http1.numeral("head_field", value, "length", length, "d") for value in fault.values]
    if script.head.framing is Framing.CHUNKED:
        # The chunks decide where the body ends (RFC 9112, section 6.3), whatever the length says.
        return Breaks.LENGTHS if texts else Breaks.NOTHING
    # Equal lengths may be taken as one or refused (RFC 9110, section 8.6), so they stand apart from wrong ones.
    several = len(texts) > 1 or any("," in text for text in texts)
    numbers = [number.strip() for text in texts for number in text.split(",")]
    # Compared as text: int() refuses numerals of more than some thousand digits.
    right = bool(numbers) and all(number.isdigit() and (number.lstrip("0") or "0") == str(length) for number in numbers)
    if several or not right:
        return (Breaks.LENGTHS if several else Breaks.NOTHING) | (Breaks.NOTHING if right else Breaks.FRAMING)
    return _digits(texts[0])


def _chunk_line(fault: ChunkLine, _script: Script, _length: int) -> Breaks:
    # Any size will do, as long as nobody writes it by hand.
    size = 0 if fault.chunk == -1 else 0x5A5A
    text = http1.numeral("chunk_line", fault.text, "size", size, "x")
    right = fault.end == "\r\n" and http1.is_size_line(text, size)
    return _digits(text.partition(";")[0]) | _limits(len(text), 0) if right else Breaks.FRAMING


def _digits(text: str) -> Breaks:
    return Breaks.LIMITS if len(text) > _MOST_DIGITS else Breaks.NOTHING


def _chunk_end(fault: ChunkEnd, _script: Script, _length: int) -> Breaks:
    text = fault.text.encode("latin-1")
    # Behind the last chunk there may be trailers before the empty line.
    trailers = fault.chunk == -1 and text.endswith(b"\r\n") and http1.are_field_lines(text[:-2])
    return _limits(len(text), text.count(b"\n")) if text == b"\r\n" or trailers else Breaks.FRAMING


# What is not here changes when bytes leave, and nothing else.
_BREAKS: Mapping[type, Callable[[Any, Script, int], Breaks]] = MappingProxyType(
    {
        HeadBytes: lambda _fault, _script, _length: Breaks.HEAD,
        HeadLine: _head_line,
        HeadField: _head_field,
        HeadEnds: lambda fault, _script, _length: Breaks.NOTHING if fault.end == "\r\n" else Breaks.HEAD,
        ChunkLine: _chunk_line,
        ChunkEnd: _chunk_end,
        After: lambda _fault, _script, _length: Breaks.AFTER,
        CutWire: lambda _fault, _script, _length: Breaks.CUT,
    }
)
