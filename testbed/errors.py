"""Whose fault it is, said by type.

The law of this module: a defect of the *client under test* is never an exception here. It is a
:class:`~testbed.oracle.Finding`, a value. What is raised is either the tester's mistake, ours, or a
combination that an engine or adapter honestly cannot carry.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


class TestbedError(Exception):
    """Every exception that this package raises on purpose."""

    __test__ = False  # pytest would otherwise try to collect a class with this name


class UsageError(TestbedError):
    """The tester's mistake: a name, an option, a file. One sentence; the command line exits with 2."""


class HarnessError(TestbedError):
    """Our own mistake or a failure of the machine. Never reported as a failure of the client."""


class Unsupported(TestbedError):
    """The engine or adapter cannot carry this plan exactly; the sentence says what and why."""


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name that does not exist, with a did-you-mean where one is near.

    >>> str(unknown_name("scenario", "vpn-latencey", ["vpn-latency", "packet-loss"]))
    "unknown scenario 'vpn-latencey'; did you mean 'vpn-latency'? Known: packet-loss, vpn-latency"
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return UsageError(f"unknown {kind} {given!r}{hint} Known: {', '.join(names) or 'none'}")


def alone(error: BaseException) -> BaseException:
    """Take a lone exception out of the groups that trio's nurseries put it into; users never see a group of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
