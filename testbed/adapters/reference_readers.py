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
from testbed.adapters.items import Event, Finish, Item
from testbed.adapters.reference_errors import ProviderError, UndecodableAnswer
from testbed.script import DialectName, Terminal


class Reader(Protocol):
    """Reads the events of one answer. `terminal` says how sure it is that the answer is whole."""

    terminal: Terminal

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield what the caller sees of one event."""
        ...


@final
class OpenAIChat:
    """Chunks with one choice, and ``[DONE]``."""

    def __init__(self) -> None:
        self.terminal = Terminal.NONE

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
        reason = _text(choice, "finish_reason")
        if reason:
            self.terminal = Terminal.SOFT
            yield Finish(reason)


@final
class AnthropicMessages:
    """Typed events; the type in the data counts, the event's name repeats it."""

    def __init__(self) -> None:
        self.terminal = Terminal.NONE

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the text of a delta and the stop reason of the message."""
        _check_utf8(event)
        data = _json_object(event)
        kind = data.get("type")
        if kind == "error":
            _raise_provider_error(data)
        elif kind == "content_block_delta":
            yield _text(data, "delta", "text")
        elif kind == "message_delta":
            reason = _text(data, "delta", "stop_reason")
            if reason:
                self.terminal = Terminal.SOFT
                yield Finish(reason)
        elif kind == "message_stop":
            self.terminal = Terminal.HARD


@final
class EventSource:
    """Plain events: the protocol knows no terminal, and asks for U+FFFD in place of invalid UTF-8."""

    def __init__(self) -> None:
        self.terminal = Terminal.NONE

    def read(self, event: sse.Event) -> Iterator[Item]:
        """Yield the event."""
        yield Event(type=event.type, data=event.data, id=event.id)


READERS: Mapping[DialectName, Callable[[], Reader]] = {
    DialectName.OPENAI_CHAT: OpenAIChat,
    DialectName.ANTHROPIC_MESSAGES: AnthropicMessages,
    DialectName.EVENTSOURCE: EventSource,
}


def error_code(value: object) -> str | None:
    """Find the provider's code in the body of an error: ``error.code``, else ``error.type``."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None
    return next((str(error[key]) for key in ("code", "type") if error.get(key)), None)


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
