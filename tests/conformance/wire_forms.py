"""Every legal wire form as a script, and two roads on which a client can meet it: the server alone, and the network."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, TypeVar

import trio

from testbed.engines.embedded import Embedded
from testbed.net.connections import SocketConnection
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.plan import Plan
from testbed.ports import Endpoint, Recorder
from testbed.program import Close, Write, compile_script
from testbed.script import (
    Body,
    Coding,
    ContentFault,
    CutBody,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Flush,
    Framing,
    Head,
    Interim,
    Open,
    Pause,
    Raw,
    Script,
    SplitEvery,
    Step,
    Text,
    Version,
)
from testbed.server.app import make_serve
from testbed.trace import Observation
from tests.net.support import plan_of

CHAT = DialectName.OPENAI_CHAT
STREAM: tuple[Step, ...] = (Open(), Text("Hello"), Text(", wörld 🌍"), Finish(), Done())
LOCATION = (("Location", "/v1/chat/completions"),)
JSON = "application/json"


def said(head: Head, *more: Step, before: tuple[Step, ...] = (), faults: tuple[ContentFault, ...] = ()) -> Script:
    """A whole stream under this head."""
    return Script(CHAT, (*before, head, *STREAM, *more), faults)


def redirect(status: int, how: Ending = Ending.CLEAN) -> Script:
    """A redirect to the same path."""
    return Script(CHAT, (Head(status, JSON, LOCATION, Framing.LENGTH), Body("{}"), End(how)))


CODED = tuple(coding for coding in Coding if coding is not Coding.IDENTITY)
OLD = Version.HTTP_1_0

FORMS: dict[str, Script] = {
    "chunked": said(Head()),
    "chunked-byte-by-byte": said(Head(), faults=(SplitEvery(7),)),
    "chunked-with-trailers": said(
        Head(headers=(("Trailer", "X-Sum, X-End"),), trailers=(("X-Sum", "1"), ("X-End", "")))
    ),
    "content-length": said(Head(framing=Framing.LENGTH)),
    "close-delimited": said(Head(framing=Framing.CLOSE)),
    "close-delimited-half-close": said(Head(framing=Framing.CLOSE), End(Ending.FIN)),
    "http-1.0-close-delimited": said(Head(framing=Framing.CLOSE, version=OLD)),
    "http-1.0-content-length": said(Head(framing=Framing.LENGTH, version=OLD)),
    "interim-100": said(Head(), before=(Interim(100),)),
    "interim-102-again-and-again": said(Head(), before=(Interim(102), Pause(0.01), Interim(102), Interim(102))),
    "interim-103": said(Head(), before=(Interim(103, (("Link", "</a.css>; rel=preload"),)),)),
    "no-content": Script(CHAT, (Head(204),)),
    "not-modified": Script(CHAT, (Head(304, headers=(("ETag", '"a"'),)),)),
    **{f"redirect-{status}": redirect(status) for status in (301, 302, 303, 307, 308)},
    **{f"{coding.value}-flushed": said(Head(coding=coding)) for coding in CODED},
    **{f"{coding.value}-held-back": said(Head(coding=coding, flush=Flush.END)) for coding in CODED},
    "gzip-content-length": said(Head(coding=Coding.GZIP, framing=Framing.LENGTH)),
    "gzip-close-delimited": said(Head(coding=Coding.GZIP, framing=Framing.CLOSE, version=OLD)),
    "gzip-with-trailers": said(Head(coding=Coding.GZIP, flush=Flush.END, trailers=(("X-Sum", "1"),))),
    "gzip-empty": Script(CHAT, (Head(coding=Coding.GZIP),)),
    "gzip-large": said(Head(coding=Coding.GZIP), Raw(b": " + bytes([97]) * 1021 + b"\n", 4096)),
    "cut-in-a-chunk": said(Head(), faults=(CutBody(300, Ending.FIN),)),
    "cut-in-a-length": said(Head(framing=Framing.LENGTH), faults=(CutBody(300, Ending.FIN),)),
    "cut-cleanly": said(Head(), faults=(CutBody(300),)),
    "reset-behind-the-end": said(Head(), End(Ending.RST)),
    "gzip-cut": said(Head(coding=Coding.GZIP), faults=(CutBody(300, Ending.FIN),)),
}
# These are for several requests on one connection.
KEPT: dict[str, Script] = {
    "keep": said(Head(), End(Ending.KEEP)),
    "keep-content-length": said(Head(framing=Framing.LENGTH), End(Ending.KEEP)),
    "keep-coded": said(Head(coding=Coding.ZSTD, flush=Flush.END), End(Ending.KEEP)),
    "keep-no-content": Script(CHAT, (Head(204), End(Ending.KEEP))),
    "keep-http-1.0": said(Head(framing=Framing.LENGTH, version=OLD), End(Ending.KEEP)),
    "keep-redirect": redirect(307, Ending.KEEP),
}


def wire_of(script: Script) -> bytes:
    """Every byte that the script's program writes."""
    return b"".join(one.data for one in compile_script(script) if isinstance(one, Write))


