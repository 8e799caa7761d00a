"""A script's wire program is a message that h11 reads back, its ranges tile, and its layout says the same."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

import h11
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed._values import decode, encode
from testbed.dialects import DIALECTS
from testbed.errors import UsageError
from testbed.faults.content import Piece, apply_faults
from testbed.program import Close, EventSpan, Operation, Wait, Write, compile_script, layout
from testbed.script import (
    Body,
    Coding,
    Comment,
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
    Message,
    Open,
    Pause,
    Ping,
    Raw,
    Replace,
    Script,
    SplitAt,
    SplitEvery,
    Step,
    Terminal,
    Text,
    Version,
)
from tests.coding import decoded

OPENAI = DialectName.OPENAI_CHAT
ANTHROPIC = DialectName.ANTHROPIC_MESSAGES
EVENTSOURCE = DialectName.EVENTSOURCE

# --- strategies -------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PAUSE = st.builds(Pause, st.sampled_from((0.0, 0.5, 2.0)))
INTERIM = st.builds(Interim, st.sampled_from((100, 102, 103)), st.sampled_from(((), (("Link", "</a>"),))))
COMPLETING = (Ending.CLEAN, Ending.KEEP, Ending.STALE)
CUTS = tuple(how for how in Ending if how not in {Ending.KEEP, Ending.STALE})
COMMON: st.SearchStrategy[Step] = st.one_of(
    st.builds(Text, TEXT), PAUSE, st.builds(Comment, TEXT), st.builds(Body, TEXT), st.builds(Raw, st.binary(max_size=5))
)
MARKS: tuple[Step, ...] = (Open(), Finish(), Done(), Ping())
LLM_STEP = st.one_of(COMMON, st.sampled_from(MARKS))
SOURCE_STEP = st.one_of(COMMON, st.builds(Message, TEXT), st.just(Ping()))


def body_size(script: Script) -> int:
    """Count the body bytes of the script without its faults."""
    return sum(len(data) for step in DIALECTS[script.dialect].encode(script.steps) for data in step)


@st.composite
def plain_scripts(draw: st.DrawFn) -> Script:
    """Draw a script without content faults: any steps in any order, any framing and ending."""
    dialect = draw(st.sampled_from((OPENAI, ANTHROPIC, EVENTSOURCE)))
    framing = draw(st.sampled_from(Framing))
    version = draw(st.sampled_from(Version)) if framing is not Framing.CHUNKED else Version.HTTP_1_1
    trailers = draw(st.sampled_from(((), (("X-Sum", "1"), ("X-End", ""))))) if framing is Framing.CHUNKED else ()
    before = draw(st.lists(PAUSE if version is Version.HTTP_1_0 else st.one_of(PAUSE, INTERIM), max_size=3))
    head = Head(framing=framing, version=version, trailers=trailers)
    body: list[Step] = draw(st.lists(SOURCE_STEP if dialect is EVENTSOURCE else LLM_STEP, max_size=8))
    endings = CUTS if framing is Framing.CLOSE else tuple(Ending)
    end = [End(how) for how in draw(st.lists(st.sampled_from(endings), max_size=1))]
    return Script(dialect, (*before, head, *body, *end))


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Draw a script with content faults inside its body."""
    script = draw(plain_scripts())
    size = body_size(script)
    faults: list[ContentFault] = []
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, size))
        fault = draw(
            st.one_of(
                st.builds(CutBody, st.just(at), st.sampled_from(CUTS)),
                st.builds(SplitAt, st.lists(st.integers(0, size), max_size=3).map(tuple)),
                st.builds(SplitEvery, st.integers(1, 40)),
                st.builds(Replace, st.just(at), st.binary(max_size=min(size - at, 20))),
            )
        )
        size = fault.at if isinstance(fault, CutBody) else size
        faults.append(fault)
    return Script(script.dialect, script.steps, tuple(faults))


# --- reading programs -------------------------------------------------------------------------------------------------


def writes_of(program: tuple[Operation, ...]) -> list[Write]:
    """Return the writes of a program."""
    return [operation for operation in program if isinstance(operation, Write)]


def of_body(script: Script) -> list[Write]:
    """Return the writes that belong to a step behind the head."""
    head = script.steps.index(script.head)
    return [write for write in writes_of(compile_script(script)) if write.step > head]


