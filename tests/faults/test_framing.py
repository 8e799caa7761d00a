"""Faults of the HTTP around a body: each does what its name says, and the ranges of the writes stay true."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.faults.framing import Breaks, breaks
from testbed.program import FRAMING_STEP, Close, Operation, Wait, Write, compile_script, layout
from testbed.script import (
    After,
    ChunkEnd,
    ChunkLine,
    Coding,
    ContentFault,
    CutBody,
    CutWire,
    DialectName,
    End,
    Ending,
    Flush,
    Framing,
    Head,
    HeadBytes,
    HeadEnds,
    HeadField,
    HeadLine,
    Join,
    Joint,
    Pause,
    Replace,
    Script,
    SlowHead,
    SplitAt,
    SplitEvery,
    Step,
    Text,
)

CHUNKED_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 22\r\nConnection: close\r\n\r\n"
ONE, TWO = b"data: one\n\n", b"data: two\n\n"


def script(*faults: ContentFault, framing: Framing = Framing.CHUNKED, end: Ending = Ending.CLEAN) -> Script:
    """Two events of eleven bytes, and these faults."""
    return Script(DialectName.EVENTSOURCE, (Head(framing=framing), Text("one"), Text("two"), End(end)), faults)


def writes_of(made: Script) -> list[Write]:
    """The writes of a script's program."""
    return [one for one in compile_script(made) if isinstance(one, Write)]


def body_of(program: tuple[Operation, ...]) -> bytes:
    """The payloads of a program, joined."""
    return b"".join(one.data[slice(*one.payload)] for one in program if isinstance(one, Write))


def datas(*faults: ContentFault, framing: Framing = Framing.CHUNKED) -> list[bytes]:
    """What each write holds."""
    return [write.data for write in writes_of(script(*faults, framing=framing))]


def test_a_script_without_these_faults_is_untouched() -> None:
    """The framing stays as the program made it."""
    assert datas() == [CHUNKED_HEAD, b"b\r\n" + ONE + b"\r\n", b"b\r\n" + TWO + b"\r\n", b"0\r\n\r\n"]


# --- the head ---------------------------------------------------------------------------------------------------------


def test_head_faults_apply_in_order() -> None:
    """Each works on what the one before it left."""
    faults = (HeadBytes(b"A\r\n\r\n"), HeadField("B", ("1", "2")), HeadLine(-1, b"C\r\n", times=2), HeadEnds("\n"))
    assert datas(*faults)[0] == b"A\nB: 1\nB: 2\nC\nC\n\n"


def test_a_field_takes_the_place_of_its_first_one() -> None:
    """Its values stand where it stood, whatever the case of its name; without values it is gone."""
    changed = datas(HeadField("content-LENGTH", ("{length}", "{length+1}", "{length:5}")), framing=Framing.LENGTH)[0]
    assert changed == PLAIN_HEAD.replace(
        b"Content-Length: 22\r\n", b"content-LENGTH: 22\r\ncontent-LENGTH: 23\r\ncontent-LENGTH: 00022\r\n"
    )
    assert datas(HeadField("Content-Length"), framing=Framing.LENGTH)[0] == PLAIN_HEAD.replace(
        b"Content-Length: 22\r\n", b""
    )


def test_the_length_is_that_of_what_is_written() -> None:
    """A cut body counts as long as it is, not as it was promised."""
    assert b"X: 5\r\n" in datas(CutBody(5, Ending.FIN), HeadField("X", ("{length}",)))[0]


def test_an_answer_without_a_head_has_no_write_for_it() -> None:
    """A head of no bytes is not written, and the body stands at the beginning of the wire."""
    assert datas(HeadBytes(b""))[0] == b"b\r\n" + ONE + b"\r\n"
    assert layout(script(HeadBytes(b""))).head == 0


