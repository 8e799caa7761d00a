"""The shipped scenarios: each is complete, can be drawn on every clock, and says what it claims."""

import functools
import json
import re
from pathlib import Path

import pytest

from testbed import loader
from testbed.catalogue import parse, single, to_toml
from testbed.causes import CAUSES
from testbed.dialects import DIALECTS
from testbed.faults.toxics import ResetAfter
from testbed.program import compile_script, layout
from testbed.script import CutBody, DialectName, Ending, Finish
from testbed.strategies import LONGEST, draw_many
from testbed.timing import margin, nominal, silences
from testbed.trace import Clock, Outcome

# What these plans are does not depend on the Python; that every file can be read on each of them is a test of its own.
once = pytest.mark.once

NAMES = loader.names()

# Every scenario that the table of causes names, and the forty field scenarios.
SLUGS = {
    "server-overload": "server-outage overloaded-before-stream overloaded-mid-stream peak-hours-crawl flapping-server",
    "unstable-connection": ("packet-loss bursty-loss wifi-dropout mobile-handover mid-stream-reset lost-heartbeat"),
    "long-prompt": "slow-first-token gateway-504 gateway-idle-cut hour-long-stream",
    "token-limit": "context-length-exceeded finish-length abrupt-end-at-limit long-chat-history",
    "browser-interference": "extension-kills-stream extension-buffers-stream stale-cache-replay stripped-heartbeats",
    "file-upload": "slow-upload reset-during-upload upload-too-large unparseable-file early-response-to-upload",
    "vpn-proxy-interference": (
        "vpn-latency vpn-rekey-stall vpn-drop corporate-proxy-buffering isp-throttling tiny-mtu"
    ),
    "api-misconfiguration": "stream-unsupported org-not-verified bad-api-key json-instead-of-sse html-instead-of-sse",
    "sentinel-handling": "missing-done done-then-open-socket finish-without-done data-after-done",
    "rate-limit": "rate-limited-then-ok rate-limited-forever quota-exhausted rate-limit-mid-stream",
    "chunk-handling": "byte-at-a-time split-utf8 split-crlf coalesced-events huge-event endless-line",
    "client-timeouts": "thirty-second-gap heartbeat-only slow-drip",
}
FIELD = {
    "eof-clean-no-terminal": "A01 A04 A06 A07 A09",
    "eof-before-message-stop": "A02 A03 A10 A11",
    "eof-before-response-completed": "A15 A16",
    "finish-without-done-is-complete": "A12 A20",
    "done-with-null-finish": "A13",
    "cut-inside-tool-arguments": "A14 I11",
    "empty-200-stream": "A19",
    "html-or-json-200-instead-of-sse": "D37 C10 J06",
    "inband-error-chat": "C03 C04 C15",
    "inband-overloaded-anthropic": "C01 C02 C06",
    "responses-failed-error-incomplete": "C07 C08 C13",
    "llamacpp-error-field": "C09",
    "ollama-midstream-error-line": "C12",
    "error-event-then-open-socket": "C16",
    "reset-after-n-tokens": "B01 B02 B04 B14",
    "fin-inside-chunk": "B03 B10 A05",
    "stall-mid-stream": "E06 E07 E12",
    "no-first-byte": "E09 E08",
    "headers-then-silence": "E02",
    "keepalive-only-livelock": "E10",
    "terminal-then-open-socket": "E16",
    "retry-duplicates-prefix": "F10 F01",
    "reconnect-on-clean-end": "F03 F04 F05 F21",
    "reconnect-storm-empty-or-204": "F04 F15 F07",
    "mcp-stream-ends-without-response": "H01",
    "retry-after-60": "F16 F17",
    "u2028-in-json": "D01",
    "no-charset-non-ascii": "D02 D03",
    "one-byte-segments-with-emoji": "D04 D11 D12 D13",
    "crlf-stream": "D08 D09",
    "crlf-split-across-segments": "D07",
    "comment-keepalive": "D14 D33",
    "comment-after-id": "D15",
    "retry-only-block": "D16",
    "data-colon-keepalive": "D17",
    "multi-line-data-and-no-space": "D18 D19",
    "large-event-64k-1m": "D24 D25",
    "choices-empty-and-usage-chunk": "D35 D36",
    "gateway-504-html": "E03",
    "org-not-verified-400": "J01",
}

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

BUGS = Path(__file__).parent / "data" / "field_bugs.json"

# Whose scripts are whole streams in the right order, whatever the network does to them.
IN_ORDER = FIRST_TWELVE - {"html-instead-of-sse"}

# How many plans of a scenario are looked at, over all its dialects.
MANY = 36


