"""A blocking client on nothing but ``socket``: HTTP/1.1 (see `http_by_hand`), event streams and retries.

The law of this module: every byte is accounted for. A head, a chunk or a body that breaks its rules is an error at the
byte that breaks them, and what came before it has been shown.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from testbed.adapters.declare import client
from testbed.adapters.items import Event, Finish, Item, ToolCall
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option
from tests.builds import trouble
from tests.builds.http_by_hand import Fields, Wire, asked_wait, body, head, request

MOST_WAIT = 60.0
MOST_BODY = 65536  # of an error


@client(
    name="build-sockets",
    base=trouble.StreamError,
    errors=trouble.ERRORS,
    status="status",
    dialects=["openai-chat", "anthropic-messages", "eventsource"],
    options=[
        one for one in Option if one not in (Option.CANCEL, Option.FALLBACK, Option.KEEPALIVES, Option.MAX_EVENT_BYTES)
    ],
    shared_read_timeout=False,
    reconnects=True,
    shows_finish=True,
    shows_tools=True,
)
def raw_sockets(target: Target) -> Generator[Item, None, None]:
    """Ask; a plain source is asked again for as long as that is allowed, an answer only before it has begun."""
    state = State()
    plain = target.dialect is DialectName.EVENTSOURCE
    for attempt in range(target.max_retries + 1):
        last = attempt == target.max_retries
        wait = None
        try:
            yield from answer(target, state)
            if last or not plain or state.over:
                return
        except trouble.StreamError as error:
            wait = getattr(error, "wait", None)
            shown = state.shown and not plain
            if last or shown or not error.passing or (wait or 0) > MOST_WAIT:
                raise
        if wait is None:
            wait = state.retry if state.retry is not None else min(8.0, 2.0**attempt) * random.uniform(0.5, 0.75)
        time.sleep(min(wait, MOST_WAIT))


class State:
    """What outlives a connection."""

    shown = False
    over = False  # a plain source has said that there is nothing more
    last_id = ""
    retry: float | None = None


def answer(target: Target, state: State) -> Iterator[Item]:
    """One request, one answer, one connection."""
    reading = {DialectName.OPENAI_CHAT: Chat, DialectName.ANTHROPIC_MESSAGES: Blocks}.get(target.dialect, Plain)()

    def patience() -> float | None:
        return target.idle_timeout if state.shown else target.first_byte_timeout

    with closing(Wire(target, lambda: state.shown, patience)) as wire:
        wire.send(request(target, state.last_id))
        status, fields = head(wire)
        while 100 <= status < 200:
            status, fields = head(wire)
        if status == 204 and isinstance(reading, Plain):
            state.over = True
            return
        check(status, fields, wire)
        try:
            for event in events(body(status, fields, wire), state):
                for item in reading.read(*event):
                    state.shown = state.shown or bool(item)
                    yield item
                if reading.over:
                    return
        except (trouble.Reset, trouble.Stalled, trouble.Truncated, trouble.Malformed):
            if not reading.finished:
                raise
    if not reading.finished and not isinstance(reading, Plain):
        raise trouble.Truncated("the body ended before the answer did")


# --- what the head says -----------------------------------------------------------------------------------------------


def check(status: int, fields: Fields, wire: Wire) -> None:
    """Refuse an error, with its code if its body can be read, and whatever is no stream of events."""
    if status != 200:
        content = b""
        try:
            for piece in body(status, fields, wire):
                content += piece
                if len(content) > MOST_BODY:
                    break
        except trouble.StreamError:
            pass  # the status is here, and says more
        raise trouble.Refused(status, code_of(content), asked_wait(fields))
    kind = fields.get("content-type", [""])[-1].partition(";")[0].strip().lower()
    if kind != "text/event-stream":
        raise trouble.NoStream(f"the content type is {kind!r}")
    if fields.get("content-encoding", ["identity"]) != ["identity"]:
        raise trouble.Unreadable("the body is coded, which nobody asked for")


# --- events -----------------------------------------------------------------------------------------------------------


def events(pieces: Iterator[bytes], state: State) -> Iterator[tuple[str, bytes, str]]:
    """Type, data and id of each event."""
    name, data, last_id = b"", list[bytes](), state.last_id
    for line in lines(pieces):
        key, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            state.last_id = last_id
            if b"\n".join(data):
                yield name.decode("utf-8", "replace") or "message", b"\n".join(data), last_id
            name, data = b"", []
        elif key == b"event":
            name = value
        elif key == b"data":
            data.append(value)
        elif key == b"id" and 0 not in value:
            last_id = value.decode("utf-8", "replace")
        elif key == b"retry" and value and all(digit in b"0123456789" for digit in value):
            state.retry = min(int(value) / 1000, MOST_WAIT)


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines that end with CR, LF or both; what is left at the end is none."""
    line, after_cr, first = bytearray(), False, True
    for piece in pieces:
        start = 0
        for place, byte in enumerate(piece):
            if byte not in (10, 13):
                after_cr = False
                continue
            if byte == 10 and after_cr:
                after_cr, start = False, place + 1
                continue
            line += piece[start:place]
            yield bytes(line).removeprefix(b"\xef\xbb\xbf" if first else b"")
            line.clear()
            after_cr, start, first = byte == 13, place + 1, False
        line += piece[start:]


