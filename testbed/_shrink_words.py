"""Simpler texts and lower numbers.

The law of this module: every list begins with the boldest wish and ends with the most modest, is finite, and is the
same for the same value; whether a wish is any simpler is measured elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

# A long text is cut into no more pieces than this at a time, and no more of its letters are tried one by one.
_PIECES = 64

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

# Growing a number ends here: a pipe of a terabyte a second is as wide as any.
_MOST = 2**30


def lower(number: int, floor: int = 0) -> Iterator[int]:
    """Whole numbers from `floor` up to just below `number`: the ends first, then halves that come ever nearer."""
    if number <= floor:
        return
    yield floor
    step = number - floor
    while (step := step // 2) > 0:
        yield number - step
    if floor + 1 < number:
        yield floor + 1


def higher(number: int) -> Iterator[int]:
    """Powers of two above `number`, the largest first."""
    top = _MOST
    while top > max(1, number):
        yield top
        top //= 4


def shorter(seconds: float, floor: float = 0.0) -> Iterator[float]:
    """Times below `seconds`, in whole milliseconds; rounder ones first."""
    for value in (1.0, 0.5, 0.1):
        if floor <= value < seconds:
            yield value
    yield from (one / 1000 for one in lower(math.floor(seconds * 1000), math.ceil(floor * 1000)))


def simpler(text: str, letter: str = "a") -> Iterator[str]:
    """Texts that are shorter, or have plainer letters; none is empty."""
    if text != letter:
        yield letter
    if text.strip(letter):
        yield letter * len(text)
        yield "".join(one if one.isascii() else letter for one in text)
    else:
        yield from (letter * length for length in lower(len(text), 1))
    yield from _without_a_piece(text)
    yield from _with_plainer_letters(text, letter)


def letter_of(number: int) -> str:
    """A letter for the n-th text, so that two of them can be told apart."""
    return _LETTERS[number % len(_LETTERS)]


def _without_a_piece(text: str) -> Iterator[str]:
    length = len(text) // 2
    while length > 0 and len(text) // length <= _PIECES:
        for start in range(0, len(text), length):
            if rest := text[:start] + text[start + length :]:
                yield rest
        length //= 2


def _with_plainer_letters(text: str, letter: str) -> Iterator[str]:
    odd = [place for place, one in enumerate(text) if one != letter]
    for place in sorted(odd, key=lambda place: text[place].isascii())[:_PIECES]:
        yield text[:place] + letter + text[place + 1 :]
