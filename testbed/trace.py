"""The trace: what was seen of one run, from three vantage points, in the order of time.

The law of this module: observations are facts ("these bytes left", "this class was raised"), never judgements; times
are integer microseconds since the run began, connections are numbered from 0 in the order in which the client opened
them. A trace is JSON lines: a header, then one observation a line.
"""

from __future__ import annotations

import enum
from typing import TypeVar, Union

import msgspec

from testbed._trace_words import ERROR_CLASSES, Clock, Cure, Failure, Option, Outcome
from testbed._values import Value, encode
from testbed.errors import UsageError
from testbed.faults.toxics import Direction
from testbed.script import DialectName, Ending

# Defined next door, and read from here. (What this module defines itself needs no word.)
__all__ = ["ERROR_CLASSES", "Clock", "Cure", "Failure", "Option", "Outcome"]

FORMAT = 1

T = TypeVar("T")


# Connections to the second address, where a client may go when the first fails it, are numbered from here.
FALLBACK = 1_000_000


class ClientProfile(Value):
    """What an adapter says of its client. `shared_read_timeout`: one time-out serves both before and after the first
    token.

    `reconnects`: an EventSource client that resumes by itself after a clean end. `shows_finish`, `shows_tools`: its
    caller is told why the model stopped, and is handed tool calls when they are whole.
    """

    name: str
    dialects: tuple[DialectName, ...]
    options: tuple[Option, ...] = ()
    shared_read_timeout: bool = True
    reconnects: bool = False
    shows_finish: bool = False
    shows_tools: bool = False


class Header(Value, omit_defaults=False, tag_field="kind", tag="header"):
    """The first line of a trace."""

    plan: str  # the plan's digest
    engine: str
    clock: Clock
    client: ClientProfile
    format: int = FORMAT


# --- server -----------------------------------------------------------------------------------------------------------


class Request(Value, tag_field="kind", tag="server.request"):
    """A whole request was read. `problem` says in a sentence why it was refused, or is empty.

    `aside`: it was answered without playing an attempt. `attempt` is the one that it plays, where that is not the
    number of its connection (-1: it is).

    `status` is what an aside or a refusal was answered with, `wait` the microseconds that a quota told the client to
    wait (-1: nothing was told). `key` is its Idempotency-Key, `accepts` its Accept-Encoding. `fallback`: it came to the
    second address. `resumes` is what the client says it has of the answer already, in the dialect's own words: its
    Last-Event-ID, or the number behind ``starting_after``; empty where it says nothing, None where it was not looked
    at (no stream of that dialect can be resumed, or the trace is older than the question).
    """

    t: int
    conn: int
    method: str
    path: str
    problem: str = ""
    aside: bool = False
    attempt: int = -1
    status: int = 0
    wait: int = -1
    key: str = ""
    accepts: str = ""
    fallback: bool = False
    resumes: str | None = None


class Sent(Value, tag_field="kind", tag="server.sent"):
    """One write, recorded just before it is handed to the network: which step it carries, and where it stands.

    `wire` and `payload` are half-open ranges of wire bytes of this connection, head and chunk framing counted;
    `payload` is the part of `wire` that is body. `body` is the same range counted in body bytes. For the head,
    payload and body are empty. `step` is -1 for framing that belongs to no step (the last chunk). `ends_step`: the
    step is complete with this write.

    Under TLS `wire` counts the sealed bytes, the handshake before them included, and the whole of a sealed write is its
    payload: nothing in it can be read before its last byte is there.

    `missing`: so many bytes of the step were to follow this write; of a step that ends early, what never came.
    """

    t: int
    conn: int
    step: int
    wire: tuple[int, int]
    payload: tuple[int, int]
    body: tuple[int, int]
    ends_step: bool
    missing: int = 0


class Presented(Value, tag_field="kind", tag="server.presented"):
    """The server answers a TLS handshake; with the first `wire` bytes the client has its certificate."""

    t: int
    conn: int
    wire: int


class Secured(Value, tag_field="kind", tag="server.secured"):
    """The TLS handshake is over for the server, `wire` bytes of it (without a last alert) towards the client.

    `problem` says in a sentence why it failed, or is empty; `refused`: it was the client that ended it.
    """

    t: int
    conn: int
    wire: int
    problem: str = ""
    refused: bool = False


class Farewell(Value, tag_field="kind", tag="server.farewell"):
    """The server is saying close_notify, behind which a TLS connection ends well: its range of wire bytes."""

    t: int
    conn: int
    wire: tuple[int, int]


class ServerEnd(Value, tag_field="kind", tag="server.end"):
    """The server ended the connection, as its script said. `framed`: the message was completed by its framing."""

    t: int
    conn: int
    how: Ending
    framed: bool


class PeerLeft(Value, tag_field="kind", tag="server.peer-left"):
    """The server noticed that the client's side is gone, while it played or waited at an OPEN end."""

    t: int
    conn: int
    reset: bool


# --- link -------------------------------------------------------------------------------------------------------------


class Opened(Value, tag_field="kind", tag="link.opened"):
    """The client opened connection `conn`."""

    t: int
    conn: int


class Delivered(Value, tag_field="kind", tag="link.delivered"):
    """The network is handing bytes on now; `total` counts the wire bytes of this direction so far, these included."""

    t: int
    conn: int
    direction: Direction
    total: int


