"""The pauses between requests: who chose each, how long it was, and what there is of growth and of chance in them.

The law of this module: it measures and judges nothing. A pause begins when the client could know that the attempt had
failed, and ends when the server had the next request; both stand in the trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from testbed._values import Value
from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Connection
from testbed.retrying import Form, Wait, waits
from testbed.trace import FALLBACK

# What a server asked for: the kindest reading of all that it said.
Told = Wait

# A pattern of fewer pauses than this may be an accident.
FEWEST = 3
# Virtual time is exact; what SDKs round is less than this, and any chance in a pause is more.
_EXACT = 2_000
_EXACTLY = 0.001
# A back-off grows if its last pause is longer than its first by more than chance takes off a doubled one.
_GROWS = 1.2


class Pause(Value):
    """The time between an attempt that failed and the next one. `told`: what the server had asked for, if anything."""

    waited: int
    told: Told | None = None


class Growth(Value):
    """What there is in a client's own pauses. Each is None or False where there are too few to say."""

    grows: bool | None = None
    exact: bool = False  # each is computed from the one before: there is no chance in them


def lanes(case: Case) -> tuple[tuple[int, ...], ...]:
    """The attempts at the first address and those at the second, by their places among all."""
    fallback = [one.number >= FALLBACK for one in case.attempts]
    found = (tuple(place for place, second in enumerate(fallback) if second is which) for which in (False, True))
    return tuple(lane for lane in found if lane)


def told(case: Case, connection: Connection) -> Told | None:
    """How long the answer asks the client to wait, at the least; None if it names no time."""
    if connection.wait >= 0:
        return Wait(connection.wait / SECOND, Form.QUOTA)
    # A server that names several times means the longest, but a client need not know every form.
    return next(iter(waits(connection.attempt.script)), None)


def pauses(case: Case, lane: Sequence[int]) -> tuple[Pause, ...]:
    """The pauses between the attempts of one address, where both ends of them are known."""
    found = []
    for number, following in pairwise(lane):
        connection, after = case.attempts[number], case.attempts[following]
        # A client that gave up a silent attempt has left it by then; what it left later, it did not wait for.
        given = case.look(connection, case.until(number))
        since = given.cause if given.cause is not None else connection.left
        until = after.requested if after.requested is not None else after.opened
        if since is not None and since <= until:
            found.append(Pause(until - since, told(case, connection)))
    return tuple(found)


def growth(own: Sequence[Pause]) -> Growth:
    """Look for a pattern in pauses that the client chose itself."""
    waited = [pause.waited for pause in own]
    if len(waited) < 2 or waited[0] <= 0:
        return Growth()
    exact = len(waited) >= FEWEST and _is_computed(waited)
    if waited[-1] > _GROWS * waited[0]:
        return Growth(grows=True, exact=exact)
    # Chance can make any two pauses of a growing back-off equal; three equal ones are a constant.
    level = len(waited) >= FEWEST and max(waited) - min(waited) <= max(_EXACT, _EXACTLY * waited[0])
    return Growth(grows=False if level and waited[-1] < 8 * SECOND else None, exact=exact)


def _is_computed(waited: Sequence[int]) -> bool:
    """Whether each pause is the one before times a constant, up to a longest that comes at least twice."""
    factor, most = waited[1] / waited[0], max(waited)
    capped = [_same(after, most) for after in waited]
    # Behind the longest there is nothing more to see; what comes before it must be enough to tell a rule from chance.
    free = waited if sum(capped) < 2 or all(capped) else waited[: capped.index(True)]
    grown = all(_same(after, before * factor) for before, after in pairwise(free))
    return len(free) >= FEWEST and factor >= 1 - _EXACTLY and grown and all(capped[len(free) :])


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _EXACT + _EXACTLY * other
