"""Connections that are kept: each request on one is an attempt of its own, and a stale connection is nobody's fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from testbed import runner
from testbed.adapters.reference import async_client as reference
from testbed.faults.toxics import Direction, ResetAfter, ResetAfterAttributes
from testbed.oracle import GivenKind, Verdict, judge
from testbed.oracle.case import Case
from testbed.plan import Attempt, ClientSettings, Plan, Tls
from testbed.program import layout
from testbed.script import Body, DialectName, Done, End, Ending, Framing, Head, Open, Pause, Script, Text
from testbed.trace import Clock, Delivered, Failure, LinkReset, Outcome, Request, ServerEnd
from tests.oracle.runs import CHAT, EVENTSOURCE, STEPS, WORDS, Run, plan_of, script

ONE = (Head(), Open(), Text("One "))


def overload(end: Ending = Ending.KEEP, *headers: tuple[str, str]) -> Script:
    """An error that another request may cure, on a connection that lives on or seems to."""
    head = Head(status=503, headers=headers, content_type="application/json", framing=Framing.LENGTH)
    return script(head, Body("{}"), End(end))


def retried(*answers: Script, gap: float = 1.0, **client) -> Run:  # type: ignore[no-untyped-def]
    """Each answer on the same connection, asked for `gap` after the one before."""
    client.setdefault("max_retries", len(answers) - 1)
    run = Run(plan_of(*answers, **client))
    for number in range(len(answers)):
        run.play(at=number * gap, on=0 if number else None)
    return run


def stale(repeat: float | None = 1.0, **client) -> Run:  # type: ignore[no-untyped-def]
    """A retry that meets a stale connection, and is sent again on a fresh one after `repeat`."""
    client.setdefault("max_retries", 1)
    run = Run(plan_of(overload(Ending.STALE), script(), **client)).play().strikes_stale(0, 1.0)
    return run if repeat is None else run.play(at=repeat)


def classes(run: Run) -> list[Failure]:
    """The classes of a run's findings."""
    return [finding.failure for finding in judge(run.plan, run.trace()).findings]


def case_of(run: Run) -> Case:
    """The run laid out."""
    return Case(run.plan, run.trace())


# --- the facts --------------------------------------------------------------------------------------------------------


def test_each_request_on_a_connection_is_an_exchange_of_its_own() -> None:
    """Bytes, times and scripts of one are not those of the other, and the connection is still one."""
    case = case_of(retried(overload(), script()).shows(*WORDS, at=1.0).ends(1.1))
    first, second = case.attempts
    assert (first.number, first.part, second.number, second.part) == (0, 0, 0, 1)
    assert (first.attempt.script, second.attempt.script) == tuple(one.script for one in case.plan.attempts)
    assert (first.opened, second.opened) == (0, 1_000_000)
    assert first.received(500_000) == first.received(2_000_000) == first.written == second.base
    assert second.received(500_000) == second.base
    assert second.written > second.base
    assert (first.last_byte(2_000_000), second.last_byte(900_000)) == (0, None)
    assert [look.kind for look in (case.look(first, 900_000), case.look(second, case.end))] == [
        GivenKind.STATUS_OVERLOADED,
        GivenKind.WHOLE,
    ]
    assert len(case.connections) == 1


def test_the_second_answer_has_not_begun_before_its_first_byte() -> None:
    """What the first answer left on the connection is no part of the second."""
    run = Run(plan_of(overload(), script(), max_retries=1)).play().play(at=1.0, on=0, only=0)
    given = case_of(run.raises(Outcome.FIRST_BYTE_TIMEOUT, at=11.0)).given
    assert given is not None
    assert given.kind is GivenKind.SILENT_BEFORE_HEAD
    assert classes(run) == []


@pytest.mark.parametrize("only", range(0, 400, 7))
def test_a_cut_in_a_second_answer_is_judged_as_in_a_first(only: int) -> None:
    """Which answer on its connection it is changes nothing of what a client was given."""
    alone = Run(plan_of(script())).play(only=only, end=Ending.FIN).ends(0.1)
    behind = Run(plan_of(overload(), script(), max_retries=1)).play().play(at=1.0, on=0, only=only, end=Ending.FIN)
    first, second = case_of(alone).given, case_of(behind.ends(1.1)).given
    assert first is not None
    assert second is not None
    assert (first.kind, first.progress, first.end) == (second.kind, second.progress, second.end)


