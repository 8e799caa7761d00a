"""What the plans say: overload, unstable networks, long prompts and time-outs, and field bugs of broken connections."""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest

from testbed import explore, loader, runner, trace
from testbed._scenario_build import build
from testbed._scenario_pace import Beat, Heartbeat, Pace, lost_from, shares, with_heartbeats
from testbed._scenario_tape import Tape
from testbed.catalogue import Scenario, parse
from testbed.errors import Unsupported, UsageError
from testbed.faults.toxics import CloseAfter, PacketLoss, ResetAfter, Slicer, Stall
from testbed.oracle import Verdict
from testbed.plan import Attempt, Keepalives, Plan
from testbed.program import layout
from testbed.retrying import RETRYABLE_STATUS
from testbed.script import (
    Body,
    Comment,
    DialectName,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Framing,
    Head,
    Message,
    Pause,
    Ping,
    Script,
    Text,
)
from testbed.strategies import draw_many
from testbed.timing import needs, nominal, retry_after, silences
from testbed.trace import Clock, Option
from tests.toys import TOYS

# Hundreds of plans are drawn here, by code that no version of Python changes.
pytestmark = pytest.mark.once

SILENT = ("no-first-byte", "headers-then-silence", "keepalive-only-livelock", "stall-mid-stream", "mobile-handover")
SURVIVED = ("thirty-second-gap", "hour-long-stream", "heartbeat-only", "lost-heartbeat", "slow-drip", "wifi-dropout")


@functools.cache
def drawn(name: str, clock: Clock = Clock.VIRTUAL, count: int = 15) -> tuple[Plan, ...]:
    """`count` plans of a scenario in each of its dialects."""
    scenario = loader.load(name)
    return tuple(plan for one in scenario.dialects for plan in draw_many(scenario, [one], clock, count, 5))


def first(plan: Plan) -> Script:
    """What the first attempt says."""
    return plan.attempts[0].script


def pauses(script: Script) -> list[float]:
    """The silences that the server itself makes."""
    return [step.seconds for step in script.steps if isinstance(step, Pause)]


# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURVIVED)
def test_what_is_to_be_survived_is_never_silent_for_the_timeout(name: str) -> None:
    """A right client has no reason to give up, and nothing but time to lose."""
    for plan in drawn(name):
        assert plan.client.idle_timeout is not None
        assert max(one.longest for one in silences(plan.attempts[0])) < plan.client.idle_timeout
        said = [step for step in first(plan).steps if not isinstance(step, (Pause, Ping))]
        assert isinstance(said[-1], (Done, Finish, Message, Text))


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("name", SILENT)
def test_what_is_to_be_given_up_outlasts_the_timeout(name: str, clock: Clock) -> None:
    """A right client depends on its time-out, and has to be told one."""
    for plan in drawn(name, clock):
        waits = needs(plan)
        assert Option.IDLE_TIMEOUT in waits or name == "mobile-handover"


def test_a_stall_that_outlasts_stands_where_the_scenario_says() -> None:
    """Before the head, behind it, and never anywhere else."""
    for plan in drawn("no-first-byte"):
        assert isinstance(first(plan).steps[0], Pause)
        assert pauses(first(plan)) == [pauses(first(plan))[0]]
    for plan in drawn("headers-then-silence"):
        steps = first(plan).steps
        head = next(index for index, step in enumerate(steps) if isinstance(step, Head))
        behind = steps[head + 1]
        assert isinstance(behind, Pause)
        assert plan.client.idle_timeout is not None
        assert behind.seconds > plan.client.idle_timeout


def test_a_gap_is_longer_than_thirty_seconds_somewhere() -> None:
    """The family reaches beyond the number that many clients have of their own, on virtual time."""
    longest = [max(pauses(first(plan))) for plan in drawn("thirty-second-gap", count=30)]
    assert sum(gap > 30 for gap in longest) > len(longest) // 4


def test_an_hour_is_reached() -> None:
    """Some streams take an hour, and on a real clock all of them outlast a time-out for the whole call."""
    assert max(map(nominal, drawn("hour-long-stream", count=40))) > 3000
    real = drawn("hour-long-stream", Clock.REAL)
    lasting = [plan for plan in real if nominal(plan) > (plan.client.idle_timeout or 0)]
    assert len(lasting) > len(real) // 2


