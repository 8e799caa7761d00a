"""`noop`: everything passes at once.

::

    in   A-----B-----C--FIN
    out  A-----B-----C--FIN

The law: a noop never strikes. It also stands in for any toxic whose `toxicity` spared the connection, which keeps a
chain's shape.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import Memory, Stage
from testbed.faults.toxics import Toxic


# A noop costs a place that holds one chunk, which is what a goroutine between two unbuffered channels costs. Leaving
# spared toxics out of the row would change how much a slow destination lets the source send.
@final
class NoopStage(Stage):
    """Pass."""

    def __init__(self, toxic: Toxic, memory: Memory, now: int) -> None:
        super().__init__(memory)
