"""The ``httpx-sse`` package on ``httpx``: an EventSource reader that leaves status and reconnecting to its user.

The law of this module: the package is used as its README shows. It reconnects nothing, so the adapter reconnects
nothing: that would be testing our own code under another name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import httpx
import httpx_sse

from testbed.adapters._http import ALL_OPTIONS, read_timeout, tls
from testbed.adapters._httpx import HTTPX_ERRORS
from testbed.adapters.classify import Meaning
from testbed.adapters.declare import client
from testbed.adapters.items import Event
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option

# SSEError derives from httpx.TransportError; the package's README asks its user to handle httpx's errors, so both
# bases are part of what it promises.
ERRORS: Mapping[type[BaseException], Meaning] = {**HTTPX_ERRORS, httpx_sse.SSEError: {"protocol"}}


@client(
    name="httpx-sse",
    base=httpx.HTTPError,
    errors=ERRORS,
    status="response.status_code",
    dialects=[DialectName.EVENTSOURCE],
    options=[option for option in ALL_OPTIONS if option is not Option.MAX_RETRIES],
)
async def async_client(target: Target) -> AsyncGenerator[Event, None]:
    """``aconnect_sse`` and ``aiter_sse``."""
    timeout = httpx.Timeout(None, connect=target.connect_timeout, read=read_timeout(target))
    async with (
        httpx.AsyncClient(timeout=timeout, verify=tls(target), trust_env=False) as http,
        httpx_sse.aconnect_sse(http, "GET", target.base_url) as source,
    ):
        source.response.raise_for_status()
        # Every event as the package says it, the empty ones too: whether they should exist is for the oracle.
        async for event in source.aiter_sse():
            yield Event(type=event.event, data=event.data, id=event.id)
