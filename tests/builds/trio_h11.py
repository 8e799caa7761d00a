"""A client on trio and ``h11``: the library knows the protocol, the client owns the socket and every wait.

The law of this module: one task, one connection, one deadline at a time. A nursery is not needed to read a stream.
"""

from __future__ import annotations

import email.utils
import json
import math
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import h11
import trio

from testbed.adapters.declare import client
from testbed.adapters.items import Item
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Option
from tests.builds import trouble
from tests.builds.matched_answers import READERS, Events, code_of


@client(
    name="build-trio",
    base=trouble.StreamError,
    errors=trouble.ERRORS,
    status="status",
    dialects=["openai-chat", "anthropic-messages", "gemini", "eventsource"],
    options=[
        one for one in Option if one not in (Option.CA, Option.FALLBACK, Option.KEEPALIVES, Option.MAX_EVENT_BYTES)
    ],
    runtimes=[Runtime.TRIO],
    shared_read_timeout=False,
    reconnects=True,
    shows_finish=True,
    shows_tools=True,
)
async def trio_h11(target: Target) -> AsyncGenerator[Item, None]:
    """The whole call."""
    memory = Memory(target)
    while True:
        attempt = Attempt(target, memory)
        failure: trouble.StreamError | None = None
        try:
            async with aclosing(attempt.items()) as items:
                async for item in items:
                    yield item
        except trouble.StreamError as error:
            failure = error
        if (pause := memory.pause(failure)) is None:
            if failure is not None:
                raise failure
            return
        await trio.sleep(pause)


class Memory:
    """What the attempts of a call have in common, and whether there is to be another."""

    def __init__(self, target: Target) -> None:
        self.plain = target.dialect is DialectName.EVENTSOURCE
        self.shown = self.gone = False
        self.last_id, self.retry = "", math.nan
        self.left, self.backoff = target.max_retries, 0.5

    def pause(self, failure: trouble.StreamError | None) -> float | None:
        """Seconds to the next attempt; None if there is to be none."""
        if self.left == 0 or self.gone or (self.shown and not self.plain):
            return None
        if not (failure.passing if failure else self.plain):
            return None
        self.left -= 1
        asked = getattr(failure, "wait", None)
        if asked is not None:
            return float(asked) if asked <= 60 else None
        if not math.isnan(self.retry):
            return min(60.0, self.retry)
        # The lower half is fixed, so that no pause is shorter than half of the one before it.
        self.backoff = min(8.0, self.backoff * 2)
        return self.backoff / 2 * random.uniform(1, 1.5)


