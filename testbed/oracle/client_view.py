"""What the caller of the client saw: the third vantage point, and the only one that is judged.

The law of this module: what was seen keeps its order and its times; how it was cut into pieces is forgotten wherever
text is compared.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Union, final

from testbed.trace import Cancelled, Ended, Raised, SawEvent, SawFinish, SawText, Started, Trace

# The three ways for a call to be over; an adapter records one of them, and at most a second when it is torn down.
ClientEnd = Union[Ended, Raised, Cancelled]
Shown = Union[SawText, SawEvent]


@final
@dataclass(frozen=True)
class ClientView:
    """Everything that the caller saw. Empty strings are left out: they say nothing."""

    # What was shown before the end and after it are kept apart from the start: the second is wrong whatever it says.
    started: int
    shown: tuple[Shown, ...]  # before the end
    places: tuple[int, ...]  # where in the trace each of them stands
    after: tuple[Shown, ...]  # after it
    finishes: tuple[str, ...]
    end: ClientEnd | None

    def between(self, first: int, last: int | None) -> tuple[Shown, ...]:
        """What was shown from place `first` of the trace up to place `last`.

        Places and not times: in virtual time a client can show, fail and begin anew in the same microsecond.
        """
        start = bisect_left(self.places, first)
        return self.shown[start:] if last is None else self.shown[start : bisect_left(self.places, last)]

    @cached_property
    def texts(self) -> tuple[SawText, ...]:
        """The pieces of text."""
        return tuple(seen for seen in self.shown if isinstance(seen, SawText))

    @cached_property
    def events(self) -> tuple[SawEvent, ...]:
        """The plain server-sent events."""
        return tuple(seen for seen in self.shown if isinstance(seen, SawEvent))


@final
@dataclass(frozen=True)
class Window:
    """The text that was seen in a span of time, as one string whose every character has a time."""

    # Half a megabyte in pieces of one character is a normal client, so both questions below are answered by bisection
    # over running sums.
    pieces: tuple[SawText, ...]

    @cached_property
    def text(self) -> str:
        """What was seen, as one string."""
        return "".join(piece.text for piece in self.pieces)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(piece.text) for piece in self.pieces))

    def seen_at(self, length: int) -> int | None:
        """When the first `length` characters had been seen; None if they never were."""
        place = bisect_left(self._ends, length)
        return self.pieces[place].t if place < len(self.pieces) else None


def client_view(trace: Trace) -> ClientView:
    """Sort the client's observations."""
    end: ClientEnd | None = None
    before: dict[int, Shown] = {}
    after: list[Shown] = []
    finishes: list[str] = []
    # One pass, in the trace's own order, which is the order in which the adapter recorded them.
    started = 0
    for place, seen in enumerate(trace.observations):
        if isinstance(seen, Started):
            started = seen.t
        elif isinstance(seen, (Ended, Raised, Cancelled)):
            # An adapter that is stopped may say so after the client's own word; the first word counts.
            end = end or seen
        elif isinstance(seen, SawFinish):
            finishes.append(seen.reason)
        elif isinstance(seen, SawEvent) or (isinstance(seen, SawText) and seen.text):
            # The same microsecond is not "after": a real clock cannot tell.
            if end is not None and seen.t > end.t:
                after.append(seen)
            else:
                before[place] = seen
    return ClientView(
        started=started,
        shown=tuple(before.values()),
        places=tuple(before),
        after=tuple(after),
        finishes=tuple(finishes),
        end=end,
    )
