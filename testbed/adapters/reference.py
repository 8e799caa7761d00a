"""The reference client: small, and meant to be right, on httpx. It runs on trio and on asyncio.

The laws of this module: success needs the dialect's terminal, never just the end of the body. A request is sent again
only while the caller has seen nothing. After the hard terminal nothing more is waited for. Every wait is bounded by a
time-out that the caller set. Whatever goes wrong surfaces as a
:class:`~testbed.adapters.reference_errors.StreamError`.

What it decides where the rules leave room:

- After a soft terminal the answer is complete, however the connection then ends or falls silent.
- Time-outs, connection trouble, 408, 429 and 5xx are retried `max_retries` times, unless the server itself says what to
  do: after what `Retry-After` says, up to a minute, and otherwise after 0.5 s, doubled each time up to 8 s, less up to
  a quarter by chance.
- When an address has failed for good and nothing was shown, the second one is asked in the same way, if there is one
  and the request itself is not what is wrong.
- A plain event source is reconnected `max_retries` times in all, with ``Last-Event-ID``, after the server's ``retry``
  or the same back-off; when no reconnect is left, a clean end is success and trouble is raised. 204 ends it at once.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import final

import anyio
import httpx

from testbed import sse
from testbed.adapters import reference_errors as errors
from testbed.adapters._http import ALL_OPTIONS, tls
from testbed.adapters.declare import client
from testbed.adapters.items import Item
from testbed.adapters.reference_errors import StreamError
from testbed.adapters.reference_readers import READERS, error_code, parser_for
from testbed.adapters.reference_retries import elsewhere, may_go_elsewhere, retry_after, should_retry
from testbed.adapters.reference_tls import was_cut
from testbed.plan import Keepalives
from testbed.ports import Target
from testbed.script import DialectName, Terminal
from testbed.trace import Option

BACKOFF_FIRST, BACKOFF_MOST = 0.5, 8.0
RETRY_AFTER_MOST = 60.0

# What another attempt may cure. Everything else is final.
_RETRYABLE = (
    errors.ConnectFailed,
    errors.ConnectionReset,
    errors.FirstByteTimeout,
    errors.IdleTimeout,
    errors.IncompleteAnswer,
    errors.BrokenMessage,
)
_RETRYABLE_STATUSES = frozenset({408, 429}) | frozenset(range(500, 600))

# Enough of an error's body to find its code in it.
_ERROR_BODY_LIMIT = 65536

# httpx's classes for what happened below HTTP; what is not here broke the message.
_MEANINGS: Mapping[type, type[StreamError]] = {
    httpx.ConnectError: errors.ConnectFailed,
    httpx.ConnectTimeout: errors.ConnectFailed,
    httpx.ReadError: errors.ConnectionReset,
    httpx.WriteError: errors.ConnectionReset,
    httpx.DecodingError: errors.UndecodableAnswer,
    httpx.RemoteProtocolError: errors.BrokenMessage,
}

_PATHS = {
    DialectName.OPENAI_CHAT: "/chat/completions",
    DialectName.OPENAI_RESPONSES: "/responses",
    DialectName.ANTHROPIC_MESSAGES: "/v1/messages",
    DialectName.GEMINI: "/v1beta/models/{model}:streamGenerateContent?alt=sse",
    DialectName.OLLAMA: "/api/chat",
}
_NDJSON = "application/x-ndjson"
# The keep-alives that are events; the others are comments, which no parser hands on.
_SIGNS_OF_LIFE = frozenset({"ping", "keepalive"})


@client(
    name="reference",
    base=StreamError,
    errors={
        errors.ConnectFailed: {"connect"},
        errors.ConnectionReset: {"reset"},
        errors.FirstByteTimeout: {"first_byte_timeout"},
        errors.IdleTimeout: {"idle_timeout"},
        errors.IncompleteAnswer: {"incomplete"},
        errors.BrokenMessage: {"incomplete", "protocol"},
        errors.NotAnEventStream: {"protocol"},
        errors.UndecodableAnswer: {"decode"},
        errors.ProviderError: {"provider"},
        errors.BadRequest: {"bad_request"},
        errors.Unauthorized: {"unauthorized"},
        errors.PermissionDenied: {"permission_denied"},
        errors.NotFound: {"not_found"},
        errors.Conflict: {"conflict"},
        errors.TooLarge: {"too_large"},
        errors.RateLimited: {"rate_limited"},
        errors.QuotaExhausted: {"quota_exhausted"},
        errors.Overloaded: {"overloaded"},
        errors.ServerFault: {"server_error"},
        errors.HttpError: {"http_status"},
    },
    status="status",
    code="code",
    dialects=list(READERS),
    options=[*ALL_OPTIONS, Option.FALLBACK, Option.KEEPALIVES],
    shared_read_timeout=False,
    reconnects=True,
    shows_finish=True,
    shows_tools=True,
)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """Stream one answer."""
    async with httpx.AsyncClient(verify=tls(target), trust_env=False) as http:
        first, second = _Call(http, target), elsewhere(target)
        try:
            async with aclosing(_ask(first)) as items:
                async for item in items:
                    yield item
        except StreamError as error:
            if second is None or first.seen or not may_go_elsewhere(error):
                raise
        else:
            return
        async with aclosing(_ask(_Call(http, second))) as items:
            async for item in items:
                yield item


async def _ask(call: _Call) -> AsyncGenerator[Item, None]:
    """Ask one address, again where that may help."""
    most = call.target.max_retries
    for retry in range(most + 1):
        trouble: StreamError | None = None
        try:
            async with aclosing(call.attempt()) as items:
                async for item in items:
                    yield item
        except StreamError as error:
            if retry == most or not call.may_retry(error):
                raise
            trouble = error
        if call.complete or retry == most:
            return
        await anyio.sleep(call.pause(retry, trouble))


@final
class _Call:
    """One call of the caller: what it has seen, and what is known about sending the request again."""

    def __init__(self, http: httpx.AsyncClient, target: Target) -> None:
        self._http = http
        self.target = target
        self._parser = parser_for(target.dialect)
        self.seen = False  # the caller has got something that a second request would repeat
        self._heard = 0.0  # when something came that is no sign of life
        self.complete = False

    # --- one request --------------------------------------------------------------------------------------------------

    async def attempt(self) -> AsyncGenerator[Item, None]:
        """Send the request and yield what its answer brings. Sets `complete` if nothing more is to come."""
        reader = READERS[self.target.dialect]()
        self._parser.eof()
        try:
            async with self._answer() as response, aclosing(self._pieces(response)) as pieces:
                if response.status_code == 204 and self._is_eventsource:
                    self.complete = True
                    return
                await self._check(response)
                async for piece in pieces:
                    for event in self._parser.feed(piece):
                        self._hear(event)
                        for item in reader.read(event):
                            self.seen = self.seen or bool(item)
                            yield item
                        if reader.terminal is Terminal.HARD:
                            self.complete = True
                            return
        except (errors.ConnectionReset, errors.BrokenMessage, errors.IdleTimeout):
            # The model has finished and all its text is here: only the farewell is missing.
            if reader.terminal is Terminal.NONE:
                raise
        self._judge_end(reader.terminal)

    def _judge_end(self, terminal: Terminal) -> None:
        if terminal is not Terminal.NONE:
            self.complete = True
        elif not self._is_eventsource:
            raise errors.IncompleteAnswer("the stream ended before the answer did")

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[httpx.Response]:
        first = self.target.first_byte_timeout
        connect = self.target.connect_timeout
        limits = {"connect": first if connect is None else connect, "read": first, "write": first, "pool": None}
        request = self._request(limits)
        with self._explained():
            response = await self._http.send(request, stream=True)
        self._heard = anyio.current_time()
        # httpx knows one read time-out a request. It has served the head; from here on `_pieces` bounds each read,
        # because the limit is another one once the first token is here.
        limits["read"] = None
        try:
            yield response
        finally:
            await response.aclose()

    def _request(self, limits: Mapping[str, float | None]) -> httpx.Request:
        target = self.target
        headers = {b"Accept": b"text/event-stream", b"Cache-Control": b"no-store"}
        if self._is_eventsource:
            if self._parser.last_event_id:
                headers[b"Last-Event-ID"] = self._parser.last_event_id.encode()
            return self._http.build_request("GET", target.base_url, headers=headers, extensions={"timeout": limits})
        headers |= {b"Authorization": b"Bearer " + target.api_key.encode(), b"X-API-Key": target.api_key.encode()}
        headers[b"Anthropic-Version"] = b"2023-06-01"
        url = target.base_url.rstrip("/") + _PATHS[target.dialect].format(model=target.model)
        # Gemini names the model in the path, and streams because it was asked there.
        body = {**target.request, "stream": True}
        if target.dialect is DialectName.GEMINI:
            headers[b"X-Goog-API-Key"] = target.api_key.encode()
            body = {key: value for key, value in target.request.items() if key != "model"}
        return self._http.build_request("POST", url, json=body, headers=headers, extensions={"timeout": limits})

    async def _pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        pieces = response.aiter_bytes()
        while True:
            limit = self.target.idle_timeout if self.seen else self.target.first_byte_timeout
            with self._explained(), anyio.fail_after(self._left(limit)):
                piece = await anext(pieces, None)
            if piece is None:
                if was_cut(response):
                    raise errors.BrokenMessage("the sealed connection ended without close_notify")
                return
            yield piece

    def _hear(self, event: sse.Event) -> None:
        if event.type not in _SIGNS_OF_LIFE:
            self._heard = anyio.current_time()

    def _left(self, limit: float | None) -> float | None:
        """How much of the time-out is left, for a caller to whom signs of life are no progress."""
        if limit is None or self.target.keepalives is not Keepalives.NO_PROGRESS:
            return limit
        return max(0.0, self._heard + limit - anyio.current_time())

    # --- what is wrong with an answer ---------------------------------------------------------------------------------

    async def _check(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            raise await self._http_error(response)
        content_type = response.headers.get("content-type", "")
        wanted = _NDJSON if self.target.dialect is DialectName.OLLAMA else "text/event-stream"
        if content_type.partition(";")[0].strip().lower() != wanted:
            raise errors.NotAnEventStream(f"the content type is {content_type!r}; it must be {wanted}")

    async def _http_error(self, response: httpx.Response) -> errors.HttpError:
        body = bytearray()
        # How the body of an error ends is of no interest: its status has arrived and says more.
        with suppress(StreamError):
            async with aclosing(self._pieces(response)) as pieces:
                async for piece in pieces:
                    body += piece
                    if len(body) > _ERROR_BODY_LIMIT:
                        break
        error = errors.http_error(response.status_code, _code_in(body))
        error.retry_after = retry_after(response.headers)
        error.should_retry = should_retry(response.headers)
        return error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in our own classes what httpx, or our own clock, raises inside."""
        try:
            yield
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            kind = errors.IdleTimeout if self.seen else errors.FirstByteTimeout
            raise kind("silence for longer than the time-out") from error
        except httpx.RequestError as error:
            known = (_MEANINGS[base] for base in type(error).__mro__ if base in _MEANINGS)
            raise next(known, errors.BrokenMessage)(f"{type(error).__name__}: {error}") from error

    # --- whether and when to ask again --------------------------------------------------------------------------------

    @property
    def _is_eventsource(self) -> bool:
        return self.target.dialect is DialectName.EVENTSOURCE

    def may_retry(self, error: StreamError) -> bool:
        """Whether the request may be sent again: nothing would be repeated, and another answer is possible."""
        # An event source is made to be asked again: Last-Event-ID says what the caller has.
        if self.seen and not self._is_eventsource:
            return False
        if isinstance(error, errors.HttpError):
            if isinstance(error, errors.QuotaExhausted) or error.retry_after > RETRY_AFTER_MOST:
                return False
            told = error.should_retry
            return error.status in _RETRYABLE_STATUSES if told is None else told
        return isinstance(error, _RETRYABLE)

    def pause(self, retry: int, trouble: StreamError | None) -> float:
        """Seconds to wait before retry number `retry` (from 0)."""
        if isinstance(trouble, errors.HttpError) and trouble.retry_after > 0:
            return trouble.retry_after
        if self._is_eventsource and self._parser.retry is not None:
            return min(self._parser.retry / 1000, RETRY_AFTER_MOST)
        # Chance keeps clients that failed together from coming back together. It only shortens, and by less than the
        # doubling, so that no pause is shorter than the one before.
        return min(BACKOFF_MOST, BACKOFF_FIRST * 2.0**retry * (1 - random.random() / 4))


def _code_in(body: bytes | bytearray) -> str | None:
    try:
        return error_code(json.loads(body))
    except (ValueError, RecursionError):
        return None  # an HTML page from a gateway, or half a body
