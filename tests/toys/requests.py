"""What a toy asks: the bytes of each request, through h11.

The law of this module: nothing here is a decision that a defect would want; those stand in `rules.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from testbed.ports import Target
from testbed.script import DialectName

REVISION = "2025-06-18"
CALL_ID = 2  # the handshake was request 1


class Asked(NamedTuple):
    """One request. `body` None: it has none."""

    method: str
    path: str
    body: object = None
    fields: tuple[tuple[str, str], ...] = ()


_PATHS: Mapping[DialectName, str] = {
    DialectName.OPENAI_CHAT: "/chat/completions",
    DialectName.OPENAI_RESPONSES: "/responses",
    DialectName.ANTHROPIC_MESSAGES: "/v1/messages",
    DialectName.GEMINI: "/v1beta/models/{model}:streamGenerateContent?alt=sse",
    DialectName.OLLAMA: "/api/chat",
    DialectName.MCP: "",
}


def asks(target: Target) -> Asked:
    """The request for an answer."""
    if target.dialect is DialectName.EVENTSOURCE:
        return Asked("GET", "", fields=(("Accept", "text/event-stream"), ("Cache-Control", "no-store")))
    path = _PATHS[target.dialect].format(model=target.model)
    if target.dialect is DialectName.MCP:
        meta = {"progressToken": CALL_ID}
        return Asked("POST", path, _rpc("tools/call", CALL_ID, {**target.request, "_meta": meta}))
    if target.dialect is DialectName.GEMINI:
        return Asked("POST", path, {key: value for key, value in target.request.items() if key != "model"})
    return Asked("POST", path, {**target.request, "stream": True})


def initialize() -> Asked:
    """The first request of an MCP session."""
    client = {"name": "toy", "version": "1"}
    params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client}
    return Asked("POST", "", _rpc("initialize", 1, params))


def initialized() -> Asked:
    """The notification behind it."""
    return Asked("POST", "", {"jsonrpc": "2.0", "method": "notifications/initialized"})


def resumed(target: Target, last_event_id: str) -> Asked:
    """Go on with an MCP stream."""
    return Asked("GET", "", fields=(("Last-Event-ID", last_event_id),))


def retrieved(id: str, number: int) -> Asked:
    """Go on with a response that is made in the background."""
    return Asked("GET", f"/responses/{id}?stream=true&starting_after={number}")


def _rpc(method: str, id: int, params: object) -> object:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


def write(http: h11.Connection, target: Target, asked: Asked, *, session: str = "", close: bool = True) -> bytes:
    """The bytes of a request."""
    url = urlsplit(target.base_url)
    fields = [("Host", url.netloc), *asked.fields, ("Accept-Encoding", "identity"), *_keys(target, session)]
    if not any(name == "Accept" for name, _ in asked.fields):
        fields.append(("Accept", "application/json, text/event-stream"))
    body = b""
    if asked.body is not None:
        body = json.dumps(asked.body).encode()
        fields += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if close:
        fields.append(("Connection", "close"))
    events = [
        h11.Request(method=asked.method, target=(url.path + asked.path) or "/", headers=fields),
        *([h11.Data(data=body)] if body else []),
        h11.EndOfMessage(),
    ]
    return b"".join(http.send(event) or b"" for event in events)


def _keys(target: Target, session: str) -> list[tuple[str, str]]:
    if target.dialect is DialectName.EVENTSOURCE:
        return []
    if target.dialect is DialectName.MCP:
        told = [("MCP-Protocol-Version", REVISION), ("Mcp-Session-Id", session)] if session else []
        return [*told, ("Authorization", f"Bearer {target.api_key}")]
    return [
        ("Authorization", f"Bearer {target.api_key}"),
        ("x-api-key", target.api_key),
        ("anthropic-version", "2023-06-01"),
        ("x-goog-api-key", target.api_key),
    ]
