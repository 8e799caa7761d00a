"""A script's wire program is a message that h11 reads back, its ranges tile, and its layout says the same."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import h11
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
    Comment,
    ContentFault,
    CutBody,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Framing,
    Head,
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
)

OPENAI = DialectName.OPENAI_CHAT
ANTHROPIC = DialectName.ANTHROPIC_MESSAGES
EVENTSOURCE = DialectName.EVENTSOURCE

# --- strategies -------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PAUSE = st.builds(Pause, st.sampled_from((0.0, 0.5, 2.0)))
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
    dialect = draw(st.sampled_from(DialectName))
    before = draw(st.lists(PAUSE, max_size=2))
    head = Head(framing=draw(st.sampled_from(Framing)))
    body: list[Step] = draw(st.lists(SOURCE_STEP if dialect is EVENTSOURCE else LLM_STEP, max_size=8))
    end = [End(how) for how in draw(st.lists(st.sampled_from(Ending), max_size=1))]
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
                st.builds(CutBody, st.just(at), st.sampled_from(Ending)),
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
    head = reader.next_event()
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
    assert isinstance(script.steps[steps[0]], Head)
    clean = program[-1].how is Ending.CLEAN if isinstance(program[-1], Close) else None
    chunked = script.head.framing is Framing.CHUNKED
    assert steps.count(-1) == (1 if clean and chunked else 0)
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
    writes = writes_of(compile_script(script))[1:]
    assert ends == {write.step: write.body[1] for write in writes if write.ends_step}
    assert len(ends) == sum(write.ends_step for write in writes)


@settings(deadline=None)
@given(plain_scripts())
def test_one_event_is_one_write_by_default(script: Script) -> None:
    """Invariant: without faults, the writes between head and last chunk are the dialect's events, one each."""
    events = [data for step in DIALECTS[script.dialect].encode(script.steps) for data in step]
    writes = [write for write in writes_of(compile_script(script))[1:] if write.step >= 0]
    assert events == [write.data[slice(*write.payload)] for write in writes]


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
        if isinstance(step, Head) or events or (isinstance(step, Pause) and step.seconds > 0)
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
    assert (found.head, found.wire, found.body) == (len(writes[0].data), len(wire), len(body))
    bounds = [(0, 0), *(span.body for span in found.events), (len(body), len(body))]
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    ends = [found.head, *(span.wire[1] for span in found.events)]
    assert [span.wire[0] for span in found.events] == ends[:-1]
    assert wire[ends[-1] :] in {b"", b"0\r\n\r\n"}
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
        Write(2, b"8\r\ndata: h\xc3\r\n", (3, 11), (0, 8), ends_step=False),
        Write(2, b"3\r\n\xa9\n\n\r\n", (3, 6), (8, 11), ends_step=True),
    ]


@pytest.mark.parametrize(("at", "waits", "ended"), [(0, [1], []), (5, [1], []), (11, [1], [2]), (12, [1, 2], [2])])
def test_nothing_behind_a_cut_happens(at: int, waits: list[float], ended: list[int]) -> None:
    """The cut strikes right behind its last byte: the pause there is gone too, and so is the script's own ending."""
    program = small(Framing.CHUNKED, CutBody(at, Ending.FIN), end=Ending.OPEN)
    assert waits == [operation.seconds for operation in program if isinstance(operation, Wait)]
    assert ended == [write.step for write in writes_of(program)[1:] if write.ends_step]
    assert program[-1] == Close(Ending.FIN, framed=False)


# What each framing makes of each ending: complete or not, uncut, and cut at byte 5.
FRAMED = {
    (Framing.CHUNKED, Ending.CLEAN): (True, True),
    (Framing.CHUNKED, Ending.FIN): (False, False),
    (Framing.CHUNKED, Ending.RST): (False, False),
    (Framing.CHUNKED, Ending.ABORT): (False, False),
    (Framing.CHUNKED, Ending.OPEN): (False, False),
    (Framing.LENGTH, Ending.CLEAN): (True, True),
    (Framing.LENGTH, Ending.FIN): (True, False),
    (Framing.LENGTH, Ending.RST): (True, False),
    (Framing.LENGTH, Ending.ABORT): (True, False),
    (Framing.LENGTH, Ending.OPEN): (True, False),
    (Framing.CLOSE, Ending.CLEAN): (True, True),
    (Framing.CLOSE, Ending.FIN): (True, True),
    (Framing.CLOSE, Ending.RST): (False, False),
    (Framing.CLOSE, Ending.ABORT): (False, False),
    (Framing.CLOSE, Ending.OPEN): (False, False),
}


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("how", Ending)
def test_framed_is_what_is_true_on_the_wire(framing: Framing, how: Ending) -> None:
    """`framed` says whether the message is complete by its framing, for every framing and ending, uncut and cut."""
    uncut, cut = FRAMED[framing, how]
    assert small(framing, end=how)[-1] == Close(how, uncut)
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
    assert [span.step for span in found.events] == [1, 1, 2, 3, 3, 4]
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


def test_a_step_without_words_is_refused_with_its_number() -> None:
    """The dialect's refusal reaches whoever compiles the script."""
    with pytest.raises(UsageError, match=r"^step 1 \(done\): eventsource has no terminal"):
        compile_script(Script(EVENTSOURCE, (Head(), Done())))
