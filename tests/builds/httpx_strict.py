"""A strict client on ``httpx``, for trio and asyncio: what an event holds is checked against types before it counts.

The law of this module: nothing that was not understood is passed over. Requests are sent again while the caller has
seen nothing, after the wait that the server asks for or with back-off and full jitter above a growing floor.
"""

from __future__ import annotations

import email.utils
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from random import random

import anyio
import httpx
import msgspec

from testbed.adapters.declare import client
from testbed.adapters.items import Item
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option
from tests.builds import trouble
from tests.builds.typed_answers import READERS, Cutter, ErrorBody, Message, Plain

LONGEST_WAIT = 60.0


@client(
    name="build-httpx",
    base=trouble.StreamError,
    errors=trouble.ERRORS,
    status="status",
    dialects=["openai-chat", "anthropic-messages", "openai-responses", "eventsource"],
    options=[
        one for one in Option if one not in (Option.CA, Option.FALLBACK, Option.KEEPALIVES, Option.MAX_EVENT_BYTES)
    ],
    shared_read_timeout=False,
    reconnects=True,
    shows_finish=True,
    shows_tools=True,
)
async def httpx_strict(target: Target) -> AsyncGenerator[Item, None]:
    """Ask, and ask again while that can help."""
    source = target.dialect is DialectName.EVENTSOURCE
    async with httpx.AsyncClient(trust_env=False, verify=_NO_TLS) as http:
        exchange = Exchange(http, target)
        for left in reversed(range(target.max_retries + 1)):
            failed: trouble.StreamError | None = None
            try:
                async with aclosing(exchange.stream()) as items:
                    async for item in items:
                        yield item
            except trouble.StreamError as error:
                failed = error
                if not left or not error.passing or (exchange.shown and not source):
                    raise
            if failed is None and (not source or exchange.ended_for_good or not left):
                return
            pause = exchange.pause(target.max_retries - left, failed)
            if failed is not None and pause > LONGEST_WAIT:
                raise failed
            await anyio.sleep(pause)


# An https URL never comes here, and a context that nobody uses need not be filled with authorities.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Exchange:
    """What is known over all requests of one call."""

    def __init__(self, http: httpx.AsyncClient, target: Target) -> None:
        self.http, self.target = http, target
        self.shown = False
        self.ended_for_good = False
        self.last_id = ""
        self.reconnect_after: float | None = None

    async def stream(self) -> AsyncGenerator[Item, None]:
        """One request and what its answer says."""
        reader = READERS[self.target.dialect]()
        try:
            async with self.answer() as response, aclosing(self.messages(response)) as messages:
                async for message in messages:
                    for item in reader.read(message):
                        self.shown = self.shown or bool(item)
                        yield item
                    if reader.over:
                        return
        except (trouble.Reset, trouble.Stalled, trouble.BrokenBody):
            if not reader.finished:
                raise
        if not reader.finished and not isinstance(reader, Plain):
            raise trouble.Truncated("the stream ended and the answer did not")

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def answer(self) -> AsyncIterator[httpx.Response]:
        """The answer to one request, its head read and found good."""
        with self.explained():
            with anyio.fail_after(self.target.first_byte_timeout):
                response = await self.http.send(self.request(), stream=True)
        try:
            await self.check(response)
            yield response
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    def request(self) -> httpx.Request:
        """A request whose time-outs are ours, but for that of the connection."""
        target, limits = self.target, httpx.Timeout(None, connect=self.target.connect_timeout)
        extensions = {"timeout": limits.as_dict()}
        headers = {"Accept": "text/event-stream"}
        if target.dialect is DialectName.EVENTSOURCE:
            encoded = {name.encode(): value.encode() for name, value in headers.items()}
            if self.last_id:
                encoded[b"Last-Event-ID"] = self.last_id.encode()
            return self.http.build_request("GET", target.base_url, headers=encoded, extensions=extensions)
        headers |= {"Authorization": f"Bearer {target.api_key}", "x-api-key": target.api_key}
        headers["anthropic-version"] = "2023-06-01"
        url, body = target.base_url + PATHS[target.dialect], {**target.request, "stream": True}
        return self.http.build_request("POST", url, json=body, headers=headers, extensions=extensions)

    async def check(self, response: httpx.Response) -> None:
        """Refuse what is no stream; a plain source is over for good at 204."""
        if response.status_code == 204 and self.target.dialect is DialectName.EVENTSOURCE:
            self.ended_for_good = True
            return
        if response.status_code != 200:
            raise trouble.Refused(response.status_code, await self.code(response), wait_of(response.headers))
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise trouble.NoStream(f"the answer is {kind or 'of no type'}, not text/event-stream")

    async def code(self, response: httpx.Response) -> str | None:
        """The provider's code in the body of an error, if it arrives and is JSON."""
        try:
            with self.explained(), anyio.fail_after(self.target.first_byte_timeout):
                error = msgspec.json.decode(await response.aread(), type=ErrorBody).error
        except (msgspec.DecodeError, UnicodeDecodeError, trouble.StreamError):
            return None
        return error.word() if error else None

    async def messages(self, response: httpx.Response) -> AsyncGenerator[Message, None]:
        """The messages of the body."""
        cutter = Cutter(self.last_id)
        pieces = response.aiter_bytes()
        while True:
            limit = self.target.idle_timeout if self.shown else self.target.first_byte_timeout
            with self.explained(), anyio.fail_after(limit):
                piece = await anext(pieces, None)
            if piece is None:
                return
            for message in cutter.feed(piece):
                self.last_id = cutter.committed_id
                yield message
            self.last_id = cutter.committed_id
            if cutter.retry is not None:
                self.reconnect_after = cutter.retry / 1000

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what httpx and the clock raise into our own errors."""
        try:
            yield
        except TimeoutError as error:
            kind = trouble.Stalled if self.shown else trouble.SlowStart
            raise kind("nothing came for too long") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise trouble.Unreachable(str(error)) from error
        except httpx.NetworkError as error:
            raise trouble.Reset(str(error)) from error
        except httpx.DecodingError as error:
            raise trouble.Unreadable(str(error)) from error
        except httpx.HTTPError as error:
            raise trouble.BrokenBody(str(error)) from error

    # --- again --------------------------------------------------------------------------------------------------------

    def pause(self, done: int, failed: trouble.StreamError | None) -> float:
        """Seconds until the next request."""
        if isinstance(failed, trouble.Refused) and failed.wait:
            return failed.wait
        if self.reconnect_after is not None:
            return min(self.reconnect_after, LONGEST_WAIT)
        return min(8.0, 2.0**done * (0.5 + random() / 4))


PATHS = {
    DialectName.OPENAI_CHAT: "/chat/completions",
    DialectName.OPENAI_RESPONSES: "/responses",
    DialectName.ANTHROPIC_MESSAGES: "/v1/messages",
}


def wait_of(headers: httpx.Headers) -> float | None:
    """The wait that a head asks for: in milliseconds, in seconds, or until a date; of two values the longer."""
    found = [_number(value) / 1000 for value in headers.get_list("retry-after-ms", split_commas=True)]
    if not found:
        found = [_number(value) for value in headers.get_list("retry-after") if not value[:1].isalpha()]
        found += [
            _until(value, headers.get("date")) for value in headers.get_list("retry-after") if value[:1].isalpha()
        ]
    return max((wait for wait in found if wait > 0), default=None)


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _until(value: str, date: str | None) -> float:
    now = email.utils.formatdate(usegmt=True) if date is None else date
    try:
        return (email.utils.parsedate_to_datetime(value) - email.utils.parsedate_to_datetime(now)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
