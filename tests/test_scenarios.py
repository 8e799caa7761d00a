"""The shipped scenarios: each is complete, can be drawn on every clock, and says what it claims."""

import functools
import time

import pytest

from testbed import loader
from testbed.catalogue import parse, single, to_toml
from testbed.dialects import DIALECTS
from testbed.faults.toxics import ResetAfter
from testbed.program import compile_script, layout
from testbed.script import CutBody, DialectName, Done, Ending, Finish
from testbed.strategies import LONGEST, draw_many
from testbed.timing import margin, nominal, silences
from testbed.trace import Clock, Outcome

NAMES = loader.names()

FIRST_TWELVE = {
    "abrupt-end",
    "byte-at-a-time",
    "html-instead-of-sse",
    "mid-stream-reset",
    "missing-done",
    "overloaded-before-stream",
    "packet-loss",
    "rate-limited-then-ok",
    "slow-first-token",
    "split-utf8",
    "stall-mid-stream",
    "vpn-latency",
}

# The causes that the catalogue covers; a scenario belongs to one.
CAUSES = {
    "server-overload",
    "unstable-connection",
    "long-prompt",
    "token-limit",
    "browser-interference",
    "file-upload",
    "vpn-proxy-interference",
    "api-misconfiguration",
    "sentinel-handling",
    "rate-limit",
    "chunk-handling",
    "client-timeouts",
}

# Whose scripts are whole streams in the right order, whatever the network does to them.
IN_ORDER = FIRST_TWELVE - {"html-instead-of-sse"}

# Milliseconds of processor time a plan. The mean is about one; one byte at a time on a real clock is the dearest.
AFFORDABLE = 15.0


@functools.cache
def drawn(name, clock, count=200):
    """Draw `count` plans in each dialect of a scenario, or as many as it has."""
    scenario = loader.load(name)
    return [plan for dialect in scenario.dialects for plan in draw_many(scenario, [dialect], clock, count, 7)]


def test_the_first_twelve_are_there():
    """The scenarios that the first release promises are shipped."""
    assert set(NAMES) >= FIRST_TWELVE


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_says_why_it_exists(name):
    """Title, cause, requirement and at least one source are there; the requirement is a sentence."""
    scenario = loader.load(name)
    assert scenario.title
    assert scenario.cause in CAUSES
    assert scenario.requirement.endswith(".")
    assert scenario.sources
    assert all(source.startswith("https://") for source in scenario.sources)


@pytest.mark.parametrize("name", sorted(FIRST_TWELVE))
def test_a_scenario_can_be_asked_of_both_vendors_clients(name):
    """The two chat dialects are in every scenario of the first release, so that each can be run on the published SDKs."""
    assert {DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES} <= set(loader.load(name).dialects)


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("name", NAMES)
def test_plans_are_drawn_fast_and_can_be_said(name, clock):
    """Hundreds of plans in each dialect are drawn in a moment, compile, and come back from a file as they were."""
    drawn(name, clock, 2)  # words of Faker are made once
    started = time.process_time()
    plans = drawn.__wrapped__(name, clock)
    each = (time.process_time() - started) / len(plans) * 1000
    assert len(plans) >= 60
    assert each < AFFORDABLE
    for plan in plans[::5]:
        assert all(compile_script(attempt.script) for attempt in plan.attempts)
        assert single(parse(to_toml(plan), name="x", where="x.toml")) == plan


@pytest.mark.parametrize("name", NAMES)
def test_plans_fit_a_real_clock(name):
    """On a real clock no plan takes a right client more than three seconds."""
    assert max(map(nominal, drawn(name, Clock.REAL))) <= LONGEST


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("name", NAMES)
def test_no_silence_comes_near_a_timeout(name, clock):
    """Early and late can be told apart in every plan."""
    for plan in drawn(name, clock, 60):
        for attempt in plan.attempts:
            for one in silences(attempt):
                timeout = plan.client.first_byte if one.before_token else plan.client.idle_timeout
                clear = margin(timeout, Clock.REAL) - 1e-6
                assert one.longest <= timeout - clear or one.shortest >= timeout + clear


@pytest.mark.parametrize("name", sorted(IN_ORDER))
def test_streams_break_no_order_rule(name):
    """Where a scenario is not about the order of events, its events are in order."""
    for plan in drawn(name, Clock.VIRTUAL, 40):
        for attempt in plan.attempts:
            assert DIALECTS[plan.dialect].violations(attempt.script.steps) == ()


@pytest.mark.parametrize("name", sorted(FIRST_TWELVE - {"abrupt-end", "missing-done", "html-instead-of-sse"}))
def test_the_last_attempt_is_a_whole_answer(name):
    """Scripts that are not cut on purpose say every event up to the terminal, or an error."""
    for plan in drawn(name, Clock.VIRTUAL, 40):
        script = plan.attempts[-1].script
        if plan.dialect is not DialectName.EVENTSOURCE and script.head.status == 200:
            assert script.steps[-2:] == (Finish(), Done())


def test_abrupt_end_never_says_the_terminal():
    """The cut comes before the terminal event is whole, and the end is clean."""
    for plan in drawn("abrupt-end", Clock.VIRTUAL):
        script = plan.attempts[0].script
        (cut,) = script.faults
        assert isinstance(cut, CutBody)
        assert cut.how is Ending.CLEAN
        assert layout(script).terminal_wire is None


def test_mid_stream_reset_strikes_between_token_and_terminal():
    """The reset is drained, and comes after the first token and before the terminal."""
    for plan in drawn("mid-stream-reset", Clock.VIRTUAL):
        script, (toxic,) = plan.attempts[0].script, plan.attempts[0].toxics
        assert isinstance(toxic, ResetAfter)
        assert toxic.attributes.bytes <= layout(script).terminal_wire


def test_missing_done_says_the_finish_and_not_the_end():
    """The soft terminal is the last event."""
    for plan in drawn("missing-done", Clock.VIRTUAL, 20):
        assert plan.attempts[0].script.steps[-1] == Finish()


def test_stalls_outlast_the_timeout():
    """Each plan of stall-mid-stream has just one silence that the client must not wait for, after a token."""
    for plan in drawn("stall-mid-stream", Clock.REAL):
        long = [one for one in silences(plan.attempts[0]) if one.shortest > plan.client.idle_timeout]
        assert [one.before_token for one in long] == [False]


def test_slow_first_token_asks_both_questions():
    """Some silences are to be waited for and some are not, before the head and behind it, on every clock."""
    for clock in Clock:
        sides = set()
        for plan in drawn("slow-first-token", clock):
            before, behind = silences(plan.attempts[0])[:2]
            sides |= {("before", before.shortest > plan.client.idle_timeout)} if before.longest else set()
            sides |= {("behind", behind.shortest > plan.client.idle_timeout)} if behind.longest else set()
        assert sides == {("before", False), ("before", True), ("behind", False), ("behind", True)}


def test_rate_limited_asks_for_no_more_than_clients_wait():
    """Retry-After stays within a minute, and within seconds on a real clock."""
    for clock, most in ((Clock.VIRTUAL, 60), (Clock.REAL, LONGEST)):
        for plan in drawn("rate-limited-then-ok", clock, 60):
            ((field, value),) = plan.attempts[0].script.head.headers
            assert field == "Retry-After"
            assert 1 <= int(value) <= most
            assert plan.client.max_retries >= 1


def test_vpn_latency_is_to_be_survived():
    """Latency, jitter and the stall leave a whole stream."""
    assert Outcome.COMPLETE in loader.load("vpn-latency").expect.outcome
