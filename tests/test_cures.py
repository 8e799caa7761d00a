"""Each cure by real runs: one client that shows it, and one, with a single defect, that does not.

What only a clock of the machine's own can show (chance in a back-off, a date) is asked on virtual time, and the rest on
a real network once more.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import pytest

from testbed import explore, runner, selection
from testbed.adapters import load
from testbed.catalogue import parse, single, to_toml
from testbed.dialects import DIALECTS
from testbed.dialects.statuses import status_script
from testbed.oracle import Judgement, Proof, Verdict, judge
from testbed.oracle.cures import in_words
from testbed.plan import Attempt, ClientSettings, Expect, Plan, Quota, Window
from testbed.reports.cures import cure_lines
from testbed.script import (
    Arguments,
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
    Script,
    SplitEvery,
    Step,
    Text,
    ToolCall,
)
from testbed.trace import FALLBACK, Cure, Outcome, Request
from testbed.trace import Failure as F
from tests.toys import defects, defects_answers, defects_retrying
from tests.toys.correct import Correct
from tests.toys.falling_back import (
    Constant,
    FallsBack,
    FallsBackAnyway,
    Keyed,
    KeyedAnew,
    LeavesBehind,
    NoChance,
    Stays,
    told_of_both,
)
from tests.toys.rules import Rules

CHAT, EVENTS = DialectName.OPENAI_CHAT, DialectName.EVENTSOURCE
WHOLE: tuple[Step, ...] = (Head(), Open(), Text("naïve "), Text("日本語 "), Text("end"), Finish(), Done())
BROKEN = (Head(), Open(), Text("naïve "), End(Ending.RST))
CALL = (Head(), Open(), ToolCall("look"), Arguments('{"at": '), Arguments("1}"), Finish(), Done())


def said(*steps: Step, faults: tuple[SplitEvery, ...] = (), dialect: DialectName = CHAT) -> Script:
    """A script of chat."""
    return Script(dialect, steps or WHOLE, faults)


def down(status: int = 503, *headers: tuple[str, str], body: str = "{}") -> Script:
    """An error answer."""
    return said(Head(status, "application/json", headers, Framing.LENGTH), Body(body))


def plan(
    *scripts: Script, retries: int = 2, fallback: Script | None = None, quota: Quota | None = None, **client: float
) -> Plan:
    """A plan of these scripts, perhaps with a second address."""
    return Plan(
        "cures",
        tuple(map(Attempt, scripts)),
        ClientSettings(max_retries=retries, idle_timeout=client.pop("idle_timeout", 1.0), **client),
        fallback=() if fallback is None else (Attempt(fallback),),
        quota=quota,
    )


def in_seconds(seconds: int) -> str:
    """A date that counts from the answer."""
    return f"Thu, 01 Jan 1970 00:00:{seconds:02} GMT"


def resumable() -> Plan:
    """A clean end behind two events, then the third for whoever says that it has the second."""
    events = tuple(Message(word, id=str(number)) for number, word in enumerate(("a", "b", "c"), 1))
    rest = Script(EVENTS, (Head(), *events), resumes=True)
    return plan(Script(EVENTS, (Head(), *events[:2])), rest, Script(EVENTS, (Head(status=204),)), retries=3)


class Asked(NamedTuple):
    """A cure, the plan that asks for it, who shows it and who does not, and what is said of the latter."""

    cure: Cure
    plan: Plan
    shows: type[Rules]
    lacks: type[Rules]
    found: F | Verdict


ONE_A_SECOND = Quota(requests=1, seconds=2.0, window=Window.FIXED)
DATED = (("Date", in_seconds(0)), ("Retry-After", in_seconds(20)))
SPENT = status_script(DIALECTS[CHAT], "quota")
CUT_CALL = said(*CALL[:4], End(Ending.CLEAN))
OPEN_END = said(*BROKEN[:3], End(Ending.OPEN))
FINISHED = said(*BROKEN[:3], Finish("length"), Done())

ASKED = {
    "bounded": Asked(Cure.BOUNDED_RETRIES, plan(down()), Correct, defects_retrying.OneMore, F.RETRY_STORM),
    "growing": Asked(
        Cure.GROWING_BACKOFF, plan(down(), retries=4), Correct, defects_retrying.ShrinkingPause, F.RETRY_STORM
    ),
    "at all": Asked(Cure.GROWING_BACKOFF, plan(down()), Correct, defects.RetryStorm, F.RETRY_STORM),
    "constant": Asked(Cure.GROWING_BACKOFF, plan(down(), retries=3), Correct, Constant, Verdict.LENIENT),
    "jitter": Asked(Cure.JITTER, plan(down(), retries=4), Correct, NoChance, Verdict.LENIENT),
    "seconds": Asked(
        Cure.RETRY_AFTER,
        plan(down(429, ("Retry-After", "2")), said()),
        Correct,
        defects.IgnoresRetryAfter,
        F.RETRY_AFTER_IGNORED,
    ),
    "date": Asked(
        Cure.RETRY_AFTER, plan(down(429, *DATED), said()), Correct, defects_retrying.IgnoresDates, F.RETRY_AFTER_IGNORED
    ),
    "milliseconds": Asked(
        Cure.RETRY_AFTER,
        plan(down(429, ("retry-after-ms", "1500")), said()),
        Correct,
        defects_retrying.IgnoresMilliseconds,
        F.RETRY_AFTER_IGNORED,
    ),
    "quota": Asked(
        Cure.RETRY_AFTER,
        plan(down(), said(), quota=ONE_A_SECOND),
        Correct,
        defects.IgnoresRetryAfter,
        F.RETRY_AFTER_IGNORED,
    ),
    "key": Asked(Cure.STABLE_KEY, plan(down(), said()), Keyed, KeyedAnew, Verdict.LENIENT),
    "refused": Asked(
        Cure.NOTHING_FINAL_RETRIED, plan(down(400)), Correct, defects.RetriesWhatIsFinal, F.RETRIED_NON_RETRYABLE
    ),
    "spent": Asked(
        Cure.NOTHING_FINAL_RETRIED, plan(SPENT), Correct, defects_retrying.RetriesQuota, F.RETRIED_NON_RETRYABLE
    ),
    "twice": Asked(
        Cure.NO_TEXT_TWICE, plan(said(*BROKEN), said()), Correct, defects.DuplicateAfterRetry, F.DUPLICATED_TEXT
    ),
    "resume": Asked(Cure.RESUME, resumable(), Correct, defects_retrying.EndsForGood, F.NO_RESUME),
    "idle": Asked(Cure.TIMEOUT_PER_PHASE, plan(OPEN_END, retries=0), Correct, defects.LateTimeout, F.LATE_TIMEOUT),
    "fallback": Asked(Cure.FALLBACK, plan(down(), fallback=said(), retries=1), FallsBack, Stays, Verdict.LENIENT),
    "no key here": Asked(Cure.FALLBACK, plan(down(401), fallback=said()), FallsBack, Stays, Verdict.LENIENT),
    "behind text": Asked(
        Cure.NO_TEXT_TWICE,
        plan(said(*BROKEN), fallback=said(), retries=0),
        FallsBack,
        FallsBackAnyway,
        F.DUPLICATED_TEXT,
    ),
    "cancel": Asked(Cure.CANCEL, plan(OPEN_END, cancel_at=0.5), Correct, defects.LeaksOnCancel, F.CANCEL_IGNORED),
    "closed": Asked(
        Cure.CONNECTION_CLOSED,
        plan(said(Head(), Open(), End(Ending.OPEN)), said(Head(), Open(), End(Ending.OPEN)), retries=1),
        Correct,
        LeavesBehind,
        F.RESOURCE_LEAK,
    ),
    "whole call": Asked(Cure.WHOLE_TOOL_CALLS, plan(said(*CALL)), Correct, Rules, F.PARTIAL_EVENT_DELIVERED),
    "cut call": Asked(
        Cure.WHOLE_TOOL_CALLS, plan(CUT_CALL, retries=0), Correct, defects_answers.CallsAtCut, F.PARTIAL_EVENT_DELIVERED
    ),
    "finish": Asked(Cure.FINISH_VISIBLE, plan(FINISHED), Correct, Rules, F.CORRUPTED_TEXT),
    "chunks": Asked(
        Cure.PARTIAL_CHUNKS, plan(said(faults=(SplitEvery(1),))), Correct, defects.CorruptedText, F.CORRUPTED_TEXT
    ),
    "no sentinel": Asked(Cure.SENTINEL, plan(said(*WHOLE[:-1])), Correct, defects_answers.NeedsDone, F.FALSE_FAILURE),
    "neither": Asked(
        Cure.SENTINEL, plan(said(*WHOLE[:-2]), retries=0), Correct, defects.SilentTruncation, F.SILENT_TRUNCATION
    ),
}


# Two defects stand in how chat is read; the rest in the rules.
class _FirstPiece(Rules):
    readings: ClassVar = {**Rules.readings, CHAT: defects_answers.FirstPieceOfCall}


class _Reasons(Rules):
    readings: ClassVar = {**Rules.readings, CHAT: defects_answers.Reasons}


ASKED["whole call"] = ASKED["whole call"]._replace(lacks=_FirstPiece)
ASKED["finish"] = ASKED["finish"]._replace(lacks=_Reasons)


def asked(one: Plan, kind: type[Rules], engine: str = "simulated") -> Judgement:
    """What is said of this toy."""
    return explore.check(one, runner.engine(engine), told_of_both(kind))


def of(judgement: Judgement, cure: Cure) -> set[Proof]:
    """What is said of this cure."""
    return {one.proof for one in judgement.cures if one.cure is cure}


@pytest.mark.parametrize("name", ASKED)
def test_one_client_shows_the_cure_and_one_with_a_defect_does_not(name: str) -> None:
    """Nothing is found in the first; the second is found out by the class of the cure, or remarked on."""
    one = ASKED[name]
    good, bad = asked(one.plan, one.shows), asked(one.plan, one.lacks)
    assert (of(good, one.cure), good.findings) == ({Proof.PROVEN}, ()), good
    assert of(bad, one.cure) == {Proof.DISPROVEN}, bad
    found = [finding.failure for finding in bad.findings[:1]]
    assert (found or bad.verdict) == (one.found if isinstance(one.found, Verdict) else [one.found]), bad


REAL = [name for name in ASKED if name not in {"jitter", "constant", "date", "growing"}]


@pytest.mark.once
def test_on_a_real_network_the_same_is_shown() -> None:
    """The facts are taken from the wire, so a real one will do; the date and long pauses would only take their time."""
    engine, plans = runner.engine("embedded"), [ASKED[name] for name in REAL]
    for kind in {one.shows for one in plans}:
        mine = [one for one in plans if one.shows is kind]
        traces = runner.run_many([one.plan for one in mine], engine, told_of_both(kind))
        for one, trace in zip(mine, traces, strict=True):
            judgement = judge(one.plan, trace)
            if judgement.verdict is Verdict.ERROR:  # the machine was late
                judgement = asked(one.plan, kind, "embedded")
            assert (of(judgement, one.cure), judgement.findings) == ({Proof.PROVEN}, ()), judgement


# --- the second address -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["simulated", pytest.param("embedded", marks=pytest.mark.once)])
def test_the_second_address_is_another_server_in_the_same_trace(engine: str) -> None:
    """Its connections are counted from a number of their own, and its requests say that they came there."""
    falls = plan(down(), said(), fallback=said(), retries=0)
    trace = runner.run(falls, runner.engine(engine), load("reference"))
    requests = [seen for seen in trace.observations if isinstance(seen, Request)]
    assert [(seen.conn, seen.fallback) for seen in requests] == [(0, False), (FALLBACK, True)]
    assert judge(falls, trace).verdict is Verdict.PASS


def test_each_address_is_judged_by_itself() -> None:
    """Neither the wait of the first server nor the number of requests there binds a client at the second."""
    limited = plan(down(429, ("Retry-After", "30")), fallback=said(), retries=0)
    both = plan(down(), fallback=down(500), retries=1)
    for one in (limited, both):
        judgement = asked(one, FallsBack)
        assert (judgement.verdict, judgement.findings) == (Verdict.PASS, ())


def test_a_plan_that_expects_the_second_answer_fails_who_never_asks_for_it() -> None:
    """Without it, to report the trouble is tolerated."""
    wanted = Expect(outcome=(Outcome.COMPLETE,))
    falls = plan(down(), fallback=said(), retries=0)
    expects = Plan("cures", falls.attempts, falls.client, wanted, fallback=falls.fallback)
    assert [finding.failure for finding in asked(expects, Stays).findings] == [F.FALSE_FAILURE]
    assert asked(expects, FallsBack).verdict is Verdict.PASS


def test_a_client_that_knows_one_address_is_not_asked_of_two() -> None:
    """It is told in a sentence what it lacks."""
    falls = plan(down(), fallback=said())
    sentence = runner.unsupported(falls, runner.engine("simulated"), load("openai"))
    assert sentence == "openai takes no fallback, on which the right outcome depends"


FILE = """
format = 1
[scenario]
title = "Two servers"
[[attempt]]
script = { dialect = "openai-chat", status = 503 }
[[fallback]]
script = { tokens = { min = 1, max = 5 } }
toxics = [{ type = "latency", attributes = { latency = 5 } }]
[client]
idle_timeout = 5.0
[expect]
outcome = ["complete"]
cures = ["fallback", "jitter"]
"""


def test_a_scenario_file_may_have_a_second_address() -> None:
    """It is drawn like an attempt, takes part in what is explored, and is written back as it is."""
    scenario = parse(FILE, name="two", where="two.toml")
    result = explore.explore(scenario, runner.engine("simulated"), load("reference"), explore.Settings(examples=10))
    assert (result.verdict, result.examples) == (Verdict.PASS, 10)
    assert cure_lines([result]) == ("reference: cures shown: fallback",)
    constant = FILE.replace("{ min = 1, max = 5 }", "3")
    one = single(parse(constant, name="two", where="two.toml"))
    assert (len(one.fallback), one.expect.cures) == (1, (Cure.FALLBACK, Cure.JITTER))
    assert single(parse(to_toml(one), name="two", where="two.toml")) == one


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_replay_tells_of_cures_too() -> None:
    """Whoever runs one plan sees what it showed."""
    (named,) = selection.clients(["reference"], [])
    result = selection.replay(plan(down(429, ("Retry-After", "2")), said()), "simulated", named)
    assert in_words(result.cures) == "cures shown: Retry-After (seconds)"
