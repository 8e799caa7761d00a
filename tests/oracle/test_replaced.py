"""Overwritten bytes, event by event: U+FFFD in just their place, and everything around it as it was sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.oracle import Verdict, judge
from testbed.program import Write, compile_script, layout
from testbed.script import Done, Finish, Head, Message, Open, Replace, Script, Step, Text
from testbed.sse import Parser
from testbed.trace import Failure, Outcome
from tests.oracle.runs import CHAT, EVENTSOURCE, Run, plan_of

WORDS = ("One ", "fine ", "day ", "in May")


def body_of(script: Script) -> bytes:
    """The bytes of the body."""
    writes = (one for one in compile_script(script) if isinstance(one, Write))
    return b"".join(one.data[slice(*one.payload)] for one in writes)


def struck(*places: tuple[str, int, bytes]) -> Script:
    """An answer of four words, with bytes of some of them overwritten: the word, how far into it, and by what."""
    steps: tuple[Step, ...] = (Head(), Open(), *map(Text, WORDS), Finish(), Done())
    plain = Script(CHAT, steps)
    body = body_of(plain)
    faults = [Replace(body.index(b'"' + word.encode()) + 1 + into, data) for word, into, data in places]
    return Script(CHAT, steps, tuple(faults))


def verdict(script: Script, *shown: str, outcome: Outcome = Outcome.COMPLETE) -> Verdict:
    """The verdict on a client that shows this."""
    run = Run(plan_of(script)).play().shows(*shown)
    run.ends(0.1) if outcome is Outcome.COMPLETE else run.raises(outcome, at=0.1)
    return judge(run.plan, run.trace()).verdict


TWO = struck(("fine ", 1, b"\xff"), ("in May", 3, b"\xff\xfe"))
BOTH = ("One ", "f\ufffdne ", "day ", "in \ufffd\ufffdy")


@pytest.mark.parametrize(
    ("shown", "right"),
    [
        (BOTH, True),
        (("One ", "f\ufffdne ", "day ", "in \ufffdy"), True),  # a decoder may write one for two
        (("One ", "f\ufffdne ", "day ", "in May"), True),  # what was struck may be no part of the text
        (("One ", "f\ufffdne ", "dxy ", "in \ufffd\ufffdy"), False),
        (("One ", "f\ufffdne ", "in \ufffd\ufffdy"), False),
        (("One ", "fne ", "day ", "in \ufffd\ufffdy"), False),
        (("One ", "f\ufffdne ", "day ", "in y"), False),
        (("One ", "\ufffdine ", "d\ufffdy ", "in \ufffd\ufffdy"), False),
        (("One ", "f\ufffdne ", "day ", "in \ufffd\ufffdyz"), False),
        (("One ", "f\ufffdne ", "day ", "in \ufffd"), False),
    ],
)
def test_each_of_several_struck_events_is_looked_at(shown: tuple[str, ...], right: bool) -> None:
    """One that is right excuses no other, and what stands between them is compared to the character."""
    assert (verdict(TWO, *shown) is not Verdict.FAIL) is right


@pytest.mark.parametrize("count", range(1, 5))
def test_an_error_may_come_at_any_of_them(count: int) -> None:
    """Up to there everything is shown as it came."""
    assert verdict(TWO, *BOTH[:count], outcome=Outcome.DECODE) is not Verdict.FAIL
    assert verdict(TWO, *BOTH[: count - 1], "x", outcome=Outcome.DECODE) is Verdict.FAIL


def test_behind_bytes_that_nobody_can_read_nothing_is_compared() -> None:
    """But what stands before them is: an overwritten letter that is a letter may be anything."""
    script = struck(("fine ", 1, b"\xff"), ("day ", 1, b"u"))
    run = Run(plan_of(script)).play().shows("One ", "f\ufffdne ", "whatever").ends(0.1)
    judgement = judge(run.plan, run.trace())
    assert judgement.findings == ()
    assert judgement.unchecked == ("the text from the overwritten bytes on",)
    run = Run(plan_of(script)).play().shows("One ", "x\ufffdne ", "whatever").ends(0.1)
    assert [one.failure for one in judge(run.plan, run.trace()).findings] == [Failure.CORRUPTED_TEXT]


# --- plain event streams ----------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["a", "abc", "naïve", "日本語", ""]), min_size=1, max_size=4),
    st.sampled_from([b"\xff", b"\xc3", b"\xff\xfe", b"\xe2\x82"]),
    st.booleans(),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_what_the_reference_parser_makes_of_a_struck_stream_is_right(  # type: ignore[no-untyped-def]
    texts: list[str], data: bytes, named: bool, draw
) -> None:
    """At any byte, a field's name and a line's end included: the standard says what an event source dispatches."""
    steps = (Head(), *(Message(text, id=str(n), event="tick" if named else None) for n, text in enumerate(texts)))
    size = layout(Script(EVENTSOURCE, steps)).body
    at = draw.draw(st.integers(0, size - len(data)))
    script = Script(EVENTSOURCE, steps, (Replace(at, data),))
    run = Run(plan_of(script)).play()
    for event in Parser().feed(body_of(script)):
        run.shows_event(event.data, type=event.type, id=event.id)
    judgement = judge(run.plan, run.ends(0.1).trace())
    assert judgement.findings == (), judgement
    assert judgement.verdict in (Verdict.PASS, Verdict.LENIENT), judgement


@pytest.mark.parametrize(
    ("shown", "right"), [("f\ufffdne", True), ("\ufffdine", False), ("f\ufffdn", False), ("xx\ufffdne", False)]
)
def test_one_wrong_character_is_no_licence_for_others(shown: str, right: bool) -> None:
    """An event with U+FFFD in it is compared like any other, but for that."""
    steps = (Head(), Message("One"), Message("fine"))
    plain = Script(EVENTSOURCE, steps)
    script = Script(EVENTSOURCE, steps, (Replace(body_of(plain).index(b"fine") + 1, b"\xff"),))
    run = Run(plan_of(script)).play().shows_event("One").shows_event(shown).ends(0.1)
    assert (judge(run.plan, run.trace()).verdict is not Verdict.FAIL) is right
