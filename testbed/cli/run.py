"""``testbed run``: ask scenarios of clients and print what was found.

The law of this module: whatever ends a run, what was found until then is printed first.
"""

from __future__ import annotations

import click

from testbed import capsules, selection
from testbed.cli._errors import interrupted
from testbed.cli._options import check_writable, named_clients, shared
from testbed.cli._output import report, status
from testbed.errors import TestbedError
from testbed.explore import Result
from testbed.reports.console import Stream, console
from testbed.reports.progress import progress


@click.command
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@shared
@click.option(
    "--examples", metavar="N", help="Plans tried for each client on simulated (real clocks: at most 8).  [default: 100]"
)
@click.option("--seed", metavar="S", help="Where the plans are drawn from: a number, or random.  [default: 0]")
def run(  # noqa: PLR0917  # one parameter for each option; click passes them by name
    names: tuple[str, ...],
    clients: tuple[str, ...],
    commands: tuple[str, ...],
    isolated: tuple[str, ...],
    engines: tuple[str, ...],
    json_to: str | None,
    examples: str | None,
    seed: str | None,
) -> int:
    """Ask scenarios of clients: names, globs, paths of files, or all.

    A counterexample is saved under .testbed/failures; the command that finds it again is printed with it.
    """
    check_writable(json_to)
    settings = selection.settings(examples, seed)
    asked = selection.questions(names, named_clients(clients, commands, isolated), engines or selection.AUTO)
    results: list[Result] = []
    try:
        with progress(console(Stream.ERR), len(asked)) as begin:
            for question in asked:
                found = question.ask(settings, begin(question.id))
                results.append(capsules.save(found, question.named.words, seed=settings.seed))
    except BaseException as error:
        if interrupted(error) or isinstance(error, TestbedError):
            report(results, settings.seed, json_to)
        raise
    report(results, settings.seed, json_to)
    return status(results)
