"""The words of a script that are one of a few: dialects, framings, codings, endings, quirks.

The law of this module: each word stands in scenario files and plans, so none is ever renamed; none carries a value.
"""

from __future__ import annotations

import enum


class DialectName(str, enum.Enum):
    """The wire formats, by the names that scenario files use."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    GEMINI = "gemini"
    OLLAMA = "ollama"
    EVENTSOURCE = "eventsource"
    MCP = "mcp"


class Terminal(enum.IntEnum):
    """How surely a client knows that the answer is whole.

    ``SOFT``: the answer says that it is finished (``finish_reason``, ``stop_reason``) but the protocol's own last event
    is still to come. ``HARD``: that last event (``[DONE]``, ``message_stop``). ``NONE``: neither so far; plain
    EventSource never leaves it.
    """

    # Ordered: a stream that has reached HARD has also passed SOFT, whether or not the soft event was sent.
    NONE = 0
    SOFT = 1
    HARD = 2


class Framing(str, enum.Enum):
    """How the HTTP/1.1 message says where its body ends (RFC 9112, section 6.3)."""

    # Ranked by how much a client can know: chunked and content-length tell a cut from an end, close does not.
    CHUNKED = "chunked"
    LENGTH = "content-length"
    CLOSE = "close"


class Version(str, enum.Enum):
    """What the status line says. HTTP/1.0 has no chunks and no kept connection (RFC 9112, appendix C)."""

    HTTP_1_1 = "1.1"
    HTTP_1_0 = "1.0"


class Coding(str, enum.Enum):
    """The content coding of the body (RFC 9110, section 8.4.1; `zstd`: RFC 8878)."""

    IDENTITY = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"  # the zlib format, as the RFC means it
    BR = "br"
    ZSTD = "zstd"


class Flush(str, enum.Enum):
    """When compressed bytes leave."""

    EVENT = "event"  # the coder is flushed behind every event: each can be read as it arrives
    END = "end"  # held back to the end, as a proxy with a full-buffer coder does


class Ending(str, enum.Enum):
    """What the server does with the connection when the script is over."""

    CLEAN = "clean"  # the framing is completed, then FIN: a client can not tell it from a good end
    FIN = "fin"  # FIN at once: chunked and content-length bodies stay unfinished
    RST = "rst"  # drained: wait until the peer has all bytes, then RST
    ABORT = "abort"  # immediate: RST now, what is still queued is lost
    OPEN = "open"  # say nothing more and wait for the client to leave
    # The next two need a framing that says where the body ends, and play the next attempt for the next request.
    KEEP = "keep"  # the message is complete, and the connection waits for another request
    STALE = "stale"  # the same, but the first byte of another request is answered by an RST


class Quirk(str, enum.Enum):
    """A variant of spelling that real servers have. Which dialects have it, and who writes it, stands in
    :data:`testbed.dialects.QUIRKS`.
    """

    # Of any stream of server-sent events.
    CRLF = "crlf"  # every line ends with CR LF
    CR = "cr"  # every line ends with CR
    MIXED_LINE_ENDS = "mixed-line-ends"  # LF, CR LF and CR in turn
    BOM = "bom"  # U+FEFF before the first event
    NO_SPACE = "no-space"  # `data:{...}`, as TGI writes it
    MULTI_LINE_DATA = "multi-line-data"  # the JSON of an event is spread over several data lines
    COLON_KEEPALIVE = "colon-keepalive"  # the keep-alive is `data: : keepalive`, as some gateways write it
    NO_CHARSET = "no-charset"  # the content type names no charset
    # Of one vendor or a few; see the table.
    ERROR_FIELD = "error-field"  # an error is a line `error: {...}`, as old llama.cpp writes it
    DONE_AFTER_ERROR = "done-after-error"  # an error is followed by [DONE], as vLLM writes it
    OPENROUTER_COMMENTS = "openrouter-comments"  # the keep-alive is `: OPENROUTER PROCESSING`
    OBFUSCATION = "obfuscation"  # deltas carry a padding field against traffic analysis
    AZURE = "azure"  # the first chunk has prompt filter results and no choices; filter chunks have no delta
    USAGE_CHUNK = "usage-chunk"  # one more chunk with no choices and the usage, all others with a null
    JSON_ARRAY = "json-array"  # gemini without alt=sse: one JSON array, element by element
    BACKGROUND = "background"  # openai-responses: the answer is queued first, and can be resumed
    REASONING_TEXT = "reasoning-text"  # openai-responses: reasoning as it is, not a summary of it
    ERROR_EVENT = "error-event"  # openai-responses: every error is an `error` event, never response.failed
    NESTED_ERROR = "nested-error"  # openai-responses: the `error` event holds an error object, as the chat API's does
    BARE_ERROR = "bare-error"  # gemini: an error is pretty-printed JSON in lines of its own, not an event
    STATELESS = "stateless"  # mcp 2026-07-28: no handshake, no resumption, no event ids
