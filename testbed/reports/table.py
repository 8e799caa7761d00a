"""Results as a table for a terminal, findings below it.

The law of this module: the verdict is a word, colour only repeats it; a pipe gets the same words without colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.oracle import Verdict
from testbed.reports.cures import cure_lines
from testbed.reports.grid import lines
from testbed.reports.text import describe_one

if TYPE_CHECKING:
    from testbed.explore import Result

STYLES = {
    Verdict.PASS: "green",
    Verdict.LENIENT: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.UNSUPPORTED: "dim",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.ERROR: "bold magenta",
}


def print_results(console: Console, results: Sequence[Result], seed: int) -> None:
    """Print the table, each finding in full, and one closing line with the seed."""
    if results:
        console.print(_table(results))
    for result in results:
        for grid in result.grids:
            console.print()
            console.print(Text(f"{result.scenario} · {result.client} · {result.engine}", style="bold"))
            console.print(Text("\n".join(lines(grid))), soft_wrap=True)
        for finding in result.findings:
            console.print()
            console.print(Text(f"{result.scenario} · {result.client} · {result.engine}", style="bold"))
            console.print(Text(describe_one(finding)), soft_wrap=True)
    console.print()
    for line in cure_lines(results):
        console.print(Text(line), soft_wrap=True)
    console.print(Text(f"{_closing(results)} · seed {seed}"), soft_wrap=True)


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("scenario", "client", "engine", "verdict"):
        table.add_column(heading, no_wrap=True)
    table.add_column("examples", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("reason", overflow="fold")
    for result in results:
        verdict = Text(result.verdict.name, style=STYLES[result.verdict])
        numbers = (str(result.examples), f"{result.duration:.2f}")
        table.add_row(result.scenario, result.client, result.engine, verdict, *numbers, Text(result.reason))
    return table


def _closing(results: Sequence[Result]) -> str:
    """Count the verdicts, the worst first."""
    counts = Counter(result.verdict for result in results)
    worst_first = (verdict for verdict in reversed(STYLES) if counts[verdict])
    return ", ".join(f"{counts[verdict]} {verdict.name}" for verdict in worst_first) or "nothing was run"
