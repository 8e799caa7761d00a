"""`slicer`: sizes, pauses, and the inputs that crash the real server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.faults.toxics import Slicer, SlicerAttributes
from tests.faults.timeline import FIN, Player, play


def slicer(average: int, variation: int = 0, delay: int = 0) -> Slicer:
    return Slicer(attributes=SlicerAttributes(average_size=average, size_variation=variation, delay=delay))


TABLE = {
    "halves until the pieces are small enough": (
        slicer(2),
        [(0, b"abcdefgh")],
        [(0, "fired slicer"), (0, b"ab"), (0, b"cd"), (0, b"ef"), (0, b"gh")],
    ),
    "a small chunk is left alone": (slicer(8), [(0, b"abcdefgh")], [(0, b"abcdefgh")]),
    "a pause in microseconds after each piece, the last one too": (
        slicer(2, delay=30),
        [(0, b"abcd"), (1, b"ef"), (2, FIN)],
        [(0, "fired slicer"), (0, b"ab"), (30, b"cd"), (60, b"ef"), (90, "fin")],
    ),
    "size 0 means one byte": (slicer(0), [(0, b"abc")], [(0, "fired slicer"), (0, b"a"), (0, b"b"), (0, b"c")]),
}


@pytest.mark.parametrize(("toxic", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxic, events, expected):
    """Every row of the table of time lines holds."""
    assert expected == play([toxic], events)


@given(
    average=st.integers(-2, 50),
    variation=st.integers(-2, 100),
    delay=st.integers(-1, 5),
    data=st.binary(min_size=1, max_size=300),
    seed=st.integers(0, 9),
)
def test_pieces_joined_are_the_chunk(average, variation, delay, data, seed):
    """Whatever the numbers, nothing is lost, no piece is empty and none is longer than average and variation allow."""
    player = Player([slicer(average, variation, delay)], seed=seed).play([(0, data)])
    pieces = [what for _, what in player.log if isinstance(what, bytes)]
    assert data == b"".join(pieces)
    assert all(0 < len(piece) <= max(1, average) + max(0, variation) for piece in pieces)


def test_sizes_vary_with_the_seed():
    """A variation draws, and the seed decides what."""
    drawn = {tuple(play([slicer(20, 10)], [(0, b"x" * 1000)], seed=seed)) for seed in range(5)}
    assert len(drawn) > 1
