"""The rules on an event loop, trio's or asyncio's: a correct client, small enough to be checked by eye.

A toy with a planted defect overrides one of its methods, most of which stand in `rules.py`. The two styles differ only
in how the text is cut for the caller.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from urllib.parse import urlsplit

import anyio

from testbed.adapters.items import Item
from testbed.ports import Target
from tests.toys.rules import Connect, HangUp, Receive, Rules, Send, Show, Sleep, Step
from tests.toys.sealed import Sealed
from tests.toys.wire import Wire, connect

READ = 4096


class Correct(Rules):
    """One call on an event loop."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.started = self.now()
        self.wire: Wire | None = None

    def now(self) -> float:
        return anyio.current_time()

    async def run(self) -> AsyncGenerator[Item, None]:
        """Do what the rules say, step by step."""
        steps = self.call()
        answer: bytes | None = None
        trouble: OSError | None = None
        try:
            while True:
                try:
                    step = steps.send(answer) if trouble is None else steps.throw(trouble)
                except StopIteration:
                    return
                answer, trouble = None, None
                if isinstance(step, Show):
                    yield step.item
                    continue
                try:
                    answer = await self.do(step)
                except OSError as error:  # the rules know what it means
                    trouble = error
        finally:
            if self.wire is not None:
                self.hang_up(self.wire, cancelled=True)

    async def do(self, step: Step) -> bytes | None:
        """One step."""
        if isinstance(step, Sleep):
            await anyio.sleep(step.seconds)
        elif isinstance(step, Connect):
            self.wire = await self.open(step.timeout)
        elif self.wire is not None and isinstance(step, HangUp):
            wire, self.wire = self.wire, None
            self.hang_up(wire, cancelled=False)
        elif self.wire is not None and isinstance(step, Send):
            with anyio.fail_after(step.timeout):
                await self.wire.send(step.data)
        elif self.wire is not None and isinstance(step, Receive):
            with anyio.fail_after(step.timeout):
                return await self.wire.receive(READ)
        return None

    async def open(self, within: float | None) -> Wire:
        """Open a connection."""
        url = urlsplit(self.target.base_url)
        host = url.hostname or ""
        with anyio.fail_after(within):
            wire = await connect(host, url.port or 80)
            if url.scheme != "https":
                return wire
            try:
                sealed = Sealed(wire, self.trust(), host)
                await sealed.shake_hands()
            except BaseException:
                wire.close()
                raise
            return sealed

    def hang_up(self, wire: Wire, *, cancelled: bool) -> None:
        """Close it. `cancelled`: the call is not over."""
        wire.close()


class PerRead(Rules):
    """The other style: what one read of up to 4 KiB brings is one piece for the caller."""

    def show(self, items: list[Item]) -> Iterable[Item]:
        text: list[str] = []
        for item in items:
            if isinstance(item, str):
                text.append(item)
                continue
            yield "".join(text)
            text.clear()
            yield item
        yield "".join(text)
