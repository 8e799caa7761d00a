"""Where a fault may strike: from a region's name and two drawn integers to one byte.

The law of this module: the same script and integers give the same byte, and smaller integers give a simpler place.
Most draws fall on boundaries, because that is where parsers break: the ends of events, the bytes around them, the
lines inside them, the middle of a character, the last word, and where it is almost whole. The rest are uniform, so that
no byte is out of reach.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from testbed._scenario_spec import Region
from testbed.program import Layout, Write, compile_script, layout
from testbed.script import Arguments, Message, Script, Text

# One uniform place in eight; the integer 0 is among them, so that what shrinks ends at the earliest byte.
KINDS = 8
# The second integer's range: fine enough for every byte of a megabyte.
FINENESS = 2**20

# Where a region ends is where a client changes its mind: its last bytes are asked for by themselves.
_LAST, _LAST_BYTES = 7, 3

_CONTINUATION = re.compile(rb"[\x80-\xbf]")
_CRLF = re.compile(rb"\r\n")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_LINE_START = re.compile(rb"(?<=\n)(?=[^\r\n])|(?<=\r)(?=[^\r\n])")


class Unplaceable(Exception):
    """The region holds no byte in this script."""


def place(script: Script, region: Region, *, wire: bool, kind: int, fine: int) -> int:
    """Choose a byte of `script` in `region`, counted on the wire (head included) or in the body."""
    plan = layout(script)
    low, high = _bounds(script, plan, region, wire=wire)
    if low > high:
        raise Unplaceable
    if kind == _LAST and region is not Region.EVENTS:
        candidates: Sequence[int] = range(high - _LAST_BYTES + 1, high + 1)
    else:
        candidates = _candidates(script, plan, region, wire=wire, kind=kind)
    inside = [at for at in candidates if low <= at <= high]
    if inside:
        return inside[fine * len(inside) // FINENESS]
    return low + fine * (high - low + 1) // FINENESS


def inside_characters(script: Script) -> tuple[int, ...]:
    """The body bytes at which a cut goes through a UTF-8 character."""
    return tuple(match.start() for match in _CONTINUATION.finditer(body_of(script)))


def inside_line_ends(script: Script) -> tuple[int, ...]:
    """The body bytes at which a cut goes between CR and LF."""
    return tuple(match.start() + 1 for match in _CRLF.finditer(body_of(script)))


def between_lines(script: Script) -> tuple[int, ...]:
    """The body bytes at which a line begins, that of a blank line too; the very first one left out."""
    body = body_of(script)
    return tuple(match.end() for match in _LINE_END.finditer(body) if match.end() < len(body))


# Words for places at which writes may be cut: all of them, or one.
SPLIT_WORDS: Mapping[str, Callable[[Script], tuple[int, ...]]] = {
    "inside-utf8": inside_characters,
    "inside-crlf": inside_line_ends,
    "between-lines": between_lines,
}


def event_edges(script: Script) -> tuple[int, ...]:
    """The body bytes at which an event begins, the first one left out: a cut there splits nothing."""
    return tuple(span.body[0] for span in layout(script).events if span.body[0] > 0)


def body_of(script: Script) -> bytes:
    """The bytes of the body, without head and framing."""
    return b"".join(
        action.data[action.payload[0] : action.payload[1]]
        for action in compile_script(script)
        if isinstance(action, Write)
    )


def _bounds(script: Script, plan: Layout, region: Region, *, wire: bool) -> tuple[int, int]:
    """The first and the last byte of a region, both possible."""
    whole = plan.wire if wire else plan.body
    if region is Region.BEFORE_TERMINAL:
        return (plan.head if wire else 0), _unfinished_terminal(plan, whole, wire=wire)
    if region is Region.ARGUMENTS:
        return _unfinished_arguments(script, plan, wire=wire)
    if region is Region.MID_STREAM:
        first = _first_token_end(script, plan, wire=wire)
        terminal = plan.terminal_wire if wire else plan.terminal_body
        # Without a terminal the last event must stay unsaid, or nothing would be missing.
        last = plan.events[-1].wire[0] if wire and plan.events else plan.events[-1].body[0] if plan.events else -1
        return first, last if terminal is None else terminal
    if region is Region.EVENTS or region is Region.BODY:
        return (plan.head if wire else 0), whole
    return 0, whole


def _unfinished_terminal(plan: Layout, whole: int, *, wire: bool) -> int:
    """The last byte at which a cut leaves the terminal event's data unfinished.

    Not the event's last byte: with only a line end missing, a reader that takes what it has is not plainly wrong.
    """
    for span in plan.events:
        if span.body[0] == plan.terminal_body:
            return span.wire[0] if wire else span.body[1] - len("}\n\n")
    return whole


def _unfinished_arguments(script: Script, plan: Layout, *, wire: bool) -> tuple[int, int]:
    """From the end of the first piece of arguments to where the last piece of the same call is not yet whole."""
    pieces = [span for span in plan.events if isinstance(script.steps[span.step], Arguments)]
    call = [span for number, span in enumerate(pieces) if span.step == pieces[0].step + number]
    if len(call) < 2:
        raise Unplaceable
    first, last = call[0], call[-1]
    return (first.wire[1], last.wire[0]) if wire else (first.body[1], last.body[1] - len("}\n\n"))


def _first_token_end(script: Script, plan: Layout, *, wire: bool) -> int:
    for span in plan.events:
        if isinstance(script.steps[span.step], (Text, Message)):
            return span.wire[1] if wire else span.body[1]
    raise Unplaceable


def _candidates(script: Script, plan: Layout, region: Region, *, wire: bool, kind: int) -> Sequence[int]:
    """The boundaries of one kind; none at all for the uniform kind."""
    edges = sorted({edge for span in plan.events for edge in (span.wire if wire else span.body)})
    if region is Region.EVENTS or kind == 1:
        return edges
    if kind == 2:
        return sorted({near for edge in edges for near in (edge - 1, edge + 1)})
    return _INSIDE[kind](script, plan, wire) if kind in _INSIDE else ()


def _around_the_end(_script: Script, plan: Layout, wire: bool) -> Sequence[int]:  # noqa: FBT001 - one of a table
    terminal = plan.terminal_wire if wire else plan.terminal_body
    ends = [plan.head, plan.wire] if wire else [0, plan.body]
    near_terminal = [] if terminal is None else [terminal - 1, terminal, terminal + 1]
    return sorted({*ends, *near_terminal})


def _inside_terminal(_script: Script, plan: Layout, wire: bool) -> Sequence[int]:  # noqa: FBT001 - one of a table
    """Every byte of the event that says that the answer is over: a name, a reason or half a brace may be believed."""
    start = plan.terminal_wire if wire else plan.terminal_body
    spans = (span.wire if wire else span.body for span in plan.events)
    return next((range(first, last) for first, last in spans if first == start), range(0))


def _wire_of(script: Script, place: re.Pattern[bytes]) -> list[int]:
    """The wire bytes at which the payload of a write has this."""
    found: list[int] = []
    wire = 0
    for action in compile_script(script):
        if isinstance(action, Write):
            start, stop = action.payload
            found += (wire + start + match.start() for match in place.finditer(action.data[start:stop]))
            wire += len(action.data)
    return found


_INSIDE: Mapping[int, Callable[[Script, Layout, bool], Sequence[int]]] = {
    3: lambda script, _plan, wire: _wire_of(script, _CONTINUATION) if wire else inside_characters(script),
    4: _around_the_end,
    5: lambda script, _plan, wire: _wire_of(script, _LINE_START) if wire else between_lines(script),
    6: _inside_terminal,
}
