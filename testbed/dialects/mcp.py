"""MCP over streamable HTTP: one tool call, answered by server-sent events with one JSON-RPC message each.

The laws of this module: each event but the opening is one message; the tokens are notifications that tell their text to
the caller, the result holds the whole text and is the last message (HARD), an error response ends the stream instead.
Event ids rise by one in a stream, and each names the request that the stream answers: so an id alone is enough to go
on from it, on another connection and in another process. A server of revision 2026-07-28 (quirk `stateless`) gives no
ids, has no opening event and resumes nothing.

The answer repeats what only the request knows: its id and its progress token. A script is spelled for request 2 with
token 2, which is what the tool call behind one handshake request has in SDKs that count; :func:`_address` spells it for
any other request, step by step. No id is shorter than that one digit, and a notification without a token is made no
shorter than one with it, so an address of a plan never falls behind the end of the body.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import structs

from testbed.dialects import _mcp_requests as requests
from testbed.dialects._addressed import as_bytes, replaced, without
from testbed.dialects._answers import Asked, Case, to_json
from testbed.dialects._dialect import (
    ANYWHERE,
    BEFORE_THE_END,
    CHAT_ONLY_REFUSED,
    FOREIGN_RULES,
    NOWHERE,
    SHARED_SPELLING,
    TALKING,
    WORDLESS,
    Dialect,
    Numbering,
    Phase,
    Rule,
    Said,
    Spelling,
)
from testbed.errors import UsageError
from testbed.script import (
    Comment,
    DialectName,
    Done,
    Failure,
    Finish,
    Message,
    Open,
    Ping,
    Quirk,
    Script,
    Step,
    Terminal,
    Text,
)

RETRY = 500  # milliseconds, in the opening event: when a client whose stream broke off may come back

# The JSON-RPC names of what a failure can be; any other kind is an internal error that carries it in its data.
CODES: Mapping[str, int] = MappingProxyType(
    {
        "parse_error": requests.PARSE_ERROR,
        "invalid_request": requests.INVALID_REQUEST,
        "method_not_found": requests.METHOD_NOT_FOUND,
        "invalid_params": requests.INVALID_PARAMS,
        "internal_error": requests.INTERNAL_ERROR,
    }
)


class Voice(enum.Enum):
    """How a token reaches the caller."""

    PROGRESS = "progress"  # the request has a progress token
    LOG = "log"  # it has none: the server may then log
    SILENT = "silent"  # 2026-07-28, and the request asked for no logs: only the result says the text


class Call(NamedTuple):
    """What the answer repeats of its request, and the number of its first event."""

    id: requests.Id = 2
    token: requests.Id | None = 2
    voice: Voice = Voice.PROGRESS
    first: int = 0


class _Said(Said):
    """What the answer has said so far: how many events, and the text."""

    def __init__(self, quirks: frozenset[Quirk] = frozenset(), call: Call | None = None) -> None:
        super().__init__(quirks)
        self.call = call or Call()
        self.number = self.call.first
        self.texts: list[str] = []

    def message(self, data: str, *, retry: int | None = None, event: str | None = "message") -> tuple[bytes, ...]:
        """Spell one event, with the next id where the revision has ids."""
        number, self.number = self.number, self.number + 1
        cursor = requests.Cursor(self.call.id, self.call.token, number)
        return (self.event(data, event, None if Quirk.STATELESS in self.quirks else str(cursor), retry),)

    def response(self, **member: object) -> tuple[bytes, ...]:
        """Spell the response to the request."""
        return self.message(to_json({"jsonrpc": "2.0", "id": self.call.id, **member}))


# --- spelling ---------------------------------------------------------------------------------------------------------


def _open(_step: Open, said: _Said) -> tuple[bytes, ...]:
    # Without ids there is nothing to prime a client with.
    return () if Quirk.STATELESS in said.quirks else said.message("", retry=RETRY, event=None)


def _text(step: Text, said: _Said) -> tuple[bytes, ...]:
    said.texts.append(step.text)
    return _VOICES[said.call.voice](step, said)


def _progress(text: str, said: _Said) -> str:
    params = {"progressToken": said.call.token, "progress": len(said.texts), "message": text}
    return to_json({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


def _say_progress(step: Text, said: _Said) -> tuple[bytes, ...]:
    return said.message(_progress(step.text, said))


def _say_log(step: Text, said: _Said) -> tuple[bytes, ...]:
    params = {"level": "info", "logger": "testbed.tools.call.tokens", "data": step.text}
    return said.message(to_json({"jsonrpc": "2.0", "method": "notifications/message", "params": params}))


def _say_nothing(step: Text, said: _Said) -> tuple[bytes, ...]:
    said.number += 1
    # A comment in place of an event, and as long: what is addressed behind it stays where it is.
    length = len("event: message\ndata: ") + len(_progress(step.text, said).encode())
    return (said.comment("." * length),)


_VOICES: Mapping[Voice, Callable[[Text, _Said], tuple[bytes, ...]]] = MappingProxyType(
    {Voice.PROGRESS: _say_progress, Voice.LOG: _say_log, Voice.SILENT: _say_nothing}
)


def _finish(step: Finish, _said: _Said) -> tuple[bytes, ...]:
    if step.reason:
        raise UsageError("mcp has no word for why a tool has finished: leave out the reason")
    return ()


def _done(_step: Done, said: _Said) -> tuple[bytes, ...]:
    kind = {"resultType": "complete"} if Quirk.STATELESS in said.quirks else {}
    content = [{"type": "text", "text": "".join(said.texts)}]
    return said.response(result={**kind, "content": content, "isError": False})


def _failure(step: Failure, said: _Said) -> tuple[bytes, ...]:
    code = _code(step.kind)
    error: dict[str, Any] = {"code": requests.INTERNAL_ERROR if code is None else code, "message": step.message}
    return said.response(error=error if code is not None else {**error, "data": {"type": step.kind}})


def _code(kind: str) -> int | None:
    if kind.removeprefix("-").isdecimal() and kind.isascii():
        return int(kind)
    return CODES.get(kind)


SPELLING: Mapping[type, Spelling] = MappingProxyType(
    {
        **SHARED_SPELLING,
        Open: _open,
        Text: _text,
        Finish: _finish,
        Done: _done,
        Failure: _failure,
        Ping: lambda _step, said: (said.keepalive(),),
    }
)

# The opening is no more than recommended.
_BEGUN = TALKING | {Phase.START}

ORDER: Mapping[type, Rule] = MappingProxyType(
    {
        **FOREIGN_RULES,
        Comment: Rule(ANYWHERE, None, "a comment may stand anywhere"),
        Open: Rule(frozenset({Phase.START}), Phase.OPENED, "the event that primes the client comes first, and once"),
        Text: Rule(_BEGUN, Phase.OPENED, "a notification stands before the response"),
        Finish: Rule(_BEGUN, Phase.FINISHED, "the tool finishes once"),
        Done: Rule(_BEGUN | {Phase.FINISHED}, Phase.OVER, "the response comes once, and ends the stream"),
        Failure: Rule(BEFORE_THE_END, Phase.OVER, "an error response ends the stream, and nothing follows the end"),
        Ping: Rule(ANYWHERE, None, "a comment may stand anywhere"),
        Message: Rule(NOWHERE, None, "an event that is no JSON-RPC message is no part of mcp"),
    }
)


# --- the request ------------------------------------------------------------------------------------------------------


def _call_of(asked: Asked) -> tuple[Call, int | None]:
    """What the answer has to repeat, and the number of the last event that the client has (None: it has none)."""
    if asked.method == "GET":
        cursor = requests.read_cursor(asked.headers.get("last-event-id", ""))
        if cursor is None:
            return Call(), None
        return Call(cursor.id, cursor.token, Voice.LOG if cursor.token is None else Voice.PROGRESS), cursor.number
    message = requests.read_message(asked)
    if isinstance(message, Case) or message.id is None:
        return Call(), None
    return Call(message.id, message.token, _voice(asked, message)), None


def _voice(asked: Asked, message: requests.Message) -> Voice:
    if message.token is not None:
        return Voice.PROGRESS
    heard = not requests.is_stateless(asked) or requests.LOG_LEVEL_KEY in message.meta
    return Voice.LOG if heard else Voice.SILENT


def _address(script: Script, asked: Asked) -> Script:
    """Spell the script for one request; leave out what a client that resumes has, if the script does that."""
    call, last = _call_of(asked)
    if last is None:
        return script if call == Call() else _spelled(script, call)[0]
    if not script.resumes:
        # The script is what comes next: its events are numbered from there on.
        return _spelled(script, call._replace(first=last + 1))[0]
    addressed, numbers = _spelled(script, call)
    through = max((index for index, number in numbers.items() if number <= last), default=-1)
    return without(addressed, through, MCP.encode(addressed.steps, addressed.quirks)) if through >= 0 else addressed


def _spelled(script: Script, call: Call) -> tuple[Script, dict[int, int]]:
    """The script in the bytes that answer this call, and the number of each step that is a numbered event."""
    said = _Said(frozenset(script.quirks), call)
    numbers: dict[int, int] = {}

    def spell(index: int, step: Step) -> Step:
        number = said.number
        # A text that is said many times over is one text, here as in the spelling of every other dialect.
        said_at_once = structs.replace(step, text=step.said, times=1) if isinstance(step, Text) else step
        data = b"".join(SPELLING[type(step)](said_at_once, said))
        if said.number == number:
            return step
        numbers[index] = number
        return as_bytes(data)

    return replaced(script, spell), numbers


def _counts(script: Script) -> tuple[int, ...]:
    numbers = {} if Quirk.STATELESS in script.quirks else _spelled(script, Call())[1]
    return tuple(int(index in numbers) for index in range(len(script.steps)))


def _number_in(known: str) -> int | None:
    cursor = requests.read_cursor(known)
    return None if cursor is None else cursor.number


def _request(model: str) -> dict[str, object]:
    # What `call_tool` takes; the SDK puts it into the params of a JSON-RPC request.
    return {"name": requests.TOOL, "arguments": {"model": model}}


MCP = Dialect(
    name=DialectName.MCP,
    method="POST",
    path=requests.PATH,
    base_path=requests.PATH,
    content_type="text/event-stream",
    spelling=SPELLING,
    refused=CHAT_ONLY_REFUSED,
    order=ORDER,
    terminals=MappingProxyType({Done: Terminal.HARD}),
    make_request=_request,
    make_error=requests.error,
    reject=lambda _dialect, asked: requests.reject(asked),
    methods=("GET", "DELETE"),
    begin=_Said,
    wordless=WORDLESS | {Finish},
    aside=requests.aside,
    resume=_address,
    resumes=lambda asked: asked.headers.get("last-event-id", "") if asked.method == "GET" else "",
    numbering=Numbering(_counts, _number_in, goes_on=True),
)