class Attempt:
    """One request on a connection of its own."""

    def __init__(self, target: Target, memory: Memory) -> None:
        self.target, self.memory = target, memory
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
        self.reader = READERS[target.dialect]()

    async def items(self) -> AsyncGenerator[Item, None]:
        """What the caller sees of the answer."""
        stream = await self.connect()
        try:
            await self.say(stream)
            head = await self.head(stream)
            if self.memory.gone:
                return
            events = Events(self.memory, strict=not self.memory.plain)
            while (piece := await self.piece(stream, head)) is not None:
                for event in events.feed(piece):
                    for item in self.reader.read(event):
                        self.memory.shown = self.memory.shown or bool(item)
                        yield item
                    if self.reader.over:
                        return
            if not self.reader.finished and not self.memory.plain:
                raise trouble.Truncated("the body ended, the answer did not")
        finally:
            # At once: a forceful end of a socket never waits.
            stream.socket.close()

    async def connect(self) -> trio.SocketStream:
        """Open the connection."""
        url = urlsplit(self.target.base_url)
        limit = math.inf if self.target.connect_timeout is None else self.target.connect_timeout
        try:
            with trio.fail_after(limit):
                return await trio.open_tcp_stream(url.hostname or "", url.port or 80)
        except (OSError, trio.TooSlowError) as error:
            raise trouble.Unreachable(str(error)) from error

    async def say(self, stream: trio.SocketStream) -> None:
        """Send the request."""
        method, path, fields, body = self.request()
        events: list[Any] = [h11.Request(method=method, target=path, headers=fields)]
        events += [h11.Data(data=body)] if body else []
        data = b"".join(self.http.send(event) or b"" for event in [*events, h11.EndOfMessage()])
        try:
            with trio.fail_after(self.patience()):
                await stream.send_all(data)
        except trio.TooSlowError as error:
            raise trouble.SlowStart("the request could not be sent") from error
        except trio.BrokenResourceError:
            return  # what the peer has said is still to be read

    def request(self) -> tuple[str, str, list[tuple[str, str]], bytes]:
        """Method, path, fields and body."""
        target, url = self.target, urlsplit(self.target.base_url)
        fields = [("Host", url.netloc), ("Accept", "text/event-stream"), ("Connection", "close")]
        if self.memory.plain:
            resumed = [("Last-Event-ID", self.memory.last_id)] if self.memory.last_id else []
            return "GET", url.path, [*fields, *resumed], b""
        path = url.path.rstrip("/") + PATHS[target.dialect].format(model=target.model)
        asked = {key: value for key, value in target.request.items() if key not in ("stream", "model")}
        if target.dialect is not DialectName.GEMINI:
            asked |= {"stream": True, "model": target.model}
        body = json.dumps(asked).encode()
        keys = {"Authorization": f"Bearer {target.api_key}", "X-API-Key": target.api_key}
        keys |= {"X-Goog-API-Key": target.api_key, "Anthropic-Version": "2023-06-01"}
        length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        return "POST", path, [*fields, *(keys | length).items()], body

    def patience(self) -> float:
        """How long the next wait may be."""
        limit = self.target.idle_timeout if self.memory.shown else self.target.first_byte_timeout
        return math.inf if limit is None else limit

    async def next(self, stream: trio.SocketStream) -> Any:
        """The next event of the protocol."""
        while True:
            try:
                event = self.http.next_event()
            except h11.RemoteProtocolError as error:
                raise self.violation(error) from error
            if event is not h11.NEED_DATA:
                return event
            try:
                with trio.fail_after(self.patience()):
                    received = await stream.receive_some(65536)
            except trio.TooSlowError as error:
                kind = trouble.Stalled if self.memory.shown else trouble.SlowStart
                raise kind("nothing came for too long") from error
            except trio.BrokenResourceError as error:
                raise trouble.Reset(str(error.__cause__ or error)) from error
            self.http.receive_data(received)

    def violation(self, error: h11.RemoteProtocolError) -> trouble.StreamError:
        """At the end of the connection the peer has left too early; before it, it has broken a rule."""
        left = self.http.trailing_data[1]
        return (trouble.Truncated if left else trouble.Malformed)(str(error))

    async def head(self, stream: trio.SocketStream) -> h11.Response:
        """The head of the answer; raises what it says if it is no success."""
        event = await self.next(stream)
        while isinstance(event, h11.InformationalResponse):
            event = await self.next(stream)
        if not isinstance(event, h11.Response):
            raise trouble.Truncated("the connection closed before the answer")
        fields = {bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in event.headers}
        self.memory.gone = event.status_code == 204 and self.memory.plain
        if event.status_code != 200 and not self.memory.gone:
            raise trouble.Refused(event.status_code, await self.code(stream, event), wait_in(event.headers))
        kind = fields.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream" and not self.memory.gone:
            raise trouble.NoStream(f"the content type is {kind!r}")
        return event

    async def code(self, stream: trio.SocketStream, head: h11.Response) -> str | None:
        """The code in the body of an error."""
        body = b""
        try:
            while len(body) < 65536 and (piece := await self.piece(stream, head)) is not None:
                body += piece
            return code_of(json.loads(body))
        except (trouble.StreamError, ValueError, RecursionError):
            return None

    async def piece(self, stream: trio.SocketStream, head: h11.Response) -> bytes | None:
        """A piece of the body, None at its end; a finished answer needs no good end."""
        try:
            event = await self.next(stream)
        except (trouble.Reset, trouble.Stalled, trouble.Truncated, trouble.Malformed):
            if self.reader.finished:
                return None
            raise
        return bytes(event.data) if isinstance(event, h11.Data) else None


PATHS = {
    DialectName.OPENAI_CHAT: "/chat/completions",
    DialectName.ANTHROPIC_MESSAGES: "/v1/messages",
    DialectName.GEMINI: "/v1beta/models/{model}:streamGenerateContent?alt=sse",
}


def wait_in(headers: Any) -> float | None:
    """The wait that is asked for: the finer field first, then seconds, then a date."""
    fields: dict[bytes, list[str]] = {}
    for name, value in headers:
        fields.setdefault(bytes(name), []).append(bytes(value).decode("latin-1"))
    fine = [number(value) / 1000 for value in fields.get(b"retry-after-ms", [])]
    asked = [number(value) for value in fields.get(b"retry-after", [])]
    dates = [since(value, fields.get(b"date", [""])[0]) for value in fields.get(b"retry-after", [])]
    for waits in (fine, asked, dates):
        if good := [wait for wait in waits if wait > 0]:
            return max(good)
    return None


def number(value: str) -> float:
    """A number, 0 if it is none."""
    try:
        return float(value)
    except ValueError:
        return 0.0


def since(value: str, date: str) -> float:
    """The seconds from one date to another, 0 if one is none; without the server's date, from ours."""
    then, now = email.utils.parsedate_tz(value), email.utils.parsedate_tz(date or email.utils.formatdate())
    return float(email.utils.mktime_tz(then) - email.utils.mktime_tz(now)) if then and now else 0.0
