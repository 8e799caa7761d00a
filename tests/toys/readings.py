"""How each dialect is read: an event goes in, what the caller sees comes out.

The law of this module: it shares no code with the dialects that spell these events and none with the oracle that judges
them; it was written from what the vendors document. A shape that it does not know is left out, one that it knows and
that is broken raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from testbed import sse
from testbed.adapters.items import Event, Finish, Item, ToolCall
from testbed.script import DialectName, Terminal
from tests.toys.errors import Provider, Undecodable

Json = dict[str, Any]

# The reasons with which an answer ends where a limit or a filter has cut it.
CUT = frozenset({"length", "content_filter", "max_tokens", "model_context_window_exceeded", "refusal", "pause_turn"})


class Reading:
    """What one call knows of its answers. `terminal` says how sure it is that the answer is whole."""

    def __init__(self) -> None:
        self.terminal = Terminal.NONE

    def items(self, event: sse.Event) -> Iterator[Item]:
        """What the caller sees of one event."""
        if not event.intact:
            raise Undecodable("an event holds invalid UTF-8")
        try:
            yield from self.of(self.json(event))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise Undecodable(f"an event has another shape than was agreed: {error!r}") from error

    def json(self, event: sse.Event) -> Json:
        """The object that an event holds."""
        try:
            value = json.loads(event.data)
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"an event holds no JSON: {error}") from error
        if not isinstance(value, dict):
            raise Undecodable("an event holds JSON that is no object")
        return value

    def of(self, data: Json) -> Iterator[Item]:
        """What the caller sees of one object."""
        raise AssertionError("every dialect has its own")

    def complain(self, data: Json) -> None:
        """Raise the error that an object holds, if it holds one."""
        error = data.get("error")
        if error:
            raise provider(error)


def provider(error: object) -> Provider:
    """The provider's error in its various shapes: an object, or a sentence."""
    if not isinstance(error, dict):
        return Provider(str(error))
    code = next((error[key] for key in ("code", "status", "type") if isinstance(error.get(key), str)), None)
    return Provider(str(error.get("message", "")), code)


class Calls:
    """Tool calls whose arguments come in pieces."""

    def __init__(self) -> None:
        self.open: dict[int, tuple[str, str, list[str]]] = {}

    def begin(self, index: int, id: str, name: str) -> None:
        """A call begins."""
        self.open[index] = (id, name, [])

    def piece(self, index: int, json: str) -> None:
        """Its arguments go on."""
        if index in self.open:
            self.open[index][2].append(json)

    def close(self, index: int) -> Iterator[ToolCall]:
        """It is over: show it, if its arguments are whole. One without any waits for why the model stopped."""
        if index in self.open and is_object("".join(self.open[index][2])):
            call_id, name, pieces = self.open.pop(index)
            yield ToolCall(call_id, name, "".join(pieces))

    def close_all(self, reason: str = "") -> Iterator[ToolCall]:
        """The model has stopped; what is open by then has no arguments, or was cut."""
        for index in sorted(self.open):
            if not self.open[index][2] or self.open[index][2] == [""]:
                self.open[index][2].append("" if reason in CUT else "{}")
            yield from self.close(index)
        self.open.clear()


def is_object(text: str) -> bool:
    """Whether this is a whole JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


class Chat(Reading):
    """Chunks with choices, and [DONE]."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Calls()

    def items(self, event: sse.Event) -> Iterator[Item]:
        if event.data == "[DONE]":
            yield from self.calls.close_all()
            self.terminal = Terminal.HARD
            return
        yield from super().items(event)

    def of(self, data: Json) -> Iterator[Item]:
        self.complain(data)
        for choice in data.get("choices") or []:
            if not choice.get("index"):
                yield from self.of_choice(choice)

    def of_choice(self, choice: Json) -> Iterator[Item]:
        """The first of the choices is the one that is shown."""
        delta = choice.get("delta") or {}
        yield self.text(delta)
        for call in delta.get("tool_calls") or []:
            self.of_call(call)
        if choice.get("finish_reason"):
            yield from self.finished(choice["finish_reason"])

    def text(self, delta: Json) -> str:
        """The text of a delta."""
        return str(delta.get("content") or "")

    def of_call(self, call: Json) -> None:
        """A piece of a tool call; the first of them has its id and name."""
        function = call.get("function") or {}
        if call.get("id"):
            self.calls.begin(call["index"], call["id"], function["name"])
        self.calls.piece(call["index"], function.get("arguments") or "")

    def finished(self, reason: str) -> Iterator[Item]:
        """The model has stopped."""
        yield from self.calls.close_all(reason)
        self.terminal = Terminal.SOFT
        yield Finish(reason)