def test_a_delivery_may_hold_the_end_of_one_answer_and_the_beginning_of_the_next() -> None:
    """A network that hands on late hands on both at once, and each answer has its own bytes."""
    run = retried(overload(), script(), gap=0.0)
    half = layout(overload()).wire // 2
    late = [seen for seen in run.seen if not (isinstance(seen, Delivered) and seen.direction is Direction.DOWNSTREAM)]
    run.seen = [*late, Delivered(5, 0, Direction.DOWNSTREAM, half), Delivered(9, 0, Direction.DOWNSTREAM, 10_000)]
    first, second = case_of(run.ends(0.1)).attempts
    assert first.arrivals == ((5, half), (9, first.written))
    assert second.arrivals == ((9, 10_000),)


def test_exchanges_stand_in_the_order_in_which_they_began() -> None:
    """A client may go back to a connection that it had kept."""
    run = Run(plan_of(overload(), overload(), script(), max_retries=2)).play().play(at=1.0).play(at=2.0, on=0)
    case = case_of(run.shows(*WORDS, at=2.0).ends(2.1))
    assert [(one.number, one.played) for one in case.attempts] == [(0, 0), (1, 1), (0, 2)]
    assert classes(run) == []


@pytest.mark.parametrize("sealed", [None, Tls()])
@pytest.mark.parametrize(
    ("end", "kind"), [(Ending.FIN, GivenKind.FIN_BEFORE_ANSWER), (Ending.ABORT, GivenKind.RESET_BEFORE_ANSWER)]
)
def test_an_end_before_the_second_answer_comes_before_any_byte(
    sealed: Tls | None, end: Ending, kind: GivenKind
) -> None:
    """The bytes of the first answer, and a handshake before it, are none of the second's."""
    run = Run(plan_of(overload(), script(), max_retries=1, tls=sealed)).play().play(at=1.0, on=0, only=0, end=end)
    case = case_of(run.raises(Outcome.RESET, at=1.1))
    assert case.given is not None
    assert case.given.kind is kind
    assert {other.kind for other in case.others} <= {kind, GivenKind.SILENT_BEFORE_HEAD}


def test_toxics_go_by_connections_and_scripts_by_requests() -> None:
    """The second request on a connection is answered by the second script, through the first connection's network."""
    toxic = ResetAfter(attributes=ResetAfterAttributes(bytes=10_000))
    plan = Plan("by-hand", (Attempt(overload(), (toxic,), Tls()), Attempt(script(), (), Tls())), ClientSettings())
    run = Run(plan).play().play(at=1.0, on=0)
    _, second = case_of(run.ends(1.1)).attempts
    assert (second.attempt.script, second.attempt.toxics) == (plan.attempts[1].script, (toxic,))


@pytest.mark.parametrize(
    ("first", "second", "verdict"), [(True, False, Verdict.PASS), (False, True, Verdict.INCONCLUSIVE)]
)
def test_a_fault_of_a_connection_that_was_not_needed_was_not_asked(first: bool, second: bool, verdict: Verdict) -> None:
    """A client that stays on its connection escapes what waits on the next one: that proves nothing."""
    toxics = (ResetAfter(attributes=ResetAfterAttributes(bytes=10_000)),)
    attempts = (Attempt(overload(), toxics * first), Attempt(script(), toxics * second))
    run = Run(Plan("by-hand", attempts, ClientSettings(max_retries=1, idle_timeout=10.0))).play().play(at=1.0, on=0)
    run.fired(0, 0) if first else None
    assert judge(run.plan, run.shows(*WORDS, at=1.0).ends(1.1).trace()).verdict is verdict


def test_the_observations_of_a_connection_are_dealt_out_whole() -> None:
    """What was sent on a connection is what was sent in its exchanges, each byte once."""
    case = case_of(retried(overload(), overload(), script()).ends(2.1))
    ranges = [sent.wire for one in case.attempts for sent in one.sent]
    assert ranges == sorted(ranges)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
    assert sum(isinstance(seen, ServerEnd) for seen in case.trace.observations) == len(case.attempts) == 3


# --- right clients ----------------------------------------------------------------------------------------------------

