"""A client on asyncio's streams, as a service without dependencies would have it: lines in, text out, one try.

The law of this module: whatever is read is read by lines or by counts, and every read has a deadline. It does not ask
again; what a caller may do about an error is in its class.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, ToolCall
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Option
from tests.builds import trouble

T = TypeVar("T")
LONGEST_LINE = 16 * 2**20


@client(
    name="build-streams",
    base=trouble.StreamError,
    errors=trouble.ERRORS,
    status="status",
    dialects=["openai-chat", "anthropic-messages", "ollama"],
    options=[Option.CONNECT_TIMEOUT, Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT, Option.CANCEL],
    runtimes=[Runtime.ASYNCIO],
    shared_read_timeout=False,
    shows_finish=True,
    shows_tools=True,
)
async def asyncio_streams(target: Target) -> AsyncGenerator[Item, None]:
    """One request, one answer."""
    talk = Talk(target)
    state = "open"  # then "finished": the text is whole, then "closed": nothing more is to come
    calls: dict[Any, list[str]] = {}
    async with talk.connected():
        await talk.ask()
        await talk.head()
        try:
            async with aclosing(talk.datas()) as datas:
                async for data in datas:
                    state, items = LOOK[target.dialect](data, state, calls)
                    for item in items:
                        talk.begun = talk.begun or bool(item)
                        yield item
                    if state == "closed":
                        return
        except (trouble.Reset, trouble.Stalled, trouble.Truncated, trouble.Malformed):
            if state == "open":
                raise
    if talk.is_json and not talk.begun:
        raise trouble.NoStream("a document came instead of a stream")
    if state == "open":
        raise trouble.Truncated("the answer breaks off")


class Talk:
    """A connection, and what is said on it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.url = urlsplit(target.base_url)
        self.begun = False
        self.fields: dict[str, str] = {}

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """A connection that is closed behind us, whatever happens."""
        opening = asyncio.open_connection(self.url.hostname, self.url.port, limit=LONGEST_LINE)
        try:
            self.reader, writer = await asyncio.wait_for(opening, self.target.connect_timeout)
        except (OSError, asyncio.TimeoutError) as error:
            raise trouble.Unreachable(str(error)) from error
        self.writer = writer
        try:
            yield
        finally:
            # Not close: that waits for what is unsent, and there is nobody left to wait for.
            writer.transport.abort() if self.begun else writer.close()

    async def ask(self) -> None:
        """Send the request."""
        body = json.dumps({**self.target.request, "stream": True}, ensure_ascii=False).encode()
        path = self.url.path.rstrip("/") + PATHS[self.target.dialect]
        fields = [
            f"POST {path} HTTP/1.1",
            f"Host: {self.url.netloc}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Authorization: Bearer {self.target.api_key}",
            f"X-Api-Key: {self.target.api_key}",
            "Anthropic-Version: 2023-06-01",
            "Connection: close",
        ]
        self.writer.write("\r\n".join([*fields, "", ""]).encode() + body)
        await self.timely(self.writer.drain())

    async def timely(self, reading: Awaitable[T]) -> T:
        """The outcome of a read, if it comes in time."""
        limit = self.target.idle_timeout if self.begun else self.target.first_byte_timeout
        try:
            return await asyncio.wait_for(reading, limit)
        except asyncio.TimeoutError as error:
            raise (trouble.Stalled if self.begun else trouble.SlowStart)("silence") from error
        except ValueError as error:
            raise trouble.Malformed("a line is longer than any line should be") from error
        except OSError as error:
            raise trouble.Reset(str(error)) from error

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    async def line(self) -> bytes:
        """A line of the protocol, without its end."""
        line = await self.timely(self.reader.readline())
        if not line.endswith(b"\n"):
            raise trouble.Truncated("the connection closed inside the message")
        return line.rstrip(b"\r\n")

    async def head(self) -> None:
        """Read the head; raise what it says unless it is a stream."""
        status = await self.status()
        while 100 <= status < 200:
            status = await self.status()
        kind = self.fields.get("content-type", "").partition(";")[0].strip().lower()
        if status != 200:
            raise trouble.Refused(status, await self.code())
        if kind not in ("text/event-stream", "application/x-ndjson", "application/json", ""):
            raise trouble.NoStream(f"the answer is {kind}")
        # A document in place of a stream is named so, too, and then it is one object that says what is wrong.
        self.is_json = kind == "application/json"

    async def status(self) -> int:
        """One head: its status, its fields in `fields`."""
        version, _, rest = (await self.line()).partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise trouble.Malformed("the answer is no HTTP")
        self.fields = {}
        while line := await self.line():
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or name != name.strip() or len(self.fields) > 1000:
                raise trouble.Malformed("a field of the head is malformed")
            self.fields[name.lower()] = value.strip()
        return int(rest[:3])

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives."""
        if self.fields.get("transfer-encoding", "").lower() == "chunked":
            while size := await self.chunk_size():
                async with aclosing(self.counted(size)) as pieces:
                    async for piece in pieces:
                        yield piece
                if await self.line():
                    raise trouble.Malformed("a chunk does not end where it should")
            while await self.line():
                pass
        elif "content-length" in self.fields:
            length = self.fields["content-length"]
            if not (length.isascii() and length.isdigit()):
                raise trouble.Malformed("the length of the body is no number")
            async with aclosing(self.counted(int(length))) as pieces:
                async for piece in pieces:
                    yield piece
        else:
            while piece := await self.timely(self.reader.read(65536)):
                yield piece

    async def chunk_size(self) -> int:
        """The size of the next chunk."""
        digits = (await self.line()).partition(b";")[0].strip()
        try:
            if digits[:1] in b"+-_":
                raise ValueError
            return int(digits, 16)
        except ValueError as error:
            raise trouble.Malformed("the size of a chunk is no number") from error

    async def counted(self, left: int) -> AsyncGenerator[bytes, None]:
        """So many bytes as they arrive."""
        while left:
            piece = await self.timely(self.reader.read(min(left, 65536)))
            if not piece:
                raise trouble.Truncated("bytes of the body are missing")
            left -= len(piece)
            yield piece

    async def code(self) -> str | None:
        """The code in the body of an error, if it is one."""
        body = b""
        try:
            async with aclosing(self.pieces()) as pieces:
                async for piece in pieces:
                    body += piece
            return code_in(json.loads(body))
        except (trouble.StreamError, ValueError, RecursionError):
            return None

    # --- the lines of the body ----------------------------------------------------------------------------------------

    async def datas(self) -> AsyncGenerator[str, None]:
        """The data of each event, or each line where lines are events."""
        data: list[str] = []
        async with aclosing(self.body_lines()) as lines:
            async for line in lines:
                if self.target.dialect is DialectName.OLLAMA or self.is_json:
                    if line.strip():
                        yield line
                elif line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif line.startswith("error:"):
                    yield '{"error":' + line[6:] + "}"
                elif not line and data:
                    yield "\n".join(data)
                    data.clear()

    async def body_lines(self) -> AsyncGenerator[str, None]:
        """Lines as they are completed; they may end with LF, CR LF or CR."""
        held, skip, first = b"", False, True
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                if skip and piece[:1] == b"\n":
                    piece = piece[1:]  # noqa: PLW2901 - the other half of an end that was cut in two
                    skip = False
                if not piece:
                    continue
                skip = piece.endswith(b"\r")
                *whole, held = (held + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
                for line in whole:
                    text = line.decode("utf-8", "replace")
                    yield text.removeprefix("\ufeff") if first else text
                    first = False


PATHS = {
    DialectName.OPENAI_CHAT: "/chat/completions",
    DialectName.ANTHROPIC_MESSAGES: "/v1/messages",
    DialectName.OLLAMA: "/api/chat",
}


# --- what the data say ------------------------------------------------------------------------------------------------


def code_in(value: Any) -> str | None:
    """The code of an error, as a word if there is one."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None
    return next((str(error[key]) for key in ("code", "type") if error.get(key)), None)


