"""``python -m tests.mutation``: plant small defects in the oracle and the plan, and list those that no test notices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from tests.mutation.alone import ask_alone, be_alone
from tests.mutation.known import Known
from tests.mutation.mutants import ROOT, Mutant, difference, sample
from tests.mutation.plugin import APART, KILLED, SURVIVED, TIMEOUT, Asker, Tracer, pytest_with

FILE = click.Path(dir_okay=False, path_type=Path)

Found = list[tuple[Mutant, str]]


def _trace(into: Path) -> None:
    tracer = Tracer()
    code = pytest_with(tracer)
    into.write_text(json.dumps(tracer.told()))
    sys.exit(code)


def _known(into: Path | None) -> Known:
    """Which test runs which line, found out in a process of its own: nobody is asked while he is traced."""
    with tempfile.TemporaryDirectory() as folder:
        path = into or Path(folder) / "known.json"
        if not path.exists():
            subprocess.run([sys.executable, "-m", "tests.mutation", "--trace", str(path)], check=True)
        told = json.loads(path.read_text())
    sizes = Counter(test for lines in told["lines"].values() for tests in lines.values() for test in tests)
    return Known([(name, seconds) for name, seconds in told["tests"]], told["lines"], sizes)


@click.command(help=__doc__)
@click.option("--sample", "size", default=450, show_default=True, help="Mutants of the oracle, drawn from all.")
@click.option("--seed", default=1, show_default=True, help="What they are drawn by. The plan's are all asked.")
@click.option("--only", multiple=True, help="Only mutants whose name begins so, such as testbed/plan.py (repeatable).")
@click.option("--longest", default=100.0, show_default=True, help="Seconds of tests that each is asked by at most.")
@click.option("--again", type=FILE, help="Only those that survived, by the results of another time.")
@click.option("--known", type=FILE, help="Where to keep which test runs which line, for another time.")
@click.option("--results", type=FILE, help="Where to write what came of each, as JSON.")
@click.option("--processes", default=2, show_default=True)
@click.option("--trace", "trace_into", type=FILE, hidden=True)
@click.option("--alone", hidden=True)
def main(  # noqa: PLR0917 - the options
    size: int,
    seed: int,
    only: tuple[str, ...],
    longest: float,
    again: Path | None,
    known: Path | None,
    results: Path | None,
    processes: int,
    trace_into: Path | None,
    alone: str | None,
) -> None:
    """Trace, mutate, ask and tell."""
    os.chdir(ROOT)
    if trace_into:
        _trace(trace_into)
    if alone:
        sys.exit(be_alone(alone))
    asked = [one for one in sample(size, seed) if not only or one.name.startswith(only)]
    if again:
        left = {name for name, outcome, _ in json.loads(again.read_text()) if outcome == SURVIVED}
        asked = [one for one in asked if one.name in left]
    found = _ask(asked, _known(known), longest, processes)
    _report(found)
    if results:
        results.write_text(json.dumps([(one.name, outcome, difference(one)) for one, outcome in found], indent=1))


def _ask(asked: list[Mutant], known: Known, longest: float, processes: int) -> Found:
    found: Found = []

    def tell(mutant: Mutant, outcome: str) -> None:
        found.append((mutant, outcome))
        if outcome == SURVIVED:
            click.echo(f"{mutant.name}\n{difference(mutant)}", err=True)

    tests = dict(known.tests)
    pytest_with(Asker(asked, lambda one: known.of(one, longest), tell, processes, tests))
    apart = [one for one, outcome in found if outcome == APART]
    found = [one for one in found if one[1] != APART]
    with ThreadPoolExecutor(processes) as pool:
        for one in pool.map(ask_alone, apart):
            tell(*one)
    return found


def _report(found: Iterable[tuple[Mutant, str]]) -> None:
    by_module: dict[str, Counter[str]] = {}
    for mutant, outcome in found:
        by_module.setdefault(mutant.path, Counter())[outcome] += 1
    for path, counts in (*sorted(by_module.items()), ("all", sum(by_module.values(), Counter()))):
        click.echo(f"{path:40} {counts[KILLED]:4} killed {counts[TIMEOUT]:3} timeout {counts[SURVIVED]:3} survived")


if __name__ == "__main__":
    main()
