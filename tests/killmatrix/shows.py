"""Which toys must be caught on which scenario, at the least.

The law of this module: a scenario stands in one part only.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.killmatrix import shows_a, shows_b, shows_c, shows_process

_PARTS = (shows_a.SHOWS, shows_b.SHOWS, shows_c.SHOWS, shows_process.SHOWS)

SHOWS: Mapping[str, tuple[str, ...]] = {scenario: toys for part in _PARTS for scenario, toys in part.items()}

assert len(SHOWS) == sum(map(len, _PARTS)), "a scenario stands in two parts of the table"
