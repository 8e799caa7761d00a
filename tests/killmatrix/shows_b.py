"""Which toys must be caught on which scenario, at the least: a part of the table that `shows.py` merges."""

from __future__ import annotations

from collections.abc import Mapping

SHOWS: Mapping[str, tuple[str, ...]] = {}
