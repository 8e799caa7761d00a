"""The wire program: which bytes the server hands to the network, in which writes, and what it does between them.

The laws of this module: a program is a pure function of its script and always ends with one :class:`Close`; one event
is one write and one chunk unless a split says otherwise; the `body` ranges of the writes tile the body, so that "the
first 812 bytes arrived" says which steps arrived; :func:`layout` is read off the program and never computed beside it.

Content faults strike the text, before it is coded. Of a coded body `payload` is what is sent of it and `body` what it
means: a write never claims a byte of the text that a decoder would not have with it.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec

from testbed import coding
from testbed._framing import COMPLETING, FramingRule, check_message, framing_of, is_bodyless, write_head, write_interim
from testbed._values import Value
from testbed.dialects import DIALECTS
from testbed.errors import UsageError
from testbed.faults.content import FaultyBody, Piece, apply_faults
from testbed.faults.framing import break_framing
from testbed.operations import FRAMING_STEP, Close, Operation, Range, Wait, Write
from testbed.script import (
    Coding,
    CutBody,
    CutWire,
    DialectName,
    End,
    Ending,
    Flush,
    Head,
    Interim,
    Pause,
    Quirk,
    Raw,
    Script,
    Step,
    Terminal,
)

# The operations are read from here; they stand in a module of their own because faults change them, too.
__all__ = ["FRAMING_STEP", "Close", "Operation", "Wait", "Write"]


class EventSpan(Value):
    """Where one event of a step stands; a comment, a body, raw bytes count as one. `wire` counts its chunk framing."""

    step: int
    wire: Range
    body: Range


class Layout(Value):
    """The addresses of a script's bytes, content faults applied: only what is written is here.

    `head` is the length of the head with what came before it, `wire` of everything, `body` of the body before it is
    coded, in bytes. An event that a cut leaves unfinished is as long as what is written of it. `terminal_wire` and
    `terminal_body` are the first byte of the first SOFT or HARD terminal event that is written whole, or None. (A
    replace fault may have broken that event: a layout knows where it stands, not what it says.)
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
        head=sum(len(write.data) for write in writes if 0 <= write.step <= _head_step(script)),
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
    end: int
    terminal: Terminal


class _Part(Value):
    """The bytes of one write before they are framed. `held`: they wait for those of the next one."""

    step: int
    data: bytes  # coded, if the body is
    body: Range
    ends_step: bool
    held: bool = False
    missing: int = 0


class _Answer(Value):
    """A script with its events spelled, its faults applied and its body coded, but not yet in order of time."""

    script: Script
    events: tuple[_Event, ...]
    pauses: tuple[tuple[int, float], ...]  # those behind the head, each with the body byte before which it stands
    parts: tuple[_Part, ...]
    declared: int  # the length that a field would give, in bytes as they are sent
    ending: Ending

    @property
    def size(self) -> int:
        """How many bytes of the body are written, counted before they are coded."""
        return self.parts[-1].body[1] if self.parts else 0


def _read(script: Script) -> _Answer:
    check_message(script)
    spelled = _spell(script)
    events = tuple(_events(script, spelled))
    if events and is_bodyless(script):
        raise UsageError(f"step {events[0].step}: an answer with status {script.head.status} must not have a body")
    pieces = tuple(_pieces(spelled))
    body = apply_faults(pieces, script.faults)
    parts = tuple(_with_rest(_parts(script, body), events))
    last = script.steps[-1]
    own = last.how if isinstance(last, End) else Ending.CLEAN
    return _Answer(
        script, events, _pauses(script, spelled, body), parts, _declared(script, pieces, body), body.cut or own
    )


# The events of each step, each in the parts that it is handled in: one, but for repeated bytes beyond all measure.
_Spelled = tuple[tuple[tuple[bytes, ...], ...], ...]

# Repeated bytes are made once and referred to as often as they are repeated; a block of them is one write.
_BLOCK = 1024 * 1024
MOST_PLAIN = 64 * 1024 * 1024
MOST_CODED = 1024 * 1024 * 1024


def _spell(script: Script) -> _Spelled:
    _check_size(script)
    return _spelled(script.dialect, script.steps, script.quirks)


# A search strikes one stream at many places: what differs is the faults, and the spelling is the same.
@functools.lru_cache(maxsize=16)
def _spelled(dialect: DialectName, steps: tuple[Step, ...], quirks: tuple[Quirk, ...]) -> _Spelled:
    small = tuple(msgspec.structs.replace(step, times=1) if _is_huge(step) else step for step in steps)
    encoded = DIALECTS[dialect].encode(small, quirks)
    return tuple(
        (_blocks(step),) if isinstance(step, Raw) and _is_huge(step) else tuple((event,) for event in events)
        for step, events in zip(steps, encoded, strict=True)
    )


