"""What a sweep shows: the grid of its places and outcomes, and in words where the client changes its mind.

The law of this module: a sentence is true of every place that was run. It says "only where" and "wherever" when the
places that it names are exactly those with that outcome, and counts them where no words fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from testbed._scenario_spec import Sweep, SweptFault
from testbed._scenario_sweep import Phase, Place, Spot
from testbed._values import Value
from testbed.oracle import Verdict
from testbed.script import DialectName, Ending
from testbed.trace import Failure


class Cell(Value):
    """One place and what became of it: the verdict, the root finding, and what the client reported."""

    place: Place
    verdict: Verdict
    reported: str
    failure: Failure | None = None


class Run(Value):
    """Neighbouring places with all but the byte in common: `count` of them, from byte `first` to byte `last`."""

    first: int
    last: int
    count: int
    step: int
    phase: Phase
    spot: Spot
    verdict: Verdict
    reported: str
    failure: Failure | None = None


class Grid(Value):
    """One sweep of one stream. `steps` names each step that was struck, in the order of the stream."""

    dialect: DialectName
    sweep: Sweep
    places: int  # how many were run
    runs: tuple[Run, ...]
    sentences: tuple[str, ...]
    steps: tuple[tuple[int, str], ...] = ()


def grid(dialect: DialectName, sweep: Sweep, cells: Sequence[Cell], steps: Mapping[int, str]) -> Grid:
    """Put the cells, in the order of the stream, into a grid."""
    struck = dict.fromkeys(cell.place.step for cell in cells)
    return Grid(
        dialect=dialect,
        sweep=sweep,
        places=len(cells),
        runs=tuple(_runs(cells)),
        sentences=tuple(_sentences(sweep, cells)),
        steps=tuple((step, steps[step]) for step in struck),
    )


def _runs(cells: Iterable[Cell]) -> Iterable[Run]:
    for (step, phase, spot, verdict, reported, failure), group in groupby(cells, key=_alike):
        run = [cell.place.at for cell in group]
        yield Run(run[0], run[-1], len(run), step, phase, spot, verdict, reported, failure)


def _alike(cell: Cell) -> tuple[int, Phase, Spot, Verdict, str, Failure | None]:
    place = cell.place
    return place.step, place.phase, place.spot, cell.verdict, cell.reported, cell.failure


# --- words ------------------------------------------------------------------------------------------------------------

# What a fault is called, and what its place is called.
_FAULTS: Mapping[SweptFault, str] = MappingProxyType(
    {SweptFault.CUT: "the cut falls", SweptFault.STALL: "the stall begins", SweptFault.RESET: "the reset strikes"}
)
# What an outcome is called: it stands before "only where …" or "wherever …".
_OUTCOMES: Mapping[Failure, str] = MappingProxyType(
    {
        Failure.SILENT_TRUNCATION: "goes unnoticed",
        Failure.FALSE_FAILURE: "makes a whole answer fail",
        Failure.CORRUPTED_TEXT: "corrupts the text",
        Failure.LOST_EVENT: "loses an event that had arrived",
        Failure.PHANTOM_EVENT: "brings up an event that was never sent",
        Failure.PARTIAL_EVENT_DELIVERED: "delivers an unfinished event",
        Failure.WRONG_ERROR_CLASS: "is reported as something else",
        Failure.UNWRAPPED_ERROR: "lets an exception of a library below out",
        Failure.HANG: "hangs the client",
        Failure.CRASH: "crashes the client",
    }
)
# What a row of phases that begins with the first one comes before.
_BEFORE: Mapping[Phase, str] = MappingProxyType(
    {
        Phase.NOTHING: Phase.NOTHING.value,
        Phase.OPENING: Phase.OPENING.value,
        Phase.TOKENS: "before the finish",
        Phase.FINISHED: "before the terminal event",
        Phase.WHOLE: "anywhere",
    }
)
_MOST_PARTS = 4
_MOST_RANGES = 6


def _sentences(sweep: Sweep, cells: Sequence[Cell]) -> Iterable[str]:
    """One sentence an outcome that is a finding, the most frequent first; one sentence if there is none."""
    found: dict[Failure, list[Cell]] = {}
    for cell in cells:
        if cell.failure is not None:
            found.setdefault(cell.failure, []).append(cell)
    if not found:
        yield f"No {_noun(sweep)} at any of {len(cells)} places makes the client fail."
    for failure, where in sorted(found.items(), key=lambda one: -len(one[1])):
        said = _OUTCOMES.get(failure, "makes the client fail")
        yield f"A {_noun(sweep)} {said} ({failure.value}) {_where(sweep, cells, where)}."


def _noun(sweep: Sweep) -> str:
    if sweep.fault is SweptFault.CUT:
        return "truncation" if sweep.end is Ending.CLEAN else "broken-off body"
    return str(sweep.fault.value)


def _where(sweep: Sweep, cells: Sequence[Cell], found: Sequence[Cell]) -> str:
    falls, count = _FAULTS[sweep.fault], f"{len(found)} of {len(cells)} places"
    if len(found) == len(cells):
        return f"wherever {falls} ({count})"
    parts = _parts(cells, found)
    if parts is not None and len(parts) <= _MOST_PARTS:
        return f"only where {falls} {'; or '.join(parts)} ({count})"
    return f"at {count}: {_ranges(found)}"


def _parts(cells: Sequence[Cell], found: Sequence[Cell]) -> list[str] | None:
    """Describe the found places exactly by phases and spots; None if both together do not tell them from the others."""
    every = _squares(cells)
    mine = _squares(found)
    failure = found[0].failure
    others = _squares(cell for cell in cells if cell.failure is not failure)
    if mine & others:
        return None
    spots_of = {phase: frozenset(spot for one, spot in mine if one is phase) for phase in Phase}
    # A phase that is found as a whole needs no spots; all others are named together where they have the same ones.
    whole = [phase for phase in Phase if spots_of[phase] == {spot for one, spot in every if one is phase} != set()]
    grouped: dict[frozenset[Spot], list[Phase]] = {}
    for phase, spots in spots_of.items():
        if spots and phase not in whole:
            grouped.setdefault(spots, []).append(phase)
    blocks = [(whole, frozenset(Spot)), *((phases, spots) for spots, phases in grouped.items())]
    exact = [_part(every, phases, spots) for phases, spots in blocks if phases]
    # One kind of spot everywhere is shorter than a list of phases.
    everywhere = frozenset(spot for _, spot in mine)
    return exact if len(exact) == 1 or _of_spots(every, everywhere) != mine else [_part(every, list(Phase), everywhere)]


def _of_spots(every: frozenset[tuple[Phase, Spot]], spots: frozenset[Spot]) -> frozenset[tuple[Phase, Spot]]:
    return frozenset(square for square in every if square[1] in spots)


def _squares(cells: Iterable[Cell]) -> frozenset[tuple[Phase, Spot]]:
    return frozenset((cell.place.phase, cell.place.spot) for cell in cells)


def _part(every: frozenset[tuple[Phase, Spot]], phases: Sequence[Phase], spots: frozenset[Spot]) -> str:
    """Name a block of phases and spots, leaving out what is no restriction."""
    # No restriction, and left out: phases that are all which have such a spot, spots that are all of their phases.
    there = {phase for phase, spot in every if spot in spots}
    anywhere = {spot for phase, spot in every if phase in phases} <= spots
    when = "" if there <= set(phases) else _when(there, phases)
    what = "" if anywhere else _either([spot.value for spot in Spot if spot in spots])
    return ", ".join(filter(None, (what, when)))


def _when(there: Iterable[Phase], phases: Sequence[Phase]) -> str:
    """Name phases in a row from the first one on by what comes behind them, all others one by one."""
    in_order = [phase for phase in Phase if phase in there]
    if in_order[: len(phases)] == list(phases):
        return _BEFORE[phases[-1]]
    return _either([phase.value for phase in phases])


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _ranges(found: Sequence[Cell]) -> str:
    ranges: list[list[int]] = []
    for cell in found:
        at = cell.place.at
        if ranges and at == ranges[-1][1] + 1:
            ranges[-1][1] = at
        else:
            ranges.append([at, at])
    said = [f"{first}" if first == last else f"{first} to {last}" for first, last in ranges[:_MOST_RANGES]]
    more = f" and {len(ranges) - _MOST_RANGES} more ranges" if len(ranges) > _MOST_RANGES else ""
    return f"body bytes {', '.join(said)}{more}"
