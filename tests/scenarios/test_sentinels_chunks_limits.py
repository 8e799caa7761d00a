"""What the plans say: ends and sentinels, rate limits, chunks and lines, and errors inside a stream."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator

import pytest

from testbed import loader
from testbed.catalogue import parse, single
from testbed.dialects import DIALECTS
from testbed.errors import UsageError
from testbed.plan import Plan, Quota, Window
from testbed.program import Write, compile_script, layout
from testbed.retrying import says_no, waits
from testbed.script import (
    Arguments,
    Body,
    CutBody,
    DialectName,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Head,
    Join,
    Open,
    Pause,
    Ping,
    Quirk,
    Raw,
    Script,
    SplitAt,
    Step,
    Terminal,
    Text,
)
from testbed.strategies import draw_many
from testbed.timing import nominal
from testbed.trace import Clock, Outcome

# Hundreds of plans are drawn here, by code that no version of Python changes.
pytestmark = pytest.mark.once

WHOLE = (
    *("done-then-open-socket", "data-after-done", "byte-at-a-time", "split-utf8", "split-crlf", "coalesced-events"),
    *("crlf-split-across-segments", "huge-event", "comment-keepalive", "comment-after-id", "comment-inside-event"),
    *("retry-only-block", "data-colon-keepalive", "proxy-burst-16k", "max-tokens-visible", "duplicate-message-start"),
    *("tool-call-at-limit", "done-lookalike"),
)
CUT = ("cut-inside-tool-arguments", "eof-clean-no-terminal", "eof-before-message-stop", "eof-before-response-completed")


@functools.cache
def drawn(name: str, clock: Clock = Clock.VIRTUAL, count: int = 12) -> tuple[Plan, ...]:
    """`count` plans of a scenario in each of its dialects."""
    scenario = loader.load(name)
    return tuple(plan for one in scenario.dialects for plan in draw_many(scenario, [one], clock, count, 7))


def scripts(name: str, **more: object) -> Iterator[Script]:
    """What the first attempt of each plan says."""
    return (plan.attempts[0].script for plan in drawn(name, **more))


def writes(script: Script) -> list[bytes]:
    """What of the body leaves in each write: what is held leaves with the next."""
    found, held = [], b""
    for one in compile_script(script):
        if isinstance(one, Write):
            held += one.data[one.payload[0] : one.payload[1]]
            if held and not one.held:
                found.append(held)
                held = b""
    return found


def body(script: Script) -> bytes:
    """The bytes of the body."""
    return b"".join(writes(script))


def is_whole(script: Script) -> bool:
    """Whether the last word of the dialect is said, if it has one."""
    last = max((DIALECTS[script.dialect].terminal(step) for step in (Finish(), Done())), default=Terminal.NONE)
    return any(DIALECTS[script.dialect].terminal(step) is last for step in script.steps)


# --- ends and sentinels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_to_be_survived_is_whole(name: str) -> None:
    """Every answer says all that its dialect says at an end."""
    for script in scripts(name):
        assert script.dialect is DialectName.EVENTSOURCE or is_whole(script)


@pytest.mark.parametrize("name", CUT)
def test_a_cut_is_clean_and_lies_inside_the_answer(name: str) -> None:
    """By HTTP the body is whole; not all of the answer is in it."""
    for script in scripts(name):
        (cut,) = (fault for fault in script.faults if isinstance(fault, CutBody))
        assert cut.how is Ending.CLEAN
        assert cut.at <= layout(Script(script.dialect, script.steps, (), script.quirks)).body


@pytest.mark.parametrize("name", ["missing-done", "finish-without-done", "finish-without-done-is-complete"])
def test_the_reason_is_said_and_the_sentinel_is_not(name: str) -> None:
    """The finish is the last event."""
    for script in scripts(name):
        said = [step for step in script.steps if not isinstance(step, End)]
        assert isinstance(said[-1], Finish)
        assert layout(script).terminal_body is not None


def test_a_finish_without_a_sentinel_is_followed_by_every_ending() -> None:
    """Clean, FIN, RST and none at all."""
    ends = {script.steps[-1].how for script in scripts("finish-without-done") if isinstance(script.steps[-1], End)}
    assert ends == {Ending.OPEN, Ending.FIN, Ending.RST}
    assert any(isinstance(script.steps[-1], Finish) for script in scripts("finish-without-done"))


def test_the_sentinel_without_a_reason() -> None:
    """[DONE] is there, and finish_reason stays null."""
    for script in scripts("done-with-null-finish"):
        assert b"[DONE]" in body(script)
        assert not re.search(rb'"finish_reason": ?"', body(script))


def test_something_stands_behind_the_sentinel() -> None:
    """Behind the last event of the dialect there is text, an error, a comment, another sentinel or noise."""
    kinds = set()
    for script in scripts("data-after-done", count=40):
        done = next(index for index, step in enumerate(script.steps) if isinstance(step, Done))
        kinds |= {type(step) for step in script.steps[done + 1 :]}
    assert kinds >= {Text, Failure, Done, Raw}


def test_a_lookalike_stands_before_the_finish() -> None:
    """An event begins as the sentinel does and is another; the true one comes at the end."""
    for script in scripts("done-lookalike"):
        data = [line for line in body(script).split(b"\n") if line.startswith(b"data: [DONE]")]
        assert data[-1] == b"data: [DONE]"
        before = body(script).index(b'"finish_reason":"')
        assert body(script).index(b"[DONE]") < before


def test_after_the_end_the_connection_stays_open_or_is_kept_alive() -> None:
    """Some plans fall silent behind the last event, and some go on with pings for longer than the least time-out."""
    spans = set()
    for script in scripts("done-then-open-socket"):
        assert script.steps[-1] == End(Ending.OPEN)
        done = next(index for index, step in enumerate(script.steps) if isinstance(step, Done))
        spans.add(sum(step.seconds for step in script.steps[done:] if isinstance(step, Pause)))
    assert min(spans) == 0
    assert max(spans) > 1.0


def test_half_a_call_is_no_json() -> None:
    """The cut falls between the first piece of the arguments and the end of the last: what is there does not parse."""
    for script in scripts("cut-inside-tool-arguments"):
        (cut,) = (fault for fault in script.faults if isinstance(fault, CutBody))
        whole = layout(Script(script.dialect, script.steps, (), script.quirks))
        pieces = [span for span in whole.events if isinstance(script.steps[span.step], Arguments)]
        there = [span.step for span in pieces if span.body[1] <= cut.at]
        call = [script.steps[step].json for step in there]  # type: ignore[union-attr]
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads("".join(call) if call else "{")


def test_the_limit_cuts_a_call_and_says_so() -> None:
    """The arguments are no JSON object, and the reason is the vendor's word for the limit."""
    for script in scripts("tool-call-at-limit"):
        pieces = "".join(step.json for step in script.steps if isinstance(step, Arguments))
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads(pieces)
        reasons = [step.reason for step in script.steps if isinstance(step, Finish)]
        assert reasons[0] in {"length", "max_tokens", "max_output_tokens"}


