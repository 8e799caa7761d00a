"""Forms of the length: what a head may say of the body's size, and should not.

The law of this module: the body is always the same, and whole; only what is said of its length is wrong.
"""

from __future__ import annotations

from testbed.faults.forms._form import Form, Group, field, status_line
from testbed.script import ContentFault, Framing, Head

_LENGTH = Head(framing=Framing.LENGTH)
_CHUNKED = Head()
_GRAMMAR = "RFC 9110, 8.6"
_BODY = "RFC 9112, 6.3"


def _length(name: str, broken: str, section: str, *values: str, legal: bool = False) -> Form:
    faults = field("Content-Length", *values)
    return Form(f"length-{name}", Group.LENGTH, broken, section, faults, _LENGTH, legal=legal)


def _coding(
    name: str,
    broken: str,
    section: str,
    faults: tuple[ContentFault, ...],
    head: Head = _CHUNKED,
    *,
    legal: bool = False,
) -> Form:
    return Form(name, Group.LENGTH, broken, section, faults, head, legal=legal)


# 2 ** 64 and 2 ** 32: what wraps around to the right length in a parser that counts in so many bits.
_WRAP_64 = "{length+18446744073709551616}"
_WRAP_32 = "{length+4294967296}"

LENGTHS: tuple[Form, ...] = (
    _length("short", "The length is 2 less than that of the body.", _BODY, "{length-2}"),
    _length("long", "The length is 2 more than that of the body, which then ends.", "RFC 9112, 8", "{length+2}"),
    _length("zero", "The length is 0, and a body follows.", _BODY, "0"),
    _length("negative", "The length is the right one behind a minus sign.", _GRAMMAR, "-{length}"),
    _length("plus", "The length is the right one behind a plus sign.", _GRAMMAR, "+{length}"),
    _length("not-a-number", "The length is a word.", _GRAMMAR, "many"),
    _length("fraction", "The length is the right one with a fraction.", _GRAMMAR, "{length}.0"),
    _length("unit", "The length has a unit behind it.", _GRAMMAR, "{length} bytes"),
    _length(
        "underscore",
        "The length has an underscore inside, as a number of a programming language.",
        _GRAMMAR,
        "0_{length}",
    ),
    _length("empty", "The field is there and has no value.", _GRAMMAR, ""),
    _length("padded", "The length has leading zeros.", _GRAMMAR, "{length:40}", legal=True),
    _length("overflows-64-bits", "The length is the right one and 2 to the 64th more.", _GRAMMAR, _WRAP_64),
    _length("overflows-32-bits", "The length is the right one and 2 to the 32nd more.", _GRAMMAR, _WRAP_32),
    _length("twice-equal", "Two fields say the same length.", _BODY, "{length}", "{length}"),
    _length(
        "twice-different", "Two fields say different lengths, the right one first.", _BODY, "{length}", "{length-2}"
    ),
    _length("list-equal", "One field lists the same length twice.", _BODY, "{length}, {length}"),
    _length("list-different", "One field lists two lengths, the right one first.", _BODY, "{length}, {length-2}"),
    _length("missing", "No field says a length, so the body ends with the connection.", _BODY, legal=True),
    _coding(
        "length-beside-chunks",
        "The right length stands beside Transfer-Encoding, which overrides it.",
        _BODY,
        field("Content-Length", "{length}"),
    ),
    _coding(
        "wrong-length-beside-chunks",
        "A length that is too short stands beside Transfer-Encoding, which overrides it.",
        _BODY,
        field("Content-Length", "{length-2}"),
    ),
    _coding(
        "coding-beside-length",
        "The head says that the body is chunked, beside the right length; it is not chunked.",
        _BODY,
        field("Transfer-Encoding", "chunked"),
        _LENGTH,
    ),
    _coding(
        "coding-twice",
        "Two fields say that the body is chunked, which is so once.",
        "RFC 9112, 6.1",
        field("Transfer-Encoding", "chunked", "chunked"),
    ),
    _coding(
        "coding-unknown",
        "Before the chunks stands a transfer coding that nobody knows.",
        "RFC 9112, 6.1",
        field("Transfer-Encoding", "rot13, chunked"),
    ),
    _coding(
        "coding-chunked-not-last",
        "Behind the chunks stands another transfer coding, so the body ends with the connection.",
        "RFC 9112, 6.3",
        field("Transfer-Encoding", "chunked, identity"),
    ),
    _coding(
        "coding-identity",
        "The transfer coding is `identity`, which was withdrawn, and the body is chunked.",
        "RFC 9112, 7",
        field("Transfer-Encoding", "identity"),
    ),
    _coding(
        "coding-vertical-tab",
        "A vertical tab stands before `chunked`.",
        "RFC 9110, 5.5",
        field("Transfer-Encoding", "\x0bchunked"),
    ),
    _coding(
        "coding-upper-case",
        "`Chunked` is spelled with a capital.",
        "RFC 9112, 7",
        field("Transfer-Encoding", "Chunked"),
        legal=True,
    ),
    _coding(
        "coding-in-http-1.0",
        "The status line says HTTP/1.0, which has no chunks, and the body is chunked.",
        "RFC 9112, 6.1",
        status_line(b"HTTP/1.0 200 OK\r\n"),
    ),
)
