"""The toys that run in a process of their own, as that process finds them: ``tests.toys.in_process:NAME``."""

from __future__ import annotations

from testbed.adapters.declare import FunctionClient


def __getattr__(name: str) -> FunctionClient:
    from tests.toys import TOYS

    if name not in TOYS:
        raise AttributeError(name)
    return TOYS[name].function
