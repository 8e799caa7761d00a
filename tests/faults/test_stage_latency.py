"""`latency`: the table of its time lines, its jitter, and how it chains."""

from __future__ import annotations

import pytest

from testbed.faults.toxics import Latency, LatencyAttributes
from tests.faults.timeline import DOWN, FIN, MS, Player, play


def latency(delay: int, jitter: int = 0) -> Latency:
    return Latency(attributes=LatencyAttributes(latency=delay, jitter=jitter))


TABLE = {
    "each chunk is delayed from its own arrival": (
        latency(100),
        [(0, b"a"), (30 * MS, b"b")],
        [(0, "fired latency"), (100 * MS, b"a"), (130 * MS, b"b")],
    ),
    "the end waits behind data": (
        latency(100),
        [(0, b"a"), (10 * MS, FIN)],
        [(0, "fired latency"), (100 * MS, b"a"), (100 * MS, "fin")],
    ),
    "an end with no data before it is not delayed": (latency(100), [(10 * MS, FIN)], [(10 * MS, "fin")]),
    "no delay is no strike": (latency(0), [(5, b"a")], [(5, b"a")]),
    "a negative delay is none": (latency(-50), [(5, b"a")], [(5, b"a")]),
}


@pytest.mark.parametrize(("toxic", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxic, events, expected):
    """Every row of the table of time lines holds."""
    assert expected == play([toxic], events)


def test_jitter_stays_in_its_range_and_keeps_order():
    """A jitter of 40 ms around 100 ms delays a lone chunk by 60 to 139 whole milliseconds."""
    player = Player([latency(100, 40)])
    events = [(second * 1_000_000, str(second % 10).encode()) for second in range(300)]
    player.play(events)
    delays = [time % 1_000_000 for time, what in player.log if isinstance(what, bytes)]
    assert b"".join(what for _, what in events) == player.bytes()
    assert min(delays) >= 60 * MS
    assert max(delays) <= 139 * MS
    assert len(set(delays)) > 40
    assert all(delay % MS == 0 for delay in delays)


def test_late_chunk_delays_the_next_one():
    """Chunks sent together leave in order although each draws a delay of its own."""
    player = Player([latency(100, 90)], seed=3).play([(0, bytes([n])) for n in range(50)])
    assert bytes(range(50)) == player.bytes()


def test_chained_latencies_under_delay_a_chunk_that_queued():
    """Two latencies delay a lone chunk by their sum and one that queued by less, as the real server does."""
    second = Latency(name="second", attributes=LatencyAttributes(latency=50))
    log = play([latency(100), second], [(0, b"a"), (30 * MS, b"b")])
    assert [line for line in log if isinstance(line[1], bytes)] == [(150 * MS, b"a"), (150 * MS, b"b")]


def test_queue_takes_1024_chunks_before_the_source_feels_it():
    """A source is read on while a long latency queues, up to 1024 chunks, the one in hand and the entrance."""
    player = Player([latency(10_000)])
    chunk, taken = b"x" * 32 * 1024, 0
    while player.model.capacity(DOWN):
        player.send(chunk)
        taken += 1
    assert taken == 1024 + 2
