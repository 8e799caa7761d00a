"""Long requests: a conversation with a past, and a file inside the prompt.

The laws of this module: what is put in is ASCII text that says nothing but its number, so its size is known from the
plan alone and two requests of one plan are the same; it stands where the dialect's own request has its prompt, so every
SDK carries it without being told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from testbed.dialects import DIALECTS
from testbed.script import DialectName

Request = dict[str, object]

# One line of the file: what text has, and every line another one.
_LINE = "{number:08d} " + "0123456789abcdef" * 4 + "\n"
_LINE_BYTES = len(_LINE.format(number=0))

# A request's head, and what SDKs add to a body.
_HEAD_BYTES = 1_000


def prompted(dialect: DialectName, model: str, *, history: int = 0, attachment: int = 0) -> Request:
    """The dialect's request, behind `history` earlier messages, with a file of `attachment` bytes in its prompt."""
    request = DIALECTS[dialect].request(model)
    if not (history or attachment):
        return request
    put_file, put_past = _PUT[dialect]
    longer = put_file(request, _file(attachment)) if attachment else request
    return put_past(longer, history) if history else longer


@functools.lru_cache(maxsize=64)
def request_bytes(dialect: DialectName, history: int, attachment: int) -> int:
    """About how many bytes such a request has; 0 if it is an ordinary one, which is no news to anybody."""
    if not (history or attachment):
        return 0
    longer = prompted(dialect, "testbed-1", history=history, attachment=attachment)
    return len(msgspec.json.encode(longer)) + _HEAD_BYTES


@functools.lru_cache(maxsize=8)
def _file(size: int) -> str:
    lines = range(-(-size // _LINE_BYTES))
    return "".join(_LINE.format(number=number) for number in lines)[:size]


def _past(count: int, model: str = "assistant") -> list[tuple[str, str]]:
    """Messages of both sides in turn, the person's first; an even number, so that the prompt behind them fits."""
    pairs = (count + 1) // 2
    return [
        message
        for number in range(pairs)
        for message in (
            ("user", f"Question {number}: what was said about point {number} of the plan, and by whom?"),
            (model, f"Answer {number}: point {number} was moved to the next meeting, as nobody had read the paper."),
        )
    ]


# --- where each dialect has its prompt --------------------------------------------------------------------------------


def _file_in_messages(request: Request, text: str) -> Request:
    (last,) = _listed(request["messages"])
    return {**request, "messages": [{**last, "content": f"{last['content']}\n\n{text}"}]}


def _past_in_messages(request: Request, count: int) -> Request:
    past = [{"role": role, "content": text} for role, text in _past(count)]
    return {**request, "messages": [*past, *_listed(request["messages"])]}


def _file_in_input(request: Request, text: str) -> Request:
    return {**request, "input": f"{request['input']}\n\n{text}"}


def _past_in_input(request: Request, count: int) -> Request:
    past = [{"role": role, "content": text} for role, text in _past(count)]
    return {**request, "input": [*past, {"role": "user", "content": request["input"]}]}


def _file_in_contents(request: Request, text: str) -> Request:
    (last,) = _listed(request["contents"])
    return {**request, "contents": [{**last, "parts": [*last["parts"], {"text": text}]}]}


def _past_in_contents(request: Request, count: int) -> Request:
    past = [{"role": role, "parts": [{"text": text}]} for role, text in _past(count, "model")]
    return {**request, "contents": [*past, *_listed(request["contents"])]}


def _in_arguments(name: str) -> Callable[[Request, Any], Request]:
    """A tool has no conversation; what it is asked about stands in an argument."""

    def put(request: Request, value: Any) -> Request:
        told = [text for _, text in _past(value)] if isinstance(value, int) else value
        arguments = request["arguments"]
        return {**request, "arguments": {**(arguments if isinstance(arguments, dict) else {}), name: told}}

    return put


def _listed(value: object) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else []


_MESSAGES = (_file_in_messages, _past_in_messages)

# How a file and how a past are put into a request. A plain event source is asked without a body.
_PUT: Mapping[DialectName, tuple[Callable[[Request, str], Request], Callable[[Request, int], Request]]] = (
    MappingProxyType(
        {
            DialectName.OPENAI_CHAT: _MESSAGES,
            DialectName.ANTHROPIC_MESSAGES: _MESSAGES,
            DialectName.OLLAMA: _MESSAGES,
            DialectName.OPENAI_RESPONSES: (_file_in_input, _past_in_input),
            DialectName.GEMINI: (_file_in_contents, _past_in_contents),
            DialectName.MCP: (_in_arguments("file"), _in_arguments("history")),
        }
    )
)