def wire_of(script: Script) -> bytes:
    """Join all bytes that the script's program writes."""
    return b"".join(write.data for write in writes_of(compile_script(script)))


def body_of(script: Script) -> bytes:
    """Spell the script's body without its program: all events, faults applied."""
    pieces = [
        Piece(index, data, ends_step=False)
        for index, step in enumerate(DIALECTS[script.dialect].encode(script.steps))
        for data in step
    ]
    return b"".join(piece.data for piece in apply_faults(pieces, script.faults).pieces)


def read_back(data: bytes) -> tuple[h11.Response, bytes, bool]:
    """Let h11 read a response until the connection's end: its head, its body, and whether the message is complete."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "testbed")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    reader.receive_data(b"")
    while isinstance(head := reader.next_event(), h11.InformationalResponse):
        pass
    assert isinstance(head, h11.Response)
    body = b""
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError:
            return head, body, False
        if isinstance(event, h11.EndOfMessage):
            return head, body, True
        assert isinstance(event, h11.Data)
        body += event.data


# --- properties -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(scripts())
def test_h11_reads_exactly_the_body_back(script: Script) -> None:
    """Invariant: h11 finds the script's body, and a complete message just when the program says `framed`."""
    close = compile_script(script)[-1]
    assert isinstance(close, Close)
    head, body, complete = read_back(wire_of(script))
    assert body_of(script) == body
    assert head.status_code == 200
    # A body framed by the connection's end is complete for h11, which is told of a FIN; a reset or silence is no FIN.
    if script.head.framing is Framing.CLOSE:
        assert complete
        assert close.framed == (close.how in {Ending.CLEAN, Ending.FIN})
    else:
        assert close.framed == complete


@settings(deadline=None)
@given(scripts())
def test_ranges_tile(script: Script) -> None:
    """Invariant: payload ranges hold the body bytes that they claim, and body ranges tile the body."""
    writes = writes_of(compile_script(script))
    body = body_of(script)
    assert [write.body for write in writes] == sorted(write.body for write in writes)
    assert all(before.body[1] == after.body[0] for before, after in pairwise(writes))
    assert (writes[0].body[0], writes[-1].body[1]) == (0, len(body))
    for write in writes:
        assert write.data[slice(*write.payload)] == body[slice(*write.body)]
        assert 0 <= write.payload[0] <= write.payload[1] <= len(write.data)
        if write.payload[0] == write.payload[1]:
            assert write.payload == (len(write.data), len(write.data))


@settings(deadline=None)
@given(scripts())
def test_the_order_of_a_program(script: Script) -> None:
    """Invariant: one head before the body, steps in order, at most one last chunk, one close, and it is last."""
    program = compile_script(script)
    assert [index for index, operation in enumerate(program) if isinstance(operation, Close)] == [len(program) - 1]
    writes = writes_of(program)
    steps = [write.step for write in writes]
    before = [index for index, step in enumerate(script.steps) if isinstance(step, (Interim, Head))]
    assert steps[: len(before)] == before
    completed = program[-1].how in COMPLETING if isinstance(program[-1], Close) else None
    chunked = script.head.framing is Framing.CHUNKED
    assert steps.count(-1) == (1 if completed and chunked else 0)
    assert steps[:-1] == sorted(steps[:-1])
    assert all(write.data for write in writes)


@settings(deadline=None)
@given(scripts())
def test_a_step_ends_once_with_its_last_byte(script: Script) -> None:
    """Invariant: a step ends with exactly its last body byte, and does not end at all if a cut took that."""
    body = len(body_of(script))
    end = 0
    ends = {}
    for index, events in enumerate(DIALECTS[script.dialect].encode(script.steps)):
        end += sum(map(len, events))
        if events and end <= body:
            ends[index] = end
    writes = of_body(script)
    assert ends == {write.step: write.body[1] for write in writes if write.ends_step}
    assert len(ends) == sum(write.ends_step for write in writes)


