"""Byte-exact HTTP/1.1 responses (RFC 9112).

The laws of this module: the same arguments give the same bytes, whatever the day and the Python version (no ``Date``,
reason phrases from a table of our own, fields in the order given); and what its legal writers write, any HTTP/1.1
parser takes. Illegal forms are writers of their own, under the heading at the end of this module, never arguments of a
legal one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from testbed.errors import HarnessError, UsageError

Field = tuple[str, str]

# --- legal forms ------------------------------------------------------------------------------------------------------

CLOSE: Field = ("Connection", "close")
CHUNKED: Field = ("Transfer-Encoding", "chunked")
CHUNK_END = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"

# RFC 9110, section 6.4.1: these never have a body, so they get no framing either.
BODYLESS = frozenset({204, 304})

# Our own table: the standard library's phrases change with the Python version (413, 422), and 529 is a vendor's.
REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    425: "Too Early",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    511: "Network Authentication Required",
    529: "Overloaded",
}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")


def head(status: int, fields: Iterable[Field]) -> bytes:
    r"""Write the status line, the fields in their order, and the empty line.

    >>> head(204, [("Connection", "close")])
    b'HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n'
    """
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}", *map(_field_line, fields), "", ""]
    return "\r\n".join(lines).encode("ascii")


def content_length(length: int) -> Field:
    """Build the field that declares a body of `length` bytes."""
    return ("Content-Length", str(length))


def chunk(payload: bytes) -> bytes:
    r"""Frame `payload` as one chunk.

    >>> chunk(b"hello")
    b'5\r\nhello\r\n'
    """
    # An empty chunk is the last one: writing it here would end the message.
    if not payload:
        raise HarnessError("chunk: the payload is empty, and an empty chunk would end the message")
    return b"%x\r\n%b%b" % (len(payload), payload, CHUNK_END)


def _field_line(field: Field) -> str:
    name, value = field
    if not _TOKEN.fullmatch(name):
        raise UsageError(f"head: header name {name!r} is not a token of HTTP")
    if not _VALUE.fullmatch(value):
        raise UsageError(f"head: header {name} is {value!r}; a value must be printable ASCII on one line")
    return f"{name}: {value}"


# --- illegal forms ----------------------------------------------------------------------------------------------------
# None so far. A wrong chunk size, a bare LF, two lengths, an oversized field: each becomes a writer here when a
# scenario needs it, named after what it breaks (`chunk_with_wrong_size`), and says which parsers let it pass.
