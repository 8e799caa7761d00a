"""`packet_loss`: stalls and never holes, their lengths, and the share of losses."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.faults.stages.base import Chunk, End, Memory
from testbed.faults.stages.packet_loss import PacketLossStage
from testbed.faults.toxics import PacketLoss, PacketLossAttributes
from tests.faults.timeline import DOWN, FIN, MS, Player, play

TEN = [bytes([65 + n]) * 10 for n in range(26)]


def packet_loss(rate: float, correlation: float = 0.0, mss: int = 10, rto: int = 200, rtt: int = 40) -> PacketLoss:
    return PacketLoss(
        attributes=PacketLossAttributes(loss_rate=rate, correlation=correlation, mss=mss, rto=rto, rtt=rtt)
    )


def seed_that_loses(which: set[int], segments: int, rate: float = 0.2) -> int:
    """Find a seed with which just these first transmissions are lost, and no copy."""
    for seed in range(20_000):
        draws = Memory(seed, 0).draws
        pattern, copies = set(), True
        for segment in range(segments):
            if draws.random() < rate:
                pattern.add(segment)
                copies &= draws.random() >= rate  # the draw for the copy that the time-out sends
        # One more draw for a fast retransmit, if it comes to one.
        if pattern == which and copies and draws.random() >= rate:
            return seed
    raise AssertionError("no such seed")


def test_no_loss_changes_nothing():
    """At rate 0 every chunk passes at once, whole."""
    assert play([packet_loss(0.0)], [(0, b"a" * 100), (7, FIN)]) == [(0, b"a" * 100), (7, "fin")]


def test_lost_tail_waits_for_the_time_out():
    """With nothing behind it a lost segment arrives after the retransmission time-out, the end behind it."""
    seed = seed_that_loses({1}, 2)
    log = play([packet_loss(0.2)], [(0, TEN[0]), (5 * MS, TEN[1]), (6 * MS, FIN)], seed=seed)
    assert [(0, TEN[0]), (5 * MS, "fired packet_loss"), (205 * MS, TEN[1]), (205 * MS, "fin")] == log


def test_fast_retransmit_comes_a_round_trip_after_the_third_later_segment():
    """Three arrivals behind the hole shorten the stall to a round trip, and then everything comes at once."""
    seed = seed_that_loses({1}, 5, rate=0.1)
    events = [(n * MS, TEN[n]) for n in range(5)]
    log = play([packet_loss(0.1)], events, seed=seed)
    assert [(0, TEN[0]), (MS, "fired packet_loss"), (44 * MS, b"".join(TEN[1:5]))] == log


def test_two_later_segments_are_not_enough():
    """With only two arrivals behind the hole the time-out must run out; they wait for it."""
    seed = seed_that_loses({1}, 4)
    log = play([packet_loss(0.2)], [(n * MS, TEN[n]) for n in range(4)], seed=seed)
    assert (201 * MS, b"".join(TEN[1:4])) == log[-1]


def test_segments_of_one_chunk_count_too():
    """A long write is segments in a row: the third behind the hole goes out at once."""
    seed = seed_that_loses({0}, 4, rate=0.1)
    log = play([packet_loss(0.1)], [(0, b"x" * 40)], seed=seed)
    assert log == [(0, "fired packet_loss"), (40 * MS, b"x" * 40)]


def test_time_out_doubles():
    """Copies that are lost as well wait 200, 400, 800 … ms more."""
    waits = {play([packet_loss(0.9)], [(0, b"x")], seed=seed)[-1][0] for seed in range(60)}
    doubled = [0, 200, 600, 1400, 3000, 6200, 12_600, 25_400, 51_000, 102_200, 204_600]
    # From the tenth on the wait is capped at two minutes; the fifteenth copy arrives.
    capped = [204_600 + 120_000 * n for n in range(1, 6)]
    assert waits <= {wait * MS for wait in doubled + capped}
    assert len(waits) > 5


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_share_of_losses_is_the_rate_whatever_the_correlation(correlation):
    """The correlation gathers losses in bursts and leaves their share alone."""
    stage = PacketLossStage(packet_loss(0.1, correlation), Memory(1, 0), 0)
    lost = [stage._loses() for _ in range(100_000)]
    assert abs(sum(lost) / len(lost) - 0.1) < 0.012
    after_loss = [later for earlier, later in itertools.pairwise(lost) if earlier]
    assert abs(sum(after_loss) / len(after_loss) - (0.1 + 0.9 * correlation)) < 0.02


@given(
    rate=st.floats(0, 0.9),
    correlation=st.floats(0, 0.9),
    chunks=st.lists(st.binary(min_size=1, max_size=60), max_size=12),
    seed=st.integers(0, 999),
)
def test_no_byte_is_ever_lost_or_reordered(rate, correlation, chunks, seed):
    """Whatever is lost on the way, the stream arrives whole and in order, its end last."""
    player = Player([packet_loss(rate, correlation)], seed=seed)
    player.play([(n * 10 * MS, chunk) for n, chunk in enumerate(chunks)] + [(10**6, FIN)])
    assert b"".join(chunks) == player.bytes()
    assert player.log[-1][1] == "fin"


def test_hole_shuts_the_window():
    """Behind a hole that stays open the stage takes 64 KiB and no more than one chunk beyond."""
    stage = PacketLossStage(packet_loss(0.999, rto=60_000), Memory(0, 0), 0)
    held = 0
    while stage.ready():
        stage.take(Chunk(b"x" * 1000, 0), 0)
        held += 1000
    assert 64 * 1024 <= held < 64 * 1024 + 1000
    stage.take(End.FIN, 0)
    assert held == sum(len(item.data) for item in stage.interrupt() if isinstance(item, Chunk))
    assert stage.leftover() == [End.FIN]


def test_removal_releases_what_it_holds():
    """Taking the loss away gives back all that waited behind a hole, in order."""
    player = Player([packet_loss(0.95)], seed=1)
    player.send(b"x" * 100 + b"y" * 100)
    player.model.remove("packet_loss_downstream", 0)
    player.settle()
    assert player.bytes(DOWN) == b"x" * 100 + b"y" * 100
