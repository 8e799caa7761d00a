"""Our toxics in the words of the real server, exactly or not at all.

The law of this module: what :func:`lower` returns does on Toxiproxy 2.12, byte for byte and end for end, what our
model of the same toxics does; where it would not, :func:`why_not` says so in a sentence, and nothing is
approximated. Native toxics go over as they are, in their order. The two of ours that have an exact recipe
(measured):

::

    close_after (bytes = N)             limit_data N
    reset_after (bytes = N, drained)    reset_peer, toxicity 0  +  limit_data N

The second works because a ``reset_peer`` in the chain takes the orderly end from both sockets when a connection
starts, even if its toxicity never lets it strike: *every* close is then a reset, and so ``limit_data`` resets. That
is also why it stands alone: any other close on such a connection, the server's own end included, would come out as
a reset too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

import msgspec

from testbed.engines.toxiproxy_client import ToxicSpec
from testbed.errors import Unsupported
from testbed.faults.toxics import (
    NATIVE,
    CloseAfter,
    Direction,
    LimitData,
    PacketLoss,
    ResetAfter,
    ResetMode,
    Slicer,
    Stall,
    Timeout,
    Toxic,
    type_name,
)
from testbed.plan import Attempt, Plan
from testbed.program import Close, compile_script, layout
from testbed.script import Ending

# Toxiproxy counts in nanoseconds in an int64; this stays far below, and is more than three weeks in milliseconds.
_MOST = 2**31 - 1

# What may close a connection by itself. Beside a lowered reset_after its close would turn into a reset.
_CLOSERS = (LimitData, CloseAfter, Timeout)


def lower(attempt: Attempt) -> tuple[ToxicSpec, ...]:
    """The toxics to put on the proxy of this attempt, in order. Raises :class:`Unsupported`."""
    if (reason := _why_not(attempt)) is not None:
        raise Unsupported(reason)
    return tuple(spec for index, toxic in enumerate(attempt.toxics) for spec in _lower(index, toxic))


def why_not(plan: Plan) -> str | None:
    """Say in a sentence why the real server cannot carry this plan exactly, or return None."""
    for number, attempt in enumerate(plan.attempts):
        if (reason := _why_not(attempt)) is not None:
            return f"attempt {number}: {reason}" if len(plan.attempts) > 1 else reason
    return None


def _why_not(attempt: Attempt) -> str | None:
    reasons = (*map(_toxic_problem, attempt.toxics), _ending_problem(attempt), _reset_problem(attempt))
    return next((reason for reason in reasons if reason is not None), None)


# --- one toxic --------------------------------------------------------------------------------------------------------


def _toxic_problem(toxic: Toxic) -> str | None:
    name = type_name(toxic)
    if toxic.toxicity not in (0.0, 1.0):
        return (
            f"{name}: toxicity is {toxic.toxicity:g}, and real Toxiproxy draws it without regard to a seed: the same"
            " plan would not give the same run; use 0 or 1"
        )
    for field, value in _attributes(toxic).items():
        if isinstance(value, int) and not 0 <= value <= _MOST:
            return f"{name}: {field} is {value}; on real Toxiproxy it must lie between 0 and {_MOST}"
    problem = _PROBLEMS.get(type(toxic))
    sentence = None if problem is None else problem(toxic)
    return None if sentence is None else f"{name}: {sentence}"


def _slicer_problem(toxic: Slicer) -> str | None:
    size, variation = toxic.attributes.average_size, toxic.attributes.size_variation
    if size > 0 and variation < size:
        return None
    return f"average_size {size} with size_variation {variation} can crash the real server; it must be the larger one"


def _reset_after_problem(toxic: ResetAfter) -> str | None:
    if toxic.attributes.mode is ResetMode.IMMEDIATE:
        return "real Toxiproxy cannot destroy bytes that it has sent already (mode immediate); drained is exact there"
    if toxic.stream is Direction.UPSTREAM:
        return "real Toxiproxy resets at an exact byte only downstream"
    return None


def _close_after_problem(toxic: CloseAfter) -> str | None:
    return None if toxic.attributes.after is None else "real Toxiproxy cannot cut a stream that flows after a time"


# `Any` because each row takes its own toxic; the key is the proof.
_PROBLEMS: Mapping[type, Callable[[Any], str | None]] = MappingProxyType(
    {
        PacketLoss: lambda _: "real Toxiproxy 2.12 does not model the loss of packets",
        Stall: lambda _: "real Toxiproxy cannot fall silent at an exact byte without losing what follows",
        Slicer: _slicer_problem,
        ResetAfter: _reset_after_problem,
        CloseAfter: _close_after_problem,
    }
)


def _attributes(toxic: Toxic) -> dict[str, object]:
    return cast("dict[str, object]", msgspec.structs.asdict(toxic.attributes))


def _lower(index: int, toxic: Toxic) -> Iterator[ToxicSpec]:
    """Spell one toxic. Names are ours: the plan's may collide, and a lowered toxic needs two."""

    def spec(kind: str, toxicity: float, **attributes: int) -> ToxicSpec:
        name = f"{index}-{kind}"
        return ToxicSpec(name=name, type=kind, stream=toxic.stream.value, toxicity=toxicity, attributes=attributes)

    if isinstance(toxic, NATIVE):
        yield spec(type_name(toxic), toxic.toxicity, **cast("dict[str, int]", _attributes(toxic)))
    elif isinstance(toxic, CloseAfter):
        yield spec("limit_data", toxic.toxicity, bytes=toxic.attributes.bytes or 0)
    # With toxicity 0 even the option that reset_peer leaves behind would be too much.
    elif isinstance(toxic, ResetAfter) and toxic.toxicity == 1.0:
        yield spec("reset_peer", 0.0, timeout=0)
        yield spec("limit_data", 1.0, bytes=toxic.attributes.bytes)


# --- the toxics together, and the script ------------------------------------------------------------------------------


def _ending_problem(attempt: Attempt) -> str | None:
    """An RST of the server's own, if the script comes to it."""
    last = compile_script(attempt.script)[-1]
    if isinstance(last, Close) and last.how in {Ending.RST, Ending.ABORT}:
        return f"the script ends with {last.how.value}, and real Toxiproxy hands a reset on as an orderly end"
    return None


def _reset_problem(attempt: Attempt) -> str | None:
    """What must not happen on a connection whose every close is a reset."""
    resets = [toxic for toxic in attempt.toxics if isinstance(toxic, ResetAfter) and toxic.toxicity == 1.0]
    if not resets:
        return None
    at = min(toxic.attributes.bytes for toxic in resets)
    wire = layout(attempt.script).wire
    if at > wire:
        return (
            f"reset_after: bytes is {at}, but the answer has {wire}: it would never strike, and real Toxiproxy would"
            " turn the answer's own end into a reset"
        )
    return _company_problem(attempt.toxics)


def _company_problem(toxics: tuple[Toxic, ...]) -> str | None:
    for toxic in toxics:
        if toxic.toxicity and isinstance(toxic, _CLOSERS):
            return f"reset_after with {type_name(toxic)}: real Toxiproxy would turn either's close into a reset"
    first = next(index for index, toxic in enumerate(toxics) if isinstance(toxic, ResetAfter))
    if any(type_name(toxic) == "slow_close" and toxic.stream is Direction.DOWNSTREAM for toxic in toxics[first:]):
        return "slow_close behind reset_after: real Toxiproxy would hold the reset back as well"
    return None