def test_a_slow_head_leaves_in_pieces_with_silence_between() -> None:
    """Each piece is a write of the head's step; only the last one ends it."""
    program = compile_script(script(SlowHead(60, 0.5)))
    assert program[:3] == (
        Write(0, CHUNKED_HEAD[:60], (60, 60), (0, 0), ends_step=False),
        Wait(0.5),
        Write(0, CHUNKED_HEAD[60:], (len(CHUNKED_HEAD) - 60,) * 2, (0, 0), ends_step=True),
    )


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_a_chunk_fault_strikes_the_chunk_that_it_names() -> None:
    """Chunks are counted from 0, and no other one changes."""
    assert datas(ChunkLine("{size+1} x", 1, "\n"), ChunkEnd("!", 0))[1:] == [
        b"b\r\n" + ONE + b"!",
        b"c x\n" + TWO + b"\r\n",
        b"0\r\n\r\n",
    ]


def test_without_a_number_it_strikes_all_that_hold_bytes() -> None:
    """The last chunk, which is empty, has a number of its own."""
    assert datas(ChunkLine("{size:3}"), ChunkEnd(""))[1:] == [b"00b\r\n" + ONE, b"00b\r\n" + TWO, b"0\r\n\r\n"]
    assert datas(ChunkLine("00", -1), ChunkEnd("X: 1\r\n\r\n", -1))[-1] == b"00\r\nX: 1\r\n\r\n"


def test_chunks_are_counted_as_faults_of_the_body_left_them() -> None:
    """A split makes more of them, a join fewer, wherever it stands in the list."""
    assert datas(SplitAt((4,)), ChunkLine("?", 1))[2] == b"?\r\n" + ONE[4:] + b"\r\n"
    assert b"".join(datas(ChunkLine("{size}!", 0), Join(Joint.CHUNK))[1:]) == b"16!\r\n" + ONE + TWO + b"\r\n0\r\n\r\n"


# --- the end ----------------------------------------------------------------------------------------------------------


def test_bytes_behind_the_end_belong_to_no_step() -> None:
    """They are one write of the framing, with no body in it."""
    data = b"xyxyab"
    assert writes_of(script(After(b"xy", 2), After(b"ab")))[-1] == Write(
        FRAMING_STEP, data, (6, 6), (22, 22), ends_step=False
    )


@pytest.mark.parametrize("how", [Ending.FIN, Ending.RST, Ending.ABORT, Ending.OPEN])
def test_a_cut_of_the_wire_counts_every_byte(how: Ending) -> None:
    """What stands behind the byte is not written, and the connection ends as the fault says."""
    whole = b"".join(datas())
    for at in range(len(whole) + 1):
        program = compile_script(script(CutWire(at, how)))
        assert b"".join(one.data for one in program if isinstance(one, Write)) == whole[:at]
        assert program[-1] == Close(how, framed=at == len(whole))


@pytest.mark.parametrize("fault", [CutWire, CutBody])
def test_what_is_cut_off_a_step_is_told(fault: type[CutWire] | type[CutBody]) -> None:
    """Cut at whichever byte, the last write knows how many bytes of its step are missing."""
    whole = layout(script())
    ends = [event.body[1] for event in whole.events]
    for at in range(whole.wire if fault is CutWire else whole.body):
        writes = [one for one in writes_of(script(fault(at, Ending.FIN))) if one.payload[0] < one.payload[1]]
        if not writes:
            continue
        reached = writes[-1].body[1]
        end = next(end for end in ends if end >= reached)
        assert writes[-1].missing == end - reached
        assert (writes[-1].missing == 0) is writes[-1].ends_step
        assert all(one.missing == 0 for one in writes[:-1])


def test_every_write_tells_how_much_of_its_step_is_to_follow() -> None:
    """Split however finely, and whether or not what follows is cut off."""
    ends = [event.body[1] for event in layout(script()).events]
    for faults in ((SplitEvery(1),), (SplitEvery(3), CutBody(7)), (CutBody(9, Ending.FIN), CutBody(5, Ending.FIN))):
        for one in writes_of(script(*faults)):
            if one.body[0] < one.body[1]:
                assert one.missing == next(end for end in ends if end >= one.body[1]) - one.body[1]


