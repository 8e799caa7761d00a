"""Sweeps: one fault at every place of one stream, and what is to be said of a place.

The law of this module: the places of a sweep are a pure function of its base plan, in the order of the stream, and the
plan of a place differs from the base plan in that one fault. What a place is called is read off the bytes, never off
what a client made of them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

import msgspec

from testbed._scenario_positions import body_of, inside_characters
from testbed._scenario_spec import Grain, Sweep, SweptFault
from testbed._values import Value
from testbed.dialects import DIALECTS
from testbed.faults.toxics import ResetAfter, ResetAfterAttributes, Stall, StallAttributes, Toxic
from testbed.plan import Attempt, Plan
from testbed.program import EventSpan, Layout, layout
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


def places(script: Script, grain: Grain) -> tuple[Place, ...]:
    """Every place of a sweep, in the order of the stream: from no byte of the body to all but the last."""
    every = tuple(_every(script))
    if grain is Grain.BYTES:
        return every
    if grain is Grain.EVENTS:
        return tuple(place for place in every if place.spot is Spot.EDGE)
    # Of a run of places that have all in common the two ends and the middle stand for it.
    runs = [tuple(run) for _, run in groupby(every, key=attrgetter("step", "phase", "spot"))]
    return tuple(place for run in runs for place in dict.fromkeys((run[0], run[len(run) // 2], run[-1])))


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


def _every(script: Script) -> Iterator[Place]:
    whole, body = layout(script), body_of(script)
    spots = _spots(script, whole, body)
    ends = {span.step: span.body[1] for span in whole.events}  # of several events of a step the last one counts
    for span in whole.events:
        for at in range(*span.body):
            yield Place(at, span.step, _phase(script, whole.events, ends, at), spots[at])


def _phase(script: Script, events: Iterable[EventSpan], ends: dict[int, int], at: int) -> Phase:
    came = [script.steps[step] for step, end in ends.items() if end <= at]
    if not any(span.body[1] <= at for span in events):
        return Phase.NOTHING
    reached = max(map(DIALECTS[script.dialect].terminal, came), default=Terminal.NONE)
    if reached is not Terminal.NONE:
        return Phase.WHOLE if reached is Terminal.HARD else Phase.FINISHED
    return Phase.TOKENS if any(isinstance(step, (Text, Message)) for step in came) else Phase.OPENING


def _spots(script: Script, whole: Layout, body: bytes) -> list[Spot]:
    """What lies to both sides of each byte, from the first to the last."""
    names = script.dialect is not DialectName.OLLAMA  # a line of JSON has no name in front
    found: list[Spot] = []
    for span in whole.events:
        event = body[slice(*span.body)]
        found += (_spot(event, at, names=names) for at in range(len(event)))
    for at in inside_characters(script):
        found[at] = Spot.CHARACTER
    return found


def _spot(event: bytes, at: int, *, names: bool) -> Spot:
    if at == 0:
        return Spot.EDGE
    before, behind = event[at - 1 : at], event[at : at + 1]
    if before == b"\r" and behind == b"\n":
        return Spot.PAIR
    if before in (b"\n", b"\r"):
        return Spot.BLANK if behind in (b"\n", b"\r") else Spot.FIELD
    if behind in (b"\n", b"\r"):
        return Spot.LINE
    line = event[max(event.rfind(b"\n", 0, at), event.rfind(b"\r", 0, at)) + 1 : at]
    return Spot.NAME if names and b":" not in line else Spot.DATA
