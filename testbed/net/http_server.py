"""Our own HTTP/1.1 server for ASGI applications: every byte of the answers under control.

The law of this module: an application that plays a script decides each byte and each write, and what the server did
stands in the trace with its byte range; no header, chunk or close of the server's own comes to its help. A connection
serves one request, unless the end of its answer says that it is kept: then the application is called again for the
next, in order, and the wire bytes of the trace go on counting.

Applications see the scope extension ``testbed.wire`` and may then send, in place of ``http.response.*``:

=========================  ==================================================================================
``testbed.wire.refuse``    what was found of the request, before the answer, which follows: any of `problem`, `aside`,
                           `attempt`, `status`, `wait`, `key`, `resumes` (:class:`testbed.trace.Request`)
``testbed.wire.write``     `data`, `step`, `payload`, `body`, `ends_step`, `held`, `missing`: a
                           :class:`testbed.program.Write`
``testbed.wire.wait``      `seconds`: silence
``testbed.wire.close``     `how` (:class:`testbed.script.Ending`), `framed`: the end
=========================  ==================================================================================

The scope's ``testbed.wire`` says in `whole` whether the body is all of it: a script may begin before it is
(:class:`testbed.script.Reading`). A client that leaves while the application plays cancels it: there is nobody left to
play to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, final

import msgspec
import trio

from testbed import http1
from testbed.errors import HarnessError, TestbedError
from testbed.net.http_endings import ENDINGS, ORDERLY
from testbed.net.http_inbox import MOST_TIME, Idle, Inbox, Readings, Taken, read_whole
from testbed.net.http_plain import PlainAnswer
from testbed.net.http_request import IncomingRequest, Malformed, PeerGone
from testbed.ports import ByteConnection, Recorder
from testbed.script import Ending
from testbed.trace import PeerLeft, Request, Sent, ServerEnd

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

# What an application may say of a request, by the names of the observation's own fields.
_FOUND = ("problem", "aside", "attempt", "status", "wait", "key", "resumes")


class Words(NamedTuple):
    """The answer to what is no request: its fields, the content type among them, and its body."""

    fields: tuple[tuple[str, str], ...]
    body: str


def in_plain_text(status: int, sentence: str) -> Words:
    """Say it in one line, in the words of the parser: what it expected and what it met."""
    text = f"{status} {http1.REASONS.get(status, 'Bad Request')}: {sentence}\n"
    return Words((("content-type", "text/plain; charset=utf-8"),), text)


class Manners(NamedTuple):
    """How a server meets those who do not do as HTTP says: for how long it waits, and what it tells them."""

    most_time: float = MOST_TIME
    explain: Callable[[int, str], Words] = in_plain_text


USUAL = Manners()


@final
class _Line:
    """One connection of the server, and what has gone over it so far."""

    def __init__(
        self, conn: int, connection: ByteConnection, recorder: Recorder, readings: Readings, *, manners: Manners
    ) -> None:
        self.conn = conn
        self.explain = manners.explain
        self.connection = connection
        self.recorder = recorder
        self.inbox = Inbox(connection, readings, manners.most_time)
        self.wire = 0
        self.left = trio.Event()  # the peer did

    async def serve(self, app: Application) -> None:
        """Serve the requests one after the other, for as long as the ends of their answers keep the connection."""
        how: Ending | None = Ending.KEEP
        kept = False
        while how is Ending.KEEP:
            exchange = _Exchange(self)
            try:
                taken = await self.inbox.next()
            except Idle:
                return
            except PeerGone as gone:
                # A client may leave a connection that it was offered for another request: that is no news.
                if not (kept and self.inbox.idle):
                    exchange.peer_left(reset=gone.reset)
                return
            except Malformed as malformed:
                how = await exchange.refuse(malformed)
            else:
                how = await exchange.play(app, taken)
            kept = True
        if how is Ending.STALE and await self.inbox.first_byte():
            self.connection.reset()


@final
class _Exchange:
    """One request of a connection, and its answer under way."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._connection = line.connection
        self._recorder = line.recorder
        self._left = line.left
        self._request: Request | None = None  # read, and not yet recorded
        self._body: bytes | None = b""  # None: the application has it
        self._method = ""
        self._plain: PlainAnswer | None = None
        self._writes = 0
        self._held: list[bytes] = []  # recorded, and waiting for the write with which they leave
        self._how: Ending | None = None
        self._playing = trio.CancelScope()
        self._listening = trio.Event()  # until then what comes is left unread
        self._rate: int | None = None
        self._leaves_rest = False
        self._handlers: dict[str, Callable[[Message], Awaitable[None]]] = {
            "testbed.wire.write": self._on_write,
            "testbed.wire.wait": self._on_wait,
            "testbed.wire.close": self._on_close,
            "testbed.wire.refuse": self._on_refuse,
            "http.response.start": self._on_start,
            "http.response.body": self._on_body,
        }

    # --- the request --------------------------------------------------------------------------------------------------

    async def play(self, app: Application, taken: Taken) -> Ending | None:
        """Have a request answered; returns how that ended, or None if the peer left before."""
        request = taken.request
        self._note_request(request.method, request.path, "", accepts=_field(request, b"accept-encoding"))
        self._method = request.method
        self._body = request.body
        self._line.wire += request.answered
        self._rate = None if request.whole else taken.reading.rate
        self._leaves_rest = taken.leaves_rest
        if not self._leaves_rest:
            self._listening.set()
        await self._beside_watch(self._answer, app, request)
        return self._how

    async def refuse(self, malformed: Malformed) -> Ending | None:
        """Answer what is no request, and end the connection."""
        self._note_request("", "", str(malformed))
        self._listening.set()
        await self._beside_watch(self._answer_malformed, malformed)
        return self._how

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
        words = self._line.explain(malformed.status, str(malformed))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in words.fields]
        await self._send({"type": "http.response.start", "status": malformed.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": words.body.encode()})

    def _note_request(self, method: str, path: str, problem: str, *, accepts: str = "") -> None:
        self._request = Request(
            t=self._recorder.now(), conn=self._line.conn, method=method, path=path, problem=problem, accepts=accepts
        )

    def _announce(self, **found: Any) -> None:
        """Record the request, with what the application or the parser found in it."""
        if (request := self._request) is not None:
            self._request = None
            self._recorder.record(msgspec.structs.replace(request, **found))

    # --- the peer -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Notice that the peer leaves. What else it sends waits for its turn, if there is to be one."""
        await self._listening.wait()
        try:
            await self._line.inbox.watch(self._rate)
        except PeerGone as gone:
            self.peer_left(reset=gone.reset)
        except trio.ClosedResourceError:  # after an RST of our own
            self.peer_left(reset=True)

    def peer_left(self, *, reset: bool) -> None:
        """Stop playing, for there is nobody left to play to."""
        if self._left.is_set():
            return
        self._left.set()
        self._announce()
        # After our own end its leaving is no news, unless it was all that we were waiting for.
        if self._how in {None, Ending.OPEN}:
            self._recorder.record(PeerLeft(t=self._recorder.now(), conn=self._line.conn, reset=reset))
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
            missing=message.get("missing", 0),
        )

    async def _on_wait(self, message: Message) -> None:
        self._announce()
        await self._release()
        await trio.sleep(message["seconds"])

    async def _on_close(self, message: Message) -> None:
        self._announce()
        await self._release()
        how = Ending(message["how"])
        self._how = how
        self._recorder.record(
            ServerEnd(t=self._recorder.now(), conn=self._line.conn, how=how, framed=message["framed"])
        )
        if self._leaves_rest and how in ORDERLY:
            # A kernel answers input that nobody read with an RST; bytes that were read ahead must not hide that.
            self._connection.reset()
            return
        self._listening.set()
        await ENDINGS[how](self._connection, self._left)

    async def _write(
        self,
        data: bytes,
        step: int,
        payload: tuple[int, int],
        body: tuple[int, int],
        *,
        ends_step: bool,
        held: bool = False,
        missing: int = 0,
    ) -> None:
        self._announce()
        self._writes += 1
        start = self._line.wire
        self._line.wire += len(data)
        self._recorder.record(
            Sent(
                t=self._recorder.now(),
                conn=self._line.conn,
                step=step,
                wire=(start, self._line.wire),
                payload=(start + payload[0], start + payload[1]),
                body=body,
                ends_step=ends_step,
                missing=missing,
            )
        )
        self._held.append(data)
        if not held:
            await self._release()

    async def _release(self) -> None:
        """Send what was held, in one write."""
        data = b"".join(self._held)
        self._held.clear()
        if not data:
            return
        try:
            await self._connection.send(data)
        except ConnectionError:
            self.peer_left(reset=True)
            await trio.lowlevel.checkpoint()  # where the cancellation of the application strikes

    # --- ordinary ASGI responses --------------------------------------------------------------------------------------

    async def _on_start(self, message: Message) -> None:
        if self._plain is not None or self._writes:
            raise HarnessError("the application's http.response.start begins a second answer")
        self._plain = PlainAnswer(message, self._method)

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


def _field(request: IncomingRequest, name: bytes) -> str:
    return ", ".join(value.decode("latin-1") for field, value in request.headers if field == name)


async def serve_connection(
    app: Application,
    conn: int,
    connection: ByteConnection,
    recorder: Recorder,
    readings: Readings = read_whole,
    *,
    manners: Manners = USUAL,
) -> None:
    """Serve the requests of connection number `conn`, and close it. `readings` says how each body is to be read.

    Records Request, Sent, ServerEnd and PeerLeft. Raises :class:`HarnessError` if the application fails; what the
    client does is never an error here.
    """
    try:
        await _Line(conn, connection, recorder, readings, manners=manners).serve(app)
    finally:
        connection.close()
