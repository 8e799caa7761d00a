"""Forms of the content type and the content coding: what the head says of the body, and is not so, or is odd.

The law of this module: the HTTP is good, and so is the body.
"""

from __future__ import annotations

from testbed.faults.forms._form import Form, Group, field
from testbed.script import Coding, ContentFault, Flush, Head, Join, Joint, Raw

_MEDIA = "RFC 9110, 8.3"
_STREAM = "HTML, 9.2.5"
_CODING = "RFC 9110, 8.4"


def _type(name: str, broken: str, value: str, *, section: str = _MEDIA, legal: bool = False) -> Form:
    return Form(f"content-type-{name}", Group.CONTENT, broken, section, head=Head(content_type=value), legal=legal)


def _field(name: str, broken: str, section: str, faults: tuple[ContentFault, ...], *, legal: bool = False) -> Form:
    return Form(name, Group.CONTENT, broken, section, faults, legal=legal)


# A client that unpacks all it gets has 32 MiB of this in memory at once.
_BOMB = (Raw(b":"), Raw(b"0" * 1024, times=32 * 1024), Raw(b"\n\n"))

CONTENTS: tuple[Form, ...] = (
    _type("html", "The content type is that of a web page, and the body is a stream.", "text/html", section=_STREAM),
    _type("json", "The content type is JSON, and the body is a stream.", "application/json", section=_STREAM),
    _type("plain", "The content type is plain text, and the body is a stream.", "text/plain", section=_STREAM),
    _type(
        "bytes",
        "The content type is that of any bytes, and the body is a stream.",
        "application/octet-stream",
        section=_STREAM,
    ),
    _type("missing", "There is no content type.", "", legal=True),
    _type("no-slash", "The content type is one word.", "event-stream"),
    _type(
        "latin-1",
        "The charset is Latin-1, and the body is UTF-8, as it always is.",
        "text/event-stream;charset=latin-1",
        section=_STREAM,
    ),
    _type(
        "utf-16",
        "The charset is UTF-16, and the body is UTF-8, as it always is.",
        "text/event-stream; charset=utf-16",
        section=_STREAM,
    ),
    _type("charset-quoted", "The charset stands in quotation marks.", 'text/event-stream; charset="utf-8"', legal=True),
    _type(
        "charset-unknown", "The charset is one that nobody knows.", "text/event-stream; charset=none", section=_STREAM
    ),
    _type("upper-case", "The content type is written in capitals.", "TEXT/EVENT-STREAM", legal=True),
    _type("semicolon", "A semicolon stands behind the content type, and nothing behind that.", "text/event-stream;"),
    _type("spaces", "Spaces stand before the semicolon.", "text/event-stream   ;   charset=utf-8", legal=True),
    _type("list", "The content type stands twice in one field.", "text/event-stream, text/event-stream"),
    _field("content-type-empty", "The content type is empty.", _MEDIA, field("Content-Type", "")),
    _field(
        "content-type-twice",
        "The content type stands in two fields.",
        _MEDIA,
        field("Content-Type", "text/event-stream", "text/event-stream"),
    ),
    _field(
        "content-type-twice-different",
        "Two fields give different content types, the right one first.",
        _MEDIA,
        field("Content-Type", "text/event-stream", "text/html"),
    ),
    _field(
        "content-coding-gzip-plain",
        "The head says gzip, and the body is plain.",
        _CODING,
        field("Content-Encoding", "gzip"),
    ),
    _field(
        "content-coding-unknown",
        "The content coding is one that nobody knows.",
        _CODING,
        field("Content-Encoding", "rot13"),
    ),
    _field(
        "content-coding-identity",
        "The content coding is `identity`, which is no coding.",
        _CODING,
        field("Content-Encoding", "identity"),
    ),
    _field("content-coding-empty", "The content coding is empty.", _CODING, field("Content-Encoding", ""), legal=True),
    Form(
        "content-coding-missing",
        Group.CONTENT,
        "The body is compressed, and no field says so.",
        _CODING,
        field("Content-Encoding"),
        Head(coding=Coding.GZIP),
    ),
    Form(
        "decompression-bomb",
        Group.CONTENT,
        "32 KiB of the body unpack to 32 MiB, all of it one comment.",
        _CODING,
        (Join(Joint.CHUNK),),
        Head(coding=Coding.GZIP, flush=Flush.END),
        between=_BOMB,
        legal=True,
    ),
)