def _is_huge(step: Step) -> bool:
    return isinstance(step, Raw) and step.times > 1 and len(step.data) * step.times > _BLOCK


def _check_size(script: Script) -> None:
    coded = script.head.coding is not Coding.IDENTITY
    most, size = MOST_CODED if coded else MOST_PLAIN, 0
    for index, step in enumerate(script.steps):
        if isinstance(step, Raw):
            size += len(step.data) * step.times
            if size > most:
                state = "coded" if coded else "not coded"
                raise UsageError(
                    f"step {index} (raw): the body has {size} bytes by then; {state}, it has {most} at most"
                )


def _blocks(step: Raw) -> tuple[bytes, ...]:
    fit = max(1, _BLOCK // len(step.data))
    whole, rest = divmod(step.times, fit)
    block = step.data * fit
    return (*[block] * whole, *([step.data * rest] if rest else []))


def _events(script: Script, spelled: _Spelled) -> Iterator[_Event]:
    start = 0
    for index, (step, events) in enumerate(zip(script.steps, spelled, strict=True)):
        for number, parts in enumerate(events, 1):
            end = start + sum(map(len, parts))
            # Only the last event of a step is its terminal: one before it (content_block_stop) promises nothing.
            last = number == len(events)
            yield _Event(index, start, end, DIALECTS[script.dialect].terminal(step) if last else Terminal.NONE)
            start = end


def _pieces(spelled: _Spelled) -> Iterator[Piece]:
    for index, events in enumerate(spelled):
        parts = [part for event in events for part in event]
        for number, part in enumerate(parts, 1):
            yield Piece(index, part, ends_step=number == len(parts))


def _pauses(script: Script, spelled: _Spelled, body: FaultyBody) -> tuple[tuple[int, float], ...]:
    # starts[i] is the body byte at which step i begins.
    starts = (0, *accumulate(sum(len(part) for event in events for part in event) for events in spelled))
    found = (
        (starts[index], step.seconds)
        for index, step in enumerate(script.steps)
        if isinstance(step, Pause) and index > _head_step(script)
    )
    # What a cut takes away includes the silence right behind its last byte.
    return tuple((at, seconds) for at, seconds in found if body.cut is None or at < body.size)


def _head_step(script: Script) -> int:
    return next(index for index, step in enumerate(script.steps) if isinstance(step, Head))


# --- coding -----------------------------------------------------------------------------------------------------------


def _parts(script: Script, body: FaultyBody) -> Iterator[_Part]:
    """What is sent of the body, piece by piece.

    A coder that is cut off keeps what it holds: of a body that is held back nothing is ever sent, of one that is
    flushed only the coding's end is missing.
    """
    head, data = script.head, [piece.data for piece in body.pieces]
    whole = body.cut is None or body.cut in COMPLETING
    if is_bodyless(script) or head.coding is Coding.IDENTITY:
        yield from _annotated(body, data, held=False)
    elif head.flush is Flush.EVENT:
        *coded, tail = coding.flushed(head.coding, data)
        yield from _annotated(body, coded, held=False)
        yield from _tail(body, tail if whole else b"")
    elif whole:
        *coded, tail = coding.held_back(head.coding, data)
        *parts, last = *_annotated(body, coded, held=True), *_tail(body, tail)
        yield from parts
        yield msgspec.structs.replace(last, held=False)


def _with_rest(parts: Iterable[_Part], events: Sequence[_Event]) -> Iterator[_Part]:
    """Say of every part how much of its step is behind it: no fault moves a byte, so each step ends where it did."""
    ends = {event.step: event.end for event in events}
    for part in parts:
        missing = ends.get(part.step, part.body[1]) - part.body[1]
        yield msgspec.structs.replace(part, missing=missing) if missing else part


def _annotated(body: FaultyBody, data: Sequence[bytes], *, held: bool) -> Iterator[_Part]:
    start = 0
    for piece, sent in zip(body.pieces, data, strict=True):
        end = start + len(piece.data)
        yield _Part(piece.step, sent, (start, end), piece.ends_step, held)
        start = end


def _tail(body: FaultyBody, data: bytes) -> Iterator[_Part]:
    if data:
        yield _Part(FRAMING_STEP, data, (body.size, body.size), ends_step=False)


def _declared(script: Script, pieces: Sequence[Piece], body: FaultyBody) -> int:
    if script.head.coding is Coding.IDENTITY:
        return body.declared
    # A cut breaks the promise of a body that had been coded whole, so that one must be made to know its length.
    cuts = [fault for fault in script.faults if isinstance(fault, CutBody) and fault.how not in COMPLETING]
    promised = apply_faults(pieces, [fault for fault in script.faults if fault not in cuts]) if cuts else body
    return sum(len(part.data) for part in _parts(script, promised))


# --- in order of time -------------------------------------------------------------------------------------------------


def _program(answer: _Answer) -> tuple[Operation, ...]:
    script, whole = answer.script, tuple(_operations(answer))
    program = break_framing(whole, script)
    coded = script.head.coding is not Coding.IDENTITY
    if coded and any(isinstance(fault, CutWire) for fault in script.faults):
        return tuple(_cut_coding(program, whole, script.head.coding))
    return program


def _cut_coding(program: Iterable[Operation], whole: Iterable[Operation], of: Coding) -> Iterator[Operation]:
    """Say of a compressed body that was cut on the wire what can be read of it: the bytes alone do not show that."""
    writes = {write.body[0]: write for write in whole if isinstance(write, Write) and write.body[0] < write.body[1]}
    # What needs no bytes of its own is announced anew.
    kept = [one for one in program if not (isinstance(one, Write) and not one.data)]
    there = [one for one in kept if isinstance(one, Write) and one.payload[0] < one.payload[1]]
    end = coding.readable(of, b"".join(one.data[slice(*one.payload)] for one in there))
    for one in kept:
        promised = writes.get(one.body[0]) if isinstance(one, Write) and one.payload[0] < one.payload[1] else None
        if not isinstance(one, Write) or promised is None:
            yield one
            continue
        over = promised.body[1] <= end
        body = (one.body[0], min(promised.body[1], end))
        missing = promised.missing + promised.body[1] - body[1]
        yield msgspec.structs.replace(one, body=body, ends_step=over and promised.ends_step, missing=missing)
        behind = one.payload[1] - len(one.data)
        while over and (following := writes.get(promised.body[1])) is not None and not following.data:
            promised, over = following, following.body[1] <= end
            if over:
                yield msgspec.structs.replace(following, payload=(behind, behind), held=one.held)


def _operations(answer: _Answer) -> Iterator[Operation]:
    script, framing, size = answer.script, framing_of(answer.script), answer.size
    head_step = _head_step(script)
    for index, step in enumerate(script.steps[:head_step]):
        if isinstance(step, Interim):
            yield _framing_write(index, write_interim(step), 0)
        elif isinstance(step, Pause):
            yield from _wait(step.seconds)
    yield _framing_write(head_step, write_head(script, answer.declared, answer.ending), 0)
    yield from _body_operations(answer, framing)
    if answer.ending in COMPLETING and (last := framing.last(script)):
        yield _framing_write(FRAMING_STEP, last, size)
    written = sum(len(part.data) for part in answer.parts)
    yield Close(answer.ending, framing.framed(written, answer.declared, answer.ending))


def _framing_write(step: int, data: bytes, at: int) -> Write:
    return Write(step, data, (len(data), len(data)), (at, at), ends_step=step != FRAMING_STEP)


def _body_operations(answer: _Answer, framing: FramingRule) -> Iterator[Operation]:
    pauses = deque(answer.pauses)
    # What is held back leaves in one write behind the last silence.
    held = any(part.held for part in answer.parts)
    for part in answer.parts:
        while pauses and (held or pauses[0][0] <= part.body[0]):
            yield from _wait(pauses.popleft()[1])
        yield _write(part, framing)
    for _, seconds in pauses:
        yield from _wait(seconds)


def _write(part: _Part, framing: FramingRule) -> Write:
    if not part.data:
        # A piece that can be read with the bytes before it has none of its own: it is announced, and has no chunk. Its
        # place is behind the payload that makes it readable, before the end of that chunk.
        place = (-len(framing.behind), -len(framing.behind))
        return Write(part.step, b"", place, part.body, part.ends_step, part.held, part.missing)
    data = framing.frame(part.data)
    payload_end = len(data) - len(framing.behind)
    payload = (payload_end - len(part.data), payload_end)
    return Write(part.step, data, payload, part.body, part.ends_step, part.held, part.missing)


def _wait(seconds: float) -> Iterator[Wait]:
    if seconds > 0:
        yield Wait(seconds)


def _spans(answer: _Answer, writes: Sequence[Write]) -> Iterator[EventSpan]:
    # Every event begins where a write begins, and ends where a write ends: splits only add boundaries.
    opens: dict[int, int] = {}
    closes: dict[int, int] = {}
    wire = 0
    for write in writes:
        if write.body[0] < write.body[1]:
            # A write without bytes of its own is readable with the last byte before it.
            opens[write.body[0]] = wire if write.data else wire - 1
            closes[write.body[1]] = wire + len(write.data)
        wire += len(write.data)
    # A cut of the wire may have left less of the body than the faults of the body did.
    body = max(closes, default=0)
    for event in answer.events:
        if event.start < body:
            end = min(event.end, body)
            yield EventSpan(event.step, (opens[event.start], closes[end]), (event.start, end))
