"""What happens around a stream is no attempt: redirects, requests on the side; and each dialect's own ends."""

from __future__ import annotations

import msgspec
import pytest

from testbed.dialects import DIALECTS
from testbed.oracle import GivenKind, Verdict, judge
from testbed.oracle.case import Case
from testbed.script import (
    Body,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Framing,
    Head,
    Open,
    Quirk,
    Script,
    Text,
    Thinking,
)
from testbed.script import Failure as InBand
from testbed.trace import Failure, Outcome, Request
from tests.oracle.runs import STEPS, WORDS, Run, plan_of, script

MOVED = script(Head(status=307, headers=(("Location", "/v1/chat/completions"),), framing=Framing.LENGTH), Body("moved"))


def test_a_redirect_that_is_followed_is_no_retry() -> None:
    """No retry is allowed here; the second request is what the answer asked for."""
    run = Run(plan_of(MOVED, script(), max_retries=0)).play().play(at=0.01)
    judgement = judge(run.plan, run.shows(*WORDS, at=0.02).ends(0.03).trace())
    assert (judgement.verdict, judgement.findings) == (Verdict.PASS, ())


def test_a_redirect_that_is_not_followed_is_an_answer() -> None:
    """Success would be wrong, and the status is right."""
    run = Run(plan_of(MOVED)).play()
    assert judge(run.plan, run.ends(0.02).trace()).verdict is Verdict.FAIL
    run = Run(plan_of(MOVED)).play()
    said = run.raises(Outcome.HTTP_STATUS, at=0.02, status=307).trace()
    assert judge(run.plan, said).verdict is Verdict.PASS


def test_a_request_on_the_side_is_no_attempt() -> None:
    """A list of models is asked for first; the answer that counts is the other one."""
    run = Run(plan_of(script(), max_retries=0)).play().play(at=0.01)
    run.seen = [
        msgspec.structs.replace(seen, aside=True) if isinstance(seen, Request) and seen.conn == 0 else seen
        for seen in run.seen
    ]
    judgement = judge(run.plan, run.shows(*WORDS, at=0.02).ends(0.03).trace())
    assert (judgement.verdict, judgement.findings) == (Verdict.PASS, ())


def test_an_answer_that_is_resumed_is_not_asked_for_again() -> None:
    """Text was shown before; a request that only fetches the rest repeats nothing, one that asks anew does."""
    first = script(Head(), Open(), Text("One "), End(Ending.RST), dialect=DialectName.MCP)
    rest = script(Head(), Text("fine"), Done(), dialect=DialectName.MCP)
    run = Run(plan_of(first, rest, max_retries=1)).play().shows("One ").play(at=1.0).shows("fine", at=1.1).ends(1.2)
    failures = {finding.failure for finding in judge(run.plan, run.trace()).findings}
    assert Failure.RETRY_AFTER_PARTIAL_OUTPUT in failures
    run.seen = [
        msgspec.structs.replace(seen, method="GET") if isinstance(seen, Request) and seen.conn == 1 else seen
        for seen in run.seen
    ]
    assert judge(run.plan, run.trace()).findings == ()


def test_the_attempt_of_a_request_is_the_one_that_it_names() -> None:
    """Behind requests on the side, connection and attempt have different numbers."""
    plan = plan_of(script(), script(Head(), Open(), Text("x")))
    run = Run(plan).play().play(at=0.01)
    run.seen = [
        msgspec.structs.replace(seen, attempt=0) if isinstance(seen, Request) and seen.conn == 1 else seen
        for seen in run.seen
    ]
    assert [one.attempt for one in Case(plan, run.ends(0.02).trace()).connections] == [plan.attempts[0]] * 2


