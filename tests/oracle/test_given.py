"""What a client was given: bytes, ends, and the uncertainty around both."""

from __future__ import annotations

import pytest

from testbed.oracle import GivenKind as K
from testbed.oracle import Verdict, judge
from testbed.oracle.case import RACES, Case
from testbed.oracle.connections import Tier
from testbed.oracle.contents import Meaning, meaning
from testbed.oracle.spoken import is_event_stream
from testbed.oracle.transports import End
from testbed.program import layout
from testbed.script import (
    CutBody,
    DialectName,
    Done,
    Ending,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Pause,
    Quirk,
    Raw,
    Replace,
    Script,
    Step,
    Text,
)
from testbed.script import End as EndStep
from testbed.trace import Clock, Outcome
from tests.oracle.runs import CHAT, EVENTSOURCE, STEPS, WORDS, Run, plan_of, script

ONE = (Head(), Open(), Text("One "))


def kind(run: Run, at: float) -> K:
    """What the run's client had been given when it ended `at`."""
    given = Case(run.plan, run.ends(at).trace()).given
    assert given is not None
    return given.kind


@pytest.mark.parametrize("framing", Framing)
def test_every_cut_of_a_stream_is_a_kind_that_never_goes_back(framing: Framing) -> None:
    """More bytes never make an answer less complete: the kinds of a FIN at each byte come in the order of progress."""
    answer = script(Head(framing=framing), *STEPS[1:])
    order = [
        {K.FIN_BEFORE_ANSWER},
        {K.FIN_IN_HEAD},
        {K.FIN_IN_BODY, K.CLEAN_BEFORE_TERMINAL, K.CLEAN_INSIDE_EVENT},
        {K.FIN_AFTER_FINISH, K.CLEAN_AFTER_FINISH, K.CLEAN_INSIDE_DONE},
        {K.WHOLE},
    ]
    reached = 0
    for only in range(layout(answer).wire + 1):
        found = kind(Run(plan_of(answer)).play(only=only, end=Ending.FIN), 0.1)
        place = next(number for number, kinds in enumerate(order) if found in kinds)
        assert place >= reached, (only, found)
        reached = place
    assert reached == len(order) - 1


@pytest.mark.parametrize(
    ("framing", "end", "expected"),
    [
        (Framing.CHUNKED, Ending.CLEAN, K.CLEAN_BEFORE_TERMINAL),
        (Framing.CHUNKED, Ending.FIN, K.FIN_IN_BODY),
        (Framing.CHUNKED, Ending.RST, K.RESET),
        (Framing.LENGTH, Ending.CLEAN, K.CLEAN_BEFORE_TERMINAL),
        # All the bytes that the head promised are there: what comes then is of no interest.
        (Framing.LENGTH, Ending.FIN, K.CLEAN_BEFORE_TERMINAL),
        (Framing.LENGTH, Ending.RST, K.CLEAN_BEFORE_TERMINAL),
        # The FIN is the framing.
        (Framing.CLOSE, Ending.CLEAN, K.CLEAN_BEFORE_TERMINAL),
        (Framing.CLOSE, Ending.FIN, K.CLEAN_BEFORE_TERMINAL),
        (Framing.CLOSE, Ending.RST, K.RESET),
    ],
)
def test_what_an_end_means_depends_on_the_framing(framing: Framing, end: Ending, expected: K) -> None:
    """The same FIN is a clean end or a cut, as the message's framing says."""
    run = Run(plan_of(script(Head(framing=framing), *ONE[1:], EndStep(end)))).play()
    assert kind(run, 0.1) is expected


def test_a_length_is_known_to_be_reached_before_the_server_says_so() -> None:
    """A client that counts bytes leaves at the last one, while the server still pauses before its end."""
    run = Run(plan_of(script(Head(framing=Framing.LENGTH), *ONE[1:], Pause(5)))).play(until=0.1)
    assert kind(run, 0.1) is K.CLEAN_BEFORE_TERMINAL


def test_what_the_network_does_after_the_client_left_is_not_given() -> None:
    """The server's FIN in answer to a client that went away never reached it."""
    run = Run(plan_of(script(*ONE, Pause(50)))).play(until=10)
    run._end(0, Ending.FIN, 10.0)
    assert kind(run, 10.0) is K.SILENT_MID_STREAM


