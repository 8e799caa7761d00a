"""The faults of the HTTP around a body, applied: pure changes of a wire program.

The laws of this module: a fault changes bytes and tells the truth about them, so the ranges of the writes still say
exactly what is body and where it stands; `framed` is false where the framing is broken; and what a fault cannot strike
is the tester's mistake. A program without such faults comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

import msgspec

from testbed import http1
from testbed.errors import UsageError
from testbed.faults.breaks import Breaks, breaks, breaks_of
from testbed.operations import FRAMING_STEP, Close, Operation, Wait, Write
from testbed.script import (
    After,
    ChunkEnd,
    ChunkLine,
    Coding,
    CutWire,
    Framing,
    Head,
    HeadBytes,
    HeadEnds,
    HeadField,
    HeadLine,
    Join,
    Joint,
    Script,
    SlowHead,
)

# What is broken is asked for here, beside the functions that break it.
__all__ = ["Breaks", "break_framing", "breaks"]

F = TypeVar("F")

_HERE = (HeadBytes, HeadLine, HeadField, HeadEnds, SlowHead, ChunkLine, ChunkEnd, After, CutWire, Join)

# With one of these the end of the message is not where its framing says, or nobody can tell where that is.
_UNFRAMED = Breaks.HEAD | Breaks.FRAMING


def break_framing(operations: Iterable[Operation], script: Script) -> tuple[Operation, ...]:
    """Apply the script's faults of head, chunks and writes; raises :class:`UsageError` for one that cannot strike."""
    program = list(operations)
    if not any(isinstance(fault, _HERE) for fault in script.faults):
        return tuple(program)
    # The parts are taken in the order of the message; a cut counts the bytes that all of the others have written.
    program = _join_chunks(program, script)
    program = _announced(_break_chunks(program, script))
    program = _break_head(program, script)
    program = _write_after(program, script)
    program = _unframe(program, script)
    for fault in _all(script, CutWire):
        program = _cut_wire(program, script, fault)
    if _all(script, Join):
        program = list(_held(program))
    return tuple(program)


def _payload(operations: Iterable[Operation]) -> int:
    """How many of the bytes are body."""
    return sum(one.payload[1] - one.payload[0] for one in operations if isinstance(one, Write))


def _all(script: Script, kind: type[F]) -> list[F]:
    return [fault for fault in script.faults if isinstance(fault, kind)]


# --- the head ---------------------------------------------------------------------------------------------------------


def _break_head(program: list[Operation], script: Script) -> list[Operation]:
    step = next(index for index, step in enumerate(script.steps) if isinstance(step, Head))
    place = next(index for index, one in enumerate(program) if isinstance(one, Write) and one.step == step)
    write = program[place]
    if not isinstance(write, Write):
        return program
    # A length in the head speaks of the body as it goes out: compressed, cut, and without its framing.
    data = _broken_head(write.data, script, _payload(program))
    if data == write.data and not _all(script, SlowHead):
        return program
    return [*program[:place], *_head_writes(step, data, script), *program[place + 1 :]]


def _broken_head(head: bytes, script: Script, length: int) -> bytes:
    # In the order of the list, so that a field can be added to a head that was replaced, and lines ended last.
    for fault in script.faults:
        if isinstance(fault, HeadBytes):
            head = fault.data * fault.times
        elif isinstance(fault, HeadLine):
            head = http1.head_with_lines(head, fault.at, fault.drop, fault.data * fault.times)
        elif isinstance(fault, HeadField):
            values = [http1.numeral("head_field", value, "length", length, "d") for value in fault.values]
            head = http1.head_with_field(head, fault.name, values)
        elif isinstance(fault, HeadEnds):
            head = http1.head_with_line_ends(head, fault.end)
    return head


def _head_writes(step: int, head: bytes, script: Script) -> Iterator[Operation]:
    # Of several, the last one counts: a head can leave at one pace only.
    slow = _all(script, SlowHead)
    size, gap = (slow[-1].size, slow[-1].gap) if slow else (len(head) or 1, 0.0)
    # An answer without a head has no write for it: a write of no bytes would say that the head was delivered.
    for start in range(0, len(head), size):
        piece = head[start : start + size]
        if start and gap > 0:
            yield Wait(gap)
        end = len(piece)
        yield Write(step, piece, (end, end), (0, 0), ends_step=start + size >= len(head))


# --- the chunks -------------------------------------------------------------------------------------------------------

# A chunk is the writes that carry it, by their places in the program. Each is one write, unless they are joined.
_Chunk = list[int]


