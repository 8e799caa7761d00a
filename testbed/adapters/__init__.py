"""Clients under test: how one is declared, driven and found by name.

The law of this module: importing it imports no SDK and no HTTP library; each comes with the adapter that needs it, or
says in one line how to install it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from testbed._values import Value
from testbed.adapters._rehearsal import rehearse
from testbed.adapters.command import command_adapter
from testbed.adapters.declare import FunctionClient, client, is_client_function
from testbed.adapters.isolated import isolated
from testbed.adapters.items import Event, Finish, Item, ToolCall, Usage
from testbed.errors import UsageError, unknown_name
from testbed.ports import ClientAdapter
from testbed.script import DialectName

__all__ = [
    "KNOWN",
    "Event",
    "Finish",
    "Item",
    "Known",
    "ToolCall",
    "Usage",
    "client",
    "command_adapter",
    "isolated",
    "load",
]


class Known(Value):
    """A client that is wired in: where its adapter is, which extra brings its package, and what it speaks."""

    module: str
    attribute: str
    extra: str  # "" if it needs nothing beyond our own dependencies
    dialects: tuple[DialectName, ...]


# MCP is a session of several requests, which the reference client does not hold.
_ALL_BUT_MCP = tuple(dialect for dialect in DialectName if dialect is not DialectName.MCP)

KNOWN: Mapping[str, Known] = {
    "openai": Known("testbed.adapters.openai", "async_client", "openai", (DialectName.OPENAI_CHAT,)),
    "openai-sync": Known("testbed.adapters.openai", "sync_client", "openai", (DialectName.OPENAI_CHAT,)),
    "openai-responses": Known(
        "testbed.adapters.openai_responses", "async_client", "openai", (DialectName.OPENAI_RESPONSES,)
    ),
    "anthropic": Known("testbed.adapters.anthropic", "async_client", "anthropic", (DialectName.ANTHROPIC_MESSAGES,)),
    "anthropic-sync": Known(
        "testbed.adapters.anthropic", "sync_client", "anthropic", (DialectName.ANTHROPIC_MESSAGES,)
    ),
    "anthropic-stream": Known(
        "testbed.adapters.anthropic", "async_helper", "anthropic", (DialectName.ANTHROPIC_MESSAGES,)
    ),
    "anthropic-stream-sync": Known(
        "testbed.adapters.anthropic", "sync_helper", "anthropic", (DialectName.ANTHROPIC_MESSAGES,)
    ),
    "langchain-openai": Known(
        "testbed.adapters.langchain_openai", "async_client", "langchain-openai", (DialectName.OPENAI_CHAT,)
    ),
    "litellm": Known(
        "testbed.adapters.litellm",
        "async_client",
        "litellm",
        (DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES),
    ),
    "sseclient-py": Known("testbed.adapters.sseclient_py", "sync_client", "sseclient-py", (DialectName.EVENTSOURCE,)),
    "aiohttp-sse-client2": Known(
        "testbed.adapters.aiohttp_sse_client2", "async_client", "aiohttp-sse-client2", (DialectName.EVENTSOURCE,)
    ),
    "httpx-sse": Known("testbed.adapters.httpx_sse", "async_client", "httpx-sse", (DialectName.EVENTSOURCE,)),
    "google-genai": Known("testbed.adapters.google_genai", "async_client", "google-genai", (DialectName.GEMINI,)),
    "ollama": Known("testbed.adapters.ollama", "async_client", "ollama", (DialectName.OLLAMA,)),
    "mcp": Known("testbed.adapters.mcp", "async_client", "mcp", (DialectName.MCP,)),
    "reference": Known("testbed.adapters.reference", "async_client", "", _ALL_BUT_MCP),
}


def load(spec: str) -> ClientAdapter:
    """Find a client: by its name here, or as ``module:function`` (the current folder counts).

    Raises :class:`UsageError` with a did-you-mean, or with the line that installs what is missing.
    """
    if ":" in spec:
        return _from_module(spec)
    if spec not in KNOWN:
        raise unknown_name("client", spec, [*KNOWN, "module:function"])
    known = KNOWN[spec]
    try:
        module = importlib.import_module(known.module)
    except ModuleNotFoundError as error:
        if not known.extra or (error.name or "").startswith("testbed"):
            raise
        raise UsageError(
            f"client {spec!r} needs a package that is not installed here ({error.name}): "
            f"pip install 'stream-testbed[{known.extra}]'"
        ) from None
    adapter: FunctionClient = getattr(module, known.attribute)
    rehearse(adapter)
    return adapter


def _from_module(spec: str) -> ClientAdapter:
    path, _, attribute = spec.partition(":")
    if not path or not attribute:
        raise UsageError(f"client {spec!r}: write module:function, such as my_client:chat")
    module = _import(spec, path)
    found = getattr(module, attribute, None)
    if found is None:
        raise unknown_name(f"function in module {path}", attribute, _candidates(module))
    # The name is the spec, so that what a report says can be typed back.
    if isinstance(found, FunctionClient):
        return found.named(spec)
    if is_client_function(found):
        return client(name=spec)(found)
    if all(hasattr(found, name) for name in ("profile", "runtimes", "drive")):
        adapter: ClientAdapter = found
        return adapter
    raise UsageError(
        f"client {spec!r}: {attribute} is no client; it must be a generator function that takes the target "
        "and yields the text as it arrives"
    )


def _import(spec: str, path: str) -> ModuleType:
    # It stays on the path: a client may import its own modules later, when it is called.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not (path == error.name or path.startswith(error.name + ".")):
            raise UsageError(f"client {spec!r}: {path} needs the module {error.name}, not installed here") from error
        raise UsageError(f"client {spec!r}: there is no module {error.name}, here or installed") from None
    except Exception as error:  # the tester's own module: whatever its import raises is theirs to read
        raise UsageError(f"client {spec!r}: importing {path} failed: {type(error).__name__}: {error}") from error


def _candidates(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if _looks_like_client(value)]


def _looks_like_client(value: Any) -> bool:
    return isinstance(value, FunctionClient) or is_client_function(value)
