"""Who stands in the matrix: the toys with a planted defect, and everybody who is correct.

The law of this module: a client is found again by its name in another process.
"""

from __future__ import annotations

from collections.abc import Mapping

from testbed import adapters, runner
from testbed.ports import ClientAdapter
from testbed.trace import Clock
from tests.builds import BUILDS
from tests.killmatrix.cells import OWN
from tests.killmatrix.shows import SHOWS
from tests.toys import TOYS
from tests.toys.rows import THREAD, Toy

# Who is asked every place of a sweep; of the others a sweep's scenario is asked like any other.
SWEPT = frozenset({"reference", "toy-per-character"})

MUTANTS: Mapping[str, Toy] = {name: toy for name, toy in TOYS.items() if toy.planted is not None}

CORRECT: Mapping[str, ClientAdapter] = {
    "reference": adapters.load("reference"),
    **{f"toy-{name}": toy.adapter for name, toy in TOYS.items() if toy.planted is None},
    **{f"build-{name}": adapter for name, adapter in BUILDS.items()},
}


def scenarios_of(name: str) -> tuple[str, ...]:
    """The scenarios that must show a mutant: its row's own, and those whose row names it."""
    told = [scenario for scenario, toys in SHOWS.items() if name in toys]
    named = tuple(dict.fromkeys((*MUTANTS[name].scenarios, *told)))
    return named or ((OWN,) if MUTANTS[name].plan is not None else ())


def is_asked(name: str, scenario: str) -> bool:
    """Whether a correct client is asked this scenario: all of them, but for one whose row says what it is for."""
    toy = TOYS.get(name.removeprefix("toy-"))
    return toy is None or not toy.scenarios or scenario in toy.scenarios


def by_name(name: str) -> ClientAdapter:
    """The client of that name."""
    return CORRECT[name] if name in CORRECT else MUTANTS[name].adapter


def on_virtual_time(name: str) -> ClientAdapter | None:
    """Who is asked on virtual time for this client: itself, or the same defect on an event loop; None if nobody can."""
    toy = MUTANTS.get(name)
    if toy is not None and toy.runtimes == THREAD:
        other = toy.on_a_loop
        return None if other is None else other.adapter
    adapter = by_name(name)
    return adapter if runner.runtime_for(adapter, Clock.VIRTUAL) is not None else None
