"""Forms of the head: its status line, its fields, its lines, and what may come in its place.

The law of this module: the body behind a head is good, where there is one; what a client does not read, it loses by the
head alone.
"""

from __future__ import annotations

from testbed.faults.forms._form import Form, Group, field, line, status_line
from testbed.script import After, ContentFault, CutBody, CutWire, Ending, Head, HeadBytes, HeadEnds, SlowHead

_STATUS = "RFC 9112, 4"
_FIELD = "RFC 9112, 5"
_VALUE = "RFC 9110, 5.5"
_NAME = "RFC 9110, 5.1"
_PARSING = "RFC 9112, 2.2"
_EMPTY = "RFC 9112, 6.3"
_INTERIM = "RFC 9110, 15.2"
_LIMITS = "RFC 9110, 5.4"

_NOTHING_ELSE = CutBody(0, Ending.FIN)  # no body behind it


def _head(name: str, broken: str, section: str, faults: tuple[ContentFault, ...], *, legal: bool = False) -> Form:
    return Form(name, Group.HEAD, broken, section, faults, legal=legal)


def _instead(name: str, broken: str, section: str, data: bytes) -> Form:
    return _head(name, broken, section, (HeadBytes(data), _NOTHING_ELSE))


def _bodyless(status: int) -> Form:
    broken = f"A body follows a head with status {status}, which never has one."
    after = After(b"b\r\ndata: one\n\n\r\n0\r\n\r\n")
    return Form(f"body-after-{status}", Group.HEAD, broken, _EMPTY, (after,), Head(status=status), steps=())


_OTHER_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"

