"""The values of our options: the command line first, then the ini file, then the default.

The law of this module: reading twice gives the same values, in this process and in every worker of pytest-xdist.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import selection
from testbed._values import Value
from testbed.explore import Settings

# Where the seed that was drawn for `random` is kept: xdist sends config.option to its workers, which must not draw
# another.
_DRAWN = "testbed_drawn_seed"


class Options(Value):
    """Everything that was asked for."""

    scenarios: tuple[str, ...]
    clients: tuple[str, ...]
    engines: tuple[str, ...]
    settings: Settings
    report: str | None

    @classmethod
    def read(cls, config: pytest.Config) -> Options:
        """Read and check all of them."""
        report = _text(config, "scenario_report")
        return cls(
            scenarios=tuple(config.getoption("scenario") or ()),
            clients=_several(config, "scenario_client", "scenario_clients") or selection.default_clients(),
            engines=_several(config, "scenario_engine", "scenario_engines") or selection.AUTO,
            settings=selection.settings(_text(config, "scenario_examples"), _seed(config), prefix="--scenario-"),
            report=str(Path(config.invocation_params.dir, report)) if report else None,
        )


def _seed(config: pytest.Config) -> str:
    given = _text(config, "scenario_seed")
    if given == "random" and not hasattr(config.option, _DRAWN):
        setattr(config.option, _DRAWN, selection.seed_of(given))
    return str(getattr(config.option, _DRAWN)) if given == "random" else given


def _several(config: pytest.Config, option: str, ini: str) -> tuple[str, ...]:
    return tuple(config.getoption(option) or config.getini(ini) or ())


def _text(config: pytest.Config, name: str) -> str:
    return str(config.getoption(name) or config.getini(name) or "")
