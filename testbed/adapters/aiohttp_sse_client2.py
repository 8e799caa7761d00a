"""The ``aiohttp-sse-client2`` package: ``EventSource`` on aiohttp, which comes back by itself after every end.

The law of this module: the package is used as its documentation shows. Its waits are its own: five seconds, doubled
before they are first waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

import aiohttp
from aiohttp_sse_client2 import client as package

from testbed.adapters._http import ALL_OPTIONS, read_timeout, tls
from testbed.adapters.classify import Meaning
from testbed.adapters.declare import client
from testbed.adapters.items import Event
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Option

# It raises Python's own classes for an answer that is no stream, without the status, and hands on what aiohttp raises
# below; for a body that was cut that is one class, whatever cut it.
ERRORS: Mapping[type[BaseException], Meaning] = {
    ConnectionRefusedError: {"http_status", "unauthorized"},
    ConnectionAbortedError: {"http_status", "protocol"},
    ConnectionError: {
        *("http_status", "bad_request", "permission_denied", "not_found", "conflict", "too_large"),
        *("rate_limited", "overloaded", "server_error"),
    },
    aiohttp.ClientConnectorError: {"connect"},
    aiohttp.ConnectionTimeoutError: {"connect"},
    asyncio.TimeoutError: {"first_byte_timeout", "idle_timeout"},
    aiohttp.ServerDisconnectedError: {"connect", "reset", "incomplete"},
    aiohttp.ClientOSError: {"reset"},
    aiohttp.ClientPayloadError: {"incomplete", "protocol", "reset"},
    aiohttp.ClientResponseError: {"protocol"},
}


@client(
    name="aiohttp-sse-client2",
    base=(ConnectionError, aiohttp.ClientError),
    errors=ERRORS,
    dialects=[DialectName.EVENTSOURCE],
    # How often it comes back is for nobody to say: only failed connections are counted.
    options=[option for option in ALL_OPTIONS if option is not Option.MAX_RETRIES],
    runtimes=[Runtime.ASYNCIO],
    reconnects=True,
)
async def async_client(target: Target) -> AsyncGenerator[Event, None]:
    """``EventSource`` as an async context and an async iterator."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=target.connect_timeout, sock_read=read_timeout(target))
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=tls(target))) as session,
        package.EventSource(target.base_url, session=session, max_connect_retry=target.max_retries) as source,
    ):
        async for event in source:
            yield Event(type=event.type or "message", data=event.data, id=event.last_event_id)
