"""What an answer says of asking again: its waits, its no, and dates that count from its own moment."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from testbed.net.schedule import plays
from testbed.program import compile_script
from testbed.retrying import Form, Wait, dated, has_dates, needs_body, only_advised, says_no, waits
from testbed.script import Body, DialectName, Head, Script
from testbed.timing import nominal, patience
from tests.test_cures import in_seconds, plan, said

CHAT, OLLAMA = DialectName.OPENAI_CHAT, DialectName.OLLAMA
NOW = 1_700_000_000.25
SPENT = '{"error": {"type": "insufficient_quota"}}'


def answer(status: int, *headers: tuple[str, str], body: str = "", dialect: DialectName = CHAT) -> Script:
    """An error answer."""
    return Script(dialect, (Head(status, headers=headers), *([Body(body)] if body else [])))


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ((), ()),
        ((("Retry-After", "5"),), (Wait(5.0, Form.SECONDS),)),
        ((("retry-after", "0.5"),), (Wait(0.5, Form.SECONDS),)),
        ((("Retry-After", in_seconds(30)),), (Wait(30.0, Form.DATE),)),
        ((("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),), ()),
        ((("Retry-After", "Fri, 31 Dec 2999 23:59:59 GMT"),), ()),
        ((("Retry-After", "-5"),), ()),
        ((("Retry-After", "inf"),), ()),
        ((("Retry-After", "soon"),), ()),
        ((("Retry-After", "2"), ("Retry-After", "1")), (Wait(1.0, Form.SECONDS), Wait(2.0, Form.SECONDS))),
    ],
)
def test_every_wait_is_found_and_the_shortest_comes_first(
    headers: tuple[tuple[str, str], ...], told: tuple[Wait, ...]
) -> None:
    """What has no form is no wait, and a date of another year is no moment of this run."""
    assert waits(answer(429, *headers)) == told


@pytest.mark.parametrize(
    ("script", "why", "advised"),
    [
        (answer(503), "", False),
        (answer(400), "status 400", False),
        (answer(400, ("x-should-retry", "true")), "", False),
        (answer(503, ("X-Should-Retry", "false")), "status 503 with x-should-retry: false", True),
        (answer(503, ("X-Should-Retry", "false"), dialect=OLLAMA), "", False),
        (answer(400, ("x-should-retry", "false")), "status 400", False),
        (answer(429, body=SPENT), "status 429 with the code insufficient_quota", False),
        (answer(429, body='{"error": {"type": "rate_limit_error"}}'), "", False),
        (answer(429, body='{"error": 7}'), "", False),
        (answer(429, body="<html>"), "", False),
        (Script(CHAT, (Head(200),)), "", False),
    ],
)  # fmt: skip
def test_an_answer_says_why_it_is_final(script: Script, why: str, advised: bool) -> None:
    """A status, a code in the body, or a vendor's field, which is advice alone."""
    assert (says_no(script), only_advised(script)) == (why, advised)
    assert needs_body(script) is why.endswith("insufficient_quota")


def test_a_date_is_made_when_it_is_said_and_is_as_long_as_it_was_written() -> None:
    """Now is rounded down and what is to come is rounded up, so nobody who obeys is too early; no byte moves."""
    script = answer(429, ("Date", in_seconds(0)), ("Retry-After", in_seconds(30)), ("x-other", "1"))
    real = dated(script, NOW)
    fields = dict(real.head.headers)
    date, until = (parsedate_to_datetime(fields[name]).timestamp() for name in ("Date", "Retry-After"))
    assert (date, until, fields["x-other"]) == (1_700_000_000, 1_700_000_031, "1")
    sizes = [[len(write.data) for write in compile_script(one) if hasattr(write, "data")] for one in (script, real)]
    assert sizes[0] == sizes[1]


def test_a_script_without_such_a_date_stays_as_it_is() -> None:
    """A date of another year is the tester's word."""
    script = answer(429, ("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"))
    assert dated(script, NOW) is script
    assert not has_dates(script)
    assert plays(script)
    assert not plays(answer(429, ("Retry-After", in_seconds(9))))  # a crowd says the same at any time


def test_what_a_right_client_waits_for_is_part_of_a_plans_time() -> None:
    """A date, the milliseconds and a quota as well as seconds; what is final costs nothing."""
    limited = plan(answer(429, ("Retry-After", in_seconds(30))), said(), retries=1)
    assert nominal(limited) == pytest.approx(31.0)
    assert patience(limited) > 40
    assert nominal(plan(answer(429, ("retry-after-ms", "1500")), said(), retries=1)) == pytest.approx(1.5)
    assert nominal(plan(answer(503, ("x-should-retry", "false")), said(), retries=1)) == 0
    falls = plan(answer(401), fallback=answer(503), retries=1)
    assert nominal(falls) == pytest.approx(0.5)
