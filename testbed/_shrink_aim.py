"""Aiming again: where a fault must strike so that it hits the same event of a script that has changed.

The laws of this module: an address that lay inside an event stays at the same distance from the event's beginning, or
from its end, as far as the event is still that long; where the event is gone it falls on the nearest boundary that is
left. Body addresses are read off the body before any fault, wire addresses off what is written.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from testbed._shrink_size import ADDRESS, BODY_ADDRESS, WIRE_ADDRESS
from testbed.plan import Attempt
from testbed.program import EventSpan, layout
from testbed.script import ChunkEnd, ChunkLine, Script


class Keep(enum.Enum):
    """What an address keeps: its distance from the beginning of its event, or from the end."""

    BEGINNING = "beginning"
    END = "end"


class _Places(NamedTuple):
    """The boundaries of one script: each event's place by its name (its step, and which event of that step)."""

    events: dict[tuple[int, int], tuple[int, int]]
    first: int  # where the events begin
    whole: int


def aimed(before: Attempt, script: Script, kept: Mapping[int, int], keep: Keep) -> Attempt:
    """The attempt with `script` in place of its own, and its faults aimed again.

    `kept` maps the number of each step that is left to its new number. Raises :class:`~testbed.errors.UsageError` if
    the script cannot be said.
    """
    old, new = _body(before.script), _body(script)
    gone = sum(1 for step, _ in old.events if step not in kept)
    faults = tuple(
        _chunks(_moved(fault, BODY_ADDRESS, lambda at: _follow(at, old, new, kept, keep)), gone, keep)
        for fault in script.faults
    )
    script = msgspec.structs.replace(script, faults=faults)
    if before.tls is not None:
        # Sealed bytes are counted by nobody before the run.
        return msgspec.structs.replace(before, script=script)
    old, new = _wire(before.script), _wire(script)

    def follow(at: int) -> int:
        return _follow(at, old, new, kept, keep)

    faults = tuple(_moved(fault, WIRE_ADDRESS, follow) for fault in faults)
    toxics = tuple(
        msgspec.structs.replace(toxic, attributes=_moved(toxic.attributes, WIRE_ADDRESS, follow))
        for toxic in before.toxics
    )
    return msgspec.structs.replace(before, script=msgspec.structs.replace(script, faults=faults), toxics=toxics)


def has_addresses(attempt: Attempt) -> bool:
    """Whether anything in an attempt strikes at a byte, or at a chunk by its number."""
    kinds = {kind for kind, _ in ADDRESS} | {ChunkLine, ChunkEnd}
    return any(type(one) in kinds for one in (*attempt.script.faults, *(toxic.attributes for toxic in attempt.toxics)))


def _moved(value: Any, which: frozenset[tuple[Any, str]], follow: Callable[[int], int]) -> Any:
    """The same value with its addresses of one sort moved."""
    changes: dict[str, object] = {}
    for kind, name in which:
        if type(value) is kind and (at := getattr(value, name)) is not None:
            changes[name] = tuple(dict.fromkeys(map(follow, at))) if isinstance(at, tuple) else follow(at)
    return msgspec.structs.replace(value, **changes) if changes else value


def _chunks(fault: Any, gone: int, keep: Keep) -> Any:
    """A chunk's number counts events, unless something splits them."""
    if keep is Keep.END and isinstance(fault, (ChunkLine, ChunkEnd)) and fault.chunk is not None and fault.chunk > 0:
        return msgspec.structs.replace(fault, chunk=max(0, fault.chunk - gone))
    return fault


def _follow(at: int, old: _Places, new: _Places, kept: Mapping[int, int], keep: Keep) -> int:
    """The new place of one address."""
    if at < old.first:
        # In the head: a line of it may have gone, before or behind the address.
        return min(at, new.first) if keep is Keep.BEGINNING else max(0, at + new.first - old.first)
    for (step, ordinal), (start, stop) in old.events.items():
        if start <= at < stop if keep is Keep.BEGINNING else start < at <= stop:
            there = new.events.get((kept[step], ordinal)) if step in kept else None
            if there is None:
                return _nearest((step, ordinal), old, new, kept, keep)
            return (
                min(there[0] + at - start, there[1])
                if keep is Keep.BEGINNING
                else max(there[1] - (stop - at), there[0])
            )
    # Behind the last event, or before the first: what stands there belongs to no event.
    last = max((stop for _, stop in old.events.values()), default=old.first)
    if at < last:
        return new.first
    newest = max((stop for _, stop in new.events.values()), default=new.first)
    return min(newest + at - last, new.whole) if keep is Keep.BEGINNING else max(newest, new.whole - (old.whole - at))


def _nearest(name: tuple[int, int], old: _Places, new: _Places, kept: Mapping[int, int], keep: Keep) -> int:
    """The boundary that takes the place of an event that is gone."""
    names = list(old.events)
    place = names.index(name)
    others: Sequence[tuple[int, int]] = names[place + 1 :] if keep is Keep.BEGINNING else names[:place][::-1]
    for step, ordinal in others:
        there = new.events.get((kept[step], ordinal)) if step in kept else None
        if there is not None:
            return there[0] if keep is Keep.BEGINNING else there[1]
    return max((stop for _, stop in new.events.values()), default=new.first) if keep is Keep.BEGINNING else new.first


def _body(script: Script) -> _Places:
    plain = layout(msgspec.structs.replace(script, faults=()))
    return _Places(_named([(span, span.body) for span in plain.events]), 0, plain.body)


def _wire(script: Script) -> _Places:
    written = layout(script)
    return _Places(_named([(span, span.wire) for span in written.events]), written.head, written.wire)


def _named(spans: Sequence[tuple[EventSpan, tuple[int, int]]]) -> dict[tuple[int, int], tuple[int, int]]:
    events: dict[tuple[int, int], tuple[int, int]] = {}
    seen: dict[int, int] = {}
    for span, place in spans:
        ordinal = seen[span.step] = seen.get(span.step, -1) + 1
        events[span.step, ordinal] = place
    return events
