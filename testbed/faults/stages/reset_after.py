"""`reset_after`: exactly `bytes` bytes pass, then the connection is reset.

::

    in   AAAA--BBBB--CCCC
    out  AAAA--BB RST                   (bytes = 6)

The law is that of :mod:`testbed.faults.stages.cut`. The reset travels behind the bytes that passed, through whatever
toxics come after this one; `mode` says what becomes of bytes that the destination's kernel has not been given or has
not acknowledged by then: `drained` waits for them, `immediate` lets the reset destroy them.
"""

from __future__ import annotations

from typing import final

from testbed.faults.stages.base import End, Memory
from testbed.faults.stages.cut import CutStage
from testbed.faults.toxics import ResetAfter, ResetMode

# In the stream the two modes are alike: both follow the last byte. They part at the sockets, where the driver either
# waits for the peer's acknowledgement or lets the kernel throw away what is still queued.
_ENDS = {ResetMode.DRAINED: End.RESET_DRAINED, ResetMode.IMMEDIATE: End.RESET_IMMEDIATE}


@final
class ResetAfterStage(CutStage):
    """Reset after so many bytes."""

    def __init__(self, toxic: ResetAfter, memory: Memory, now: int) -> None:
        super().__init__(memory, toxic.attributes.bytes, _ENDS[toxic.attributes.mode])
