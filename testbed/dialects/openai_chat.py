"""OpenAI chat completions: ``data:`` lines with one JSON chunk each, and ``data: [DONE]``.

The laws of this module: every chunk of an answer has the same id, time and model; each choice begins with its role and
ends with one ``finish_reason`` (that of the first is SOFT), ``[DONE]`` is the last word (HARD); no event has a name. A
delta of a tool call always has its index; id, type and name come with its first alone. The sources of the text have one
delta, before the finish. ``reasoning_content`` is no word of the vendor's but of those who copy its API.
"""

from __future__ import annotations

from types import MappingProxyType

from testbed.dialects import _openai
from testbed.dialects._dialect import (
    CHAT_RULES,
    SHARED_SPELLING,
    TALKING,
    WORDLESS,
    Case,
    Dialect,
    Phase,
    Rule,
    Said,
    to_json,
)
from testbed.dialects._openai_chat_request import MOST_CHOICES, check
from testbed.script import (
    Arguments,
    Citation,
    DialectName,
    Done,
    Failure,
    Finish,
    Open,
    Ping,
    Quirk,
    Refusal,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)

ID = "chatcmpl-testbed"
PROMPT_TOKENS = 8

NORMAL_REASON = "stop"

_CONTENT = "content stands between the role and finish_reason"

ORDER = MappingProxyType(
    {
        **CHAT_RULES,
        # A delta of a tool call names its index, so what stands in between does not end the call.
        **{kind: Rule(TALKING, None, _CONTENT) for kind in (Text, Thinking, Refusal, Citation)},
        ToolCall: Rule(TALKING, Phase.CALLING, _CONTENT),
        Open: Rule(frozenset({Phase.START}), Phase.OPENED, "the chunk with the role comes first, and once"),
        Finish: Rule(TALKING, Phase.FINISHED, "finish_reason comes once for each choice, after the role"),
        Done: Rule(
            frozenset({Phase.FINISHED}), Phase.OVER, "[DONE] comes once, after the finish_reason of each choice"
        ),
    }
)

_SAFE = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}


class Chunks(Said):
    """What an answer has said so far: the choices that have their role, their tool calls, and how long the text is."""

    def __init__(self, quirks: frozenset[Quirk]) -> None:
        super().__init__(quirks)
        self.choices = 1  # the first has its role from the opening
        self.calls: dict[int, int] = {}  # how many each choice has made
        self.calling = 0  # the choice of the latest call, whose pieces the arguments are
        self.text_ends = (0, 0)  # of the text of the first choice: where its latest piece begins and ends
        self.cited: list[object] = []
        self.reasoned = 0

    def chunk(self, choices: list[object], **more: object) -> bytes:
        """Spell one chunk."""
        chunk: dict[str, object] = {
            "id": ID,
            "object": "chat.completion.chunk",
            "created": _openai.CREATED,
            "model": _openai.MODEL,
            "choices": choices,
        }
        if Quirk.USAGE_CHUNK in self.quirks:
            chunk["usage"] = None
        return self.event(to_json({**chunk, **more}))

    def delta(self, delta: dict[str, object], choice: int = 0, finish_reason: str | None = None) -> bytes:
        """Spell a chunk with one delta of one choice."""
        entry: dict[str, object] = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        if Quirk.AZURE in self.quirks:
            entry["content_filter_results"] = _SAFE if delta.get("content") else {}
        return self.chunk([entry], **self._padding(delta))

    def roles(self, choice: int) -> tuple[bytes, ...]:
        """Spell the roles of the choices up to this one that have none yet: choices are opened in their order."""
        new = range(self.choices, choice + 1)
        self.choices = max(self.choices, choice + 1)
        return tuple(self.delta({"role": "assistant", "content": ""}, one) for one in new)

    def _padding(self, delta: dict[str, object]) -> dict[str, object]:
        if Quirk.OBFUSCATION not in self.quirks or not delta:
            return {}
        # As long as it takes to make every delta a multiple of 32 characters; the same delta has the same padding.
        missing = 32 - len(to_json(delta)) % 32
        return {"obfuscation": ("k7Qw2Zt9Xb4Lm6Rv" * 2)[:missing]}


def _open(_step: Open, said: Chunks) -> tuple[bytes, ...]:
    role = said.delta({"role": "assistant", "content": ""})
    return (_prompt_filter(said), role) if Quirk.AZURE in said.quirks else (role,)


def _text(step: Text, said: Chunks) -> tuple[bytes, ...]:
    if step.choice == 0:
        said.text_ends = (said.text_ends[1], said.text_ends[1] + len(step.text))
    return (*said.roles(step.choice), said.delta({"content": step.text}, step.choice))


def _thinking(step: Thinking, said: Chunks) -> tuple[bytes, ...]:
    said.reasoned += 1
    return (said.delta({"reasoning_content": step.text}),)


def _refusal(step: Refusal, said: Chunks) -> tuple[bytes, ...]:
    return (said.delta({"refusal": step.text}),)


