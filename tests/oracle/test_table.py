"""The table: complete, without contradiction, reached row by row, and obeyed by the judge."""

from __future__ import annotations

import itertools

import pytest

from testbed.oracle import TABLE, GivenKind, Judgement, Verdict
from testbed.oracle.case import Case
from testbed.oracle.checks import validity
from testbed.oracle.judging import CHECKS, judge_case
from testbed.oracle.statuses import status_kind
from testbed.oracle.table import ROWS as TABLE_ROWS
from testbed.oracle.transports import TRANSPORT, End, Progress
from testbed.script import Message, Replace, Text
from testbed.trace import ERROR_CLASSES, Clock, Outcome
from tests.oracle.kinds import ALSO, ROWS, RUNS, TIMEOUT, outcomes
from tests.oracle.runs import EVENTSOURCE, Run

KINDS = list(GivenKind)
OUTCOMES = [Outcome.COMPLETE, *sorted(ERROR_CLASSES)]


def answered(kind: GivenKind, outcome: Outcome, clock: Clock = Clock.VIRTUAL) -> Judgement:
    """The judgement of a client that was given `kind`, shows what it was given, and reports `outcome`."""
    run = RUNS[kind]()
    run.clock = clock
    show_everything(run, outcome)
    given = Case(run.plan, run.trace()).given
    silent = given is not None and given.end is End.OPEN
    at = TIMEOUT if silent else max((seen.t for seen in run.seen), default=0) / 1e6 + 0.01
    run.ends(at) if outcome is Outcome.COMPLETE else run.raises(outcome, at=at)
    # No script can say the conflict yet, so what depends on saying it again is left out.
    checks = [check for check in CHECKS if kind is not GivenKind.FRAMING_CONFLICT or check is not validity.check]
    return judge_case(Case(run.plan, run.trace()), checks)


def show_everything(run: Run, outcome: Outcome) -> None:
    """Show every text or event that arrived; a client that complains of overwritten bytes stops there."""
    is_broken = any(isinstance(fault, Replace) for fault in run.plan.attempts[0].script.faults)
    for t, step in (pair for wire in run.wires for pair in wire.steps):
        said = step.text if isinstance(step, Text) else step.data if isinstance(step, Message) else None
        if said == "fine " and is_broken:
            if outcome in (Outcome.DECODE, Outcome.PROTOCOL):
                return
            said = "f\ufffdne "
        if said is not None and run.plan.dialect is EVENTSOURCE:
            run.shows_event(said, at=t)
        elif said is not None:
            run.shows(said, at=t)


def test_every_kind_has_exactly_one_row() -> None:
    """No kind is without a row and none has two."""
    assert sorted(row.kind for row in TABLE_ROWS) == sorted(GivenKind)
    assert len(TABLE) == len(TABLE_ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_as_decided(kind: GivenKind) -> None:
    """A row that is changed without being meant to is noticed: the decisions stand here a second time."""
    preferred, lenient = ROWS[kind]
    assert TABLE[kind].preferred == outcomes(preferred)
    assert TABLE[kind].lenient == outcomes(lenient)


@pytest.mark.parametrize("row", TABLE_ROWS, ids=lambda row: row.kind.value)
def test_rows_have_a_sentence_and_sources(row) -> None:  # type: ignore[no-untyped-def]
    """A row prefers something, contradicts itself nowhere, and says by whose authority."""
    assert row.preferred
    assert not row.preferred & row.lenient
    assert row.requirement.endswith(".")
    assert row.sources
    assert len(set(row.sources)) == len(row.sources)


def test_success_is_never_accepted_without_a_terminal() -> None:
    """The one law that stands above all rows: only a finished answer, or a stream without a terminal, is a success."""
    finished = {
        "silent-after-finish",
        "reset-after-finish",
        "ending-maybe-lost",
        "fin-after-finish",
        "clean-after-finish",
        "clean-before-message-stop",
        "clean-inside-done",
        "whole",
        "provider-error-after-finish",
    }
    accepting = {row.kind.value for row in TABLE_ROWS if Outcome.COMPLETE in row.preferred | row.lenient}
    assert {kind for kind in accepting if "eventsource" not in kind} == finished


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_reached(kind: GivenKind) -> None:
    """Each kind is what some run gives a client."""
    run = RUNS[kind]()
    at = TIMEOUT if any(wire.left for wire in run.wires) else max(seen.t for seen in run.seen) / 1e6
    run.ends(at)
    given = Case(run.plan, run.trace()).given
    assert (given.kind if given else GivenKind.REFUSED) is kind


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("kind", KINDS)
def test_the_judge_obeys_the_row(kind: GivenKind, clock: Clock) -> None:
    """For every outcome of every row: preferred passes, tolerated is lenient, anything else is a finding."""
    preferred, lenient = map(outcomes, ROWS[kind])
    lenient |= outcomes(ALSO.get(kind, ""))
    for outcome in OUTCOMES:
        judgement = answered(kind, outcome, clock)
        if kind is GivenKind.SILENT_AFTER_FINISH and outcome is Outcome.FIRST_BYTE_TIMEOUT:
            continue
        expected = Verdict.PASS if outcome in preferred else Verdict.LENIENT if outcome in lenient else Verdict.FAIL
        said = (outcome.value, judgement.verdict, judgement.reason)
        if clock is Clock.REAL and judgement.verdict is Verdict.LENIENT and expected is Verdict.FAIL:
            # Half a second of uncertainty tolerates what can have been seen within it: a reset that tore things off.
            assert kind.value.startswith(("reset", "ending", "whole")), said
            continue
        assert judgement.verdict is expected, said


def test_every_end_of_every_progress_has_a_kind() -> None:
    """No combination of how far an answer came and how its connection ended falls through."""
    assert set(TRANSPORT) == set(itertools.product(Progress, End))


@pytest.mark.parametrize("status", [*range(300, 600)])
def test_every_error_status_has_a_kind(status: int) -> None:
    """A status that begins no stream is always judged as a status."""
    assert status_kind(status) is not None


@pytest.mark.parametrize("status", [200, 201, 202, 206])
def test_success_statuses_begin_a_stream(status: int) -> None:
    """A success is judged by what it says."""
    assert status_kind(status) is None
