"""The fake server for a crowd: the desk decides, and what it decides is a schedule.

The law of this module: a client cannot tell from what it gets whether :mod:`testbed.server.app` or a crowd plays to it,
in no byte and in no decision; the two share the desk, and differ in what a stream costs.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Protocol, final

from testbed.dialects import DIALECTS, Answer, Asked
from testbed.errors import HarnessError
from testbed.net.crowd_stream import Turn
from testbed.net.http_request import IncomingRequest, Malformed
from testbed.net.schedule import Schedule, plain, plays, schedule_of
from testbed.plan import Plan
from testbed.script import Script
from testbed.server.desk import Desk, Memory, Order, Reply


def clock() -> int:
    """A clock in microseconds that all connections share: a quota is counted over all of them."""
    return time.monotonic_ns() // 1000


def crowds(plan: Plan) -> bool:
    """Whether a crowd can play this plan: no toxic, no TLS, and no script that needs a connection to itself."""
    return all(not attempt.toxics and attempt.tls is None and plays(attempt.script) for attempt in plan.attempts)


@final
class InTurn:
    """The order of a plan on whatever connections: each scripted request plays the next attempt.

    With one request a connection that is what :class:`testbed.server.desk.Attempts` says, in the order in which the
    requests were read, and it costs the same for the first client and for the ten thousandth.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._played = 0

    def next(self, _conn: int) -> tuple[int, Script]:
        """Look at the next attempt."""
        return self._played, self._plan.attempt(self._played).script

    def take(self, _conn: int) -> None:
        """Count it."""
        self._played += 1

    def skip(self, _conn: int) -> None:
        """Count nothing."""


class Clerk(Protocol):
    """Who decides about requests: a desk, or whoever stands in for one."""

    def explain(self, status: int, sentence: str) -> Answer:
        """What is told to whom sends no request at all."""
        ...

    def ask(self, asked: Asked, conn: int, now: int) -> Reply:
        """Decide."""
        ...


@final
class DeskHost:
    """The host of a crowd who asks a clerk. `now` is a clock in microseconds; paths begin with `prefix`.

    `scripts` are those that will be played again and again: their schedules are made beforehand. Raises
    :class:`~testbed.errors.UsageError` at once for one that cannot be said.
    """

    def __init__(self, clerk: Clerk, now: Callable[[], int], scripts: Iterable[Script] = (), prefix: str = "") -> None:
        self._clerk = clerk
        self._now = now
        self._prefix = prefix
        # By identity: to find a long script by its value costs more than to play it. The script is kept with its
        # schedule, so that no other one can come to have its identity.
        self._ready = {id(script): (script, schedule_of(script)) for script in scripts}

    def choose(self, request: IncomingRequest, conn: int) -> Turn:
        """Play what the clerk decides."""
        reply = self._clerk.ask(_asked(request, self._prefix), conn, self._now())
        found = reply.found._asdict()
        if reply.answer is not None:
            return Turn(_plain(reply.answer, request.method), **found)
        if reply.script is None:
            raise HarnessError("the clerk decided nothing")
        _, schedule = self._ready.get(id(reply.script)) or (None, _schedule_of(reply.script))
        return Turn(schedule, **found)

    def refuse(self, malformed: Malformed, _conn: int) -> Turn:
        """Say in the vendor's shape what is wrong."""
        answer = self._clerk.explain(malformed.status, str(malformed))
        return Turn(_plain(answer._replace(status=malformed.status), ""), str(malformed))


def host_of(
    plan: Plan, now: Callable[[], int], *, order: Order | None = None, memory: Memory | None = None
) -> DeskHost:
    """The host of a crowd that plays a plan: each scripted request plays its next attempt.

    `order` plays others than the plan's, `memory` shares quota and keys with other servers.
    """
    dialect = DIALECTS[plan.dialect]
    desk = Desk(plan, dialect, order or InTurn(plan), memory or Memory(plan.quota), lambda: datetime.now(timezone.utc))
    return DeskHost(desk, now, (attempt.script for attempt in plan.attempts))


@functools.lru_cache(maxsize=64)
def _schedule_of(script: Script) -> Schedule:
    # What a client resumes is cut for it; so are the scripts of an order of its own.
    return schedule_of(script)


def _asked(request: IncomingRequest, prefix: str) -> Asked:
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        # Fields that stand several times are one, joined (RFC 9110, section 5.3).
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Asked(request.method, request.path.removeprefix(prefix), request.query, headers, request.body)


def _plain(answer: Answer, method: str) -> Schedule:
    fields = [("content-type", answer.content_type)] if answer.content_type else []
    return plain(answer.status, [*fields, *answer.headers], answer.body.encode("utf-8"), bodyless=method == "HEAD")
