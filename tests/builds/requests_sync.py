"""A blocking client on ``requests``, with a back-off of its own in place of the library's.

The law of this module: the library's retries are off, because they would send a request again whose answer has begun;
the loop here does not. Bytes are taken as they come, never in blocks that have to fill up first.
"""

from __future__ import annotations

import email.utils
import json
import math
import random
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager

import requests
import urllib3

from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, ToolCall
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option
from tests.builds import trouble

MOST_WAIT = 60.0
Json = dict[str, object]


@client(
    name="build-requests",
    base=trouble.StreamError,
    errors=trouble.ERRORS,
    status="status",
    dialects=["openai-chat", "anthropic-messages", "ollama"],
    options=[Option.CONNECT_TIMEOUT, Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT, Option.MAX_RETRIES],
    shows_finish=True,
    shows_tools=True,
)
def requests_sync(target: Target) -> Generator[Item, None, None]:
    """Ask until an answer has begun, with pauses that grow."""
    pause = 0.5
    with requests.Session() as session:
        session.trust_env = False
        for attempt in range(target.max_retries + 1):
            call = Call(session, target)
            try:
                yield from call.items()
            except trouble.StreamError as error:
                wait = getattr(error, "wait", None) or pause + random.uniform(0, pause / 2)
                if call.shown or not error.passing or attempt == target.max_retries or wait > MOST_WAIT:
                    raise
            else:
                return
            time.sleep(wait)
            pause = min(8.0, pause * 2)


class Call:
    """One request."""

    def __init__(self, session: requests.Session, target: Target) -> None:
        self.session, self.target = session, target
        self.shown = False

    def items(self) -> Iterator[Item]:
        """The answer as its caller sees it."""
        answer = ANSWERS[self.target.dialect]()
        with self.explained():
            response = self.send()
        with closing(response):
            self.check(response)
            try:
                for event in self.events(response):
                    for item in answer.take(event):
                        self.shown = self.shown or bool(item)
                        yield item
                    if answer.closed:
                        return
            except (trouble.Reset, trouble.BrokenBody, trouble.Stalled):
                if answer.reason is None:
                    raise
        if answer.reason is None:
            raise trouble.Truncated("the body ended before the answer did")

    def send(self) -> requests.Response:
        """Post the request; the read time-out holds for every wait behind it, too."""
        target = self.target
        headers = {"Authorization": f"Bearer {target.api_key}", "x-api-key": target.api_key}
        headers["anthropic-version"] = "2023-06-01"
        read = target.idle_timeout if target.idle_timeout is not None else target.first_byte_timeout
        return self.session.post(
            target.base_url.rstrip("/") + PATHS[target.dialect],
            json={**target.request, "stream": True},
            headers=headers,
            stream=True,
            timeout=(target.connect_timeout, read),
            allow_redirects=False,
        )

    def check(self, response: requests.Response) -> None:
        """Refuse an error and what is no stream."""
        if response.status_code != 200:
            raise trouble.Refused(response.status_code, self.code(response), asked_wait(response))
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind not in ("text/event-stream", "application/x-ndjson"):
            raise trouble.NoStream(f"the content type is {kind!r}")

    def code(self, response: requests.Response) -> str | None:
        """The provider's code for an error."""
        try:
            with self.explained():
                return code_of(json.loads(response.content))
        except (ValueError, RecursionError, trouble.StreamError):
            return None

    def events(self, response: requests.Response) -> Iterator[str]:
        """The data of events, or the lines of a body of lines."""
        framed = self.target.dialect is not DialectName.OLLAMA
        data: list[str] = []
        for line in lines(self.pieces(response)):
            if not framed:
                if line.strip():
                    yield text_of(line)
            elif line.startswith(b"data:"):
                data.append(text_of(line[5:].removeprefix(b" ")))
            elif line.startswith(b"error:"):
                # llama.cpp's server has a field of its own for errors.
                yield '{"error":' + text_of(line[6:]) + "}"
            elif not line and data:
                yield "\n".join(data)
                data = []

    def pieces(self, response: requests.Response) -> Iterator[bytes]:
        """What each read brings, decompressed."""
        while True:
            with self.explained():
                piece = response.raw.read1(65536, decode_content=True)
            if not piece and self.is_at_end(response):
                return
            yield piece

    @staticmethod
    def is_at_end(response: requests.Response) -> bool:
        """Whether nothing more will come: a decompressor may have taken bytes and given none."""
        below = response.raw._fp  # urllib3 says it nowhere else
        return below is None or below.closed or below.isclosed()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn exceptions of both libraries into ours."""
        try:
            yield
        except (requests.ConnectTimeout, urllib3.exceptions.NewConnectionError) as error:
            raise trouble.Unreachable(str(error)) from error
        except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
            raise (trouble.Stalled if self.shown else trouble.SlowStart)(str(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self.meaning(error) from error

    @staticmethod
    def meaning(error: Exception) -> trouble.StreamError:
        """Look for the reason behind the library's wrapping: in causes and in arguments."""
        found: list[object] = [error]
        for one in found:  # grows while it is read
            if isinstance(one, BaseException) and len(found) < 50:
                found += [*one.args, one.__cause__, one.__context__, getattr(one, "reason", None)]
        kinds = [type(one) for one in found if isinstance(one, BaseException)]
        for kind, ours in MEANINGS:
            if any(issubclass(one, kind) for one in kinds):
                return ours(str(error))
        return trouble.BrokenBody(str(error))


