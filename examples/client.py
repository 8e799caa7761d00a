"""A client in Python: short, plausible, and with three defects. See for yourself:

testbed run abrupt-end split-utf8 html-instead-of-sse --client examples.client:chat
"""

import json
from collections.abc import AsyncIterator

import httpx

import testbed


@testbed.client(
    base=httpx.HTTPError,
    errors={
        httpx.ConnectError: {"connect"},
        httpx.ReadTimeout: {"first_byte_timeout", "idle_timeout"},
        httpx.ReadError: {"reset"},
        httpx.RemoteProtocolError: {"incomplete", "protocol"},
        httpx.HTTPStatusError: {"http_status"},
    },
    status="response.status_code",
)
async def chat(target: testbed.Target) -> AsyncIterator[str]:
    """Stream one answer's text."""
    timeout = httpx.Timeout(5.0, read=target.idle_timeout)
    headers = {"Authorization": f"Bearer {target.api_key}"}
    async with (
        httpx.AsyncClient(base_url=target.base_url, timeout=timeout, headers=headers) as http,
        http.stream("POST", "/chat/completions", json=target.request) as response,
    ):
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                choice = json.loads(line[6:])["choices"][0]
                yield choice["delta"].get("content") or ""
