"""The last bytes of an answer, where right clients differ: no school of them is accused, and who notices nothing is.

Every dialect with every quirk is cut by the server and by the network, around the ends of its last events and in its
head, in every way that a connection can end.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.dialects import QUIRKS
from testbed.oracle import Verdict, judge
from testbed.program import layout
from testbed.script import (
    DialectName,
    Done,
    Ending,
    Failure,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Ping,
    Quirk,
    Script,
    Step,
    Text,
)
from testbed.trace import Outcome
from tests.oracle.runs import EVENTSOURCE, plan_of
from tests.oracle.schools import SCHOOLS, Cut, attend, naive

BY_SERVER = (Ending.CLEAN, Ending.FIN, Ending.RST, Ending.ABORT, Ending.OPEN)
BY_NETWORK = (Ending.FIN, Ending.RST, Ending.ABORT, Ending.OPEN)
# An array of JSON is read by no reader of these schools, and a keep-alive that is no JSON by some of them only.
UNREAD = {Quirk.JSON_ARRAY, Quirk.COLON_KEEPALIVE}
OF_ERRORS = {Quirk.ERROR_FIELD, Quirk.DONE_AFTER_ERROR, Quirk.ERROR_EVENT, Quirk.NESTED_ERROR, Quirk.BARE_ERROR}
# Where line ends come in turn, the exact number of bytes behind the data depends on the line.
IN_TURN = {Quirk.MIXED_LINE_ENDS}


def answer(dialect: DialectName, quirk: Quirk | None, framing: Framing, *, fails: bool = False) -> Script:
    """Two words with a sign of life between them, and the end of the dialect or an error."""
    alive = () if dialect is DialectName.OLLAMA else (Ping(),)
    steps: tuple[Step, ...] = (Open(), Text("One "), *alive, Text("two"))
    if dialect is EVENTSOURCE:
        steps = (Message("One ", id="1"), Ping(), Message("two", id="2"))
    elif fails:
        steps = (*steps[:-1], Failure("overloaded_error"))
    else:
        one = {DialectName.GEMINI: (Finish(),), DialectName.MCP: (Done(),)}
        steps = (*steps, *one.get(dialect, (Finish(), Done())))
    return Script(dialect, (Head(framing=framing), *steps), (), () if quirk is None else (quirk,))


def cuts(script: Script, near: int) -> Iterator[Cut]:
    """Around the ends of the last events, and a few places elsewhere."""
    whole = layout(script)
    bodies = {event.body[1] + step for event in whole.events[-2:] for step in range(-near, 2)}
    wires = {event.wire[1] + step for event in whole.events[-2:] for step in range(-near - 2, 2)}
    for at in sorted({0, whole.body // 3} | {one for one in bodies if 0 <= one <= whole.body}):
        yield from (Cut(at, how, True) for how in BY_SERVER)
    for at in sorted({0, 40, whole.head} | {one for one in wires if 0 <= one < whole.wire}):
        yield from (Cut(at, how, False) for how in BY_NETWORK)


KINDS = [
    (name, quirk, framing, fails)
    for name in DialectName
    for quirk in (None, *(one for one in Quirk if name in QUIRKS[one].dialects and one not in UNREAD))
    for framing in (Framing if quirk is None else (Framing.CHUNKED,))
    for fails in ((False,) if name is EVENTSOURCE or (quirk and quirk not in OF_ERRORS) else (False, True))
]


@pytest.mark.once
@pytest.mark.parametrize(
    ("dialect", "quirk", "framing", "fails"),
    KINDS,
    ids=[
        f"{name.value}-{quirk.value if quirk else framing.value}-{'error' if no else 'end'}"
        for name, quirk, framing, no in KINDS
    ],
)
def test_no_school_is_accused_and_who_notices_nothing_is(
    dialect: DialectName, quirk: Quirk | None, framing: Framing, fails: bool
) -> None:
    """Each cut is met by the schools in turn; success that none of them reports is a finding."""
    script = answer(dialect, quirk, framing, fails=fails)
    plan = plan_of(script)
    for number, where in enumerate(cuts(script, near=5 if quirk is None else 3)):
        said = set()
        for place, school in enumerate(SCHOOLS):
            run, outcome = attend(plan, where, school)
            said.add(outcome)
            # One or two of them at each place, and all within a few bytes: judging is what takes the time.
            if (place + number) % 5 == 0:
                judgement = judge(run.plan, run.trace())
                assert judgement.findings == (), (where, school, outcome)
                assert judgement.verdict in (Verdict.PASS, Verdict.LENIENT), (where, school, outcome, judgement.reason)
        if Outcome.COMPLETE not in said and quirk not in IN_TURN and number % 3 == 0:
            unaware = naive(plan, where)
            resets = where.how is Ending.ABORT  # and then the bytes before it are in doubt
            assert resets or judge(unaware.plan, unaware.trace()).verdict is Verdict.FAIL, where


TEXTS = st.lists(st.sampled_from(["", "a", "ab ", "naïve ", "日本語", "😀", "\u2028", "two\nlines "]), max_size=5)


@given(st.sampled_from(list(DialectName)), TEXTS, st.sampled_from(Framing), st.data())
@settings(max_examples=150, deadline=None)
def test_no_school_is_accused_at_any_byte(dialect: DialectName, texts: list[str], framing: Framing, data) -> None:  # type: ignore[no-untyped-def]
    """Any text, any byte, any end, any school."""
    whole = answer(dialect, None, framing)
    said = tuple(Message(one) if dialect is EVENTSOURCE else Text(one) for one in texts)
    tail = () if dialect is EVENTSOURCE else tuple(one for one in whole.steps if isinstance(one, (Finish, Done)))
    opening = () if dialect is EVENTSOURCE else (Open(),)
    script = Script(dialect, (whole.steps[0], *opening, *said, *tail))
    sizes = layout(script)
    by_server = data.draw(st.booleans())
    at = data.draw(st.integers(0, sizes.body if by_server else sizes.wire - 1))
    where = Cut(at, data.draw(st.sampled_from(BY_SERVER if by_server else BY_NETWORK)), by_server)
    run, outcome = attend(plan_of(script), where, data.draw(st.sampled_from(SCHOOLS)))
    judgement = judge(run.plan, run.trace())
    assert judgement.findings == (), outcome
    assert judgement.verdict in (Verdict.PASS, Verdict.LENIENT), judgement