# --- what they mean ---------------------------------------------------------------------------------------------------


def code_of(content: bytes) -> str | None:
    """The code in an error's body."""
    try:
        return code_in(json.loads(content))
    except (ValueError, RecursionError):
        return None


def code_in(value: Any) -> str | None:
    """The code of an error."""
    error = value.get("error") if isinstance(value, dict) else None
    words = [error.get(key) for key in ("code", "type")] if isinstance(error, dict) else []
    return next((str(word) for word in words if word), None)


class Reading:
    """An answer that is being read. `finished`: its text is whole; `over`: nothing more is to come."""

    finished = over = False

    def __init__(self) -> None:
        self.calls: dict[int, list[str]] = {}

    def read(self, _name: str, data: bytes, _id: str) -> Iterator[Item]:
        """What the caller sees of an event; whatever is not shaped as it should be is unreadable."""
        if data == b"[DONE]":
            self.finished = self.over = True
            return
        try:
            value = json.loads(data.decode())
            if value.get("error"):
                raise trouble.ProviderError(str(value["error"]), code=code_in(value))
            yield from list(self.items(value))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise trouble.Unreadable(f"an event is not what it should be: {error!r}") from error

    def items(self, value: Any) -> Iterator[Item]:
        """What the dialect makes of an event."""
        yield from ()


class Chat(Reading):
    """Chat completions."""

    def items(self, value: Any) -> Iterator[Item]:
        """The first choice: text, calls, reason."""
        for choice in value.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta") or {}
            yield "" + (delta.get("content") or "")
            for piece in delta.get("tool_calls") or ():
                call, function = self.calls.setdefault(piece["index"], ["", "", ""]), piece.get("function") or {}
                for place, more in enumerate((piece.get("id"), function.get("name"), function.get("arguments"))):
                    call[place] += more or ""
            if reason := choice.get("finish_reason"):
                self.finished = True
                yield from (ToolCall(*call) for call in self.calls.values() if reason not in trouble.CUT)
                yield Finish(reason)


class Blocks(Reading):
    """Messages."""

    def items(self, value: Any) -> Iterator[Item]:
        """Text, calls, reason."""
        kind, index, delta = value.get("type"), value.get("index", 0), value.get("delta") or {}
        if kind == "content_block_start" and value["content_block"]["type"] == "tool_use":
            self.calls[index] = [value["content_block"]["id"], value["content_block"]["name"], ""]
        elif kind == "content_block_delta" and delta["type"] == "text_delta":
            yield "" + delta["text"]
        elif kind == "content_block_delta" and index in self.calls:
            self.calls[index][2] += delta["partial_json"]
        elif kind == "message_delta" and delta.get("stop_reason"):
            self.finished = True
            # The block of a call that was cut ends like any other; only now is it known to be whole.
            yield from (ToolCall(*call) for call in self.calls.values() if delta["stop_reason"] not in trouble.CUT)
            yield Finish(delta["stop_reason"])
        elif kind == "message_stop":
            self.finished = self.over = True
        elif kind == "error":
            raise trouble.ProviderError("an error that says nothing")


class Plain(Reading):
    """Plain events."""

    def read(self, name: str, data: bytes, id: str) -> Iterator[Item]:
        """The event."""
        yield Event(name, data.decode("utf-8", "replace"), id)
