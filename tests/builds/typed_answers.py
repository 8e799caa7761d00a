"""Messages and answers with types: how the strict client on ``httpx`` reads a body.

The law of this module: bytes become messages as the standard of event streams has it, and a message counts only when
all that is read of it has the type that it should have. What is not read may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from testbed.adapters.items import Event, Finish, Item, ToolCall
from testbed.script import DialectName
from tests.builds import trouble

T = TypeVar("T")

# --- the lines of the body --------------------------------------------------------------------------------------------


class Message(NamedTuple):
    """One event of the stream, its data still bytes."""

    name: str
    data: bytes
    id: str


class Cutter:
    """Cuts bytes into messages, as the standard of event streams has it."""

    _END = re.compile(rb"\r\n|\r|\n")

    def __init__(self, last_id: str = "") -> None:
        self.last_id = self.committed_id = last_id
        self.retry: int | None = None
        self._held = bytearray()
        self._after_cr = False
        self._first = True
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Take a piece of the body and yield the messages that it completes."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if not piece:
            return
        self._after_cr = piece.endswith(b"\r")
        head, *rest = self._END.split(piece)
        self._held += head
        for following in rest:
            line, self._held = bytes(self._held), bytearray(following)
            if self._first:
                line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
            yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[Message]:
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
        elif name == b"id" and b"\0" not in value:
            self.last_id = value.decode("utf-8", "replace")
        elif name == b"retry" and re.fullmatch(rb"[0-9]{1,15}", value):
            self.retry = int(value)

    def _dispatch(self) -> Iterator[Message]:
        # An id counts with the blank line behind it, whether or not there is data to show.
        name, data, self._name, self._data = self._name, self._data, b"", []
        self.committed_id = self.last_id
        if b"\n".join(data):
            yield Message(name.decode("utf-8", "replace") or "message", b"\n".join(data), self.last_id)


# --- what the messages mean -------------------------------------------------------------------------------------------


class Reader(Protocol):
    """`finished`: the model has said all of its text; `over`: and nothing more is to come."""

    finished: bool
    over: bool

    def read(self, message: Message) -> Iterator[Item]:
        """Yield what the caller sees of a message."""
        ...


class _Error(msgspec.Struct):
    message: str | None = None
    code: str | int | None = None
    type: str | None = None
    status: str | None = None

    def word(self) -> str | None:
        """The code, preferably a word."""
        words = [self.code, self.status, self.type]
        return next((str(one) for one in words if isinstance(one, str) and one), str(self.code) if self.code else None)


class ErrorBody(msgspec.Struct):
    error: _Error | None = None


def _typed(message: Message, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(message.data.decode(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise trouble.Unreadable(f"an event is not what it should be: {error}") from error


def _fail(error: _Error) -> None:
    raise trouble.ProviderError(error.message or "the provider failed", code=error.word())


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    error: _Error | str | None = None


class Chat:
    """Chunks of chat completions. Calls are complete when the model says why it stopped."""

    def __init__(self) -> None:
        self.finished = self.over = False
        self._calls: dict[int, list[str]] = {}

    def read(self, message: Message) -> Iterator[Item]:
        """The text of the first choice, its calls and its reason."""
        if message.data == b"[DONE]":
            self.finished = self.over = True
            return
        chunk = _typed(message, _Chunk)
        if chunk.error:
            _fail(_Error(message=chunk.error) if isinstance(chunk.error, str) else chunk.error)
        for choice in chunk.choices or ():
            if choice.index == 0:
                yield from self._choice(choice)

    def _choice(self, choice: _Choice) -> Iterator[Item]:
        delta = choice.delta or _Delta()
        if delta.content:
            yield delta.content
        for piece in delta.tool_calls or ():
            call, function = self._calls.setdefault(piece.index, ["", "", ""]), piece.function or _Function()
            for place, more in enumerate((piece.id, function.name, function.arguments)):
                call[place] += more or ""
        if choice.finish_reason:
            self.finished = True
            if choice.finish_reason not in trouble.CUT:
                yield from (ToolCall(*call) for call in self._calls.values())
            self._calls.clear()
            yield Finish(choice.finish_reason)


class _Block(msgspec.Struct):
    type: str = ""
    id: str = ""
    name: str = ""


class _BlockDelta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _MessageEvent(msgspec.Struct):
    type: str = ""
    index: int = 0
    content_block: _Block | None = None
    delta: _BlockDelta | None = None
    error: _Error | None = None


class Blocks:
    """Messages in blocks. The block of a call that a limit has cut ends, too, so only the reason completes it."""

    def __init__(self) -> None:
        self.finished = self.over = False
        self._calls: dict[int, list[str]] = {}

    def read(self, message: Message) -> Iterator[Item]:
        """The text of the blocks, the calls and the reason."""
        event = _typed(message, _MessageEvent)
        delta, block = event.delta or _BlockDelta(), event.content_block
        if event.type == "error" or event.error:
            _fail(event.error or _Error())
        elif event.type == "content_block_start" and block and block.type == "tool_use":
            self._calls[event.index] = [block.id, block.name, ""]
        elif event.type == "content_block_delta" and delta.type == "text_delta":
            yield delta.text
        elif event.type == "content_block_delta" and event.index in self._calls:
            self._calls[event.index][2] += delta.partial_json
        elif event.type == "message_delta" and delta.stop_reason:
            self.finished = True
            if delta.stop_reason not in trouble.CUT:
                yield from (ToolCall(*call) for call in self._calls.values())
            self._calls.clear()
            yield Finish(delta.stop_reason)
        elif event.type == "message_stop":
            self.finished = self.over = True


class _OutputItem(msgspec.Struct):
    type: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    status: str = ""


class _Details(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    error: _Error | None = None
    incomplete_details: _Details | None = None


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    delta: object = None
    item: _OutputItem | None = None
    response: _Response | None = None
    error: _Error | None = None
    message: str | None = None
    code: str | None = None


class Responses:
    """The events of the Responses API. A call is complete when its item is done."""

    def __init__(self) -> None:
        self.finished = self.over = False

    def read(self, message: Message) -> Iterator[Item]:
        """The text, the calls and the reason."""
        event = _typed(message, _ResponseEvent)
        response = event.response or _Response()
        if event.type == "response.output_text.delta":
            if not isinstance(event.delta, str):
                raise trouble.Unreadable("a delta of text is no text")
            yield event.delta
        elif event.type == "response.output_item.done" and event.item and event.item.type == "function_call":
            if event.item.status != "incomplete":
                yield ToolCall(event.item.call_id, event.item.name, event.item.arguments)
        elif event.type in ("response.completed", "response.incomplete"):
            self.finished = self.over = True
            details = response.incomplete_details or _Details()
            yield Finish(details.reason or event.type.removeprefix("response."))
        elif event.type in {"response.failed", "error"} or event.error:
            _fail(event.error or response.error or _Error(message=event.message, code=event.code))


class Plain:
    """Events as they are; their stream has no end of its own."""

    finished = over = False

    def read(self, message: Message) -> Iterator[Item]:
        """The event, with U+FFFD in place of what is no UTF-8."""
        yield Event(message.name, message.data.decode("utf-8", "replace"), message.id)


READERS: Mapping[DialectName, type[Chat] | type[Blocks] | type[Responses] | type[Plain]] = {
    DialectName.OPENAI_CHAT: Chat,
    DialectName.ANTHROPIC_MESSAGES: Blocks,
    DialectName.OPENAI_RESPONSES: Responses,
    DialectName.EVENTSOURCE: Plain,
}