def close_of(script: Script) -> Close:
    """How the script's program ends."""
    (close,) = (one for one in compile_script(script) if isinstance(one, Close))
    return close


Seen = TypeVar("Seen", bound=Observation)


class Facts:
    """A recorder that keeps what it is told, and can be asked when the run is over."""

    def __init__(self) -> None:
        self._facts: list[Observation] = []

    def now(self) -> int:
        """Microseconds."""
        return time.monotonic_ns() // 1000

    def record(self, observation: Observation) -> None:
        """Append one observation."""
        self._facts.append(observation)

    def of(self, kind: type[Seen]) -> list[Seen]:
        """All observations of one kind, in order."""
        return [fact for fact in self._facts if isinstance(fact, kind)]


Road = Callable[[Plan, Recorder], AbstractAsyncContextManager[Endpoint]]


@asynccontextmanager
async def server_alone(plan: Plan, recorder: Recorder) -> AsyncIterator[Endpoint]:
    """The server on a socket, with no network in between."""
    with await listen() as listener:
        async with trio.open_nursery() as nursery:
            serve, numbers = make_serve(plan, recorder), itertools.count()

            def take(client: SocketConnection) -> None:
                nursery.start_soon(serve, next(numbers), client)

            nursery.start_soon(accept_forever, listener, take)
            yield endpoint_of(listener)
            nursery.cancel_scope.cancel()


def embedded(plan: Plan, recorder: Recorder) -> AbstractAsyncContextManager[Endpoint]:
    """The server behind the network of the engine `embedded`."""
    return Embedded().network(plan, make_serve(plan, recorder), recorder)


ROADS: dict[str, Road] = {"server": server_alone, "embedded": embedded}


class Met(NamedTuple):
    """What a raw reader met: the bytes, and how they ended (`fin`, `reset`)."""

    data: bytes
    end: str


@asynccontextmanager
async def connected(road: Road, recorder: Recorder, *scripts: Script) -> AsyncIterator[SocketConnection]:
    """A raw connection to a server that plays these scripts; every wait is bounded."""
    with trio.fail_after(20):
        async with road(plan_of(*scripts), recorder) as endpoint:
            with trio.socket.socket() as sock:
                await sock.connect((endpoint.host, endpoint.port))
                yield SocketConnection(sock)


async def read_all(client: SocketConnection) -> Met:
    """Everything up to the end."""
    seen = bytearray()
    try:
        while data := await client.receive():
            seen += data
    except ConnectionError:
        return Met(bytes(seen), "reset")
    return Met(bytes(seen), "fin")


async def read_exactly(client: SocketConnection, size: int) -> bytes:
    """So many bytes."""
    seen = bytearray()
    while len(seen) < size:
        data = await client.receive(size - len(seen))
        if not data:
            break
        seen += data
    return bytes(seen)
