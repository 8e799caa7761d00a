"""Shrinking: how small it gets, that it stays the same failure, and what it may cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from msgspec import structs

from testbed import explore, loader, runner
from testbed._confirm import confirm
from testbed._found import key_of
from testbed._shrink_size import size
from testbed.adapters.declare import client
from testbed.errors import UsageError
from testbed.faults.toxics import Latency, LatencyAttributes, ResetAfter, ResetAfterAttributes
from testbed.oracle import Finding, Judgement, Verdict
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.ports import Target
from testbed.program import layout
from testbed.script import CutBody, DialectName, Done, Finish, Head, Open, Pause, Quirk, Script, SplitEvery, Text
from testbed.shrink import Budget, probe_for, shrink, shrink_for
from testbed.strategies import draw_many
from testbed.trace import Clock, Failure, Option
from tests.toys import TOYS

HANG = Judgement(Verdict.FAIL, (Finding(Failure.HANG, "a finding", "a requirement", ("a source",)),))

WORDS = tuple(Text(word) for word in ("Größe ", "日本 ", "two ", "three ", "four "))
BIG = Plan(
    scenario="of-a-test",
    attempts=(
        Attempt(
            Script(
                DialectName.OPENAI_CHAT,
                (Head(headers=(("x-a", "1"),)), Open(), *WORDS, Pause(0.5), Finish(), Done()),
                (SplitEvery(3),),
                (Quirk.CRLF,),
            ),
            (Latency(attributes=LatencyAttributes(latency=200, jitter=30)),),
        ),
        Attempt(Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("again"), Finish(), Done()))),
    ),
    client=ClientSettings(idle_timeout=30.0, max_retries=2),
    seed=4711,
)


def smallest(plan: Plan, shows: Callable[[Plan], bool], budget: Budget | None = None) -> Plan:
    """Shrink with a probe that looks at the plan alone."""
    return shrink(plan, HANG, lambda wish: HANG if shows(wish) else None, budget or Budget(runs=5000)).plan


def test_what_does_not_matter_is_gone() -> None:
    """If any plan will do, the smallest has one attempt, no fault, no word, no setting and the default seed."""
    one = smallest(BIG, lambda plan: True)
    assert one == Plan(
        scenario="of-a-test",
        attempts=(Attempt(Script(DialectName.OPENAI_CHAT, (Head(), Open(), Finish(), Done()))),),
    )


def test_what_matters_stays_and_is_as_small_as_can_be() -> None:
    """Two tokens and the split remain if those are asked for, each in its plainest form."""

    def shows(plan: Plan) -> bool:
        script = plan.attempts[0].script
        return bool(script.faults) and sum(isinstance(step, Text) for step in script.steps) >= 2

    one = smallest(BIG, shows)
    (attempt,) = one.attempts
    assert [step.text for step in attempt.script.steps if isinstance(step, Text)] == ["a", "a"]
    assert (len(attempt.script.faults), attempt.toxics, attempt.script.quirks) == (1, (), ())
    assert size(one).pieces == 1


def test_one_letter_that_matters_is_left_alone() -> None:
    """Words from a seed have no smaller draw; a plan has: the letter itself."""
    one = smallest(BIG, lambda plan: any("本" in attempt.script.text for attempt in plan.attempts))
    assert [step for step in one.attempts[0].script.steps if isinstance(step, Text)] == [Text("本")]


def test_a_cut_goes_to_the_earliest_byte_that_shows_it() -> None:
    """The cut stays inside the last token, however much before it goes, and ends at that token's first byte or two."""
    script = BIG.attempts[0].script
    plain = structs.replace(script, faults=(), quirks=())
    last = layout(plain).events[len(WORDS)].body
    cut = structs.replace(plain, faults=(CutBody(last[0] + 30),))
    begun = structs.replace(BIG, attempts=(Attempt(cut),))

    def inside_a_text(plan: Plan) -> bool:
        said = plan.attempts[0].script
        for fault in said.faults:
            for span in layout(structs.replace(said, faults=())).events:
                inside = isinstance(fault, CutBody) and span.body[0] < fault.at < span.body[1]
                if inside and isinstance(said.steps[span.step], Text):
                    return True
        return False

    one = smallest(begun, inside_a_text)
    (fault,) = one.attempts[0].script.faults
    assert isinstance(fault, CutBody)
    event = layout(structs.replace(one.attempts[0].script, faults=())).events[1].body
    assert fault.at == event[0] + 1
    assert len([step for step in one.attempts[0].script.steps if isinstance(step, Text)]) == 1


def test_every_step_is_strictly_smaller_and_nothing_is_asked_twice() -> None:
    """The plans that were taken go down in size, and no plan is run a second time."""
    asked: list[Plan] = []
    taken = [size(BIG)]

    def probe(plan: Plan) -> Judgement | None:
        asked.append(plan)
        if len(plan.attempts) != 1 or not plan.attempts[0].toxics:
            return None
        taken.append(size(plan))
        return HANG

    found = shrink(BIG, HANG, probe, Budget(runs=2000))
    assert found.done
    assert all(later < earlier for earlier, later in itertools.pairwise(taken))
    assert len(asked) == len(set(asked)) == found.runs


@pytest.mark.parametrize("runs", [1, 7])
def test_the_budget_of_runs_is_kept(runs: int) -> None:
    """No more runs than allowed; what was reached by then counts, and it is said that there was more to try."""
    asked: list[Plan] = []

    def probe(plan: Plan) -> Judgement | None:
        asked.append(plan)
        return HANG if plan.seed == 4711 else None

    found = shrink(BIG, HANG, probe, Budget(runs=runs))
    assert (len(asked), found.runs, found.done) == (runs, runs, False)


