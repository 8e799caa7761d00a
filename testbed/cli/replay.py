"""``testbed replay``: run one saved plan again.

The law of this module: the file is the plan. Nothing is drawn, so what was found once is found again or is gone.
"""

from __future__ import annotations

import click

from testbed import loader, runner, selection
from testbed.catalogue import single
from testbed.cli._options import check_writable, named_clients, shared
from testbed.cli._output import report, status
from testbed.reports import failures


@click.command
@click.argument("file", metavar="FILE")
@shared
def replay(
    file: str,
    clients: tuple[str, ...],
    commands: tuple[str, ...],
    engines: tuple[str, ...],
    json_to: str | None,
) -> int:
    """Run a saved counterexample again, or any scenario file that has constants only."""
    check_writable(json_to)
    plan = single(loader.load(file))
    results = [
        failures.remember(selection.replay(plan, engine, named), named.words, file)
        for named in named_clients(clients, commands)
        for engine in runner.resolve_engines(engines or selection.AUTO, named.client)
    ]
    report(results, plan.seed, json_to)
    return status(results)
