"""``testbed list`` and ``testbed show``: what scenarios there are and what one of them is about.

The law of this module: it reads scenario files and runs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from testbed import loader
from testbed.catalogue import Scenario
from testbed.reports.console import console


@click.command("list")
@click.argument("patterns", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_(patterns: tuple[str, ...], *, as_json: bool) -> None:
    """List the scenarios, all of them or those of the given names and globs."""
    found = loader.select(patterns or (loader.ALL,))
    if as_json:
        _print_json({"scenarios": [_facts(scenario) for scenario in found]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("scenario", "cause", "title"):
        table.add_column(heading, no_wrap=heading == "scenario")
    for scenario in found:
        table.add_row(scenario.name, scenario.cause, Text(scenario.title))
    console().print(table)


@click.command
@click.argument("name", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(name: str, *, as_json: bool) -> None:
    """Show one scenario: what it is about, who asks for it, and its file."""
    scenario = loader.load(name)
    source = _file(name).read_text(encoding="utf-8")
    if as_json:
        _print_json({**_facts(scenario), "toml": source})
        return
    click.echo(f"{scenario.name}: {scenario.title}\n")
    for label, text in _about(scenario):
        click.echo(f"  {label:<13}{text}")
    click.echo(f"\n{source}", nl=False)


def _file(name: str) -> Path:
    return Path(name) if name.endswith(loader.SUFFIX) else loader.folder() / f"{name}{loader.SUFFIX}"


def _about(scenario: Scenario) -> Iterator[tuple[str, str]]:
    yield "cause", scenario.cause
    yield "requirement", scenario.requirement
    yield from (("source", source) for source in scenario.sources)
    yield "dialects", ", ".join(dialect.value for dialect in scenario.dialects)


def _facts(scenario: Scenario) -> dict[str, object]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "cause": scenario.cause,
        "requirement": scenario.requirement,
        "sources": list(scenario.sources),
        "bugs": list(scenario.bugs),
        "dialects": [dialect.value for dialect in scenario.dialects],
    }


def _print_json(document: dict[str, object]) -> None:
    click.echo(json.dumps({"format": 1, **document}, indent=2, ensure_ascii=False))
