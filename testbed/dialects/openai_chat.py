"""OpenAI chat completions: ``data:`` lines with one JSON chunk each, and ``data: [DONE]``.

The laws of this module: every chunk of an answer has the same id, time and model; the first brings the role, exactly
one brings a ``finish_reason`` (SOFT), ``[DONE]`` is the last word (HARD); no event has a name.
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
    Rule,
    Said,
    check_json,
    to_json,
)
from testbed.script import DialectName, Done, Failure, Finish, Message, Open, Ping, Terminal, Text

ID = "chatcmpl-testbed"
CREATED = 1_700_000_000  # a constant: a chunk must not depend on the day
MODEL = "testbed-1"

NORMAL_REASON = "stop"

# The type that the vendor gives with each status; anything else from 500 on is a server_error.
ERROR_KINDS = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "invalid_api_key",
        403: "permission_denied",
        404: "model_not_found",
        409: "conflict",
        413: "request_too_large",
        422: "invalid_request_error",
        429: "rate_limit_exceeded",
        503: "overloaded",
    }
)

ORDER = MappingProxyType(
    {
        **FOREIGN_RULES,
        Open: Rule(frozenset({Phase.START}), Phase.OPENED, "the chunk with the role comes first, and once"),
        Text: Rule(frozenset({Phase.OPENED}), None, "text stands between the role and finish_reason"),
        Finish: Rule(frozenset({Phase.OPENED}), Phase.FINISHED, "finish_reason comes once, after the role"),
        Done: Rule(frozenset({Phase.FINISHED}), Phase.OVER, "[DONE] comes once, right after finish_reason"),
        Failure: Rule(BEFORE_THE_END, Phase.OVER, "an error ends the stream, and nothing follows the end"),
        Ping: Rule(BEFORE_THE_END, None, "nothing is kept alive after the end"),
        Message: Rule(NOWHERE, None, "a plain server-sent event is no part of openai-chat"),
    }
)


def _chunk(said: Said, delta: dict[str, object], finish_reason: str | None = None) -> tuple[bytes, ...]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {
        "id": ID,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": MODEL,
        "choices": [choice],
    }
    return (said.event(to_json(chunk)),)


def _open(_step: Open, said: Said) -> tuple[bytes, ...]:
    return _chunk(said, {"role": "assistant", "content": ""})


def _text(step: Text, said: Said) -> tuple[bytes, ...]:
    return _chunk(said, {"content": step.text})


def _finish(step: Finish, said: Said) -> tuple[bytes, ...]:
    return _chunk(said, {}, step.reason or NORMAL_REASON)


def _done(_step: Done, said: Said) -> tuple[bytes, ...]:
    return (said.event("[DONE]"),)


def _failure(step: Failure, said: Said) -> tuple[bytes, ...]:
    return (said.event(to_json(_error(Case(500, step.message, step.kind)))),)


def _ping(_step: Ping, said: Said) -> tuple[bytes, ...]:
    return (said.keepalive(),)


def _request(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Say something."}], "stream": True}


def _error(case: Case) -> object:
    # Both fields: clients differ in which of them they show to the caller.
    kind = case.kind or ERROR_KINDS.get(case.status, "server_error")
    return {"error": {"message": case.message, "type": kind, "param": None, "code": kind}}


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
    validate=lambda asked: check_json(asked.body, CHAT_REQUIREMENTS),
)
