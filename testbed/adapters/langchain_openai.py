"""The ``langchain-openai`` package: ``ChatOpenAI.astream`` over chat completions.

The law of this module: the model is made and called as the package's documentation shows, and each chunk is shown as
its caller gets it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import langchain_core.exceptions as core
import langchain_openai as package
import openai

from testbed.adapters._http import ALL_OPTIONS, list_at, read_timeout, text_at, tls
from testbed.adapters.classify import Meaning
from testbed.adapters.declare import client
from testbed.adapters.items import Finish, Item
from testbed.adapters.openai import CUT
from testbed.adapters.openai import ERRORS as BELOW
from testbed.adapters.tool_calls import Calls
from testbed.ports import Runtime, Target
from testbed.script import DialectName

# Its own classes derive from the SDK's and from those of its core; the SDK's say what each is.
ERRORS: Mapping[type[BaseException], Meaning] = BELOW


def _items(chunk: object, calls: Calls) -> list[Item]:
    for piece in list_at(chunk, "tool_call_chunks"):
        index = piece.get("index") or 0
        named = piece.get("id") or "", piece.get("name") or "", piece.get("args") or ""
        calls.grow(index, id=named[0], name=named[1], arguments=named[2])
    items: list[Item] = [text_at(chunk, "content")]
    metadata = getattr(chunk, "response_metadata", None)
    reason = metadata.get("finish_reason") if isinstance(metadata, dict) else None
    if isinstance(reason, str) and reason:
        items += calls.all_whole() if reason not in CUT else ()
        items.append(Finish(reason))
    return items


@client(
    name="langchain-openai",
    base=(openai.OpenAIError, core.LangChainException),
    errors=ERRORS,
    code=("code", "type"),
    dialects=[DialectName.OPENAI_CHAT],
    options=ALL_OPTIONS,
    runtimes=[Runtime.ASYNCIO],
    shows_finish=True,
    shows_tools=True,
)
async def async_client(target: Target) -> AsyncGenerator[Item, None]:
    """``ChatOpenAI``, ``astream``."""
    read = read_timeout(target)
    timeout = openai.Timeout(600.0 if read is None else read, connect=target.connect_timeout or 5.0)
    async with openai.DefaultAsyncHttpxClient(verify=tls(target), trust_env=False) as http:
        make: Any = package.ChatOpenAI
        model = make(
            model=target.model,
            base_url=target.base_url,
            api_key=target.api_key,
            timeout=timeout,
            stream_chunk_timeout=None,  # it counts chunks and not bytes; the time-out of a target is about bytes
            max_retries=target.max_retries,
            http_async_client=http,
        )
        calls = Calls()
        messages = [(one["role"], one["content"]) for one in cast("list[dict[str, str]]", target.request["messages"])]
        async for chunk in model.astream(messages):
            for item in _items(chunk, calls):
                yield item
