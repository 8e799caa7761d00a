"""What ``testbed serve`` prints to try: a curl line, and a few lines of Python with the dialect's official SDK.

The law of this module: what is printed works as it stands when it is pasted; a test runs every line of it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from testbed.dialects import DIALECTS
from testbed.script import DialectName

_D = DialectName


class Sample(NamedTuple):
    """A request that the dialect's server answers: its head beside the usual, and its body ("" where there is none)."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str


_JSON = (("content-type", "application/json"),)
# A tool call inside the session that the server gives to everyone.
_MCP = (
    *_JSON,
    ("accept", "application/json, text/event-stream"),
    ("mcp-session-id", "testbed-session"),
)


def sample(dialect: DialectName, model: str) -> Sample:
    """The simplest request for a stream."""
    spelled = DIALECTS[dialect]
    request = spelled.request(model)
    if spelled.method == "GET":
        return Sample("GET", spelled.path, (), "")
    if dialect is _D.MCP:
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {**request, "_meta": {"progressToken": 2}}}
        return Sample("POST", spelled.path, _MCP, json.dumps(call))
    if dialect is _D.GEMINI:
        # The model stands in the path; the SDK's other arguments are the body.
        request = {"contents": request["contents"]}
    return Sample("POST", spelled.path, _JSON, json.dumps(request))


def curl(root: str, dialect: DialectName, *, model: str, ca: str | None = None) -> str:
    """A command that shows the stream as it arrives. `ca`: the authority to trust, for https."""
    asked = sample(dialect, model)
    words = ["curl", "-N", *(["--cacert", ca] if ca else []), root + asked.path]
    for name, value in asked.headers:
        words += ["-H", f"{name}: {value}"]
    return shlex.join([*words, "-d", asked.body] if asked.body else words)


# For each dialect the package to install, and the lines. {url} is what its SDK wants as the base URL.
_PYTHON: Mapping[DialectName, tuple[str, str]] = {
    _D.OPENAI_CHAT: (
        "openai",
        """\
import openai
client = openai.OpenAI(base_url="{url}", api_key="sk-testbed")
for chunk in client.chat.completions.create(**{request}):
    print((chunk.choices[0].delta.content or "") if chunk.choices else "", end="", flush=True)
""",
    ),
    _D.OPENAI_RESPONSES: (
        "openai",
        """\
import openai
client = openai.OpenAI(base_url="{url}", api_key="sk-testbed")
for event in client.responses.create(**{request}):
    print(event.delta if event.type == "response.output_text.delta" else "", end="", flush=True)
""",
    ),
    _D.ANTHROPIC_MESSAGES: (
        "anthropic",
        """\
import anthropic
client = anthropic.Anthropic(base_url="{url}", api_key="sk-testbed")
for event in client.messages.create(**{request}):
    print(getattr(event.delta, "text", "") if event.type == "content_block_delta" else "", end="", flush=True)
""",
    ),
    _D.GEMINI: (
        "google-genai",
        """\
from google import genai
client = genai.Client(api_key="sk-testbed", http_options={{"base_url": "{url}"}})
for chunk in client.models.generate_content_stream(**{request}):
    print(chunk.text or "", end="", flush=True)
""",
    ),
    _D.OLLAMA: (
        "ollama",
        """\
import ollama
for part in ollama.Client(host="{url}").chat(**{request}):
    print(part.message.content or "", end="", flush=True)
""",
    ),
    _D.EVENTSOURCE: (
        "httpx-sse",
        """\
import httpx, httpx_sse
with httpx.Client() as client, httpx_sse.connect_sse(client, "GET", "{url}") as source:
    for event in source.iter_sse():
        print(event.event, event.data, flush=True)
""",
    ),
    _D.MCP: (
        "mcp",
        """\
import asyncio, mcp
async def main():
    async with mcp.Client("{url}") as client:
        print((await client.call_tool(**{request})).content[0].text)
asyncio.run(main())
""",
    ),
}


def python(url: str, dialect: DialectName, *, model: str) -> tuple[str, str]:
    """The package to install, and lines that print the stream with it. `url` is the base URL."""
    package, lines = _PYTHON[dialect]
    return package, lines.format(url=url, request=DIALECTS[dialect].request(model))
