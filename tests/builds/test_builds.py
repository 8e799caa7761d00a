"""Correct clients of different build, over the catalogue: none of them is accused of anything.

The kill matrix shows that broken clients are found out; this shows that being different is no crime.
"""

from __future__ import annotations

import pytest

from testbed import explore, loader, runner
from testbed.explore import Settings
from testbed.oracle import Verdict
from testbed.ports import Runtime
from tests.builds import BUILDS

# One of each kind: an end that is none, a reset, a page, characters in pieces; then a time-out, and waits between
# requests, which take their time on a real clock.
QUICK = ("abrupt-end", "mid-stream-reset", "html-instead-of-sse", "split-utf8")
SLOW = ("stall-mid-stream", "overloaded-before-stream")
ON_TRIO = [name for name, build in BUILDS.items() if Runtime.TRIO in build.runtimes]
ELSEWHERE = [name for name in BUILDS if name not in ON_TRIO]
# What asks once cannot be asked how it asks again.
ONCE = {"aiohttp", "streams"}
ALL_RIGHT = {Verdict.PASS, Verdict.LENIENT}
ASKED = [
    *((name, scenario) for name in BUILDS for scenario in QUICK),
    *((name, scenario) for name in ELSEWHERE for scenario in SLOW),
]


@pytest.mark.once
@pytest.mark.parametrize(("name", "scenario"), ASKED)
def test_a_build_passes_over_real_sockets(name: str, scenario: str) -> None:
    """A few plans each, at the same time; what a build cannot be asked is said."""
    result = explore.explore(loader.load(scenario), runner.engine("embedded"), BUILDS[name], Settings(plans=3, seed=4))
    if name in ONCE and scenario.startswith("overloaded"):
        assert result.verdict is Verdict.UNSUPPORTED
        assert "max_retries" in result.reason
        return
    assert result.verdict in ALL_RIGHT, result


@pytest.mark.parametrize("scenario", [*QUICK, *SLOW])
@pytest.mark.parametrize("name", ON_TRIO)
def test_a_build_passes_in_virtual_time(name: str, scenario: str) -> None:
    """Ten examples each, with whatever silence the ranges allow."""
    settings = Settings(examples=10, seed=5)
    result = explore.explore(loader.load(scenario), runner.engine("simulated"), BUILDS[name], settings)
    assert result.verdict in ALL_RIGHT, result
