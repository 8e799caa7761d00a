"""A lenient client on ``aiohttp``: it takes what it can read, asks once, and leaves asking again to its caller.

The law of this module: lenient in spelling, never in endings. Odd line ends, a wrong type in the head, keep-alives in
odd places and broken characters are borne; an answer without an end is an error all the same.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, ToolCall
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Option
from tests.builds import trouble


@client(
    name="build-aiohttp",
    base=trouble.StreamError,
    # Whether a body in chunks was cut by a FIN or by an RST, the library says in the words of a message alone.
    errors={**trouble.ERRORS, trouble.BrokenBody: {"incomplete", "protocol", "reset"}},
    status="status",
    dialects=["openai-chat", "anthropic-messages", "gemini"],
    options=[Option.CONNECT_TIMEOUT, Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT, Option.CANCEL],
    runtimes=[Runtime.ASYNCIO],
    shows_finish=True,
    shows_tools=True,
)
async def aiohttp_lenient(target: Target) -> AsyncGenerator[Item, None]:
    """One request, one answer."""
    answer = READERS[target.dialect]()
    patience = Patience(target)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=target.connect_timeout, sock_read=patience.read)
    with patience.explained():
        async with aiohttp.ClientSession(timeout=timeout) as session, asked(session, target) as response:
            await refuse(response)
            async with aclosing(datas(response)) as events:
                try:
                    async for data in events:
                        for item in answer.read(data):
                            patience.shown = patience.shown or bool(item)
                            yield item
                        if answer.over:
                            return
                except (OSError, aiohttp.ClientError, asyncio.TimeoutError):
                    if not answer.finished:
                        raise
    if not answer.finished:
        raise unfinished(response, heard=answer.heard)


class Patience:
    """The one read time-out of the library, and what its exceptions mean at this point of the answer."""

    def __init__(self, target: Target) -> None:
        self.read = target.idle_timeout if target.idle_timeout is not None else target.first_byte_timeout
        self.shown = False

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the library's exceptions into ours."""
        try:
            yield
        except aiohttp.ConnectionTimeoutError as error:
            raise trouble.Unreachable(str(error)) from error
        except asyncio.TimeoutError as error:
            raise (trouble.Stalled if self.shown else trouble.SlowStart)("nothing came for too long") from error
        except aiohttp.ClientConnectorError as error:
            raise trouble.Unreachable(str(error)) from error
        except aiohttp.ServerDisconnectedError as error:
            raise trouble.Truncated("the connection closed before the answer") from error
        except aiohttp.ClientPayloadError as error:
            raise _payload(error) from error
        except OSError as error:
            raise trouble.Reset(str(error)) from error
        except aiohttp.ClientError as error:
            raise trouble.BrokenBody(str(error)) from error


def _payload(error: aiohttp.ClientPayloadError) -> trouble.StreamError:
    # One class for every body that did not end well; the cause tells a connection torn down from a message cut short.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionResetError):
            return trouble.Reset(str(cause))
        cause = cause.__cause__ or cause.__context__
    return trouble.BrokenBody(str(error))


PATHS = {
    DialectName.OPENAI_CHAT: "/chat/completions",
    DialectName.ANTHROPIC_MESSAGES: "/v1/messages",
    DialectName.GEMINI: "/v1beta/models/{model}:streamGenerateContent?alt=sse",
}


@asynccontextmanager
async def asked(session: aiohttp.ClientSession, target: Target) -> AsyncIterator[aiohttp.ClientResponse]:
    """Post the request."""
    url = target.base_url.rstrip("/") + PATHS[target.dialect].format(model=target.model)
    headers = {"Authorization": f"Bearer {target.api_key}", "X-Api-Key": target.api_key}
    headers |= {"X-Goog-Api-Key": target.api_key, "Anthropic-Version": "2023-06-01"}
    body = dict(target.request)
    if target.dialect is DialectName.GEMINI:
        body.pop("model", None)
    else:
        body["stream"] = True
    async with session.post(url, json=body, headers=headers) as response:
        yield response


async def refuse(response: aiohttp.ClientResponse) -> None:
    """Raise what the head says, if it is no success; pages are no streams, whatever else may be called one."""
    if response.status != 200:
        try:
            code = word_of(json.loads(await response.text(errors="replace")))
        except (OSError, ValueError, aiohttp.ClientError, asyncio.TimeoutError, RecursionError):
            code = None  # how the body of an error ends is of no interest
        raise trouble.Refused(response.status, code)
    if response.content_type in ("text/html", "application/xhtml+xml"):
        raise trouble.NoStream("a page came instead of a stream")


def unfinished(response: aiohttp.ClientResponse, *, heard: bool) -> trouble.StreamError:
    """What to say of a body that ends before its answer: one without a length may have been torn."""
    if not heard and response.content_type != "text/event-stream":
        return trouble.NoStream(f"{response.content_type} without a single event")
    framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    # The library takes an RST for the end of such a body.
    return (trouble.Truncated if framed else trouble.BrokenBody)("the stream ended and the answer did not")


