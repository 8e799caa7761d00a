"""What a client may refuse and need not: then both are right, and nothing else of the answer may be missing.

Beside it what one connection leaves behind for the next: the id that a client of plain events keeps.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from testbed.oracle import Verdict, judge
from testbed.script import DialectName, Done, Finish, Head, Message, Open, Pause, Ping, Quirk, Raw, Script, Step, Text
from testbed.trace import Failure, Outcome
from tests.oracle.runs import ANTHROPIC, CHAT, EVENTSOURCE, WORDS, Run, plan_of, profile

KEEPALIVE = (Quirk.COLON_KEEPALIVE,)
TOKENS = tuple(map(Text, WORDS))

# What is doubtful, behind the first token.
DOUBTFUL: dict[str, tuple[DialectName, tuple[Quirk, ...], Step]] = {
    "a keep-alive that is no JSON": (CHAT, KEEPALIVE, Ping()),
    "the same with a name": (ANTHROPIC, KEEPALIVE, Ping()),
    "a second beginning": (ANTHROPIC, (), Open()),
}


def answer(what: str, *, pause: float = 0.0) -> Run:
    """A whole answer with something doubtful behind its first token, played."""
    dialect, quirks, step = DOUBTFUL[what]
    steps = (Head(), Open(), TOKENS[0], step, *((Pause(pause),) if pause else ()), *TOKENS[1:], Finish(), Done())
    return Run(plan_of(Script(dialect, steps, (), quirks))).play()


def verdict(run: Run) -> tuple[Verdict, tuple[Failure, ...]]:
    """What is said of a run."""
    judged = judge(run.plan, run.trace())
    return judged.verdict, tuple(finding.failure for finding in judged.findings)


@pytest.mark.parametrize("what", DOUBTFUL)
def test_a_patient_client_shows_everything_else(what: str) -> None:
    """Whoever passes it over is right."""
    assert verdict(answer(what).shows(*WORDS).ends(0.1)) == (Verdict.PASS, ())


@pytest.mark.parametrize("what", DOUBTFUL)
def test_a_strict_client_may_refuse_it(what: str) -> None:
    """Whoever refuses it is tolerated, behind the whole answer and in the middle of it."""
    assert verdict(answer(what).shows(WORDS[0]).raises(Outcome.DECODE, at=0.001))[0] is Verdict.LENIENT
    still_open = answer(what, pause=5.0).shows(WORDS[0]).raises(Outcome.PROTOCOL, at=0.1)
    assert verdict(still_open)[0] is Verdict.LENIENT


@pytest.mark.parametrize("what", DOUBTFUL)
def test_no_text_may_be_missing_or_come_twice(what: str) -> None:
    """A client that goes on and loses a token, or begins again, is wrong as anywhere else."""
    assert verdict(answer(what).shows(WORDS[0], *WORDS[2:]).ends(0.1))[0] is Verdict.FAIL
    assert verdict(answer(what).shows(WORDS[0], *WORDS).ends(0.1))[0] is Verdict.FAIL


@pytest.mark.parametrize("what", DOUBTFUL)
def test_it_excuses_no_other_error(what: str) -> None:
    """That something could be refused makes no reset of it."""
    assert verdict(answer(what).shows(*WORDS).raises(Outcome.RESET, at=0.1)) == (
        Verdict.FAIL,
        (Failure.FALSE_FAILURE,),
    )


def test_what_is_right_is_not_doubtful() -> None:
    """Without the quirk a keep-alive is a comment, which nobody may refuse."""
    steps: tuple[Step, ...] = (Head(), Open(), TOKENS[0], Ping(), Pause(5.0), *TOKENS[1:], Finish(), Done())
    run = Run(plan_of(Script(CHAT, steps))).play().shows(WORDS[0]).raises(Outcome.DECODE, at=0.1)
    assert verdict(run) == (Verdict.FAIL, (Failure.FALSE_FAILURE,))


def reconnected(**request: Any) -> Run:
    """A stream that ends with an id of its own, and its client's second connection."""
    steps = (Head(), Message("a"), Raw(b"id: 7\n\n"))
    client = msgspec.structs.replace(profile(), reconnects=True)
    run = Run(plan_of(Script(EVENTSOURCE, steps), max_retries=1), client=client)
    return run.play(method="GET").shows_event("a").play(at=1.0, method="GET", **request)


def test_an_id_stays_with_the_client_over_a_reconnect() -> None:
    """The first event of the second connection has the id that the client came back with."""
    assert verdict(reconnected(resumes="7").shows_event("a", id="7", at=1.0).ends(1.1))[1] == ()


def test_an_id_that_nobody_gave_is_wrong() -> None:
    """An event with an id that neither the stream nor the client had is not the event that was sent."""
    assert verdict(reconnected(resumes="7").shows_event("a", id="8", at=1.0).ends(1.1))[1] == (Failure.CORRUPTED_TEXT,)