# The first that is found behind an exception says what it means.
MEANINGS: tuple[tuple[type[BaseException], type[trouble.StreamError]], ...] = (
    (urllib3.exceptions.NewConnectionError, trouble.Unreachable),
    (urllib3.exceptions.DecodeError, trouble.Unreadable),
    (ConnectionResetError, trouble.Reset),
    (BrokenPipeError, trouble.Reset),
)
PATHS = {
    DialectName.OPENAI_CHAT: "/chat/completions",
    DialectName.ANTHROPIC_MESSAGES: "/v1/messages",
    DialectName.OLLAMA: "/api/chat",
}


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines that end with LF, CR LF or CR."""
    held = b""
    skip = False
    first = True
    for piece in pieces:
        for part in piece.splitlines(keepends=True):
            if skip and part == b"\n":
                skip = False
                continue
            skip = part.endswith(b"\r")
            held += part
            if held.endswith((b"\n", b"\r")):
                line = held.rstrip(b"\r\n")
                yield line.removeprefix(b"\xef\xbb\xbf") if first else line
                held, first = b"", False


def text_of(line: bytes) -> str:
    """A line is whole, so no character of it is split."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise trouble.Unreadable("a line is no UTF-8") from error


def asked_wait(response: requests.Response) -> float | None:
    """The wait that an answer asks for, in any of the three forms."""
    milliseconds, asked = response.headers.get("Retry-After-Ms"), response.headers.get("Retry-After")
    wait = seconds(milliseconds, 0.001)
    if wait is None and asked is not None:
        # `requests` joins what is sent twice.
        found = [seconds(one, 1.0) for one in asked.split(",")]
        wait = max((one for one in found if one is not None), default=None)
        if wait is None:
            wait = until(asked, response.headers.get("Date"))
    return wait if wait is not None and wait > 0 else None


def seconds(value: str | None, unit: float) -> float | None:
    """A number as seconds."""
    try:
        number = float(value or "") * unit
    except ValueError:
        return None
    return None if math.isnan(number) else number


def until(value: str, date: str | None) -> float | None:
    """The seconds to a date, by the server's own clock if it says what it shows."""
    try:
        now = email.utils.parsedate_to_datetime(date).timestamp() if date else time.time()
        return email.utils.parsedate_to_datetime(value).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return None


# --- answers ----------------------------------------------------------------------------------------------------------