class Anthropic(Reading):
    """Typed events; blocks that are opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Calls()

    def of(self, data: Json) -> Iterator[Item]:
        kind = data.get("type")
        if kind == "error":
            raise provider(data["error"])
        if kind == "content_block_start" and data["content_block"]["type"] == "tool_use":
            self.calls.begin(data["index"], data["content_block"]["id"], data["content_block"]["name"])
        elif kind == "content_block_delta":
            yield from self.of_delta(data["index"], data["delta"])
        elif kind == "content_block_stop":
            yield from self.calls.close(data["index"])
        elif kind == "message_delta":
            yield from self.of_message(data["delta"])
        elif kind == "message_stop":
            self.terminal = Terminal.HARD

    def of_delta(self, index: int, delta: Json) -> Iterator[Item]:
        """A piece of a block."""
        if delta["type"] == "text_delta":
            yield delta["text"]
        elif delta["type"] == "input_json_delta":
            self.calls.piece(index, delta["partial_json"])

    def of_message(self, delta: Json) -> Iterator[Item]:
        """What is known of the whole message: why it stopped."""
        if delta.get("stop_reason"):
            yield from self.calls.close_all(delta["stop_reason"])
            self.terminal = Terminal.SOFT
            yield Finish(delta["stop_reason"])


class Responses(Reading):
    """Typed events with sequence numbers; one of them ends the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.id = ""  # of a response that can be asked for again
        self.number = -1  # of the last event

    def of(self, data: Json) -> Iterator[Item]:
        kind = data.get("type")
        self.number = data.get("sequence_number", self.number)
        if kind == "response.created" and data["response"].get("background"):
            self.id = data["response"]["id"]
        elif kind == "response.output_text.delta":
            yield data["delta"]
        elif kind == "response.output_item.done" and data["item"]["type"] == "function_call":
            yield from self.called(data["item"])
        elif kind in {"response.completed", "response.incomplete"}:
            details = data["response"].get("incomplete_details") or {}
            self.terminal = Terminal.HARD
            yield Finish(details.get("reason") or "completed")
        elif kind == "response.failed":
            raise provider(data["response"].get("error") or "the response failed")
        elif kind == "error":
            raise provider(data.get("error") or data)
        else:
            self.complain(data)

    def called(self, item: Json) -> Iterator[Item]:
        """A tool call, unless the limit has cut it."""
        if item.get("status") != "incomplete" and is_object(item["arguments"] or "{}"):
            yield ToolCall(item["call_id"], item["name"], item["arguments"] or "{}")


class Gemini(Reading):
    """Chunks with candidates; the finish reason of the first is all the end there is."""

    def of(self, data: Json) -> Iterator[Item]:
        self.complain(data)
        for candidate in data.get("candidates") or []:
            if not candidate.get("index"):
                yield from self.of_candidate(candidate)
        if (data.get("promptFeedback") or {}).get("blockReason"):
            self.terminal = Terminal.SOFT
            yield Finish(data["promptFeedback"]["blockReason"])

    def of_candidate(self, candidate: Json) -> Iterator[Item]:
        """The first candidate."""
        for part in (candidate.get("content") or {}).get("parts") or []:
            if "functionCall" in part:
                call = part["functionCall"]
                yield ToolCall(call.get("id") or "", call["name"], json.dumps(call.get("args") or {}))
            elif not part.get("thought"):
                yield part.get("text") or ""
        if candidate.get("finishReason"):
            self.terminal = Terminal.SOFT
            yield Finish(candidate["finishReason"])


class Ollama(Reading):
    """Lines of JSON; `done` is the last."""

    def of(self, data: Json) -> Iterator[Item]:
        self.complain(data)
        message = data.get("message") or {}
        yield message.get("content") or ""
        for call in message.get("tool_calls") or []:
            function = call["function"]
            yield ToolCall(call.get("id") or "", function["name"], json.dumps(function.get("arguments") or {}))
        if data.get("done") is True:
            self.terminal = Terminal.HARD
            yield Finish(data.get("done_reason") or "stop")


class EventSource(Reading):
    """Plain events, as the standard reads them: invalid UTF-8 is U+FFFD by now."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        yield Event(event.type, event.data, event.id)


class Mcp(Reading):
    """JSON-RPC messages: what the tool has to say meanwhile, and its result, which holds the whole text again."""

    def __init__(self) -> None:
        super().__init__()
        self.said = ""

    def items(self, event: sse.Event) -> Iterator[Item]:
        # The first event of a stream has an id and no message: it tells a client what to come back with.
        if event.data or not event.intact:
            yield from super().items(event)

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("method") == "notifications/progress":
            yield self.say(data["params"].get("message") or "")
        elif data.get("method") == "notifications/message":
            yield self.say(str(data["params"]["data"]))
        elif "error" in data:
            raise self.failed(data["error"])
        elif "result" in data:
            self.terminal = Terminal.HARD
            content = data["result"]["content"]
            whole = "".join(block["text"] for block in content if block["type"] == "text")
            # What was told as progress is not told again.
            yield self.say(whole.removeprefix(self.said))

    def say(self, text: str) -> str:
        """Show a text, and know that it was shown."""
        self.said += text
        return text

    def failed(self, error: Json) -> Provider:
        """The error response."""
        kind = (error.get("data") or {}).get("type")
        return Provider(error["message"], kind or str(error["code"]))


READINGS: Mapping[DialectName, type[Reading]] = {
    DialectName.OPENAI_CHAT: Chat,
    DialectName.OPENAI_RESPONSES: Responses,
    DialectName.ANTHROPIC_MESSAGES: Anthropic,
    DialectName.GEMINI: Gemini,
    DialectName.OLLAMA: Ollama,
    DialectName.EVENTSOURCE: EventSource,
    DialectName.MCP: Mcp,
}


class Lines:
    """A body of lines of JSON in the dress of the other parser."""

    last_event_id = ""
    retry: int | None = None

    def __init__(self) -> None:
        self.tail: list[bytes] = []

    def feed(self, piece: bytes) -> tuple[sse.Event, ...]:
        """Take the next bytes, and return the lines that they complete."""
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = b"".join((*self.tail, lines[0]))
            self.tail.clear()
        self.tail.append(rest)
        return tuple(self.event(line) for line in lines if line.strip())

    def event(self, line: bytes) -> sse.Event:
        """One line."""
        text = line.decode("utf-8", "replace")
        return sse.Event("message", text, intact=text.encode() == line)

    def eof(self) -> None:
        """Another body begins."""
        self.tail.clear()