def test_a_drip_takes_longer_than_the_timeout_in_all() -> None:
    """No piece is long in coming, and a client with one deadline for the whole call is too short of it."""
    for plan in drawn("slow-drip"):
        (slicer,) = plan.attempts[0].toxics
        assert isinstance(slicer, Slicer)
        assert slicer.attributes.delay / 1_000_000 < (plan.client.idle_timeout or 0) / 4
    assert any(nominal(plan) > (plan.client.idle_timeout or 0) for plan in drawn("slow-drip", Clock.REAL))


def test_a_crawl_grows_slower() -> None:
    """Each gap is at least as long as the one before; the last word may be silence for good."""
    ends = set()
    for plan in drawn("peak-hours-crawl"):
        timeout = plan.client.idle_timeout or 0
        begun = next(index for index, step in enumerate(first(plan).steps) if isinstance(step, Text))
        gaps = [step.seconds for step in first(plan).steps[begun:] if isinstance(step, Pause)]
        within = [gap for gap in gaps if gap < timeout]
        assert all(after >= before for before, after in pairwise(within))
        ends.add(len(within) < len(gaps))
    assert ends == {True, False}


# --- signs of life ----------------------------------------------------------------------------------------------------


def test_heartbeats_bridge_every_long_silence() -> None:
    """In between, the server says that it is there: a comment, or the dialect's own ping."""
    for plan in drawn("heartbeat-only"):
        assert plan.client.keepalives is Keepalives.PROGRESS
        assert max(pauses(first(plan))) <= 0.25
        assert any(isinstance(step, (Ping, Comment)) for step in first(plan).steps)
    assert any(sum(pauses(first(plan))) > (plan.client.idle_timeout or 0) for plan in drawn("heartbeat-only"))


def test_only_a_client_that_can_be_told_is_asked_to_see_through_keepalives() -> None:
    """That they are no progress is a setting; without it the right outcome is not defined."""
    for plan in drawn("keepalive-only-livelock"):
        assert Option.KEEPALIVES in needs(plan)
        assert first(plan).steps[-1] == End(Ending.OPEN)
        assert nominal(plan) < 1 + (1 + plan.client.max_retries) * ((plan.client.idle_timeout or 0) + 2)
    assert not any(Option.KEEPALIVES in needs(plan) for plan in drawn("heartbeat-only"))


def test_heartbeats_are_missing_from_a_stream_that_has_them() -> None:
    """At least three beats in a row are gone, and the others are there."""
    beats = set()
    for plan in drawn("lost-heartbeat"):
        came = sum(isinstance(step, Ping) for step in first(plan).steps)
        assert came <= max(0, int(sum(pauses(first(plan))) / 0.5) - 3)
        beats.add(came)
        assert max(pauses(first(plan))) > 0.5
    assert max(beats) > 0


def test_lost_heartbeats_leave_the_time_of_all_others() -> None:
    """Only the lost ones are gone; what a stream says, and when, stays."""
    steps = (Head(), Text("a"), Pause(1.0), Text("b"), Pause(1.0), Text("c"))
    beat = Heartbeat(0.25, Beat.PING)
    whole, thinned = (tuple(with_heartbeats(steps, beat, lost)) for lost in ((), range(1, 4)))
    assert sum(isinstance(step, Ping) for step in whole) == 8
    assert sum(isinstance(step, Ping) for step in thinned) == 5
    for told in (whole, thinned):
        assert sum(step.seconds for step in told if isinstance(step, Pause)) == pytest.approx(2.0)
        assert [step for step in told if isinstance(step, Text)] == [Text("a"), Text("b"), Text("c")]


@pytest.mark.parametrize(("share", "start"), [(0.0, 0), (0.999, 5)])
def test_which_heartbeats_are_lost_lies_within_the_stream(share: float, start: int) -> None:
    """From the first possible run of beats to the last."""
    assert lost_from((Pause(1.0), Pause(1.0)), Heartbeat(0.25), 3, share) == range(start, start + 3)


@pytest.mark.parametrize("seed", [1, 7, 99])
def test_a_crawl_ends_at_the_widest_gap(seed: int) -> None:
    """The shape is steeper or flatter by the seed, and always rises to its widest."""
    spread = shares(Pace.CRAWL, seed, 6)
    assert spread[-1] == 1.0
    assert list(spread) == sorted(spread)
    assert spread[0] < 0.5


# --- connections that break -------------------------------------------------------------------------------------------


