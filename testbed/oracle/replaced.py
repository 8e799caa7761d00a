"""Text whose bytes a content fault has overwritten with invalid UTF-8: what may be shown in its place, event by event.

The law of this module: where in the text of a JSON event its bytes were struck is not known without encoding; that they
are one stretch of it, and how long, is. U+FFFD stands in just that stretch, and everything around it as it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from testbed._values import Value
from testbed.oracle.expected import Flavour, Piece
from testbed.oracle.sequences import common_prefix

REPLACEMENT = "\ufffd"
# A stretch that is longer than this is not looked at closely.
MOST_REPLACED = 64
# The bytes may have cut characters of up to four bytes in two, on either side.
_SLACK = 7


class Reading(Value):
    """How far some text is a right reading of some pieces.

    `begins`: it is one, or the beginning of one. `ends`: it is a whole one. `leads`: it holds a whole one, and goes on.
    """

    begins: bool
    ends: bool
    leads: bool


def read(seen: str, pieces: Sequence[Piece]) -> Reading:
    """Read `seen` as these pieces, in their order, each as it was sent or with U+FFFD where it was overwritten."""
    # Every place that can be reached is kept: text that repeats itself can be read in several ways.
    reached, begins = {0}, not seen
    for piece in pieces:
        following: set[int] = set()
        for place in reached:
            stops = set(_stops(seen[place:], piece))
            begins = begins or None in stops
            following |= {place + stop for stop in stops if stop is not None}
        reached = following
        begins = begins or len(seen) in reached
    return Reading(begins, len(seen) in reached, bool(reached))


def _stops(rest: str, piece: Piece) -> Iterator[int | None]:
    """Where `piece` can end in `rest`; None: `rest` ends before it."""
    text = piece.text
    yield from _stop(rest, text)
    if piece.flavour is not Flavour.REPLACED:
        return
    data = b"".join(fault.data for fault in piece.faults)
    start = common_prefix(rest, text)
    for variant in _variants(text, data, start):
        yield from _stop(rest, variant)
    # The bytes may also have struck the escape of a character; then nobody knows what stands there.
    allowed = set(data.decode("utf-8", "replace")) | {REPLACEMENT}
    for width in range(1, len(data) + _SLACK):
        stretch = rest[start : start + width]
        if len(stretch) < width or not set(stretch) <= allowed:
            return
        for end in range(start, min(len(text), start + len(data) + 1) + 1):
            if _covers(text[start:end], len(data)):
                yield from (
                    (stop if stop is None else start + width + stop)
                    for stop in _stop(rest[start + width :], text[end:])
                )


def _stop(rest: str, text: str) -> Iterator[int | None]:
    if rest.startswith(text):
        yield len(text)
    elif text.startswith(rest):
        yield None


def _variants(text: str, data: bytes, start: int) -> Iterator[str]:
    """What the text is with these bytes in it, so that it differs from character `start` on.

    With what stands around them they may make characters that nobody sent.
    """
    whole = text.encode("utf-8", "surrogatepass")
    at = len(text[:start].encode("utf-8", "surrogatepass"))
    for place in range(max(0, at - _SLACK), min(at + _SLACK, len(whole) - len(data)) + 1):
        yield (whole[:place] + data + whole[place + len(data) :]).decode("utf-8", "replace")


def _covers(struck: str, size: int) -> bool:
    """Whether so many bytes can be what struck these characters: all of them, but for the ends of the outer two."""
    if not struck:
        return False
    sizes = [len(one.encode("utf-8", "surrogatepass")) for one in struck]
    escaped = any(one < " " or one in '"\\\x7f' for one in struck)
    most = sum(sizes) + (6 * len(struck) if escaped else 0)
    least = sum(sizes[1:-1]) + min(len(sizes), 2)
    return least <= size <= most


def is_close(piece: Piece) -> bool:
    """Whether what is shown of this piece is looked at closely."""
    return piece.flavour is not Flavour.UNKNOWN and sum(len(fault.data) for fault in piece.faults) <= MOST_REPLACED
