"""Forms of the chunks: size lines, the ends of chunks, and the last chunk.

The law of this module: what is wrong is the framing alone. With the right number in place of each wrong one, the body
would be whole; it is the second chunk that is struck, so a client has one good event before it.
"""

from __future__ import annotations

from testbed.faults.forms._form import Form, Group
from testbed.script import After, ChunkEnd, ChunkLine, ContentFault, Ending

_SIZE = "RFC 9112, 7.1"
_EXTENSION = "RFC 9112, 7.1.1"
_TRAILER = "RFC 9112, 7.1.2"
_LATER = "RFC 9112, 9.2"


def _chunk(name: str, broken: str, section: str, *faults: ContentFault, legal: bool = False) -> Form:
    return Form(name, Group.CHUNK, broken, section, faults, legal=legal)


def _size(name: str, broken: str, text: str, *, section: str = _SIZE, legal: bool = False) -> Form:
    return _chunk(f"chunk-size-{name}", broken, section, ChunkLine(text, chunk=1), legal=legal)


def _ending(name: str, broken: str, section: str, end: Ending) -> Form:
    return Form(name, Group.CHUNK, broken, section, end=end)


CHUNKS: tuple[Form, ...] = (
    # --- size lines
    _size("too-big", "The size is 2 more than that of the chunk.", "{size+2}"),
    _size("too-small", "The size is 2 less than that of the chunk.", "{size-2}"),
    _size("not-hexadecimal", "The size is a word.", "wxyz"),
    _size("negative", "The size is the right one behind a minus sign.", "-{size}"),
    _size("plus", "The size is the right one behind a plus sign.", "+{size}"),
    _size("0x", "The size is the right one behind `0x`.", "0x{size}"),
    _size("underscore", "The size has an underscore inside.", "0_{size}"),
    _size("empty", "The size line is empty.", ""),
    _size("space-before", "A space stands before the size.", " {size}"),
    _size("space-behind", "A space stands behind the size.", "{size} "),
    _size("tab-behind", "A tab stands behind the size.", "{size}\t"),
    _size("word-behind", "A space and a word stand behind the size.", "{size} bytes"),
    _size("nul-behind", "NUL stands behind the size.", "{size}\0"),
    _size("overflows-64-bits", "The size is the right one and 2 to the 64th more.", "{size+18446744073709551616}"),
    _size("overflows-32-bits", "The size is the right one and 2 to the 32nd more.", "{size+4294967296}"),
    _size("padded", "The size has leading zeros, 16 digits in all.", "{size:16}", legal=True),
    _size("long", "The size has so many leading zeros that it is 4,096 digits long.", "{size:4096}", legal=True),
    _size("extension", "The size line has an extension.", "{size};name=value", section=_EXTENSION, legal=True),
    _size(
        "extension-quoted",
        "The size line has an extension with a quoted value.",
        '{size};name="a;b"',
        section=_EXTENSION,
        legal=True,
    ),
    _size(
        "extension-empty", "A semicolon stands behind the size, and nothing behind that.", "{size};", section=_EXTENSION
    ),
    _size(
        "extension-large",
        "The size line has an extension of 64 KiB.",
        "{size};name=" + "x" * 65536,
        section=_EXTENSION,
        legal=True,
    ),
    _chunk("chunk-size-line-feed", "A size line ends with LF alone.", _SIZE, ChunkLine("{size}", 1, "\n")),
    _chunk("chunk-size-carriage-return", "A size line ends with CR alone.", _SIZE, ChunkLine("{size}", 1, "\r")),
    # --- behind a chunk
    _chunk("chunk-end-missing", "No CR LF stands behind a chunk.", _SIZE, ChunkEnd("", 1)),
    _chunk("chunk-end-line-feed", "LF alone stands behind a chunk.", _SIZE, ChunkEnd("\n", 1)),
    _chunk("chunk-end-twice", "CR LF stands twice behind a chunk.", _SIZE, ChunkEnd("\r\n\r\n", 1)),
    _chunk(
        "chunk-end-other-bytes", "Two other bytes stand behind a chunk in place of CR LF.", _SIZE, ChunkEnd("XX", 1)
    ),
    _chunk(
        "chunks-line-feeds",
        "Every line of the chunked body ends with LF alone.",
        _SIZE,
        ChunkLine("{size}", None, "\n"),
        ChunkEnd("\n", None),
        ChunkLine("0", -1, "\n"),
        ChunkEnd("\n", -1),
    ),
    # --- the last chunk
    _ending("last-chunk-missing", "FIN comes in place of the last chunk.", "RFC 9112, 8", Ending.FIN),
    _ending("last-chunk-awaited", "Nothing comes in place of the last chunk.", "RFC 9112, 8", Ending.OPEN),
    _chunk("last-chunk-cut", "The last chunk has no empty line behind it; FIN follows.", _SIZE, ChunkEnd("", -1)),
    _chunk(
        "last-chunk-zeros", "The last chunk is written with eight zeros.", _SIZE, ChunkLine("{size:8}", -1), legal=True
    ),
    _chunk("last-chunk-minus", "The last chunk's size is -0.", _SIZE, ChunkLine("-{size}", -1)),
    _chunk("last-chunk-extension", "The last chunk has an extension.", _EXTENSION, ChunkLine("0;end", -1), legal=True),
    _chunk(
        "last-chunk-line-feeds",
        "The last chunk is written with LF alone.",
        _SIZE,
        ChunkLine("0", -1, "\n"),
        ChunkEnd("\n", -1),
    ),
    _chunk(
        "trailer", "A trailer stands behind the last chunk.", _TRAILER, ChunkEnd("X-Sum: 7\r\n\r\n", -1), legal=True
    ),
    _chunk(
        "trailer-without-colon",
        "A line without a colon stands where trailers may.",
        _TRAILER,
        ChunkEnd("sum\r\n\r\n", -1),
    ),
    _chunk(
        "trailer-length", "A trailer gives the length of the body.", _TRAILER, ChunkEnd("Content-Length: 5\r\n\r\n", -1)
    ),
    _chunk(
        "trailer-large",
        "A trailer is 64 KiB long.",
        _TRAILER,
        ChunkEnd(f"X-Sum: {'7' * 65536}\r\n\r\n", -1),
        legal=True,
    ),
    _chunk("bytes-behind-the-end", "Bytes that are no HTTP stand behind the last chunk.", _LATER, After(b"garbage")),
    _chunk("chunk-behind-the-end", "One more chunk stands behind the last.", _LATER, After(b"5\r\nthree\r\n0\r\n\r\n")),
    _chunk(
        "answer-behind-the-end",
        "A second answer that nobody asked for stands behind the first.",
        _LATER,
        After(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree"),
    ),
)