def test_an_empty_stream_is_a_head() -> None:
    """Status 200, the dialect's own content type, and no byte behind it."""
    for script in scripts("empty-200-stream"):
        assert body(script) == b""
        assert (script.head.status, script.head.content_type) == (200, None)


def test_each_vendor_has_its_word_for_the_limit() -> None:
    """The reason stands on the wire as the vendor spells it."""
    words = {
        DialectName.OPENAI_CHAT: b'"length"',
        DialectName.ANTHROPIC_MESSAGES: b'"max_tokens"',
        DialectName.OPENAI_RESPONSES: b'"max_output_tokens"',
        DialectName.GEMINI: b'"MAX_TOKENS"',
        DialectName.OLLAMA: b'"length"',
    }
    for script in scripts("max-tokens-visible"):
        assert words[script.dialect] in body(script)


# --- rate limits ------------------------------------------------------------------------------------------------------


def test_a_rate_limit_names_its_wait_in_every_form() -> None:
    """Seconds, a date, milliseconds, several of them and none; a right client never waits for more than a minute."""
    plans = drawn("rate-limited-then-ok", count=60)
    forms = {tuple(wait.form.value for wait in waits(plan.attempts[0].script)) for plan in plans}
    assert forms >= {("seconds",), ("date",), ("ms",), ()}
    for plan in plans:
        assert plan.attempts[0].script.head.status == 429
        assert plan.client.max_retries >= 1
        assert all(wait.seconds <= 60 for wait in waits(plan.attempts[0].script))
        assert is_whole(plan.attempts[1].script) or plan.dialect is DialectName.EVENTSOURCE


