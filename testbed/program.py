"""The wire program: which bytes the server hands to the network, in which writes, and what it does between them.

The laws of this module: a program is a pure function of its script and always ends with one :class:`Close`; one event
is one write and one chunk unless a split says otherwise; the `body` ranges of the writes tile the body, so that "the
first 812 bytes arrived" says which steps arrived; :func:`layout` is read off the program and never computed beside it.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple

from testbed import http1
from testbed._values import Value
from testbed.dialects import DIALECTS
from testbed.errors import UsageError
from testbed.faults.content import FaultyBody, Piece, apply_faults
from testbed.faults.framing import break_framing
from testbed.operations import FRAMING_STEP, Close, Operation, Range, Wait, Write
from testbed.script import End, Ending, Framing, Head, Pause, Script, Terminal

# The operations are read from here; they stand in a module of their own because faults change them, too.
__all__ = ["FRAMING_STEP", "Close", "Operation", "Wait", "Write"]


class EventSpan(Value):
    """Where one event of a step stands; a comment, a body, raw bytes count as one. `wire` counts its chunk framing."""

    step: int
    wire: Range
    body: Range


class Layout(Value):
    """The addresses of a script's bytes, content faults applied: only what is written is here.

    `head` is the length of the head, `wire` of everything, `body` of the body, in bytes. An event that a cut leaves
    unfinished is as long as what is written of it. `terminal_wire` and `terminal_body` are the first byte of the first
    SOFT or HARD terminal event that is written whole, or None. (A replace fault may have broken that event: a layout
    knows where it stands, not what it says.)
    """

    head: int
    wire: int
    body: int
    events: tuple[EventSpan, ...]
    terminal_wire: int | None
    terminal_body: int | None


# Server, timing and oracle ask for the program of the same script within one run.
@functools.lru_cache(maxsize=64)
def compile_script(script: Script) -> tuple[Operation, ...]:
    """Compile a script into its wire program; raises :class:`UsageError` if the script cannot be said.

    After a cut nothing that stands behind its byte happens: no event, no pause, not the script's own end. The head is
    always written. A pause of 0 seconds is left out. The last chunk of a chunked body is a write of its own.
    """
    return _program(_read(script))


@functools.lru_cache(maxsize=64)
def layout(script: Script) -> Layout:
    """Read the addresses of the script's bytes off its program."""
    answer = _read(script)
    writes = [operation for operation in _program(answer) if isinstance(operation, Write)]
    spans = tuple(_spans(answer, writes))
    # A cut takes away spans from the end only, so the two still match from the front.
    pairs = zip(spans, answer.events, strict=False)
    whole = [span for span, event in pairs if event.end == span.body[1] and event.terminal is not Terminal.NONE]
    return Layout(
        head=sum(len(write.data) for write in writes if write.step == _head_step(script)),
        wire=sum(len(write.data) for write in writes),
        body=max((write.body[1] for write in writes), default=0),
        events=spans,
        terminal_wire=whole[0].wire[0] if whole else None,
        terminal_body=whole[0].body[0] if whole else None,
    )


# --- reading a script -------------------------------------------------------------------------------------------------


class _Event(Value):
    """One event in the body as it is before any fault. Faults move no byte, so it stands there after them too."""

    step: int
    start: int
    data: bytes
    ends_step: bool
    terminal: Terminal

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class _Answer(Value):
    """A script with its events spelled, its faults applied and its head written, but not yet in order of time."""

    script: Script
    events: tuple[_Event, ...]
    pauses: tuple[tuple[int, float], ...]  # those behind the head, each with the body byte before which it stands
    body: FaultyBody
    head: bytes

    @property
    def ending(self) -> Ending:
        last = self.script.steps[-1]
        own = last.how if isinstance(last, End) else Ending.CLEAN
        return self.body.cut or own


def _read(script: Script) -> _Answer:
    encoded = DIALECTS[script.dialect].encode(script.steps, script.quirks)
    # starts[i] is the body byte at which step i begins.
    starts = (0, *accumulate(sum(map(len, events)) for events in encoded))
    events = tuple(_events(script, encoded))
    if events and script.head.status in http1.BODYLESS:
        raise UsageError(f"step {events[0].step}: an answer with status {script.head.status} must not have a body")
    body = apply_faults((Piece(event.step, event.data, event.ends_step) for event in events), script.faults)
    pauses = tuple(
        (starts[index], step.seconds)
        for index, step in enumerate(script.steps)
        if isinstance(step, Pause) and index > _head_step(script)
    )
    return _Answer(script, events, pauses, body, _head(script, body.declared))


def _events(script: Script, encoded: Sequence[Sequence[bytes]]) -> Iterator[_Event]:
    start = 0
    for index, step in enumerate(script.steps):
        terminal = DIALECTS[script.dialect].terminal(step)
        for number, data in enumerate(encoded[index], 1):
            # Only the last event of a step is its terminal: one before it (content_block_stop) promises nothing.
            last = number == len(encoded[index])
            yield _Event(index, start, data, last, terminal if last else Terminal.NONE)
            start += len(data)


def _head_step(script: Script) -> int:
    return next(index for index, step in enumerate(script.steps) if isinstance(step, Head))


