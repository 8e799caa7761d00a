"""Fixtures of the server's tests."""

from __future__ import annotations

import pytest
import trio.testing


@pytest.fixture
def mock_time() -> trio.testing.MockClock:
    """A clock that jumps whenever every task waits."""
    return trio.testing.MockClock(autojump_threshold=0)
