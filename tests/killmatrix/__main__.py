"""``python -m tests.killmatrix``: print the matrix; exit 1 if a mutant escapes or a correct client is accused."""

from __future__ import annotations

import sys
import time

import click

from testbed import loader
from tests.killmatrix import report
from tests.killmatrix.cells import OWN, Answer
from tests.killmatrix.clients import MUTANTS, scenarios_of
from tests.killmatrix.matrix import Options, engines, run


def gaps(options: Options) -> list[str]:
    """What the tables leave open: mutants that nothing shows, scenarios that catch nobody, names that do not exist."""
    if options.clients or options.scenarios or options.only == "correct":
        return []
    there = set(loader.names())
    shown = {name: [one for one in scenarios_of(name) if one in there or one == OWN] for name in MUTANTS}
    asked = {scenario for scenarios in shown.values() for scenario in scenarios}
    missing = sorted({one for name in MUTANTS for one in scenarios_of(name)} - there - {OWN})
    return [
        *(f"mutant {name}: no scenario of the catalogue shows it" for name, found in shown.items() if not found),
        *(f"scenario {name}: it catches no mutant" for name in sorted(there - asked)),
        *(f"scenario {name}: the tables name it, the catalogue has none" for name in missing),
    ]


@click.command(help=__doc__)
@click.option("--client", "clients", multiple=True, help="A toy or a correct client (repeatable).")
@click.option("--scenario", "scenarios", multiple=True, help="A scenario (repeatable).")
@click.option("--engine", "chosen", multiple=True, type=click.Choice(["simulated", "embedded", "toxiproxy"]))
@click.option("--only", type=click.Choice(["mutants", "correct"]))
@click.option("--times", default=1, show_default=True, help="How often everything is asked, each time of another seed.")
@click.option("--seed", default=0, show_default=True)
@click.option("--examples", default=8, show_default=True, help="Plans of a correct client on virtual time.")
@click.option("--plans", default=1, show_default=True, help="Plans of a correct client on a real clock.")
@click.option("--processes", default=2, show_default=True)
@click.option("--quiet", is_flag=True, help="Only what is wrong, and the totals.")
def main(  # noqa: PLR0917 - the options
    clients: tuple[str, ...],
    scenarios: tuple[str, ...],
    chosen: tuple[str, ...],
    only: str | None,
    times: int,
    seed: int,
    examples: int,
    plans: int,
    processes: int,
    *,
    quiet: bool,
) -> None:
    """Ask, print, and say with the exit code whether all is well."""
    options = Options(
        clients, scenarios, chosen, times, seed, examples=examples, plans=plans, processes=processes, only=only or ""
    )
    over = engines(options)
    started = time.monotonic()
    answers = run(options, _progress)
    left = gaps(options)
    if not quiet:
        _say(report.mutants(answers, over))
        _say(report.correct(answers, over))
        _say(report.lenient(answers))
    _say(left)
    wrong = list(report.wrong(answers))
    _say(wrong)
    click.echo(report.totals(answers, left, time.monotonic() - started))
    sys.exit(1 if wrong or left else 0)


def _say(lines: object) -> None:
    block = list(lines)  # type: ignore[call-overload]
    if block:
        click.echo("\n".join(block) + "\n")


def _progress(answer: Answer) -> None:
    if not answer.right and sys.stderr.isatty():
        click.echo(f"{answer.question.client} × {answer.question.scenario} × {answer.engine}", err=True)


if __name__ == "__main__":
    main()