def test_a_reset_falls_between_the_first_token_and_the_terminal() -> None:
    """Some text has been shown, and the end has not been said."""
    for plan in drawn("reset-after-n-tokens"):
        script = first(plan)
        (cut,) = script.faults
        assert getattr(cut, "how", None) in (Ending.RST, Ending.ABORT)
        uncut = layout(Script(script.dialect, script.steps))
        token = next(span for span in uncut.events if isinstance(script.steps[span.step], Text))
        assert getattr(cut, "at", 0) >= token.body[1]
        assert layout(script).terminal_wire is None


def test_fin_falls_inside_a_body_whose_framing_knows_its_end() -> None:
    """Only a body that is chunked or has a length can be cut short without pretending to be whole."""
    for plan in drawn("fin-inside-chunk"):
        assert first(plan).head.framing in (Framing.CHUNKED, Framing.LENGTH)
        assert [getattr(fault, "how", None) for fault in first(plan).faults] == [Ending.FIN]


def test_a_gateway_cuts_within_the_clients_own_patience() -> None:
    """The silence before the cut is shorter than the time-out; behind it nothing is said, at times not even a token."""
    endings, tokens = set(), set()
    for plan in drawn("gateway-idle-cut", count=30):
        steps = first(plan).steps
        assert max(pauses(first(plan))) < (plan.client.idle_timeout or 0)
        assert not any(isinstance(step, (Finish, Done)) for step in steps)
        endings.add(steps[-1].how if isinstance(steps[-1], End) else Ending.CLEAN)
        tokens.add(any(isinstance(step, Text) for step in steps))
    assert endings == {Ending.CLEAN, Ending.FIN, Ending.RST}
    assert tokens == {True, False}


def test_a_dropout_ends_and_a_handover_does_not() -> None:
    """Both fall silent in the middle of a byte stream; after one of them everything comes at once."""
    for plan in drawn("wifi-dropout"):
        (stall,) = plan.attempts[0].toxics
        assert isinstance(stall, Stall)
        assert stall.attributes.duration is not None
        assert stall.attributes.duration / 1000 < (plan.client.idle_timeout or 0)
    for plan in drawn("mobile-handover"):
        stall = plan.attempts[0].toxics[-1]
        assert isinstance(stall, Stall)
        assert stall.attributes.duration is None


def test_losses_come_in_bursts() -> None:
    """The loss of one segment makes that of the next more likely than chance."""
    for plan in drawn("bursty-loss"):
        (loss,) = plan.attempts[0].toxics
        assert isinstance(loss, PacketLoss)
        assert loss.attributes.correlation >= 0.3


def test_a_second_attempt_would_begin_with_the_same_words() -> None:
    """The first breaks behind a token, the second is whole: whoever asks again has the same text twice."""
    for plan in drawn("retry-duplicates-prefix"):
        broken, whole = plan.attempts
        (toxic,) = broken.toxics
        assert isinstance(toxic, (ResetAfter, CloseAfter, Stall))
        token = next(span for span in layout(broken.script).events if isinstance(broken.script.steps[span.step], Text))
        assert (toxic.attributes.bytes or 0) >= token.wire[1]
        assert next(step for step in whole.script.steps if isinstance(step, Text)) == Text("w0 ")
        assert whole.toxics == ()
        assert plan.client.max_retries >= 1


def test_a_tool_calls_stream_ends_without_its_response() -> None:
    """Progress, perhaps, and no result."""
    for plan in drawn("mcp-stream-ends-without-response", count=30):
        assert not any(isinstance(step, (Done, Failure)) for step in first(plan).steps)


def test_the_rest_is_there_for_whoever_says_what_it_has() -> None:
    """Both attempts tell the same, in events that have numbers, and the second leaves out what the client names."""
    for plan in drawn("resume-after-drop"):
        dropped, rest = (attempt.script for attempt in plan.attempts)
        assert dropped.faults
        assert rest.resumes
        assert [text_of(step) for step in dropped.steps if text_of(step)] == [
            text_of(step) for step in rest.steps if text_of(step)
        ]
        if plan.dialect is DialectName.EVENTSOURCE:
            assert [step.id for step in rest.steps if isinstance(step, Message)] == [str(n) for n in range(1, 13)]


def text_of(step: object) -> str:
    """What a token says."""
    return step.text if isinstance(step, Text) else step.data if isinstance(step, Message) else ""


