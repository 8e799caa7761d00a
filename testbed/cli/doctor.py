"""``testbed doctor``: what is here and what is not.

The law of this module: it looks and changes nothing, and for everything that is missing it says how to get it.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

import click
from rich.table import Table
from rich.text import Text

from testbed import runner
from testbed.engines import toxiproxy_server
from testbed.reports.console import console

_PACKAGES = ("openai", "anthropic", "httpx-sse", "trustme", "pytest-xdist")
_EXTRAS = {"trustme": "tls"}  # where the extra has another name than its package
_PROGRAMS = {"node": "needed by examples/node only", "curl": "needed by examples/curl only"}


class _Row(NamedTuple):
    name: str
    found: str | None
    otherwise: str = ""


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def doctor(*, as_json: bool) -> None:
    """Say what is installed here: Python, SDKs, toxiproxy-server, engines."""
    rows = list(_rows())
    if as_json:
        click.echo(json.dumps({"format": 1, "found": {row.name: row.found for row in rows}}, indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in rows:
        table.add_row(row.name, Text(row.found) if row.found else Text(f"not here; {row.otherwise}", style="yellow"))
    console().print(table)


def _rows() -> Iterator[_Row]:
    yield _Row("stream-testbed", _version("stream-testbed"), "pip install stream-testbed")
    yield _Row("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})")
    for library in ("trio", "httpx", "hypothesis", "pytest"):
        yield _Row(library, _version(library), f"pip install {library}")
    for package in _PACKAGES:
        yield _Row(package, _version(package), f"pip install {_install(package)}")
    server = toxiproxy_server.available()
    yield _Row("toxiproxy-server", server, toxiproxy_server.HOW_TO_GET_IT)
    for program, use in _PROGRAMS.items():
        yield _Row(program, shutil.which(program), use)
    engines = [name for name in runner.engine_names() if name != "toxiproxy" or server]
    yield _Row("engines", ", ".join(engines))


def _install(package: str) -> str:
    return package if package.startswith("pytest") else f"'stream-testbed[{_EXTRAS.get(package, package)}]'"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
