"""Content faults change a body at exact addresses, keep it tiled, and refuse addresses outside it."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.faults.content import FaultyBody, Piece, apply_faults
from testbed.script import ContentFault, CutBody, Ending, Replace, SplitAt, SplitEvery

# Two steps, the first of two events: "hello, world" with boundaries at 5 and 7.
PIECES = (Piece(1, b"hello", ends_step=False), Piece(1, b", ", ends_step=True), Piece(3, b"world", ends_step=True))


def texts(*faults: ContentFault) -> list[bytes]:
    """Apply `faults` to the pieces above and return what each piece then holds."""
    return [piece.data for piece in apply_faults(PIECES, faults).pieces]


def test_no_fault_changes_nothing() -> None:
    """Without faults the body is its pieces, and declares its length."""
    assert apply_faults(PIECES, ()) == FaultyBody(PIECES, 12, None)
    assert apply_faults((), ()) == FaultyBody((), 0, None)


@pytest.mark.parametrize("how", Ending)
def test_a_cut_leaves_the_bytes_before_it(how: Ending) -> None:
    """A cut inside a piece shortens it, and its step no longer ends; only a clean cut declares the shorter length."""
    expected = (PIECES[0], PIECES[1], Piece(3, b"wo", ends_step=False))
    assert apply_faults(PIECES, [CutBody(9, how)]) == FaultyBody(expected, 9 if how is Ending.CLEAN else 12, how)


def test_a_cut_on_a_boundary_leaves_whole_steps() -> None:
    """A cut between two pieces takes away the second and leaves the first as it was, end of step and all."""
    assert apply_faults(PIECES, [CutBody(7)]).pieces == PIECES[:2]
    assert apply_faults(PIECES, [CutBody(12)]).pieces == PIECES
    assert apply_faults(PIECES, [CutBody(0)]).pieces == ()


def test_the_last_of_several_cuts_says_how_it_ends() -> None:
    """Each cut works on what the one before it left; a promise of length made by a clean cut stays."""
    body = apply_faults(PIECES, [CutBody(9, Ending.CLEAN), CutBody(4, Ending.RST)])
    assert (body.size, body.declared, body.cut) == (4, 9, Ending.RST)


def test_splits_cut_where_they_say() -> None:
    """Split addresses are body bytes, in any order, twice or not; on a boundary they change nothing."""
    assert texts(SplitAt((9, 2, 5, 2, 0, 12))) == [b"he", b"llo", b", ", b"wo", b"rld"]
    assert texts(SplitAt(())) == [b"hello", b", ", b"world"]


def test_only_the_last_piece_of_a_step_ends_it() -> None:
    """A split piece keeps its step, and the end of the step stays with the last byte."""
    assert apply_faults(PIECES, [SplitAt((6,))]).pieces == (
        Piece(1, b"hello", ends_step=False),
        Piece(1, b",", ends_step=False),
        Piece(1, b" ", ends_step=True),
        Piece(3, b"world", ends_step=True),
    )


def test_split_every_counts_over_the_body_and_never_joins() -> None:
    """Pieces are cut at each multiple of the size, counted from the first body byte; events stay apart."""
    assert texts(SplitEvery(4)) == [b"hell", b"o", b", ", b"w", b"orld"]
    assert texts(SplitEvery(100)) == [b"hello", b", ", b"world"]
    assert texts(SplitEvery()) == [bytes([byte]) for byte in b"hello, world"]


def test_replace_overwrites_across_pieces() -> None:
    """New bytes fall into whichever pieces stand there, and no piece changes its length."""
    assert texts(Replace(4, b"\xffABC\xfe")) == [b"hell\xff", b"AB", b"C\xferld"]
    assert texts(Replace(0, b"HELLO; WORLD")) == [b"HELLO", b"; ", b"WORLD"]
    assert texts(Replace(12, b"")) == [b"hello", b", ", b"world"]


def test_faults_apply_in_order() -> None:
    """A split before a cut and a cut before a split may differ: the second sees what the first left."""
    assert texts(SplitEvery(6), CutBody(7)) == [b"hello", b",", b" "]
    with pytest.raises(UsageError):
        texts(CutBody(7), SplitAt((9,)))


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (CutBody(13), "cut_body: at is 13; it must lie between 0 and 12, the length of the body"),
        (CutBody(-1), "cut_body: at is -1; it must lie between 0 and 12, the length of the body"),
        (SplitAt((3, 13)), "split_at: at is 13; it must lie between 0 and 12, the length of the body"),
        (Replace(13, b""), "replace: at is 13; it must lie between 0 and 12, the length of the body"),
        (
            Replace(11, b"ab"),
            "replace: at plus the length of its data is 13; it must lie between 0 and 12, the length of the body",
        ),
    ],
)
def test_an_address_outside_the_body_is_refused(fault: ContentFault, problem: str) -> None:
    """A fault that cannot strike is a usage error with the address and the limits."""
    with pytest.raises(UsageError) as raised:
        apply_faults(PIECES, [fault])
    assert str(raised.value) == problem


BODIES = st.lists(st.builds(Piece, st.integers(0, 5), st.binary(min_size=1, max_size=8), st.booleans()), max_size=8)


@st.composite
def faulty(draw: st.DrawFn) -> tuple[list[Piece], list[ContentFault]]:
    """Draw a body and faults whose addresses lie in it."""
    pieces = draw(BODIES)
    size = sum(len(piece.data) for piece in pieces)
    faults: list[ContentFault] = []
    for _ in range(draw(st.integers(0, 4))):
        at = st.integers(0, size)
        where = draw(at)
        fault = draw(
            st.one_of(
                st.builds(CutBody, st.just(where), st.sampled_from(Ending)),
                st.builds(SplitAt, st.lists(at, max_size=4).map(tuple)),
                st.builds(SplitEvery, st.integers(1, 10)),
                st.builds(Replace, st.just(where), st.binary(max_size=size - where)),
            )
        )
        size = fault.at if isinstance(fault, CutBody) else size
        faults.append(fault)
    return pieces, faults


def joined(pieces: tuple[Piece, ...] | list[Piece]) -> bytes:
    """Join the bytes of the pieces."""
    return b"".join(piece.data for piece in pieces)


def steps_of_bytes(pieces: tuple[Piece, ...] | list[Piece]) -> list[tuple[int, bool]]:
    """For each body byte: its step, and whether the step ends with it."""
    return [
        (piece.step, piece.ends_step and index == len(piece.data) - 1)
        for piece in pieces
        for index in range(len(piece.data))
    ]


@settings(deadline=None)
@given(faulty())
def test_no_fault_moves_a_byte_or_loses_its_step(case: tuple[list[Piece], list[ContentFault]]) -> None:
    """Invariant: the bytes are what slices of one string give, and each byte left keeps its step and its end."""
    pieces, faults = case
    text = joined(pieces)
    for fault in faults:
        if isinstance(fault, CutBody):
            text = text[: fault.at]
        elif isinstance(fault, Replace):
            text = text[: fault.at] + fault.data + text[fault.at + len(fault.data) :]
    body = apply_faults(pieces, faults)
    assert text == joined(body.pieces)
    assert body.size == len(text)
    assert steps_of_bytes(pieces)[: len(text)] == steps_of_bytes(body.pieces)
    assert all(piece.data for piece in body.pieces)
    assert body.declared >= body.size


@settings(deadline=None)
@given(faulty())
def test_boundaries_are_only_ever_added(case: tuple[list[Piece], list[ContentFault]]) -> None:
    """Invariant: every boundary between two events that is still inside the body is still a boundary."""
    pieces, faults = case
    body = apply_faults(pieces, faults)
    before = {end for end in accumulate(len(piece.data) for piece in pieces) if end <= body.size}
    assert before <= set(accumulate(len(piece.data) for piece in body.pieces))
