"""`limit_data`, `reset_after`, `close_after`: an end at an exact byte, or at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.faults.toxics import (
    CloseAfter,
    CloseAfterAttributes,
    Latency,
    LatencyAttributes,
    LimitData,
    LimitDataAttributes,
    ResetAfter,
    ResetAfterAttributes,
    ResetMode,
)
from tests.faults.timeline import DOWN, FIN, MS, UP, Player, play

DRAINED, IMMEDIATE = ResetMode.DRAINED, ResetMode.IMMEDIATE


def limit_data(size: int) -> LimitData:
    return LimitData(attributes=LimitDataAttributes(bytes=size))


def reset_after(size: int, mode: ResetMode = DRAINED, stream=DOWN) -> ResetAfter:
    return ResetAfter(attributes=ResetAfterAttributes(bytes=size, mode=mode), stream=stream)


def close_after(size: int | None = None, *, after: int | None = None) -> CloseAfter:
    return CloseAfter(attributes=CloseAfterAttributes(bytes=size, after=after))


CUTS = {
    "limit_data": (limit_data, "close"),
    "close_after": (close_after, "close"),
    "reset_after": (reset_after, "rst drained"),
}


@pytest.mark.parametrize(("build", "end"), CUTS.values(), ids=CUTS)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8),
    size=st.integers(-1, 200),
)
def test_cut_is_exact_however_the_stream_is_cut_into_chunks(build, end, chunks, size):
    """Exactly `bytes` bytes pass, then the end at once; a stream that is shorter passes whole, its own end with it."""
    sent = b"".join(chunks)
    player = Player([build(size)]).play([(0, chunk) for chunk in chunks] + [(5, FIN)])
    cut = len(sent) >= max(1, size)
    assert sent[: max(0, size)] == player.bytes()
    assert player.log[-1] == ((0, end) if cut else (5, "fin"))
    assert len(player.fired) == cut


TABLE = {
    "limit 0 strikes at the first byte": ([limit_data(0)], [(3, b"a")], [(3, "fired limit_data"), (3, "close")]),
    "limit 0 leaves an empty stream alone": ([limit_data(0)], [(3, FIN)], [(3, "fin")]),
    "reset 0 strikes at the first byte": (
        [reset_after(0)],
        [(3, b"a")],
        [(3, "fired reset_after"), (3, "rst drained")],
    ),
    "immediate": (
        [reset_after(2, IMMEDIATE)],
        [(0, b"abc")],
        [(0, "fired reset_after"), (0, b"ab"), (0, "rst immediate")],
    ),
    "upstream": (
        [reset_after(2, stream=UP)],
        [(0, b"abc", UP)],
        [(0, "fired reset_after"), (0, "up b'ab'"), (0, "rst drained")],
    ),
    "a reset travels behind its bytes": (
        [reset_after(2, IMMEDIATE), Latency(attributes=LatencyAttributes(latency=50))],
        [(0, b"abc")],
        [(0, "fired reset_after"), (0, "fired latency"), (50 * MS, b"ab"), (50 * MS, "rst immediate")],
    ),
    "what comes before the cut is not delivered late": (
        [Latency(attributes=LatencyAttributes(latency=50)), limit_data(1)],
        [(0, b"a"), (10 * MS, b"b")],
        [(0, "fired latency"), (50 * MS, "fired limit_data"), (50 * MS, b"a"), (50 * MS, "close")],
    ),
    "close at a time": (
        [close_after(after=30)],
        [(10 * MS, b"a"), (40 * MS, b"b")],
        [(10 * MS, b"a"), (30 * MS, "fired close_after"), (30 * MS, "close")],
    ),
    "close at a time without traffic": (
        [close_after(after=30)],
        [],
        [(30 * MS, "fired close_after"), (30 * MS, "close")],
    ),
    "close at time 0": ([close_after(after=0)], [], [(0, "fired close_after"), (0, "close")]),
    "the source's end comes first": ([close_after(after=30)], [(MS, FIN)], [(MS, "fin")]),
}


@pytest.mark.parametrize(("toxics", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxics, events, expected):
    """Every row of the table of time lines holds."""
    assert expected == play(toxics, events)


def test_time_counts_from_the_opening():
    """`after` is counted from the moment the connection opened, not from zero."""
    assert Player([close_after(after=30)], start=5 * MS).to(10**9).log[-1] == (35 * MS, "close")


def test_time_counts_from_the_opening_even_if_added_later():
    """Added in mid-stream, the moment is where it would have been all along; one gone by is now."""
    for added, closed in ((10, 35), (60, 60)):
        player = Player(start=5 * MS).to(added * MS)
        player.model.add(close_after(after=30), added * MS)
        player.settle()
        assert player.to(10**9).log[-1] == (closed * MS, "close")


def test_limit_counts_from_when_it_was_added():
    """A limit added in mid-stream lets that many more bytes through."""
    player = Player().send(b"x" * 100)
    player.model.add(limit_data(3), 0)
    player.send(b"abcdef")
    assert player.bytes() == b"x" * 100 + b"abc"


def test_count_survives_updates():
    """A raised limit goes on from the old count; one lowered below it closes at the next chunk."""
    player = Player([limit_data(10)]).send(b"abcd")
    player.model.update("limit_data_downstream", limit_data(6), 0)
    player.send(b"e")
    player.model.update(0, limit_data(2), 0)
    player.settle()
    assert "close" not in [what for _, what in player.log]
    player.send(b"f")
    assert player.bytes() == b"abcde"
    assert player.log[-1][1] == "close"


def test_end_waits_until_the_destination_has_taken_the_last_byte():
    """No kind of end overtakes bytes that a slow destination has not taken, so the byte stays exact."""
    player = Player([reset_after(3, IMMEDIATE)])
    player.stuck.add(DOWN)
    player.send(b"abcdef")
    assert [what for _, what in player.log] == ["fired reset_after", b"abc"]
    player.stuck.clear()
    player.settle()
    assert player.log[-1][1] == "rst immediate"
