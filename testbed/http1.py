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
KEEP_ALIVE: Field = ("Connection", "keep-alive")  # needed with HTTP/1.0 alone: from 1.1 on it goes without saying
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
    300: "Multiple Choices",
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
    505: "HTTP Version Not Supported",
    511: "Network Authentication Required",
    529: "Overloaded",
}
# Of answers that only announce the one above.
INTERIM_REASONS = {100: "Continue", 102: "Processing", 103: "Early Hints"}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")


def head(status: int, fields: Iterable[Field], version: str = "1.1") -> bytes:
    r"""Write the status line, the fields in their order, and the empty line. An interim answer is no more than that.

    >>> head(204, [("Connection", "close")])
    b'HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n'
    """
    reason = {**REASONS, **INTERIM_REASONS}.get(status, "Unknown")
    return _lines([f"HTTP/{version} {status} {reason}", *map(_field_line, fields)])


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


def last_chunk(trailers: Iterable[Field] = ()) -> bytes:
    r"""Write the empty chunk that ends a message, with the fields behind it.

    >>> last_chunk([("X-Checksum", "5d41")])
    b'0\r\nX-Checksum: 5d41\r\n\r\n'
    """
    return _lines(["0", *map(_field_line, trailers)])


def _lines(lines: Iterable[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _field_line(field: Field) -> str:
    name, value = field
    if not _TOKEN.fullmatch(name):
        raise UsageError(f"head: header name {name!r} is not a token of HTTP")
    if not _VALUE.fullmatch(value):
        raise UsageError(f"head: header {name} is {value!r}; a value must be printable ASCII on one line")
    return f"{name}: {value}"


# --- illegal forms ----------------------------------------------------------------------------------------------------
# Writers of what no server should write, each named after what it makes of a legal form. What parsers say to it stands
# in docs/reference/illegal-forms.md, measured. Text is Latin-1: one character is one byte.

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_NUMERAL = re.compile(r"\{([a-z]+)([+-]\d{1,20})?(?::(\d{1,4}))?\}")


def head_with_lines(head: bytes, at: int, drop: int, lines: bytes) -> bytes:
    r"""Put `lines` before line `at` of a head and leave out `drop` lines from there on.

    >>> head_with_lines(b"HTTP/1.1 200 OK\r\n\r\n", -1, 0, b"no colon\r\n")
    b'HTTP/1.1 200 OK\r\nno colon\r\n\r\n'
    """
    own = _LINE.findall(head)
    place = at + len(own) if at < 0 else at
    if not 0 <= place <= len(own):
        raise UsageError(
            f"head_line: at is {at}; the head has {len(own)} lines, so it must lie in -{len(own)} to {len(own)}"
        )
    if place + drop > len(own):
        raise UsageError(f"head_line: drop is {drop}; only {len(own) - place} lines stand behind line {at}")
    return b"".join([*own[:place], lines, *own[place + drop :]])


def head_with_field(head: bytes, name: str, values: Iterable[str]) -> bytes:
    r"""Write a field once for each value, where its first one stood or else as the last, and no other of its name.

    >>> head_with_field(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "Content-Length", ["5", "6"])
    b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'
    """
    own = _LINE.findall(head)
    wanted = name.lower().encode("latin-1")
    places = [place for place, line in enumerate(own) if line.partition(b":")[0].lower() == wanted and b":" in line]
    # Without one it goes before the line that ends the head.
    first = places[0] if places else max(len(own) - 1, 0)
    new = [f"{name}: {value}\r\n".encode("latin-1") for value in values]
    return b"".join(
        [*own[:first], *new, *(line for place, line in enumerate(own[first:], first) if place not in places)]
    )


def head_with_line_ends(head: bytes, end: str) -> bytes:
    """Write `end` for each CR LF of a head."""
    return head.replace(b"\r\n", end.encode("latin-1"))


def size_line(text: str, size: int, end: str) -> bytes:
    r"""Write the size line of a chunk from `text`, whatever it says.

    >>> size_line("0x{size+1}", 15, "\n")
    b'0x10\n'
    """
    return (numeral("chunk_line", text, "size", size, "x") + end).encode("latin-1")


def numeral(fault: str, text: str, name: str, value: int, base: str) -> str:
    """Fill `{name}`, `{name+1}`, `{name-1}` and `{name:16}` (so many digits) in `text`; `base` is `d` or `x`."""

    def filled(found: re.Match[str]) -> str:
        word, change, digits = found.groups()
        if word != name:
            raise UsageError(f"{fault}: its text holds {found[0]}; the only placeholder is {{{name}}}")
        return format(value + int(change or 0), f"0{digits or 1}{base}")

    return _NUMERAL.sub(filled, text)


# --- judging them -----------------------------------------------------------------------------------------------------

_FIELD_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\x20-\x7e\t]*\r\n)*")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"[\x20\x21\x23-\x7e]*"'
_EXTENSIONS = re.compile(rf"(?:[ \t]*;[ \t]*{_WORD}(?:[ \t]*=[ \t]*(?:{_WORD}|{_QUOTED}))?)*")
_SIZE = re.compile(r"[0-9A-Fa-f]+")


def are_field_lines(data: bytes) -> bool:
    """Whether `data` is nothing but whole legal fields."""
    return _FIELD_LINES.fullmatch(data) is not None


def is_size_line(text: str, size: int) -> bool:
    """Whether `text` is a legal size line of a chunk of `size` bytes (RFC 9112, section 7.1)."""
    digits = _SIZE.match(text)
    return digits is not None and int(digits[0], 16) == size and _EXTENSIONS.fullmatch(text[digits.end() :]) is not None
