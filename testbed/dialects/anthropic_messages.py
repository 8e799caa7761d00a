"""Anthropic messages: named events whose ``data.type`` repeats the name.

The laws of this module: one text block with index 0, opened by the opening step and closed by the finish;
``message_delta`` with its ``stop_reason`` is the last event of its step (SOFT), ``message_stop`` the last of the answer
(HARD); the counts of output tokens are cumulative.
"""

from __future__ import annotations

from types import MappingProxyType

from testbed.dialects._dialect import (
    BEFORE_THE_END,
    CHAT_REQUIREMENTS,
    FOREIGN_RULES,
    NOWHERE,
    SHARED_SPELLING,
    Case,
    Dialect,
    Phase,
    Requirement,
    Rule,
    Said,
    check_json,
    to_json,
)
from testbed.script import DialectName, Done, Failure, Finish, Message, Open, Ping, Terminal, Text

ID = "msg_testbed"
MODEL = "testbed-1"
REQUEST_ID = "req_testbed"
INPUT_TOKENS = 8

NORMAL_REASON = "end_turn"

# The type that the vendor gives with each status; anything else is an api_error.
ERROR_KINDS = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        409: "conflict_error",
        413: "request_too_large",
        422: "invalid_request_error",
        429: "rate_limit_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)

ORDER = MappingProxyType(
    {
        **FOREIGN_RULES,
        Open: Rule(
            frozenset({Phase.START}), Phase.OPENED, "message_start and content_block_start come first, and once"
        ),
        Text: Rule(frozenset({Phase.OPENED}), None, "a content_block_delta stands inside its block"),
        Finish: Rule(
            frozenset({Phase.OPENED}), Phase.FINISHED, "content_block_stop and message_delta follow the block"
        ),
        Done: Rule(frozenset({Phase.FINISHED}), Phase.OVER, "message_stop comes once, after message_delta"),
        Failure: Rule(BEFORE_THE_END, Phase.OVER, "an error ends the stream, and nothing follows the end"),
        Ping: Rule(BEFORE_THE_END, None, "nothing is kept alive after the end"),
        Message: Rule(NOWHERE, None, "a plain server-sent event is no part of anthropic-messages"),
    }
)


def _event(said: Said, type: str, **fields: object) -> bytes:
    return said.event(to_json({"type": type, **fields}), event=type)


def _open(_step: Open, said: Said) -> tuple[bytes, ...]:
    message: dict[str, object] = {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 0},
    }
    return (
        _event(said, "message_start", message=message),
        _event(said, "content_block_start", index=0, content_block={"type": "text", "text": ""}),
    )


def _text(step: Text, said: Said) -> tuple[bytes, ...]:
    return (_event(said, "content_block_delta", index=0, delta={"type": "text_delta", "text": step.text}),)


def _finish(step: Finish, said: Said) -> tuple[bytes, ...]:
    delta = {"stop_reason": step.reason or NORMAL_REASON, "stop_sequence": None}
    return (
        _event(said, "content_block_stop", index=0),
        _event(said, "message_delta", delta=delta, usage={"output_tokens": said.tokens}),
    )


def _done(_step: Done, said: Said) -> tuple[bytes, ...]:
    return (_event(said, "message_stop"),)


def _failure(step: Failure, said: Said) -> tuple[bytes, ...]:
    return (said.event(to_json(_error(Case(500, step.message, step.kind))), event="error"),)


def _ping(_step: Ping, said: Said) -> tuple[bytes, ...]:
    return (_event(said, "ping"),)


def _request(model: str) -> dict[str, object]:
    messages = [{"role": "user", "content": "Say something."}]
    return {"model": model, "max_tokens": 4096, "messages": messages, "stream": True}


def _error(case: Case) -> object:
    kind = case.kind or ERROR_KINDS.get(case.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": case.message}, "request_id": REQUEST_ID}


REQUIREMENTS: tuple[Requirement, ...] = (
    *CHAT_REQUIREMENTS,
    ("max_tokens", lambda value: type(value) is int and value > 0, "it must be a positive number"),
)


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
    make_error=_error,
    validate=lambda asked: check_json(asked.body, REQUIREMENTS),
)
