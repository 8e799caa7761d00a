"""``testbed replay``: run saved plans again.

The law of this module: the file is the plan. Nothing is drawn, so what was found once is found again or is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from testbed import capsules, selection
from testbed.capsules import Capsule, Standing
from testbed.cli._options import STDOUT, check_writable, shared
from testbed.cli._output import report, status
from testbed.explore import Result


@click.command
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@shared
def replay(  # noqa: PLR0917  # one parameter for each option; click passes them by name
    paths: tuple[str, ...],
    clients: tuple[str, ...],
    commands: tuple[str, ...],
    isolated: tuple[str, ...],
    engines: tuple[str, ...],
    json_to: str | None,
) -> int:
    """Run saved counterexamples again: files, or folders with all that is in them.

    A file is a capsule, or any scenario file that has constants only. Unless a client or an engine is named, a capsule
    is asked of those that it names itself.
    """
    check_writable(json_to)
    read = capsules.gather(paths)
    named = selection.clients(clients, commands, isolated)
    # Everything is resolved before anything is run: a name that is wrong in the last file is told at once.
    asked = [(capsule, one, engine) for capsule in read for one, engine in capsules.asked(capsule, named, engines)]
    done: list[tuple[Capsule, Result]] = []
    for capsule, one, engine in asked:
        result = selection.replay(capsule.plan, engine, one)
        done.append((capsule, capsules.remember(result, one.words, capsule.path)))
    tell(done, json_to)
    return status([result for _, result in done])


def tell(done: Sequence[tuple[Capsule, Result]], json_to: str | None) -> None:
    """Say of each file what became of its finding, then print what was found."""
    standings = [capsules.standing(capsule, result) for capsule, result in done]
    for (capsule, result), standing in zip(done, standings, strict=True):
        click.echo(_line(capsule, result, standing), err=json_to == STDOUT)
    click.echo(err=json_to == STDOUT)
    seeds = {capsule.plan.seed for capsule, _ in done}
    beside = [_beside(capsule, standing) for (capsule, _), standing in zip(done, standings, strict=True)]
    report([result for _, result in done], seeds.pop() if len(seeds) == 1 else 0, json_to, beside)


def _line(capsule: Capsule, result: Result, standing: Standing) -> str:
    about = f" ({capsule.found.failure.value})" if capsule.found is not None else ""
    return f"{capsule.path}: {standing.value}{about}: {result.verdict.name} with {result.client} on {result.engine}"


def _beside(capsule: Capsule, standing: Standing) -> dict[str, object]:
    about = capsule.found.failure.value if capsule.found is not None else None
    return {"file": capsule.path, "about": about, "standing": standing.value}