# --- statuses and whole ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["server-outage", "flapping-server", "overloaded-before-stream", "gateway-504"])
def test_statuses_of_an_outage_may_pass(name: str) -> None:
    """Each is one that the same request may survive at the next try."""
    for plan in drawn(name):
        assert first(plan).head.status in RETRYABLE_STATUS | {200}


def test_an_outage_has_four_faces() -> None:
    """A status, a reset, an end without a word, and no word at all."""
    seen = {tuple(type(toxic).__name__ for toxic in plan.attempts[0].toxics) for plan in drawn("server-outage")}
    assert seen == {(), ("ResetAfter",), ("CloseAfter",), ("Timeout",)}


def test_a_flapping_server_comes_up_in_the_end() -> None:
    """One to four attempts fail, and the last one, which repeats, is whole and without a fault."""
    lengths = set()
    for plan in drawn("flapping-server", count=30):
        *failing, last = plan.attempts
        lengths.add(len(failing))
        assert last.toxics == ()
        assert last.script.head.status == 200
        assert all(fails(one) for one in failing)
    assert lengths == {1, 2, 3, 4}


def fails(attempt: Attempt) -> bool:
    """Whether nobody gets a whole answer of it."""
    return attempt.script.head.status != 200 or bool(attempt.toxics)


def test_an_overload_in_mid_stream_has_the_vendors_word() -> None:
    """Status 200, some text, and then the error event; nothing behind it but how the connection ends."""
    for plan in drawn("overloaded-mid-stream"):
        assert first(plan).head.status == 200
        steps = [step for step in first(plan).steps if not isinstance(step, End)]
        assert isinstance(steps[-1], Failure)
        assert any(isinstance(step, Text) for step in steps)


def test_a_gateways_page_is_no_json() -> None:
    """HTML, or nothing, behind a status of its own."""
    for plan in drawn("gateway-504-html"):
        (body,) = [step for step in first(plan).steps if isinstance(step, Body)]
        assert not body.text.startswith(("{", "["))
        assert (first(plan).head.content_type or "").startswith("text/html")
        assert first(plan).head.status >= 500


def test_a_long_retry_after_is_drawn_on_virtual_time_and_a_short_one_on_a_real_clock() -> None:
    """A minute is waited for, two and an hour may be surfaced; on a real clock a wait is one second."""
    assert {retry_after(plan.attempts[0]) for plan in drawn("retry-after-60", count=30)} == {1.0, 60.0, 0.0}
    assert {retry_after(plan.attempts[0]) for plan in drawn("retry-after-60", Clock.REAL)} == {1.0, 0.0}


def test_an_open_end_follows_a_whole_answer() -> None:
    """Every event up to the terminal is there, and then nothing ends the connection."""
    for plan in drawn("terminal-then-open-socket"):
        assert first(plan).steps[-3:] == (Finish(), Done(), End(Ending.OPEN)) or plan.dialect is DialectName.GEMINI


def test_a_soft_terminal_with_an_open_end_may_cost_a_timeout() -> None:
    """The plan of a client that waits on for a last event, as long as it was told, still fits a real clock."""
    for plan in drawn("terminal-then-open-socket", Clock.REAL):
        assert nominal(plan) <= 3.0


def test_a_one_shot_stream_is_not_asked_for_again() -> None:
    """The client is told so, and the same answer would wait for it."""
    for plan in drawn("reconnect-on-clean-end"):
        assert plan.client.max_retries == 0
        assert len(plan.attempts) == 1


def test_empty_streams_end_in_204() -> None:
    """The last attempt, which repeats, tells an EventSource to stop."""
    for plan in drawn("reconnect-storm-empty-or-204"):
        assert plan.attempts[-1].script.head.status == 204
        assert 1 <= len(plan.attempts) - 1 <= 4


# --- the words that these scenarios use -------------------------------------------------------------------------------

HEAD = 'format = 1\n[scenario]\ntitle = "t"\n'


def scenario(text: str) -> Scenario:
    """A scenario of these lines."""
    return parse(HEAD + text, name="s", where="s.toml")


def plan(text: str, *, integer: int = 0) -> Plan:
    """Its plan for openai-chat, every integer of it drawn as `integer`, or as high as it may be."""
    return build(scenario(text), DialectName.OPENAI_CHAT, Tape(lambda top: min(integer, top)))


