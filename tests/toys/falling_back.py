"""Toys that know a second address: one that asks it rightly, and some that do not; and toys whose retries lack little.

The law of this module: each is `Rules` with one decision more or less.
"""

from __future__ import annotations

from testbed.adapters.declare import FunctionClient
from testbed.adapters.reference_retries import elsewhere
from testbed.trace import Failure, Option
from tests.toys import plans
from tests.toys.correct import Correct
from tests.toys.errors import Status, ToyError
from tests.toys.requests import Asked
from tests.toys.rows import CHAT, Toy
from tests.toys.rules import HangUp, Rules, Steps
from tests.toys.wire import Wire, leak


class FallsBack(Rules):
    """Asks the second address when the first has failed it for good."""

    def call(self) -> Steps:
        try:
            yield from super().call()
        except ToyError as error:
            second = elsewhere(self.target)
            if second is None or not self.may_fall_back(error):
                raise
            yield HangUp()
            self.target = second
            yield from super().call()

    def may_fall_back(self, error: ToyError) -> bool:
        """Not behind text that was shown, and not with a request that is itself wrong."""
        return not self.seen and not (isinstance(error, Status) and error.status_code in {400, 413, 422})


class Stays(Rules):
    """Was told of a second address, and does not think of it."""


class FallsBackAnyway(FallsBack):
    """Begins anew at the second address behind text of the first."""

    def may_fall_back(self, error: ToyError) -> bool:
        return True


class LeavesBehind(Correct):
    """Closes the connection of the last attempt, and none before it."""

    def hang_up(self, wire: Wire, *, cancelled: bool) -> None:
        if self.retry < self.target.max_retries and not self.complete and not cancelled:
            leak(wire)
        else:
            wire.close()


class NoChance(Rules):
    """Doubles its pauses, and leaves nothing to chance."""

    def back_off(self, retry: int) -> float:
        return min(8.0, 0.5 * 2.0**retry)


class Constant(Rules):
    """Waits a second, whatever happens."""

    def back_off(self, retry: int) -> float:
        return 1.0


class Keyed(Rules):
    """Sends a key with each request, the same one in a retry."""

    key = "one"

    def asks(self) -> Asked:
        asked = super().asks()
        return asked._replace(fields=(*asked.fields, ("Idempotency-Key", self.key)))


class KeyedAnew(Keyed):
    """Makes a key for each request."""

    def asks(self) -> Asked:
        self.key = f"{self.key}+"
        return super().asks()


_BOTH = (Option.FALLBACK,)


def told_of_both(kind: type[Rules]) -> FunctionClient:
    """The toy as a client that takes the second address, too."""
    return Toy(kind.__name__, kind, also=_BOTH).adapter


RIGHT = (Toy("falls-back", FallsBack, dialects=CHAT, also=_BOTH, plan=plans.whole),)

DEFECTS = (
    Toy("stays", Stays, Failure.FALSE_FAILURE, scenarios=("fallback-server",), also=_BOTH),
    Toy("falls-back-anyway", FallsBackAnyway, Failure.DUPLICATED_TEXT, scenarios=("fallback-mid-stream",), also=_BOTH),
)
