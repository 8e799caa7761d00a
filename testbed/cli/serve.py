"""``testbed serve``: a base URL that behaves like a bad day.

The law of this module: one line is printed for each request and nothing is judged.
"""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Iterator

import click
import trio

from testbed import loader, selection, serving
from testbed.dialects import DIALECTS
from testbed.script import DialectName
from testbed.trace import Fired, Observation, Request, ServerEnd

DEFAULT_PORT = 8080


@click.command
@click.argument("name", metavar="NAME")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes a free one."
)
@click.option("--dialect", metavar="D", help="The wire format.  [default: the first that the scenario speaks]")
@click.option("--seed", metavar="S", help="Where the plans are drawn from: a number, or random.  [default: 0]")
def serve(name: str, port: int, dialect: str | None, seed: str | None) -> None:
    """Serve a scenario on 127.0.0.1, faults and all, until Ctrl-C.

    Every connection gets the next plan of the family.
    """
    scenario = loader.load(name)
    spoken = serving.dialect_for(scenario, dialect)
    drawn = selection.seed_of(seed)
    turns = serving.draw_for_ever(scenario, spoken, drawn)
    trio.run(functools.partial(_serve, turns, spoken, port, f"{scenario.name} · {spoken.value} · seed {drawn}"))


async def _serve(turns: Iterator[serving.Turn], dialect: DialectName, port: int, title: str) -> None:
    async with trio.open_nursery() as nursery:
        root = await nursery.start(functools.partial(serving.serve, turns, port=port, watch=_print))
        _say(f"{title}\nbase URL  {serving.base_url(root, dialect)}\ntry       {_curl(root, dialect)}\nCtrl-C stops.")


def _curl(root: str, dialect: DialectName) -> str:
    """A command that shows the stream as it arrives."""
    spelled = DIALECTS[dialect]
    words = ["curl", "-N", root + spelled.path]
    if body := spelled.request("testbed-1"):
        words += ["-H", "content-type: application/json", "-d", json.dumps(body)]
    return shlex.join(words)


def _print(number: int, seen: Observation) -> None:
    """One line for a request, and one for each fault that strikes it."""
    if isinstance(seen, Request):
        _say(f"#{number} {seen.method} {seen.path}{'  refused: ' + seen.problem if seen.problem else ''}")
    elif isinstance(seen, Fired):
        _say(f"#{number}   {seen.t / 1e6:.3f} s  {seen.type}")
    elif isinstance(seen, ServerEnd):
        _say(f"#{number}   {seen.t / 1e6:.3f} s  server ended: {seen.how.value}")


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
