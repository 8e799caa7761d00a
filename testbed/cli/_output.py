"""Where results go, and the exit status they come to.

The law of this module: with ``--json -`` stdout is the document and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from testbed.cli._errors import FINDINGS, OK, USAGE
from testbed.cli._options import STDOUT
from testbed.explore import Result
from testbed.oracle import Verdict
from testbed.reports.console import Stream, console
from testbed.reports.document import Beside, to_json
from testbed.reports.table import print_results

_JUDGED = {Verdict.PASS, Verdict.LENIENT}
_NOT_JUDGED = {Verdict.ERROR, Verdict.INCONCLUSIVE}


def report(results: Sequence[Result], seed: int, json_to: str | None, beside: Sequence[Beside] = ()) -> None:
    """Print the table, and write the document where it was asked for; `beside` is what it says more of each result."""
    print_results(console(Stream.ERR if json_to == STDOUT else Stream.OUT), results, seed)
    if json_to == STDOUT:
        click.echo(to_json(results, seed, beside), nl=False)
    elif json_to is not None:
        Path(json_to).write_text(to_json(results, seed, beside), encoding="utf-8")


def status(results: Sequence[Result]) -> int:
    """1 for findings, 2 where something could not be judged or nothing at all was asked, else 0."""
    verdicts = {result.verdict for result in results}
    if Verdict.FAIL in verdicts:
        return FINDINGS
    return OK if verdicts & _JUDGED and not verdicts & _NOT_JUDGED else USAGE
