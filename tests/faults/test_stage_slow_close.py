"""`slow_close`: only the end waits."""

from __future__ import annotations

import pytest

from testbed.faults.toxics import (
    LimitData,
    LimitDataAttributes,
    ResetAfter,
    ResetAfterAttributes,
    SlowClose,
    SlowCloseAttributes,
)
from tests.faults.timeline import FIN, MS, RST, play


def slow_close(delay: int) -> SlowClose:
    return SlowClose(attributes=SlowCloseAttributes(delay=delay))


LIMIT = LimitData(attributes=LimitDataAttributes(bytes=1))
RESET = ResetAfter(attributes=ResetAfterAttributes(bytes=1))

TABLE = {
    "data passes, the end waits": (
        [slow_close(200)],
        [(0, b"a"), (MS, FIN)],
        [(0, b"a"), (MS, "fired slow_close"), (201 * MS, "fin")],
    ),
    "no delay": ([slow_close(0)], [(0, FIN)], [(0, "fin")]),
    "a negative delay is none": ([slow_close(-1)], [(0, FIN)], [(0, "fin")]),
    "a toxic's close waits": (
        [LIMIT, slow_close(200)],
        [(0, b"ab")],
        [(0, "fired limit_data"), (0, b"a"), (0, "fired slow_close"), (200 * MS, "close")],
    ),
    "a reset of the source does not wait": ([slow_close(200)], [(7, RST)], [(7, "rst drained")]),
    "a toxic's reset does not wait": (
        [RESET, slow_close(200)],
        [(0, b"ab")],
        [(0, "fired reset_after"), (0, b"a"), (0, "rst drained")],
    ),
}


@pytest.mark.parametrize(("toxics", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxics, events, expected):
    """Every row of the table of time lines holds."""
    assert expected == play(toxics, events)