@settings(deadline=None)
@given(plain_scripts())
def test_one_event_is_one_write_by_default(script: Script) -> None:
    """Invariant: without faults, the writes between head and last chunk are the dialect's events, one each."""
    events = [data for step in DIALECTS[script.dialect].encode(script.steps) for data in step]
    assert events == [write.data[slice(*write.payload)] for write in of_body(script)]


@settings(deadline=None)
@given(plain_scripts())
def test_pauses_keep_their_place(script: Script) -> None:
    """Invariant: without faults, pauses stand between the writes as they stand between the steps."""
    program = compile_script(script)
    said: list[int | float] = []
    for operation in program[:-1]:
        if isinstance(operation, Wait):
            said.append(operation.seconds)
        elif isinstance(operation, Write) and operation.step >= 0 and operation.ends_step:
            said.append(-1)
    spelled = DIALECTS[script.dialect].encode(script.steps)
    expected = [
        step.seconds if isinstance(step, Pause) else -1
        for step, events in zip(script.steps, spelled, strict=True)
        if isinstance(step, (Interim, Head)) or events or (isinstance(step, Pause) and step.seconds > 0)
    ]
    assert expected == said


@settings(deadline=None)
@given(scripts())
def test_layout_agrees_with_the_program(script: Script) -> None:
    """Invariant: spans tile the body, their wire ranges hold just their own writes, totals are the program's."""
    found = layout(script)
    writes = writes_of(compile_script(script))
    wire = wire_of(script)
    body = body_of(script)
    head = wire.index(b"\r\n\r\n", wire.index(b"200 OK")) + 4
    assert (found.head, found.wire, found.body) == (head, len(wire), len(body))
    bounds = [(0, 0), *(span.body for span in found.events), (len(body), len(body))]
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    ends = [found.head, *(span.wire[1] for span in found.events)]
    assert [span.wire[0] for span in found.events] == ends[:-1]
    assert wire[ends[-1] :] in {b"", b"0\r\n\r\n", b"0\r\nX-Sum: 1\r\nX-End: \r\n\r\n"}
    # Each span's wire range holds just the writes of its body range.
    position = 0
    for write in writes:
        inside = [span for span in found.events if span.wire[0] <= position < span.wire[1]]
        if write.payload[0] < write.payload[1]:
            (span,) = inside
            assert span.step == write.step
            assert span.body[0] <= write.body[0] < write.body[1] <= span.body[1]
            assert position + len(write.data) <= span.wire[1]
        else:
            assert inside == []
        position += len(write.data)


@settings(deadline=None)
@given(scripts())
def test_the_terminal_of_a_layout(script: Script) -> None:
    """Invariant: the terminal is the first SOFT or HARD event that is written whole."""
    dialect = DIALECTS[script.dialect]
    found = layout(script)
    start = 0
    expected = None
    for step, events in zip(script.steps, dialect.encode(script.steps), strict=True):
        start += sum(map(len, events))
        if expected is None and dialect.terminal(step) is not Terminal.NONE and start <= found.body:
            expected = start - len(events[-1])
    assert expected == found.terminal_body
    if expected is None:
        assert found.terminal_wire is None
    else:
        (wire,) = [span.wire[0] for span in found.events if span.body[0] == expected]
        assert wire == found.terminal_wire


@settings(deadline=None)
@given(scripts())
def test_a_program_is_a_value(script: Script) -> None:
    """Invariant: equal scripts give equal programs, and each operation survives the JSON of its own type."""
    program = compile_script(script)
    assert program == compile_script(decode(encode(script), Script))
    assert all(operation == decode(encode(operation), type(operation)) for operation in program)
    assert {type(operation) for operation in program} <= set(get_args(Operation))


def test_trailers_stand_behind_the_last_chunk() -> None:
    """Byte for byte, and where h11 looks for them."""
    script = Script(EVENTSOURCE, (Head(trailers=(("X-Sum", "1"), ("X-End", ""))), Text("a")))
    assert wire_of(script).endswith(b"9\r\ndata: a\n\n\r\n0\r\nX-Sum: 1\r\nX-End: \r\n\r\n")
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "testbed")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(wire_of(script))
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        pass
    assert list(event.headers) == [(b"x-sum", b"1"), (b"x-end", b"")]