def test_an_attempt_is_repeated_or_left_out() -> None:
    """`repeat` says how many connections in a row meet it; 0 is a simple as any number."""
    text = (
        '[[attempt]]\nrepeat = { min = 0, max = 2 }\n[attempt.script]\ndialect = "openai-chat"\nstatus = 503\n'
        "[[attempt]]\n[attempt.script]\ntokens = 1\n"
    )
    assert [one.script.head.status for one in plan(text).attempts] == [200]
    assert [one.script.head.status for one in plan(text, integer=2).attempts] == [503, 503, 200]


def test_the_last_attempt_is_never_told_to_repeat() -> None:
    """It does so by itself, as often as the client asks."""
    with pytest.raises(UsageError, match="the last attempt repeats by itself"):
        scenario('[[attempt]]\nrepeat = 2\n[attempt.script]\ndialect = "openai-chat"\n')


def test_one_of_several_toxics_is_there() -> None:
    """The first is the simplest."""
    text = (
        '[script]\ndialect = "openai-chat"\n[[toxics]]\none_of = [{ type = "latency" }, { type = "bandwidth",'
        " attributes = { rate = 5 } }]\n"
    )
    assert [type(toxic).__name__ for toxic in plan(text).attempts[0].toxics] == ["Latency"]
    assert [type(toxic).__name__ for toxic in plan(text, integer=1).attempts[0].toxics] == ["Bandwidth"]


@pytest.mark.parametrize(
    ("toxics", "sentence"),
    [
        ("one_of = []", "it is empty; it must hold at least one toxic"),
        ('one_of = [{ type = "latency", optional = true }]', "it belongs beside one_of"),
        ('one_of = [{ type = "latenzy" }]', "unknown toxic 'latenzy'"),
    ],
)
def test_a_mistake_in_a_choice_of_toxics_is_said(toxics: str, sentence: str) -> None:
    """One sentence names the place and what is right."""
    with pytest.raises(UsageError, match="toxics") as raised:
        scenario(f'[script]\ndialect = "openai-chat"\n[[toxics]]\n{toxics}\n')
    assert sentence in str(raised.value)


def test_a_stall_may_end_the_stream() -> None:
    """Nothing comes behind it but the end that it names."""
    text = (
        '[script]\ndialect = "openai-chat"\ntokens = 3\nstall = { seconds = 2.0, after = 2, end = "fin" }\n'
        "[client]\nidle_timeout = 10.0\n"
    )
    steps = first(plan(text)).steps
    assert steps[-3:] == (Text("w1 "), Pause(2.0), End(Ending.FIN))


def test_a_silence_near_the_timeout_is_refused_in_a_stall_that_ends_the_stream() -> None:
    """Early and late must be told apart there as everywhere."""
    text = (
        '[script]\ndialect = "openai-chat"\ntokens = 3\n'
        'stall = { seconds = { min = 1.9, max = 2.1 }, after = 2, end = "fin" }\n[client]\nidle_timeout = 2.0\n'
    )
    with pytest.raises(Unsupported, match="too near the time-out"):
        plan(text)


def test_a_toxic_that_another_stands_in_for_adds_no_weather() -> None:
    """Only what is there counts for how long a silence becomes; what strikes at a byte is no weather."""
    text = (
        '[script]\ndialect = "openai-chat"\n[[toxics]]\n'
        'one_of = [{ type = "latency", attributes = { latency = 900 } },'
        ' { type = "stall", attributes = { bytes = { within = "mid-stream" }, duration = 100 } }]\n'
        "[client]\nidle_timeout = 1.0\n"
    )
    with pytest.raises(Unsupported, match="too near the client's time-out"):
        plan(text)
    assert [type(toxic).__name__ for toxic in plan(text, integer=1).attempts[0].toxics] == ["Stall"]


@pytest.mark.parametrize(("name", "verdict"), [("reconnects-anyway", Verdict.FAIL), ("per-character", Verdict.PASS)])
def test_a_client_that_is_told_to_make_no_retry_does_not_reconnect(name: str, verdict: Verdict) -> None:
    """An EventSource may come back as often as it likes, but for that."""
    (asked, *_) = drawn("reconnect-on-clean-end")
    judgement = explore.check(asked, runner.engine("simulated"), TOYS[name].adapter)
    assert judgement.verdict is verdict
    assert [one.failure for one in judgement.findings] == [trace.Failure.RETRY_STORM] * (verdict is Verdict.FAIL)