def test_a_limit_for_ever_never_lets_anyone_through() -> None:
    """There is one attempt, and it repeats."""
    for plan in drawn("rate-limited-forever"):
        assert len(plan.attempts) == 1
        assert plan.attempts[0].script.head.status == 429


def test_an_exhausted_quota_is_final_by_what_it_says() -> None:
    """No answer of this scenario is to be asked for again, and on some of them only the body says so."""
    assert all(says_no(script) for script in scripts("quota-exhausted"))
    assert {script.head.status for script in scripts("quota-exhausted")} == {429, 402, 400}


def test_a_limit_in_mid_stream_comes_behind_text() -> None:
    """The status was 200; tokens came, then the error or the end."""
    ends = set()
    for script in scripts("rate-limit-mid-stream"):
        assert script.head.status == 200
        said = [step for step in script.steps if not isinstance(step, (End, Pause))]
        assert isinstance(said[-2], Text) or isinstance(said[-1], Text)
        ends.add(type(said[-1]))
        assert not is_whole(script)
    assert ends == {Failure, Text}


def test_the_window_is_met_by_the_first_retry() -> None:
    """The first request uses the quota up, and the retries allow for one that is refused."""
    for plan in drawn("rate-limit-window"):
        assert plan.quota == Quota(requests=1, seconds=1.2, window=Window.FIXED)
        assert plan.attempts[0].script.head.status >= 500
        assert plan.client.max_retries == 2
        assert nominal(plan) < 10


# --- chunks and lines -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["split-crlf", "crlf-split-across-segments"])
def test_writes_end_between_cr_and_lf(name: str) -> None:
    """Somewhere a write ends with CR and the next begins with LF."""
    torn = [
        (script, before, after)
        for script in scripts(name)
        for before, after in zip(writes(script), writes(script)[1:], strict=False)
        if before.endswith(b"\r") and after.startswith(b"\n")
    ]
    assert {script.dialect for script, _, _ in torn} == set(loader.load(name).dialects)


def test_lines_of_one_event_come_apart() -> None:
    """Some plans cut between lines: then no write holds two whole lines."""
    lines = [
        script
        for script in scripts("split-crlf")
        if any(isinstance(fault, SplitAt) and len(fault.at) > 10 for fault in script.faults)
        and all(len(re.findall(rb"\r\n|\r|\n", data)) <= 1 for data in writes(script))
    ]
    assert lines


def test_many_events_come_together() -> None:
    """All that is said between two silences is one write, of up to dozens of events."""
    most = 0
    for script in scripts("coalesced-events"):
        assert any(isinstance(fault, Join) for fault in script.faults)
        between = sum(isinstance(step, Pause) for step in script.steps)
        assert len(writes(script)) <= between + 1
        most = max(most, len(layout(script).events) - between)
    assert most >= 20


def test_a_huge_event_is_huge_on_the_wire_and_small_in_the_plan() -> None:
    """From a megabyte to more than ten, in a plan of a few hundred bytes."""
    sizes = set()
    for plan in drawn("huge-event", count=12):
        said = [step for step in plan.attempts[0].script.steps if isinstance(step, Text)]
        sizes.add(sum(len(step.said) for step in said))
        assert sum(len(step.text) for step in said) < 100
    assert min(sizes) >= 2**19
    assert max(sizes) > 9_000_000


def test_what_is_said_many_times_over_is_one_event() -> None:
    """A text with a count is spelled as the same text written out."""
    for name in DialectName:
        short = DIALECTS[name].encode([Text("ab", times=3)])
        assert short == DIALECTS[name].encode([Text("ababab")])
    assert Script(DialectName.OPENAI_CHAT, (*_answer(Text("ab", times=3)),)).text == "ababab"


def _answer(*steps: Step) -> tuple[Step, ...]:
    return (Head(), Open(), *steps, Finish(), Done())