def test_a_step_is_over_with_its_last_body_byte() -> None:
    """A cut behind the event and inside its chunk leaves a whole step, a cut inside the event a part of one."""
    end = len(CHUNKED_HEAD) + len(b"b\r\n" + ONE)
    kept, cut = writes_of(script(CutWire(end))), writes_of(script(CutWire(end - 1)))
    assert (kept[-1].body, kept[-1].ends_step) == ((0, 11), True)
    assert (cut[-1].body, cut[-1].ends_step) == ((0, 10), False)
    assert layout(script(CutWire(end - 1))).events[-1].body == (0, 10)


def test_the_silence_behind_a_cut_is_cut_too() -> None:
    """A pause that begins at the cut does not happen; one before it does."""
    steps: tuple[Step, ...] = (Head(), Pause(1), Text("one"), Pause(2), Text("two"))
    made = Script(DialectName.EVENTSOURCE, steps, (CutWire(len(CHUNKED_HEAD) + 16),))
    assert [one for one in compile_script(made) if isinstance(one, Wait)] == [Wait(1)]


def test_a_join_holds_writes_up_to_the_next_silence() -> None:
    """All but the last write before a wait or the end are held, and nothing else of them changes."""
    steps: tuple[Step, ...] = (Head(), Text("one"), Pause(1), Text("two"), Text("three"))
    plain = Script(DialectName.EVENTSOURCE, steps)
    joined = writes_of(Script(DialectName.EVENTSOURCE, steps, (Join(),)))
    assert [write.held for write in joined] == [True, False, True, True, False]
    assert [write.data for write in joined] == [write.data for write in writes_of(plain)]


# --- mistakes ---------------------------------------------------------------------------------------------------------

NO_LAST = "but the script ends before its last chunk is written"
MOST = "the most is 268435456"
LATIN = "it is sent as Latin-1, so no character is above U+00FF"
CUT = "a message that is cut off can only end by fin, rst, abort or open"


@pytest.mark.parametrize(
    ("faults", "problem"),
    [
        ((HeadLine(6, b"x"),), "head_line: at is 6; the head has 5 lines, so it must lie in -5 to 5"),
        ((HeadLine(-6, b"x"),), "head_line: at is -6; the head has 5 lines, so it must lie in -5 to 5"),
        ((HeadLine(4, drop=2),), "head_line: drop is 2; only 1 lines stand behind line 4"),
        ((HeadField("A", ("{size}",)),), "head_field: its text holds {size}; the only placeholder is {length}"),
        ((ChunkLine("{length}"),), "chunk_line: its text holds {length}; the only placeholder is {size}"),
        ((ChunkLine("1", 2),), "chunk_line: chunk is 2; the body has 2 chunks, from 0"),
        ((ChunkEnd("", 9),), "chunk_end: chunk is 9; the body has 2 chunks, from 0"),
        ((CutBody(3, Ending.FIN), ChunkEnd("", -1)), f"chunk_end: chunk is -1, {NO_LAST}"),
        ((CutWire(137),), "cut_wire: at is 137; it must lie between 0 and 136, the length of the answer"),
        ((CutWire(-1),), "cut_wire: at is -1; it must lie between 0 and 136, the length of the answer"),
    ],
)
def test_a_fault_that_cannot_strike_is_refused(faults: tuple[ContentFault, ...], problem: str) -> None:
    """The sentence names the fault, its value, and what would be right."""
    with pytest.raises(UsageError) as raised:
        compile_script(script(*faults))
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("fault", "framing", "problem"),
    [
        (ChunkLine("1"), Framing.LENGTH, "chunk_line: the body is not chunked, so it has no chunks to break"),
        (ChunkEnd("1"), Framing.CLOSE, "chunk_end: the body is not chunked, so it has no chunks to break"),
        (
            After(b"x"),
            Framing.CLOSE,
            "after: a body that ends with the connection has nothing behind it; use a raw step",
        ),
    ],
)
def test_a_fault_of_another_framing_is_refused(fault: ContentFault, framing: Framing, problem: str) -> None:
    """Chunk faults need chunks, and bytes behind the end need an end."""
    with pytest.raises(UsageError) as raised:
        compile_script(script(fault, framing=framing))
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: HeadBytes(b"", 0), "head_bytes: times is 0; it must lie between 1 and 10000000"),
        (lambda: After(b"x" * 100, 10_000_000), f"after: its data times 10000000 is 1000000000 bytes; {MOST}"),
        (lambda: HeadLine(0, drop=-1), "head_line: drop is -1; it must be at least 0 lines"),
        (lambda: SlowHead(0), "slow_head: size is 0; it must be at least 1 byte"),
        (lambda: SlowHead(1, -1), "slow_head: gap is -1; it must lie between 0 and 86400 seconds (a day)"),
        (lambda: ChunkLine("1", -2), "chunk_line: chunk is -2; it must be -1 (the last, empty one) or a number from 0"),
        (lambda: ChunkEnd("1", -2), "chunk_end: chunk is -2; it must be -1 (the last, empty one) or a number from 0"),
        (lambda: CutWire(1, Ending.CLEAN), f"cut_wire: how is clean; {CUT}"),
        (lambda: HeadField("A", ("€",)), rf"head_field: its name or value is '\u20ac'; {LATIN}"),
        (lambda: HeadEnds("…"), rf"head_ends: its end is '\u2026'; {LATIN}"),
        (lambda: ChunkLine("…"), rf"chunk_line: its text is '\u2026'; {LATIN}"),
    ],
)
def test_a_value_that_means_nothing_is_refused(make: object, problem: str) -> None:
    """Each fault checks its own values when it is made."""
    with pytest.raises(UsageError) as raised:
        make()  # type: ignore[operator]
    assert str(raised.value) == problem


