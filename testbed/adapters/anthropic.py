"""The official ``anthropic`` package, messages: raw events and the helper, each async and blocking.

The law of this module: the SDK runs as published. Only names that it exports are used, and every option is one that its
documentation gives to its users.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

import anthropic as sdk

from testbed.adapters._http import ALL_OPTIONS, SYNC_OPTIONS, count_at, read_timeout, text_at, timed_out, tls
from testbed.adapters.classify import Meaning
from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, Usage
from testbed.adapters.tool_calls import Calls
from testbed.ports import Target
from testbed.script import DialectName


def _status(error: BaseException) -> int:
    return getattr(error, "status_code", 0) or 0


def _by_status(error: BaseException) -> set[str]:
    # The SDK builds an in-band error from the status of the response, which is 200: such a class is the provider's
    # voice.
    if _status(error) < 400:
        return {"provider"}
    return {"too_large"} if _status(error) == 413 else {"http_status"}


def _server_error(error: BaseException) -> set[str]:
    # Releases differ in which of these statuses have a class of their own, so the status decides.
    return {503: {"overloaded"}, 529: {"overloaded"}, 504: {"http_status"}}.get(_status(error), {"server_error"})


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
    sdk.APIStatusError: _by_status,
    sdk.APIError: {"provider"},
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


def _items(event: object, calls: Calls) -> list[Item]:
    read = _READ.get(text_at(event, "type"))
    return read(event, calls) if read else []


def _block(event: object, calls: Calls) -> list[Item]:
    if text_at(event, "content_block", "type") == "tool_use":
        named = text_at(event, "content_block", "id"), text_at(event, "content_block", "name")
        calls.grow(count_at(event, "index"), id=named[0], name=named[1])
    return []


def _delta(event: object, calls: Calls) -> list[Item]:
    kind = text_at(event, "delta", "type")
    if kind == "input_json_delta":
        calls.grow(count_at(event, "index"), arguments=text_at(event, "delta", "partial_json"))
    return [text_at(event, "delta", "text")] if kind == "text_delta" else []


# The reasons with which an answer ends where it was cut: of a call that was under way a part is missing, although its
# block was closed.
_CUT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})


def _end(event: object, calls: Calls) -> list[Item]:
    reason = text_at(event, "delta", "stop_reason")
    usage = (
        [Usage(count_at(event, "usage", "input_tokens"), count_at(event, "usage", "output_tokens"))]
        if hasattr(event, "usage")
        else []
    )
    whole = calls.all_whole() if reason and reason not in _CUT else ()
    return [*whole, *usage, *([Finish(reason)] if reason else [])]


_READ: Mapping[str, Callable[[object, Calls], list[Item]]] = {
    "content_block_start": _block,
    "content_block_delta": _delta,
    "message_delta": _end,
}


# What every client of the package has in common.
_DECLARED: Mapping[str, Any] = {
    "base": sdk.AnthropicError,
    "errors": ERRORS,
    "code": ("type", "body.error.type"),  # the second is where older releases leave it
    "dialects": [DialectName.ANTHROPIC_MESSAGES],
    "shows_finish": True,
    "shows_tools": True,
}


def _settings(target: Target) -> dict[str, Any]:
    return {
        "base_url": target.base_url,
        "api_key": target.api_key,
        "max_retries": target.max_retries,
        "timeout": _timeout(target),
    }


def _async_api(target: Target) -> sdk.AsyncAnthropic:
    # The SDK's own HTTP client class with its own defaults; without it each client would build a TLS context.
    http = sdk.DefaultAsyncHttpxClient(verify=tls(target), trust_env=False)
    return sdk.AsyncAnthropic(http_client=http, **_settings(target))


def _sync_api(target: Target) -> sdk.Anthropic:
    http = sdk.DefaultHttpxClient(verify=tls(target), trust_env=False)
    return sdk.Anthropic(http_client=http, **_settings(target))


def _helped(target: Target) -> dict[str, Any]:
    # The helper streams by its name and takes no such word.
    return {key: value for key, value in target.request.items() if key != "stream"}


@client(name="anthropic", options=ALL_OPTIONS, **_DECLARED)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """AsyncAnthropic, ``messages.create(stream=True)``: raw message events."""
    async with _async_api(target) as api:
        create: Any = api.messages.create
        calls = Calls()
        async with await create(**{**target.request, "stream": True}) as stream:
            async for event in stream:
                for item in _items(event, calls):
                    yield item


@client(name="anthropic-sync", options=SYNC_OPTIONS, **_DECLARED)
def sync_client(target: Target) -> Generator[Item, None, None]:
    """Anthropic, the blocking twin."""
    with _sync_api(target) as api:
        create: Any = api.messages.create
        calls = Calls()
        with create(**{**target.request, "stream": True}) as stream:
            for event in stream:
                yield from _items(event, calls)


@client(name="anthropic-stream", options=ALL_OPTIONS, **_DECLARED)
async def async_helper(target: Target) -> AsyncGenerator[Item, None]:
    """AsyncAnthropic, ``messages.stream``: the helper, whose events repeat the raw ones and add its own."""
    async with _async_api(target) as api:
        begin: Any = api.messages.stream
        calls = Calls()
        async with begin(**_helped(target)) as stream:
            async for event in stream:
                for item in _items(event, calls):
                    yield item


@client(name="anthropic-stream-sync", options=SYNC_OPTIONS, **_DECLARED)
def sync_helper(target: Target) -> Generator[Item, None, None]:
    """Anthropic, ``messages.stream``."""
    with _sync_api(target) as api:
        begin: Any = api.messages.stream
        calls = Calls()
        with begin(**_helped(target)) as stream:
            for event in stream:
                yield from _items(event, calls)
