"""The scenarios that ask for a process of the client's own."""

from __future__ import annotations

from collections.abc import Mapping

SHOWS: Mapping[str, tuple[str, ...]] = {
    "slow-reader": ("reads-ahead",),
    "endless-event": ("no-limit",),
}