class LinkEof(Value, tag_field="kind", tag="link.eof"):
    """The network handed a FIN on in this direction."""

    t: int
    conn: int
    direction: Direction


class LinkReset(Value, tag_field="kind", tag="link.reset"):
    """An RST was handed on in this direction.

    DOWNSTREAM: the client got it. `immediate`: queued bytes may be lost with it.
    """

    t: int
    conn: int
    direction: Direction
    immediate: bool = False


class ClientLeft(Value, tag_field="kind", tag="link.client-left"):
    """The client closed its side of the connection (FIN or RST seen by the network)."""

    t: int
    conn: int
    reset: bool


class Fired(Value, tag_field="kind", tag="link.fired"):
    """A toxic struck: its place in the attempt's list, and its type."""

    t: int
    conn: int
    toxic: int
    type: str


# --- client -----------------------------------------------------------------------------------------------------------


class Started(Value, tag_field="kind", tag="client.started"):
    """The client was called."""

    t: int


class SawText(Value, tag_field="kind", tag="client.text"):
    """The caller saw this text."""

    t: int
    text: str


class SawEvent(Value, tag_field="kind", tag="client.event"):
    """The caller saw a plain server-sent event."""

    t: int
    type: str
    data: str
    id: str = ""


class SawTool(Value, tag_field="kind", tag="client.tool"):
    """The caller was handed a tool call, whole in the client's eyes: it would run the tool now."""

    t: int
    id: str
    name: str
    arguments: str


class SawFinish(Value, tag_field="kind", tag="client.finish"):
    """The caller saw why the model stopped."""

    t: int
    reason: str


class Ended(Value, tag_field="kind", tag="client.ended"):
    """The client reported success: its iteration ended."""

    t: int


class Wrapping(str, enum.Enum):
    """Where an exception comes from, seen from the client library's promises."""

    DECLARED = "declared"  # an exception class that the adapter maps to error classes
    BASE = "base"  # under the library's base class, but not mapped
    FOREIGN = "foreign"  # from a library below, not under base
    BUG = "bug"  # a programming error: IndexError, TypeError …; or a process that died


class Raised(Value, tag_field="kind", tag="client.raised"):
    """The client surfaced an error. `classes` is the set that its adapter maps it to (empty if undeclared)."""

    t: int
    type: str
    message: str
    classes: tuple[Outcome, ...]
    wrapping: Wrapping
    status: int | None = None
    code: str | None = None


class Cancelled(Value, tag_field="kind", tag="client.cancelled"):
    """We stopped the client: its plan says so (`planned`), or it outlived every bound."""

    t: int
    planned: bool


class Phase(str, enum.Enum):
    """When a process was looked at."""

    BEFORE = "before"  # just before the client was called
    DURING = "during"
    AFTER = "after"  # the call is over, what is garbage was collected, and a grace period is behind it


class Resources(Value, tag_field="kind", tag="client.resources"):
    """What the client's own process holds. Each number is -1 where the platform or the client's kind does not tell it.

    `memory` is what is resident, `peak` the most that ever was, in bytes. `descriptors` counts all of them, `sockets`
    those of the internet among them. `tasks` are those of the event loop beside the caller's own. `warnings` are the
    texts of the ResourceWarnings since the call began.
    """

    t: int
    phase: Phase
    memory: int = -1
    peak: int = -1
    descriptors: int = -1
    sockets: int = -1
    threads: int = -1
    tasks: int = -1
    warnings: tuple[str, ...] = ()


# --- harness ----------------------------------------------------------------------------------------------------------


class Late(Value, tag_field="kind", tag="harness.late"):
    """Our own watchdog woke `by` microseconds late."""

    t: int
    by: int


class Closed(Value, tag_field="kind", tag="harness.closed"):
    """The run is over: what has not been seen by now did not happen within the grace period."""

    t: int


Observation = Union[
    Request, Sent, Presented, Secured, Farewell, ServerEnd, PeerLeft,
    Opened, Delivered, LinkEof, LinkReset, ClientLeft, Fired,
    Started, SawText, SawEvent, SawTool, SawFinish, Ended, Raised, Cancelled, Resources, Late, Closed,
]  # fmt: skip


class Trace(Value):
    """One run: its header and its observations, sorted by time."""

    header: Header
    observations: tuple[Observation, ...]

    def to_jsonl(self) -> bytes:
        """Encode as JSON lines, the header first."""
        return b"".join(encode(line) + b"\n" for line in (self.header, *self.observations))

    @classmethod
    def from_jsonl(cls, data: bytes) -> Trace:
        """Decode JSON lines; raises :class:`UsageError` naming the line."""
        lines = data.splitlines()
        if not lines:
            raise UsageError("trace: the file is empty; its first line must be a header")
        header = _decode_line(lines[0], 1, _HEADER)
        if header.format != FORMAT:
            raise UsageError(f"trace: format is {header.format}; this version reads format {FORMAT}")
        seen = (_decode_line(line, number, _OBSERVATION) for number, line in enumerate(lines[1:], 2))
        return cls(header=header, observations=tuple(seen))


_HEADER: msgspec.json.Decoder[Header] = msgspec.json.Decoder(Header)
_OBSERVATION: msgspec.json.Decoder[Observation] = msgspec.json.Decoder(Observation)


def _decode_line(line: bytes, number: int, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"trace: line {number}: {error}") from error