def parsed(data: str) -> dict[str, Any]:
    """The object in the data; an error in it is raised."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise trouble.Unreadable("an event is no JSON") from error
    if not isinstance(value, dict):
        raise trouble.Unreadable("an event is no object")
    if value.get("error"):
        raise trouble.ProviderError(str(value["error"]), code=code_in(value))
    return value


Looked = tuple[str, list[Item]]


def grown(calls: dict[Any, list[str]], index: Any, *more: Any) -> None:
    """Add the pieces of a call to what there is of it."""
    call = calls.setdefault(index, ["", "", ""])
    for place, piece in enumerate(more):
        call[place] += piece or ""


def chat(data: str, state: str, calls: dict[Any, list[str]]) -> Looked:
    """A chunk of chat completions."""
    if data == "[DONE]":
        return "closed", []
    choices = [one for one in parsed(data).get("choices") or () if isinstance(one, dict) and not one.get("index")]
    if not choices:
        return state, []
    delta, reason = choices[0].get("delta") or {}, choices[0].get("finish_reason")
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        grown(calls, call.get("index"), call.get("id"), function.get("name"), function.get("arguments"))
    items: list[Item] = [delta.get("content") or ""]
    if reason:
        items += [ToolCall(*call) for call in calls.values() if reason not in trouble.CUT]
        items.append(Finish(reason))
    return ("finished" if reason else state), items


def blocks(data: str, state: str, calls: dict[Any, list[str]]) -> Looked:
    """An event of messages."""
    event = parsed(data)
    kind, index, delta = event.get("type"), event.get("index"), event.get("delta") or {}
    if kind == "content_block_start" and (block := event.get("content_block") or {}).get("type") == "tool_use":
        grown(calls, index, block.get("id"), block.get("name"), "")
    elif kind == "content_block_delta":
        if index in calls:
            grown(calls, index, "", "", delta.get("partial_json"))
        return state, [delta.get("text") or ""]
    elif kind == "message_delta" and (reason := delta.get("stop_reason")):
        whole = [ToolCall(*call) for call in calls.values() if reason not in trouble.CUT]
        return "finished", [*whole, Finish(reason)]
    return ("closed" if kind == "message_stop" else state), []


def ollama(data: str, state: str, _calls: dict[Any, list[str]]) -> Looked:
    """A line of Ollama's."""
    line = parsed(data)
    message = line.get("message") or {}
    items: list[Item] = [message.get("content") or ""]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
        items.append(ToolCall(call.get("id") or "", function.get("name") or "", arguments))
    if not line.get("done"):
        return state, items
    return "closed", [*items, Finish(line.get("done_reason") or "stop")]


LOOK: Mapping[DialectName, Any] = {
    DialectName.OPENAI_CHAT: chat,
    DialectName.ANTHROPIC_MESSAGES: blocks,
    DialectName.OLLAMA: ollama,
}
