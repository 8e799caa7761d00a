"""What an answer asks a client to wait, where it says it in several forms."""

from __future__ import annotations

import pytest

from testbed.oracle import judge
from testbed.retrying import Form, Wait, waits
from testbed.script import DialectName, Head, Script
from testbed.trace import Failure
from tests.oracle.runs import Run, plan_of

FINE, ROUGH = ("retry-after-ms", "500"), ("Retry-After", "60")


@pytest.mark.parametrize("dialect", [DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES, DialectName.OLLAMA])
def test_a_client_that_knows_the_finer_field_may_go_by_it_anywhere(dialect: DialectName) -> None:
    """The kindest reading comes first: SDKs of several vendors read the milliseconds before the seconds."""
    told = waits(Script(dialect, (Head(status=429, headers=(ROUGH, FINE)),)))
    assert told == (Wait(0.5, Form.MILLISECONDS), Wait(60.0, Form.SECONDS))


def test_a_client_need_not_know_a_field_that_its_vendor_does_not_have() -> None:
    """Alone, the milliseconds ask something only of OpenAI's clients."""
    assert waits(Script(DialectName.OLLAMA, (Head(status=429, headers=(FINE,)),))) == ()
    assert waits(Script(DialectName.OPENAI_CHAT, (Head(status=429, headers=(FINE,)),))) != ()


def stopped_after(seconds: float, told: str, **client: int) -> list[Failure]:
    """What is found in a client that was told to wait, and was stopped while it did."""
    plan = plan_of(Script(DialectName.OPENAI_CHAT, (Head(status=429, headers=(("Retry-After", told),)),)), **client)
    run = Run(plan).play().cancelled(at=seconds)
    return [one.failure for one in judge(plan, run.trace()).findings]


def test_who_waits_as_long_as_it_was_told_does_not_hang() -> None:
    """Two minutes are more than most clients wait, and less than some; longer than told is a hang all the same."""
    assert stopped_after(100.0, "120", max_retries=2) == []
    assert stopped_after(160.0, "120", max_retries=2) == [Failure.HANG]


def test_who_has_no_retry_left_has_nothing_to_wait_for() -> None:
    """The answer was final for it."""
    assert stopped_after(100.0, "120", max_retries=0) == [Failure.HANG]
