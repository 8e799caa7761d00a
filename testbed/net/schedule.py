"""The schedule of a script: its wire program with the waits added up, so that any number of streams can share it.

The laws of this module: a schedule is immutable and says nothing of any one stream; its bytes are those of the program,
in the program's order; and the time of every part is counted from the stream's start, so that a late part makes no
later one late. What stands before and behind a pause is never glued together, nor is anything of a script with a
content fault: there one write is one send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from testbed import http1
from testbed.operations import Close, Operation, Wait, Write
from testbed.program import compile_script
from testbed.retrying import has_dates
from testbed.script import Ending, Reading, Script

MICROSECONDS = 1_000_000

# A run is glued until it has this size: what the kernel takes in one call anyway, and small beside a turn of the loop.
MOST_GLUED = 256 * 1024

# What a stream of the crowd can do with its connection when the script is over.
ENDINGS = frozenset({Ending.CLEAN, Ending.FIN, Ending.RST, Ending.ABORT, Ending.OPEN})

_OPERATIONS = (Write, Wait, Close)


class Part(NamedTuple):
    """What is handed to the network at once: `data`, `at` microseconds from the start, and the writes it is made of."""

    at: int
    data: bytes
    writes: tuple[Write, ...]


class Schedule(NamedTuple):
    """The parts of one answer in order, and its end, `at` microseconds from the start."""

    parts: tuple[Part, ...]
    at: int
    close: Close


def plays(script: Script) -> bool:
    """Whether a crowd can play this script. What it cannot, :mod:`testbed.net.http_server` can.

    A crowd reads the whole request before it says a word, says the same to everyone at any time, and ends the
    connection with the answer.
    """
    program = compile_script(script)
    known = all(type(operation) in _OPERATIONS for operation in program)
    same = script.reading == Reading() and not has_dates(script)
    return known and same and _close(program).how in ENDINGS


def schedule_of(script: Script) -> Schedule:
    """Make the schedule of a script; costs as much as the script is long, so make it once and share it."""
    return schedule_of_program(compile_script(script), glue=not script.faults)


def schedule_of_program(program: Iterable[Operation], *, glue: bool) -> Schedule:
    """Make the schedule of a program. `glue`: writes with no wait between them may leave in one send."""
    program = tuple(program)
    parts = [Part(at, b"".join(write.data for write in run), run) for at, run in _runs(program, glue=glue)]
    waited = sum(_microseconds(operation) for operation in program if isinstance(operation, Wait))
    return Schedule(tuple(parts), waited, _close(program))


def plain(status: int, fields: Iterable[http1.Field], body: bytes, *, bodyless: bool = False) -> Schedule:
    """Make the schedule of an ordinary answer: a head with the length of its body, and the body. `bodyless`: to HEAD.

    It is what :mod:`testbed.net.http_server` makes of an ordinary response, to the byte.
    """
    fields = tuple(fields)
    bodyless = bodyless or status in http1.BODYLESS
    if status not in http1.BODYLESS and not any(name.lower() == "content-length" for name, _ in fields):
        fields = (*fields, http1.content_length(len(body)))
    head = http1.head(status, (*fields, http1.CLOSE))
    writes = [Write(-1, head, (len(head), len(head)), (0, 0), ends_step=False)]
    if body and not bodyless:
        writes.append(Write(-1, body, (0, len(body)), (0, len(body)), ends_step=False))
    return schedule_of_program([*writes, Close(Ending.CLEAN, framed=True)], glue=True)


def sentence(status: int, words: str) -> Schedule:
    """Make the schedule of an answer in plain text: the status with its reason, and one sentence."""
    text = f"{status} {http1.REASONS.get(status, 'Bad Request')}: {words}\n"
    return plain(status, [("content-type", "text/plain; charset=utf-8")], text.encode())


def _runs(program: Iterable[Operation], *, glue: bool) -> Iterator[tuple[int, tuple[Write, ...]]]:
    at = size = 0
    run: list[Write] = []
    for operation in program:
        # A write that is held leaves with the next, glued or not, unless a wait lets it go.
        joins = not run or run[-1].held or (glue and size < MOST_GLUED)
        if isinstance(operation, Write) and joins:
            run.append(operation)
            size += len(operation.data)
            continue
        if run:
            yield at, tuple(run)
        if isinstance(operation, Wait):
            at += _microseconds(operation)
        run = [operation] if isinstance(operation, Write) else []
        size = sum(len(write.data) for write in run)


def _microseconds(wait: Wait) -> int:
    return round(wait.seconds * MICROSECONDS)


def _close(program: Iterable[Operation]) -> Close:
    return next(operation for operation in program if isinstance(operation, Close))
