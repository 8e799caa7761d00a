r"""Ollama's own API: newline-delimited JSON, one object a line, from ``POST /api/chat`` and ``POST /api/generate``.

The laws of this module: every line but the last says ``"done":false``, the last says ``"done":true`` with the reason
and the counters (HARD), or is an error without either; a line ends with LF and holds none; a line of
``/api/generate`` is as long as the line of ``/api/chat`` for the same step, so that an address in a plan means the same
event on both.

A line is spelled as Go's encoder spells it: ``<``, ``>``, ``&``, U+2028 and U+2029 are escaped, all else is UTF-8. So
is what the real server sends: :meth:`str.splitlines` cuts at U+2028, and at U+0085, which nobody escapes.

The reason stands in the last line and nowhere else, hence a finish step puts no bytes into the body: it only says what
the done step will give as the reason. The pieces of a tool call's arguments are collected, and the one that completes
the object says the whole call in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from testbed import sse
from testbed.dialects._addressed import as_bytes, replaced
from testbed.dialects._dialect import (
    BEFORE_THE_END,
    CONTENT_RULES,
    FOREIGN_RULES,
    NOWHERE,
    SHARED_SPELLING,
    WORDLESS,
    Answer,
    Asked,
    Case,
    Dialect,
    Phase,
    Rule,
    Said,
    Spelling,
    read_object,
    to_json,
)
from testbed.dialects._order import TALKING
from testbed.errors import UsageError
from testbed.script import (
    Arguments,
    Citation,
    Comment,
    DialectName,
    Done,
    Failure,
    Finish,
    Message,
    Open,
    Ping,
    Quirk,
    Refusal,
    Script,
    Step,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)

MODEL = "testbed-1"
CREATED = "2023-11-14T22:13:20.000000Z"  # a constant: a line must not depend on the day
VERSION = "0.12.0"
PROMPT_TOKENS = 8
NANOSECONDS = 1_000_000  # what each of the counters of time says

NORMAL_REASON = "stop"

CHAT, GENERATE = "/api/chat", "/api/generate"


class _Said(Said):
    """What the answer has said so far: the reason that its last line will give, and the tool call under way."""

    def __init__(self, quirks: frozenset[Quirk] = frozenset(), path: str = CHAT) -> None:
        super().__init__(quirks)
        self.path = path
        self.reason = ""
        self.lines = 0  # with content: what the runner counts as evaluated
        self.calls = 0
        self.call: ToolCall | None = None  # begun, and its arguments are not whole
        self.arguments = ""

    def line(self, message: Mapping[str, object], **fields: object) -> tuple[bytes, ...]:
        """Spell one line of the answer; nothing may be said while a tool call waits for the rest of its arguments."""
        if self.call is not None:
            raise UsageError(
                f"the arguments of the tool call {self.call.name!r} before it are {self.arguments!r}; "
                "its arguments steps, joined, must be one JSON object ({} at the least)"
            )
        return (self._shaped(message, fields),)

    def _shaped(self, message: Mapping[str, object], fields: Mapping[str, object]) -> bytes:
        head: dict[str, object] = {"model": MODEL, "created_at": CREATED}
        chat = _go_json({**head, "message": {"role": "assistant", **message}, **fields})
        if self.path == CHAT:
            return sse.utf8(chat + "\n")
        rest = {key: value for key, value in message.items() if key != "content"}
        generate = _go_json({**head, "response": message["content"], **rest, **fields})
        # Blanks between two members mean nothing in JSON; they stand behind the last comma before `done`.
        blanks = " " * (len(chat) - len(generate))
        before, done, after = generate.rpartition('"done":')
        return sse.utf8(f"{before}{blanks}{done}{after}\n")


def _go_json(value: object) -> str:
    text = to_json(value)
    # None of these can stand outside of a JSON string, so this touches nothing else.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


# --- spelling ---------------------------------------------------------------------------------------------------------


def _text(step: Text, said: _Said) -> tuple[bytes, ...]:
    said.lines += 1
    return said.line({"content": step.text}, done=False)


def _thinking(step: Thinking, said: _Said) -> tuple[bytes, ...]:
    said.lines += 1
    return said.line({"content": "", "thinking": step.text}, done=False)


def _tool_call(step: ToolCall, said: _Said) -> tuple[bytes, ...]:
    said.line({"content": ""})  # refuses the step while another call is under way
    said.call, said.arguments = step, ""
    return ()


def _arguments(step: Arguments, said: _Said) -> tuple[bytes, ...]:
    if said.call is None:
        raise UsageError("no tool call before it waits for arguments: a call's arguments are one JSON object")
    said.arguments += step.json
    # An object is complete at its last brace and not before: no JSON object begins with another one.
    if not _is_object(said.arguments):
        return ()
    call, said.call = said.call, None
    function = {"index": said.calls, "name": call.name, "arguments": msgspec.Raw(_compact(said.arguments))}
    identity = call.id or f"call_{said.calls:08d}"
    said.calls += 1
    said.lines += 1
    return said.line({"content": "", "tool_calls": [{"id": identity, "function": function}]}, done=False)


def _is_object(text: str) -> bool:
    return isinstance(read_object(sse.utf8(text)), dict)


def _compact(text: str) -> bytes:
    # Without parsing, so that a number keeps its digits; and a line holds no line end.
    return msgspec.json.format(text.encode(), indent=-1)


def _finish(step: Finish, said: _Said) -> tuple[bytes, ...]:
    said.reason = step.reason
    return ()


def _done(_step: Done, said: _Said) -> tuple[bytes, ...]:
    counters = {
        "total_duration": 5 * NANOSECONDS,
        "load_duration": NANOSECONDS,
        "prompt_eval_count": PROMPT_TOKENS,
        "prompt_eval_duration": NANOSECONDS,
        "eval_count": said.lines,
        "eval_duration": 3 * NANOSECONDS,
    }
    return said.line({"content": ""}, done=True, done_reason=said.reason or NORMAL_REASON, **counters)


def _failure(step: Failure, _said: _Said) -> tuple[bytes, ...]:
    # The vendor has no kinds: what a step says of it shows nowhere.
    return (sse.utf8(_go_json({"error": step.message}) + "\n"),)


_NO_EVENTS = "ollama sends lines of JSON, not server-sent events; use a raw step for bytes that are none"

REFUSED: Mapping[type, str] = MappingProxyType(
    {
        Ping: "ollama has no keep-alive: every line is an object, and a blank line is none; use a pause",
        Comment: _NO_EVENTS,
        Message: _NO_EVENTS,
        Refusal: "ollama has no word for a refusal: it is text like any other",
        Citation: "ollama has no word for a citation",
    }
)

SPELLING: Mapping[type, Spelling] = MappingProxyType(
    {
        **{kind: spell for kind, spell in SHARED_SPELLING.items() if kind not in REFUSED},
        Open: lambda _step, _said: (),
        Text: _text,
        Thinking: _thinking,
        ToolCall: _tool_call,
        Arguments: _arguments,
        Finish: _finish,
        Done: _done,
        Failure: _failure,
    }
)

# The opening has no bytes, so an answer without one is the same answer.
_BEGUN = TALKING | {Phase.START}

ORDER: Mapping[type, Rule] = MappingProxyType(
    {
        **{kind: rule for kind, rule in FOREIGN_RULES.items() if kind not in REFUSED},
        **{kind: rule._replace(allowed=_BEGUN) for kind, rule in CONTENT_RULES.items() if kind not in REFUSED},
        Arguments: CONTENT_RULES[Arguments],
        Open: Rule(frozenset({Phase.START}), Phase.OPENED, "the opening comes first, and once"),
        Finish: Rule(_BEGUN, Phase.FINISHED, "the reason is given once, after the content"),
        Done: Rule(_BEGUN | {Phase.FINISHED}, Phase.OVER, "the line with done:true comes once, and is the last"),
        Failure: Rule(BEFORE_THE_END, Phase.OVER, "an error ends the stream, and nothing follows the end"),
        Message: Rule(NOWHERE, None, "a server-sent event is no part of ollama"),
    }
)


# --- requests ---------------------------------------------------------------------------------------------------------


class _Endpoint(NamedTuple):
    """One path that streams: which key of the request has what the model is asked, and how a loaded model is said."""

    asks: str
    loaded: Mapping[str, object]


_ENDPOINTS: Mapping[str, _Endpoint] = MappingProxyType(
    {
        CHAT: _Endpoint("messages", MappingProxyType({"message": {"role": "assistant", "content": ""}})),
        GENERATE: _Endpoint("prompt", MappingProxyType({"response": ""})),
    }
)


def _reject(_dialect: Dialect, asked: Asked) -> Case | None:
    # The real server looks at no content type, and `curl -d` sends one of its own.
    if asked.path not in _ENDPOINTS:
        return Case(404, f"the path is {asked.path}; ollama is served at {CHAT} and {GENERATE}")
    if asked.method != "POST":
        return Case(405, f"the method is {asked.method}; {asked.path} takes POST", headers=(("Allow", "POST"),))
    if not asked.body.strip():
        return Case(400, "missing request body")
    return _reject_body(read_object(asked.body))


def _reject_body(body: dict[str, object] | str) -> Case | None:
    if isinstance(body, str):
        return Case(400, body)
    if not (isinstance(body.get("model"), str) and body["model"]):
        return Case(400, "model is required", param="model")
    # A null is a key that is not there, as Go reads it.
    if not isinstance(body.get("messages") or [], list):
        return Case(400, f"the body's messages is {to_json(body['messages'])}; it must be a list", param="messages")
    stream = body.get("stream")
    if stream is not None and stream is not True:
        return Case(400, f"the body's stream is {to_json(stream)}; this server only streams", param="stream")
    return None


def _aside(asked: Asked) -> Answer | None:
    if asked.method in {"GET", "HEAD"} and asked.path in _PAGES:
        return _PAGES[asked.path]
    if asked.method == "POST" and asked.path == "/api/show":
        return Answer(200, _SHOWN)
    return _loaded(asked)


def _loaded(asked: Asked) -> Answer | None:
    """Answer a request that asks the model nothing: the server then only loads it."""
    if _reject(OLLAMA, asked) is not None:
        return None
    endpoint, body = _ENDPOINTS[asked.path], read_object(asked.body)
    if isinstance(body, str) or body.get(endpoint.asks):
        return None
    said = {"model": body["model"], "created_at": CREATED, **endpoint.loaded, "done": True, "done_reason": "load"}
    return Answer(200, to_json(said))


_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "testbed",
    "families": ["testbed"],
    "parameter_size": "1.0B",
    "quantization_level": "Q4_0",
}
_TAG = {
    "name": f"{MODEL}:latest",
    "model": f"{MODEL}:latest",
    "modified_at": CREATED,
    "size": 1_000_000_000,
    "digest": "0" * 64,
    "details": _DETAILS,
}
_SHOWN = to_json(
    {
        "modelfile": f"FROM {MODEL}\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _DETAILS,
        "model_info": {"general.architecture": "testbed", "testbed.context_length": 8192},
        "capabilities": ["completion", "tools", "thinking"],
        "modified_at": CREATED,
    }
)
_PAGES: Mapping[str, Answer] = MappingProxyType(
    {
        "/": Answer(200, "Ollama is running", content_type="text/plain; charset=utf-8"),
        "/api/version": Answer(200, to_json({"version": VERSION})),
        "/api/tags": Answer(200, to_json({"models": [_TAG]})),
    }
)


# The steps whose line depends on the path, or which only prepare such a line.
_BY_PATH = frozenset({Text, Thinking, ToolCall, Arguments, Finish, Done})


def _address(script: Script, asked: Asked) -> Script:
    """Say the script in the words of ``/api/generate`` if that is what was asked."""
    if asked.path != GENERATE:
        return script
    said = _Said(frozenset(script.quirks), GENERATE)

    def spell(_index: int, step: Step) -> Step:
        return as_bytes(b"".join(SPELLING[type(step)](step, said))) if type(step) in _BY_PATH else step

    return replaced(script, spell)


def _request(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Say something."}], "stream": True}


OLLAMA = Dialect(
    name=DialectName.OLLAMA,
    method="POST",
    path=CHAT,
    base_path="",
    content_type="application/x-ndjson",
    line_ends=MappingProxyType({None: 1}),
    spelling=SPELLING,
    refused=REFUSED,
    order=ORDER,
    terminals=MappingProxyType({Done: Terminal.HARD}),
    make_request=_request,
    make_error=lambda case: {"error": case.message},
    reject=_reject,
    routes=lambda path: path in _ENDPOINTS,
    begin=_Said,
    wordless=WORDLESS | {Open, ToolCall, Finish},
    aside=_aside,
    resume=_address,
)
