"""Plans out of scenarios: drawn by Hypothesis, which shrinks them, or drawn up front from a seed.

The laws of this module: the integer 0 is the simplest of everything, so what shrinks ends at the earliest byte, one
ASCII token and no pause; on a real clock no plan takes a right client more than :data:`LONGEST` seconds, because its
ranges are stretched less and not because long plans are thrown away; a family of constants is the tester's word and
is taken as it is.
"""

from __future__ import annotations

import functools
import math
import random
import zlib
from collections.abc import Callable, Sequence

import hypothesis
from hypothesis import strategies as st

from testbed._scenario_build import build, is_constant
from testbed._scenario_positions import FINENESS, Unplaceable
from testbed._scenario_tape import Tape
from testbed._values import digest
from testbed.catalogue import Scenario, single
from testbed.errors import Unsupported
from testbed.plan import Plan
from testbed.script import DialectName
from testbed.timing import nominal
from testbed.trace import Clock

# Seconds that a plan may take a right client on a real clock.
LONGEST = 3.0

# A choice of a few words has no ends. Of a range each end is drawn once in so many times, beside its own share.
_FEW, _MORE = 9, 12

# How a place of 20 bits is put together.
_PARTS = ((7, 13), (7, 6), (6, 0))

# Farther than any integer of a tape reaches.
_APART = 2**32

# How often a plan that did not fit, or was there already, is drawn anew before we are content with fewer.
_TRIES = 25


def plans(scenario: Scenario, dialects: Sequence[DialectName], *, clock: Clock) -> st.SearchStrategy[Plan]:
    """Make a strategy for the plans of `scenario` in the dialects that a client speaks.

    Raises :class:`Unsupported` with a sentence if even its simplest plan does not fit.
    """
    spoken = _spoken(scenario, dialects, clock)
    if is_constant(scenario):
        return st.just(single(scenario))

    @st.composite
    def drawn(draw: st.DrawFn) -> Plan:
        tape = Tape.by_name(lambda name, top: _drawn(draw, name, top))
        try:
            return _fitting(scenario, spoken, tape, clock)
        except (Unsupported, Unplaceable):
            hypothesis.reject()

    return drawn()


def _drawn(draw: st.DrawFn, name: str, top: int) -> int:
    if top != FINENESS - 1:
        return draw(_integer(name, top))
    # Of a wide range Hypothesis likes the small end, and thousands of times so. A place may be anywhere: it is drawn in
    # parts, each of them from a range so short that all of it is equally likely.
    parts = [draw(_integer(f"{name}/{part}", 2**bits - 1)) << shift for part, (bits, shift) in enumerate(_PARTS)]
    return sum(parts)


@functools.lru_cache(maxsize=4096)
def _integer(name: str, top: int) -> st.SearchStrategy[int]:
    """An integer from 0 to `top` for that purpose and no other.

    Most of what Hypothesis tries are earlier plans with one value copied to where another of the same kind stood: good
    for trees, and between a byte and a time-out without any sense. Here a kind is what it draws from, so every purpose
    draws from a range of its own, and every plan is a new one. Both ends of a range have more than their share, for
    that is where counts go wrong: what lies behind `top` stands for one of them.
    """
    base = zlib.crc32(name.encode()) * _APART
    more = (top + 1) // _MORE if _FEW < top < _APART else 0
    return st.sampled_from(range(base, base + top + 2 * more + 1)).map(lambda drawn: _folded(drawn - base, top, more))


def _folded(drawn: int, top: int, more: int) -> int:
    if drawn <= top:
        return drawn
    return top if drawn <= top + more else 0


def draw_many(
    scenario: Scenario,
    dialects: Sequence[DialectName],
    clock: Clock,
    count: int,
    seed: int,
) -> tuple[Plan, ...]:
    """Up to `count` distinct plans from a seed, the simplest one first; fewer where the family has no more.

    Raises :class:`Unsupported` if there is none.
    """
    spoken = _spoken(scenario, dialects, clock)
    if is_constant(scenario):
        return (single(scenario),)
    rng = random.Random(f"{scenario.name}/{seed}")
    found: dict[str, Plan] = {}
    for attempt in range(count * _TRIES):
        try:
            plan = _fitting(scenario, spoken, Tape(_simplest if attempt == 0 else _biased(rng)), clock)
        except (Unsupported, Unplaceable):
            continue
        found.setdefault(digest(plan), plan)
        if len(found) == count:
            break
    return tuple(found.values())


def simplest(scenario: Scenario, dialects: Sequence[DialectName], *, clock: Clock) -> Plan:
    """The simplest plan of a family; raises :class:`Unsupported` if there is none."""
    return draw_many(scenario, dialects, clock, 1, 0)[0]


def _simplest(_top: int) -> int:
    return 0


def _biased(rng: random.Random) -> Callable[[int], int]:
    """A source of integers that likes both ends: a share of 0 is the simplest, a share of 1 the most extreme."""

    def source(top: int) -> int:
        return rng.choice((0, top)) if rng.random() < 0.15 else rng.randint(0, top)

    return source


def _spoken(scenario: Scenario, dialects: Sequence[DialectName], clock: Clock) -> tuple[DialectName, ...]:
    """The dialects that both sides speak.

    Raises :class:`Unsupported` if there is none, or if the simplest plan fits in none.
    """
    shared = [dialect for dialect in scenario.dialects if dialect in dialects]
    if not shared:
        told = ", ".join(dialect.value for dialect in scenario.dialects)
        raise Unsupported(f"{scenario.name}: it is about {told}, which this client does not speak")
    if is_constant(scenario):
        return tuple(shared)
    refusals = {dialect: _refusal(scenario, dialect, clock) for dialect in shared}
    fitting = tuple(dialect for dialect in shared if refusals[dialect] is None)
    if not fitting:
        raise Unsupported(refusals[shared[0]])
    return fitting


def _refusal(scenario: Scenario, dialect: DialectName, clock: Clock) -> str | None:
    """Why there is no plan in this dialect, or None.

    That the simplest has no byte to strike says nothing of the others.
    """
    try:
        _fitting(scenario, (dialect,), Tape(_simplest), clock)
    except Unsupported as reason:
        return str(reason)
    except Unplaceable:
        return None
    return None


def _fitting(scenario: Scenario, dialects: Sequence[DialectName], tape: Tape, clock: Clock) -> Plan:
    """Read the tape's plan, with its ranges stretched only so far that it fits the clock."""
    dialect = dialects[tape.pick("dialect", len(dialects) - 1)]
    plan = build(scenario, dialect, tape)
    if clock is Clock.REAL and (longest := nominal(plan)) > LONGEST:
        return _calmer(scenario, dialect, tape, longest)
    return plan


def _calmer(scenario: Scenario, dialect: DialectName, tape: Tape, longest: float) -> Plan:
    """The plan of the same tape with the widest stretch that fits, found by a line between the two ends and then by
    halves.
    """
    calm = build(scenario, dialect, tape, stretch=0.0)
    shortest = nominal(calm)
    if shortest > LONGEST:
        raise Unsupported(
            f"{scenario.name}: even its shortest plan takes {shortest:g} s; a real clock has {LONGEST:g} s"
        )
    stretch = 0.5 if math.isinf(longest) else (LONGEST - shortest) / (longest - shortest)
    while stretch > 0.001:
        plan = build(scenario, dialect, tape, stretch=stretch)
        if nominal(plan) <= LONGEST:
            return plan
        stretch /= 2
    return calm
