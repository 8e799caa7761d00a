"""Stream fault-injection testbed: prove that a streaming client recovers cleanly or surfaces the right error.

The law of this module: importing it costs nothing. Every name below is imported from where it lives when it is first
used. The explorer is reached as :mod:`testbed.explore`: a name can not be a module and a function at the same time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.adapters import Event, Finish, client
    from testbed.errors import HarnessError, TestbedError, Unsupported, UsageError
    from testbed.oracle import Verdict, judge
    from testbed.plan import Plan
    from testbed.ports import Target
    from testbed.reports.text import describe
    from testbed.runner import engine, run
    from testbed.trace import Failure, Outcome, Trace

__all__ = [
    "Event",
    "Failure",
    "Finish",
    "HarnessError",
    "Outcome",
    "Plan",
    "Target",
    "TestbedError",
    "Trace",
    "Unsupported",
    "UsageError",
    "Verdict",
    "client",
    "describe",
    "engine",
    "judge",
    "run",
]

_HOMES = {
    "testbed.adapters": ("Event", "Finish", "client"),
    "testbed.errors": ("HarnessError", "TestbedError", "Unsupported", "UsageError"),
    "testbed.oracle": ("Verdict", "judge"),
    "testbed.plan": ("Plan",),
    "testbed.ports": ("Target",),
    "testbed.reports.text": ("describe",),
    "testbed.runner": ("engine", "run"),
    "testbed.trace": ("Failure", "Outcome", "Trace"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = ("explore",)


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value  # the next time it is found without us
        return value
    if name in _MODULES:
        return importlib.import_module(f"testbed.{name}")
    raise AttributeError(f"module 'testbed' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
