"""How a script is put into the words of one request: what the client has is left out, what it asked is echoed.

The laws of this module: every step keeps its place. A step that says nothing to this client becomes a silence of no
length, which has no bytes; a step whose bytes depend on the request becomes just these bytes. So the step that the
trace names is the step of the plan, and where its bytes stand is counted from what was written. A content fault strikes
the same event whether or not something before it is left out; one inside of what is left out does not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from testbed.script import ContentFault, CutBody, Head, Pause, Raw, Replace, Script, SplitAt, Step

SILENCE = Pause(0)


def as_bytes(data: bytes) -> Step:
    """The step that puts just these bytes into the body."""
    return Raw(data) if data else SILENCE


def replaced(script: Script, change: Callable[[int, Step], Step]) -> Script:
    """The same script with each step changed by its place."""
    return msgspec.structs.replace(script, steps=tuple(change(index, step) for index, step in enumerate(script.steps)))


def without(script: Script, through: int, encoded: Sequence[Sequence[bytes]]) -> Script:
    """The script without what it says behind its head up to step `through`: its events, and the pauses among them.

    `encoded` are the events of the whole script, step by step.
    """
    head = next(index for index, step in enumerate(script.steps) if isinstance(step, Head))
    gone = sum(len(event) for events in encoded[: through + 1] for event in events)
    faults = [moved for fault in script.faults for moved in _MOVED.get(type(fault), _unmoved)(fault, gone)]
    # What stands before the head is the silence of this very answer, so it stays.
    shorter = replaced(script, lambda index, step: SILENCE if head < index <= through else step)
    return msgspec.structs.replace(shorter, faults=tuple(faults))


def _unmoved(fault: ContentFault, _gone: int) -> tuple[ContentFault, ...]:
    return (fault,)


def _moved_cut(fault: CutBody, gone: int) -> tuple[ContentFault, ...]:
    # A cut inside of what the client has would end this answer before it begins.
    return (msgspec.structs.replace(fault, at=fault.at - gone),) if fault.at > gone else ()


def _moved_split(fault: SplitAt, gone: int) -> tuple[ContentFault, ...]:
    return (SplitAt(tuple(at - gone for at in fault.at if at > gone)),)


def _moved_replace(fault: Replace, gone: int) -> tuple[ContentFault, ...]:
    rest = fault.data[max(gone - fault.at, 0) :]
    return (Replace(max(fault.at - gone, 0), rest),) if rest else ()


# The faults with an address in the body; any other strikes the whole of it, or its framing.
_MOVED: Mapping[type, Callable[[Any, int], tuple[ContentFault, ...]]] = MappingProxyType(
    {CutBody: _moved_cut, SplitAt: _moved_split, Replace: _moved_replace}
)