def test_interim_answers_are_writes_of_their_own() -> None:
    """Byte for byte, with the pauses between them; the layout counts them to the head."""
    steps = (Interim(100), Pause(2), Interim(103, (("Link", "</a>"),)), Head(204))
    first, wait, second, head, close = compile_script(Script(EVENTSOURCE, steps))
    assert first == Write(0, b"HTTP/1.1 100 Continue\r\n\r\n", (25, 25), (0, 0), ends_step=True)
    assert wait == Wait(2)
    assert isinstance(second, Write)
    assert second.data == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert isinstance(head, Write)
    assert (head.step, close) == (3, Close(Ending.CLEAN, framed=True))
    found = layout(Script(EVENTSOURCE, steps))
    assert found.head == found.wire == len(first.data) + len(second.data) + len(head.data)


# --- coded bodies -----------------------------------------------------------------------------------------------------


@st.composite
def coded_scripts(draw: st.DrawFn) -> Script:
    """Draw a script whose body is compressed, with content faults inside."""
    script = draw(scripts())
    coding = draw(st.sampled_from([coding for coding in Coding if coding is not Coding.IDENTITY]))
    head = msgspec.structs.replace(script.head, coding=coding, flush=draw(st.sampled_from(Flush)))
    steps = tuple(head if isinstance(step, Head) else step for step in script.steps)
    return msgspec.structs.replace(script, steps=steps)


def sent_of(writes: Sequence[Write]) -> bytes:
    """Join what is sent of the body."""
    return b"".join(write.data[slice(*write.payload)] for write in writes)


@settings(deadline=None)
@given(coded_scripts())
def test_a_coded_body_is_the_same_text(script: Script) -> None:
    """Invariant: decoded, the payloads are what is written of the body; h11 finds them complete when framed."""
    program = compile_script(script)
    writes, close = writes_of(program), program[-1]
    assert isinstance(close, Close)
    cut = next((fault.how for fault in reversed(script.faults) if isinstance(fault, CutBody)), Ending.CLEAN)
    lost = script.head.flush is Flush.END and cut is not Ending.CLEAN
    text = b"" if lost else body_of(script)
    assert decoded(script.head.coding, sent_of(writes)) == text
    assert (writes[0].body[0], writes[-1].body[1]) == (0, len(text))
    _, sent, complete = read_back(wire_of(script))
    assert sent == sent_of(writes)
    if script.head.framing is not Framing.CLOSE:
        assert close.framed == complete


@settings(deadline=None)
@given(coded_scripts())
def test_a_write_claims_what_a_decoder_has(script: Script) -> None:
    """Invariant: with the bytes up to a write, a decoder has just the body up to the end of its range."""
    writes = writes_of(compile_script(script))
    assert all(before.body[1] == after.body[0] for before, after in pairwise(writes))
    for number, write in enumerate(writes, 1):
        text = decoded(script.head.coding, sent_of(writes[:number]))
        assert text[: write.body[1]] == body_of(script)[: write.body[1]]
        assert len(text) >= write.body[1]
        if script.head.flush is Flush.EVENT:
            assert len(text) == write.body[1]
        elif write.body[0] < write.body[1] and write.data:
            # One byte less, and some of it is missing.
            assert len(decoded(script.head.coding, sent_of(writes[:number])[:-1])) < write.body[1]


@settings(deadline=None)
@given(coded_scripts())
def test_what_is_held_back_leaves_in_one_write_after_every_silence(script: Script) -> None:
    """Invariant: flushed, no write of the body waits; held back, all of them wait for one another."""
    program = compile_script(script)
    held = [index for index, one in enumerate(program) if isinstance(one, Write) and one.held]
    if script.head.flush is Flush.EVENT:
        assert held == []
    elif held:
        assert held == list(range(held[0], held[-1] + 1))
        assert not any(isinstance(one, Wait) for one in program[held[0] :])
        last = program[held[-1] + 1]
        assert isinstance(last, Write)
        assert last.payload[0] < last.payload[1] or not last.data


@settings(deadline=None)
@given(coded_scripts())
def test_the_layout_of_a_coded_body(script: Script) -> None:
    """Invariant: spans tile the body; on the wire they lie in order, and no event is without a byte."""
    found = layout(script)
    bounds = [(0, 0), *(span.body for span in found.events), (found.body, found.body)]
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    assert all(found.head <= span.wire[0] < span.wire[1] <= found.wire for span in found.events)
    assert all(before.wire[1] <= after.wire[1] for before, after in pairwise(found.events))