@functools.cache
def drawn(name, clock, count=MANY):
    """Draw `count` plans of a scenario, the same number in each dialect, or as many as it has."""
    scenario = loader.load(name)
    each = max(1, count // len(scenario.dialects))
    return [plan for dialect in scenario.dialects for plan in draw_many(scenario, [dialect], clock, each, 7)]


def test_every_slug_of_the_table_of_causes_is_there():
    """Each of the twelve causes has the scenarios that it must have at the least."""
    assert set(SLUGS) == set(CAUSES)
    for cause, slugs in SLUGS.items():
        assert {loader.load(slug).cause for slug in slugs.split()} == {cause}


def test_every_field_scenario_is_there():
    """Each names the bugs that it reproduces, and a place where one of them was reported."""
    reported = {bug["id"]: bug["source"] for bug in json.loads(BUGS.read_text(encoding="utf-8"))}
    for name, bugs in FIELD.items():
        scenario = loader.load(name)
        assert set(bugs.split()) <= set(scenario.bugs), name
        places = [place for bug in scenario.bugs for place in re.findall(r"([\w.-]+/[\w.-]+)#(\d+)", reported[bug])]
        named = "\n".join(scenario.sources) + "\n"
        assert not places or any(re.search(rf"{re.escape(to)}/\w+/{number}\n", named) for to, number in places), name


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
    """The two chat dialects are in every scenario of the first release, so that the published SDKs can be asked."""
    assert {DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES} <= set(loader.load(name).dialects)


@once
@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("name", NAMES)
def test_plans_can_be_said(name, clock):
    """Every plan compiles, and comes back from a file as it was."""
    for plan in drawn(name, clock)[::9]:
        assert all(compile_script(attempt.script) for attempt in plan.attempts)
        assert single(parse(to_toml(plan), name="x", where="x.toml")) == plan


@once
@pytest.mark.parametrize("name", NAMES)
def test_plans_fit_a_real_clock(name):
    """On a real clock no plan takes a right client more than three seconds."""
    assert max(map(nominal, drawn(name, Clock.REAL))) <= LONGEST


@once
@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("name", NAMES)
def test_no_silence_comes_near_a_timeout(name, clock):
    """Early and late can be told apart in every plan."""
    for plan in drawn(name, clock, 18):
        for attempt in plan.attempts:
            for one in silences(attempt):
                timeout = plan.client.first_byte if one.before_token else plan.client.idle_timeout
                clear = margin(timeout, Clock.REAL) - 1e-6
                assert one.longest <= timeout - clear or one.shortest >= timeout + clear


@once
@pytest.mark.parametrize("name", sorted(IN_ORDER))
def test_streams_break_no_order_rule(name):
    """Where a scenario is not about the order of events, its events are in order."""
    for plan in drawn(name, Clock.VIRTUAL, 18):
        for attempt in plan.attempts:
            assert DIALECTS[plan.dialect].violations(attempt.script.steps) == ()


@once
@pytest.mark.parametrize("name", sorted(FIRST_TWELVE - {"abrupt-end", "missing-done", "html-instead-of-sse"}))
def test_the_last_attempt_is_a_whole_answer(name):
    """Scripts that are not cut on purpose say every event up to the terminal, or an error."""
    for plan in drawn(name, Clock.VIRTUAL, 18):
        script = plan.attempts[-1].script
        if plan.dialect is not DialectName.EVENTSOURCE and script.head.status == 200:
            assert DIALECTS[plan.dialect].terminal(script.steps[-1]) is max(DIALECTS[plan.dialect].terminals.values())


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
        for plan in drawn("slow-first-token", clock, 150):
            before, behind = silences(plan.attempts[0])[:2]
            sides |= {("before", before.shortest > plan.client.idle_timeout)} if before.longest else set()
            sides |= {("behind", behind.shortest > plan.client.idle_timeout)} if behind.longest else set()
        assert sides == {("before", False), ("before", True), ("behind", False), ("behind", True)}


@once
def test_rate_limited_asks_for_no_more_than_clients_wait():
    """A wait in seconds stays within a minute, and within what a plan may take on a real clock; retries are allowed."""
    for clock, most in ((Clock.VIRTUAL, 60), (Clock.REAL, LONGEST)):
        asked = []
        for plan in drawn("rate-limited-then-ok", clock, 60):
            fields = {name.lower(): value for name, value in plan.attempts[0].script.head.headers}
            asked += [int(fields["retry-after"])] if fields.get("retry-after", "").isdecimal() else []
            assert plan.client.max_retries >= 1
        assert asked
        assert max(asked) <= most


def test_vpn_latency_is_to_be_survived():
    """Latency, jitter and the stall leave a whole stream."""
    assert Outcome.COMPLETE in loader.load("vpn-latency").expect.outcome
