"""The oracle against a right client, and against one that makes a single mistake."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from testbed.oracle import Verdict, judge
from testbed.plan import Plan
from testbed.program import layout
from testbed.script import (
    Body,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Pause,
    Ping,
    Script,
    SplitEvery,
    Step,
    Text,
)
from testbed.trace import Clock, Ended, Outcome, Raised, SawText
from tests.oracle.right_client import Cut, live
from tests.oracle.runs import ANTHROPIC, CHAT, EVENTSOURCE, Run, plan_of, script

TIMEOUT = 10.0
# Few words, so that they repeat themselves, and none that ends where another begins by accident.
words = st.sampled_from(
    ["", "a", "a", "ab", "the ", "naïve ", "日本語", "😀", "e\u0301", "\u2028", "line\nline ", "שלום "]
)
# Far from the time-out on both sides: nearer, either is right.
pauses = st.sampled_from([0.2, 1.0, 3.0, 20.0])
endings = st.sampled_from([Ending.CLEAN, Ending.FIN, Ending.RST, Ending.ABORT, Ending.OPEN])
framings = st.sampled_from(list(Framing))


@st.composite
def streams(draw: st.DrawFn, dialect=CHAT) -> Script:  # type: ignore[no-untyped-def]
    """An answer with status 200: tokens, pauses and keep-alives, and an end of any kind."""
    token = (
        words.map(Text) if dialect is not EVENTSOURCE else st.builds(Message, words, id=st.sampled_from([None, "7"]))
    )
    body: list[Step] = draw(st.lists(st.one_of(token, token, pauses.map(Pause), st.just(Ping())), max_size=8))
    if dialect is not EVENTSOURCE:
        tails: list[tuple[Step, ...]] = [(), (Finish(),), (Finish(), Done()), (Finish(), Done()), (Failure("busy"),)]
        body = [Open(), *body, *draw(st.sampled_from(tails))]
    if draw(st.booleans()):
        body.append(Pause(draw(pauses)))
    steps = (Head(framing=draw(framings)), *body, End(draw(endings)))
    faults = draw(st.sampled_from([(), (), (SplitEvery(7),)]))
    return Script(dialect, steps, faults)


@st.composite
def refusals(draw: st.DrawFn) -> Script:
    """An answer with an error status."""
    wait = draw(st.sampled_from([(), (("Retry-After", "2"),)]))
    status = draw(st.sampled_from([401, 429, 500, 503]))
    return script(
        Head(status=status, headers=wait, content_type="application/json", framing=Framing.LENGTH), Body("{}")
    )


@st.composite
def cuts(draw: st.DrawFn, answer: Script) -> Cut | None:
    """What the network does to an answer: nothing, or an end at any byte."""
    if draw(st.booleans()):
        return None
    wire = layout(answer).wire
    end = draw(st.sampled_from([Ending.FIN, Ending.RST, Ending.ABORT, None]))
    return Cut(draw(st.integers(0, wire)), end)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A right client's run of any plan."""
    dialect = draw(st.sampled_from([CHAT, CHAT, ANTHROPIC, EVENTSOURCE]))
    retries = draw(st.integers(0, 2)) if dialect is not EVENTSOURCE else 0
    answers = [draw(streams(dialect))]
    if dialect is CHAT:
        answers = [draw(refusals()) for _ in range(draw(st.integers(0, retries)))] + answers
    network = [draw(cuts(answer)) for answer in answers]
    plan = plan_of(*answers, max_retries=retries, idle_timeout=TIMEOUT)
    return live(plan, network, draw(st.sampled_from(Clock)))


@given(runs())
@settings(max_examples=400, deadline=None)
def test_a_right_client_is_never_accused(run: Run) -> None:
    """Whatever server and network do, a client that does the right thing gets no finding."""
    judgement = judge(run.plan, run.trace())
    assert judgement.findings == (), judgement
    assert judgement.verdict in (Verdict.PASS, Verdict.LENIENT), judgement


# --- one mistake ------------------------------------------------------------------------------------------------------


def whole_plan(*texts: str, dialect=CHAT, gap: float = 0.0) -> Plan:  # type: ignore[no-untyped-def]
    """A plan whose answer is whole."""
    pause = (Pause(gap),) if gap else ()
    steps = [step for text in texts for step in (*pause, Text(text))]
    return plan_of(script(Head(), Open(), *steps, *pause, Finish(), Done(), dialect=dialect))


def changed(run: Run, change: Callable[[list[SawText]], list[SawText]]) -> Run:
    """The run with its texts changed."""
    texts = [seen for seen in run.seen if isinstance(seen, SawText)]
    others = [seen for seen in run.seen if not isinstance(seen, SawText)]
    run.seen = [*others[:-1], *change(texts), others[-1]]
    return run


