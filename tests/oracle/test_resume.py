"""Streams that are resumed: what a client says it has, against what it was given and what it showed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed import runner
from testbed.adapters.reference import async_client as reference
from testbed.oracle import Finding, Verdict, judge
from testbed.oracle.case import Case
from testbed.oracle.resuming import last_given
from testbed.program import layout
from testbed.script import (
    Body,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Quirk,
    Raw,
    Script,
    Step,
    Text,
)
from testbed.trace import Clock, Failure, Outcome, Request, Trace
from tests.oracle.runs import EVENTSOURCE, Run, plan_of, profile

MCP, RESPONSES = DialectName.MCP, DialectName.OPENAI_RESPONSES
LETTERS = ("a", "b", "c", "d")
RECONNECTS = profile(reconnects=True)


# --- plain event streams: the client reconnects, and tells the id of the last event -----------------------------------


def events(*steps: Step, resumes: bool = True) -> Script:
    """A stream that a client can resume; without steps, four events with ids."""
    usual = tuple(Message(letter, id=str(number)) for number, letter in enumerate(LETTERS, 1))
    return Script(EVENTSOURCE, (Head(), *(steps or usual)), resumes=resumes)


def after(answer: Script, events: int, into: int = 0) -> int:
    """Wire bytes up to the end of so many events, and so far into the next one."""
    spans = layout(answer).events
    return (spans[events - 1].wire[1] if events else layout(answer).head) + into


def broken(answer: Script, whole: int, into: int = 0, end: Ending = Ending.RST, shows: int | None = None) -> Run:
    """So many events arrive, and then the connection breaks off; the client shows them."""
    run = Run(plan_of(answer, max_retries=3), client=RECONNECTS)
    run.play(only=after(answer, whole, into), end=end, resumes="", method="GET")
    for letter in LETTERS[: whole if shows is None else shows]:
        run.shows_event(letter)
    return run


def goes_on(run: Run, has: str, *shows: str, at: float = 1.0, end: float | None = None) -> Run:
    """The client comes back, says what it has, and shows what then comes."""
    run.play(at=at, resumes=has, method="GET")
    for data in shows:
        run.shows_event(data, at=at)
    return run.ends(at + 0.1 if end is None else end)


def found(run: Run) -> tuple[Finding, ...]:
    """The findings of a run."""
    return judge(run.plan, run.trace()).findings


RIGHT_EVENTS: dict[str, Callable[[], Run]] = {
    "behind the last event": lambda: goes_on(broken(events(), 2), "2", "c", "d"),
    "behind an event that was cut": lambda: goes_on(broken(events(), 2, into=9), "2", "c", "d"),
    "after a clean end": lambda: goes_on(broken(events(), 4, end=Ending.CLEAN), "4"),
    "before any event": lambda: goes_on(broken(events(), 0), "", *LETTERS),
    "behind events without an id": (
        lambda: goes_on(broken(events(Message("a"), Message("b"), resumes=False), 2), "", "a", "b")
    ),
    "behind an id that stays": (
        lambda: goes_on(
            broken(events(Message("a", id="7"), Message("b"), Message("c"), resumes=False), 2), "7", "a", "b", "c"
        )
    ),
    "behind an id that was taken back": (
        lambda: goes_on(broken(events(Message("a", id="7"), Message("b", id=""), resumes=False), 2), "", "a", "b")
    ),
    "behind a block of an id alone": (
        lambda: goes_on(
            broken(events(Message("a", id="1"), Raw(b"id: 5\n\n"), Message("b", id="9"), resumes=False), 2, shows=1),
            "5",
            "a",
            "b",
        )
    ),
    "with white space that no header carries": (
        lambda: goes_on(broken(events(Message("a", id=" 7 "), Message("b"), resumes=False), 1), "7", "a", "b")
    ),
    "less than it has, and nothing twice": lambda: goes_on(broken(events(), 3), "1", "d"),
    "less than it has, and the server sends all of it to anybody": (
        lambda: goes_on(broken(events(resumes=False), 3), "1", *LETTERS)
    ),
    "what it could not show because of the reset": lambda: goes_on(broken(events(), 3, shows=2), "2", "c", "d"),
    "the same id as before, where nothing new came": (
        lambda: goes_on(
            broken(events(), 2).play(at=1.0, only=0, end=Ending.RST, resumes="2", method="GET"), "2", "c", "d", at=3.0
        )
    ),
    "across an error": (
        lambda: goes_on(
            Run(plan_of(events(), Script(EVENTSOURCE, BUSY), events(), max_retries=3), client=RECONNECTS)
            .play(only=after(events(), 1), end=Ending.RST, resumes="", method="GET")
            .shows_event("a")
            .play(at=1.0, resumes="1", method="GET"),
            "1",
            "b",
            "c",
            "d",
            at=3.0,
        )
    ),
    "in a trace that does not tell": (
        lambda: (
            Run(plan_of(events(resumes=False), max_retries=1), client=RECONNECTS)
            .play(only=after(events(), 2), end=Ending.RST)
            .shows_event("a")
            .shows_event("b")
            .play(at=1.0)
            .shows_event("a", at=1.0)
            .shows_event("b", at=1.0)
            .shows_event("c", at=1.0)
            .shows_event("d", at=1.0)
            .ends(1.1)
        )
    ),
    "as text": (
        lambda: (
            Run(plan_of(events(), max_retries=1), client=RECONNECTS)
            .play(only=after(events(), 2), end=Ending.RST, resumes="", method="GET")
            .shows("a", "b")
            .play(at=1.0, resumes="2", method="GET")
            .shows("cd", at=1.0)
            .ends(1.1)
        )
    ),
}
BUSY = (Head(status=503, content_type="text/plain", framing=Framing.LENGTH), Body("no"))

WRONG_EVENTS: dict[str, tuple[Callable[[], Run], Failure]] = {
    "an id that was taken before its event was whole": (
        lambda: goes_on(broken(events(), 2, into=9), "3", "d"),
        Failure.RESUME_GAP,
    ),
    "an event that was given and never shown": (
        lambda: goes_on(broken(events(), 3, shows=2), "3", "d"),
        Failure.RESUME_GAP,
    ),
    "an id that nobody sent": (lambda: goes_on(broken(events(), 2), "99", *LETTERS), Failure.RESUME_GAP),
    "an id that counts events": (lambda: goes_on(broken(events(), 2), "3", "d"), Failure.RESUME_GAP),
    "no id at all": (lambda: goes_on(broken(events(), 2), "", *LETTERS), Failure.NO_RESUME),
    "no id after a clean end": (
        lambda: goes_on(broken(events(), 4, end=Ending.CLEAN), "", *LETTERS),
        Failure.NO_RESUME,
    ),
    "an id that is forgotten at the second time": (
        lambda: goes_on(
            broken(events(), 2).play(at=1.0, only=0, end=Ending.RST, resumes="2", method="GET"), "", *LETTERS, at=3.0
        ),
        Failure.NO_RESUME,
    ),
    "the id of the event before": (
        lambda: goes_on(broken(events(), 3), "2", "c", "d"),
        Failure.DUPLICATED_TEXT,
    ),
    "the first id for ever": (lambda: goes_on(broken(events(), 3), "1", "b", "c", "d"), Failure.DUPLICATED_TEXT),
    "no other request": (
        lambda: broken(events(), 2).raises(Outcome.RESET, at=0.1),
        Failure.NO_RESUME,
    ),
    "as text, no id at all": (
        lambda: (
            Run(plan_of(events(), max_retries=1), client=RECONNECTS)
            .play(only=after(events(), 2), end=Ending.RST, resumes="", method="GET")
            .shows("a", "b")
            .play(at=1.0, resumes="", method="GET")
            .shows("abcd", at=1.0)
            .ends(1.1)
        ),
        Failure.NO_RESUME,
    ),
}


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("build", RIGHT_EVENTS.values(), ids=RIGHT_EVENTS)
def test_an_event_source_that_goes_on_where_it_stopped_is_passed(build: Callable[[], Run], clock: Clock) -> None:
    """Whatever it could have as its last id by what it was given and showed is right."""
    run = build()
    run.clock = clock
    assert found(run) == ()
    assert judge(run.plan, run.trace()).verdict in (Verdict.PASS, Verdict.LENIENT)


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(("build", "failure"), WRONG_EVENTS.values(), ids=WRONG_EVENTS)
def test_an_event_source_that_goes_on_elsewhere_is_found(
    build: Callable[[], Run], failure: Failure, clock: Clock
) -> None:
    """Too far ahead is a gap, from the beginning is no resuming, and behind is what is then shown twice."""
    run = build()
    run.clock = clock
    assert [finding.failure for finding in found(run)] == [failure]


def test_an_event_that_a_caller_reads_late_is_not_skipped() -> None:
    """Between client and caller there may be a queue: what stands in it when the client comes back is not lost."""
    run = goes_on(broken(events(), 3, shows=2), "3", "c", "d")
    assert Failure.RESUME_GAP not in {one.failure for one in found(run)}


@pytest.mark.parametrize("kind", [Ending.RST, Ending.FIN])
@pytest.mark.parametrize(("reconnects", "retries", "told"), [(True, 1, True), (True, 0, False), (False, 1, False)])
def test_only_who_resumes_by_itself_must_come_back(kind: Ending, reconnects: bool, retries: int, told: bool) -> None:
    """A reader of one stream raises and is right; so is a client that was told to make no other request."""
    run = Run(plan_of(events(), max_retries=retries), client=profile(reconnects=reconnects))
    run.play(only=after(events(), 1), end=kind, resumes="", method="GET").shows_event("a")
    outcome = Outcome.RESET if kind is Ending.RST else Outcome.INCOMPLETE
    assert [one.failure for one in found(run.raises(outcome, at=0.1))] == [Failure.NO_RESUME] * told


def test_a_finding_says_what_the_client_had_and_what_it_said() -> None:
    """Both ids stand in the evidence, and the requirement names who says so."""
    (gap,) = found(goes_on(broken(events(), 2, into=9), "3", "d"))
    assert "behind '3', which leaves a gap" in gap.summary
    assert gap.evidence[0] == (
        "it was given no event with that id; its last one is '2'; connection 1, asked at 1.000 s, says that it has '3'"
    )
    assert any("WHATWG" in source for source in gap.sources)
    (none,) = found(goes_on(broken(events(), 2), "", *LETTERS))
    assert none.evidence[0].startswith("the id of the last event is '2'; connection 1, asked at 1.000 s,")


# --- MCP and the Responses API: each event has a number ---------------------------------------------------------------


def answer(dialect: DialectName, *, resumes: bool = True, quirks: tuple[Quirk, ...] | None = None) -> Script:
    """A numbered answer of four letters."""
    own = (Quirk.BACKGROUND,) if dialect is RESPONSES else ()
    end = (Finish(), Done()) if dialect is RESPONSES else (Done(),)
    steps = (Head(), Open(), *map(Text, LETTERS), *end)
    return Script(dialect, steps, (), own if quirks is None else quirks, resumes=resumes)


# The number of the event behind which so many letters are there.
NUMBERS = {MCP: (0, 1, 2, 3, 4), RESPONSES: (2, 5, 6, 7, 8)}


def known(dialect: DialectName, number: int) -> str:
    """How a client says that it has the event of this number."""
    return f"2/2/{number}" if dialect is MCP else str(number)


def cut_behind(dialect: DialectName, letters: int, shows: int | None = None, into: int = 0, **fields) -> Run:  # type: ignore[no-untyped-def]
    """So many letters arrive and are shown, and then the connection is reset."""
    whole = answer(dialect)
    wire = max(span.wire[1] for span in layout(whole).events if span.step <= letters + 1)
    run = Run(plan_of(whole, fields.pop("then", whole), max_retries=2), client=fields.pop("client", None))
    run.play(only=wire + into, end=Ending.RST, resumes="")
    return run.shows(*LETTERS[: letters if shows is None else shows])


def fetched(run: Run, has: str, *shows: str) -> Run:
    """The client fetches the rest, and shows what then comes."""
    return run.play(at=1.0, resumes=has, method="GET").shows(*shows, at=1.0).ends(1.1)


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("dialect", NUMBERS)
@pytest.mark.parametrize("letters", range(5))
def test_going_on_behind_the_last_number_is_right(dialect: DialectName, letters: int, clock: Clock) -> None:
    """Wherever the answer breaks off, its rest is the rest."""
    run = cut_behind(dialect, letters)
    run.clock = clock
    has = known(dialect, NUMBERS[dialect][letters])
    assert found(fetched(run, has, *LETTERS[letters:])) == ()
    assert judge(run.plan, run.trace()).verdict is Verdict.PASS


@pytest.mark.parametrize("dialect", NUMBERS)
@pytest.mark.parametrize(
    ("has", "shows", "failure"),
    [
        (3, "d", Failure.RESUME_GAP),  # the third letter never came
        (4, "", Failure.RESUME_GAP),
        (1, "bcd", Failure.DUPLICATED_TEXT),
        (0, "abcd", Failure.DUPLICATED_TEXT),
        (1, "cd", None),  # it leaves out what comes again
    ],
)
def test_going_on_elsewhere_is_found(dialect: DialectName, has: int, shows: str, failure: Failure | None) -> None:
    """Two letters were shown; a client that says it has more skips, one that says it has less shows twice."""
    run = fetched(cut_behind(dialect, 2), known(dialect, NUMBERS[dialect][has]), *shows)
    assert [one.failure for one in found(run)] == ([] if failure is None else [failure])


@pytest.mark.parametrize("dialect", NUMBERS)
def test_letters_that_were_given_and_not_shown_are_skipped(dialect: DialectName) -> None:
    """A reset may swallow what was not shown yet, but then the client does not have it."""
    has = known(dialect, NUMBERS[dialect][2])
    assert [one.failure for one in found(fetched(cut_behind(dialect, 2, shows=1), has, "c", "d"))] == [
        Failure.RESUME_GAP
    ]
    # Unless its caller only read them a moment later.
    late = cut_behind(dialect, 2, shows=1).play(at=1.0, resumes=has, method="GET").shows("b", "c", "d", at=1.0)
    assert Failure.RESUME_GAP not in {one.failure for one in found(late.ends(1.1))}


def test_a_response_that_is_fetched_from_its_beginning_is_not_resumed() -> None:
    """Without a number all of it comes again."""
    run = fetched(cut_behind(RESPONSES, 2), "", *LETTERS)
    assert [one.failure for one in found(run)] == [Failure.NO_RESUME]
    run = fetched(cut_behind(RESPONSES, 0), "", *LETTERS)
    assert found(run) == ()


def test_numbers_go_on_where_the_script_is_what_comes_next() -> None:
    """An MCP server without a script that resumes numbers what it says from behind what the client has."""
    rest = Script(MCP, (Head(), Text("c"), Text("d"), Done()))
    run = fetched(cut_behind(MCP, 2, then=rest), known(MCP, 2), "c", "d")
    assert found(run) == ()
    run = cut_behind(MCP, 2, then=rest)
    run.play(at=1.0, resumes=known(MCP, 2), method="GET", only=after(rest, 1), end=Ending.RST).shows("c", at=1.0)
    assert last_given(Case(run.plan, run.raises(Outcome.RESET, at=1.1).trace()), 2) == 3


@pytest.mark.parametrize("into", range(0, 900, 60))
def test_of_a_step_that_is_cut_its_last_event_is_not_there(into: int) -> None:
    """The first letter of a response opens an item and a part first; a client that has these may say so."""
    run = cut_behind(RESPONSES, 0, into=into)
    run.play(at=1.0, resumes="4", method="GET").shows(*LETTERS, at=1.0).ends(1.1)
    given = last_given(Case(run.plan, run.trace()), 1)
    assert given in (2, 4, 5)
    assert [one.failure for one in found(run)] == [Failure.RESUME_GAP] * (given < 4)


@pytest.mark.parametrize("dialect", NUMBERS)
def test_to_fetch_the_rest_is_no_duty(dialect: DialectName) -> None:
    """An answer that can be resumed may be given up all the same; only an EventSource is made to come back."""
    run = cut_behind(dialect, 2, client=profile(reconnects=True))
    assert found(run.raises(Outcome.RESET, at=0.1)) == ()


# --- traces and the real thing ----------------------------------------------------------------------------------------


def test_an_older_trace_is_read_and_accuses_nobody() -> None:
    """What a client said it has was not recorded once, and of such a run it is not asked."""
    run = goes_on(broken(events(), 2), "2", "c", "d")
    lines = [line for line in run.trace().to_jsonl().split(b"\n") if line]
    older = b"\n".join(line.replace(b',"resumes":"2"', b"").replace(b',"resumes":""', b"") for line in lines)
    assert b"resumes" not in older
    trace = Trace.from_jsonl(older)
    assert [seen.resumes for seen in trace.observations if isinstance(seen, Request)] == [None, None]
    assert judge(run.plan, trace).findings == ()


def test_the_reference_client_resumes() -> None:
    """What it says it has stands in the trace of a real run, and is right."""
    cut = Script(EVENTSOURCE, (*events().steps[:3], End(Ending.RST)), resumes=True)
    plan = plan_of(cut, events(), Script(EVENTSOURCE, (Head(status=204),)), max_retries=3)
    trace = runner.run(plan, runner.engine("simulated"), reference)
    assert [seen.resumes for seen in trace.observations if isinstance(seen, Request)] == ["", "2", "4"]
    assert judge(plan, trace).verdict is Verdict.PASS
