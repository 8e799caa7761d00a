"""How the reference client reads each dialect: an event goes in, what the caller sees comes out.

The law of this module: nothing is believed that was not checked. A reader raises
:class:`~testbed.adapters.reference_errors.UndecodableAnswer` for UTF-8, JSON or a shape that is wrong, ignores what it
does not know, and says how sure it is that the answer is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, final

from testbed import sse
from testbed.adapters.items import Event, Finish, Item, ToolCall
from testbed.adapters.reference_errors import ProviderError, UndecodableAnswer
from testbed.adapters.tool_calls import Calls
from testbed.script import DialectName, Terminal

# The reasons, in the words of two vendors, with which an answer ends where it was cut: no call is whole then.
_CUT = frozenset({"length", "content_filter", "max_tokens", "model_context_window_exceeded", "refusal"})


class Reader(Protocol):
    """Reads the events of one answer. `terminal` says how sure it is that the answer is whole."""

    terminal: Terminal

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield what the caller sees of one event."""
        ...


@final
class OpenAIChat:
    """Chunks with one choice, and ``[DONE]``."""

    terminal = Terminal.NONE

    def __init__(self) -> None:
        self._calls = Calls()

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the delta and the finish reason of a chunk."""
        _check_utf8(event)
        if event.data == "[DONE]":
            self.terminal = Terminal.HARD
            return
        chunk = _json_object(event)
        _raise_provider_error(chunk)
        choice = _first(chunk, "choices")
        yield _text(choice, "delta", "content")
        for piece in _objects(_object(choice, "delta"), "tool_calls"):
            named, spoken = _text(piece, "function", "name"), _text(piece, "function", "arguments")
            self._calls.grow(_number(piece, "index"), id=_text(piece, "id"), name=named, arguments=spoken)
        reason = _text(choice, "finish_reason")
        if reason:
            if reason not in _CUT:
                yield from self._calls.all_whole()
            self.terminal = Terminal.SOFT
            yield Finish(reason)


@final
class AnthropicMessages:
    """Typed events; the type in the data counts, the event's name repeats it."""

    terminal = Terminal.NONE

    def __init__(self) -> None:
        self._calls = Calls()

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the text of a delta and the stop reason of the message."""
        _check_utf8(event)
        data = _json_object(event)
        kind = data.get("type")
        if kind == "error":
            _raise_provider_error(data)
        elif kind == "content_block_start" and _text(data, "content_block", "type") == "tool_use":
            named = _text(data, "content_block", "name")
            self._calls.grow(_number(data, "index"), id=_text(data, "content_block", "id"), name=named)
        elif kind == "content_block_delta":
            self._calls.grow(_number(data, "index"), arguments=_text(data, "delta", "partial_json"))
            yield _text(data, "delta", "text")
        elif kind == "message_delta":
            reason = _text(data, "delta", "stop_reason")
            if reason:
                if reason not in _CUT:
                    yield from self._calls.all_whole()
                self.terminal = Terminal.SOFT
                yield Finish(reason)
        elif kind == "message_stop":
            self.terminal = Terminal.HARD


@final
class OpenAIResponses:
    """Typed events; exactly one of them ends the answer."""

    terminal = Terminal.NONE

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the text of a delta, and why the answer ended."""
        _check_utf8(event)
        data = _json_object(event)
        kind = data.get("type")
        if kind == "response.output_text.delta":
            yield _text(data, "delta")
        elif kind == "response.output_item.done":
            # It repeats all of the item; one that a limit has cut says so.
            if _text(data, "item", "type") == "function_call" and _text(data, "item", "status") != "incomplete":
                yield ToolCall(
                    _text(data, "item", "call_id"), _text(data, "item", "name"), _text(data, "item", "arguments")
                )
        elif kind in ("response.completed", "response.incomplete"):
            yield Finish(_text(data, "response", "incomplete_details", "reason") or "completed")
            self.terminal = Terminal.HARD
        elif kind == "response.failed":
            _raise_provider_error(_object(data, "response"))
            raise ProviderError("the provider reported a failure and no reason")
        elif kind == "error":
            _raise_provider_error(data)
            raise ProviderError(f"the provider reported: {data.get('message')}", code=_text(data, "code") or None)
        else:
            # What has no type, or one that nobody knows, may still be an error.
            _raise_provider_error(data)


@final
class Gemini:
    """Chunks with candidates; the first candidate's finish reason ends the answer, and so does a blocked prompt."""

    terminal = Terminal.NONE

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the text of the first candidate and its finish reason."""
        _check_utf8(event)
        chunk = _json_object(event)
        _raise_provider_error(chunk)
        # Of several candidates the one with index 0 is shown; it may leave its index out.
        candidates = _objects(chunk, "candidates")
        candidate = next((one for one in candidates if not one.get("index")), {})
        for part in _objects(_object(candidate, "content"), "parts"):
            if part.get("thought") is not True:
                yield _text(part, "text")
            yield from _whole_call(part, "functionCall", "args")
        reason = _text(candidate, "finishReason") or _text(chunk, "promptFeedback", "blockReason")
        if reason:
            self.terminal = Terminal.SOFT
            yield Finish(reason)


@final
class Ollama:
    """Lines of JSON; ``done`` is the last one."""

    terminal = Terminal.NONE

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the text of a line and the reason of the last one."""
        _check_utf8(event)
        line = _json_object(event)
        _raise_provider_error(line)
        yield _text(line, "message", "content")
        for call in _objects(_object(line, "message"), "tool_calls"):
            yield from _whole_call(call, "function", "arguments")
        if line.get("done") is True:
            self.terminal = Terminal.HARD
            yield Finish(_text(line, "done_reason") or "stop")


