"""Our own HTTP/1.1 server for ASGI applications: one request a connection, and every byte of the answer under control.

The law of this module: an application that plays a script decides each byte and each write, and what the server did
stands in the trace with its byte range; no header, chunk or close of the server's own comes to its help.

Applications see the scope extension ``testbed.wire`` and may then send, in place of ``http.response.*``:

=========================  ==================================================================================
``testbed.wire.refuse``    what was found of the request, before the answer, which follows: any of `problem`, `aside`,
                           `attempt`, `status`, `wait`, `key` (:class:`testbed.trace.Request`)
``testbed.wire.write``     `data`, `step`, `payload`, `body`, `ends_step`, `held`: a :class:`testbed.program.Write`
``testbed.wire.wait``      `seconds`: silence
``testbed.wire.close``     `how` (:class:`testbed.script.Ending`), `framed`: the end
=========================  ==================================================================================

A client that leaves while the application plays cancels it: there is nobody left to play to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, final

import msgspec
import trio

from testbed import http1
from testbed.errors import HarnessError, TestbedError
from testbed.net.http_request import IncomingRequest, Malformed, PeerGone, read_request
from testbed.ports import ByteConnection, Recorder
from testbed.script import Ending
from testbed.trace import PeerLeft, Request, Sent, ServerEnd

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

# What an application may say of a request, by the names of the observation's own fields.
_FOUND = ("problem", "aside", "attempt", "status", "wait", "key")

_PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")

# After our FIN: how long the peer has for its own, in seconds, before the socket is closed on it.
LINGER = 5.0


@final
class _Exchange:
    """One connection of the server: its one request, and the answer under way."""

    def __init__(self, conn: int, connection: ByteConnection, recorder: Recorder) -> None:
        self._conn = conn
        self._connection = connection
        self._recorder = recorder
        self._request: Request | None = None  # read, and not yet recorded
        self._body: bytes | None = b""  # None: the application has it
        self._method = ""
        self._plain: _PlainAnswer | None = None
        self._wire = 0
        self._writes = 0
        self._held: list[bytes] = []  # recorded, and waiting for the write with which they leave
        self._how: Ending | None = None
        self._left = trio.Event()
        self._playing = trio.CancelScope()
        self._handlers: dict[str, Callable[[Message], Awaitable[None]]] = {
            "testbed.wire.write": self._on_write,
            "testbed.wire.wait": self._on_wait,
            "testbed.wire.close": self._on_close,
            "testbed.wire.refuse": self._on_refuse,
            "http.response.start": self._on_start,
            "http.response.body": self._on_body,
        }

    # --- the request --------------------------------------------------------------------------------------------------

    async def serve(self, app: Application) -> None:
        """Read the request, have it answered, end the connection."""
        try:
            request = await read_request(self._connection)
        except PeerGone as gone:
            self._peer_left(reset=gone.reset)
        except Malformed as malformed:
            self._note_request("", "", str(malformed))
            await self._beside_watch(self._answer_malformed, malformed)
        else:
            self._note_request(request.method, request.path, "")
            self._method = request.method
            self._body = request.body
            self._wire = request.answered
            await self._beside_watch(self._answer, app, request)

    async def _beside_watch(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task, cancelled when the peer leaves. What it raises is raised plainly, not in the nursery's group."""
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            with self._playing:
                try:
                    await task(*arguments)
                except Exception as error:  # kept, and raised outside of the nursery
                    failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _answer(self, app: Application, request: IncomingRequest) -> None:
        try:
            await app(request.scope(), self._receive, self._send)
        except TestbedError:
            raise
        except Exception as error:
            raise HarnessError(f"the application failed: {type(error).__name__}: {error}") from error
        if self._how is None:
            raise HarnessError("the application returned before it had ended its answer")

    async def _answer_malformed(self, malformed: Malformed) -> None:
        # One line, in the words of the parser: it says what it expected and what it met.
        text = f"{malformed.status} {http1.REASONS.get(malformed.status, 'Bad Request')}: {malformed}\n".encode()
        await self._send({"type": "http.response.start", "status": malformed.status, "headers": [_PLAIN_TEXT]})
        await self._send({"type": "http.response.body", "body": text})

    def _note_request(self, method: str, path: str, problem: str) -> None:
        self._request = Request(t=self._recorder.now(), conn=self._conn, method=method, path=path, problem=problem)

    def _announce(self, **found: Any) -> None:
        """Record the request, with what the application or the parser found in it."""
        if (request := self._request) is not None:
            self._request = None
            self._recorder.record(msgspec.structs.replace(request, **found))

    # --- the peer -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Notice that the peer leaves. Whatever else it sends is read and forgotten: one request a connection."""
        try:
            while await self._connection.receive():
                pass
        except (ConnectionError, trio.ClosedResourceError):  # the latter after an RST of our own
            self._peer_left(reset=True)
        else:
            self._peer_left(reset=False)

    def _peer_left(self, *, reset: bool) -> None:
        if self._left.is_set():
            return
        self._left.set()
        self._announce()
        # After our own end its leaving is no news, unless it was all that we were waiting for.
        if self._how in {None, Ending.OPEN}:
            self._recorder.record(PeerLeft(t=self._recorder.now(), conn=self._conn, reset=reset))
            self._playing.cancel()

    # --- what an application may do -----------------------------------------------------------------------------------

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        handler = self._handlers.get(message["type"])
        if handler is None or self._how is not None:
            state = "unknown" if handler is None else "sent after the end"
            raise HarnessError(f"the application's message {message['type']!r} is {state}")
        await handler(message)

    async def _on_refuse(self, message: Message) -> None:
        self._announce(**{field: message[field] for field in _FOUND if field in message})

    async def _on_write(self, message: Message) -> None:
        await self._write(
            message["data"],
            message["step"],
            message["payload"],
            message["body"],
            ends_step=message["ends_step"],
            held=message.get("held", False),
        )

    async def _on_wait(self, message: Message) -> None:
        self._announce()
        await trio.sleep(message["seconds"])

    async def _on_close(self, message: Message) -> None:
        self._announce()
        how = Ending(message["how"])
        self._how = how
        self._recorder.record(ServerEnd(t=self._recorder.now(), conn=self._conn, how=how, framed=message["framed"]))
        await _ENDINGS[how](self._connection, self._left)

    async def _write(
        self,
        data: bytes,
        step: int,
        payload: tuple[int, int],
        body: tuple[int, int],
        *,
        ends_step: bool,
        held: bool = False,
    ) -> None:
        self._announce()
        self._writes += 1
        start, self._wire = self._wire, self._wire + len(data)
        self._recorder.record(
            Sent(
                t=self._recorder.now(),
                conn=self._conn,
                step=step,
                wire=(start, self._wire),
                payload=(start + payload[0], start + payload[1]),
                body=body,
                ends_step=ends_step,
            )
        )
        self._held.append(data)
        if held:
            return
        data = b"".join(self._held)
        self._held.clear()
        try:
            await self._connection.send(data)
        except ConnectionError:
            self._peer_left(reset=True)
            await trio.lowlevel.checkpoint()  # where the cancellation of the application strikes

    # --- ordinary ASGI responses --------------------------------------------------------------------------------------

    async def _on_start(self, message: Message) -> None:
        if self._plain is not None or self._writes:
            raise HarnessError("the application's http.response.start begins a second answer")
        self._plain = _PlainAnswer(message, self._method)

    async def _on_body(self, message: Message) -> None:
        if self._plain is None:
            raise HarnessError("the application's http.response.body has no http.response.start before it")
        data, more = message.get("body", b""), message.get("more_body", False)
        if not self._writes:
            head = self._plain.head(None if more else len(data))
            await self._write(head, -1, (len(head), len(head)), (0, 0), ends_step=False)
        if data and not self._plain.bodyless:
            await self._write(data, -1, (0, len(data)), self._plain.count(data), ends_step=False)
        if not more:
            await self._on_close({"how": Ending.CLEAN, "framed": self._plain.framed})