@pytest.mark.parametrize("dialect", [name for name in DialectName if name in DIALECTS])
def test_where_a_stream_may_end(dialect: DialectName) -> None:
    """Each dialect by its own terminals: cut before the first of them the answer is incomplete, behind it complete."""
    known = DIALECTS[dialect]
    opening = () if type(Open()) in known.wordless else (Open(),)
    terminals = [step for step in (Finish(), Done()) if type(step) not in known.refused]
    said: list[GivenKind] = []
    for count in range(len(terminals) + 1):
        steps = (Head(), *opening, *map(Text, WORDS), *terminals[:count])
        run = Run(plan_of(script(*steps, dialect=dialect))).play().ends(0.05)
        given = Case(run.plan, run.trace()).given
        assert given is not None
        said.append(given.kind)
    if not known.terminals:
        assert said == [GivenKind.EVENTSOURCE_END]
        return
    assert said[0] is GivenKind.CLEAN_BEFORE_TERMINAL
    assert said[-1] in {GivenKind.WHOLE, GivenKind.CLEAN_AFTER_FINISH}


def test_only_the_first_of_several_answers_is_the_text() -> None:
    """What the others say is neither missing nor too much."""
    steps = (Head(), Open(), Text("One "), Text("Ein ", choice=1), Text("fine"), Finish(), Finish(choice=1), Done())
    plan = plan_of(script(*steps))
    judgement = judge(plan, Run(plan).play().shows("One ", "fine", at=0.01).ends(0.02).trace())
    assert (judgement.verdict, judgement.findings) == (Verdict.PASS, ())
    judgement = judge(plan, Run(plan).play().shows("One ", "Ein ", "fine", at=0.01).ends(0.02).trace())
    assert judgement.verdict is Verdict.FAIL


def test_reasoning_is_no_text() -> None:
    """A client that shows it as part of the answer has shown too much."""
    plan = plan_of(script(Head(), Open(), Thinking("hm "), *STEPS[2:]))
    assert judge(plan, Run(plan).play().shows(*WORDS, at=0.01).ends(0.02).trace()).verdict is Verdict.PASS
    assert judge(plan, Run(plan).play().shows("hm ", *WORDS, at=0.01).ends(0.02).trace()).verdict is Verdict.FAIL


def test_a_script_knows_its_text() -> None:
    """The oracle and the script agree on what the first answer says."""
    assert Script(DialectName.OPENAI_CHAT, (Head(), Text("a"), Text("b", choice=1), Thinking("c"))).text == "a"


@pytest.mark.parametrize(
    ("dialect", "quirks", "accepted"),
    [
        (DialectName.GEMINI, (Quirk.BARE_ERROR,), {Outcome.PROVIDER, Outcome.INCOMPLETE}),
        (DialectName.OPENAI_CHAT, (Quirk.ERROR_FIELD,), {Outcome.PROVIDER, Outcome.INCOMPLETE}),
        (DialectName.OPENAI_CHAT, (Quirk.ERROR_FIELD, Quirk.DONE_AFTER_ERROR), {Outcome.PROVIDER, Outcome.COMPLETE}),
        (DialectName.OPENAI_CHAT, (), {Outcome.PROVIDER}),
    ],
)
def test_an_error_that_no_parser_shows_may_be_missed(
    dialect: DialectName, quirks: tuple[Quirk, ...], accepted: set[Outcome]
) -> None:
    """A line that is no field is ignored by the standard; what then ends the stream is what may be reported."""
    plan = plan_of(Script(dialect, (Head(), Open(), Text("One "), InBand("UNAVAILABLE")), (), quirks))
    for outcome in (Outcome.PROVIDER, Outcome.INCOMPLETE, Outcome.COMPLETE, Outcome.CONNECT):
        run = Run(plan).play().shows("One ", at=0.01)
        run = run.ends(0.02) if outcome is Outcome.COMPLETE else run.raises(outcome, at=0.02, code="UNAVAILABLE")
        failed = judge(plan, run.trace()).verdict is Verdict.FAIL
        tolerated = outcome in accepted or (outcome is Outcome.INCOMPLETE and bool(quirks))
        assert failed is not tolerated, outcome
