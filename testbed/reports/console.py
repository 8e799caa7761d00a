"""Where text for people goes.

The law of this module: a terminal decides its own width; a pipe gets lines that are not folded at 80 columns, and no
colour.
"""

from __future__ import annotations

import enum

from rich.console import Console

_WIDE = 200


class Stream(enum.Enum):
    """Which of the two a console writes to."""

    OUT = "stdout"
    ERR = "stderr"


def console(stream: Stream = Stream.OUT) -> Console:
    """A console for one of the process's two output streams."""
    made = Console(stderr=stream is Stream.ERR, highlight=False)
    if not made.is_terminal:
        made.width = _WIDE
    return made