HEADS: tuple[Form, ...] = (
    # --- the status line
    _head("version-2.0", "The status line says HTTP/2.0.", "RFC 9110, 2.5", status_line(b"HTTP/2.0 200 OK\r\n")),
    _head(
        "version-1.9",
        "The status line says HTTP/1.9.",
        "RFC 9110, 2.5",
        status_line(b"HTTP/1.9 200 OK\r\n"),
        legal=True,
    ),
    _head(
        "version-0.9", "The status line says HTTP/0.9, which had none.", _STATUS, status_line(b"HTTP/0.9 200 OK\r\n")
    ),
    _head("version-lower-case", "The status line says http/1.1.", "RFC 9112, 2.3", status_line(b"http/1.1 200 OK\r\n")),
    _head(
        "version-other-protocol",
        "The status line is that of a radio stream: ICY 200 OK.",
        _STATUS,
        status_line(b"ICY 200 OK\r\n"),
    ),
    _head("version-missing", "The status line begins with the status.", _STATUS, status_line(b"200 OK\r\n")),
    _head(
        "reason-missing",
        "The status line ends with the status, without the space behind it.",
        _STATUS,
        status_line(b"HTTP/1.1 200\r\n"),
    ),
    _head(
        "reason-empty",
        "The status line ends with the space behind the status.",
        _STATUS,
        status_line(b"HTTP/1.1 200 \r\n"),
        legal=True,
    ),
    _head(
        "reason-8-bit",
        "The reason holds a byte above 127.",
        _STATUS,
        status_line(b"HTTP/1.1 200 d\xe9j\xe0 vu\r\n"),
        legal=True,
    ),
    _head("reason-nul", "The reason holds NUL.", _STATUS, status_line(b"HTTP/1.1 200 O\0K\r\n")),
    _head(
        "reason-large",
        "The reason is 64 KiB long.",
        _STATUS,
        status_line(b"HTTP/1.1 200 " + b"O" * 65536 + b"\r\n"),
        legal=True,
    ),
    _head("status-99", "The status is 99.", _STATUS, status_line(b"HTTP/1.1 99 OK\r\n")),
    _head("status-600", "The status is 600.", "RFC 9110, 15", status_line(b"HTTP/1.1 600 OK\r\n")),
    _head("status-1000", "The status is 1000.", _STATUS, status_line(b"HTTP/1.1 1000 OK\r\n")),
    _head("status-abc", "The status is abc.", _STATUS, status_line(b"HTTP/1.1 abc OK\r\n")),
    _head("status-negative", "The status is -200.", _STATUS, status_line(b"HTTP/1.1 -200 OK\r\n")),
    _head("status-line-tabs", "Tabs part the status line.", _STATUS, status_line(b"HTTP/1.1\t200\tOK\r\n")),
    _head("status-line-two-spaces", "Two spaces part the status line.", _STATUS, status_line(b"HTTP/1.1  200  OK\r\n")),
    _head(
        "status-line-twice", "A second status line stands among the fields.", _FIELD, line(b"HTTP/1.1 200 OK\r\n", at=1)
    ),
    _head(
        "two-heads",
        "A second head follows the first, whose length of 5 makes a body of its beginning.",
        _EMPTY,
        line(_OTHER_HEAD, at=0),
    ),
    # --- fields
    _head("field-control-character", "A value holds BEL.", _VALUE, line(b"X-Bell: a\x07b\r\n")),
    _head("field-nul", "A value holds NUL.", _VALUE, line(b"X-Nul: a\0b\r\n")),
    _head("field-carriage-return", "A value holds CR alone.", _PARSING, line(b"X-Cr: a\rb\r\n")),
    _head("field-8-bit", "A value holds a byte above 127.", _VALUE, line(b"X-Latin: caf\xe9\r\n"), legal=True),
    _head("field-name-8-bit", "A name holds a byte above 127.", _NAME, line(b"X-Caf\xe9: a\r\n")),
    _head("field-name-empty", "A field has no name.", _NAME, line(b": a\r\n")),
    _head("field-name-with-space", "A name holds a space.", _NAME, line(b"X Space: a\r\n")),
    _head("field-without-colon", "A line has no colon.", _FIELD, line(b"no colon\r\n")),
    _head("field-space-before-colon", "A space stands before the colon.", "RFC 9112, 5.1", line(b"X-Space : a\r\n")),
    _head(
        "coding-space-before-colon",
        "A space stands before the colon of Transfer-Encoding.",
        "RFC 9112, 5.1",
        (*field("Transfer-Encoding"), *line(b"Transfer-Encoding : chunked\r\n")),
    ),
    _head(
        "field-folded",
        "A value goes on in the next line, behind a space.",
        "RFC 9112, 5.2",
        line(b"X-Folded: a\r\n b\r\n"),
    ),
    _head(
        "field-folded-first",
        "A line behind the status line begins with a space.",
        "RFC 9112, 2.2",
        line(b" X-First: a\r\n", at=1),
    ),
    _head("field-large", "A field is 64 KiB long.", _LIMITS, field("X-Large", "x" * 65536), legal=True),
    _head("fields-many", "The head has 1,000 fields more.", _LIMITS, line(b"X-Many: 1\r\n", times=1000), legal=True),
    _head(
        "fields-endless",
        "Fields follow each other, 100,000 in a quarter of a second, and no empty line ends the head.",
        _LIMITS,
        (*line(b"X-Endless: 1\r\n", drop=1, times=100_000), SlowHead(65536, 0.01), _NOTHING_ELSE),
    ),
    # --- lines
    _head("head-line-feeds", "Every line of the head ends with LF alone.", _PARSING, (HeadEnds("\n"),)),
    _head("head-carriage-returns", "Every line of the head ends with CR alone.", _PARSING, (HeadEnds("\r"),)),
    _head("head-mixed-line-ends", "One line of the head ends with LF alone.", _PARSING, line(b"X-Lf: a\n")),
    _head("head-empty-line-missing", "The body begins where the empty line should be.", _PARSING, line(b"", drop=1)),
    _head("head-cut", "FIN comes in the middle of the head.", "RFC 9112, 8", (CutWire(30, Ending.FIN),)),
    _head("head-cut-reset", "RST comes in the middle of the head.", "RFC 9112, 8", (CutWire(30, Ending.RST),)),
    _head(
        "head-cut-silence", "Nothing more comes in the middle of the head.", "RFC 9112, 8", (CutWire(30, Ending.OPEN),)
    ),
    _head("head-byte-by-byte", "Every byte of the head is a write of its own.", _PARSING, (SlowHead(1),), legal=True),
    # --- what may come before it, or in its place
    _head("empty-lines-before", "Two empty lines stand before the status line.", _PARSING, line(b"\r\n\r\n", at=0)),
    _head("garbage-before", "Other text stands before the status line.", _PARSING, line(b"garbage\r\n", at=0)),
    _head("bom-before", "A byte order mark stands before the status line.", _PARSING, line(b"\xef\xbb\xbf", at=0)),
    _head("empty-reply", "FIN comes in place of an answer.", "RFC 9112, 8", (CutWire(0, Ending.FIN),)),
    _head("head-missing", "The body comes without a head.", "RFC 9112, 2.1", (HeadBytes(b""),)),
    _instead(
        "http-2-preface",
        "The preface of an HTTP/2 client comes in place of the answer.",
        "RFC 9113, 3.4",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ),
    _instead(
        "http-2-settings",
        "An HTTP/2 server's SETTINGS frame comes in place of the answer.",
        "RFC 9113, 3.4",
        bytes(3) + b"\4" + bytes(5),
    ),
    _instead(
        "tls-alert",
        "A TLS alert (handshake_failure) comes in place of the answer.",
        "RFC 8446, 6",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ),
    _instead(
        "redis-error",
        "The error of another protocol comes in place of the answer.",
        _STATUS,
        b"-ERR unknown command 'POST'\r\n",
    ),
    # --- interim answers, and answers without a body
    _head(
        "interim-endless",
        "An interim answer comes 10,000 times before the answer.",
        _INTERIM,
        line(b"HTTP/1.1 103 Early Hints\r\n\r\n", at=0, times=10_000),
        legal=True,
    ),
    _head(
        "interim-101",
        "The protocol is switched, though nobody asked for it.",
        "RFC 9110, 7.8",
        line(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", at=0),
    ),
    _bodyless(204),
    _bodyless(304),
)
