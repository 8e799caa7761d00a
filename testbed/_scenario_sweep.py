"""Sweeps: one fault at every place of one stream, and what is to be said of a place.

The law of this module: the places of a sweep are a pure function of its base plan, in the order of the stream, and the
plan of a place differs from the base plan in that one fault. What a place is called is read off the bytes, never off
what a client made of them.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from testbed._scenario_positions import body_of
from testbed._scenario_spec import Grain, Sweep, SweptFault
from testbed._values import Value
from testbed.dialects import DIALECTS
from testbed.faults.toxics import ResetAfter, ResetAfterAttributes, Stall, StallAttributes, Toxic
from testbed.plan import Attempt, Plan
from testbed.program import layout
from testbed.script import CutBody, DialectName, Framing, Message, Script, Terminal, Text


class Phase(str, enum.Enum):
    """How much of the answer has come, in words that follow "where it falls"."""

    NOTHING = "before the first event is whole"
    OPENING = "before the first token is whole"
    TOKENS = "between the first token and the finish"
    FINISHED = "between the finish and the terminal event"  # SOFT was delivered
    WHOLE = "behind the terminal event"


class Spot(str, enum.Enum):
    """Between which two bytes, in words that follow "where it falls"."""

    EDGE = "between two events"  # or at one of the two ends of the stream
    NAME = "inside a field name"
    DATA = "inside a line's value"
    CHARACTER = "inside a UTF-8 character"
    LINE = "between a line and its end"
    PAIR = "between CR and LF"
    FIELD = "between two lines of an event"
    BLANK = "between the last line and the blank line"


class Place(Value):
    """One place: `at` body bytes come, `step` is the step that is cut there, or that would have been the next."""

    at: int
    step: int
    phase: Phase
    spot: Spot


class Part(Value):
    """The sweep of one stream: its plan without the fault, and the places to strike."""

    plan: Plan
    sweep: Sweep
    places: tuple[Place, ...]

    def struck(self, place: Place) -> Plan:
        """The plan of one place."""
        return struck(self.plan, self.sweep, place)


# Drawing asks again for the same stream; what differs is the place.
@functools.lru_cache(maxsize=32)
def places(script: Script, grain: Grain) -> tuple[Place, ...]:
    """Every place of a sweep, in the order of the stream: from no byte of the body to all but the last."""
    found: list[Place] = []
    for step, phase, spot, first, last in _runs(script):
        if grain is Grain.BYTES:
            at: Iterable[int] = range(first, last + 1)
        elif grain is Grain.EVENTS:
            at = (first,) if spot is Spot.EDGE else ()
        else:
            # Of places that have all in common the two ends and the middle stand for the rest.
            at = dict.fromkeys((first, (first + last) // 2, last))
        found += (Place(one, step, phase, spot) for one in at)
    return tuple(found)


def struck(plan: Plan, sweep: Sweep, place: Place) -> Plan:
    """The base plan with the sweep's fault at one place of its first attempt."""
    first = plan.attempts[0]
    if sweep.fault is SweptFault.CUT:
        # First of all faults: a place counts the bytes of the stream that nothing else has happened to.
        faults = (CutBody(place.at, sweep.end), *first.script.faults)
        attempt = msgspec.structs.replace(first, script=msgspec.structs.replace(first.script, faults=faults))
    else:
        attempt = msgspec.structs.replace(first, toxics=(*first.toxics, _toxic(first, sweep.fault, place.at)))
    return msgspec.structs.replace(plan, attempts=(attempt, *plan.attempts[1:]))


def _toxic(attempt: Attempt, fault: SweptFault, at: int) -> Toxic:
    wire = _wire_of(attempt.script, at)
    if fault is SweptFault.RESET:
        return ResetAfter(attributes=ResetAfterAttributes(bytes=wire))
    return Stall(attributes=StallAttributes(bytes=wire))


def _wire_of(script: Script, at: int) -> int:
    """The wire bytes up to body byte `at`: the head, the framing of what came before, and the byte itself."""
    whole = layout(script)
    found = next((span for span in whole.events if span.body[0] < at <= span.body[1]), None)
    if found is None:
        return whole.head
    if at == found.body[1]:
        return found.wire[1]
    # Behind the bytes of an event stands the end of its chunk, before them its size line.
    ends = len("\r\n") if script.head.framing is Framing.CHUNKED else 0
    return found.wire[1] - ends - (found.body[1] - at)


# --- what a place is called -------------------------------------------------------------------------------------------


class _Run(NamedTuple):
    """Places side by side that are called the same, from byte `first` to byte `last`."""

    step: int
    phase: Phase
    spot: Spot
    first: int
    last: int


def _runs(script: Script) -> Iterator[_Run]:
    events, body = layout(script).events, body_of(script)
    names = script.dialect is not DialectName.OLLAMA  # a line of JSON has no name in front
    # An event has come with its last line: readers differ in whether they wait for the blank one.
    ends = {span.body[0]: span.body[0] + len(body[slice(*span.body)].rstrip(b"\r\n")) for span in events}
    steps = {span.step: ends[span.body[0]] for span in events}  # of several events of a step the last one counts
    for span in events:
        start, stop = span.body
        for spot, first, last in _spots(body[start:stop], names=names):
            phase = _phase(script, ends.values(), steps, start + first)
            yield _Run(span.step, phase, spot, start + first, start + last)


def _phase(script: Script, events: Iterable[int], steps: Mapping[int, int], at: int) -> Phase:
    """How much has come of events, and of steps, that end where these numbers say."""
    if not any(end <= at for end in events):
        return Phase.NOTHING
    came = [script.steps[step] for step, end in steps.items() if end <= at]
    reached = max(map(DIALECTS[script.dialect].terminal, came), default=Terminal.NONE)
    if reached is not Terminal.NONE:
        return Phase.WHOLE if reached is Terminal.HARD else Phase.FINISHED
    return Phase.TOKENS if any(isinstance(step, (Text, Message)) for step in came) else Phase.OPENING


# A line and its end. What is left of an event without one is a line, too.
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n|\Z)")
_CONTINUATION = re.compile(rb"[\x80-\xbf]+")


def _spots(event: bytes, *, names: bool) -> Iterator[tuple[Spot, int, int]]:
    """What lies to both sides of each byte of an event, in runs, from the first byte to the last."""
    for line in _LINE.finditer(event):
        start, stop = line.span(1)
        if start == len(event):
            return
        opening = Spot.EDGE if start == 0 else Spot.FIELD if stop > start else Spot.BLANK
        yield opening, start, start
        if stop > start:
            colon = event.find(b":", start, stop) if names else start
            # The place right behind the colon is the value's: the name is whole.
            value = stop if colon < 0 else max(colon, start)
            if value > start:
                yield Spot.NAME, start + 1, value
            yield from _values(event, value + 1, stop)
            if stop < len(event):
                yield Spot.LINE, stop, stop
        if len(line[2]) == 2:
            yield Spot.PAIR, stop + 1, stop + 1


def _values(event: bytes, start: int, stop: int) -> Iterator[tuple[Spot, int, int]]:
    """The inside of a line's value, where a character of several bytes is a spot of its own."""
    for found in _CONTINUATION.finditer(event, start, stop):
        if found.start() > start:
            yield Spot.DATA, start, found.start() - 1
        yield Spot.CHARACTER, found.start(), found.end() - 1
        start = found.end()
    if start < stop:
        yield Spot.DATA, start, stop - 1
