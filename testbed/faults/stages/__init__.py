"""The stages, one file a toxic, and the table that finds the stage of a toxic.

The law of this package: a stage is told the time and never reads it; whatever is random in it is drawn from the
memory's generators. A toxic without a row in the table does not exist for the model, and a test walks the table
against the toxics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from testbed.faults import toxics
from testbed.faults.stages.bandwidth import BandwidthStage
from testbed.faults.stages.base import Memory, Stage
from testbed.faults.stages.close_after import close_after
from testbed.faults.stages.latency import LatencyStage
from testbed.faults.stages.limit_data import LimitDataStage
from testbed.faults.stages.noop import NoopStage
from testbed.faults.stages.packet_loss import PacketLossStage
from testbed.faults.stages.reset_after import ResetAfterStage
from testbed.faults.stages.reset_peer import ResetPeerStage
from testbed.faults.stages.slicer import SlicerStage
from testbed.faults.stages.slow_close import SlowCloseStage
from testbed.faults.stages.stall import StallStage
from testbed.faults.stages.timeout import TimeoutStage

# `Any` because each row takes its own toxic: the key is the proof, and the type system has no word for it.
# A row is all that a new toxic needs here; what it does and how it draws is its own file's business.
STAGES: Mapping[type, Callable[[Any, Memory, int], Stage]] = {
    toxics.Latency: LatencyStage,
    toxics.Bandwidth: BandwidthStage,
    toxics.SlowClose: SlowCloseStage,
    toxics.Timeout: TimeoutStage,
    toxics.ResetPeer: ResetPeerStage,
    toxics.Slicer: SlicerStage,
    toxics.LimitData: LimitDataStage,
    toxics.Noop: NoopStage,
    toxics.PacketLoss: PacketLossStage,
    toxics.ResetAfter: ResetAfterStage,
    toxics.CloseAfter: close_after,
    toxics.Stall: StallStage,
}


def start(toxic: toxics.Toxic, memory: Memory, now: int) -> Stage:
    """Start a toxic on a connection, or a noop in its place if its toxicity spares the connection this time."""
    # 0 never and 1 always: a draw lies in [0, 1). Certain toxics draw nothing, so most connections need no generator.
    if toxic.toxicity < 1.0 and memory.chance.random() >= toxic.toxicity:
        return NoopStage(toxic, memory, now)
    return STAGES[type(toxic)](toxic, memory, now)
