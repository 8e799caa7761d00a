"""`bandwidth`: slices, debt, rate 0, and what lateness may and may not earn."""

from __future__ import annotations

import pytest

from testbed.faults.connection import ConnectionModel, Forward, Semantics
from testbed.faults.toxics import Bandwidth, BandwidthAttributes
from tests.faults.timeline import DOWN, FIN, MS, Player, play


def bandwidth(rate: int) -> Bandwidth:
    return Bandwidth(attributes=BandwidthAttributes(rate=rate))


TABLE = {
    "a chunk waits for what it costs": (
        bandwidth(1),
        [(0, b"x" * 50)],
        [(0, "fired bandwidth"), (50 * MS, b"x" * 50)],
    ),
    "a long chunk leaves in slices of 100 ms": (
        bandwidth(1),
        [(0, b"a" * 100 + b"b" * 100 + b"c" * 50)],
        [(0, "fired bandwidth"), (100 * MS, b"a" * 100), (200 * MS, b"b" * 100), (250 * MS, b"c" * 50)],
    ),
    "being idle earns nothing": (
        bandwidth(1),
        [(0, b"x" * 10), (5_000 * MS, b"y" * 10)],
        [(0, "fired bandwidth"), (10 * MS, b"x" * 10), (5_010 * MS, b"y" * 10)],
    ),
    "chunks queue behind each other, the end behind them": (
        bandwidth(1),
        [(0, b"x" * 10), (0, b"y" * 10), (0, FIN)],
        [(0, "fired bandwidth"), (10 * MS, b"x" * 10), (20 * MS, b"y" * 10), (20 * MS, "fin")],
    ),
    "rate 0 stalls for ever, the end too": (bandwidth(0), [(0, b"x"), (1, FIN)], [(0, "fired bandwidth")]),
    "rate 0 lets a bare end pass": (bandwidth(0), [(1, FIN)], [(1, "fin")]),
}


@pytest.mark.parametrize(("toxic", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxic, events, expected):
    """Every row of the table of time lines holds."""
    assert expected == play([toxic], events)


def test_figure_of_the_real_server():
    """480 KB at 1000 KB/s take 480 ms."""
    player = Player([bandwidth(1000)]).play([(0, b"x" * 480_000)])
    assert len(player.bytes()) == 480_000
    assert player.log[-1][0] == 480 * MS


def test_tiny_chunks_at_high_rates_cost_their_fraction_of_a_microsecond():
    """Ten thousand single bytes at 10 MB/s take a millisecond, although one takes a tenth of a microsecond."""
    player = Player([bandwidth(10_000)])
    for _ in range(10_000):
        player.send(b"x")
    player.to(10 * MS)
    assert player.log[-1][0] == MS


def test_late_timer_does_not_lower_the_rate():
    """A driver that wakes 1 ms late each time still carries 100 chunks of 10 ms in a second, and a little."""
    model = ConnectionModel([bandwidth(1)], seed=0, semantics=Semantics.TRANSPARENT)
    model.open(0)
    now = sent = 0
    while sent < 100:
        if model.capacity(DOWN) >= 10 and sent * 10_000 <= now:
            model.feed(DOWN, now, b"x" * 10)
        for action in model.wake(now):
            if isinstance(action, Forward):
                sent += 1
                model.consumed(DOWN, now, len(action.data))
        now = (model.next_deadline() or now) + MS
    assert now <= 1_015 * MS


def test_slow_destination_earns_no_credit():
    """After a destination blocked for ten seconds the backlog still leaves at the rate."""
    player = Player([bandwidth(1000)])
    player.stuck.add(DOWN)
    player.send(b"x" * 1_000_000).to(10_000 * MS)
    before = len(player.bytes())
    player.stuck.clear()
    player.settle()
    player.to(10_100 * MS)
    # What the writer and the stage held, then 100 KB for 100 ms.
    assert len(player.bytes()) - before <= 100_000 + 3 * 32 * 1024
