"""The schedule of a script: the program's bytes, its times added up, and nothing glued that was meant to be apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.net import schedule as schedules
from testbed.net.schedule import Schedule, plain, plays, schedule_of, schedule_of_program
from testbed.operations import Close, Operation, Wait, Write
from testbed.program import compile_script
from testbed.script import (
    Coding,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Flush,
    Head,
    Open,
    Pause,
    Reading,
    Script,
    SplitEvery,
    Text,
)
from tests.net.support import chat, wire_of

END = Close(Ending.CLEAN, framed=True)


def write(data: bytes, *, held: bool = False) -> Write:
    """A write of these bytes, all of them body."""
    return Write(0, data, (0, len(data)), (0, len(data)), ends_step=False, held=held)


def shape(schedule: Schedule) -> list[tuple[int, bytes]]:
    """The parts without their writes."""
    return [(part.at, part.data) for part in schedule.parts]


OPERATIONS = st.lists(
    st.one_of(
        st.builds(write, st.binary(max_size=6), held=st.booleans()),
        st.builds(Wait, st.floats(0, 5, allow_nan=False)),
    ),
    max_size=20,
).map(lambda operations: [*operations, write(b"last"), END])


@given(OPERATIONS, st.booleans())
def test_bytes_writes_and_times_are_those_of_the_program(program: list[Operation], glue: bool) -> None:
    """No byte is lost, moved or doubled, each write is told of once, at the sum of the waits before it."""
    schedule = schedule_of_program(program, glue=glue)
    at, expected = 0, []
    for operation in program:
        if isinstance(operation, Wait):
            at += round(operation.seconds * 1_000_000)
        elif isinstance(operation, Write):
            expected.append((at, operation))
    assert [(part.at, told) for part in schedule.parts for told in part.writes] == expected
    assert b"".join(part.data for part in schedule.parts) == b"".join(told.data for _, told in expected)
    assert (schedule.at, schedule.close) == (at, END)
    if not glue:
        assert all(told.held for part in schedule.parts for told in part.writes[:-1])


def test_a_run_without_a_wait_is_one_send_and_a_wait_parts_it() -> None:
    """What comes at the same time may leave at once; what comes later never does."""
    program = [write(b"a"), write(b"b"), Wait(0.5), write(b"c"), write(b"d"), Wait(1), END]
    assert shape(schedule_of_program(program, glue=True)) == [(0, b"ab"), (500_000, b"cd")]
    assert shape(schedule_of_program(program, glue=False)) == [
        (0, b"a"), (0, b"b"), (500_000, b"c"), (500_000, b"d"),
    ]  # fmt: skip


def test_a_long_run_is_glued_in_pieces() -> None:
    """No send is much larger than what a kernel takes in one call."""
    program = [*[write(bytes(100_000))] * 10, END]
    sizes = [len(part.data) for part in schedule_of_program(program, glue=True).parts]
    assert sum(sizes) == 1_000_000
    assert max(sizes) < schedules.MOST_GLUED + 100_000


def test_held_bytes_leave_with_the_next_ones() -> None:
    """Glued or not, what a coder holds back leaves with what it lets go; a wait is never held across."""
    program = [write(b"a", held=True), write(b"b", held=True), write(b"c"), write(b"d", held=True), Wait(1), END]
    assert shape(schedule_of_program(program, glue=True)) == [(0, b"abcd")]
    assert shape(schedule_of_program(program, glue=False)) == [(0, b"abc"), (0, b"d")]


def test_a_script_with_a_content_fault_is_one_send_a_write() -> None:
    """Where somebody cut the writes, they stay cut; without a fault the same script is one send."""
    script = chat(Text("Hello"))
    split = Script(script.dialect, script.steps, faults=(SplitEvery(7),))
    assert len(schedule_of(script).parts) == 1
    assert [part.writes for part in schedule_of(split).parts] == [
        (operation,) for operation in compile_script(split) if isinstance(operation, Write)
    ]


def test_a_schedule_says_what_its_script_says() -> None:
    """With pauses, coded and held back: the same bytes as the program."""
    head = Head(coding=Coding.GZIP, flush=Flush.END)
    script = Script(DialectName.OPENAI_CHAT, (head, Open(), Pause(1), Text("Hello"), Finish(), Done(), End()))
    assert b"".join(part.data for part in schedule_of(script).parts) == wire_of(script)


@pytest.mark.parametrize(
    ("script", "played"),
    [
        *[(chat(Text("x"), how=how), True) for how in sorted(schedules.ENDINGS)],
        (chat(Text("x"), how=Ending.KEEP), False),
        (chat(Text("x"), how=Ending.STALE), False),
        (Script(DialectName.OPENAI_CHAT, chat().steps, reading=Reading(most=10)), False),
        (Script(DialectName.OPENAI_CHAT, chat().steps, reading=Reading(rate=10)), False),
        (Script(DialectName.OPENAI_CHAT, chat().steps, resumes=True), True),
    ],
)
def test_a_crowd_says_what_it_cannot_play(script: Script, *, played: bool) -> None:
    """Kept connections and requests that are read in an unusual way are for the other server."""
    assert plays(script) is played


def test_a_plain_answer_has_its_length_unless_it_may_not() -> None:
    """204 has neither length nor body; the answer to HEAD has the length of the body that it leaves out."""
    assert shape(plain(404, [("X", "1")], b"gone")) == [
        (0, b"HTTP/1.1 404 Not Found\r\nX: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone")
    ]
    assert shape(plain(204, [], b"gone")) == [(0, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")]
    assert shape(plain(200, [], b"gone", bodyless=True)) == [
        (0, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
    ]