RIGHT: dict[str, Callable[[], Run]] = {
    "a retry on the same connection": lambda: retried(overload(), script()).shows(*WORDS, at=1.0).ends(1.1),
    "two retries on the same connection": (
        lambda: retried(overload(), overload(), script()).shows(*WORDS, at=2.0).ends(2.1)
    ),
    "a kept answer, and no other request": (
        lambda: Run(plan_of(script(*STEPS, End(Ending.KEEP)))).play().shows(*WORDS).ends(0.1)
    ),
    "a redirect that is followed on the same connection": (
        lambda: (
            retried(
                script(
                    Head(status=307, headers=(("Location", "/"),), framing=Framing.LENGTH), Body("x"), End(Ending.KEEP)
                ),
                script(),
                gap=0.01,
                max_retries=0,
            )
            .shows(*WORDS, at=0.01)
            .ends(0.1)
        )
    ),
    "a stale connection, and the request again at once": lambda: stale().shows(*WORDS, at=1.0).ends(1.1),
    "the same after a wait": lambda: stale(repeat=1.5).shows(*WORDS, at=1.5).ends(1.6),
    "a wait that the server asked for, on the same connection": (
        lambda: retried(overload(Ending.KEEP, ("Retry-After", "2")), script(), gap=2.0).shows(*WORDS, at=2.0).ends(2.1)
    ),
    "an answer cut behind the retry": (
        lambda: (
            Run(plan_of(overload(), script(), max_retries=1))
            .play()
            .play(at=1.0, on=0, only=layout(script()).events[1].wire[1], end=Ending.RST)
            .shows("One ", at=1.0)
            .raises(Outcome.RESET, at=1.1)
        )
    ),
    "silence behind the retry": (
        lambda: (
            Run(plan_of(overload(), script(*ONE, Pause(50)), max_retries=1))
            .play()
            .play(at=1.0, on=0, until=11.0)
            .shows("One ", at=1.0)
            .raises(Outcome.IDLE_TIMEOUT, at=11.0)
        )
    ),
    "a session that is ended on the connection that was kept": (
        lambda: (
            Run(plan_of(script(*STEPS[:-2], Done(), End(Ending.KEEP), dialect=DialectName.MCP)))
            .play()
            .shows(*WORDS)
            .play(at=0.01, on=0, aside=True, method="DELETE")
            .ends(0.02)
        )
    ),
    "the same on one that was stale": (
        lambda: (
            Run(plan_of(script(*STEPS[:-2], Done(), End(Ending.STALE), dialect=DialectName.MCP)))
            .play()
            .shows(*WORDS)
            .strikes_stale(0, 0.01)
            .ends(0.02)
        )
    ),
    "a sealed connection that is kept": (
        lambda: retried(overload(), script(), tls=Tls(), gap=1.0).shows(*WORDS, at=1.0).ends(1.1)
    ),
    "a goodbye on a sealed connection that would have been stale": (
        lambda: (
            Run(plan_of(overload(Ending.STALE), script(), max_retries=0))
            .play()
            .leave(0, 0.2)
            .raises(Outcome.OVERLOADED, at=0.2)
        )
    ),
}


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("build", RIGHT.values(), ids=RIGHT)
def test_a_right_client_on_a_kept_connection_is_passed(build: Callable[[], Run], clock: Clock) -> None:
    """Whether a client stays on its connection, and what it does when that turns out stale, is its own affair."""
    run = build()
    run.clock = clock
    judgement = judge(run.plan, run.trace())
    assert judgement.findings == ()
    assert judgement.verdict is Verdict.PASS, judgement


def test_a_stale_connection_may_be_reported() -> None:
    """RFC 9112 has a client send the request again; it does not demand it of a POST."""
    run = stale(repeat=None).raises(Outcome.RESET, at=1.1)
    assert judge(run.plan, run.trace()).verdict is Verdict.LENIENT


def test_a_redirect_may_lead_to_a_stale_connection() -> None:
    """The redirect is then the last thing that was answered, and it was no answer to the caller."""
    head = Head(status=307, headers=(("Location", "/"),), framing=Framing.LENGTH)
    plan = plan_of(script(head, Body("x"), End(Ending.STALE)), script(), max_retries=1)
    run = Run(plan).play().strikes_stale(0, 1.0)
    assert judge(plan, run.raises(Outcome.RESET, at=1.1).trace()).verdict is Verdict.LENIENT


def test_a_stale_connection_excuses_nothing_behind_a_whole_answer() -> None:
    """What was whole is whole, whatever a later request met."""
    run = Run(plan_of(script(*STEPS, End(Ending.STALE)))).play().shows(*WORDS).strikes_stale(0, 0.1)
    assert classes(run.raises(Outcome.RESET, at=0.2)) == [Failure.FALSE_FAILURE]