# --- framing ----------------------------------------------------------------------------------------------------------


class _Framing(NamedTuple):
    """One way to say where a body ends (RFC 9112, section 6.3)."""

    fields: Callable[[int], tuple[http1.Field, ...]]  # from the declared length
    frame: Callable[[bytes], bytes]
    behind: bytes  # what `frame` puts behind the payload
    last: bytes  # what a clean end writes behind the body
    framed: Callable[[FaultyBody, Ending], bool]  # whether the message is then complete


_FRAMINGS: Mapping[Framing, _Framing] = MappingProxyType(
    {
        Framing.CHUNKED: _Framing(
            fields=lambda _declared: (http1.CHUNKED,),
            frame=http1.chunk,
            behind=http1.CHUNK_END,
            last=http1.LAST_CHUNK,
            framed=lambda _body, how: how is Ending.CLEAN,
        ),
        Framing.LENGTH: _Framing(
            fields=lambda declared: (http1.content_length(declared),),
            frame=bytes,
            behind=b"",
            last=b"",
            # The declared bytes are all there or they are not; what the connection does then changes nothing of it.
            framed=lambda body, _how: body.size == body.declared,
        ),
        Framing.CLOSE: _Framing(
            fields=lambda _declared: (),
            frame=bytes,
            behind=b"",
            last=b"",
            # The FIN is the framing, so a FIN at any byte is a complete message.
            framed=lambda _body, how: how in {Ending.CLEAN, Ending.FIN},
        ),
    }
)

# A 204 or 304 ends with its head.
_BODYLESS = _Framing(lambda _declared: (), bytes, b"", b"", lambda _body, _how: True)

# The fields that the program writes itself; the same ones from a script would contradict them.
_OWN_FIELDS = frozenset({"connection", "content-length", "content-type", "transfer-encoding"})


def _framing(script: Script) -> _Framing:
    return _BODYLESS if script.head.status in http1.BODYLESS else _FRAMINGS[script.head.framing]


def _head(script: Script, declared: int) -> bytes:
    head = script.head
    for name, _ in head.headers:
        if name.lower() in _OWN_FIELDS:
            raise UsageError(f"head: header {name} follows from content_type and framing; it cannot be set by hand")
    fields = (*_content_type(script), *_framing(script).fields(declared), http1.CLOSE, *head.headers)
    return http1.head(head.status, fields)


def _content_type(script: Script) -> tuple[http1.Field, ...]:
    # An empty content type stands for an answer without the field.
    default = "" if script.head.status in http1.BODYLESS else DIALECTS[script.dialect].content_type
    value = default if script.head.content_type is None else script.head.content_type
    return (("Content-Type", value),) if value else ()


# --- in order of time -------------------------------------------------------------------------------------------------


def _program(answer: _Answer) -> tuple[Operation, ...]:
    return break_framing(_operations(answer), answer.script)


def _operations(answer: _Answer) -> Iterator[Operation]:
    script, body = answer.script, answer.body
    framing = _framing(script)
    head_step = _head_step(script)
    yield from _waits(step.seconds for step in script.steps[:head_step] if isinstance(step, Pause))
    end = len(answer.head)
    yield Write(head_step, answer.head, (end, end), (0, 0), ends_step=True)
    yield from _body_operations(answer, framing)
    if answer.ending is Ending.CLEAN and framing.last:
        end = len(framing.last)
        yield Write(FRAMING_STEP, framing.last, (end, end), (body.size, body.size), ends_step=False)
    yield Close(answer.ending, framing.framed(body, answer.ending))


def _body_operations(answer: _Answer, framing: _Framing) -> Iterator[Operation]:
    pauses = deque(answer.pauses)
    start = 0
    for piece in answer.body.pieces:
        while pauses and pauses[0][0] <= start:
            yield from _waits([pauses.popleft()[1]])
        yield _write(piece, start, framing)
        start += len(piece.data)
    # What the cut took away includes the silence right behind its last byte.
    if answer.body.cut is None:
        yield from _waits(seconds for _, seconds in pauses)


def _write(piece: Piece, start: int, framing: _Framing) -> Write:
    data = framing.frame(piece.data)
    payload_end = len(data) - len(framing.behind)
    payload = (payload_end - len(piece.data), payload_end)
    return Write(piece.step, data, payload, (start, start + len(piece.data)), piece.ends_step)


def _waits(seconds: Iterable[float]) -> Iterator[Wait]:
    yield from (Wait(value) for value in seconds if value > 0)


def _spans(answer: _Answer, writes: Sequence[Write]) -> Iterator[EventSpan]:
    # Every event begins where a write begins, and ends where a write ends: splits only add boundaries.
    opens: dict[int, int] = {}
    closes: dict[int, int] = {}
    wire = 0
    for write in writes:
        if write.body[0] < write.body[1]:
            opens[write.body[0]] = wire
            closes[write.body[1]] = wire + len(write.data)
        wire += len(write.data)
    # A cut of the wire may have left less of the body than the faults of the body did.
    body = max(closes, default=0)
    for event in answer.events:
        if event.start < body:
            end = min(event.end, body)
            yield EventSpan(event.step, (opens[event.start], closes[end]), (event.start, end))
