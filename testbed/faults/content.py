"""Content faults, applied: pure changes of a body that is already cut into annotated pieces.

The laws of this module: a fault is applied to what the faults before it left, at body bytes counted from 0; no fault
moves a byte, so a body byte has the same address before and after; what is left over is still tiled by its pieces, and
each piece still knows its step. An address outside the body is the tester's mistake, never a fault that quietly misses.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from testbed._values import Value
from testbed.errors import UsageError
from testbed.script import ContentFault, CutBody, Ending, Replace, SplitAt, SplitEvery


class Piece(Value):
    """Consecutive body bytes of one step that leave in one write. `ends_step`: the step's last byte is here."""

    step: int
    data: bytes
    ends_step: bool


class FaultyBody(Value):
    """A body with the faults applied so far.

    `declared` is the length that a ``Content-Length`` field gives: a clean cut makes a shorter body that declares its
    own length, any other cut breaks the promise of the whole one. `cut` is how the last cut ends the connection (None:
    there is no cut).
    """

    pieces: tuple[Piece, ...]
    declared: int
    cut: Ending | None = None

    @property
    def size(self) -> int:
        """The bytes that are left."""
        return sum(len(piece.data) for piece in self.pieces)


def apply_faults(pieces: Iterable[Piece], faults: Sequence[ContentFault]) -> FaultyBody:
    """Apply `faults` in order; raises :class:`UsageError` for an address outside the body.

    >>> body = apply_faults([Piece(0, b"hello", True)], [SplitAt((2,)), CutBody(4, Ending.FIN)])
    >>> [piece.data for piece in body.pieces], body.declared
    ([b'he', b'll'], 5)
    """
    # In the order written, each on what the one before it left: a cut makes later addresses invalid, a split does not.
    whole = tuple(pieces)
    body = FaultyBody(whole, sum(len(piece.data) for piece in whole))
    for fault in faults:
        # The others strike the HTTP around the body: see :mod:`testbed.faults.framing`.
        if type(fault) in _APPLY:
            body = _APPLY[type(fault)](body, fault)
    return body


# --- one function a fault ---------------------------------------------------------------------------------------------


def _cut_body(body: FaultyBody, fault: CutBody) -> FaultyBody:
    # The cut may stand at the very end: then nothing is lost but the way in which the connection would have ended.
    _check("cut_body", fault.at, body.size)
    kept = tuple(piece for start, piece in _placed(_split(body.pieces, {fault.at})) if start < fault.at)
    # CLEAN is the cut that a client cannot see in the framing, so the length must agree with what is sent.
    declared = fault.at if fault.how is Ending.CLEAN else body.declared
    return FaultyBody(kept, declared, fault.how)


def _split_at(body: FaultyBody, fault: SplitAt) -> FaultyBody:
    # Every address is checked before any is used: half a fault would be a fault that nobody asked for.
    for at in fault.at:
        _check("split_at", at, body.size)
    # A set: the same address twice is one cut, and no piece is empty.
    return msgspec.structs.replace(body, pieces=tuple(_split(body.pieces, set(fault.at))))


def _split_every(body: FaultyBody, fault: SplitEvery) -> FaultyBody:
    # Counted over the body, not anew in each event. Events are never joined: what already was a boundary stays one,
    # because between two events there may be a pause.
    cuts = range(0, body.size, fault.size)
    return msgspec.structs.replace(body, pieces=tuple(_split(body.pieces, cuts)))


def _replace(body: FaultyBody, fault: Replace) -> FaultyBody:
    # The body never grows: bytes behind its end would be an event that the script does not have.
    _check("replace", fault.at, body.size)
    _check("replace", fault.at + len(fault.data), body.size, what="at plus the length of its data")
    pieces = tuple(_overwrite(piece, start, fault) for start, piece in _placed(body.pieces))
    return msgspec.structs.replace(body, pieces=pieces)


# The table that `apply_faults` walks; a new content fault is a class in `script`, a function above and a row here.
_APPLY: dict[type, Callable[[FaultyBody, Any], FaultyBody]] = {
    CutBody: _cut_body,
    SplitAt: _split_at,
    SplitEvery: _split_every,
    Replace: _replace,
}


# --- pieces -----------------------------------------------------------------------------------------------------------


def _placed(pieces: Iterable[Piece]) -> Iterator[tuple[int, Piece]]:
    start = 0
    for piece in pieces:
        yield start, piece
        start += len(piece.data)


def _split(pieces: Iterable[Piece], cuts: set[int] | range) -> Iterator[Piece]:
    ordered = sorted(cuts)
    # Sorted once and searched: SplitEvery(1) over a long body must not look at every cut for every piece.
    for start, piece in _placed(pieces):
        # A cut on a boundary that exists already cuts nothing: no piece is ever empty. (Hence no cut comes twice.)
        inside = ordered[bisect_right(ordered, start) : bisect_left(ordered, start + len(piece.data))]
        begin = 0
        for offset in (cut - start for cut in inside):
            # The step ends with its last byte, and that is in the last of these.
            yield Piece(piece.step, piece.data[begin:offset], ends_step=False)
            begin = offset
        yield Piece(piece.step, piece.data[begin:], piece.ends_step)


def _overwrite(piece: Piece, start: int, fault: Replace) -> Piece:
    # The part of the fault's data that falls into this piece, in the coordinates of each.
    first = max(fault.at - start, 0)
    last = min(fault.at + len(fault.data) - start, len(piece.data))
    if first >= last:
        return piece
    new = fault.data[start + first - fault.at : start + last - fault.at]
    return msgspec.structs.replace(piece, data=piece.data[:first] + new + piece.data[last:])


# Both ends are allowed: "after the last byte" is an address too, at which a cut still decides how the connection ends.
def _check(fault: str, at: int, size: int, *, what: str = "at") -> None:
    if not 0 <= at <= size:
        raise UsageError(f"{fault}: {what} is {at}; it must lie between 0 and {size}, the length of the body")