@final
class _PlainAnswer:
    """An ordinary ASGI response: its head, and how far its body has come."""

    def __init__(self, start: Message, method: str) -> None:
        self._status: int = start["status"]
        self._fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
        self._sent = 0
        self._has_length = any(name.lower() == "content-length" for name, _ in self._fields)
        self.bodyless = method == "HEAD" or self._status in http1.BODYLESS

    @property
    def framed(self) -> bool:
        """Whether the message says where its body ends; otherwise it ends with the connection."""
        return self._has_length or self.bodyless

    def head(self, length: int | None) -> bytes:
        """Write the head. A `length` that is known and not given by the application is put in."""
        if length is not None and not self._has_length and self._status not in http1.BODYLESS:
            self._fields.append(http1.content_length(length))
            self._has_length = True
        return http1.head(self._status, [*self._fields, http1.CLOSE])

    def count(self, data: bytes) -> tuple[int, int]:
        """Return the body range of the next bytes of the body."""
        start, self._sent = self._sent, self._sent + len(data)
        return start, self._sent


# --- the endings ------------------------------------------------------------------------------------------------------


async def _end_with_fin(connection: ByteConnection, left: trio.Event, *, abrupt: bool = False) -> None:
    # Closing at once would answer late input with an RST, and that would destroy what the peer has not read yet.
    with trio.move_on_after(LINGER):
        await connection.send_eof(abrupt=abrupt)
        await left.wait()
    connection.close()


async def _end_abruptly(connection: ByteConnection, left: trio.Event) -> None:
    await _end_with_fin(connection, left, abrupt=True)


async def _end_drained(connection: ByteConnection, _left: trio.Event) -> None:
    await connection.drain()
    connection.reset()


async def _end_at_once(connection: ByteConnection, _left: trio.Event) -> None:
    connection.reset()


async def _end_open(connection: ByteConnection, left: trio.Event) -> None:
    await left.wait()
    connection.close()


_ENDINGS = {
    Ending.CLEAN: _end_with_fin,
    Ending.FIN: _end_abruptly,
    Ending.RST: _end_drained,
    Ending.ABORT: _end_at_once,
    Ending.OPEN: _end_open,
}


async def serve_connection(app: Application, conn: int, connection: ByteConnection, recorder: Recorder) -> None:
    """Serve the one request of connection number `conn`, and close it.

    Records Request, Sent, ServerEnd and PeerLeft. Raises :class:`HarnessError` if the application fails; what the
    client does is never an error here.
    """
    try:
        await _Exchange(conn, connection, recorder).serve(app)
    finally:
        connection.close()
