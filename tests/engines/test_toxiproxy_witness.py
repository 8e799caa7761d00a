"""When a toxic inside the real server counts as having struck."""

from __future__ import annotations

import pytest

from testbed.engines.toxiproxy_witness import Witness
from testbed.faults.toxics import (
    Bandwidth,
    CloseAfter,
    CloseAfterAttributes,
    Direction,
    Latency,
    LatencyAttributes,
    LimitData,
    LimitDataAttributes,
    Noop,
    ResetAfter,
    ResetAfterAttributes,
    ResetPeer,
    Slicer,
    SlicerAttributes,
    SlowClose,
    SlowCloseAttributes,
    Timeout,
    TimeoutAttributes,
    Toxic,
)
from testbed.runner import TraceRecorder
from testbed.trace import ClientProfile, Clock, Delivered, Fired, Header, LinkEof, LinkReset

UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM


class Story:
    """What happens at both ends of one connection, told step by step."""

    def __init__(self, *toxics: Toxic) -> None:
        self.recorder = TraceRecorder(Clock.REAL)
        self.witness = Witness(toxics, 3, self.recorder)

    def sent(self, *sizes: int) -> Story:
        """The server writes."""
        for size in sizes:
            self.witness.sent(size)
        return self

    def ended(self) -> Story:
        """The server ends its side."""
        self.witness.ended()
        return self

    def delivered(self, total: int, direction: Direction = DOWN) -> Story:
        """The tap hands bytes on."""
        self.witness.record(Delivered(t=0, conn=3, direction=direction, total=total))
        return self

    def fin(self, direction: Direction = DOWN) -> Story:
        """The tap hands an end on."""
        self.witness.record(LinkEof(t=0, conn=3, direction=direction))
        return self

    def reset(self) -> Story:
        """The tap hands a reset on."""
        self.witness.record(LinkReset(t=0, conn=3, direction=DOWN))
        return self

    def fired(self) -> list[int]:
        """The toxics that struck, by their place in the list."""
        profile = ClientProfile(name="none", dialects=())
        trace = self.recorder.trace(Header(plan="", engine="", clock=Clock.REAL, client=profile))
        return [seen.toxic for seen in trace.observations if isinstance(seen, Fired) and seen.conn == 3]


CLOSE = CloseAfter(attributes=CloseAfterAttributes(bytes=10))
RESET = ResetAfter(attributes=ResetAfterAttributes(10))
SLICED = Slicer(attributes=SlicerAttributes(average_size=10, size_variation=2))


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (Story(Latency(attributes=LatencyAttributes(5))).sent(1), [0]),
        (Story(Latency()).sent(1).delivered(1), []),
        (Story(Latency(stream=UP, attributes=LatencyAttributes(5))).sent(9), []),
        (Story(Latency(stream=UP, attributes=LatencyAttributes(5))).delivered(1, UP), [0]),
        (Story(Bandwidth()).delivered(9, UP), []),
        (Story(Bandwidth()).sent(9), [0]),
        (Story(SLICED).sent(12), []),
        (Story(SLICED).sent(12, 13), [0]),
        (Story(Slicer(attributes=SlicerAttributes(10, 2, delay=1))).sent(1), [0]),
        (Story(SlowClose(attributes=SlowCloseAttributes(5))).sent(9), []),
        (Story(SlowClose(attributes=SlowCloseAttributes(5))).ended(), [0]),
        (Story(SlowClose()).ended(), []),
        (Story(Timeout()).sent(1), [0]),
        (Story(Timeout(attributes=TimeoutAttributes(5))).fin(), [0]),
        (Story(Timeout(attributes=TimeoutAttributes(5))).ended().fin(), []),
        (Story(ResetPeer()).delivered(9, UP), []),
        (Story(ResetPeer()).sent(1), [0]),
        (Story(ResetPeer(stream=UP)).fin(UP), [0]),
        (Story(ResetPeer(toxicity=0.0)).sent(1).delivered(1).fin(), []),
        (Story(ResetPeer(toxicity=0.0)).sent(1).delivered(1).reset(), [0]),
        (Story(CLOSE).sent(12).delivered(10), []),
        (Story(CLOSE).sent(12).delivered(10).fin(), [0]),
        (Story(CLOSE).sent(9).delivered(9).ended().fin(), []),
        (Story(RESET).sent(12).delivered(10).fin(), []),
        (Story(RESET).sent(12).delivered(10).reset(), [0]),
        (Story(RESET).sent(12).delivered(8).reset(), []),
        (Story(LimitData(attributes=LimitDataAttributes(0))).sent(1).fin(), [0]),
        (Story(LimitData(attributes=LimitDataAttributes(0))).fin(), []),
        (Story(LimitData(stream=UP, attributes=LimitDataAttributes(3))).delivered(5, UP).fin(), [0]),
        (Story(Noop()).sent(9).ended(), []),
        (Story(Bandwidth(toxicity=0.0)).sent(9), []),
        (Story(Noop(), Bandwidth(), Timeout()).sent(1).sent(1), [1, 2]),
    ],
)
def test_a_strike_is_what_both_ends_prove(story: Story, expected: list[int]) -> None:
    """Each toxic strikes when its rule is met by what went in and what came out, and once only."""
    assert story.fired() == expected