@pytest.mark.parametrize("times", [0, 20_000_000])
def test_a_text_beyond_all_measure_is_refused(times: int) -> None:
    """Nobody makes a gigabyte by a slip of the keyboard."""
    with pytest.raises(UsageError, match="times"):
        Text("ab", times=times)


def test_an_endless_line_ends_nowhere() -> None:
    """The body's last line has no end, or its event has none."""
    for script in scripts("endless-line"):
        assert not body(script).endswith(b"\n\n")
        assert not is_whole(script)
    assert max(len(body(script)) for script in scripts("endless-line")) > 1_000_000


@pytest.mark.parametrize("name", ["comment-keepalive", "comment-after-id", "retry-only-block"])
def test_what_is_put_in_has_no_data(name: str) -> None:
    """Raw bytes of these scenarios hold no data line: by the standard they are no event."""
    raw = {step.data for script in scripts(name, count=40) for step in script.steps if isinstance(step, Raw)}
    assert len(raw) >= 2
    assert not any(line.startswith(b"data") for data in raw for line in data.split(b"\n"))


def test_a_keepalive_of_data_is_no_json() -> None:
    """Each plan has one, and it stands in a data line."""
    for script in scripts("data-colon-keepalive"):
        assert script.quirks == (Quirk.COLON_KEEPALIVE,)
        assert any(isinstance(step, Ping) for step in script.steps)
        assert b"data: : keepalive" in body(script)


def test_bursts_are_as_big_as_a_proxys_buffer() -> None:
    """Between two silences come up to 16 KB and more, and no silence comes near the time-out."""
    sizes = [max(map(len, writes(script))) for script in scripts("proxy-burst-16k")]
    assert max(sizes) > 16_000
    for plan in drawn("proxy-burst-16k"):
        assert all(step.seconds < 20 for step in plan.attempts[0].script.steps if isinstance(step, Pause))


def test_a_message_begins_twice_and_is_said_once() -> None:
    """There are two beginnings or more, one finish and one end."""
    for script in scripts("duplicate-message-start"):
        assert sum(isinstance(step, Open) for step in script.steps) >= 2
        assert [step for step in script.steps if isinstance(step, (Finish, Done))] == [Finish(), Done()]


# --- errors inside the stream -----------------------------------------------------------------------------------------


def test_an_error_of_chat_comes_at_any_time_or_not_at_all() -> None:
    """As the very first event, behind the role, behind tokens; with [DONE] behind it and without; and a bare FIN."""
    before = set()
    for script in scripts("inband-error-chat", count=80):
        said = [step for step in script.steps if not isinstance(step, (End, Pause))]
        failures = [index for index, step in enumerate(said) if isinstance(step, Failure)]
        before |= {type(said[index - 1]).__name__ for index in failures} or {"none"}
    assert before == {"Head", "Open", "Text", "none"}


def test_a_response_ends_badly_in_all_its_ways() -> None:
    """response.failed, error in both shapes, and response.incomplete."""
    said = {
        word
        for script in scripts("responses-failed-error-incomplete", count=60)
        for word in (b"response.failed", b'"type":"error","', b'"type":"error","error":{', b"response.incomplete")
        if word.replace(b" ", b"") in body(script).replace(b" ", b"")
    }
    assert said >= {b"response.failed", b"response.incomplete", b'"type":"error","'}


def test_an_error_stands_in_a_field_of_its_own() -> None:
    """The line begins with `error:`, and no event holds it."""
    for script in scripts("llamacpp-error-field"):
        assert b"\nerror: {" in b"\n" + body(script)
        assert b'data: {"error"' not in body(script)


def test_an_error_line_is_the_last_of_its_stream() -> None:
    """It holds nothing but the sentence, and nothing says `done`."""
    for script in scripts("ollama-midstream-error-line"):
        last = json.loads(body(script).splitlines()[-1])
        assert set(last) == {"error"}
        assert b'"done":true' not in body(script)


def test_behind_an_error_the_connection_stays_open() -> None:
    """An event of the vendor's shape or a bare sentence, and then no end."""
    kinds = set()
    for script in scripts("error-event-then-open-socket"):
        assert script.steps[-1] == End(Ending.OPEN)
        kinds |= {type(step) for step in script.steps if isinstance(step, (Failure, Raw))}
    assert kinds == {Failure, Raw}


