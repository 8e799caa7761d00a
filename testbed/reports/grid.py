"""The grid of a sweep in a terminal: a row for each event, a column for each place, and a letter for each outcome.

The law of this module: a row never looks better than its places: where several share a column, the worst is shown.
Neighbouring rows that look the same are one row with their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from testbed.oracle import Verdict

if TYPE_CHECKING:
    from testbed._sweep_words import Grid, Run
    from testbed.trace import Failure

WIDTH = 64
_LABEL = 24
_GOOD = {Verdict.PASS: ".", Verdict.LENIENT: "~"}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Outcome(NamedTuple):
    """What a letter stands for."""

    verdict: Verdict
    failure: Failure | None
    reported: str


class _Row(NamedTuple):
    label: str
    cells: str


def lines(grid: Grid) -> list[str]:
    """The whole grid: what was swept, its rows, its legend, and what it says in words."""
    letters = _letters(grid)
    said = [f"{grid.sweep.fault.value} at {grid.places} places of {grid.dialect.value}"]
    said += [f"  {row.label:<{_LABEL}} {row.cells}" for row in _merged(_rows(grid, letters))]
    said += [f"  {letter} = {_meaning(outcome)}" for outcome, letter in letters.items()]
    return [*said, *(f"  {sentence}" for sentence in grid.sentences)]


def _letters(grid: Grid) -> dict[Outcome, str]:
    """A letter for each outcome: dots for what is right, capitals for findings in the order of the stream."""
    found: dict[Outcome, str] = {}
    capitals = iter(_LETTERS)
    for run in grid.runs:
        outcome = _outcome(run)
        if outcome not in found:
            good = _GOOD.get(run.verdict, "?" if run.failure is None else "")
            found[outcome] = good or next(capitals, "*")
    return found


def _outcome(run: Run) -> Outcome:
    return Outcome(run.verdict, run.failure, run.reported)


def _meaning(outcome: Outcome) -> str:
    said = outcome.verdict.name if outcome.failure is None else f"{outcome.verdict.name} {outcome.failure.value}"
    return f"{said}: the client reports {outcome.reported}"


def _rows(grid: Grid, letters: dict[Outcome, str]) -> Iterator[_Row]:
    names = dict(grid.steps)
    for step, runs in groupby(grid.runs, key=lambda run: run.step):
        places = "".join(letters[_outcome(run)] * run.count for run in runs)
        yield _Row(names[step], _narrowed(places))


def _narrowed(places: str) -> str:
    """At most WIDTH columns, each of which shows the worst of its places."""
    columns = min(WIDTH, len(places))
    cuts = [len(places) * column // columns for column in range(columns + 1)]
    return "".join(max(places[start:stop], key=_badness) for start, stop in pairwise(cuts))


def _badness(letter: str) -> int:
    return ".~?".find(letter) if letter in ".~?" else len(_LETTERS)


def _merged(rows: Iterator[_Row]) -> Iterator[_Row]:
    """Rows that show the same things in the same order, one after the other, as one."""
    for _, group in groupby(rows, key=lambda row: [letter for letter, _of in groupby(row.cells)]):
        alike = list(group)
        first, last = alike[0], alike[-1]
        label = first.label if len(alike) == 1 else f"{first.label} … {last.label}"
        yield _Row(label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…", first.cells)
        if len(alike) > 1:
            yield _Row(f"  ({len(alike)} events alike)", "")