def test_a_cut_coded_body_declares_the_length_of_the_whole() -> None:
    """A promise that is broken is the promise of the body that had been coded to its end."""
    script = Script(EVENTSOURCE, (Head(framing=Framing.LENGTH, coding=Coding.GZIP), Text("a"), Text("b")))
    whole = len(sent_of(writes_of(compile_script(script))))
    for flush, written in ((Flush.EVENT, 9), (Flush.END, 0)):
        head = msgspec.structs.replace(script.head, flush=flush)
        cut = Script(EVENTSOURCE, (head, *script.steps[1:]), (CutBody(9, Ending.FIN),))
        held = Script(EVENTSOURCE, (head, *script.steps[1:]))
        whole = len(sent_of(writes_of(compile_script(held))))
        assert f"Content-Length: {whole}\r\n".encode() in wire_of(cut)
        assert compile_script(cut)[-1] == Close(Ending.FIN, framed=False)
        assert layout(cut).body == written


@pytest.mark.parametrize(("coding", "most"), [(Coding.GZIP, 80_000), (Coding.BR, 5_000), (Coding.ZSTD, 10_000)])
def test_a_bomb_is_small_on_the_wire(coding: Coding, most: int) -> None:
    """Repeated bytes are never there all at once: a bomb of 64 MiB costs what it has compressed, and one block."""
    script = Script(EVENTSOURCE, (Head(coding=coding), Text("a"), Raw(bytes(1024), 64 * 1024)))
    tracemalloc.start()
    found = layout(script)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.body == 9 + 64 * 1024 * 1024
    assert [span.step for span in found.events] == [1, 2]
    assert found.wire < most
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("coding", "state", "most"), [(Coding.IDENTITY, "not coded", 2**26), (Coding.BR, "coded", 2**30)]
)
def test_a_body_has_an_upper_bound(coding: Coding, state: str, most: int) -> None:
    """What would fill the memory is the tester's mistake."""
    head = Head(coding=coding)
    compile_script(Script(EVENTSOURCE, (head, Raw(b"", 10_000_000), Raw(bytes(64), 10_000))))
    with pytest.raises(UsageError) as raised:
        compile_script(Script(EVENTSOURCE, (head, Raw(b"x"), Raw(bytes(2**20), most // 2**20))))
    assert str(raised.value) == f"step 2 (raw): the body has {most + 1} bytes by then; {state}, it has {most} at most"


def test_repeated_bytes_are_one_event_in_blocks() -> None:
    """Uncoded, what is repeated beyond a mebibyte is written in blocks of one, and is still one event of one step."""
    script = Script(EVENTSOURCE, (Head(framing=Framing.CLOSE), Raw(b"abc", 2**20), Text("b")))
    writes = of_body(script)
    assert [write.body[1] - write.body[0] for write in writes] == [2**20 - 1, 2**20 - 1, 2**20 - 1, 3, 9]
    assert [write.ends_step for write in writes] == [False, False, False, True, True]
    assert sent_of(writes[:-1]) == b"abc" * 2**20
    assert [span.body for span in layout(script).events] == [(0, 3 * 2**20), (3 * 2**20, 3 * 2**20 + 9)]


# --- examples ---------------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%bConnection: close\r\n\r\n"
SMALL: tuple[Step, ...] = (Pause(1), Head(), Text("hé"), Pause(2), Text("b"), Pause(3))


def small(framing: Framing, *faults: ContentFault, end: Ending = Ending.CLEAN) -> tuple[Operation, ...]:
    """Compile a small event source: two texts, `data: hé` (11 bytes) and `data: b` (9), with pauses all around."""
    steps = (Head(framing=framing) if isinstance(step, Head) else step for step in SMALL)
    return compile_script(Script(EVENTSOURCE, (*steps, End(end)), faults))


def head_write(*fields: bytes) -> Write:
    data = HEAD % b"".join(fields)
    return Write(1, data, (len(data), len(data)), (0, 0), ends_step=True)


def test_a_chunked_program_byte_by_byte() -> None:
    """Every byte, pause and range of a small program."""
    assert small(Framing.CHUNKED) == (
        Wait(1),
        head_write(b"Transfer-Encoding: chunked\r\n"),
        Write(2, "b\r\ndata: hé\n\n\r\n".encode(), (3, 14), (0, 11), ends_step=True),
        Wait(2),
        Write(4, b"9\r\ndata: b\n\n\r\n", (3, 12), (11, 20), ends_step=True),
        Wait(3),
        Write(-1, b"0\r\n\r\n", (5, 5), (20, 20), ends_step=False),
        Close(Ending.CLEAN, framed=True),
    )


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CLOSE])
def test_other_framings_put_nothing_around_the_body(framing: Framing) -> None:
    """With a declared length, or none, the writes are the events themselves."""
    fields = [b"Content-Length: 20\r\n"] if framing is Framing.LENGTH else []
    assert small(framing) == (
        Wait(1),
        head_write(*fields),
        Write(2, "data: hé\n\n".encode(), (0, 11), (0, 11), ends_step=True),
        Wait(2),
        Write(4, b"data: b\n\n", (0, 9), (11, 20), ends_step=True),
        Wait(3),
        Close(Ending.CLEAN, framed=True),
    )


def test_a_split_inside_a_character_is_a_chunk_of_its_own() -> None:
    """The pieces of a split event are writes and chunks; only the last one ends the step."""
    writes = writes_of(small(Framing.CHUNKED, SplitAt((8,))))[1:3]
    assert writes == [
        Write(2, b"8\r\ndata: h\xc3\r\n", (3, 11), (0, 8), ends_step=False, missing=3),
        Write(2, b"3\r\n\xa9\n\n\r\n", (3, 6), (8, 11), ends_step=True),
    ]


@pytest.mark.parametrize(("at", "waits", "ended"), [(0, [1], []), (5, [1], []), (11, [1], [2]), (12, [1, 2], [2])])
def test_nothing_behind_a_cut_happens(at: int, waits: list[float], ended: list[int]) -> None:
    """The cut strikes right behind its last byte: the pause there is gone too, and so is the script's own ending."""
    program = small(Framing.CHUNKED, CutBody(at, Ending.FIN), end=Ending.OPEN)
    assert waits == [operation.seconds for operation in program if isinstance(operation, Wait)]
    assert ended == [write.step for write in writes_of(program)[1:] if write.ends_step]
    assert program[-1] == Close(Ending.FIN, framed=False)


# What each framing makes of each ending: complete or not, uncut, and cut at byte 5 (None: it cannot be cut so).
FRAMED = {
    (Framing.CHUNKED, Ending.CLEAN): (True, True),
    (Framing.CHUNKED, Ending.FIN): (False, False),
    (Framing.CHUNKED, Ending.RST): (False, False),
    (Framing.CHUNKED, Ending.ABORT): (False, False),
    (Framing.CHUNKED, Ending.OPEN): (False, False),
    (Framing.CHUNKED, Ending.KEEP): (True, None),
    (Framing.CHUNKED, Ending.STALE): (True, None),
    (Framing.LENGTH, Ending.CLEAN): (True, True),
    (Framing.LENGTH, Ending.FIN): (True, False),
    (Framing.LENGTH, Ending.RST): (True, False),
    (Framing.LENGTH, Ending.ABORT): (True, False),
    (Framing.LENGTH, Ending.OPEN): (True, False),
    (Framing.LENGTH, Ending.KEEP): (True, None),
    (Framing.LENGTH, Ending.STALE): (True, None),
    (Framing.CLOSE, Ending.CLEAN): (True, True),
    (Framing.CLOSE, Ending.FIN): (True, True),
    (Framing.CLOSE, Ending.RST): (False, False),
    (Framing.CLOSE, Ending.ABORT): (False, False),
    (Framing.CLOSE, Ending.OPEN): (False, False),
}


@pytest.mark.parametrize(("framing", "how"), FRAMED)
def test_framed_is_what_is_true_on_the_wire(framing: Framing, how: Ending) -> None:
    """`framed` says whether the message is complete by its framing, for every framing and ending, uncut and cut."""
    uncut, cut = FRAMED[framing, how]
    assert small(framing, end=how)[-1] == Close(how, uncut)
    if cut is not None:
        assert small(framing, CutBody(5, how))[-1] == Close(how, cut)


@pytest.mark.parametrize(("how", "declared"), [(Ending.CLEAN, 5), (Ending.FIN, 20), (Ending.RST, 20)])
def test_only_a_clean_cut_declares_the_shorter_length(how: Ending, declared: int) -> None:
    """A body that is cut clean says its own length; any other cut breaks the promise of the whole body."""
    assert f"Content-Length: {declared}\r\n".encode() in writes_of(small(Framing.LENGTH, CutBody(5, how)))[0].data


def test_an_empty_body_has_no_empty_chunk() -> None:
    """Steps without bytes write nothing: an empty chunk would end the message."""
    program = compile_script(Script(OPENAI, (Head(), Raw(b""), Body(""))))
    assert [write.step for write in writes_of(program)] == [0, -1]
    assert layout(Script(OPENAI, (Head(), Raw(b"")))).events == ()


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("framing", Framing)
def test_an_answer_without_body_ends_with_its_head(status: int, framing: Framing) -> None:
    """204 and 304 have neither body nor framing, so they are complete however the connection ends."""
    program = compile_script(Script(EVENTSOURCE, (Head(status, framing=framing), End(Ending.RST))))
    (head,) = writes_of(program)
    assert head.data.split(b"\r\n")[1:] == [b"Connection: close", b"", b""]
    assert program[-1] == Close(Ending.RST, framed=True)


def test_a_body_where_none_may_be_is_refused() -> None:
    """A 204 with an event is no HTTP message."""
    with pytest.raises(UsageError) as raised:
        compile_script(Script(EVENTSOURCE, (Head(204), Pause(1), Text("a"))))
    assert str(raised.value) == "step 2: an answer with status 204 must not have a body"


def test_the_fields_of_a_head() -> None:
    """Content type, framing, connection, then the script's own fields in their order; an empty content type is none."""
    head = Head(503, "text/html", (("Retry-After", "2"), ("x-b", "1"), ("x-a", "2")), Framing.CLOSE)
    assert wire_of(Script(OPENAI, (head,))) == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nConnection: close\r\n"
        b"Retry-After: 2\r\nx-b: 1\r\nx-a: 2\r\n\r\n"
    )
    assert b"Content-Type" not in wire_of(Script(OPENAI, (Head(content_type=""),)))
    assert b"Content-Type: text/event-stream; charset=utf-8\r\n" in wire_of(Script(ANTHROPIC, (Head(),)))


@pytest.mark.parametrize("name", ["Content-Length", "TRANSFER-ENCODING", "connection", "Content-Type"])
def test_fields_that_follow_from_the_framing_cannot_be_set(name: str) -> None:
    """A script cannot contradict its own framing."""
    with pytest.raises(UsageError) as raised:
        compile_script(Script(OPENAI, (Head(headers=((name, "x"),)),)))
    assert str(raised.value) == f"head: header {name} follows from content_type and framing; it cannot be set by hand"


def test_the_layout_of_a_whole_answer() -> None:
    """Spans are events, not steps; the terminal is the soft one, and only its last event."""
    script = Script(ANTHROPIC, (Head(), Open(), Text("a"), Finish(), Done()))
    found = layout(script)
    assert [span.step for span in found.events] == [1, 2, 2, 3, 3, 4]
    assert (found.terminal_wire, found.terminal_body) == (found.events[4].wire[0], found.events[4].body[0])
    assert body_of(script)[found.events[4].body[0] :].startswith(b"event: message_delta\n")


def test_the_layout_of_a_cut_answer() -> None:
    """An event that a cut leaves unfinished is as long as what is written, and is no terminal."""
    whole = layout(Script(OPENAI, (Head(), Finish(), Done())))
    assert whole.terminal_body == 0
    cut = layout(Script(OPENAI, (Head(), Finish(), Done()), (CutBody(7),)))
    assert cut.events == (EventSpan(1, (cut.head, cut.head + 12), (0, 7)),)
    assert (cut.wire, cut.body, cut.terminal_wire, cut.terminal_body) == (cut.head + 12 + 5, 7, None, None)
    assert layout(Script(OPENAI, (Head(), Finish(), Done()), (CutBody(whole.body - 1),))).terminal_body == 0
    assert layout(Script(OPENAI, (Head(), Done()), (CutBody(13),))).terminal_body is None


EVENT = Text("a")
TRAILER = (("X-Sum", "1"),)


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            (Pause(1), Head(version=Version.HTTP_1_0), EVENT),
            "step 1 (head): HTTP/1.0 has no chunked framing (RFC 9112, section 6.1); choose content-length or close",
        ),
        (
            (Interim(), Head(version=Version.HTTP_1_0, framing=Framing.CLOSE)),
            "step 0 (interim): HTTP/1.0 has no interim answers (RFC 9110, section 15.2)",
        ),
        (
            (Interim(103, (("Content-Length", "3"),)), Head()),
            "step 0 (interim): header Content-Length speaks of a body, and there is none",
        ),
        (
            (Head(framing=Framing.CLOSE, trailers=TRAILER),),
            (
                "step 0 (head): trailers stand behind the last chunk (RFC 9112, section 7.1.2), and the body is not"
                " chunked"
            ),
        ),
        (
            (Head(trailers=(("Content-Type", "x"),)),),
            "head: trailer Content-Type must be known before the body, so it cannot stand behind it",
        ),
        (
            (Head(204, coding=Coding.GZIP),),
            "step 0 (head): an answer with status 204 has no body to code",
        ),
        (
            (Head(headers=(("Content-Encoding", "br"),), coding=Coding.GZIP),),
            "head: header Content-Encoding follows from coding; set by hand it needs the coding identity",
        ),
        (
            (Head(framing=Framing.CLOSE), EVENT, End(Ending.STALE)),
            (
                "step 2 (end): stale needs a framing that says where the body ends (RFC 9112, section 9.3); choose"
                " chunked or content-length"
            ),
        ),
    ],
)
def test_what_http_forbids_is_refused_by_step_and_rule(steps: tuple[Step, ...], sentence: str) -> None:
    """A script cannot be illegal by accident; for broken HTTP there are faults."""
    with pytest.raises(UsageError) as raised:
        compile_script(Script(EVENTSOURCE, steps))
    assert str(raised.value) == sentence


