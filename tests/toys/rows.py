"""A toy as a row of a table: which client, with which defect, and where it shows.

The law of this module: a row is all that a test needs to know of a toy.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import aclosing, closing
from typing import Any, NamedTuple

from testbed.adapters.declare import FunctionClient, client
from testbed.adapters.isolated import isolated
from testbed.adapters.items import Item
from testbed.plan import Plan
from testbed.ports import ClientAdapter, Runtime, Target
from testbed.script import DialectName
from testbed.trace import Failure, Option
from tests.toys.blocking import Blocking
from tests.toys.correct import Correct
from tests.toys.errors import ERRORS, ToyError
from tests.toys.rules import Rules

LOOPS = frozenset({Runtime.TRIO, Runtime.ASYNCIO})
THREAD = frozenset({Runtime.THREAD})
PROCESS = frozenset({Runtime.PROCESS})

ALL = tuple(DialectName)

# What a toy can be told. It knows one address and one model.
OPTIONS = (
    Option.CONNECT_TIMEOUT,
    Option.FIRST_BYTE_TIMEOUT,
    Option.IDLE_TIMEOUT,
    Option.MAX_RETRIES,
    Option.CANCEL,
    Option.KEEPALIVES,
    Option.MAX_EVENT_BYTES,
    Option.CA,
)
CHAT = (DialectName.OPENAI_CHAT,)
ANTHROPIC = (DialectName.ANTHROPIC_MESSAGES,)
EVENTS = (DialectName.EVENTSOURCE,)
NO_RECONNECT = tuple(dialect for dialect in DialectName if dialect is not DialectName.EVENTSOURCE)


class Toy(NamedTuple):
    """A client whose verdict is known.

    `kind` is the class with the defect: of `Correct`, of `Blocking`, or of `Rules` for either. `planted` is the failure
    class that must be found, None for a correct client; `scenarios` those that show it, `plan` one plan that does.
    """

    name: str
    kind: type[Rules]
    planted: Failure | None = None
    runtimes: frozenset[Runtime] = LOOPS
    dialects: tuple[DialectName, ...] = ALL
    scenarios: tuple[str, ...] = ()
    plan: Callable[[], Plan] | None = None
    also: tuple[Option, ...] = ()  # what it can be told beside `OPTIONS`

    @property
    def adapter(self) -> ClientAdapter:
        """The client under test."""
        return (
            isolated(f"tests.toys.in_process:{self.name}", self.function) if self.runtimes == PROCESS else self.function
        )

    @property
    def function(self) -> FunctionClient:
        """The client under test as a function, wherever that is called."""
        return _adapter(self._replace(runtimes=LOOPS) if self.runtimes == PROCESS else self)

    @property
    def on_a_loop(self) -> Toy | None:
        """The same defect on an event loop; None if it is one of blocking sockets."""
        return None if issubclass(self.kind, Blocking) or self.runtimes == PROCESS else self._replace(runtimes=LOOPS)


def table(rows: Iterable[Toy]) -> dict[str, Toy]:
    """Rows by name; a name that stands twice is a mistake."""
    found: dict[str, Toy] = {}
    for row in rows:
        assert row.name not in found, f"two toys are called {row.name}"
        found[row.name] = row
    return found


def driven(kind: type[Rules], driver: type[Any]) -> type[Any]:
    """The class that does on `driver` what `kind` decides."""
    if issubclass(kind, driver):
        return kind
    return driver if issubclass(driver, kind) else type(kind.__name__, (kind, driver), {})


def _adapter(toy: Toy) -> FunctionClient:
    blocking = toy.runtimes == THREAD
    driver: type[Any] = Blocking if blocking else Correct
    kind = driven(toy.kind, driver)
    told = (*OPTIONS, *toy.also)
    options = [option for option in told if not (blocking and option is Option.CANCEL)]

    async def on_a_loop(target: Target) -> AsyncGenerator[Item, None]:
        async with aclosing(kind(target).run()) as items:
            async for item in items:
                yield item

    def in_a_thread(target: Target) -> Generator[Item, None, None]:
        with closing(kind(target).run()) as items:
            yield from items

    declare = client(
        name=f"toy-{toy.name}",
        base=ToyError,
        errors=ERRORS,
        dialects=toy.dialects,
        options=options,
        shared_read_timeout=False,
        reconnects=True,
        shows_finish=True,
        shows_tools=True,
        runtimes=toy.runtimes,
    )
    return declare(in_a_thread if blocking else on_a_loop)
