"""`limit_data`: `bytes` bytes pass, then the connection is closed.

::

    in   AAAA--BBBB--CCCC
    out  AAAA--BB CLOSE                 (bytes = 6)

The law is that of :mod:`testbed.faults.stages.cut`; the count starts when the toxic meets the connection.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import End, Memory
from testbed.faults.stages.cut import CutStage
from testbed.faults.toxics import LimitData


# Toxiproxy's own, closing with FIN; with a reset_peer beside it the close is a reset, which is how a reset at an
# exact byte is asked of the real server.
@final
class LimitDataStage(CutStage):
    """Close after so many bytes."""

    def __init__(self, toxic: LimitData, memory: Memory, now: int) -> None:
        super().__init__(memory, toxic.attributes.bytes, End.CLOSE)
