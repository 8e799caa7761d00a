"""`stall`: silence from an exact byte on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.faults.toxics import Stall, StallAttributes
from tests.faults.timeline import DOWN, FIN, MS, RST, Player, play


def stall(size: int, duration: int | None = None) -> Stall:
    return Stall(attributes=StallAttributes(bytes=size, duration=duration))


TABLE = {
    "the chunk is cut at the byte": (
        stall(2, 100),
        [(0, b"abcd"), (50 * MS, b"ef"), (60 * MS, FIN)],
        [(0, "fired stall"), (0, b"ab"), (100 * MS, b"cd"), (100 * MS, b"ef"), (100 * MS, "fin")],
    ),
    "the silence begins when the byte has passed": (
        stall(2, 100),
        [(0, b"ab"), (70 * MS, b"c"), (170 * MS, b"d")],
        [(0, "fired stall"), (0, b"ab"), (100 * MS, b"c"), (170 * MS, b"d")],
    ),
    "a source that is silent for longer is not held": (
        stall(2, 100),
        [(0, b"ab"), (200 * MS, b"c")],
        [(0, "fired stall"), (0, b"ab"), (200 * MS, b"c")],
    ),
    "at 0 it begins with the first byte": (
        stall(0, 100),
        [(30 * MS, b"a")],
        [(30 * MS, "fired stall"), (130 * MS, b"a")],
    ),
    "at 0 an end alone is held too": (stall(0, 100), [(MS, FIN)], [(MS, "fired stall"), (101 * MS, "fin")]),
    "for ever, the end too": (stall(1), [(0, b"ab"), (1, FIN)], [(0, "fired stall"), (0, b"a")]),
    "for ever, a reset too": (stall(1), [(0, b"ab"), (1, RST)], [(0, "fired stall"), (0, b"a")]),
    "an end at the very byte waits": (
        stall(1, 10),
        [(0, b"a"), (1, FIN)],
        [(0, "fired stall"), (0, b"a"), (10 * MS, "fin")],
    ),
    "a shorter stream never meets it": (stall(9), [(0, b"a"), (1, FIN)], [(0, b"a"), (1, "fin")]),
    "an hour is a deadline": (
        stall(1, 3_600_000),
        [(0, b"ab")],
        [(0, "fired stall"), (0, b"a"), (3_600_000_000, b"b")],
    ),
    "a duration of nothing": (stall(1, 0), [(0, b"ab")], [(0, "fired stall"), (0, b"a"), (0, b"b")]),
}


@pytest.mark.parametrize(("toxic", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxic, events, expected):
    """Every row of the table of time lines holds."""
    assert expected == play([toxic], events)


@given(chunks=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8), size=st.integers(0, 100))
def test_byte_is_exact_however_the_stream_is_cut_into_chunks(chunks, size):
    """Exactly `bytes` bytes come before the silence, and all the others after it."""
    sent = b"".join(chunks)
    player = Player([stall(size, 10)]).play([(0, chunk) for chunk in chunks], until=9 * MS)
    assert sent[:size] == player.bytes()
    assert sent == player.to(10 * MS).bytes()


def test_stall_for_ever_pushes_back_to_the_source():
    """A source behind an endless stall is read no further than the buffers reach."""
    player = Player([stall(10)]).send(b"x" * 1_000_000)
    assert player.bytes() == b"x" * 10
    assert player.model.capacity(DOWN) == 0
    assert player.model.next_deadline() is None


def test_update_to_a_byte_gone_by_does_not_strike():
    """Moving the byte to a place that has passed already causes no silence."""
    player = Player([stall(100, 10)]).send(b"x" * 50)
    player.model.update(0, stall(20, 10), 0)
    player.send(b"y" * 50)
    assert len(player.bytes()) == 100
