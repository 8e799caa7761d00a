"""The official ``google-genai`` package: ``Client.aio.models.generate_content_stream`` against the Gemini API.

The law of this module: the SDK runs as published, over an HTTP client that it is handed, as its documentation allows.
It promises :class:`APIError` for what a server answers; what its HTTP library raises reaches the caller as it is, and
is no promise of the SDK. A stream that ends without a ``finishReason`` is for the caller to notice.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from google import genai
from google.genai import errors, types

from testbed.adapters._http import count_at, list_at, read_timeout, status_class, text_at, tls
from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item, ToolCall, Usage
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option


def _answered(error: BaseException) -> Iterable[str]:
    # An error inside a stream has the class of the number that it names; the response that it came with was a 200.
    status = count_at(error, "response", "status_code")
    return {"provider"} if status == 200 else status_class(status)


def _items(chunk: object) -> Iterator[Item]:
    # Of several candidates a caller who asked for one shows the first.
    for candidate in list_at(chunk, "candidates"):
        if count_at(candidate, "index") == 0:
            yield from _candidate(candidate, chunk)
    # A prompt that was blocked has no candidates: why is all that there is to show.
    if blocked := text_at(chunk, "prompt_feedback", "block_reason", "value"):
        yield Finish(blocked)


def _candidate(candidate: object, chunk: object) -> Iterator[Item]:
    for part in list_at(candidate, "content", "parts"):
        if getattr(part, "thought", None) is not True:
            yield text_at(part, "text")
        if getattr(part, "function_call", None) is not None:
            arguments = json.dumps(getattr(part.function_call, "args", None) or {}, ensure_ascii=False)
            yield ToolCall(text_at(part, "function_call", "id"), text_at(part, "function_call", "name"), arguments)
    if reason := text_at(candidate, "finish_reason", "value"):
        yield Finish(reason)
        usage = getattr(chunk, "usage_metadata", None)
        yield Usage(count_at(usage, "prompt_token_count"), count_at(usage, "candidates_token_count"))


@functools.cache
def _http_library() -> Any:
    """What a release uses when nothing else is asked for: it is the one that it requires without an extra."""
    required = importlib.metadata.requires("google-genai") or ()
    own = [one for one in required if one.startswith("httpx2") and "extra" not in one]
    return importlib.import_module("httpx2" if own else "httpx")


def _options(target: Target, http: Any, unused: Any) -> types.HttpOptions:
    timeout = read_timeout(target)
    return types.HttpOptions(
        base_url=target.base_url,
        # One number, in milliseconds, for each wait of a request: connecting, and between two bytes.
        timeout=None if timeout is None else max(1, round(timeout * 1000)),
        retry_options=types.HttpRetryOptions(attempts=target.max_retries + 1),
        httpx_client=unused,
        httpx_async_client=http,
        # For its websockets, which are not used either: without it each client would load all authorities there are.
        async_client_args={"ssl": tls(target)},
    )


@client(
    name="google-genai",
    base=(errors.APIError, errors.UnknownApiResponseError),
    errors={errors.APIError: _answered, errors.UnknownApiResponseError: {"decode", "protocol"}},
    status="response.status_code",
    code="status",
    dialects=[DialectName.GEMINI],
    options=[Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT, Option.MAX_RETRIES, Option.CANCEL, Option.CA],
    shows_finish=True,
    shows_tools=True,
)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """``Client.aio``, ``generate_content_stream``."""
    library, settings = _http_library(), {"verify": tls(target), "trust_env": False, "follow_redirects": True}
    # The blocking client is made by the SDK too if it is not given one.
    with library.Client(**settings) as unused:
        async with library.AsyncClient(**settings) as http:
            # Said out loud, so that no variable of the environment sends the request to another service.
            api = genai.Client(api_key=target.api_key, vertexai=False, http_options=_options(target, http, unused))
            call: Any = api.aio.models.generate_content_stream
            async with aclosing(await call(**target.request)) as stream:
                async for chunk in stream:
                    for item in _items(chunk):
                        yield item
