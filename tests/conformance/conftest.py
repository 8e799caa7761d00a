"""Servers for the conformance tests: each runs against the embedded Toxiproxy and against the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.toxiproxies import KINDS, serving


@pytest.fixture(scope="module", params=KINDS)
def toxiproxy(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a Toxiproxy, ours and then the real one. Without the latter: skipped, or failed if it is required."""
    with serving(request.param) as url:
        yield url


@pytest.fixture(scope="module")
def both_toxiproxies() -> Iterator[tuple[str, str]]:
    """The URLs of ours and of the real one."""
    with serving("ours") as ours, serving("real") as real:
        yield ours, real
