"""From an exception to one sentence and an exit status.

The law of this module: a row for each kind of mistake. What stands in no row is our own bug, and keeps its traceback.
"""

from __future__ import annotations

import sys

import click

from testbed.errors import HarnessError, Unsupported, UsageError, alone

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

OK, FINDINGS, USAGE, INTERRUPTED = 0, 1, 2, 130


def interrupted(error: BaseException) -> bool:
    """Tell whether this is Ctrl-C, alone or among what it broke: trio may wrap it in a group."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    return isinstance(error, (KeyboardInterrupt, click.Abort))


def explain(error: BaseException) -> int:
    """Say what went wrong on stderr, and return the exit status; raises what is our own bug."""
    if interrupted(error):
        click.echo("interrupted; everything that was started has been stopped", err=True)
        return INTERRUPTED
    error = alone(error)
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _say(error.format_message())
    if isinstance(error, (UsageError, Unsupported)):
        return _say(str(error))
    if isinstance(error, HarnessError):
        return _say(f"the testbed itself failed: {error}")
    raise error


def _say(sentence: str) -> int:
    click.echo(f"testbed: {sentence}", err=True)
    return USAGE