# --- what is broken ---------------------------------------------------------------------------------------------------

B = Breaks


@pytest.mark.parametrize(
    ("fault", "framing", "broken"),
    [
        (HeadBytes(b"x"), Framing.CHUNKED, B.HEAD),
        (HeadLine(-1, b"X-A: b\r\n"), Framing.CHUNKED, B.NOTHING),
        (HeadLine(1, b"X-A: b\r\nX-C:\r\n"), Framing.CHUNKED, B.NOTHING),
        (HeadLine(0, b"X-A: b\r\n"), Framing.CHUNKED, B.HEAD),
        (HeadLine(-1, b"X-A b\r\n"), Framing.CHUNKED, B.HEAD),
        (HeadLine(-1, b"X-A: b\r\n", drop=1), Framing.CHUNKED, B.HEAD),
        (HeadLine(-1, b"X-A: b\r\n", times=65), Framing.CHUNKED, B.LIMITS),
        (HeadLine(-1, b"content-length: 1\r\n"), Framing.CHUNKED, B.LENGTHS | B.FRAMING),
        (HeadLine(-1, b"Content-Type: a/b\r\n"), Framing.CHUNKED, B.CONTENT),
        (HeadField("X-A", ("x" * 8193,)), Framing.CHUNKED, B.LIMITS),
        (HeadField("X-A", ("x" * 8192,)), Framing.CHUNKED, B.NOTHING),
        (HeadField("X A", ("x",)), Framing.CHUNKED, B.HEAD),
        (HeadField("X-A", ("x\0",)), Framing.CHUNKED, B.HEAD),
        (HeadField("Content-Length", ("{length}",)), Framing.LENGTH, B.NOTHING),
        (HeadField("Content-Length", ("{length:16}",)), Framing.LENGTH, B.NOTHING),
        (HeadField("Content-Length", ("{length:17}",)), Framing.LENGTH, B.LIMITS),
        (HeadField("Content-Length", ("{length+1}",)), Framing.LENGTH, B.FRAMING),
        (HeadField("Content-Length", ("{length}, {length}",)), Framing.LENGTH, B.LENGTHS),
        (HeadField("Content-Length", ("{length}", "1")), Framing.LENGTH, B.LENGTHS | B.FRAMING),
        (HeadField("Content-Length"), Framing.LENGTH, B.FRAMING),
        (HeadField("Content-Length"), Framing.CHUNKED, B.NOTHING),
        (HeadField("Content-Length", ("5",)), Framing.CHUNKED, B.LENGTHS),
        (HeadField("Transfer-Encoding", ("CHUNKED",)), Framing.CHUNKED, B.NOTHING),
        (HeadField("Transfer-Encoding", ("chunked",)), Framing.LENGTH, B.FRAMING),
        (HeadField("Content-Encoding", ("br",)), Framing.CHUNKED, B.CONTENT),
        (HeadEnds("\r\n"), Framing.CHUNKED, B.NOTHING),
        (HeadEnds(), Framing.CHUNKED, B.HEAD),
        (SlowHead(1, 1), Framing.CHUNKED, B.NOTHING),
        (ChunkLine("{size}"), Framing.CHUNKED, B.NOTHING),
        (ChunkLine("{size:9};a;b=c;d=\"e f\""), Framing.CHUNKED, B.NOTHING),
        (ChunkLine("{size:17}"), Framing.CHUNKED, B.LIMITS),
        (ChunkLine("{size};a=" + "b" * 8192), Framing.CHUNKED, B.LIMITS),
        (ChunkEnd("A: b\r\n" * 65 + "\r\n", -1), Framing.CHUNKED, B.LIMITS),
        (ChunkLine("{size} "), Framing.CHUNKED, B.FRAMING),
        (ChunkLine("{size}", end="\n"), Framing.CHUNKED, B.FRAMING),
        (ChunkLine("000", -1), Framing.CHUNKED, B.NOTHING),
        (ChunkLine("1", -1), Framing.CHUNKED, B.FRAMING),
        (ChunkEnd("\r\n"), Framing.CHUNKED, B.NOTHING),
        (ChunkEnd("X: 1\r\n\r\n", 0), Framing.CHUNKED, B.FRAMING),
        (ChunkEnd("X: 1\r\n\r\n", -1), Framing.CHUNKED, B.NOTHING),
        (After(b"x"), Framing.LENGTH, B.AFTER),
        (CutWire(5), Framing.CHUNKED, B.CUT),
        (Join(), Framing.CHUNKED, B.NOTHING),
        (Replace(0, b"x"), Framing.CHUNKED, B.NOTHING),
    ],
)  # fmt: skip
def test_what_a_fault_breaks(fault: ContentFault, framing: Framing, broken: Breaks) -> None:
    """Legal bytes of the usual size break nothing; everything else says what it breaks."""
    assert breaks(script(fault, framing=framing)) == broken


