"""``testbed list`` and ``testbed show``: what scenarios there are and what one of them is about.

The law of this module: it reads scenario files and runs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from testbed import loader, runner
from testbed.catalogue import Scenario
from testbed.causes import CAUSES
from testbed.errors import Unsupported, unknown_name
from testbed.reports.console import console
from testbed.script import DialectName
from testbed.strategies import simplest


@click.command("list")
@click.argument("patterns", nargs=-1, metavar="[NAME]...")
@click.option("--cause", metavar="C", help="Only those of this cause.")
@click.option("--dialect", metavar="D", help="Only those that this dialect can be asked.")
@click.option("--engine", metavar="E", help="Only those that this engine can carry, with their simplest plan.")
@click.option("--source", metavar="TEXT", help="Only those with this text in a source, or this number of a field bug.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_(
    patterns: tuple[str, ...],
    *,
    cause: str | None,
    dialect: str | None,
    engine: str | None,
    source: str | None,
    as_json: bool,
) -> None:
    """List the scenarios, all of them or those of the given names and globs."""
    found = loader.select(patterns or (loader.ALL,))
    wanted = (_of_cause(found, cause), _of_dialect(dialect), _of_engine(engine), _of_source(source))
    found = tuple(scenario for scenario in found if all(is_wanted(scenario) for is_wanted in wanted))
    if as_json:
        _print_json({"scenarios": [_facts(scenario) for scenario in found]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("scenario", "cause", "title"):
        table.add_column(heading, no_wrap=heading == "scenario")
    for scenario in found:
        table.add_row(scenario.name, scenario.cause, Text(scenario.title))
    console().print(table)


_Wanted = Callable[[Scenario], bool]


def _of_cause(found: Iterable[Scenario], cause: str | None) -> _Wanted:
    known = {*CAUSES, *(scenario.cause for scenario in found)}
    if cause is not None and cause not in known:
        raise unknown_name("cause", cause, sorted(known))
    return lambda scenario: cause in (None, scenario.cause)


def _of_dialect(dialect: str | None) -> _Wanted:
    names = [one.value for one in DialectName]
    if dialect is not None and dialect not in names:
        raise unknown_name("dialect", dialect, names)
    return lambda scenario: dialect is None or DialectName(dialect) in scenario.dialects


def _of_engine(engine: str | None) -> _Wanted:
    if engine is None:
        return lambda _: True
    over = runner.engine(engine)

    def is_carried(scenario: Scenario) -> bool:
        try:
            return over.unsupported(simplest(scenario, scenario.dialects, clock=over.clock)) is None
        except Unsupported:
            return False

    return is_carried


def _of_source(source: str | None) -> _Wanted:
    if source is None:
        return lambda _: True
    return lambda scenario: source in scenario.bugs or any(source in one for one in scenario.sources)


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
    if scenario.bugs:
        yield "field bugs", ", ".join(scenario.bugs)
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
