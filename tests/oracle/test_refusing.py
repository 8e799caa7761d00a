"""A client that refuses what may be refused has stopped reading there."""

from __future__ import annotations

from testbed.oracle import Verdict, judge
from testbed.script import Done, Finish, Head, Open, Ping, Quirk, Script, Text
from testbed.trace import Clock, Outcome
from testbed.trace import Failure as Found
from tests.oracle.runs import CHAT, Run, plan_of

STEPS = (Head(), Open(), Ping(), Text("One "), Finish(), Done())


def refused(*quirks: Quirk) -> tuple[Verdict, list[Found]]:
    """A slow client that refuses the ping, long after everything had arrived."""
    run = Run(plan_of(Script(CHAT, STEPS, quirks=quirks)), clock=Clock.REAL).play()
    judgement = judge(run.plan, run.raises(Outcome.DECODE, at=5.0).trace())
    return judgement.verdict, [one.failure for one in judgement.findings]


def test_text_behind_a_doubtful_event_is_not_lost_to_who_refuses_it() -> None:
    """A keep-alive that is an event and no JSON may be refused; the text behind it then stays unread."""
    assert refused(Quirk.COLON_KEEPALIVE) == (Verdict.LENIENT, [])


def test_text_behind_a_comment_is_lost() -> None:
    """Nobody may refuse a comment."""
    assert refused()[1] != []