async def datas(response: aiohttp.ClientResponse) -> AsyncGenerator[str, None]:
    """The data of the events; nothing else of them matters to these dialects."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    line, after_cr, data = "", False, list[str]()
    async for piece in response.content.iter_any():
        for character_run in _runs(decode(piece)):
            if character_run not in ("\n", "\r"):
                line, after_cr = line + character_run, False
                continue
            if character_run == "\n" and after_cr:
                after_cr = False
                continue
            after_cr = character_run == "\r"
            line, whole = "", line.removeprefix("\ufeff")
            if whole.startswith("data:"):
                data.append(whole[5:].removeprefix(" "))
            elif not whole and data:
                yield "\n".join(data)
                data.clear()


def _runs(text: str) -> Iterator[str]:
    """Cut text so that each end of a line stands alone."""
    start = 0
    for place, character in enumerate(text):
        if character in "\r\n":
            if place > start:
                yield text[start:place]
            yield character
            start = place + 1
    if start < len(text):
        yield text[start:]


# --- what the data mean -----------------------------------------------------------------------------------------------


def word_of(body: Any) -> str | None:
    """The code of an error, wherever providers put it."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    for key in ("code", "status", "type"):
        if isinstance(error.get(key), str) and error[key]:
            return str(error[key])
    return str(error["code"]) if error.get("code") else None


def at(value: Any, *path: str | int) -> Any:
    """What stands at the end of a path through objects and lists, None where the path breaks off."""
    try:
        for step in path:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return None
    return value


class Answer:
    """What all dialects have in common."""

    def __init__(self) -> None:
        self.finished = self.over = False
        self.heard = False  # there was an event at all
        self.calls: dict[int, dict[str, str]] = {}

    def read(self, data: str) -> list[Item]:
        """What the caller sees of one event."""
        if not data.strip() or data.startswith(":"):
            return []  # a keep-alive that strayed into a data field
        if data.strip() == "[DONE]":
            self.finished = self.over = True
            return []
        try:
            event = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise trouble.Unreadable(f"an event holds no JSON: {error}") from error
        self.heard = True
        if at(event, "error"):
            raise trouble.ProviderError(str(at(event, "error", "message") or event), code=word_of(event))
        return [item for item in self.items(event) if item]

    def items(self, event: Any) -> list[Item]:
        """What the dialect makes of an event."""
        raise AssertionError("each dialect says it")

    def grow(self, index: int, **pieces: Any) -> None:
        """Add pieces to a call."""
        call = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        for key, piece in pieces.items():
            call[key] += piece if isinstance(piece, str) else ""


class Chat(Answer):
    """Chunks with choices, of which the first counts."""

    def items(self, event: Any) -> list[Item]:
        """Text, reason and, once the reason is known, calls."""
        choice = next((one for one in at(event, "choices") or () if not at(one, "index")), None)
        for piece in at(choice, "delta", "tool_calls") or ():
            function = at(piece, "function")
            index, name = at(piece, "index") or 0, at(function, "name")
            self.grow(index, id=at(piece, "id"), name=name, arguments=at(function, "arguments"))
        text, reason = at(choice, "delta", "content"), at(choice, "finish_reason")
        items: list[Item] = [text] if isinstance(text, str) else []
        if isinstance(reason, str) and reason:
            self.finished = True
            items += [ToolCall(**call) for call in self.calls.values() if reason not in trouble.CUT]
            items.append(Finish(reason))
        return items


class Blocks(Answer):
    """Typed events."""

    def items(self, event: Any) -> list[Item]:
        """Text, calls and reason."""
        show: Callable[[Any], list[Item]] | None = getattr(self, f"_{at(event, 'type')}", None)
        return show(event) if show else []

    def _content_block_start(self, event: Any) -> list[Item]:
        block = at(event, "content_block")
        if at(block, "type") == "tool_use":
            self.grow(at(event, "index") or 0, id=at(block, "id"), name=at(block, "name"))
        return []

    def _content_block_delta(self, event: Any) -> list[Item]:
        if at(event, "delta", "partial_json") and at(event, "index") in self.calls:
            self.grow(at(event, "index"), arguments=at(event, "delta", "partial_json"))
        text = at(event, "delta", "text")
        return [text] if isinstance(text, str) else []

    def _message_delta(self, event: Any) -> list[Item]:
        reason = at(event, "delta", "stop_reason")
        if not isinstance(reason, str):
            return []
        self.finished = True
        # Blocks end when they are cut, too; what a call is worth is known with the reason.
        return [*(ToolCall(**call) for call in self.calls.values() if reason not in trouble.CUT), Finish(reason)]

    def _message_stop(self, _event: Any) -> list[Item]:
        self.finished = self.over = True
        return []


class Candidates(Answer):
    """Chunks with candidates, of which the first counts; a call is never in pieces."""

    def items(self, event: Any) -> list[Item]:
        """Text, calls and reason."""
        candidate = next((one for one in at(event, "candidates") or () if not at(one, "index")), None)
        items: list[Item] = []
        for part in at(candidate, "content", "parts") or ():
            call, text = at(part, "functionCall"), at(part, "text")
            if call:
                arguments = json.dumps(at(call, "args") or {}, ensure_ascii=False)
                items.append(ToolCall(str(at(call, "id") or ""), str(at(call, "name") or ""), arguments))
            elif isinstance(text, str) and at(part, "thought") is not True:
                items.append(text)
        reason = at(candidate, "finishReason") or at(event, "promptFeedback", "blockReason")
        if isinstance(reason, str):
            self.finished = True
            items.append(Finish(reason))
        return items


READERS: Mapping[DialectName, type[Answer]] = {
    DialectName.OPENAI_CHAT: Chat,
    DialectName.ANTHROPIC_MESSAGES: Blocks,
    DialectName.GEMINI: Candidates,
}
