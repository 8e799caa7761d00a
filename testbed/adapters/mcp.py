"""The official ``mcp`` package over streamable HTTP: its ``Client``, one tool call.

The law of this module: the SDK runs as published and negotiates the revision by itself. Its caller sees the tokens as
progress, and the whole text as the result; the adapter shows a text once, so of the result it shows what progress has
not told.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import anyio
import httpx2
import mcp as sdk
import mcp_types
from anyio.abc import ObjectSendStream
from mcp.client.streamable_http import streamable_http_client

from testbed.adapters._http import read_timeout, status_class, tls
from testbed.adapters.classify import Meaning
from testbed.adapters.declare import client
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option

# What the SDK says in JSON-RPC of its own accord, by code. It tells causes apart only so far: however a stream fails to
# bring its response, that is one code, and a status without a JSON-RPC body is an internal error.
_OWN_CODES: Mapping[int, frozenset[str]] = {
    mcp_types.CONNECTION_CLOSED: frozenset(
        {"connect", "reset", "incomplete", "protocol", "first_byte_timeout", "idle_timeout"}
    ),
    mcp_types.REQUEST_TIMEOUT: frozenset({"first_byte_timeout", "idle_timeout"}),
    mcp_types.PARSE_ERROR: frozenset({"decode", "protocol"}),
    mcp_types.INVALID_REQUEST: frozenset({"protocol", "not_found", "bad_request", "http_status"}),
    mcp_types.METHOD_NOT_FOUND: frozenset({"not_found", "http_status"}),
    mcp_types.INTERNAL_ERROR: frozenset({"http_status", "server_error", "provider"}),
}


def _meaning(error: BaseException) -> frozenset[str]:
    found = getattr(error, "error", None)
    data = getattr(found, "data", None)
    # A server that says more than a code says it in `data`: the status of an HTTP error, or the type of its own.
    if isinstance(data, dict) and isinstance(data.get("status"), int):
        return status_class(data["status"])
    if isinstance(data, dict):
        return frozenset({"provider"})
    return _OWN_CODES.get(getattr(found, "code", 0), frozenset({"provider"}))


def _timeout(target: Target) -> httpx2.Timeout:
    # What the target does not say keeps what the SDK's documentation says of its own HTTP client.
    read = read_timeout(target)
    return httpx2.Timeout(
        30.0,
        connect=30.0 if target.connect_timeout is None else target.connect_timeout,
        read=300.0 if read is None else read,
    )


ERRORS: Mapping[type[BaseException], Meaning] = {
    sdk.MCPError: _meaning,
    httpx2.ConnectError: {"connect"},
    httpx2.ConnectTimeout: {"connect"},
    httpx2.ReadTimeout: {"first_byte_timeout", "idle_timeout"},
    httpx2.ReadError: {"reset"},
    httpx2.WriteError: {"reset"},
    httpx2.RemoteProtocolError: {"incomplete", "protocol"},
    httpx2.DecodingError: {"decode"},
}


@client(
    name="mcp",
    base=(sdk.MCPError, httpx2.HTTPError),
    errors=ERRORS,
    status="error.data.status",
    code=("error.data.type", "error.code"),
    dialects=[DialectName.MCP],
    options=[Option.CONNECT_TIMEOUT, Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT, Option.CANCEL, Option.CA],
)
async def async_client(target: Target) -> AsyncGenerator[str, None]:
    """``Client.call_tool`` with a progress callback."""
    async with (
        httpx2.AsyncClient(timeout=_timeout(target), verify=tls(target), trust_env=False) as http,
        sdk.Client(streamable_http_client(target.base_url, http_client=http)) as api,
        anyio.create_task_group() as tasks,
    ):
        tell, told = anyio.create_memory_object_stream[str](math.inf)
        tasks.start_soon(_call, api, target.request, tell)
        async with told:
            async for text in told:
                yield text


async def _call(api: sdk.Client, request: Mapping[str, Any], tell: ObjectSendStream[str]) -> None:
    seen = ""

    async def show(progress: float, total: float | None, message: str | None) -> None:
        nonlocal seen
        seen += message or ""
        await tell.send(message or "")

    async with tell:
        result = await api.call_tool(**request, progress_callback=show)
        whole = "".join(block.text for block in result.content if isinstance(block, mcp_types.TextContent))
        await tell.send(whole.removeprefix(seen))