def test_a_cut_cannot_keep_the_connection() -> None:
    """Behind half a message no other can stand."""
    with pytest.raises(UsageError) as raised:
        small(Framing.LENGTH, CutBody(5, Ending.KEEP))
    assert str(raised.value) == "cut_body: how is keep; nothing can follow a message that was cut"


@pytest.mark.parametrize("how", [Ending.KEEP, Ending.STALE])
def test_a_kept_connection_is_announced_as_each_version_does(how: Ending) -> None:
    """HTTP/1.1 says nothing of what it does anyway; HTTP/1.0 must say it. A cut before the end closes all the same."""
    steps = (EVENT, End(how))
    assert b"Connection" not in wire_of(Script(EVENTSOURCE, (Head(), *steps)))
    assert b"Connection" not in wire_of(Script(EVENTSOURCE, (Head(204), End(how))))
    old = Head(version=Version.HTTP_1_0, framing=Framing.LENGTH)
    assert wire_of(Script(EVENTSOURCE, (old, *steps))).startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Connection: keep-alive\r\n" in wire_of(Script(EVENTSOURCE, (old, *steps)))
    assert b"Connection: close\r\n" in wire_of(Script(EVENTSOURCE, (Head(), *steps), (CutBody(3),)))


def test_a_lying_encoding_can_be_said_by_hand() -> None:
    """Without a coding of ours the field is the tester's: a body that is no gzip, or a broken one, is raw bytes."""
    head = Head(headers=(("Content-Encoding", "gzip"),))
    assert b"Content-Encoding: gzip\r\n" in wire_of(Script(EVENTSOURCE, (head, Raw(b"\x1f\x8b\x08broken"))))


def test_a_step_without_words_is_refused_with_its_number() -> None:
    """The dialect's refusal reaches whoever compiles the script."""
    with pytest.raises(UsageError, match=r"^step 1 \(done\): eventsource has no terminal"):
        compile_script(Script(EVENTSOURCE, (Head(), Done())))
