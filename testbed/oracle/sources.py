"""The authorities that requirements rest on, by name.

The law of this module: a source is named so that anybody finds it, and never an address that moves.
"""

from __future__ import annotations

# --- the transport: TCP, HTTP/1.1 and HTTP's meaning. Section numbers are those of June 2022.
MESSAGE = "RFC 9112, section 2 (message format and parsing)"
BODY_LENGTH = "RFC 9112, section 6.3 (message body length)"
CHUNKED = "RFC 9112, section 7.1 (chunked transfer coding)"
INCOMPLETE_MESSAGES = "RFC 9112, section 8 (handling incomplete messages)"
FAILURES = "RFC 9112, section 9.5 (failures and timeouts)"
RETRYING = "RFC 9112, section 9.3.1 (retrying requests)"
SMUGGLING = "RFC 9112, section 6.1 (Transfer-Encoding and Content-Length together)"
STATUS = "RFC 9110, section 15 (status codes)"
CONTENT_TYPE = "RFC 9110, section 8.3 (Content-Type)"
TOO_MANY = "RFC 6585, section 4 (429 Too Many Requests)"
TLS_CLOSURE = "RFC 9112, section 9.8 (TLS connection closure)"
TLS_ALERTS = "RFC 8446, section 6 (alert protocol: closure and error alerts)"
CERTIFICATES = "RFC 9110, section 4.3.4 (https certificate verification)"
RST = "RFC 9293, section 3.10.7 (segment arrives: reset)"
FLOW_CONTROL = "RFC 9293, section 3.8.6 (managing the window: flow control by the receiver)"
# --- the stream: bytes, lines, events
UTF8 = "RFC 3629, section 4 (UTF-8 byte sequences)"
SSE = "WHATWG HTML, section 9.2 (server-sent events)"
SSE_MODEL = "WHATWG HTML, section 9.2.3 (processing model: reconnection, 204, content type)"
SSE_PARSING = "WHATWG HTML, section 9.2.6 (interpreting an event stream)"
# --- the protocols of vendors, which are documented on pages that move; so they are named and not addressed
OPENAI = "OpenAI API reference, chat completions (streaming)"
OPENAI_ERRORS = "OpenAI API guide, error codes"
OPENAI_BACKGROUND = "OpenAI API guide, background mode (streaming a background response)"
MCP_RESUMING = "Model Context Protocol, transports (resumability and redelivery)"
ANTHROPIC = "Anthropic API, streaming messages"
ANTHROPIC_ERRORS = "Anthropic API, errors"
# --- what a process holds
BACKPRESSURE = "Python documentation, asyncio streams and protocols (flow control: a paused reader)"
RESOURCE_WARNINGS = "Python documentation, ResourceWarning and the development mode (what was never closed)"
# --- retries and exceptions
RETRY_AFTER = "RFC 9110, section 10.2.3 (Retry-After)"
IDEMPOTENT = "RFC 9110, section 9.2.2 (idempotent methods)"
SDK_ERRORS = "SDK documentation of OpenAI and Anthropic, handling errors (one base class for all)"
