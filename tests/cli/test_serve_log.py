"""The log of ``testbed serve``: which words stand for which facts."""

from __future__ import annotations

import json

import pytest

from testbed.cli._serve_log import Line, Log, as_json, as_text
from testbed.faults.toxics import Direction, ResetAfter, ResetAfterAttributes
from testbed.plan import Attempt, Plan
from testbed.script import DialectName, Done, Ending, Finish, Head, Open, Script, Text
from testbed.server.stages import Turn
from testbed.trace import (
    Delivered,
    Fired,
    LinkEof,
    LinkReset,
    Observation,
    PeerLeft,
    Request,
    Sent,
    ServerEnd,
)

SCRIPT = Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("a"), Text("b"), Finish(), Done()))
PLAIN = Plan("calm", (Attempt(SCRIPT),))
STRUCK = Plan("rough", (Attempt(SCRIPT, (ResetAfter(attributes=ResetAfterAttributes(bytes=250)),)),))
DOWN = Direction.DOWNSTREAM
ASKED = Request(10, 0, "POST", "/v1/chat/completions")
WROTE = tuple(
    Sent(20 + step, 0, step, (step * 100, step * 100 + 100), (0, 0), (0, step * 90), True) for step in range(4)
)
CLEAN = ServerEnd(1_500_010, 0, Ending.CLEAN, framed=True)


def told(plan: Plan, *seen: Observation, trouble: str = "") -> Line:
    """The one line of a connection."""
    lines: list[Line] = []
    log = Log(lines.append)
    log.turn(1, Turn(plan, 0))
    for one in seen:
        log.seen(1, one)
    log.over(1, trouble)
    (line,) = lines
    return line


@pytest.mark.parametrize(
    ("plan", "seen", "outcome", "said"),
    [
        (PLAIN, (*WROTE, CLEAN), "complete", "complete 270 B in 1.5 s"),
        (PLAIN, (*WROTE[:3], PeerLeft(30, 0, reset=False)), "left", "client left after 1 token"),
        (PLAIN, (*WROTE, PeerLeft(30, 0, reset=False)), "left", "client left after 2 tokens"),
        (PLAIN, WROTE[:1], "left", "client left after 0 tokens"),
        (PLAIN, (*WROTE, ServerEnd(30, 0, Ending.RST, framed=False)), "rst", "reset by plan at byte 400"),
        (PLAIN, (*WROTE, ServerEnd(30, 0, Ending.FIN, framed=False)), "fin", "cut by plan with a FIN at byte 400"),
        (PLAIN, (*WROTE, ServerEnd(30, 0, Ending.CLEAN, framed=False)), "clean", "ended at byte 400"),
        (PLAIN, (*WROTE, ServerEnd(30, 0, Ending.KEEP, framed=True)), "complete", "complete 270 B in 2e-05 s"),
        (
            STRUCK,
            (*WROTE, Delivered(30, 0, DOWN, 250), Fired(31, 0, 0, "reset_after"), LinkReset(31, 0, DOWN), CLEAN),
            "reset",
            "reset by the network at byte 250",
        ),
        (
            STRUCK,
            (*WROTE, Delivered(30, 0, DOWN, 400), Fired(31, 0, 0, "latency"), CLEAN, LinkEof(40, 0, DOWN)),
            "complete",
            "complete 270 B in 1.5 s",
        ),
        (
            STRUCK,
            (*WROTE[:2], Delivered(30, 0, DOWN, 50), Fired(31, 0, 0, "close_after"), LinkEof(31, 0, DOWN)),
            "cut",
            "cut by the network at byte 50",
        ),
    ],
)
def test_a_line_says_who_ended_the_answer_and_where(
    plan: Plan, seen: tuple[Observation, ...], outcome: str, said: str
) -> None:
    """The script, the network or the client."""
    line = told(plan, ASKED, *seen)
    assert (line.outcome, line.said) == (outcome, said)
    assert (line.scenario, line.attempt, line.status) == (plan.scenario, 0, 200)


def test_what_the_server_answers_by_itself_is_told_with_its_status() -> None:
    """Refusals with their sentence, a quota with its wait, asides with what was asked."""
    refused = Request(1, 0, "POST", "/x", problem="the path is /x", status=404)
    assert told(PLAIN, refused, CLEAN).said == "refused 404: the path is /x"
    limited = Request(1, 0, "POST", "/x", aside=True, status=429, wait=6_000_000)
    assert told(PLAIN, limited, CLEAN).said == "answered 429: the quota is used up for 6 s"
    aside = Request(1, 0, "GET", "/v1/models", aside=True, status=200)
    assert told(PLAIN, aside, CLEAN).said == "answered 200 to GET /v1/models"


def test_our_own_error_is_told_as_ours() -> None:
    """Nobody is to look for it in the client."""
    assert told(PLAIN, ASKED, trouble="ValueError: x").said == "our own error: ValueError: x"


def test_a_kept_connection_has_a_line_for_each_request() -> None:
    """The second one is told with the attempt that it played."""
    lines: list[Line] = []
    log = Log(lines.append)
    log.turn(1, Turn(PLAIN, 0))
    for request in (ASKED, Request(20, 0, "POST", "/v1/chat/completions", attempt=1)):
        log.seen(1, request)
        log.seen(1, ServerEnd(30, 0, Ending.KEEP, framed=True))
    log.over(1, "")
    assert [line.attempt for line in lines] == [0, 1]


def test_a_line_for_people_and_one_for_machines_say_the_same() -> None:
    """The text has time, connection, dialect, scenario, attempt, outcome and faults; JSON has them by name."""
    line = told(STRUCK, ASKED, *WROTE, Fired(31, 0, 0, "latency"), CLEAN)
    clock, _, rest = as_text(line).partition(" ")
    assert line.time.endswith(clock)
    assert rest == "#1 openai-chat rough attempt 1: complete 270 B in 1.5 s [latency]"
    assert json.loads(as_json(line)) == {**line._asdict(), "faults": ["latency"]}


def test_a_request_cannot_write_to_the_terminal() -> None:
    """Control characters of a path are replaced before they are shown."""
    line = told(PLAIN, Request(1, 0, "GET", "/", problem="the path is \x1b[2J\n#2 faked", status=404), CLEAN)
    assert "\x1b" not in as_text(line)
    assert "\n" not in as_text(line)
