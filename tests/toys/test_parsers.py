"""The parser that toys carry, against the testbed's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testbed import sse
from tests.toys.parsers import HandParser

WORDS = [
    b"data",
    b"id",
    b"event",
    b"retry",
    b":",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"7",
    b"x",
    b"\xef\xbb\xbf",
    b"\xff",
]
PIECES = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(b"".join), max_size=8)


@given(PIECES)
def test_a_toy_parses_what_the_reference_parses(pieces: list[bytes]):
    """Piece for piece both show the same events, and would resume from the same id."""
    mine, other = HandParser(), sse.Parser()
    for piece in pieces:
        assert mine.feed(piece) == other.feed(piece)
    assert (mine.last_event_id, mine.retry) == (other.last_event_id, other.retry)
