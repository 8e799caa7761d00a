"""A correct client of openai-chat, small enough to be checked by eye, whose every decision is a method of its own.

A toy with a planted defect overrides one of them: see `defects.py`. The two styles differ only in how the text is cut
for the caller.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from urllib.parse import urlsplit

import anyio
import h11

from testbed import sse
from testbed.ports import Target
from testbed.script import Terminal
from tests.toys.wire import Wire, connect

READ = 4096


class ToyError(Exception):
    """The base of what a toy raises."""


class ConnectFailed(ToyError): ...


class Reset(ToyError): ...


class TimedOut(ToyError): ...


class Incomplete(ToyError): ...


class Broken(ToyError): ...


class Provider(ToyError): ...


class Status(ToyError):
    def __init__(self, status_code: int, retry_after: float = 0.0) -> None:
        super().__init__(f"HTTP status {status_code}")
        self.status_code = status_code
        self.retry_after = retry_after


CLASSES = {401: {"unauthorized"}, 429: {"rate_limited"}, 503: {"overloaded"}}

ERRORS = {
    ConnectFailed: {"connect"},
    Reset: {"reset"},
    TimedOut: {"first_byte_timeout", "idle_timeout"},
    Incomplete: {"incomplete"},
    Broken: {"incomplete", "protocol"},
    Provider: {"provider"},
    Status: lambda error: CLASSES.get(error.status_code, {"http_status"}),
}

RETRYABLE = {408, 429, *range(500, 600)}


class Correct:
    """One call."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.shown = ""  # what the caller has seen, over all attempts
        self.started = anyio.current_time()

    async def call(self) -> AsyncGenerator[str, None]:
        """The whole call, retries included."""
        for attempt in range(self.target.max_retries + 1):
            try:
                async with aclosing(self.answer()) as texts:
                    async for text in texts:
                        self.shown += text
                        yield text
            except ToyError as error:
                if attempt == self.target.max_retries or not self.may_retry(error):
                    raise
                pause = self.pause(error, attempt)
            else:
                return
            await anyio.sleep(pause)

    async def answer(self) -> AsyncGenerator[str, None]:
        """One request and its answer."""
        self.terminal = Terminal.NONE
        self.parser = sse.Parser()
        self.http = h11.Connection(h11.CLIENT)
        wire = await self.connect()
        cancelled = True
        try:
            await wire.send(self.request())
            async with aclosing(self.body(wire)) as reads:
                async for pieces in reads:
                    for text in self.show("".join(map(self.read, pieces))):
                        yield text
                    if self.is_over():
                        break
            for text in self.flush():
                yield text
            await self.judge_end()
            cancelled = False
        except ToyError:
            cancelled = False
            raise
        finally:
            self.hang_up(wire, cancelled=cancelled)

    # --- the connection -----------------------------------------------------------------------------------------------

    async def connect(self) -> Wire:
        url = urlsplit(self.target.base_url)
        try:
            with anyio.fail_after(self.target.connect_timeout):
                return await connect(url.hostname or "", url.port or 80)
        except (OSError, TimeoutError) as error:
            raise ConnectFailed from error

    def request(self) -> bytes:
        url = urlsplit(self.target.base_url)
        body = json.dumps({**self.target.request, "stream": True}).encode()
        headers = [
            ("Host", url.netloc),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Authorization", f"Bearer {self.target.api_key}"),
            ("Connection", "close"),
        ]
        head = self.http.send(h11.Request(method="POST", target=f"{url.path}/chat/completions", headers=headers))
        data, end = self.http.send(h11.Data(data=body)), self.http.send(h11.EndOfMessage())
        return (head or b"") + (data or b"") + (end or b"")

    async def body(self, wire: Wire) -> AsyncGenerator[list[bytes], None]:
        """The body, one list of pieces for each read of the network."""
        while True:
            self.http.receive_data(await self.receive(wire))
            pieces: list[bytes] = []
            while True:
                event = self.next_event()
                if isinstance(event, h11.Response):
                    self.check_head(event)
                elif isinstance(event, h11.Data):
                    pieces.append(bytes(event.data))
                else:
                    break
            if pieces:
                yield pieces
            if isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return

    def next_event(self) -> object:
        try:
            return self.http.next_event()
        except h11.RemoteProtocolError as error:
            raise Broken(str(error)) from error

    async def receive(self, wire: Wire) -> bytes:
        try:
            with anyio.fail_after(self.patience()):
                return await wire.receive(READ)
        except TimeoutError as error:
            raise TimedOut from error
        except ConnectionError as error:
            raise self.explain(error) from error

    def patience(self) -> float | None:
        """How long the next read may take."""
        return self.target.idle_timeout

    def explain(self, error: OSError) -> Exception:
        return Reset(str(error))

    def hang_up(self, wire: Wire, *, cancelled: bool) -> None:
        wire.close()

    # --- the answer ---------------------------------------------------------------------------------------------------

    def check_head(self, head: h11.Response) -> None:
        fields = {bytes(name).decode(): bytes(value).decode() for name, value in head.headers}
        if head.status_code != 200:
            raise Status(head.status_code, float(fields.get("retry-after", "0")))
        if not fields.get("content-type", "").startswith("text/event-stream"):
            raise Broken("this is no event stream")

    def read(self, piece: bytes) -> str:
        """The text of the events that this piece completes."""
        return "".join(map(self.text, self.parser.feed(piece)))

    def text(self, event: sse.Event) -> str:
        if event.data == "[DONE]":
            self.terminal = Terminal.HARD
            return ""
        chunk = json.loads(event.data)
        if "error" in chunk:
            raise Provider(chunk["error"]["message"])
        choice = chunk["choices"][0]
        if choice["finish_reason"]:
            self.terminal = Terminal.SOFT
        return choice["delta"].get("content") or ""

    def show(self, text: str) -> Iterable[str]:
        """The text of one network read, cut for the caller."""
        return text

    def flush(self) -> Iterable[str]:
        """What is still to be shown at the end."""
        return ()

    def is_over(self) -> bool:
        return self.terminal is Terminal.HARD

    async def judge_end(self) -> None:
        if self.terminal is Terminal.NONE:
            raise Incomplete

    # --- retries ------------------------------------------------------------------------------------------------------

    def may_retry(self, error: ToyError) -> bool:
        if self.shown:
            return False
        return error.status_code in RETRYABLE if isinstance(error, Status) else not isinstance(error, Provider)

    def pause(self, error: ToyError, attempt: int) -> float:
        return getattr(error, "retry_after", 0.0) or 0.5 * 2**attempt


class CorrectPerRead(Correct):
    """The other style: what one read of up to 4 KiB brings is one piece for the caller."""

    def show(self, text: str) -> Iterable[str]:
        return (text,)
