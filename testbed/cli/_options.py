"""The options that several commands share.

The law of this module: one spelling and one meaning for each option, whichever command has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from testbed.errors import UsageError
from testbed.selection import Named
from testbed.selection import clients as load

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CLIENT = "reference"
STDOUT = "-"

_SHARED = (
    click.option(
        "--client", "clients", multiple=True, metavar="C",
        help=f"The client under test: a known name or module:function (repeatable).  [default: {DEFAULT_CLIENT}]",
    ),
    click.option(
        "--command", "commands", multiple=True, metavar="CMD",
        help="A client in any language: reads TESTBED_TARGET, writes text to stdout as it arrives (repeatable).",
    ),
    click.option(
        "--isolate", "isolated", multiple=True, metavar="C",
        help="A client as with --client, in a process of its own, whose memory, sockets and threads are measured"
        " (repeatable).",
    ),
    click.option(
        "--engine", "engines", multiple=True, metavar="E",
        help="The network: auto, simulated, embedded or toxiproxy (repeatable).  [default: auto]",
    ),
    click.option(
        "--json", "json_to", metavar="FILE|-",
        help="Write the results as JSON; with - to stdout, and everything else to stderr.",
    ),
)  # fmt: skip


def shared(command: F) -> F:
    """Add --client, --command, --isolate, --engine and --json."""
    for option in reversed(_SHARED):
        command = option(command)
    return command


def named_clients(clients: Sequence[str], commands: Sequence[str], isolated: Sequence[str]) -> tuple[Named, ...]:
    """Load every client that was named; the reference client if none was."""
    return load(clients or (() if commands or isolated else (DEFAULT_CLIENT,)), commands, isolated)


def check_writable(json_to: str | None) -> None:
    """Find out before a long run, not after it, that its results could not be written."""
    if json_to is None or json_to == STDOUT:
        return
    path = Path(json_to)
    if path.is_dir():
        raise UsageError(f"--json is {json_to!r}, which is a folder; it must be a file or -")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--json is {json_to!r}, but there is no folder {path.absolute().parent}")
