"""The official ``ollama`` package: ``AsyncClient.chat(stream=True)``.

The law of this module: the SDK runs as published. It promises one exception for what a server answers; what its HTTP
library raises while a stream is read reaches the caller as it is, and is no promise of the SDK.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import httpx
import ollama as sdk

from testbed.adapters._http import read_timeout, status_class, text_at, tls
from testbed.adapters.classify import Meaning
from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, ToolCall
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option


def _answered(error: BaseException) -> frozenset[str]:
    # An error line inside a stream has no status, and the SDK then says -1.
    status = getattr(error, "status_code", -1)
    return frozenset({"provider"}) if status == -1 else status_class(status)


ERRORS: Mapping[type[BaseException], Meaning] = {sdk.ResponseError: _answered, sdk.RequestError: {"bad_request"}}


def _items(part: object) -> Iterator[Item]:
    message = getattr(part, "message", None)
    yield text_at(message, "content")
    for call in getattr(message, "tool_calls", None) or ():
        yield ToolCall(name=call.function.name, arguments=json.dumps(call.function.arguments))
    if getattr(part, "done", None) and (reason := text_at(part, "done_reason")):
        yield Finish(reason)


def _options(target: Target) -> dict[str, Any]:
    # What the target does not say stays without a limit, as the SDK has it.
    timeout = httpx.Timeout(None, connect=target.connect_timeout, read=read_timeout(target))
    return {"host": target.base_url, "timeout": timeout, "verify": tls(target), "trust_env": False}


@client(
    name="ollama",
    base=(sdk.ResponseError, sdk.RequestError),
    errors=ERRORS,
    code=(),
    dialects=[DialectName.OLLAMA],
    options=[Option.CONNECT_TIMEOUT, Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT, Option.CANCEL, Option.CA],
    shows_finish=True,
    shows_tools=True,
)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """``AsyncClient.chat``; the stream is closed with the caller's interest."""
    async with (
        sdk.AsyncClient(**_options(target)) as api,
        aclosing(await api.chat(**{**target.request, "stream": True})) as stream,
    ):
        async for part in stream:
            for item in _items(part):
                yield item
