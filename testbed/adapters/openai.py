"""The official ``openai`` package, chat completions: `openai` is AsyncOpenAI, `openai-sync` is OpenAI.

The law of this module: the SDK runs as published. Only names that it exports are used, and every option is one that its
documentation gives to its users.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

import openai as sdk

from testbed.adapters._http import ALL_OPTIONS, SYNC_OPTIONS, count_at, list_at, read_timeout, text_at, timed_out, tls
from testbed.adapters.classify import Meaning
from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, Usage
from testbed.adapters.tool_calls import Calls
from testbed.ports import Target
from testbed.script import DialectName


def _server_error(error: BaseException) -> set[str]:
    # One class for everything from 500 on; only the status tells an overload from a fault.
    status = getattr(error, "status_code", None)
    return {503: {"overloaded"}, 529: {"overloaded"}, 504: {"http_status"}}.get(status or 0, {"server_error"})


def _unnamed_status(error: BaseException) -> set[str]:
    # 413 and 415 have no class of their own.
    return {"http_status"} | ({"too_large"} if getattr(error, "status_code", None) == 413 else set())


# From the SDK's own exception module. A bare APIError is the in-band error of a stream: it has no response and no
# status.
ERRORS: Mapping[type[BaseException], Meaning] = {
    sdk.APITimeoutError: timed_out,
    sdk.APIConnectionError: {"connect", "reset", "incomplete", "protocol"},
    sdk.APIResponseValidationError: {"protocol"},
    sdk.BadRequestError: {"bad_request"},
    sdk.AuthenticationError: {"unauthorized"},
    sdk.PermissionDeniedError: {"permission_denied"},
    sdk.NotFoundError: {"not_found"},
    sdk.ConflictError: {"conflict"},
    sdk.UnprocessableEntityError: {"bad_request"},
    sdk.RateLimitError: {"rate_limited"},
    sdk.InternalServerError: _server_error,
    sdk.APIStatusError: _unnamed_status,
    sdk.APIError: {"provider"},
}


def client_options(target: Target) -> dict[str, Any]:
    """What every client of the package is told, whichever of its APIs is called."""
    return {
        "base_url": target.base_url,
        "api_key": target.api_key,
        "max_retries": target.max_retries,
        "timeout": _timeout(target),
    }


def _timeout(target: Target) -> sdk.Timeout:
    # What the target does not say keeps the SDK's own default, read from the SDK.
    default, read = sdk.DEFAULT_TIMEOUT, read_timeout(target)
    return sdk.Timeout(
        connect=default.connect if target.connect_timeout is None else target.connect_timeout,
        read=default.read if read is None else read,
        write=default.write,
        pool=default.pool,
    )


def _request(target: Target) -> dict[str, Any]:
    return {**target.request, "stream": True}


# The reasons with which an answer ends where it was cut: of a call that was under way a part is missing.
CUT = frozenset({"length", "content_filter"})


def _items(chunk: object, calls: Calls) -> Generator[Item, None, None]:
    # The SDK builds chunks without checking them: of a body that is no stream, `choices` and `delta` can be None.
    for choice in list_at(chunk, "choices"):
        # Of several choices a caller who asked for one shows the first; some servers leave the index out.
        if count_at(choice, "index") == 0:
            yield from _choice(choice, calls)
    if getattr(chunk, "usage", None) is not None:
        yield Usage(count_at(chunk, "usage", "prompt_tokens"), count_at(chunk, "usage", "completion_tokens"))


def _choice(choice: object, calls: Calls) -> Generator[Item, None, None]:
    yield text_at(choice, "delta", "content")
    grow_calls(choice, calls)
    reason = text_at(choice, "finish_reason")
    if reason:
        # Until then the SDK's caller holds pieces, and a careful one runs nothing.
        if reason not in CUT:
            yield from calls.all_whole()
        yield Finish(reason)


def grow_calls(choice: object, calls: Calls) -> None:
    """Add what a choice says of tool calls: their id and name stand in the first delta, then come arguments."""
    for call in list_at(choice, "delta", "tool_calls"):
        calls.grow(
            count_at(call, "index"),
            id=text_at(call, "id"),
            name=text_at(call, "function", "name"),
            arguments=text_at(call, "function", "arguments"),
        )


@client(
    name="openai",
    base=sdk.OpenAIError,
    errors=ERRORS,
    code=("code", "type"),
    dialects=[DialectName.OPENAI_CHAT],
    options=ALL_OPTIONS,
    shows_finish=True,
    shows_tools=True,
)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """AsyncOpenAI, ``chat.completions.create(stream=True)``."""
    # The SDK's own HTTP client class with its own defaults; without it each client would build a TLS context.
    http = sdk.DefaultAsyncHttpxClient(verify=tls(target), trust_env=False)
    async with (
        sdk.AsyncOpenAI(http_client=http, **client_options(target)) as api,
        await api.chat.completions.create(**_request(target)) as stream,
    ):
        calls = Calls()
        async for chunk in stream:
            for item in _items(chunk, calls):
                yield item


@client(
    name="openai-sync",
    base=sdk.OpenAIError,
    errors=ERRORS,
    code=("code", "type"),
    dialects=[DialectName.OPENAI_CHAT],
    options=SYNC_OPTIONS,
    shows_finish=True,
    shows_tools=True,
)
def sync_client(target: Target) -> Generator[Item, None, None]:
    """OpenAI, the blocking twin."""
    http = sdk.DefaultHttpxClient(verify=tls(target), trust_env=False)
    with (
        sdk.OpenAI(http_client=http, **client_options(target)) as api,
        api.chat.completions.create(**_request(target)) as stream,
    ):
        calls = Calls()
        for chunk in stream:
            yield from _items(chunk, calls)
