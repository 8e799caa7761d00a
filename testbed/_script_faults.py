"""Content faults as data: what goes wrong with the bytes of a script.

The law of this module: a fault says where it strikes and what it writes there, never how; the functions that carry it
out are in :mod:`testbed.faults.content` (the body) and :mod:`testbed.faults.framing` (the HTTP around it).
"""

from __future__ import annotations

from typing import Union

from testbed._script_words import Ending
from testbed._values import Value
from testbed.errors import UsageError

# --- content faults ---------------------------------------------------------------------------------------------------
# They strike body bytes, after the dialect has spelled the steps and before the body is framed: the framing of a faulty
# body is still right HTTP. Addresses count body bytes from 0 and do not see chunk sizes.


class CutBody(Value, tag_field="fault", tag="cut_body"):
    """Body bytes from `at` on are never written; the connection then ends `how`. Steps after the cut do not happen."""

    at: int
    how: Ending = Ending.CLEAN


class SplitAt(Value, tag_field="fault", tag="split_at"):
    """Cut the writes at these body bytes: each piece is a write, and a chunk, of its own."""

    at: tuple[int, ...]


class SplitEvery(Value, tag_field="fault", tag="split_every"):
    """Cut the body into writes (and chunks) of `size` bytes."""

    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"split_every: size is {self.size}; it must be at least 1 byte")


class Replace(Value, tag_field="fault", tag="replace"):
    """Overwrite body bytes from `at` on with `data`: malformed JSON, invalid UTF-8."""

    at: int
    data: bytes


ContentFault = Union[CutBody, SplitAt, SplitEvery, Replace]