def test_the_caller_leaves_while_the_server_still_speaks() -> None:
    """Every plan says when the caller cancels, and none has an end."""
    for plan in drawn("client-cancel-seen-by-server"):
        assert plan.client.cancel_at is not None
        assert plan.attempts[0].script.steps[-1] == End(Ending.OPEN)


# --- what the files may say -------------------------------------------------------------------------------------------

FILE = 'format = 1\n[scenario]\n[script]\ndialect = "{dialect}"\ntokens = 2\ntext = "abcd"\n'


def read(text: str, dialect: str = "openai-chat") -> tuple[Step, ...]:
    """The steps of the one plan of a small file."""
    return single(parse(FILE.format(dialect=dialect) + text, name="x", where="x.toml")).attempts[0].script.steps


@pytest.mark.parametrize(
    ("before", "place"), [("open", 1), ("text", 2), ("token", 3), ("finish", 4), ("done", 5), ("end", 6)]
)
def test_a_step_is_put_in_where_the_file_says(before: str, place: int) -> None:
    """Each word is a place of its own."""
    steps = read(f'[[script.inserts]]\nbefore = "{before}"\nsteps = ["retry: 1\\n\\n"]\n')
    assert [index for index, step in enumerate(steps) if step == Raw(b"retry: 1\n\n")] == [place]


def test_a_place_that_is_missing_is_the_next_one() -> None:
    """Without a sentinel, before it is behind the finish; without a second token, before it is behind the first."""
    steps = read('terminal = "soft"\n[[script.inserts]]\nbefore = "done"\nsteps = ["x"]\n')
    assert steps[-1] == Raw(b"x")
    steps = read('[[script.inserts]]\nbefore = "token"\nsteps = ["x"]\n'.replace("tokens", ""), "gemini")
    assert Raw(b"x") in steps


def test_a_word_is_said_in_each_dialect() -> None:
    """The finish reason is the dialect's own; a dialect that is left out is refused by name."""
    words = 'finish = { by_dialect = { openai-chat = "length", gemini = "MAX_TOKENS" } }\n'
    assert Finish("length") in read(words)
    assert Finish("MAX_TOKENS") in read(words, "gemini")
    with pytest.raises(UsageError, match=r"by_dialect says nothing for ollama"):
        read(words, "ollama")


def test_a_vendors_own_error_answer() -> None:
    """A case has the vendor's status, fields and body; the wait is the file's."""
    plan = single(
        parse(FILE.format(dialect="openai-chat") + 'case = "rate-limit"\nretry_after = 7\n', name="x", where="x.toml")
    )
    script = plan.attempts[0].script
    assert script.head.status == 429
    assert ("Retry-After", "7") in script.head.headers
    assert any(isinstance(step, Body) and "rate_limit_exceeded" in step.text for step in script.steps)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('case = "no-such"', "case"),
        ('retry_after = "soonish"', "unknown value 'soonish'"),
        ("retry_after = -1", "at least 0"),
        ('inserts = [{ before = "start", steps = [] }]', "unknown value 'start'"),
        ('inserts = [{ before = "open" }]', "the key 'steps' is missing"),
        ('inserts = [{ before = "open", steps = { one_of = [] } }]', "one_of: it is empty"),
        ('quirks = ["none"]', "quirks"),
        ("times = 0", "at least 1"),
        ('finish = { by_dialect = { openai = "x" } }', "unknown key 'openai'"),
    ],
)
def test_a_mistake_is_one_sentence(line: str, sentence: str) -> None:
    """The file and the key are named, and what is allowed."""
    with pytest.raises(UsageError) as refused:
        read(line + "\n")
    assert str(refused.value).startswith("x.toml: ")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_expected_can_come_true() -> None:
    """Where a file narrows the table, success and failure are not mixed up: lookalikes and cuts are errors."""
    good = {Outcome.COMPLETE, Outcome.RECONNECT}
    for name in ("done-lookalike", "cut-inside-tool-arguments", "ollama-midstream-error-line"):
        assert not good & set(loader.load(name).expect.outcome)
    for name in ("done-with-null-finish", "data-after-done", "max-tokens-visible", "byte-at-a-time"):
        assert set(loader.load(name).expect.outcome) <= good
