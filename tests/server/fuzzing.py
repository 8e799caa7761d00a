"""Random and mutated requests, and clients that send them badly. Everything is drawn from a seed.

Used by the fuzz test, and by ``benchmarks/fuzz_server.py`` for a longer run.
"""

from __future__ import annotations

import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

import trio

from testbed.cli._snippets import sample
from testbed.dialects import DIALECTS

_UPLOAD = (
    b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\n'
    b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n{"a":1}\n\r\n--x--\r\n'
)


def right(method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> bytes:
    """A request as HTTP has it."""
    fields = (("Host", "t"), *headers, ("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def seeds(prefix: str) -> tuple[tuple[str, str, tuple[tuple[str, str], ...], bytes], ...]:
    """Right requests: a stream of every dialect, and what is asked around streams."""
    samples = [sample(dialect, "testbed-1") for dialect in DIALECTS]
    streams = tuple((one.method, prefix + one.path, one.headers, one.body.encode()) for one in samples)
    form = (("Content-Type", "multipart/form-data; boundary=x"), ("Idempotency-Key", "k"))
    return (
        *streams,
        ("POST", prefix + "/v1/files", form, _UPLOAD),
        ("GET", prefix + "/v1/models", (("Authorization", "Bearer sk"),), b""),
        ("DELETE", prefix + "/mcp", (("Mcp-Session-Id", "testbed-session"),), b""),
        ("GET", "/", (), b""),
    )


# What stands in a body in place of what should stand there.
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, "", "x" * 3000, "\u0000", "\U0001f4a9", [], {}, [[]] * 50, {"a": {"b": [None]}}),
)
_DEEP = b'{"model":"m","messages":' + b"[" * 3000 + b"]" * 3000 + b"}"
_TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"\xff", b"\xc3", b"\x16\x03\x01\x02\x00", b"\\ud800"),
    *(b"HTTP/1.1", b"HTTP/9.9", b"GET ", b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"),
    *(
        b"18446744073709551616",
        b"-1",
        b"ffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"--x--",
        b"%00",
    ),
)

Draw = random.Random


def _in_json(draw: Draw, body: bytes) -> bytes:
    """The body with one of its values replaced, at any depth."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    place = value
    while isinstance(place, (dict, list)) and place:
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if draw.random() < 0.5 or not isinstance(place[key], (dict, list)):
            place[key] = draw.choice(_VALUES)
            break
        place = place[key]
    return json.dumps(value).encode()


def _in_bytes(draw: Draw, data: bytes) -> bytes:
    """The request with some of its bytes changed, taken away, doubled or put in."""
    out = bytearray(data)
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(out) + 1)
        kind = draw.randrange(5)
        if kind == 0:
            out[at:at] = draw.choice(_TOKENS)
        elif kind == 1:
            del out[at : at + draw.randrange(1, 60)]
        elif kind == 2:
            out[at : at + 1] = draw.randbytes(1)
        elif kind == 3:
            out[at:at] = out[: draw.randrange(len(out) + 1)]
        else:
            out[at:at] = draw.choice((b"x", b"\r\n", b"a: b\r\n", b"1\r\nx\r\n", b"[")) * draw.randrange(4000)
    return bytes(out)


def _chunked(draw: Draw, data: bytes) -> bytes:
    """The same request with its body in chunks, of which some are wrong."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    chunks = b"".join(
        b"%x%b\r\n%b\r\n" % (len(piece) + draw.choice((0, 0, 0, 0, 0, 1)), draw.choice((b"", b";a=b")), piece)
        for piece in (body[at : at + 50] for at in range(0, len(body), 50))
    )
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]) + chunks + b"0\r\n\r\n"


Parts = tuple[str, str, tuple[tuple[str, str], ...], bytes]


def _crowded(draw: Draw, parts: Parts) -> bytes:
    method, path, headers, body = parts
    return right(method, path, (*headers, *((f"x-{n}", "y" * 200) for n in range(draw.randrange(400)))), body)


# The ways in which a request can be, each with its share.
_WAYS: tuple[tuple[int, Callable[[Draw, Parts], bytes]], ...] = (
    (10, lambda _draw, parts: right(*parts)),
    (30, lambda draw, parts: right(*parts[:3], _in_json(draw, parts[3]))),
    (30, lambda draw, parts: _in_bytes(draw, right(*parts))),
    (10, lambda draw, parts: _chunked(draw, right(*parts))),
    (5, lambda _draw, parts: right(*parts[:3], _DEEP)),
    (5, _crowded),
    (10, lambda draw, _parts: draw.randbytes(draw.randrange(1, 4000))),
)


def request(draw: Draw, prefixes: tuple[str, ...]) -> bytes:
    """One request, right or wrong in one of many ways."""
    (way,) = draw.choices([way for _, way in _WAYS], [share for share, _ in _WAYS])
    return way(draw, draw.choice(seeds(draw.choice(prefixes))))


async def attack(
    connect: Callable[[], Any],
    draw: Draw,
    prefixes: tuple[str, ...],
    budget: list[int],
    answers: Counter[str],
    *,
    patience: float = 0.1,
) -> None:
    """Send one request after the other, in pieces, until the budget of bytes is used up; leave in any way.

    `answers` counts the status lines that came within `patience` seconds, or twice that.
    """
    while budget[0] > 0:
        data = request(draw, prefixes)
        budget[0] -= len(data)
        seen = b""
        stream: trio.SocketStream = await connect()
        with trio.move_on_after(patience * (1 + draw.random())):
            try:
                size = 1 + len(data) // draw.choice((1, 1, 3, 7))
                for at in range(0, len(data), size):
                    await stream.send_all(data[at : at + size])
                if draw.random() < 0.3:
                    await stream.send_eof()
                while len(seen) < 64 * 1024 and (more := await stream.receive_some(4096)):
                    seen += more
            except trio.BrokenResourceError:
                pass  # it was answered, and reset
        answers[seen[9:12].decode("latin-1") if seen.startswith(b"HTTP/1.1 ") else "none"] += 1
        if draw.random() < 0.3:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing sends an RST
        await trio.aclose_forcefully(stream)
