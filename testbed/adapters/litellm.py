"""The ``litellm`` package: ``acompletion(stream=True)`` by its routes ``openai/`` and ``anthropic/``.

The law of this module: the package runs as published, with the settings that its documentation gives to callers. It
hands its HTTP clients from call to call and keeps them in a cache; a client is given to it here only so that somebody
closes it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

# Before the import: the package would fetch its table of prices from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import httpx
import litellm as package
import openai
from litellm import exceptions as errors
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from testbed.adapters._http import ALL_OPTIONS, list_at, read_timeout, status_class, text_at, tls
from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item
from testbed.adapters.openai import ERRORS as BELOW
from testbed.adapters.openai import grow_calls
from testbed.adapters.tool_calls import Calls
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Option

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed.adapters.classify import Meaning

# It prints advice to the terminal with every error.
package.suppress_debug_info = True

_ROUTES = {DialectName.OPENAI_CHAT: "openai/", DialectName.ANTHROPIC_MESSAGES: "anthropic/"}


def _by_status(error: BaseException) -> frozenset[str]:
    # What fits none of its classes keeps its status; without one it is the provider's voice inside a stream.
    status = getattr(error, "status_code", None) or 0
    return status_class(status) if status >= 400 else frozenset({"provider"})


# "All exceptions inherit from OpenAI's types", says the package, so what it adds to them is all that stands here.
ERRORS: Mapping[type[BaseException], Meaning] = {
    **BELOW,
    errors.APIError: _by_status,
    # For time-outs of its own, and for those that a gateway reports with 408 and 504.
    errors.Timeout: {"first_byte_timeout", "idle_timeout", "http_status"},
    # It says that a stream broke after it had begun, and not what broke it; the error inside is always the same one.
    errors.MidStreamFallbackError: {
        *("reset", "incomplete", "protocol", "decode"),
        *("provider", "first_byte_timeout", "idle_timeout"),
    },
    errors.ServiceUnavailableError: {"overloaded"},
}


@asynccontextmanager
async def _http(target: Target, timeout: httpx.Timeout) -> AsyncIterator[object]:
    """The HTTP client that the route would make for itself, open for one call."""
    if target.dialect is DialectName.ANTHROPIC_MESSAGES:
        handler = AsyncHTTPHandler(timeout=timeout, ssl_verify=tls(target))
        try:
            yield handler
        finally:
            await handler.close()
        return
    http = openai.DefaultAsyncHttpxClient(verify=tls(target), trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=target.base_url,
        api_key=target.api_key,
        max_retries=target.max_retries,
        http_client=http,
    ) as api:
        yield api


def _items(chunk: object, calls: Calls) -> list[Item]:
    items: list[Item] = []
    for choice in list_at(chunk, "choices")[:1]:
        items.append(text_at(choice, "delta", "content"))
        grow_calls(choice, calls)
        reason = text_at(choice, "finish_reason")
        if reason:
            items += calls.all_whole() if reason not in {"length", "content_filter"} else ()
            items.append(Finish(reason))
    return items


@client(
    name="litellm",
    base=openai.OpenAIError,
    errors=ERRORS,
    code=("code", "type"),
    dialects=list(_ROUTES),
    options=[option for option in ALL_OPTIONS if option is not Option.CA],
    runtimes=[Runtime.ASYNCIO],
    shows_tools=True,
)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """``acompletion``; the reasons are its own words for those of the provider, so they are not compared."""
    read = read_timeout(target)
    timeout = httpx.Timeout(600.0 if read is None else read, connect=target.connect_timeout or 5.0)
    request: dict[str, Any] = {key: value for key, value in target.request.items() if key not in {"model", "stream"}}
    async with _http(target, timeout) as http:
        stream = await package.acompletion(
            model=_ROUTES[target.dialect] + target.model,
            stream=True,
            api_base=target.base_url,
            api_key=target.api_key,
            timeout=timeout,
            max_retries=target.max_retries,
            client=http,
            **request,
        )
        calls = Calls()
        async for chunk in stream:
            for item in _items(chunk, calls):
                yield item
