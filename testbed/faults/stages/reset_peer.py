"""`reset_peer`: swallow the first chunk (or the end), wait `timeout` ms, close.

::

    in   ------A--B--C
    out  ------------CLOSE              (a reset, if the toxic was there when the connection opened)

The law: this stage closes; whether the close is a reset is the connection's affair. A `reset_peer` that was there
when the connection opened makes *every* close of that connection a reset, whatever its toxicity, and one that was
added later makes none: measured on the real server, which sets the option on its sockets only when it starts carrying
them. With no traffic nothing happens.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import MS, End, Item, Memory, Stage
from testbed.faults.toxics import ResetPeer


@final
class ResetPeerStage(Stage):
    """Sleep once, then close."""

    def __init__(self, toxic: ResetPeer, memory: Memory, now: int) -> None:
        super().__init__(memory)
        self._timeout = max(0, toxic.attributes.timeout) * MS

    @property
    def interruptible(self) -> bool:
        # The real server answers such a change only after the sleep, and everything else with it. Here the change is
        # answered at once, and the close still comes when it would have come.
        """Its sleep ends in a close, whatever is changed meanwhile."""
        return self._hand is None

    def take(self, item: Item, now: int) -> None:
        """Swallow the item: what is in hand from now on is the close."""
        # Not `_begin`: what arrived is forgotten, so nothing is left that an interruption could let go.
        self.struck = True
        self._hand, self._due = End.CLOSE, now + self._timeout
