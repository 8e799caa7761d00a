"""The fake server: a Starlette app whose endpoints play the plan's scripts through the wire extension.

The law of this module: what the client asked for chooses nothing. The connection's number chooses the attempt; the
request is only checked, and one that is wrong is answered by an error in the dialect's own shape and stands in the
trace with its problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from testbed.dialects import DIALECTS, Dialect
from testbed.net.http_server import serve_connection
from testbed.net.tls import seal
from testbed.plan import Plan
from testbed.ports import ByteConnection, Recorder, Serve
from testbed.program import Close, Operation, Wait, Write, compile_script

# How each operation of a program is spelled as a message of the extension.
_TYPES: Mapping[type, str] = MappingProxyType(
    {Write: "testbed.wire.write", Wait: "testbed.wire.wait", Close: "testbed.wire.close"}
)


@final
class _Play:
    """The endpoint of every path: check the request against the plan's dialect, then play the attempt or refuse."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        dialect: Dialect = scope["state"]["dialect"]
        problem = dialect.check_request(request.method, scope["path"], request.headers, await request.body())
        if problem:
            await send({"type": "testbed.wire.refuse", "problem": problem})
            await _refusal(dialect, request, problem)(scope, receive, send)
            return
        for message in scope["state"]["messages"]:
            await send(message)


def _refusal(dialect: Dialect, request: Request, problem: str) -> Response:
    if request.scope["path"] != dialect.path:
        status = 404
    elif request.method != dialect.method:
        status = 405
    else:
        status = 400
    return Response(dialect.error_body(status, "", problem), status, media_type="application/json")


def _make_app() -> Starlette:
    play = _Play()
    app = Starlette(routes=[Route(dialect.path, play) for dialect in DIALECTS.values()])
    # A path that nobody serves gets its error from the same endpoint, and never a redirect to one with or without a
    # slash: a client that asks for the wrong path is to see that it did.
    app.router.default = play
    app.router.redirect_slashes = False
    return app


# One app for the process: building it costs more than a whole simulated run. What differs stands in the scope's state.
_APP = _make_app()


def _messages(program: Iterable[Operation]) -> tuple[Message, ...]:
    return tuple(
        {"type": _TYPES[type(operation)], **{field: getattr(operation, field) for field in operation.__struct_fields__}}
        for operation in program
    )


def make_serve(plan: Plan, recorder: Recorder) -> Serve:
    """Make the server of one run: connection n plays ``plan.attempt(n)``, compiled once.

    Raises :class:`~testbed.errors.UsageError` at once for a script that cannot be said.
    """
    messages = {id(attempt): _messages(compile_script(attempt.script)) for attempt in plan.attempts}
    dialect = DIALECTS[plan.dialect]

    async def serve(conn: int, connection: ByteConnection) -> None:
        state = {"dialect": dialect, "messages": messages[id(plan.attempt(conn))]}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await _APP({**scope, "state": state}, receive, send)

        # Without TLS what comes back is what went in; None: it was over with the handshake.
        sealed = await seal(plan.attempt(conn).tls, conn, connection, recorder)
        if sealed is not None:
            await serve_connection(app, conn, *sealed)

    return serve
