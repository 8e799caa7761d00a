"""The official ``openai`` package, Responses API: AsyncOpenAI with ``responses.create(stream=True)``, its raw events.

The law of this module: the SDK runs as published. It raises nothing for ``response.failed`` and for the event ``error``
but hands them to its caller; so does this adapter, which says in an exception of its own what such a caller is told.
That a stream ended without its last event is for the caller to notice, and no adapter does it for them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any

import openai as sdk

from testbed.adapters._http import ALL_OPTIONS, count_at, text_at, tls
from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, ToolCall, Usage
from testbed.adapters.openai import ERRORS, client_options
from testbed.ports import Target
from testbed.script import DialectName


class ResponseFailed(Exception):
    """What an event told the caller: the response failed, or the stream did."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def _text(event: object) -> Iterator[Item]:
    yield text_at(event, "delta")


def _item(event: object) -> Iterator[Item]:
    # The event that closes an item repeats all of it; one that a limit has cut says so in its status.
    item = getattr(event, "item", None)
    if text_at(item, "type") == "function_call" and text_at(item, "status") != "incomplete":
        yield ToolCall(text_at(item, "call_id"), text_at(item, "name"), text_at(item, "arguments"))


def _completed(event: object) -> Iterator[Item]:
    yield Finish("completed")
    yield from _usage(event)


def _incomplete(event: object) -> Iterator[Item]:
    yield Finish(text_at(event, "response", "incomplete_details", "reason") or "incomplete")
    yield from _usage(event)


def _usage(event: object) -> Iterator[Item]:
    usage = getattr(getattr(event, "response", None), "usage", None)
    if usage is not None:
        yield Usage(count_at(usage, "input_tokens"), count_at(usage, "output_tokens"))


def _failed(event: object) -> Iterator[Item]:
    raise _failure(getattr(getattr(event, "response", None), "error", None))


def _error(event: object) -> Iterator[Item]:
    raise _failure(event)


def _failure(told: object) -> ResponseFailed:
    return ResponseFailed(text_at(told, "message") or "the response failed", text_at(told, "code"))


# What a caller sees of each type of event; the many that are not here only repeat it or say what goes on.
_SHOWN: Mapping[str, Callable[[object], Iterator[Item]]] = {
    "response.output_text.delta": _text,
    "response.output_item.done": _item,
    "response.completed": _completed,
    "response.incomplete": _incomplete,
    "response.failed": _failed,
    "error": _error,
}


@client(
    name="openai-responses",
    base=(sdk.OpenAIError, ResponseFailed),
    errors={**ERRORS, ResponseFailed: {"provider"}},
    code=("code", "type"),
    dialects=[DialectName.OPENAI_RESPONSES],
    options=ALL_OPTIONS,
    shows_finish=True,
    shows_tools=True,
)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """AsyncOpenAI, ``responses.create(stream=True)``."""
    # The SDK's own HTTP client class with its own defaults; without it each client would build a TLS context.
    http = sdk.DefaultAsyncHttpxClient(verify=tls(target), trust_env=False)
    async with sdk.AsyncOpenAI(http_client=http, **client_options(target)) as api:
        create: Any = api.responses.create
        async with await create(**{**target.request, "stream": True}) as stream:
            async for event in stream:
                show = _SHOWN.get(text_at(event, "type"))
                for item in show(event) if show else ():
                    yield item
