"""``python -m tests.killmatrix.detection``: how surely the default budget finds each mutant, over many seeds.

The law of this module: nothing helps the search. It has the budget that a tester gets who sets none, one seed after the
other, and a mutant is found with a seed if one of the scenarios that are to show it shows its class.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

import click

from testbed import loader
from testbed.explore import Settings
from tests.killmatrix import virtual
from tests.killmatrix.cells import OWN, Question
from tests.killmatrix.clients import MUTANTS, by_name, on_virtual_time, scenarios_of

SEEDS = 30
BUDGET = Settings().examples

# Of thirty seeds one may miss.
ALLOWED = 30


class Odds(NamedTuple):
    """How often one mutant was found. `examples`: how many plans it took on the average, where it was found."""

    mutant: str
    seeds: int
    missed: tuple[int, ...]
    examples: float

    @property
    def enough(self) -> bool:
        """Whether it is found as surely as it must be."""
        return len(self.missed) <= self.seeds // ALLOWED


def asked(chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """The mutants that a search can be for: on virtual time, in the catalogue."""
    there = set(loader.names())
    names = [name for name in MUTANTS if not chosen or name in chosen]
    return tuple(
        name for name in names if on_virtual_time(name) is not None and set(scenarios_of(name)) & there - {OWN}
    )


def odds(mutant: str, seeds: int, first: int = 0) -> Odds:
    """Search with each of these seeds."""
    took = {seed: _found(mutant, seed) for seed in range(first, first + seeds)}
    hits = [count for count in took.values() if count]
    missed = tuple(seed for seed, count in took.items() if not count)
    return Odds(mutant, seeds, missed, round(sum(hits) / len(hits), 1) if hits else 0.0)


def _found(mutant: str, seed: int) -> int:
    """How many plans it took to find the mutant with this seed; 0 if it was missed."""
    planted = MUTANTS[mutant].planted
    assert planted is not None
    took = 0
    for scenario in scenarios_of(mutant):
        if not set(loader.load(scenario).dialects) & set(by_name(mutant).profile.dialects):
            continue
        answer = virtual.ask(Question(mutant, scenario, planted.value, seed), BUDGET)
        took += answer.examples
        if answer.asked and answer.right:
            return took
    return 0


def all_odds(names: Sequence[str], seeds: int, first: int, processes: int) -> Iterator[Odds]:
    """Search for all of them, as they come."""
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(odds, name, seeds, first) for name in names]):
            yield future.result()


@click.command(help=__doc__)
@click.option("--client", "clients", multiple=True, help="A mutant (repeatable).")
@click.option("--seeds", default=SEEDS, show_default=True, help="How many seeds.")
@click.option("--seed", default=0, show_default=True, help="The first of them.")
@click.option("--processes", default=2, show_default=True)
def main(clients: tuple[str, ...], seeds: int, seed: int, processes: int) -> None:
    """Search, print a line for each mutant, and say with the exit code whether all are found surely enough."""
    started = time.monotonic()
    found = sorted(all_odds(asked(clients), seeds, seed, processes), key=lambda one: (-len(one.missed), -one.examples))
    for one in found:
        missed = f"  missed with the seeds {', '.join(map(str, one.missed))}" if one.missed else ""
        click.echo(f"{one.mutant:32} {one.seeds - len(one.missed):3} of {one.seeds}  {one.examples:6} plans{missed}")
    short = [one for one in found if not one.enough]
    least = min((one.seeds - len(one.missed) for one in found), default=0)
    seconds = time.monotonic() - started
    click.echo(
        f"{len(found) - len(short)} of {len(found)} mutants found surely enough with {BUDGET} plans a scenario; "
        f"the least sure with {least} of {seeds} seeds; {seconds:.0f} s"
    )
    sys.exit(1 if short or not found else 0)


if __name__ == "__main__":
    main()
