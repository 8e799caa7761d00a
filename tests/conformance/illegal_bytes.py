"""What each form of length, chunk and head looks like on the wire, written down by hand.

Nothing here is made by a writer of ours: the pieces below are put together by `+` alone. `{name: (bytes, end)}`.
"""

from __future__ import annotations

STATUS = b"HTTP/1.1 200 OK\r\n"
TYPE = b"Content-Type: text/event-stream\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
ONE, TWO = b"data: one\n\n", b"data: two\n\n"
LENGTH_BODY = ONE + TWO  # 22 bytes
FIRST = b"b\r\n" + ONE + b"\r\n"
SECOND = b"b\r\n" + TWO + b"\r\n"
LAST = b"0\r\n\r\n"
CHUNKS = FIRST + SECOND + LAST
HEAD = STATUS + TYPE + CHUNKED + CLOSE + b"\r\n"
FIN, RST, OPEN = "fin", "reset", "open"

Wire = tuple[bytes, str]


def length(*lines: bytes) -> Wire:
    """An answer with these lines in place of its length."""
    return STATUS + TYPE + b"".join(lines) + CLOSE + b"\r\n" + LENGTH_BODY, FIN


def coding(*lines: bytes) -> Wire:
    """A chunked answer with these lines in place of its transfer coding."""
    return STATUS + TYPE + b"".join(lines) + CLOSE + b"\r\n" + CHUNKS, FIN


def chunk(second: bytes, last: bytes = LAST, end: str = FIN) -> Wire:
    """An answer with this in place of its second chunk."""
    return HEAD + FIRST + second + last, end


def size(line: bytes) -> Wire:
    """An answer with this size line of the second chunk."""
    return chunk(line + b"\r\n" + TWO + b"\r\n")


def status(line: bytes) -> Wire:
    """An answer with this status line."""
    return line + TYPE + CHUNKED + CLOSE + b"\r\n" + CHUNKS, FIN


def field(line: bytes) -> Wire:
    """An answer with one more line in its head."""
    return STATUS + TYPE + CHUNKED + CLOSE + line + b"\r\n" + CHUNKS, FIN


def before(data: bytes) -> Wire:
    """An answer with this before it."""
    return data + HEAD + CHUNKS, FIN


LENGTHS: dict[str, Wire] = {
    "length-short": length(b"Content-Length: 20\r\n"),
    "length-long": length(b"Content-Length: 24\r\n"),
    "length-zero": length(b"Content-Length: 0\r\n"),
    "length-negative": length(b"Content-Length: -22\r\n"),
    "length-plus": length(b"Content-Length: +22\r\n"),
    "length-not-a-number": length(b"Content-Length: many\r\n"),
    "length-fraction": length(b"Content-Length: 22.0\r\n"),
    "length-unit": length(b"Content-Length: 22 bytes\r\n"),
    "length-underscore": length(b"Content-Length: 0_22\r\n"),
    "length-empty": length(b"Content-Length: \r\n"),
    "length-padded": length(b"Content-Length: 0000000000000000000000000000000000000022\r\n"),
    "length-overflows-64-bits": length(b"Content-Length: 18446744073709551638\r\n"),
    "length-overflows-32-bits": length(b"Content-Length: 4294967318\r\n"),
    "length-twice-equal": length(b"Content-Length: 22\r\n", b"Content-Length: 22\r\n"),
    "length-twice-different": length(b"Content-Length: 22\r\n", b"Content-Length: 20\r\n"),
    "length-list-equal": length(b"Content-Length: 22, 22\r\n"),
    "length-list-different": length(b"Content-Length: 22, 20\r\n"),
    "length-missing": length(),
    "length-beside-chunks": field(b"Content-Length: 22\r\n"),
    "wrong-length-beside-chunks": field(b"Content-Length: 20\r\n"),
    "coding-beside-length": (
        STATUS + TYPE + b"Content-Length: 22\r\n" + CLOSE + CHUNKED + b"\r\n" + LENGTH_BODY,
        FIN,
    ),
    "coding-twice": coding(CHUNKED, CHUNKED),
    "coding-unknown": coding(b"Transfer-Encoding: rot13, chunked\r\n"),
    "coding-chunked-not-last": coding(b"Transfer-Encoding: chunked, identity\r\n"),
    "coding-identity": coding(b"Transfer-Encoding: identity\r\n"),
    "coding-vertical-tab": coding(b"Transfer-Encoding: \x0bchunked\r\n"),
    "coding-upper-case": coding(b"Transfer-Encoding: Chunked\r\n"),
    "coding-in-http-1.0": status(b"HTTP/1.0 200 OK\r\n"),
}