def test_bytes_behind_the_client_s_end_are_not_given() -> None:
    """What arrives later is no part of what the client had to judge by."""
    run = Run(plan_of(script(*ONE, Pause(5), Finish(), Done()))).play()
    assert kind(run, 2.0) is K.SILENT_MID_STREAM


# --- a byte or two ----------------------------------------------------------------------------------------------------


def cut_at(missing: int, outcome: Outcome) -> Verdict:
    """The verdict on a client whose FIN comes `missing` bytes before the end of [DONE]'s blank line."""
    answer = script(Head(framing=Framing.CLOSE), Open(), Text("One "), Done())
    run = Run(plan_of(answer)).play(only=layout(answer).wire - missing, end=Ending.FIN).shows("One ")
    run.ends(0.1) if outcome is Outcome.COMPLETE else run.raises(outcome, at=0.1)
    return judge(run.plan, run.trace()).verdict


@pytest.mark.parametrize(
    ("missing", "complete", "incomplete"),
    [
        (0, Verdict.PASS, Verdict.FAIL),
        # The line is there, its blank line is not: a client may act on the line.
        (1, Verdict.LENIENT, Verdict.PASS),
        (2, Verdict.LENIENT, Verdict.PASS),
        (3, Verdict.FAIL, Verdict.PASS),
    ],
)
def test_a_terminal_event_without_its_line_ends(missing: int, complete: Verdict, incomplete: Verdict) -> None:
    """Up to the last byte but two, a cut [DONE] is no end; then it may be one; whole it must be."""
    assert cut_at(missing, Outcome.COMPLETE) is complete
    assert cut_at(missing, Outcome.INCOMPLETE) is incomplete


def unwritten(missing: int, outcome: Outcome, dialect: DialectName, end: Ending, *shown: str) -> Verdict:
    """The same where the server itself leaves so many bytes of the last event out."""
    steps: tuple[Step, ...] = (Head(), Open(), *map(Text, WORDS))
    terminals = {DialectName.GEMINI: Finish(), DialectName.OLLAMA: Done()}
    steps = (*steps, terminals.get(dialect, Done()))
    size = layout(Script(dialect, steps)).body
    run = Run(plan_of(Script(dialect, steps, (CutBody(size - missing, end),)))).play().shows(*(shown or WORDS))
    run.ends(0.1) if outcome is Outcome.COMPLETE else run.raises(outcome, at=0.1)
    return judge(run.plan, run.trace()).verdict


@pytest.mark.parametrize("end", [Ending.CLEAN, Ending.FIN])
@pytest.mark.parametrize(
    ("dialect", "line_ends"),
    [
        (CHAT, 2),
        (DialectName.ANTHROPIC_MESSAGES, 2),
        (DialectName.OPENAI_RESPONSES, 2),
        (DialectName.MCP, 2),
        (DialectName.GEMINI, 4),
        (DialectName.OLLAMA, 1),
    ],
)
def test_a_terminal_whose_line_ends_were_never_written(dialect: DialectName, line_ends: int, end: Ending) -> None:
    """Whether the network or the server is short of the last bytes: a client that acts on a line has the event."""
    for missing in range(line_ends + 3):
        if not missing and dialect is DialectName.GEMINI and end is Ending.FIN:
            continue  # a soft terminal and a FIN inside the framing: both may be said
        complete = unwritten(missing, Outcome.COMPLETE, dialect, end)
        incomplete = unwritten(missing, Outcome.INCOMPLETE, dialect, end)
        if not missing:
            assert (complete, incomplete) == (Verdict.PASS, Verdict.FAIL)
        elif missing <= line_ends:
            assert (complete, incomplete) == (Verdict.LENIENT, Verdict.PASS), missing
        else:
            assert (complete, incomplete) == (Verdict.FAIL, Verdict.PASS), missing


@pytest.mark.parametrize("missing", range(1, 12))
def test_a_text_whose_line_ends_were_never_written(missing: int) -> None:
    """It may be shown while only its line end is missing, and must never be missed."""
    steps = (*ONE, Text("two"))
    size = layout(script(*steps)).body
    for shown in (("One ",), ("One ", "two")):
        run = Run(plan_of(script(*steps, faults=(CutBody(size - missing),)))).play().shows(*shown)
        failed = judge(run.plan, run.raises(Outcome.INCOMPLETE, at=0.1).trace()).verdict is Verdict.FAIL
        right = len(shown) == 1 or missing <= 2
        assert failed is not right, (missing, shown)


