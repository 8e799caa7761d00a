"""The fake server for a crowd: the desk decides, and what it decides is a schedule.

The law of this module: a client cannot tell from what it gets whether :mod:`testbed.server.app` or a crowd plays to it,
in no byte and in no decision; the two share the desk, and differ in what a stream costs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timezone
from typing import final

from testbed.dialects import DIALECTS, Answer, Asked
from testbed.errors import HarnessError
from testbed.net.crowd_stream import Turn
from testbed.net.http_request import IncomingRequest
from testbed.net.schedule import Schedule, plain, plays, schedule_of
from testbed.plan import Plan
from testbed.script import Script
from testbed.server.desk import Desk, Memory, Order


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


def make_choose(
    plan: Plan, now: Callable[[], int], *, order: Order | None = None, memory: Memory | None = None
) -> Callable[[IncomingRequest, int], Turn]:
    """Make what a :class:`~testbed.net.crowd.Crowd` asks for its answers. `now` is a clock in microseconds.

    `order` plays others than the plan's, `memory` shares quota and keys with other servers. Raises
    :class:`~testbed.errors.UsageError` at once for a script that cannot be said.
    """
    desk = Desk(
        plan,
        DIALECTS[plan.dialect],
        order or InTurn(plan),
        memory or Memory(plan.quota),
        lambda: datetime.now(timezone.utc),
    )
    # By identity: to find a long script by its value costs more than to play it. The script is kept with its schedule,
    # so that no other one can come to have its identity.
    ready = {id(script): (script, schedule_of(script)) for script in (attempt.script for attempt in plan.attempts)}

    def choose(request: IncomingRequest, conn: int) -> Turn:
        reply = desk.ask(_asked(request), conn, now())
        found = reply.found._asdict()
        if reply.script is None:
            return Turn(_plain(reply.answer, request.method), **found)
        _, schedule = ready.get(id(reply.script)) or (None, _schedule_of(reply.script))
        return Turn(schedule, **found)

    return choose


@functools.lru_cache(maxsize=64)
def _schedule_of(script: Script) -> Schedule:
    # What a client resumes is cut for it; so are the scripts of an order of its own.
    return schedule_of(script)


def _asked(request: IncomingRequest) -> Asked:
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        # Fields that stand several times are one, joined (RFC 9110, section 5.3).
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Asked(request.method, request.path, request.query, headers, request.body)


def _plain(answer: Answer | None, method: str) -> Schedule:
    if answer is None:
        raise HarnessError("the desk decided nothing")
    fields = [("content-type", answer.content_type)] if answer.content_type else []
    return plain(answer.status, [*fields, *answer.headers], answer.body.encode("utf-8"), bodyless=method == "HEAD")