CHUNK_FORMS: dict[str, Wire] = {
    "chunk-size-too-big": size(b"d"),
    "chunk-size-too-small": size(b"9"),
    "chunk-size-not-hexadecimal": size(b"wxyz"),
    "chunk-size-negative": size(b"-b"),
    "chunk-size-plus": size(b"+b"),
    "chunk-size-0x": size(b"0xb"),
    "chunk-size-underscore": size(b"0_b"),
    "chunk-size-empty": size(b""),
    "chunk-size-space-before": size(b" b"),
    "chunk-size-space-behind": size(b"b "),
    "chunk-size-tab-behind": size(b"b\t"),
    "chunk-size-word-behind": size(b"b bytes"),
    "chunk-size-nul-behind": size(b"b\0"),
    "chunk-size-overflows-64-bits": size(b"1000000000000000b"),
    "chunk-size-overflows-32-bits": size(b"10000000b"),
    "chunk-size-padded": size(b"000000000000000b"),
    "chunk-size-long": size(b"0" * 4095 + b"b"),
    "chunk-size-extension": size(b"b;name=value"),
    "chunk-size-extension-quoted": size(b'b;name="a;b"'),
    "chunk-size-extension-empty": size(b"b;"),
    "chunk-size-extension-large": size(b"b;name=" + b"x" * 65536),
    "chunk-size-line-feed": chunk(b"b\n" + TWO + b"\r\n"),
    "chunk-size-carriage-return": chunk(b"b\r" + TWO + b"\r\n"),
    "chunk-end-missing": chunk(b"b\r\n" + TWO),
    "chunk-end-line-feed": chunk(b"b\r\n" + TWO + b"\n"),
    "chunk-end-twice": chunk(b"b\r\n" + TWO + b"\r\n\r\n"),
    "chunk-end-other-bytes": chunk(b"b\r\n" + TWO + b"XX"),
    "chunks-line-feeds": (HEAD + b"b\n" + ONE + b"\n" + b"b\n" + TWO + b"\n" + b"0\n\n", FIN),
    "last-chunk-missing": chunk(SECOND, b""),
    "last-chunk-awaited": chunk(SECOND, b"", OPEN),
    "last-chunk-cut": chunk(SECOND, b"0\r\n"),
    "last-chunk-zeros": chunk(SECOND, b"00000000\r\n\r\n"),
    "last-chunk-minus": chunk(SECOND, b"-0\r\n\r\n"),
    "last-chunk-extension": chunk(SECOND, b"0;end\r\n\r\n"),
    "last-chunk-line-feeds": chunk(SECOND, b"0\n\n"),
    "trailer": chunk(SECOND, b"0\r\nX-Sum: 7\r\n\r\n"),
    "trailer-without-colon": chunk(SECOND, b"0\r\nsum\r\n\r\n"),
    "trailer-length": chunk(SECOND, b"0\r\nContent-Length: 5\r\n\r\n"),
    "trailer-large": chunk(SECOND, b"0\r\nX-Sum: " + b"7" * 65536 + b"\r\n\r\n"),
    "bytes-behind-the-end": chunk(SECOND, LAST + b"garbage"),
    "chunk-behind-the-end": chunk(SECOND, LAST + b"5\r\nthree\r\n0\r\n\r\n"),
    "answer-behind-the-end": chunk(SECOND, LAST + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree"),
}

HEADS: dict[str, Wire] = {
    "version-2.0": status(b"HTTP/2.0 200 OK\r\n"),
    "version-1.9": status(b"HTTP/1.9 200 OK\r\n"),
    "version-0.9": status(b"HTTP/0.9 200 OK\r\n"),
    "version-lower-case": status(b"http/1.1 200 OK\r\n"),
    "version-other-protocol": status(b"ICY 200 OK\r\n"),
    "version-missing": status(b"200 OK\r\n"),
    "reason-missing": status(b"HTTP/1.1 200\r\n"),
    "reason-empty": status(b"HTTP/1.1 200 \r\n"),
    "reason-8-bit": status(b"HTTP/1.1 200 d\xe9j\xe0 vu\r\n"),
    "reason-nul": status(b"HTTP/1.1 200 O\x00K\r\n"),
    "reason-large": status(b"HTTP/1.1 200 " + b"O" * 65536 + b"\r\n"),
    "status-99": status(b"HTTP/1.1 99 OK\r\n"),
    "status-600": status(b"HTTP/1.1 600 OK\r\n"),
    "status-1000": status(b"HTTP/1.1 1000 OK\r\n"),
    "status-abc": status(b"HTTP/1.1 abc OK\r\n"),
    "status-negative": status(b"HTTP/1.1 -200 OK\r\n"),
    "status-line-tabs": status(b"HTTP/1.1\t200\tOK\r\n"),
    "status-line-two-spaces": status(b"HTTP/1.1  200  OK\r\n"),
    "status-line-twice": status(STATUS + STATUS),
    "two-heads": before(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"),
    "field-control-character": field(b"X-Bell: a\x07b\r\n"),
    "field-nul": field(b"X-Nul: a\x00b\r\n"),
    "field-carriage-return": field(b"X-Cr: a\rb\r\n"),
    "field-8-bit": field(b"X-Latin: caf\xe9\r\n"),
    "field-name-8-bit": field(b"X-Caf\xe9: a\r\n"),
    "field-name-empty": field(b": a\r\n"),
    "field-name-with-space": field(b"X Space: a\r\n"),
    "field-without-colon": field(b"no colon\r\n"),
    "field-space-before-colon": field(b"X-Space : a\r\n"),
    "coding-space-before-colon": (STATUS + TYPE + CLOSE + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS, FIN),
    "field-folded": field(b"X-Folded: a\r\n b\r\n"),
    "field-folded-first": status(STATUS + b" X-First: a\r\n"),
    "field-large": field(b"X-Large: " + b"x" * 65536 + b"\r\n"),
    "fields-many": field(b"X-Many: 1\r\n" * 1000),
    "fields-endless": (STATUS + TYPE + CHUNKED + CLOSE + b"X-Endless: 1\r\n" * 100_000, FIN),
    "head-line-feeds": (
        b"HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\nConnection: close\n\n" + CHUNKS,
        FIN,
    ),
    "head-carriage-returns": (
        b"HTTP/1.1 200 OK\rContent-Type: text/event-stream\rTransfer-Encoding: chunked\rConnection: close\r\r" + CHUNKS,
        FIN,
    ),
    "head-mixed-line-ends": field(b"X-Lf: a\n"),
    "head-empty-line-missing": (STATUS + TYPE + CHUNKED + CLOSE + CHUNKS, FIN),
    "head-cut": (b"HTTP/1.1 200 OK\r\nContent-Type:", FIN),
    "head-cut-reset": (b"HTTP/1.1 200 OK\r\nContent-Type:", RST),
    "head-cut-silence": (b"HTTP/1.1 200 OK\r\nContent-Type:", OPEN),
    "head-byte-by-byte": (HEAD + CHUNKS, FIN),
    "empty-lines-before": before(b"\r\n\r\n"),
    "garbage-before": before(b"garbage\r\n"),
    "bom-before": before(b"\xef\xbb\xbf"),
    "empty-reply": (b"", FIN),
    "head-missing": (CHUNKS, FIN),
    "http-2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FIN),
    "http-2-settings": (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", FIN),
    "tls-alert": (b"\x15\x03\x01\x00\x02\x02\x28", FIN),
    "redis-error": (b"-ERR unknown command 'POST'\r\n", FIN),
    "interim-endless": before(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000),
    "interim-101": before(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "body-after-204": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\nb\r\ndata: one\n\n\r\n0\r\n\r\n", FIN),
    "body-after-304": (b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\nb\r\ndata: one\n\n\r\n0\r\n\r\n", FIN),
}

# Of the other groups, those whose fault stands in the head.
CONTENTS: dict[str, Wire] = {
    "content-type-empty": (STATUS + b"Content-Type: \r\n" + CHUNKED + CLOSE + b"\r\n" + CHUNKS, FIN),
    "content-type-twice": (STATUS + TYPE + TYPE + CHUNKED + CLOSE + b"\r\n" + CHUNKS, FIN),
    "content-type-missing": (STATUS + CHUNKED + CLOSE + b"\r\n" + CHUNKS, FIN),
    "content-coding-gzip-plain": field(b"Content-Encoding: gzip\r\n"),
    "events-in-one-chunk": (HEAD + b"16\r\n" + ONE + TWO + b"\r\n" + LAST, FIN),
    "writes-joined": (HEAD + CHUNKS, FIN),
    "comment-inside": chunk(b"1b\r\ndata: x\n: comment\ndata: y\n\n\r\n" + SECOND),
}

WIRES: dict[str, Wire] = {**LENGTHS, **CHUNK_FORMS, **HEADS, **CONTENTS}
