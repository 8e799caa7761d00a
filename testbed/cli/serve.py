"""``testbed serve``: a base URL that behaves like a bad day.

The law of this module: what it prints at the start works when it is pasted; one line is printed for each request and
nothing is judged.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import sys

import click
import trio

from testbed import loader, selection, serving
from testbed.catalogue import Scenario
from testbed.cli import _snippets
from testbed.cli._serve_log import Line, Log, as_json, as_text
from testbed.errors import UsageError, unknown_name
from testbed.net.certificates import ca_file
from testbed.script import DialectName
from testbed.server.stages import MODEL_PREFIX, House, Stage

DEFAULT_PORT = 8080
MODEL = "testbed-1"


@click.command
@click.argument("name", metavar="NAME", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Every scenario: /NAME/... as the path, or the model testbed/NAME."
)
@click.option(
    "--dialect", "dialects", multiple=True, metavar="D",
    help="The wire format, told by the path where there are several.  [default: the first that the scenario speaks]",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes a free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--expose", is_flag=True, help="Allow a --host that others can reach: there is no password.")
@click.option("--tls", is_flag=True, help="Speak https, with a certificate made at the start.")
@click.option("--seed", metavar="S", help="Where the plans are drawn from: a number, or random.  [default: 0]")
@click.option("--json", "as_lines", is_flag=True, help="Print everything as lines of JSON.")
def serve(
    name: str | None,
    *,
    everything: bool,
    dialects: tuple[str, ...],
    port: int,
    host: str,
    expose: bool,
    tls: bool,
    seed: str | None,
    as_lines: bool,
) -> None:
    """Serve a scenario, faults and all, until Ctrl-C.

    Every request for a stream gets the next plan of the family.
    """
    _check_host(host, expose=expose)
    drawn = selection.seed_of(seed)
    scenarios = _scenarios(name, everything=everything, tls=tls)
    house = _house(scenarios, dialects, drawn, by_name=everything, tls=tls)
    say = _Json(seed=drawn) if as_lines else _Text(seed=drawn)
    trio.run(_serve, house, host, port, say, ca_file() if tls else None)


# --- what is asked for ------------------------------------------------------------------------------------------------


def _check_host(host: str, *, expose: bool) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not (loopback or expose):
        raise UsageError(f"--host {host} can be reached from other machines, and there is no password; add --expose")


def _scenarios(name: str | None, *, everything: bool, tls: bool) -> tuple[Scenario, ...]:
    if everything == (name is not None):
        raise UsageError("serve takes the NAME of one scenario, or --all")
    if everything and tls:
        raise UsageError("--all tells scenarios apart by their requests, which TLS hides from it; serve one with --tls")
    return loader.select(["all"]) if name is None else (loader.load(name),)


def _house(scenarios: tuple[Scenario, ...], dialects: tuple[str, ...], seed: int, *, by_name: bool, tls: bool) -> House:
    if by_name:
        for given in dialects:
            if given not in {one.value for one in DialectName}:
                raise unknown_name("dialect", given, [one.value for one in DialectName])
        wanted = [DialectName(given) for given in dialects] or list(DialectName)
    else:
        wanted = [serving.dialect_for(scenarios[0], given) for given in dialects or (None,)]
        if tls and len(wanted) > 1:
            raise UsageError("several dialects are told apart by their paths, which TLS hides; serve one with --tls")
    stages = list(serving.stages(scenarios, wanted, seed, tls=tls))
    if not stages:
        raise UsageError(f"no scenario speaks {', '.join(dialects)}")
    return House(stages, by_name=by_name)


async def _serve(house: House, host: str, port: int, say: _Text | _Json, ca: str | None) -> None:
    async with trio.open_nursery() as nursery:
        listening = functools.partial(serving.serve, house, host=host, port=port, watcher=Log(say.line))
        root = await nursery.start(listening)
        say.start(house, root.replace("http:", "https:") if ca else root, ca)


# --- what is said -----------------------------------------------------------------------------------------------------


def _base(house: House, stage: Stage, root: str) -> str:
    """The root of a stage: where several scenarios are served its name comes first."""
    return f"{root}/{stage.name}" if house.by_name else root


class _Text:
    """For people."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed

    def start(self, house: House, root: str, ca: str | None) -> None:
        """Say what is served, and how to try it."""
        if house.by_name:
            _say(f"{len(house.names)} scenarios · seed {self._seed}")
            _say(f"{root}/NAME/... or the model {MODEL_PREFIX}NAME; NAME is one of: {', '.join(house.names)}")
        else:
            dialects = ", ".join(stage.dialect.value for stage in house.stages)
            _say(f"{house.names[0]} · {dialects} · seed {self._seed}")
        for stage in house.samples:
            _try(_base(house, stage, root), stage.dialect, ca)
        _say("Ctrl-C stops.")

    def line(self, line: Line) -> None:
        """One request."""
        _say(as_text(line))


def _try(root: str, dialect: DialectName, ca: str | None) -> None:
    url = serving.base_url(root, dialect)
    package, lines = _snippets.python(url, dialect, model=MODEL)
    trusting = f", and SSL_CERT_FILE={ca} in its environment" if ca else ""
    _say(f"base URL  {url}")
    _say(f"try       {_snippets.curl(root, dialect, model=MODEL, ca=ca)}")
    _say(f"or, with the Python package {package}{trusting}:\n")
    _say("".join(f"    {line}\n" for line in lines.splitlines()))


class _Json:
    """The same for machines: a line each."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed

    def start(self, house: House, root: str, ca: str | None) -> None:
        """Say what is served, and how to try it."""
        served = []
        for stage in house.stages:
            base = _base(house, stage, root)
            curl = _snippets.curl(base, stage.dialect, model=MODEL, ca=ca)
            url = serving.base_url(base, stage.dialect)
            served.append({"scenario": stage.name, "dialect": stage.dialect.value, "base_url": url, "curl": curl})
        _say(json.dumps({"serving": root, "seed": self._seed, "ca": ca, "stages": served}))

    def line(self, line: Line) -> None:
        """One request."""
        _say(as_json(line))


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
