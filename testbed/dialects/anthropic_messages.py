"""Anthropic messages: named events whose ``data.type`` repeats the name.

The laws of this module: blocks have indexes from 0 and stand one behind the other, each opened by the first step that
needs it and closed by the step that needs another one, or by the finish; ``message_delta`` with its ``stop_reason`` is
the last event of its step (SOFT), ``message_stop`` the last of the answer (HARD); the counts of output tokens are
cumulative. A refusal has no event of its own: it is why the message stopped, so a finish says it.
"""

from __future__ import annotations

from types import MappingProxyType

from testbed.dialects import _anthropic
from testbed.dialects._anthropic_request import validate
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

ID = "msg_testbed"
SIGNATURE = "dGVzdGJlZA=="  # what a client hands back with a block of thinking, unread

NORMAL_REASON = "end_turn"

ORDER = MappingProxyType(
    {
        **CHAT_RULES,
        Open: Rule(frozenset({Phase.START}), Phase.OPENED, "message_start comes first, and once"),
        Finish: Rule(TALKING, Phase.FINISHED, "message_delta with its stop_reason comes once, after the blocks"),
        Done: Rule(frozenset({Phase.FINISHED}), Phase.OVER, "message_stop comes once, after message_delta"),
    }
)


class Blocks(Said):
    """What an answer has said so far: which block is open, how many tools were called, what was refused."""

    def __init__(self, quirks: frozenset[Quirk]) -> None:
        super().__init__(quirks)
        self.open = ""  # the type of the block that is open
        self.index = -1  # of the latest block
        self.calls = 0
        self.refusal: str | None = None

    def named(self, type: str, **fields: object) -> bytes:
        """Spell one event."""
        return self.event(to_json({"type": type, **fields}), event=type)

    def delta(self, type: str, **fields: object) -> bytes:
        """Spell one delta of the latest block."""
        return self.named("content_block_delta", index=max(self.index, 0), delta={"type": type, **fields})

    def begin(self, type: str, **fields: object) -> tuple[bytes, ...]:
        """Close the block that is open, and open one of this type."""
        closed = self.close()
        self.open, self.index = type, self.index + 1
        return (*closed, self.named("content_block_start", index=self.index, content_block={"type": type, **fields}))

    def into(self, type: str, **fields: object) -> tuple[bytes, ...]:
        """Open a block of this type unless one is open."""
        return () if self.open == type else self.begin(type, **fields)

    def close(self) -> tuple[bytes, ...]:
        """Close the block that is open, if there is one. A block of thinking ends with its signature."""
        signed = (self.delta("signature_delta", signature=SIGNATURE),) if self.open == "thinking" else ()
        closed = (self.named("content_block_stop", index=self.index),) if self.open else ()
        self.open = ""
        return (*signed, *closed)


def _open(_step: Open, said: Blocks) -> tuple[bytes, ...]:
    message: dict[str, object] = {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": _anthropic.MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": _anthropic.INPUT_TOKENS, "output_tokens": 0},
    }
    return (said.named("message_start", message=message),)


def _text(step: Text, said: Blocks) -> tuple[bytes, ...]:
    return (*said.into("text", text=""), said.delta("text_delta", text=step.text))


def _thinking(step: Thinking, said: Blocks) -> tuple[bytes, ...]:
    return (*said.into("thinking", thinking="", signature=""), said.delta("thinking_delta", thinking=step.text))


def _citation(step: Citation, said: Blocks) -> tuple[bytes, ...]:
    citation = {
        "type": "web_search_result_location",
        "cited_text": step.title,
        "encrypted_index": SIGNATURE,
        "title": step.title,
        "url": step.url,
    }
    return (*said.into("text", text=""), said.delta("citations_delta", citation=citation))


def _tool_call(step: ToolCall, said: Blocks) -> tuple[bytes, ...]:
    said.calls += 1
    return said.begin("tool_use", id=step.id or f"toolu_testbed_{said.calls - 1}", name=step.name, input={})


def _arguments(step: Arguments, said: Blocks) -> tuple[bytes, ...]:
    return (said.delta("input_json_delta", partial_json=step.json),)


def _refusal(step: Refusal, said: Blocks) -> tuple[bytes, ...]:
    said.refusal = (said.refusal or "") + step.text
    return ()


def _finish(step: Finish, said: Blocks) -> tuple[bytes, ...]:
    refused = said.refusal is not None
    reason = step.reason or ("refusal" if refused else "tool_use" if said.calls else NORMAL_REASON)
    delta: dict[str, object] = {"stop_reason": reason, "stop_sequence": "END" if reason == "stop_sequence" else None}
    if refused:
        delta["stop_details"] = {"type": "refusal", "category": None, "explanation": said.refusal}
    return (*said.close(), said.named("message_delta", delta=delta, usage={"output_tokens": said.tokens}))


def _done(_step: Done, said: Blocks) -> tuple[bytes, ...]:
    return (said.named("message_stop"),)


def _failure(step: Failure, said: Blocks) -> tuple[bytes, ...]:
    return (said.event(to_json(_anthropic.error(Case(500, step.message, step.kind))), event="error"),)


def _ping(_step: Ping, said: Blocks) -> tuple[bytes, ...]:
    return (said.keepalive() if Quirk.COLON_KEEPALIVE in said.quirks else said.named("ping"),)


def _request(model: str) -> dict[str, object]:
    messages = [{"role": "user", "content": "Say something."}]
    return {"model": model, "max_tokens": 4096, "messages": messages, "stream": True}


ANTHROPIC_MESSAGES = Dialect(
    name=DialectName.ANTHROPIC_MESSAGES,
    method="POST",
    path="/v1/messages",
    base_path="",
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
    make_error=_anthropic.error,
    make_error_headers=_anthropic.error_headers,
    validate=validate,
    cases=_anthropic.CASES,
    aside=_anthropic.aside,
    begin=Blocks,
    wordless=WORDLESS | {Refusal},
)
