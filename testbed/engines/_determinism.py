"""Make a run under trio repeatable: the only file that touches trio's private switches.

The law of this module: inside :func:`repeatable` the scheduler's coin and the process's global generator are
functions of a seed, and afterwards both are as before. Trio shuffles the order of runnable tasks on purpose; it has a
switch for Hypothesis that makes the shuffle deterministic, and we use the same one. Should a future trio move it,
:func:`scheduler_is_seeded` turns false, the canary test says so, and runs are still right, only no longer the same to
the byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from trio._core import _run


def scheduler_is_seeded() -> bool:
    """Say whether this trio still has the switches that :func:`repeatable` needs."""
    return isinstance(getattr(_run, "_r", None), random.Random) and hasattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING")


@contextmanager
def repeatable(seed: str) -> Iterator[None]:
    """Seed trio's scheduler, and the global generator from which SDKs draw the jitter of their back-off."""
    generators = [random._inst]  # the instance behind random.random()
    switched = scheduler_is_seeded()
    if switched:
        generators.append(_run._r)
    states = [generator.getstate() for generator in generators]
    before = getattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", False)
    try:
        if switched:
            _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
        for generator in generators:
            generator.seed(seed)
        yield
    finally:
        if switched:
            _run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        for generator, state in zip(generators, states, strict=True):
            generator.setstate(state)
