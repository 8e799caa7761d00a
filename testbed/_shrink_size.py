"""How big a plan is: what a shrunk plan must have less of.

The law of this module: sizes are compared from the left, so one fault less outweighs any text and any number; two
plans of the same size are equally good, and a shrinker that asks for strictly less always comes to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from testbed._values import encode
from testbed.faults import toxics as kinds
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.program import layout
from testbed.script import CutBody, CutWire, End, Ending, Head, Replace, Script, SplitAt, SplitEvery

# The fields that say where a fault strikes, whatever they are called.
BODY_ADDRESS = frozenset({(CutBody, "at"), (Replace, "at"), (SplitAt, "at")})
WIRE_ADDRESS = frozenset(
    {
        (CutWire, "at"),
        (kinds.ResetAfterAttributes, "bytes"),
        (kinds.CloseAfterAttributes, "bytes"),
        (kinds.StallAttributes, "bytes"),
        (kinds.LimitDataAttributes, "bytes"),
    }
)
ADDRESS = BODY_ADDRESS | WIRE_ADDRESS

# What gets simpler by growing: a wider pipe, fewer pieces.
GROWS = frozenset({(kinds.BandwidthAttributes, "rate"), (kinds.SlicerAttributes, "average_size"), (SplitEvery, "size")})

# Text that nobody compares: it says what the plan is about, and the shrinker leaves it alone.
ABOUT = frozenset({"scenario", "title", "cause", "requirement", "sources", "bugs", "expect", "tested", "format"})

# The steps whose text is there for the caller, and may be anything: the field that holds it.
SAID = {
    "text": "text",
    "thinking": "text",
    "refusal": "text",
    "comment": "text",
    "message": "data",
    "citation": "title",
}


class Size(NamedTuple):
    """The measures, the weightiest first."""

    faults: int
    attempts: int
    steps: int
    pieces: int  # into which splits cut the bodies
    text: int
    beyond_ascii: int
    other_letters: int  # than 'a'
    settings: int  # that the client is told
    amount: float  # of everything that is a number and no address
    addresses: int
    json: int


def size(plan: Plan) -> Size:
    """Measure a plan."""
    attempts = (*plan.attempts, *plan.fallback)
    scripts = [attempt.script for attempt in attempts]
    said = [piece for script in scripts for piece in _said(script)]
    numbers = list(_numbers(plan))
    return Size(
        faults=sum(map(_faults, attempts)) + (plan.quota is not None) + (plan.body_limit is not None),
        attempts=len(attempts),
        steps=sum(len(script.steps) for script in scripts),
        pieces=sum(map(_pieces, scripts)),
        text=sum(len(text) * times for text, times in said),
        beyond_ascii=sum(sum(not letter.isascii() for letter in text) for text, _ in said),
        other_letters=sum(len(text) - text.count("a") for text, _ in said),
        settings=_changed(plan.client, ClientSettings()),
        amount=round(sum(value for value, is_address in numbers if not is_address), 6),
        addresses=round(sum(value for value, is_address in numbers if is_address)),
        json=len(encode(plan)),
    )


def defaults(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields of a value that may be left out, and what then stands for them."""
    return {
        field.name: field.default
        for field in msgspec.structs.fields(type(struct))
        if field.default is not msgspec.NODEFAULT
    }


def _faults(attempt: Attempt) -> int:
    """What is unusual about an attempt, each thing once."""
    script = attempt.script
    # Of a head the status and what follows from it are the answer itself; the rest is how it is carried.
    odd = _changed(msgspec.structs.replace(script.head, status=200, content_type=None), Head())
    ends = sum(isinstance(step, End) and step.how is not Ending.CLEAN for step in script.steps)
    read = script.reading != type(script.reading)()
    return len(attempt.toxics) + len(script.faults) + len(script.quirks) + odd + ends + read + (attempt.tls is not None)


def _changed(value: msgspec.Struct, usual: msgspec.Struct) -> int:
    return sum(getattr(value, name) != getattr(usual, name) for name in value.__struct_fields__)


def _pieces(script: Script) -> int:
    pieces = 0
    for fault in script.faults:
        if isinstance(fault, SplitAt):
            pieces += len(fault.at)
        elif isinstance(fault, SplitEvery):
            pieces += -(-layout(script).body // fault.size)
    return pieces


def _said(script: Script) -> Iterator[tuple[str, int]]:
    """The text of every step that has one, and how often it is said."""
    for step in script.steps:
        tag = str(type(step).__struct_config__.tag)
        if tag in SAID:
            yield getattr(step, SAID[tag]), getattr(step, "times", 1)


def _numbers(value: object) -> Iterator[tuple[float, bool]]:
    """Every number below a value, and whether it is an address."""
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    if not isinstance(value, msgspec.Struct):
        return
    usual = defaults(value)
    for name in value.__struct_fields__:
        found, where = getattr(value, name), (type(value), name)
        if where in ADDRESS:
            yield from ((float(one), True) for one in (found if isinstance(found, tuple) else (found or 0,)))
        elif isinstance(found, (int, float)) and not isinstance(found, bool):
            # Where nothing stands for a number, its usual value weighs nothing.
            yield (
                (1e9 / found if found else 0.0) if where in GROWS else float(abs(found - (usual.get(name) or 0))),
                False,
            )
        else:
            yield from _numbers(found)