@final
class EventSource:
    """Plain events: the protocol knows no terminal, and asks for U+FFFD in place of invalid UTF-8."""

    terminal = Terminal.NONE

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the event."""
        yield Event(type=event.type, data=event.data, id=event.id)


READERS: Mapping[DialectName, Callable[[], Reader]] = {
    DialectName.OPENAI_CHAT: OpenAIChat,
    DialectName.OPENAI_RESPONSES: OpenAIResponses,
    DialectName.ANTHROPIC_MESSAGES: AnthropicMessages,
    DialectName.GEMINI: Gemini,
    DialectName.OLLAMA: Ollama,
    DialectName.EVENTSOURCE: EventSource,
}


class Parser(Protocol):
    """Cuts a body into events."""

    @property
    def last_event_id(self) -> str:
        """The id to resume from."""
        ...

    @property
    def retry(self) -> int | None:
        """The reconnection time that the server asked for, in milliseconds."""
        ...

    def feed(self, piece: bytes) -> tuple[sse.Event, ...]:
        """Take the next bytes and return what they complete."""
        ...

    def eof(self) -> None:
        """Forget what is left over: the next bytes begin another body."""
        ...


@final
class Lines:
    """A body of lines (NDJSON): each that is not blank is an event."""

    last_event_id = ""
    retry = None

    def __init__(self) -> None:
        self._tail: list[bytes] = []

    def feed(self, piece: bytes) -> tuple[sse.Event, ...]:
        """Take the next bytes and return the lines that they complete."""
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._tail, lines[0]))
            self._tail.clear()
        self._tail.append(rest)
        return tuple(_line(line) for line in lines if line.strip())

    def eof(self) -> None:
        """Forget half a line."""
        self._tail.clear()


def _line(line: bytes) -> sse.Event:
    text = line.decode("utf-8", "replace")
    return sse.Event("message", text, intact=text.encode() == line)


def parser_for(dialect: DialectName) -> Parser:
    """The parser of a dialect's body."""
    return Lines() if dialect is DialectName.OLLAMA else sse.Parser()


def error_code(value: object) -> str | None:
    """Find the code in the body of an error: a word under ``code``, ``status`` or ``type``, else a number."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None
    known = [error[key] for key in ("code", "status", "type") if error.get(key)]
    return str(next((one for one in known if isinstance(one, str)), known[0])) if known else None


def _check_utf8(event: sse.Event) -> None:
    if not event.intact:
        raise UndecodableAnswer("an event holds invalid UTF-8")


def _json_object(event: sse.Event) -> dict[str, object]:
    try:
        value = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        raise UndecodableAnswer(f"an event holds no JSON: {error}") from error
    if not isinstance(value, dict):
        raise UndecodableAnswer(f"an event holds a JSON {type(value).__name__} where an object belongs")
    return value


def _raise_provider_error(data: dict[str, object]) -> None:
    error = data.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        raise ProviderError(f"the provider reported: {message}", code=error_code(data))


def _first(data: dict[str, object], key: str) -> dict[str, object]:
    """The first object of a list. An empty list is normal (a chunk with nothing but usage)."""
    values = data.get(key)
    if values is None or values == []:
        return {}
    if isinstance(values, list) and isinstance(values[0], dict):
        return values[0]
    raise UndecodableAnswer(f"{key} is no list of objects")


def _objects(data: dict[str, object], key: str) -> list[dict[str, object]]:
    """The objects of a list that may be absent."""
    values = data.get(key)
    if values is None:
        return []
    if isinstance(values, list) and all(isinstance(value, dict) for value in values):
        return values
    raise UndecodableAnswer(f"{key} is no list of objects")


def _object(data: dict[str, object], key: str) -> dict[str, object]:
    """The object under a key; absent and null are the empty object."""
    value = data.get(key)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise UndecodableAnswer(f"{key} is a {type(value).__name__} where an object belongs")


def _whole_call(data: dict[str, object], key: str, arguments: str) -> Iterator[ToolCall]:
    """The tool call under a key, where the protocol sends calls in one piece."""
    call = _object(data, key)
    if call:
        whole = json.dumps(_object(call, arguments), ensure_ascii=False)
        yield ToolCall(_text(call, "id"), _text(call, "name"), whole)


def _number(data: dict[str, object], key: str) -> int:
    """The number under a key; absent and null are 0."""
    value = data.get(key) or 0
    if not isinstance(value, int):
        raise UndecodableAnswer(f"{key} is a {type(value).__name__} where a number belongs")
    return value


def _text(data: dict[str, object], *path: str) -> str:
    """The text at the end of a path of keys; absent and null are the empty text."""
    value: object = data
    for key in path:
        if value is None:
            return ""
        if not isinstance(value, dict):
            raise UndecodableAnswer(f"{'.'.join(path)} leads through a {type(value).__name__}")
        value = value.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UndecodableAnswer(f"{'.'.join(path)} is a {type(value).__name__} where text belongs")
    return value