def test_no_seconds_left_means_no_run() -> None:
    """A budget of time that is used up is kept as well."""
    found = shrink(BIG, HANG, lambda _: HANG, Budget(seconds=-1.0))
    assert (found.plan, found.runs, found.done) == (BIG, 0, False)


def test_a_plan_in_which_nothing_is_wrong_is_refused() -> None:
    """There is nothing to keep while shrinking."""
    with pytest.raises(UsageError, match="nothing to shrink"):
        shrink_for(BIG, Judgement(Verdict.PASS), runner.engine("simulated"), TOYS["per-read"].adapter)


@pytest.mark.parametrize("toy", ["silent-truncation", "raw-exception", "drops-last-event"])
def test_a_real_finding_stays_the_same_finding(toy: str) -> None:
    """What Hypothesis drew, not shrunk by it, ends small and shows the same class for the same cause."""
    name = {"raw-exception": "mid-stream-reset"}.get(toy, "abrupt-end")
    over, who = runner.engine("simulated"), TOYS[toy].adapter
    result = explore.explore(loader.load(name), over, who, explore.Settings(shrink=False, seed=5))
    (found,) = result.findings
    before = explore.check(found.plan, over, who)
    after = shrink_for(found.plan, before, over, who)
    assert key_of(after.judgement) == key_of(before) == key_of(explore.check(after.plan, over, who))
    assert len(after.plan.attempts) == 1
    assert len(after.plan.attempts[0].script.text) <= 1
    assert after.plan.client == ClientSettings()


def test_the_same_plan_shrinks_to_the_same_plan() -> None:
    """Nothing in the search is left to chance."""
    over, who = runner.engine("simulated"), TOYS["silent-truncation"].adapter
    scenario = loader.load("abrupt-end")
    plan = draw_many(scenario, (DialectName.OPENAI_CHAT,), Clock.VIRTUAL, 4, 3)[-1]
    judgement = explore.check(plan, over, who)
    one, other = (shrink_for(plan, judgement, over, who) for _ in range(2))
    assert one == other


def test_a_finding_of_a_real_clock_is_shrunk_in_virtual_time_and_seen_again() -> None:
    """The search costs runs on `simulated`; what is returned was judged on the engine where it was found."""
    over, who = runner.engine("embedded"), TOYS["silent-truncation"].adapter
    script = Script(DialectName.OPENAI_CHAT, (Head(), Open(), *WORDS, Finish(), Done()), (CutBody(700),))
    plan = Plan(scenario="of-a-test", attempts=(Attempt(script),))
    found = shrink_for(plan, explore.check(plan, over, who), over, who)
    assert found.plan.attempts[0].script.faults == (CutBody(0),)
    assert found.judgement.findings[0].failure is Failure.SILENT_TRUNCATION
    assert found.done


def _blocking() -> object:
    @client(name="blocking", dialects=[DialectName.OPENAI_CHAT], options=list(Option), base=LookupError, errors={})
    def blocking(target: Target):  # type: ignore[no-untyped-def]
        yield ""
        raise ZeroDivisionError

    return blocking


def test_a_client_that_cannot_run_in_virtual_time_is_shrunk_where_it_runs() -> None:
    """A blocking client's plan gets smaller, too, within the little that a real clock allows."""
    over, who = runner.engine("embedded"), _blocking()
    script = Script(DialectName.OPENAI_CHAT, (Head(), Open(), *WORDS, Finish(), Done()), (SplitEvery(9),))
    plan = Plan(scenario="of-a-test", attempts=(Attempt(script),))
    found = shrink_for(plan, explore.check(plan, over, who), over, who)  # type: ignore[arg-type]
    assert found.plan.attempts[0].script.faults == ()
    assert found.plan.attempts[0].script.text == ""


def test_a_probe_refuses_what_cannot_be_run_and_what_is_another_finding() -> None:
    """Neither is the finding that is looked for."""
    over, who = runner.engine("simulated"), TOYS["silent-truncation"].adapter
    cut = Plan(
        scenario="of-a-test",
        attempts=(Attempt(Script(DialectName.OPENAI_CHAT, (Head(), Open(), Finish(), Done()), (CutBody(0),))),),
    )
    key = key_of(explore.check(cut, over, who))
    assert key is not None
    probe = probe_for(key, over, who)
    assert probe(cut) is not None
    spoken = structs.replace(cut.attempts[0].script, dialect=DialectName.EVENTSOURCE, faults=(), steps=(Head(),))
    assert probe(structs.replace(cut, attempts=(Attempt(spoken),))) is None
    reset = (ResetAfter(attributes=ResetAfterAttributes(bytes=0)),)
    assert probe(structs.replace(cut, attempts=(structs.replace(cut.attempts[0], toxics=reset),))) is None


def test_what_takes_too_long_on_a_real_clock_is_not_confirmed_and_that_is_said() -> None:
    """A plan of an hour is not asked again; one of a moment is."""
    who = TOYS["silent-truncation"].adapter
    steps = (Head(), Open(), Text("a"), Pause(3600.0), Finish(), Done())
    cut = (CutBody(0),)
    long = Plan(scenario="x", attempts=(Attempt(Script(DialectName.OPENAI_CHAT, steps)),))
    short = Plan(scenario="x", attempts=(Attempt(Script(DialectName.OPENAI_CHAT, (Head(), Open(), Done()), cut)),))
    slow, quick, other = confirm([(long, Failure.HANG), (short, Failure.SILENT_TRUNCATION), (short, Failure.HANG)], who)
    assert slow == ((), "not confirmed on embedded: it takes a right client 3600 s")
    assert quick == (("embedded",), "")
    assert other == ((), "not confirmed on embedded: the same plan gave FAIL (silent-truncation) there")
