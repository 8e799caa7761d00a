"""The fake server: a Starlette app whose one endpoint asks the desk and then says what the desk decided.

The law of this module: it decides nothing. A script is played message for message through the wire extension; an answer
of the server's own is an ordinary response; what the trace is to know of a request goes before either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import NamedTuple, Protocol, final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from testbed.dialects import DIALECTS, Answer, Asked
from testbed.net.http_inbox import MOST_TIME, Readings
from testbed.net.http_server import Manners, Words, serve_connection
from testbed.net.tls import seal
from testbed.plan import Plan, Tls
from testbed.ports import ByteConnection, Recorder, Serve
from testbed.program import Close, Wait, Write, compile_script
from testbed.retrying import dated
from testbed.script import Reading, Script
from testbed.server.desk import Attempts, Desk, Found, Memory, Order, Reply

# How each operation of a program is spelled as a message of the extension.
_TYPES: Mapping[type, str] = MappingProxyType(
    {Write: "testbed.wire.write", Wait: "testbed.wire.wait", Close: "testbed.wire.close"}
)

_NOTHING = Found()


@final
class _Endpoint:
    """The endpoint of every path: ask the desk, say what it decided."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        state = scope["state"]
        clerk: Clerk = state["clerk"]
        whole = scope["extensions"]["testbed.wire"]["whole"]
        asked = _asked(request, await request.body(), state["prefix"])
        reply = clerk.ask(asked, state["conn"], state["now"](), whole=whole)
        if reply.found != _NOTHING:
            await send({"type": "testbed.wire.refuse", **reply.found._asdict()})
        if reply.answer is not None:
            await _say(reply.answer, send)
        elif reply.script is not None:
            # Dates that count from the answer are made here, by the clock that the client has, too.
            for message in _messages(dated(reply.script, datetime.now(timezone.utc).timestamp())):
                await send(message)


def _asked(request: Request, body: bytes, prefix: str) -> Asked:
    # Fields that stand several times are one, joined (RFC 9110, section 5.3).
    headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
    path: str = request.scope["path"]
    return Asked(request.method, path.removeprefix(prefix), request.url.query, headers, body)


def _fields(answer: Answer) -> tuple[tuple[str, str], ...]:
    # An answer without a content type is one without a body.
    return (*((("content-type", answer.content_type),) if answer.content_type else ()), *answer.headers)


async def _say(answer: Answer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in _fields(answer)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body.encode("utf-8")})


def _make_app() -> Starlette:
    app = Starlette()
    # What a path is depends on the plan, so the desk says it of all paths; and never is there a redirect to one with or
    # without a slash: a client that asks for the wrong path is to see that it did.
    app.router.default = _Endpoint()
    app.router.redirect_slashes = False
    return app


# One app for the process: building it costs more than a whole simulated run. What differs stands in the scope's state.
_APP = _make_app()


@functools.lru_cache(maxsize=64)
def _messages(script: Script) -> tuple[Message, ...]:
    return tuple(
        {"type": _TYPES[type(operation)], **{field: getattr(operation, field) for field in operation.__struct_fields__}}
        for operation in compile_script(script)
    )


class Clerk(Protocol):
    """Who decides about requests: a desk, or whoever stands in for one."""

    def reading(self, conn: int, method: str, path: str) -> Reading:
        """How the body of the next request on this connection is to be read."""
        ...

    def explain(self, status: int, sentence: str) -> Answer:
        """What is told to whom sends no request at all."""
        ...

    def ask(self, asked: Asked, conn: int, now: int, *, whole: bool = True) -> Reply:
        """Decide."""
        ...


class Setting(NamedTuple):
    """Where a server stands: what it may put up with, which clock it reads, and what its paths begin with."""

    most_time: float = MOST_TIME  # seconds that a request may take
    now: Callable[[], int] | None = None  # microseconds; None: the recorder's
    prefix: str = ""


ALONE = Setting()


def make_serve(
    plan: Plan,
    recorder: Recorder,
    *,
    order: Order | None = None,
    memory: Memory | None = None,
    setting: Setting = ALONE,
) -> Serve:
    """Make the server of one run: each scripted request plays the next of the plan's attempts.

    `order` plays others than the plan's, `memory` shares quota and keys with other servers. Raises
    :class:`~testbed.errors.UsageError` at once for a script that cannot be said.
    """
    for attempt in plan.attempts:
        compile_script(attempt.script)
    desk = Desk(
        plan,
        DIALECTS[plan.dialect],
        order or Attempts(plan),
        memory or Memory(plan.quota),
        lambda: datetime.now(timezone.utc),
    )
    return serve_by(desk, recorder, lambda conn: plan.attempt(conn).tls, setting)


def serve_by(
    clerk: Clerk,
    recorder: Recorder,
    seal_of: Callable[[int], Tls | None] = lambda _conn: None,
    setting: Setting = ALONE,
) -> Serve:
    """Make a server that says what `clerk` decides, each connection sealed as `seal_of` says."""

    def explain(status: int, sentence: str) -> Words:
        answer = clerk.explain(status, sentence)
        return Words(_fields(answer), answer.body)

    def reading_of(conn: int) -> Readings:
        return lambda head: clerk.reading(conn, head.method, head.path.removeprefix(setting.prefix))

    manners = Manners(setting.most_time, explain)

    async def serve(conn: int, connection: ByteConnection) -> None:
        state = {"clerk": clerk, "conn": conn, "now": setting.now or recorder.now, "prefix": setting.prefix}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await _APP({**scope, "state": state}, receive, send)

        # Without TLS what comes back is what went in; None: it was over with the handshake.
        sealed = await seal(seal_of(conn), conn, connection, recorder)
        if sealed is not None:
            await serve_connection(app, conn, *sealed, reading_of(conn), manners=manners)

    return serve
