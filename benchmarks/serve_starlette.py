"""The peers on uvicorn: a Starlette StreamingResponse, or sse-starlette, with events that are made beforehand.

Usage: python benchmarks/serve_starlette.py PORT TOKENS SECONDS streaming|sse
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import uvicorn
from marker import MARKER
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


def chunk(delta: dict[str, str], finish: str | None = None) -> str:
    """One chat.completion.chunk, as an API would send it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    common = {"id": "chatcmpl-testbed", "object": "chat.completion.chunk", "created": 1700000000, "model": "testbed-1"}
    return json.dumps({**common, "choices": [choice]}, separators=(",", ":"))


def make_app(tokens: int, seconds: float, kind: str) -> Starlette:
    """The application: it answers every request with the same stream."""
    first, token = chunk({"role": "assistant", "content": ""}), chunk({"content": f"{MARKER.decode()} "})
    last = (chunk({}, "stop"), "[DONE]")

    async def events() -> AsyncIterator[str]:
        yield first
        for _ in range(tokens):
            if seconds:
                await asyncio.sleep(seconds)
            yield token
        for data in last:
            yield data

    async def encoded() -> AsyncIterator[bytes]:
        async for data in events():
            yield f"data: {data}\n\n".encode()

    async def answer(request: Request) -> Response:
        await request.body()
        if kind == "streaming":
            return StreamingResponse(encoded(), media_type="text/event-stream")
        from sse_starlette.sse import EventSourceResponse  # noqa: PLC0415 - the other kind must not pay for it

        return EventSourceResponse({"data": data} async for data in events())

    return Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])


if __name__ == "__main__":
    app = make_app(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, backlog=16_384)
