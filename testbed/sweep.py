"""A sweep: one fault at every place of one stream, on virtual time, and the grid of what became of it.

The law of this module: every place that the grid shows was run, and what is said of a class of failure rests on the
earliest place that showed it, run once more by itself. Places are run many at a time in one loop, and long sweeps in
processes of their own, one a core: on `simulated` no run can disturb another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from testbed import runner
from testbed._found import Tally, check
from testbed._scenario_build import base
from testbed._scenario_spec import Scenario
from testbed._scenario_sweep import Part, places
from testbed._scenario_tape import Tape
from testbed._sweep_team import Outcome, Team, alone
from testbed._sweep_words import Cell, Grid, grid
from testbed.errors import Unsupported
from testbed.ports import ClientAdapter, Engine
from testbed.script import DialectName, Step, Text

# Below this many places another process is not worth its start.
WORTH_A_TEAM = 1_000

Progress = Callable[[int, int], None]


def parts(scenario: Scenario, dialects: Sequence[DialectName]) -> tuple[Part, ...]:
    """The sweeps of a scenario, one for each dialect that both sides speak; the stream is its simplest member's."""
    if scenario.sweep is None:
        return ()
    found = []
    for dialect in scenario.dialects:
        if dialect in dialects:
            plan = base(scenario, dialect, Tape(lambda _top: 0))
            found.append(Part(plan, scenario.sweep, places(plan.attempts[0].script, scenario.sweep.at)))
    return tuple(found)


def sweep(
    scenario: Scenario, over: Engine, client: ClientAdapter, tally: Tally, on_progress: Progress, *, named: str = ""
) -> tuple[Grid, ...]:
    """Run every place of every part, count them in `tally`, and return a grid for each part that could be asked.

    `named` is how another process can load the client; without it everything is run in this one. Raises
    :class:`Unsupported` if no part could be asked.
    """
    made, reason = [], f"{scenario.name}: there is no dialect that both sides speak"
    for part in parts(scenario, client.profile.dialects):
        if (why_not := runner.unsupported(part.struck(part.places[-1]), over, client)) is not None:
            reason = why_not
            continue
        outcomes = _run(part, over, client, on_progress, named)
        _count(part, outcomes, over, client, tally)
        made.append(_grid(part, outcomes))
    if not made:
        raise Unsupported(reason)
    return tuple(made)


def _run(part: Part, over: Engine, client: ClientAdapter, on_progress: Progress, named: str) -> list[Outcome]:
    def told(done: int) -> None:
        on_progress(done, len(part.places))

    if named and len(part.places) >= WORTH_A_TEAM:
        with Team(named, over.name) as team:
            return team.run(part, told)
    return alone(part, over, client, told)


def _count(part: Part, outcomes: Sequence[Outcome], over: Engine, client: ClientAdapter, tally: Tally) -> None:
    """Count every place, and run the earliest of each kind once more, whose plan then stands for all."""
    seen: set[tuple[object, ...]] = set()
    for place, one in zip(part.places, outcomes, strict=True):
        kind = (one.verdict, one.failure, one.cause)
        if kind in seen:
            tally.examples += 1
            continue
        seen.add(kind)
        plan = part.struck(place)
        tally.count(plan, check(plan, over, client), frozenset(tally.found))


def _grid(part: Part, outcomes: Sequence[Outcome]) -> Grid:
    steps = part.plan.attempts[0].script.steps
    cells = [
        Cell(place, one.verdict, one.reported, one.failure) for place, one in zip(part.places, outcomes, strict=True)
    ]
    return grid(
        part.plan.dialect, part.sweep, cells, {cell.place.step: _name(steps[cell.place.step]) for cell in cells}
    )


def _name(step: Step) -> str:
    """A step as a grid's row calls it: its tag, and the text that it carries."""
    tag = str(type(step).__struct_config__.tag)
    return f"{tag} {step.text!r}" if isinstance(step, Text) else tag
