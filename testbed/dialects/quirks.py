"""The quirks: variants of spelling that real servers have, each with who writes it.

The law of this module: a quirk changes how a script is spelled and never what it means, so a right client shows the
same with it and without it, unless its sentence says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from testbed.script import DialectName, Quirk


class Note(NamedTuple):
    """What a quirk is, which dialects have it, and where it was seen."""

    dialects: frozenset[DialectName]
    sentence: str
    source: str


_D = DialectName
_SSE = frozenset(_D) - {_D.OLLAMA}
_CHAT = frozenset({_D.OPENAI_CHAT})
_RESPONSES = frozenset({_D.OPENAI_RESPONSES})
_STANDARD = "https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"

QUIRKS: Mapping[Quirk, Note] = MappingProxyType(
    {
        # Gemini's lines end so by nature.
        Quirk.CRLF: Note(_SSE - {_D.GEMINI}, "every line ends with CR LF", _STANDARD),
        Quirk.CR: Note(_SSE, "every line ends with CR", _STANDARD),
        Quirk.MIXED_LINE_ENDS: Note(_SSE, "lines end with LF, CR and CR LF in turn", _STANDARD),
        Quirk.BOM: Note(_SSE, "the stream begins with U+FEFF, which a client leaves out", _STANDARD),
        Quirk.NO_SPACE: Note(
            _SSE, "no space stands behind a field's colon", "https://github.com/huggingface/text-generation-inference"
        ),
        # A plain event source's text with line ends in it is spread so by nature.
        Quirk.MULTI_LINE_DATA: Note(
            _SSE - {_D.EVENTSOURCE},
            "the JSON of an event is spread over several data lines",
            "https://github.com/SamSaffron/term-llm/issues/456",
        ),
        Quirk.COLON_KEEPALIVE: Note(
            frozenset({_D.OPENAI_CHAT, _D.ANTHROPIC_MESSAGES, _D.EVENTSOURCE}),
            "the keep-alive is a data line that looks like a comment: `data: : keepalive`",
            "https://github.com/mnfst/llm-gateway/issues/2053",
        ),
        Quirk.NO_CHARSET: Note(frozenset(_D), "the content type names no charset", _STANDARD),
        Quirk.ERROR_FIELD: Note(
            _CHAT,
            "an error is a line `error: {...}`, which is no field of the standard",
            "https://github.com/ggml-org/llama.cpp/issues/16104",
        ),
        Quirk.DONE_AFTER_ERROR: Note(
            _CHAT, "an error chunk is followed by [DONE]", "https://github.com/BerriAI/litellm/issues/40578"
        ),
        Quirk.OPENROUTER_COMMENTS: Note(
            _CHAT, "the keep-alive is `: OPENROUTER PROCESSING`", "https://github.com/mistralai/mistral-vibe/issues/762"
        ),
        Quirk.OBFUSCATION: Note(
            frozenset({_D.OPENAI_CHAT, _D.OPENAI_RESPONSES}), "deltas carry a field of padding", "openai-python, types"
        ),
        Quirk.AZURE: Note(
            _CHAT,
            "prompt filter results come first, filter chunks have no delta",
            "https://github.com/pydantic/pydantic-ai/issues/164",
        ),
        Quirk.USAGE_CHUNK: Note(_CHAT, "a last chunk has the usage and no choices", "openai-python, types"),
        Quirk.JSON_ARRAY: Note(
            frozenset({_D.GEMINI}),
            "the answer is one JSON array, sent element by element",
            "Gemini API without alt=sse",
        ),
        Quirk.BACKGROUND: Note(
            _RESPONSES, "the answer is made in the background: response.queued comes second", "openai-python, types"
        ),
        Quirk.REASONING_TEXT: Note(
            _RESPONSES, "reasoning is said as it is, not as a summary: response.reasoning_text", "openai-python, types"
        ),
        Quirk.ERROR_EVENT: Note(
            _RESPONSES,
            "every error is an `error` event, never response.failed",
            "https://github.com/openai/openai-node/issues/2021",
        ),
        Quirk.NESTED_ERROR: Note(
            _RESPONSES,
            "the `error` event holds an error object where the types have its fields",
            "https://github.com/openai/openai-dotnet/issues/881",
        ),
        Quirk.BARE_ERROR: Note(
            frozenset({_D.GEMINI}),
            "an error inside the stream is pretty-printed JSON in lines of its own, not an event",
            "https://github.com/googleapis/python-genai/issues/1162",
        ),
        Quirk.STATELESS: Note(frozenset({_D.MCP}), "no handshake, no event ids, no resumption", "MCP 2026-07-28"),
    }
)
