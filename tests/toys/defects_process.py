"""What shows only in a process of its own: calls that leave something behind, and clients that hold too much."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator

from testbed.adapters.items import Item
from testbed.trace import Failure
from tests.toys import plans
from tests.toys.correct import Correct, PerRead
from tests.toys.rows import CHAT, PROCESS, Toy
from tests.toys.rules import Receive, Step
from tests.toys.wire import Wire, leak

_kept: list[object] = []

AS_MUCH_AS_THERE_IS = 1 << 18


class KeepsSockets(Correct, PerRead):
    """Keeps every connection, whatever became of it."""

    def hang_up(self, wire: Wire, *, cancelled: bool) -> None:
        leak(wire)


class DropsSockets(Correct, PerRead):
    """Leaves it to the garbage collector to close a connection."""

    def hang_up(self, wire: Wire, *, cancelled: bool) -> None:
        """The last reference goes with the call."""


class KeepsThreads(Correct, PerRead):
    """Starts a thread for each call, and never ends it."""

    async def run(self) -> AsyncGenerator[Item, None]:
        threading.Thread(target=threading.Event().wait, name="watch", daemon=True).start()
        async for item in super().run():
            yield item


class KeepsTasks(Correct, PerRead):
    """Starts a task for each call, and never ends it."""

    async def run(self) -> AsyncGenerator[Item, None]:
        _kept.append(asyncio.ensure_future(asyncio.Event().wait()))
        async for item in super().run():
            yield item


class ReadsAhead(Correct, PerRead):
    """Reads as fast as the server sends, into a queue without a bound."""

    async def run(self) -> AsyncGenerator[Item, None]:
        queue: asyncio.Queue[Item | BaseException | None] = asyncio.Queue()
        pump = asyncio.ensure_future(self._pump(queue))
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self, queue: asyncio.Queue[Item | BaseException | None]) -> None:
        try:
            async for item in super().run():
                queue.put_nowait(item)
        except Exception as error:
            queue.put_nowait(error)
        else:
            queue.put_nowait(None)

    async def do(self, step: Step) -> bytes | None:
        if isinstance(step, Receive) and self.wire is not None:
            return await self.wire.receive(AS_MUCH_AS_THERE_IS)
        return await super().do(step)


class NoLimit(Correct, PerRead):
    """Holds an event however long it is, whatever it was told."""

    def read(self, piece: bytes) -> Iterator[Item]:
        for event in self.parser.feed(piece):
            self.hear(event)
            yield from self.items(event)


def _row(name: str, kind: type[Correct], planted: Failure | None, plan: object, *scenarios: str) -> Toy:
    return Toy(name, kind, planted, runtimes=PROCESS, dialects=CHAT, scenarios=scenarios, plan=plan)  # type: ignore[arg-type]


# The one without a defect, and what it is asked: a process for every run of the catalogue would take its time.
_ASKED = (
    "slow-reader",
    "endless-event",
    "fin-inside-chunk",
    "mid-stream-reset",
    "byte-at-a-time",
    "missing-done",
    "client-cancel-seen-by-server",
)
CORRECT = (_row("isolated", PerRead, None, plans.whole, *_ASKED),)

DEFECTS = (
    _row("keeps-sockets", KeepsSockets, Failure.RESOURCE_LEAK, plans.reset_mid_stream, "fin-inside-chunk"),
    _row("drops-sockets", DropsSockets, Failure.RESOURCE_LEAK, plans.whole, "byte-at-a-time"),
    _row("keeps-threads", KeepsThreads, Failure.RESOURCE_LEAK, plans.whole, "byte-at-a-time"),
    _row("keeps-tasks", KeepsTasks, Failure.RESOURCE_LEAK, plans.whole, "byte-at-a-time"),
    _row("reads-ahead", ReadsAhead, Failure.UNBOUNDED_MEMORY, plans.fast_server, "slow-reader"),
    _row("no-limit", NoLimit, Failure.UNBOUNDED_MEMORY, plans.endless_event, "endless-event"),
)