def test_several_faults_break_together() -> None:
    """What each breaks is put together."""
    assert breaks(script(HeadEnds(), After(b"x"), ChunkEnd(""))) == B.HEAD | B.AFTER | B.FRAMING


# --- any combination --------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(max_codepoint=0xFF), max_size=6)
SIZES = st.sampled_from(("{size}", "{size+3}", "-{size}", "", "zz", "{size:20};a"))
CHUNK = st.sampled_from((None, 0, -1))
FAULT: st.SearchStrategy[ContentFault] = st.one_of(
    st.builds(HeadBytes, st.binary(max_size=9), st.integers(1, 3)),
    st.builds(HeadLine, st.sampled_from((0, -1)), st.binary(max_size=9), st.integers(0, 1), st.integers(1, 3)),
    st.builds(HeadField, TEXT, st.lists(st.sampled_from(("{length}", "{length-1}", "\0")), max_size=2).map(tuple)),
    st.builds(HeadEnds, TEXT),
    st.builds(SlowHead, st.integers(1, 60), st.sampled_from((0.0, 1.0))),
    st.builds(ChunkLine, SIZES, CHUNK, st.sampled_from(("\r\n", "\n", ""))),
    st.builds(ChunkEnd, TEXT, CHUNK),
    st.builds(After, st.binary(max_size=9), st.integers(1, 3)),
    st.builds(CutWire, st.integers(0, 200), st.sampled_from((Ending.FIN, Ending.RST, Ending.ABORT, Ending.OPEN))),
    st.builds(Join, st.sampled_from(Joint)),
    st.builds(SplitEvery, st.integers(1, 30)),
    st.builds(CutBody, st.integers(0, 40), st.sampled_from((Ending.CLEAN, Ending.FIN, Ending.RST))),
    st.builds(Replace, st.integers(0, 20), st.binary(max_size=5)),
)
STEP: st.SearchStrategy[Step] = st.one_of(
    st.builds(Text, st.text("aé\u2028", max_size=5)), st.builds(Pause, st.sampled_from((0.0, 1.0)))
)
HEADS = st.builds(
    Head,
    status=st.sampled_from((200, 404)),
    framing=st.sampled_from(Framing),
    coding=st.sampled_from((Coding.IDENTITY, Coding.GZIP)),
    flush=st.sampled_from(Flush),
)
ENDINGS = st.sampled_from((Ending.CLEAN, Ending.FIN, Ending.RST, Ending.OPEN))


