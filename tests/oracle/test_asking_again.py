"""What is left out of account when a client asks again: other addresses, other servers' words, a stream's own pace."""

from __future__ import annotations

import pytest

from testbed.oracle import Verdict, judge
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.ports import Recorder
from testbed.runner import Elsewhere
from testbed.script import Body, End, Ending, Framing, Head, Message, Script
from testbed.trace import Failure as F
from testbed.trace import Observation, Outcome
from tests.oracle.runs import EVENTSOURCE, WORDS, Run, plan_of, profile, script

KEY_CHANGED = "the Idempotency-Key of a retry was another one"


def refusal(status: int, *headers: tuple[str, str]) -> Script:
    """An error answer."""
    return script(Head(status=status, headers=headers, content_type="text/plain", framing=Framing.LENGTH), Body("no"))


class _Into(Recorder):
    """Records what happens at the second address into the run of the first."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def now(self) -> int:
        """No clock: the observations have their times."""
        return 0

    def record(self, observation: Observation) -> None:
        """Append."""
        self.run.add(observation)


def at_both(*keys: str) -> str:
    """What is said of a client that asks the first address once with a key, and the second one with the others."""
    first, *others = keys
    second = tuple(Attempt(refusal(503)) for _ in others)
    plan = Plan("by-hand", (Attempt(refusal(503)),), ClientSettings(idle_timeout=10.0, max_retries=3), fallback=second)
    run = Run(plan).play(until=0.1, key=first)
    assert plan.second is not None
    there = Run(plan.second)
    for number, key in enumerate(others):
        there.play(at=1.0 + number, key=key)
    for seen in there.raises(Outcome.OVERLOADED, at=9.0, status=503).seen[1:]:
        Elsewhere(_Into(run)).record(seen)
    return judge(run.plan, run.trace()).reason


def test_a_key_is_the_same_at_each_address() -> None:
    """Another address is another server, which knows nothing of the first one's keys."""
    assert KEY_CHANGED not in at_both("a", "b", "b")
    assert at_both("a", "a", "b") == f"{KEY_CHANGED} ('a', 'b')"
    assert at_both("a", "b", "c") == f"{KEY_CHANGED} ('b', 'c')"


@pytest.mark.parametrize(("retry", "found"), [(None, [F.RETRY_STORM]), (10, [])])
def test_an_event_stream_may_ask_for_hurry(retry: int | None, found: list[F]) -> None:
    """A reconnection time of its own, in any one of its events, is the server's wish and no storm."""
    steps = (Head(), Message("a"), Message("b", retry=retry), End(Ending.CLEAN))
    stream = script(*steps, dialect=EVENTSOURCE)
    run = Run(plan_of(stream, stream, stream, max_retries=9), client=profile(reconnects=True))
    for number in range(4):
        run.play(at=0.02 * number).shows_event("a", at=0.02 * number).shows_event("b", at=0.02 * number)
    judgement = judge(run.plan, run.raises(Outcome.INCOMPLETE, at=0.07).trace())
    assert [one.failure for one in judgement.findings if one.failure is F.RETRY_STORM] == found


def test_a_wait_in_a_success_means_nothing() -> None:
    """The field belongs to answers that ask to come again."""
    steps = (Head(headers=(("Retry-After", "30"),)), End(Ending.RST))
    run = Run(plan_of(script(*steps), script(), max_retries=1)).play().play(at=1.0).shows(*WORDS, at=1.0).ends(1.1)
    assert judge(run.plan, run.trace()).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (script(), "The request was sent again after a whole answer."),
        (script(Head(status=204), dialect=EVENTSOURCE), "The request was sent again after status 204."),
    ],
)
def test_what_was_final_is_named(stream: Script, said: str) -> None:
    """A whole answer, or the status by which a server ends a plain event stream for good."""
    run = Run(plan_of(stream, stream, max_retries=2), client=profile(reconnects=True)).play().play(at=1.0)
    if stream.dialect is not EVENTSOURCE:
        run.shows(*WORDS, at=1.0)
    assert said in [one.summary for one in judge(run.plan, run.ends(1.1).trace()).findings]
