"""What the tests of the adapters share: a recorder, answers as bytes, and a call over the loopback server."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TypeVar

import trio

from testbed.dialects import DIALECTS
from testbed.ports import ClientAdapter, Runtime, Target
from testbed.script import DialectName, Done, Finish, Message, Open, Step, Text
from testbed.trace import Cancelled, Ended, Observation, Raised, SawEvent, SawFinish, SawText
from tests.adapters.loopback import Loopback, Part

Seen = TypeVar("Seen", bound=Observation)

TOKENS: tuple[Step, ...] = (Open(), Text("naïve "), Text("日本語"))
WHOLE: tuple[Step, ...] = (*TOKENS, Finish(), Done())
MESSAGES: tuple[Step, ...] = (Message("one", event="tick", id="7"), Message("two\nlines"))


class ListRecorder:
    """A recorder that keeps a list."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> int:
        return round((time.monotonic() - self._start) * 1_000_000)

    def record(self, observation: Observation) -> None:
        with self._lock:
            self.seen.append(observation)

    def all(self, kind: type[Seen]) -> list[Seen]:
        return [one for one in self.seen if isinstance(one, kind)]

    @property
    def text(self) -> str:
        return "".join(one.text for one in self.all(SawText))

    @property
    def events(self) -> list[tuple[str, str, str]]:
        return [(one.type, one.data, one.id) for one in self.all(SawEvent)]

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.all(SawFinish)]

    @property
    def end(self) -> Ended | Raised | Cancelled:
        """The one observation that ends the run; nothing may follow it."""
        ends = [one for one in self.seen if isinstance(one, (Ended, Raised, Cancelled))]
        assert [self.seen[-1]] == ends
        return ends[0]

    @property
    def raised(self) -> Raised:
        end = self.end
        assert isinstance(end, Raised), end
        return end

    @property
    def classes(self) -> set[str]:
        return {one.value for one in self.raised.classes}


def events(dialect: DialectName, steps: Sequence[Step]) -> list[bytes]:
    """The events of these steps as bytes."""
    return [event for step in DIALECTS[dialect].encode(steps) for event in step]


def target_of(root: str, dialect: DialectName, **settings: object) -> Target:
    """The target that a run would give."""
    about = DIALECTS[dialect]
    return Target(base_url=root + about.base_path, dialect=dialect, request=about.request("testbed-1"), **settings)


def drive_once(
    client: ClientAdapter, target: Target, runtime: Runtime, recorder: ListRecorder, cancel_at: float | None = None
) -> None:
    """Drive `client` once; bounded, whatever the client does."""

    async def run() -> None:
        with trio.fail_after(20):
            await client.drive(target, runtime, recorder, cancel_at)

    trio.run(run)


def call(
    client: ClientAdapter,
    runtime: Runtime,
    *answers: Sequence[Part],
    dialect: DialectName | None = None,
    cancel_at: float | None = None,
    **settings: object,
) -> tuple[ListRecorder, Loopback]:
    """Drive `client` once against a server that gives these answers; bounded, whatever the client does."""
    recorder, server = ListRecorder(), Loopback(answers)
    with server.serve() as root:
        target = target_of(root, dialect or client.profile.dialects[0], **settings)
        drive_once(client, target, runtime, recorder, cancel_at)
    return recorder, server