def _citation(step: Citation, said: Chunks) -> tuple[bytes, ...]:
    start, end = said.text_ends
    cited = {"start_index": start, "end_index": end, "title": step.title, "url": step.url}
    said.cited.append({"type": "url_citation", "url_citation": cited})
    return ()


def _tool_call(step: ToolCall, said: Chunks) -> tuple[bytes, ...]:
    said.calling = step.choice
    index = said.calls[step.choice] = said.calls.get(step.choice, -1) + 1
    call = {
        "index": index,
        "id": step.id or f"call_testbed_{step.choice}_{index}",
        "type": "function",
        "function": {"name": step.name, "arguments": ""},
    }
    return (*said.roles(step.choice), said.delta({"tool_calls": [call]}, step.choice))


def _arguments(step: Arguments, said: Chunks) -> tuple[bytes, ...]:
    piece = {"index": said.calls.get(said.calling, 0), "function": {"arguments": step.json}}
    return (said.delta({"tool_calls": [piece]}, said.calling),)


def _finish(step: Finish, said: Chunks) -> tuple[bytes, ...]:
    reason = step.reason or ("tool_calls" if step.choice in said.calls else NORMAL_REASON)
    # All sources come together: the vendor's own accumulator cannot join two lists of them.
    cited = (said.delta({"annotations": said.cited}),) if said.cited and step.choice == 0 else ()
    filtered = (_async_filter(step.choice, said),) if Quirk.AZURE in said.quirks else ()
    return (*said.roles(step.choice), *cited, *filtered, said.delta({}, step.choice, reason))


def _done(_step: Done, said: Chunks) -> tuple[bytes, ...]:
    done = said.event("[DONE]")
    return (said.chunk([], usage=_usage(said)), done) if Quirk.USAGE_CHUNK in said.quirks else (done,)


def _failure(step: Failure, said: Chunks) -> tuple[bytes, ...]:
    error = _openai.error(Case(500, step.message, step.kind))
    if Quirk.ERROR_FIELD in said.quirks:
        event = said.field("error", to_json({"code": 500, "message": step.message, "type": step.kind}))
    else:
        event = said.event(to_json(error))
    return (event, said.event("[DONE]")) if Quirk.DONE_AFTER_ERROR in said.quirks else (event,)


def _ping(_step: Ping, said: Chunks) -> tuple[bytes, ...]:
    return (said.keepalive(),)


# --- what only some servers send --------------------------------------------------------------------------------------


def _usage(said: Chunks) -> dict[str, object]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": said.tokens,
        "total_tokens": PROMPT_TOKENS + said.tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": said.reasoned},
    }


def _foreign(said: Chunks, choices: list[object], **more: object) -> bytes:
    """A chunk of the cloud around the model: it knows no id, no time and no model."""
    empty = {"id": "", "object": "", "created": 0, "model": ""}
    return said.event(to_json({"choices": choices, **empty, **more}))


def _prompt_filter(said: Chunks) -> bytes:
    return _foreign(said, [], prompt_filter_results=[{"prompt_index": 0, "content_filter_results": _SAFE}])


def _async_filter(choice: int, said: Chunks) -> bytes:
    offsets = {"check_offset": 0, "start_offset": 0, "end_offset": said.text_ends[1]}
    entry = {"index": choice, "finish_reason": None, "content_filter_results": _SAFE, "content_filter_offsets": offsets}
    return _foreign(said, [entry])


# --- requests ---------------------------------------------------------------------------------------------------------


def _request(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Say something."}], "stream": True}


OPENAI_CHAT = Dialect(
    name=DialectName.OPENAI_CHAT,
    method="POST",
    path="/v1/chat/completions",
    base_path="/v1",
    content_type="text/event-stream; charset=utf-8",
    spelling=MappingProxyType(
        {
            **SHARED_SPELLING,
            Open: _open,
            Text: _text,
            Thinking: _thinking,
            Refusal: _refusal,
            Citation: _citation,
            ToolCall: _tool_call,
            Arguments: _arguments,
            Finish: _finish,
            Done: _done,
            Failure: _failure,
            Ping: _ping,
        }
    ),
    refused=MappingProxyType({}),
    order=ORDER,
    terminals=MappingProxyType({Finish: Terminal.SOFT, Done: Terminal.HARD}),
    make_request=_request,
    make_error=_openai.error,
    make_error_headers=_openai.error_headers,
    validate=lambda asked: _openai.check_body(asked, check),
    cases=_openai.CASES,
    aside=_openai.aside,
    begin=Chunks,
    wordless=WORDLESS | {Citation},
    # Where it has a chunk of its own, that has a beginning of at most so many bytes, and the one before it an end.
    behind_errors=MappingProxyType({Quirk.DONE_AFTER_ERROR: len("data: [DONE]\r\n\r\n") + len("\r\n10\r\n")}),
    most_choices=MOST_CHOICES,
)