# --- wrong clients ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[], Run], Failure]] = {
    "success on an answer that was cut behind the retry": (
        lambda: retried(overload(), script(*ONE, End(Ending.KEEP))).shows("One ", at=1.0).ends(1.1),
        Failure.SILENT_TRUNCATION,
    ),
    "text of the second answer lost": (
        lambda: retried(overload(), script()).shows(*WORDS[:-1], at=1.0).ends(1.1),
        Failure.LOST_EVENT,
    ),
    "the text of a first answer shown again": (
        lambda: retried(script(*ONE, End(Ending.KEEP)), script()).shows("One ", at=0.0).shows(*WORDS, at=1.0).ends(1.1),
        Failure.DUPLICATED_TEXT,
    ),
    "three requests without a wait on one connection": (
        lambda: retried(overload(), overload(), script(), gap=0.01).shows(*WORDS, at=0.02).ends(0.1),
        Failure.RETRY_STORM,
    ),
    "more requests than were allowed, on one connection": (
        lambda: retried(overload(), overload(), script(), max_retries=1).shows(*WORDS, at=2.0).ends(2.1),
        Failure.RETRY_STORM,
    ),
    "a wait that was not waited for": (
        lambda: retried(overload(Ending.KEEP, ("Retry-After", "2")), script()).shows(*WORDS, at=1.0).ends(1.1),
        Failure.RETRY_AFTER_IGNORED,
    ),
    "a whole answer asked for again": (
        lambda: retried(script(*STEPS, End(Ending.KEEP)), script()).shows(*WORDS, at=1.0).ends(1.1),
        Failure.RETRIED_NON_RETRYABLE,
    ),
    "waiting for ever behind the retry": (
        lambda: (
            Run(plan_of(overload(), script(*ONE, Pause(100)), max_retries=1))
            .play()
            .play(at=1.0, on=0, until=60.0)
            .shows("One ", at=1.0)
            .cancelled(60.0)
        ),
        Failure.HANG,
    ),
    "waiting for ever on a stale connection": (lambda: stale(repeat=None).cancelled(60.0), Failure.HANG),
    "giving up too early behind the retry": (
        lambda: (
            Run(plan_of(overload(), script(*ONE, Pause(50)), max_retries=1))
            .play()
            .play(at=1.0, on=0, until=5.0)
            .shows("One ", at=1.0)
            .raises(Outcome.IDLE_TIMEOUT, at=5.0)
        ),
        Failure.EARLY_TIMEOUT,
    ),
    "success on a stale connection": (lambda: stale(repeat=None).ends(1.1), Failure.SILENT_TRUNCATION),
    "another class than a stale connection has": (
        lambda: stale(repeat=None).raises(Outcome.DECODE, at=1.1),
        Failure.WRONG_ERROR_CLASS,
    ),
}


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(("build", "failure"), WRONG.values(), ids=WRONG)
def test_a_wrong_client_on_a_kept_connection_is_found(build: Callable[[], Run], failure: Failure, clock: Clock) -> None:
    """A defect behind the first answer of a connection is the same defect, and the only one."""
    run = build()
    run.clock = clock
    assert classes(run) == [failure]


def test_findings_say_which_request_of_a_connection_they_mean() -> None:
    """Two answers on one connection are told apart in the evidence."""
    run = retried(overload(), script()).shows(*WORDS[:-1], at=1.0).ends(1.1)
    (finding,) = judge(run.plan, run.trace()).findings
    assert any(line.startswith("connection 0, server") for line in finding.evidence)
    assert any(line.startswith("connection 0 (request 2 on it), server") for line in finding.evidence)


# --- the real thing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "connections"), [(Ending.KEEP, 1), (Ending.STALE, 2)])
@pytest.mark.parametrize("dialect", [CHAT, EVENTSOURCE])
def test_a_run_on_a_kept_connection_is_judged(end: Ending, connections: int, dialect: DialectName) -> None:
    """The reference client retries where its library left the connection, and is passed."""
    answers = (overload(end), script(dialect=CHAT))
    if dialect is EVENTSOURCE:
        answers = tuple(Script(EVENTSOURCE, one.steps) for one in (overload(end), script(Head(204))))
    plan = plan_of(*answers, max_retries=2)
    trace = runner.run(plan, runner.engine("simulated"), reference)
    case = Case(plan, trace)
    assert len(case.connections) == connections
    assert len(case.attempts) == 2
    assert sum(isinstance(seen, Request) for seen in trace.observations) == 2
    assert any(isinstance(seen, LinkReset) for seen in trace.observations) is (end is Ending.STALE)
    assert judge(plan, trace).verdict is Verdict.PASS, judge(plan, trace)
