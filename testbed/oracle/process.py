"""What a client's process held, before, during and after its call: the looks of a trace, put in order.

The law of this module: facts only. Of a client that has no process of its own there are none, and then nothing is
said.
"""

from __future__ import annotations

from collections.abc import Iterable

from testbed._values import Value
from testbed.oracle.case import Case
from testbed.trace import Phase, Resources


class Held(Value):
    """The looks at a process. `before` is None for a program that was only looked at from outside."""

    before: Resources | None
    during: tuple[Resources, ...]
    after: Resources | None

    def memory_before(self, first_byte: int | None) -> int | None:
        """Resident bytes that the call does not account for; None where nobody looked in time."""
        if self.before is not None:
            # An import or the rehearsal may have needed more for a moment, which the allocator keeps.
            return max(self.before.memory, 0)
        # From outside it cannot be seen when the call began, but nothing of an answer is held before its first byte.
        early = [one.memory for one in self.during if first_byte is not None and one.t <= first_byte]
        return max(early, default=None)

    @property
    def memory_most(self) -> int:
        """The most resident bytes that anybody saw."""
        seen = [*(one.memory for one in self.during), *([self.after.memory] if self.after is not None else [])]
        return max(seen, default=0)


def held(case: Case) -> Held | None:
    """All looks at the client's process; None if it has none of its own."""
    looks = [one for one in case.trace.observations if isinstance(one, Resources)]
    if not looks:
        return None
    return Held(
        before=_first(looks, Phase.BEFORE),
        during=tuple(one for one in looks if one.phase is Phase.DURING),
        after=_first(looks, Phase.AFTER),
    )


def exit_of(case: Case) -> int | None:
    """When the process was last looked at: what it closed behind that, it closed by ending."""
    looks = held(case)
    return looks.after.t if looks is not None and looks.after is not None else None


def first_byte(case: Case) -> int | None:
    """When the first byte of an answer was handed on."""
    arrivals = [one.arrivals[0][0] for one in case.connections if one.arrivals]
    return min(arrivals, default=None)


def _first(looks: Iterable[Resources], phase: Phase) -> Resources | None:
    return next((one for one in looks if one.phase is phase), None)