def is_accused(run: Run) -> bool:
    """Whether the run gives a finding."""
    return judge(run.plan, run.trace()).verdict is Verdict.FAIL


several = st.lists(words, min_size=1, max_size=8)
dialects = st.sampled_from([CHAT, ANTHROPIC])


@given(several, dialects, st.sampled_from(Clock), st.data())
@settings(max_examples=200, deadline=None)
def test_any_change_of_the_text_of_a_whole_answer_is_found(texts, dialect, clock, data) -> None:  # type: ignore[no-untyped-def]
    """Drop, double, swap or replace any one piece or character: what is then not the text sent is a finding."""
    run = live(whole_plan(*texts, dialect=dialect), [], clock)
    sent = "".join(texts)
    place = data.draw(st.integers(0, len(texts) - 1))
    at = data.draw(st.integers(0, len(sent)))
    shown = data.draw(
        st.sampled_from(
            [
                [*texts[:place], *texts[place + 1 :]],
                [*texts[: place + 1], *texts[place:]],
                [*texts[:place], *reversed(texts[place : place + 2]), *texts[place + 2 :]],
                [sent[:at] + "\ufffd" + sent[at + 1 :]],
                [sent[:at] + sent[at + 1 :]],
                [sent[:at] + "x" + sent[at:]],
                [sent, sent],
            ]
        )
    )
    assume("".join(shown) != sent)
    assert is_accused(changed(run, lambda seen: [SawText(seen[0].t, text) for text in shown]))


@given(several, dialects, st.sampled_from(Clock), st.data())
@settings(max_examples=100, deadline=None)
def test_success_before_the_terminal_is_found(texts, dialect, clock, data) -> None:  # type: ignore[no-untyped-def]
    """A client that reports success while tokens are still to come is found, wherever it stops."""
    run = live(whole_plan(*texts, dialect=dialect, gap=2.0), [], clock)
    stop = data.draw(st.integers(0, len(texts)))
    run.seen = [seen for seen in run.seen if seen.t <= stop * 2_000_000 and not isinstance(seen, Ended)]
    run.leave(0, stop * 2.0 + 0.1)
    assert is_accused(run.ends(stop * 2.0 + 0.1))


def _lacks_a_line_end(run: Run) -> bool:
    last = run.plan.attempt(len(run.wires) - 1).script
    ends = [one.wire[1] for one in layout(last).events if isinstance(last.steps[one.step], (Finish, Done))]
    arrived = run.wires[-1].arrivals[-1][1] if run.wires[-1].arrivals else 0
    # Two line ends, and with chunks the end of the chunk.
    return any(end - 4 <= arrived < end for end in ends)


@given(runs())
@settings(max_examples=300, deadline=None)
def test_success_in_place_of_an_error_is_found(run: Run) -> None:
    """Where a right client raises, one that reports success is found."""
    raised = [seen for seen in run.seen if isinstance(seen, Raised)]
    assume(raised)
    # A reset may have destroyed a terminal event that a faster client would have seen.
    assume(Outcome.RESET not in raised[0].classes)
    # Of a terminal whose line end alone is missing, a client that acts on lines has all.
    assume(not _lacks_a_line_end(run))
    # The EventSource standard knows no end, so its clients end well wherever the framing does.
    run.seen = [seen for seen in run.seen if not isinstance(seen, Raised)]
    assert is_accused(run.ends(raised[0].t / 1e6))


@given(runs(), st.sampled_from([Outcome.PERMISSION_DENIED, Outcome.NOT_FOUND, Outcome.CONFLICT, Outcome.TOO_LARGE]))
@settings(max_examples=300, deadline=None)
def test_a_class_that_never_fits_is_found(run: Run, wrong: Outcome) -> None:
    """An error class that no part of the run gave is found, in place of success and of any error."""
    end = next(seen for seen in run.seen if isinstance(seen, (Raised, Ended)))
    run.seen = [seen for seen in run.seen if not isinstance(seen, (Raised, Ended))]
    assert is_accused(run.raises(wrong, at=end.t / 1e6))


@given(runs(), st.sampled_from(Clock))
@settings(max_examples=100, deadline=None)
def test_judging_is_a_function_of_the_trace(run: Run, clock: Clock) -> None:
    """The same plan and trace give the same judgement, also after they went through a file."""
    run.clock = clock
    trace = run.trace()
    assert judge(run.plan, trace) == judge(run.plan, type(trace).from_jsonl(trace.to_jsonl()))
