"""Telling how one sequence went wrong against another: text against text, events against events.

The law of this module: no I/O, no plan, no client, only two sequences; the answer is the simplest single mistake that
explains the difference, and "corrupted" only where no simpler one does. Work stays linear but for repeats that are
looked for at a bounded number of places.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from testbed.trace import Failure

# Places at which a replayed block is looked for; text that repeats itself more often is beyond telling.
MOST_PLACES = 400

# Both kinds are compared by the same rules: what a character is to text, an event is to a stream of events.
Items = Sequence[Any]  # str, or a tuple of values


def common_prefix(one: Items, other: Items) -> int:
    """How many items both begin with.

    >>> common_prefix("abcd", "abxd")
    2
    """
    low, high = 0, min(len(one), len(other))
    # Slices compare at the speed of memory; halving keeps it linear.
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(one: Items, other: Items) -> int:
    """How many items both end with."""
    return common_prefix(one[::-1], other[::-1])


def contains(whole: Items, part: Items) -> bool:
    """Whether `part` stands in `whole` in one piece."""
    # `in` means membership for a tuple and containment for a string.
    if isinstance(whole, str) and isinstance(part, str):
        return part in whole
    width = len(part)
    return any(whole[start : start + width] == part for start in range(len(whole) - width + 1))


def diagnose(seen: Items, given: Items, bounds: Sequence[int]) -> Failure | None:
    """Name what is wrong with `seen`, of which only a prefix of `given` would be right; None if it is one.

    `bounds` are the places in `given` where an event ends: a gap between two of them is a lost event, any other a
    corruption.
    """
    prefix = common_prefix(seen, given)
    if prefix == len(seen):
        return None
    # The two ends are the cheapest thing to know and explain most mistakes: what fits between them is one block. Only
    # what does not is looked at more closely.
    return _one_block(seen, given, bounds, prefix) or _several(seen, given, bounds, prefix)


def _one_block(seen: Items, given: Items, bounds: Sequence[int], prefix: int) -> Failure | None:
    """One block too many or too few, everything around it right."""
    suffix = common_suffix(seen, given)
    # Prefix and suffix may overlap where text repeats itself; then the block could be at several places, and any will
    # do.
    extra = len(seen) - len(given)
    if extra > 0 and prefix + suffix >= len(given):
        return _inserted(seen, given, prefix, extra)
    if extra < 0 and prefix + suffix >= len(seen):
        aligned = _is_gap(bounds, len(seen) - suffix, prefix, -extra)
        return Failure.LOST_EVENT if aligned else Failure.CORRUPTED_TEXT
    return None


def _several(seen: Items, given: Items, bounds: Sequence[int], prefix: int) -> Failure:
    # From the most to the least specific. The same pieces in another order; a jump back; a jump ahead; and else nothing
    # that has a name.
    if len(seen) == len(given) and Counter(seen) == Counter(given):
        return Failure.REORDERED_EVENT
    if _is_replay(seen, given, bounds, prefix):
        return Failure.DUPLICATED_TEXT
    if _skips_events(seen, given, bounds):
        return Failure.LOST_EVENT
    return Failure.CORRUPTED_TEXT


def _inserted(seen: Items, given: Items, prefix: int, extra: int) -> Failure:
    """A block that was shown twice, or one that was never sent. It may slide where its neighbours look alike."""
    first = len(given) - common_suffix(seen, given)
    # The two extreme places are enough: in between, the block is a rotation of the same items.
    blocks = [seen[place : place + extra] for place in {max(0, first), prefix}]
    return Failure.DUPLICATED_TEXT if any(contains(given, block) for block in blocks) else Failure.PHANTOM_EVENT


def _is_gap(bounds: Sequence[int], first: int, last: int, width: int) -> bool:
    """Whether some gap of that width, beginning from `first` to `last`, lies between two bounds."""
    ends = set(bounds)
    # Between the two ends the gap may slide; it is a lost event if it can be slid onto the bounds of one or more.
    places = bounds[bisect_left(bounds, max(0, first)) : bisect_right(bounds, last)]
    return any(place + width in ends for place in places)


def _is_replay(seen: Items, given: Items, bounds: Sequence[int], prefix: int) -> bool:
    """Whether the sequence, at an event's end, went on from an earlier event's end."""
    places = [bound for bound in bounds if bound <= prefix][-MOST_PLACES:]
    # Latest first: a client that jumps back usually does so after all that it had shown.
    for place in reversed(places):
        rest = seen[place:]
        for start in places:
            if start < place and given[start : start + len(rest)] == rest:
                return True
    return False


def _skips_events(seen: Items, given: Items, bounds: Sequence[int]) -> bool:
    """Whether `seen` is made of whole events of `given` in their order, some left out."""
    # Places of `seen` that can be explained so far. Equal events branch, so the set grows; a bound keeps the work
    # small, and the answer is then merely less precise.
    reached = {0}
    for start, stop in pairwise(bounds):
        event = given[start:stop]
        width = stop - start
        reached |= {place + width for place in reached if seen[place : place + width] == event}
        if len(reached) > MOST_PLACES:
            return False
    return len(seen) in reached