def test_a_client_may_wait_for_the_chunk_around_an_event() -> None:
    """With the chunk's own line end missing, an event is there for some clients and not for others."""
    answer = script(*ONE, Done())
    # The last chunk is five bytes, the end of the chunk before it two.
    run = Run(plan_of(answer)).play(only=layout(answer).wire - 7, end=Ending.FIN).shows("One ")
    run.raises(Outcome.INCOMPLETE, at=0.1)
    assert judge(run.plan, run.trace()).verdict is Verdict.LENIENT


def test_an_event_source_needs_the_blank_line() -> None:
    """The tier of clients that act on a line does not exist there: the standard forbids it."""
    run = Run(plan_of(script(*ONE))).play()
    assert {Tier.CHUNK, Tier.EVENT, Tier.CR, Tier.LINE} == set(Tier)
    spans = Case(run.plan, run.trace()).connections[0].body
    text = spans[-1]
    assert text.needs(Tier.LINE) == text.needs(Tier.EVENT) - 2 == text.needs(Tier.CHUNK) - 4


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize(("quirk", "missing"), [(Quirk.CRLF, 1), (Quirk.CRLF, 2), (Quirk.CR, 1), (None, 1)])
def test_a_blank_line_is_over_with_its_cr(quirk: Quirk | None, missing: int, written: bool) -> None:
    """What follows a CR is no part of the event, whether it never came or was never written; it may be waited for."""
    plain = Script(
        EVENTSOURCE, (Head(framing=Framing.CLOSE), Message("a"), Message("b")), (), (quirk,) if quirk else ()
    )
    size = layout(plain)
    at = size.body - missing
    answer = plain if written else Script(EVENTSOURCE, plain.steps, (CutBody(at),), plain.quirks)
    for shown in ("a", "ab"):
        run = Run(plan_of(answer)).play(only=size.head + at if written else None, end=Ending.FIN)
        for data in shown:
            run.shows_event(data)
        run.ends(0.1)
        right = shown == "a" or (quirk is Quirk.CRLF and missing == 1)
        assert (judge(run.plan, run.trace()).verdict is not Verdict.FAIL) is right, shown


# --- races ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", Clock)
def test_a_byte_in_the_last_moment_may_be_unread(clock: Clock) -> None:
    """A time-out that strikes just as the next bytes arrive is right, and so is going on."""
    just = RACES[clock].back / 2e6
    # The whole rest of the answer arrives half a race before the client's end.
    answer = script(*ONE, Pause(10.0), Finish(), Done())
    run = Run(plan_of(answer), clock=clock).play(until=10.0 + just).shows("One ")
    run.raises(Outcome.IDLE_TIMEOUT, at=10.0 + just)
    assert judge(run.plan, run.trace()).verdict is Verdict.LENIENT


@pytest.mark.parametrize("clock", Clock)
def test_a_whole_answer_long_ago_excuses_no_time_out(clock: Clock) -> None:
    """Twice that time earlier, the answer was there."""
    late = RACES[clock].back * 2 / 1e6
    answer = script(*ONE, Pause(9.9), Finish(), Done(), EndStep(Ending.OPEN))
    run = Run(plan_of(answer), clock=clock).play(until=9.9 + late).shows("One ")
    run.raises(Outcome.IDLE_TIMEOUT, at=9.9 + late)
    assert judge(run.plan, run.trace()).verdict is Verdict.FAIL


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(("gap", "expected"), [(0.0, Verdict.LENIENT), (3.0, Verdict.FAIL)])
def test_a_drained_reset_tears_off_only_what_came_just_before(clock: Clock, gap: float, expected: Verdict) -> None:
    """A library may throw its buffer away at a reset, but it has no buffer three seconds later."""
    run = Run(plan_of(script(*STEPS, Pause(gap), EndStep(Ending.FIN))), clock=clock)
    run.play(end=Ending.RST, only=layout(script(*STEPS)).wire - 5, end_after=gap).shows(*WORDS)
    run.raises(Outcome.RESET, at=gap + 0.01)
    assert judge(run.plan, run.trace()).verdict is expected


def test_an_immediate_reset_may_tear_off_everything() -> None:
    """Both are right then, and so is any beginning of the text."""
    for shown in range(len(WORDS) + 1):
        run = Run(plan_of(script(*STEPS, Pause(3), EndStep(Ending.ABORT)))).play(until=3.1)
        run.shows(*WORDS[:shown]).raises(Outcome.RESET, at=3.1)
        judgement = judge(run.plan, run.trace())
        # Text that had arrived seconds before was held back, if it was not shown; that is another matter.
        assert {finding.failure.value for finding in judgement.findings} <= {"late-delivery"}