def _chunks(program: Sequence[Operation], script: Script) -> list[_Chunk]:
    """The chunks that carry bytes. Whether writes are one chunk shows: the first alone has a size line."""
    chunks: list[_Chunk] = []
    for place, one in enumerate(program):
        if isinstance(one, Write) and one.payload[0] < one.payload[1]:
            if one.payload[0] > 0 or not chunks:
                chunks.append([place])
            else:
                chunks[-1].append(place)
    return chunks


def _join_chunks(program: list[Operation], script: Script) -> list[Operation]:
    if not any(fault.into is Joint.CHUNK for fault in _all(script, Join)) or not _is_chunked(script):
        return program
    joined = list(program)
    # The events stay writes of their own, each with its range; only the framing between them goes.
    for run in _runs(program):
        size = _payload([program[place] for place in run])
        for number, place in enumerate(run):
            before = b"%x\r\n" % size if number == 0 else b""
            behind = http1.CHUNK_END if number == len(run) - 1 else b""
            joined[place] = _reframed(program[place], before=before, behind=behind)
    return joined


def _runs(program: Sequence[Operation]) -> list[list[int]]:
    """The places of the chunks between two silences."""
    runs: list[list[int]] = [[]]
    for place, one in enumerate(program):
        if isinstance(one, Wait):
            runs.append([])
        elif isinstance(one, Write) and one.payload[0] < one.payload[1]:
            runs[-1].append(place)
    return [run for run in runs if run]


def _break_chunks(program: list[Operation], script: Script) -> list[Operation]:
    faults = [fault for fault in script.faults if isinstance(fault, (ChunkLine, ChunkEnd))]
    if not faults:
        return program
    if not _is_chunked(script):
        raise UsageError(f"{_name(faults[0])}: the body is not chunked, so it has no chunks to break")
    broken = list(program)
    # Counted once: a fault changes what stands around a chunk, and never how many there are.
    chunks = _chunks(program, script)
    for fault in faults:
        if fault.chunk == -1:
            place = _last_chunk(broken, fault)
            broken[place] = _broken_last(broken[place], fault)
            continue
        if fault.chunk is not None and fault.chunk >= len(chunks):
            raise UsageError(f"{_name(fault)}: chunk is {fault.chunk}; the body has {len(chunks)} chunks, from 0")
        for chunk in chunks if fault.chunk is None else [chunks[fault.chunk]]:
            _break_chunk(broken, chunk, fault)
    return broken


def _announced(program: Sequence[Operation]) -> list[Operation]:
    """Put what has no bytes of its own behind the payload before it, whatever stands behind that now."""
    placed: list[Operation] = []
    behind = 0
    for one in program:
        if isinstance(one, Write) and one.data:
            behind = len(one.data) - one.payload[1]
        elif isinstance(one, Write):
            one = msgspec.structs.replace(one, payload=(-behind, -behind))  # noqa: PLW2901 - the same one, in its place
        placed.append(one)
    return placed


def _break_chunk(program: list[Operation], chunk: _Chunk, fault: ChunkLine | ChunkEnd) -> None:
    if isinstance(fault, ChunkEnd):
        program[chunk[-1]] = _reframed(program[chunk[-1]], behind=fault.text.encode("latin-1"))
        return
    # Of a joined chunk the first write alone has a size line, and it speaks of all of them.
    size = _payload([program[place] for place in chunk])
    program[chunk[0]] = _reframed(program[chunk[0]], before=http1.size_line(fault.text, size, fault.end))


def _last_chunk(program: Sequence[Operation], fault: ChunkLine | ChunkEnd) -> int:
    # Behind it stands nothing that belongs to the message, so it is the last write of the framing alone.
    for place in reversed(range(len(program))):
        one = program[place]
        if isinstance(one, Write) and one.step == FRAMING_STEP and one.payload[0] == one.payload[1] and one.data:
            return place
    raise UsageError(f"{_name(fault)}: chunk is -1, but the script ends before its last chunk is written")


def _broken_last(operation: Operation, fault: ChunkLine | ChunkEnd) -> Operation:
    if not isinstance(operation, Write):
        return operation
    # The size line, perhaps trailers, and the empty line. A fault before this one may have written LF alone.
    line, _, rest = operation.data.partition(b"\n")
    if isinstance(fault, ChunkLine):
        data = http1.size_line(fault.text, 0, fault.end) + rest
    else:
        data = line + b"\n" + rest.removesuffix(http1.CHUNK_END) + fault.text.encode("latin-1")
    return msgspec.structs.replace(operation, data=data, payload=(len(data), len(data)))


