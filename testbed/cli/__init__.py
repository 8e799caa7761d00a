"""The command line: ``testbed list · show · explain · run · replay · shrink · serve · doctor``.

The law of this package: it is the only place that knows click. A mistake of the person who types is one sentence on
stderr and exit status 2, never a traceback; findings are exit status 1; an interrupted run is 130, as shells expect.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any, NoReturn

import click

from testbed.cli._errors import explain
from testbed.cli._interrupts import heard

# Where each command is. It is imported when it is used: `testbed list` has no need of Hypothesis or an HTTP client.
_COMMANDS = {
    "list": ("testbed.cli.listing", "list_"),
    "show": ("testbed.cli.listing", "show"),
    "explain": ("testbed.cli.explaining", "explain"),
    "run": ("testbed.cli.run", "run"),
    "replay": ("testbed.cli.replay", "replay"),
    "shrink": ("testbed.cli.shrink", "shrink"),
    "serve": ("testbed.cli.serve", "serve"),
    "doctor": ("testbed.cli.doctor", "doctor"),
}


class _Commands(click.Group):
    """A click group whose every way out is one of our exit statuses."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> NoReturn:
        """Run the command; end the process with its exit status."""
        del standalone_mode  # there is one way to end, whoever calls
        try:
            with heard():
                status: object = super().main(*args, standalone_mode=False, **extra)  # type: ignore[call-overload]
        except BaseException as error:  # sorted by its kind, and raised again if it is none of ours
            status = explain(error)
        sys.exit(status if isinstance(status, int) else 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add a did-you-mean to the sentence about an unknown command."""
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, _COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            ctx.fail(f"unknown command {name!r}{hint} Commands: {', '.join(_COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stream-testbed", prog_name="testbed")
def main() -> None:
    """Put a streaming client on a bad network and see whether it notices.

    Exit status: 0 all right, 1 findings, 2 usage or could not run, 130 interrupted.
    """
