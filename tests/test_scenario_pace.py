"""The times of generated scripts: shapes of pace, recorded gaps, heartbeats on a schedule."""

from __future__ import annotations

import statistics
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed._scenario_build import build
from testbed._scenario_pace import Beat, Heartbeat, Pace, played, shares, with_heartbeats
from testbed._scenario_tape import Tape
from testbed.catalogue import parse, single, to_toml
from testbed.errors import UsageError
from testbed.plan import Plan
from testbed.program import Wait, Write, compile_script
from testbed.script import (
    Comment,
    DialectName,
    Head,
    Open,
    Pause,
    Ping,
    Quirk,
    Script,
    Step,
    Text,
    Thinking,
    ToolCall,
)

TOKENS = (Head(), Open(), Text("a"), Pause(1.0), Text("b"), Pause(0.5), Text("c"))


def plan_of(script: str, *, tape: int = 0) -> Plan:
    text = f'format = 1\n[scenario]\ntitle = "t"\n[script]\ndialect = "openai-chat"\n{script}\n'
    scenario = parse(text, name="s", where="s.toml")
    return build(scenario, DialectName.OPENAI_CHAT, Tape(lambda top: min(tape, top)))


def gaps(plan: Plan) -> list[float]:
    return [step.seconds for step in plan.attempts[0].script.steps if isinstance(step, Pause)]


@given(st.sampled_from(Pace), st.integers(0, 2**16), st.integers(0, 300))
def test_no_shape_has_a_gap_longer_than_the_widest(pace: Pace, seed: int, count: int) -> None:
    """Shares lie between 0 and 1, so that every silence keeps as clear of a time-out as the widest does."""
    spread = shares(pace, seed, count)
    assert len(spread) == count
    assert all(0 <= share <= 1 for share in spread)
    assert spread == shares(pace, seed, count)


@pytest.mark.parametrize("pace", Pace)
def test_the_simplest_pace_is_even(pace: Pace) -> None:
    """Seed 0 is what shrinking ends at."""
    assert shares(pace, 0, 5) == (1.0,) * 5


def test_shapes_have_the_shape_that_their_names_say() -> None:
    """Lognormal: the median far below the mean. Bursty: nothing between none and all, and runs of none."""
    lognormal = shares(Pace.LOGNORMAL, 7, 2000)
    assert statistics.median(lognormal) < 0.8 * statistics.fmean(lognormal)
    assert max(lognormal) > 5 * statistics.median(lognormal)
    bursty = shares(Pace.BURSTY, 7, 2000)
    assert set(bursty) == {0.0, 1.0}
    assert max(len(list(run)) for share, run in groupby(bursty) if share == 0) > 2
    assert 0.4 < statistics.fmean(shares(Pace.UNIFORM, 7, 2000)) < 0.6


def test_a_shape_is_played_between_the_bounds_of_the_gap() -> None:
    """The drawn gap is the widest, the range's minimum the narrowest."""
    plan = plan_of('tokens = 40\ninter_token = { min = 0.1, max = 0.9 }\npace = "bursty"', tape=800)
    assert set(gaps(plan)) == {0.1, max(gaps(plan))}
    assert max(gaps(plan)) > 0.5


def test_a_recorded_pace_is_played_as_it_was() -> None:
    """Gap by gap, from its start again where the recording is shorter than the answer."""
    assert gaps(plan_of("tokens = 5\nrecorded = [0.25, 1.5, 0.004]")) == [0.25, 1.5, 0.004, 0.25]
    assert played((1.0,), 0) == []


def test_heartbeats_keep_their_schedule() -> None:
    """Every 0.4 s from the head, through silences of any length, and no silence gets longer."""
    beating = tuple(with_heartbeats(TOKENS, Heartbeat(0.4, Beat.COMMENT)))
    at, times = 0.0, []
    for step in beating:
        at += step.seconds if isinstance(step, Pause) else 0.0
        if isinstance(step, Comment):
            times.append(round(at, 6))
    assert times == [0.4, 0.8, 1.2]
    assert round(at, 6) == 1.5
    assert [step for step in beating if not isinstance(step, (Pause, Comment))] == [
        step for step in TOKENS if not isinstance(step, Pause)
    ]


@given(
    st.lists(st.floats(0, 3).map(lambda value: round(value, 3)), max_size=8),
    st.floats(0.05, 5).map(lambda value: round(value, 3)),
)
def test_heartbeats_change_no_time(silences: list[float], every: float) -> None:
    """Every other step stands at the same moment as without them."""
    steps: list[Step] = [Head(), Open()]
    for silence in silences:
        steps += [Pause(silence), Text("x")]

    def moments(these: list[Step]) -> list[float]:
        at, found = 0.0, []
        for step in these:
            at += step.seconds if isinstance(step, Pause) else 0.0
            if isinstance(step, Text):
                found.append(round(at, 3))
        return found

    assert moments(list(with_heartbeats(steps, Heartbeat(every)))) == moments(steps)


@pytest.mark.parametrize(
    ("kind", "seen"), [("comment", b": keep-alive"), ("ping", b": keep-alive"), ("empty", b'"content":""')]
)
def test_each_kind_of_heartbeat_is_said(kind: str, seen: bytes) -> None:
    """As a comment, as the dialect's own, or as an event without text."""
    plan = plan_of(f'tokens = 2\ninter_token = 1.0\nheartbeat = {{ every = 0.5, kind = "{kind}" }}')
    program = compile_script(plan.attempts[0].script)
    waits = [operation.seconds for operation in program if isinstance(operation, Wait)]
    assert waits == [0.5, 0.5]
    between = program[[isinstance(operation, Wait) for operation in program].index(True) + 1]
    assert isinstance(between, Write)
    assert seen in between.data


def test_a_silent_heartbeat_is_refused() -> None:
    """A heart that beats every 0 seconds would never stop."""
    with pytest.raises(UsageError, match=r"heartbeat\.every: it must be one number of seconds from 0\.001"):
        plan_of("heartbeat = { every = 0 }")


def test_reasoning_tools_and_quirks_can_be_asked_for() -> None:
    """Reasoning stands before the text, calls behind it, the quirk in the script."""
    script = plan_of('tokens = 1\nthinking = 2\ntools = 1\nquirk = "no-space"').attempts[0].script
    kinds = [type(step) for step in script.steps]
    assert kinds.count(Thinking) == 2
    assert kinds.index(Thinking) < kinds.index(Text) < kinds.index(ToolCall)
    assert script.quirks == (Quirk.NO_SPACE,)


def test_what_a_script_says_of_its_reading_and_quirks_survives_the_file() -> None:
    """A plan that is written and read again is the same plan."""
    plan = plan_of('tokens = 1\nquirk = "crlf"\nresumes = true\nreading = { most = 10, rest = false }')
    assert plan.attempts[0].script.reading.most == 10
    again = single(parse(to_toml(plan), name="s", where="again.toml"))
    assert again.attempts == plan.attempts


def test_a_ping_of_a_script_is_the_dialects_own() -> None:
    """The default heartbeat is what the vendor itself sends."""
    assert Heartbeat(1.0).kind is Beat.PING
    steps = tuple(with_heartbeats((Head(), Pause(1.0)), Heartbeat(1.0)))
    assert steps == (Head(), Pause(1.0), Ping())
    assert Script(DialectName.ANTHROPIC_MESSAGES, steps).text == ""
