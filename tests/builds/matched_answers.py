"""Events and answers by patterns: how the client on trio reads a body.

The law of this module: text is decoded once, as it comes, and a byte that is no character is remembered until the event
that holds it is read; then it is an error, unless the protocol asks for U+FFFD.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from testbed.adapters.items import Event, Finish, Item, ToolCall
from testbed.script import DialectName
from tests.builds import trouble

DONE = "[DONE]"


class Memory(Protocol):
    """What is kept between connections."""

    last_id: str
    retry: float


# --- events -----------------------------------------------------------------------------------------------------------


class Events:
    """Text is decoded as it comes; each blank line completes an event."""

    def __init__(self, memory: Memory, *, strict: bool) -> None:
        self.memory, self.strict = memory, strict
        self.decode = codecs.getincrementaldecoder("utf-8-sig")("replace" if not strict else "testbed-mark").decode
        self.id = memory.last_id
        self.text, self.cr = "", False
        self.fields: dict[str, str] = {}
        self.lines: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Take a piece and yield the events that it completes."""
        text = self.decode(piece)
        if self.cr and text.startswith("\n"):
            text, self.cr = text[1:], False
        if text:
            self.cr = text.endswith("\r")
        *whole, self.text = (self.text + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        for line in whole:
            if line:
                self.field(*line.partition(":")[::2])
                continue
            self.memory.last_id = self.id
            data, name = "\n".join(self.lines), self.fields.pop("event", "")
            self.lines.clear()
            if data:
                yield Event(name or "message", data, self.id)

    def field(self, name: str, value: str) -> None:
        """Take a field."""
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            self.lines.append(value)
        elif name == "event":
            self.fields["event"] = value
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.memory.retry = int(value) / 1000


# A lone surrogate marks a byte that is no UTF-8: no legal text has one, so it shows where the event is read.
MARK = "\udcff"


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return MARK, error.end


codecs.register_error("testbed-mark", _mark)


def code_of(value: Any) -> str | None:
    """The code of an error."""
    match value:
        case {"error": {"code": str(code)}} if code:
            return code
        case {"error": {"status": str(code)} | {"type": str(code)}} if code:
            return code
        case {"error": {"code": int(code)}}:
            return str(code)
    return None


class Reader:
    """An answer that is being read."""

    def __init__(self) -> None:
        self.finished = self.over = False
        self.calls: dict[int, ToolCall] = {}

    def read(self, event: Event) -> Iterator[Item]:
        """What the caller sees of an event."""
        if event.data == DONE:
            self.finished = self.over = True
            return
        try:
            if MARK in event.data:
                raise trouble.Unreadable("an event holds bytes that are no UTF-8")
            value = json.loads(event.data)
        except (ValueError, RecursionError) as error:
            raise trouble.Unreadable(str(error)) from error
        if not isinstance(value, dict):
            raise trouble.Unreadable("an event holds no object")
        if value.get("error"):
            raise trouble.ProviderError(f"the provider says: {value['error']}", code=code_of(value))
        yield from self.items(value)

    def items(self, value: dict[str, Any]) -> Iterator[Item]:
        """What the dialect makes of it."""
        yield from ()

    def end(self, reason: str) -> Iterator[Item]:
        """The model has stopped: what is complete of its calls, and why."""
        self.finished = True
        if reason not in trouble.CUT:
            yield from self.calls.values()
        self.calls.clear()
        yield Finish(reason)

    def grow(self, index: int, id: str | None, name: str | None, arguments: str | None) -> None:
        """Add to a call."""
        call = self.calls.get(index, ToolCall())
        self.calls[index] = ToolCall(call.id or id or "", call.name or name or "", call.arguments + (arguments or ""))


class Chat(Reader):
    """Chat completions."""

    def items(self, value: dict[str, Any]) -> Iterator[Item]:
        """The choice with index 0."""
        choices = value.get("choices") or []
        if not isinstance(choices, list):
            raise trouble.Unreadable("choices is no list")
        for choice in choices:
            match choice:
                case {"index": int(index)} if index:
                    continue
                case {"delta": {"content": str(text)}}:
                    yield text
                case {"delta": {"content": wrong}} if wrong is not None:
                    raise trouble.Unreadable("the content is no text")
            match choice:
                case {"delta": {"tool_calls": [*pieces]}}:
                    for piece in pieces:
                        said = piece.get("function") or {}
                        self.grow(piece.get("index", 0), piece.get("id"), said.get("name"), said.get("arguments"))
            match choice:
                case {"finish_reason": str(reason)} if reason:
                    yield from self.end(reason)


class Blocks(Reader):
    """Messages."""

    def items(self, value: dict[str, Any]) -> Iterator[Item]:
        """One event by its type."""
        match value:
            case {"type": "error"}:
                raise trouble.ProviderError("the provider says nothing but that it failed")
            case {"type": "content_block_start", "index": int(index), "content_block": {"type": "tool_use"} as block}:
                self.grow(index, block.get("id"), block.get("name"), "")
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
                yield text
            case {"type": "content_block_delta", "delta": {"type": "text_delta"}}:
                raise trouble.Unreadable("a delta of text has none")
            case {"type": "content_block_delta", "index": int(index), "delta": {"partial_json": str(more)}}:
                self.grow(index, None, None, more)
            case {"type": "message_delta", "delta": {"stop_reason": str(reason)}} if reason:
                yield from self.end(reason)
            case {"type": "message_stop"}:
                self.finished = self.over = True


class Candidates(Reader):
    """Gemini's candidates."""

    def items(self, value: dict[str, Any]) -> Iterator[Item]:
        """The first candidate, or why there is none."""
        for candidate in value.get("candidates") or ():
            if not isinstance(candidate, dict):
                raise trouble.Unreadable("a candidate is no object")
            if candidate.get("index"):
                continue
            yield from self.parts((candidate.get("content") or {}).get("parts") or ())
            if reason := candidate.get("finishReason"):
                yield from self.end(reason)
        match value:
            case {"promptFeedback": {"blockReason": str(reason)}}:
                yield from self.end(reason)

    @staticmethod
    def parts(parts: Any) -> Iterator[Item]:
        """Text and calls, without thoughts."""
        for part in parts:
            match part:
                case {"thought": True}:
                    continue
                case {"text": str(text)}:
                    yield text
                case {"functionCall": {"name": str(name)} as call}:
                    arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
                    yield ToolCall(str(call.get("id") or ""), name, arguments)
                case {"text": _}:
                    raise trouble.Unreadable("a part of text has none")


class Plain(Reader):
    """Events as they come."""

    def read(self, event: Event) -> Iterator[Item]:
        """The event."""
        yield event


READERS: Mapping[DialectName, type[Reader]] = {
    DialectName.OPENAI_CHAT: Chat,
    DialectName.ANTHROPIC_MESSAGES: Blocks,
    DialectName.GEMINI: Candidates,
    DialectName.EVENTSOURCE: Plain,
}