def code_of(body: object) -> str | None:
    """The code that an error has, as a word if there is one."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    words = [error.get(name) for name in ("code", "type")]
    found = next((word for word in words if isinstance(word, str) and word), error.get("code"))
    return None if found is None else str(found)


def load(event: str) -> Json:
    """The object in an event, if it is no error."""
    try:
        value = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise trouble.Unreadable(f"this is no JSON: {event:.40}") from error
    if not isinstance(value, dict):
        raise trouble.Unreadable(f"this is no object: {event:.40}")
    if value.get("error"):
        raise trouble.ProviderError(str(value["error"])[:200], code=code_of(value))
    return value


def inner(value: Json, *names: str) -> Json:
    """An object further in; what is absent is empty, what is something else is an error."""
    for name in names:
        found = value.get(name)
        if found is not None and not isinstance(found, dict):
            raise trouble.Unreadable(f"{name} is no object")
        value = found or {}
    return value


def word(value: Json, name: str) -> str:
    """A text; what is absent is empty, what is something else is an error."""
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        raise trouble.Unreadable(f"{name} is no text")
    return found or ""


def objects(value: Json, name: str) -> list[Json]:
    """A list of objects."""
    found = value.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise trouble.Unreadable(f"{name} is no list of objects")
    return found


class ChatAnswer:
    """An answer of chat completions."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.closed = False
        self.calls: dict[object, tuple[str, str, str]] = {}

    def take(self, event: str) -> Iterator[Item]:
        """Text, then calls and reason."""
        if event == "[DONE]":
            self.closed, self.reason = True, self.reason or "stop"
            return
        for choice in objects(load(event), "choices"):
            if choice.get("index") not in (0, None):
                continue
            delta = inner(choice, "delta")
            yield word(delta, "content")
            for call in objects(delta, "tool_calls"):
                had, function = self.calls.get(call.get("index"), ("", "", "")), inner(call, "function")
                more = word(call, "id"), word(function, "name"), word(function, "arguments")
                self.calls[call.get("index")] = had[0] + more[0], had[1] + more[1], had[2] + more[2]
            if word(choice, "finish_reason"):
                yield from self.finish(word(choice, "finish_reason"))

    def finish(self, reason: str) -> Iterator[Item]:
        """The calls that are whole, and the reason: an answer that was cut for its length ends inside its last."""
        self.reason = reason
        if reason not in trouble.CUT:
            yield from (ToolCall(*call) for call in self.calls.values())
        yield Finish(reason)


class MessagesAnswer:
    """An answer of messages."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.closed = False
        self.call: ToolCall | None = None
        self.calls: list[ToolCall] = []

    def take(self, event: str) -> Iterator[Item]:
        """Text; then, unless the answer was cut, its calls; and the reason."""
        value = load(event)
        kind, delta = value.get("type"), inner(value, "delta")
        if kind == "error":
            raise trouble.ProviderError("an error without a word")
        if kind == "content_block_start":
            block = inner(value, "content_block")
            called = block.get("type") == "tool_use"
            self.call = ToolCall(word(block, "id"), word(block, "name")) if called else None
        elif kind == "content_block_delta" and self.call is not None:
            self.call = ToolCall(self.call.id, self.call.name, self.call.arguments + word(delta, "partial_json"))
        elif kind == "content_block_delta":
            yield word(delta, "text")
        elif kind == "content_block_stop" and self.call is not None:
            self.calls.append(self.call)
            self.call = None
        elif kind == "message_delta" and word(delta, "stop_reason"):
            self.reason = word(delta, "stop_reason")
            yield from self.calls if self.reason not in trouble.CUT else ()
            yield Finish(self.reason)
        elif kind == "message_stop":
            self.closed, self.reason = True, self.reason or "end_turn"


class OllamaAnswer:
    """An answer in lines."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.closed = False

    def take(self, event: str) -> Iterator[Item]:
        """Text and calls of a line; the last line has the reason."""
        value = load(event)
        message = inner(value, "message")
        yield word(message, "content")
        for call in objects(message, "tool_calls"):
            function = inner(call, "function")
            arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
            yield ToolCall(word(call, "id"), word(function, "name"), arguments)
        if value.get("done") is True:
            self.closed, self.reason = True, word(value, "done_reason") or "stop"
            yield Finish(self.reason)


ANSWERS: Mapping[DialectName, type[ChatAnswer] | type[MessagesAnswer] | type[OllamaAnswer]] = {
    DialectName.OPENAI_CHAT: ChatAnswer,
    DialectName.ANTHROPIC_MESSAGES: MessagesAnswer,
    DialectName.OLLAMA: OllamaAnswer,
}