def test_an_end_that_is_recorded_a_moment_later_may_have_been_seen() -> None:
    """The client's word can overtake the record of what it speaks of."""
    run = Run(plan_of(script(*ONE)), clock=Clock.REAL)
    run.play(only=layout(script(*ONE)).wire - 5, end=Ending.FIN, end_after=1.05).shows("One ")
    run.raises(Outcome.INCOMPLETE, at=1.0)
    assert judge(run.plan, run.trace()).verdict is Verdict.LENIENT


# --- contents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "step", "expected"),
    [
        (CHAT, Text("a"), Meaning.TOKEN),
        (CHAT, Text(""), Meaning.NOTHING),
        (CHAT, Raw(b": ping\n\n"), Meaning.NOTHING),
        (CHAT, Raw(b"retry: 10\n\n"), Meaning.NOTHING),
        (CHAT, Raw(b"data: [DONE]\n\n"), Meaning.DONE),
        (CHAT, Raw(b"data: [DONE] no\n\n"), Meaning.BAD),
        (CHAT, Raw(b"data: {\n\n"), Meaning.BAD),
        (CHAT, Raw(b'data: {"a": 1}\n\n'), Meaning.UNSURE),
        (CHAT, Raw(b"data: "), Meaning.UNSURE),
        (EVENTSOURCE, Raw(b"data: x\n\n"), Meaning.TOKEN),
        (EVENTSOURCE, Raw(b"data: \xff\n\n"), Meaning.BAD_UTF8),
        (EVENTSOURCE, Raw(b"data: x\n"), Meaning.UNSURE),
        (EVENTSOURCE, Message(""), Meaning.TOKEN),
    ],
)
def test_what_a_step_means(dialect, step: Step, expected: Meaning) -> None:  # type: ignore[no-untyped-def]
    """Steps and raw bytes are read by the reference parser, never guessed."""
    run = Run(plan_of(script(Head(), step, dialect=dialect))).play()
    (connection,) = Case(run.plan, run.trace()).connections
    assert meaning(connection, connection.body[0]) is expected


@pytest.mark.parametrize(("data", "expected"), [(b"\xff", Meaning.BAD_UTF8), (b"x", Meaning.BAD)])
def test_an_overwritten_step_is_bad(data: bytes, expected: Meaning) -> None:
    """A step whose bytes were overwritten is not what its script says, and its neighbours are."""
    start = next(one.body[0] for one in layout(script()).events if one.step == 3)
    run = Run(plan_of(Script(CHAT, STEPS, (Replace(start + 5, data),)))).play()
    (connection,) = Case(run.plan, run.trace()).connections
    found = [meaning(connection, span) for span in connection.body if span.step in (2, 3, 4)]
    assert found == [Meaning.TOKEN, expected, Meaning.TOKEN]


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (-1, [Meaning.BAD, Meaning.TOKEN, Meaning.TOKEN]),
        (0, [Meaning.TOKEN, Meaning.BAD, Meaning.TOKEN]),
    ],
)
def test_a_fault_hits_its_own_bytes_and_no_neighbour(shift: int, expected: list[Meaning]) -> None:
    """One byte further, and it is another step's."""
    start = next(one.body[0] for one in layout(script()).events if one.step == 3)
    run = Run(plan_of(Script(CHAT, STEPS, (Replace(start + shift, b"x"),)))).play()
    (connection,) = Case(run.plan, run.trace()).connections
    assert [meaning(connection, span) for span in connection.body if span.step in (2, 3, 4)] == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (None, True),
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/html", False),
        ("", False),
        ("application/json; x=text/event-stream", False),
    ],
)
def test_what_is_an_event_stream(content_type: str | None, expected: bool) -> None:
    """The type alone decides, without its parameters and in any case."""
    assert is_event_stream(Script(CHAT, (Head(content_type=content_type),))) is expected


def test_an_open_connection_has_no_cause() -> None:
    """Nothing has happened yet that a client could know by."""
    run = Run(plan_of(script(*ONE, EndStep(Ending.OPEN)))).play()
    given = Case(run.plan, run.ends(1.0).trace()).given
    assert given is not None
    assert (given.end, given.cause) == (End.OPEN, None)
