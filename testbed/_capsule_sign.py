"""How a capsule is known from any other TOML file: by its first lines.

The law of this module: a look at the beginning of a file and no more, so that it may be asked of every file of a
project; it imports nothing, because pytest loads it in runs that have nothing to do with us.
"""

from __future__ import annotations

import re

# Enough for the comment that a capsule begins with, and for a few that somebody put before it.
_LOOK = 8192

_FORMAT = re.compile(rb"^format\s*=\s*\d+\s*(?:#.*)?$", re.MULTILINE)
_FINDING = re.compile(rb"^\[\s*finding\s*\]\s*(?:#.*)?$", re.MULTILINE)
_SCENARIO = re.compile(rb"^\[\s*scenario\s*\]\s*(?:#.*)?$", re.MULTILINE)


def is_capsule(path: str) -> bool:
    """Whether the file begins as a capsule does; False for what cannot be read."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(_LOOK)
    except OSError:
        return False
    return _FORMAT.search(beginning) is not None and _FINDING.search(beginning) is not None


def is_ours(path: str) -> bool:
    """Whether the file is a capsule or a scenario file of ours; False for what cannot be read."""
    try:
        with open(path, "rb") as file:
            whole = file.read()
    except OSError:
        return False
    return _FORMAT.search(whole) is not None and _SCENARIO.search(whole) is not None
