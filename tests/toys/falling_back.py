"""Toys that know a second address: one that asks it rightly, and some that do not; and toys whose retries lack little.

The law of this module: each is `Rules` with one decision more or less.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from testbed.adapters.declare import FunctionClient, client
from testbed.adapters.items import Item
from testbed.adapters.reference_retries import elsewhere
from testbed.ports import Target
from testbed.trace import Option
from tests.toys.correct import Correct
from tests.toys.errors import ERRORS, Status, ToyError
from tests.toys.requests import Asked
from tests.toys.rows import ALL, LOOPS, OPTIONS, driven
from tests.toys.rules import HangUp, Rules, Steps


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


def told_of_both(kind: type[Rules]) -> FunctionClient:
    """The toy as a client that takes the second address, too."""
    running: type[Any] = driven(kind, Correct)

    async def call(target: Target) -> AsyncGenerator[Item, None]:
        async with aclosing(running(target).run()) as items:
            async for item in items:
                yield item

    declare = client(
        name=f"toy-{kind.__name__}",
        base=ToyError,
        errors=ERRORS,
        dialects=ALL,
        options=[*OPTIONS, Option.FALLBACK],
        shared_read_timeout=False,
        reconnects=True,
        shows_finish=True,
        shows_tools=True,
        runtimes=LOOPS,
    )
    return declare(call)