def _reframed(operation: Operation, *, before: bytes | None = None, behind: bytes | None = None) -> Operation:
    """Put other framing around the same payload."""
    if not isinstance(operation, Write):
        return operation
    start, end = operation.payload
    before = operation.data[:start] if before is None else before
    behind = operation.data[end:] if behind is None else behind
    payload = operation.data[start:end]
    place = (len(before), len(before) + len(payload))
    return msgspec.structs.replace(operation, data=before + payload + behind, payload=place)


def _is_chunked(script: Script) -> bool:
    return script.head.framing is Framing.CHUNKED and script.head.status not in http1.BODYLESS


def _name(fault: ChunkLine | ChunkEnd) -> str:
    return str(type(fault).__struct_config__.tag)


# --- behind the end, and the end --------------------------------------------------------------------------------------


def _write_after(program: list[Operation], script: Script) -> list[Operation]:
    faults = _all(script, After)
    if not faults:
        return program
    if script.head.framing is Framing.CLOSE and script.head.status not in http1.BODYLESS:
        raise UsageError("after: a body that ends with the connection has nothing behind it; use a raw step")
    # The body is over: these bytes stand behind its last one and add nothing to it.
    size = max((one.body[1] for one in program if isinstance(one, Write)), default=0)
    data = b"".join(fault.data * fault.times for fault in faults)
    write = Write(FRAMING_STEP, data, (len(data), len(data)), (size, size), ends_step=False)
    return [*program[:-1], write, program[-1]] if data else program


def _unframe(program: list[Operation], script: Script) -> list[Operation]:
    close = program[-1]
    # The length that is written, not the one that was promised: here the numbers in the faults can be checked.
    length = _payload(program)
    if isinstance(close, Close) and close.framed and breaks_of(script, length) & _UNFRAMED:
        return [*program[:-1], Close(close.how, framed=False)]
    return program


def _cut_wire(program: list[Operation], script: Script, fault: CutWire) -> list[Operation]:
    sizes = [len(one.data) if isinstance(one, Write) else 0 for one in program]
    wire = sum(sizes)
    if not 0 <= fault.at <= wire:
        raise UsageError(f"cut_wire: at is {fault.at}; it must lie between 0 and {wire}, the length of the answer")
    coded = script.head.coding is not Coding.IDENTITY
    kept: list[Operation] = []
    for one, start in zip(program, accumulate(sizes, initial=0), strict=False):
        # What the cut takes away includes the silence right behind its last byte, but not the word that with that byte
        # one more piece of a compressed body can be read.
        announces = start == fault.at and isinstance(one, Write) and not one.data
        if (start >= fault.at and not announces) or isinstance(one, Close):
            break
        kept.append(_shortened(one, fault.at - start, coded=coded) if isinstance(one, Write) else one)
    # There is no next write now with which the last one could leave.
    if kept and isinstance(last := kept[-1], Write):
        kept[-1] = msgspec.structs.replace(last, held=False)
    close = program[-1]
    whole = fault.at == wire and isinstance(close, Close) and close.framed and script.head.framing is not Framing.CLOSE
    return [*kept, Close(fault.how, framed=whole)]


def _shortened(write: Write, most: int, *, coded: bool) -> Write:
    """The first `most` bytes of a write, with the ranges that are true of them."""
    if most >= len(write.data):
        return write
    start, end = (min(place, most) for place in write.payload)
    # A step whose bytes are all there is over, even if its chunk is not; a head is over with its last byte.
    over = write.ends_step and end == write.payload[1] and write.payload[0] < write.payload[1]
    payload = (start, end) if start < end else (most, most)
    # Of a body that is compressed, part of a piece is taken for nothing: nobody knows what can be read of it.
    plain = write.body[1] - write.body[0] == write.payload[1] - write.payload[0]
    first = write.body[0]
    body = write.body if end == write.payload[1] else (first, first + end - start if plain else first)
    missing = write.missing + write.body[1] - body[1]
    return Write(write.step, write.data[:most], payload, body, over, write.held, missing)


def _held(program: Sequence[Operation]) -> Iterator[Operation]:
    # Not across a silence: what is held there would come late, and the silence would be another one.
    for one, following in pairwise(program):
        both = isinstance(one, Write) and isinstance(following, Write)
        yield msgspec.structs.replace(one, held=True) if isinstance(one, Write) and both else one
    yield program[-1]