@st.composite
def broken_scripts(draw: st.DrawFn) -> tuple[Script, tuple[Operation, ...]]:
    """Draw a script with faults of every kind that can strike it, and its program."""
    steps = (draw(HEADS), *draw(st.lists(STEP, max_size=5)), End(draw(ENDINGS)))
    faults: tuple[ContentFault, ...] = ()
    # A fault that cannot strike what the others left is left out: that it is refused is shown above.
    for fault in draw(st.lists(FAULT, max_size=5)):
        try:
            compile_script(Script(DialectName.EVENTSOURCE, steps, (*faults, fault)))
        except UsageError:
            continue
        faults = (*faults, fault)
    made = Script(DialectName.EVENTSOURCE, steps, faults)
    return made, compile_script(made)


@settings(deadline=None)
@given(broken_scripts())
def test_annotations_tile_whatever_is_broken(case: tuple[Script, tuple[Operation, ...]]) -> None:
    """Invariant: payloads lie in their writes, body ranges tile the body, one close is last, and the layout agrees."""
    made, program = case
    writes = [one for one in program if isinstance(one, Write)]
    assert [index for index, one in enumerate(program) if isinstance(one, Close)] == [len(program) - 1]
    plain = made.head.coding is Coding.IDENTITY
    behind = 0  # bytes of the framing behind the last payload
    for write in writes:
        start, end = write.payload
        if not write.data:
            # What has no bytes of its own stands behind the last payload, before the framing behind that.
            assert start == end == -behind
            continue
        behind = len(write.data) - end
        assert 0 <= start <= end <= len(write.data)
        assert start < end or (start, end) == (len(write.data), len(write.data))
        assert not plain or end - start == write.body[1] - write.body[0]
    assert all(before.body[1] == after.body[0] for before, after in pairwise(writes))
    assert not writes or writes[0].body[0] == 0
    found = layout(made)
    assert found.wire == sum(len(write.data) for write in writes)
    assert found.body == max((write.body[1] for write in writes), default=0)
    assert all(span.wire[0] <= span.wire[1] <= found.wire and span.body[1] <= found.body for span in found.events)


@settings(deadline=None)
@given(broken_scripts())
def test_what_is_around_the_body_never_changes_it(case: tuple[Script, tuple[Operation, ...]]) -> None:
    """Invariant: the payloads joined are a beginning of those without the faults of the framing, all of it if uncut."""
    made, program = case
    body_faults = tuple(fault for fault in made.faults if isinstance(fault, (SplitEvery, CutBody, Replace)))
    untouched = compile_script(Script(made.dialect, made.steps, body_faults))
    body, whole = (
        b"".join(one.data[slice(*one.payload)] for one in some if isinstance(one, Write))
        for some in (program, untouched)
    )
    assert whole.startswith(body)
    if not any(isinstance(fault, CutWire) for fault in made.faults):
        assert body == whole


@settings(deadline=None)
@given(broken_scripts())
def test_held_is_said_only_where_a_write_follows(case: tuple[Script, tuple[Operation, ...]]) -> None:
    """Invariant: no write before the end is held, and of a body as it is only a join holds any."""
    made, program = case
    joined = any(isinstance(fault, Join) for fault in made.faults)
    for one, following in pairwise(program):
        if isinstance(one, Write):
            assert not (one.held and isinstance(following, Close))
            if made.head.coding is Coding.IDENTITY:
                assert one.held == (joined and isinstance(following, Write))
