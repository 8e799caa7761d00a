"""Tool calls: a tool is run on the arguments that were sent, all of them, and once.

The law of this module: a call is judged by what it would make the caller do, so its arguments are compared as JSON and
not as text; how a client came by them is its own affair. Judged only where the adapter shows calls, and only calls
whose bytes no content fault has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from testbed._values import Value
from testbed.oracle.case import Case
from testbed.oracle.connections import Connection, Span, Tier
from testbed.oracle.contents import hits
from testbed.oracle.evidence import finding, quoted, seconds
from testbed.oracle.findings import NOTHING, Finding, Report
from testbed.oracle.requirements import TOOLS
from testbed.oracle.transports import Progress
from testbed.script import Arguments, Finish, Message, Raw, Step, ToolCall
from testbed.trace import Ended, Failure, SawTool

# The reasons, in every vendor's words, with which an answer ends because it is whole. Behind any other it was cut, and
# then a call may be, too; a client that hands over none is right.
_WHOLE = frozenset({"", "stop", "STOP", "tool_calls", "function_call", "tool_use", "end_turn", "completed"})


class Called(Value):
    """One call of a script: what it says, and the wire bytes behind which a client has all of it."""

    name: str
    arguments: str
    needs: int | None  # None: the server never wrote the end of it
    surely: int | None  # the same with the framing behind it: who has these bytes cannot have missed the call
    begins: int | None  # the wire byte behind which a client knows that there is a call; None as above
    changed: bool  # a content fault has overwritten some of its bytes


def check(case: Case) -> Report:
    """Compare the calls that were handed over with those that were sent."""
    if not any(called(one) for one in case.attempts) and not shown_calls(case):
        return NOTHING
    if not case.profile.shows_tools:
        return Report(unchecked=("tool calls: the adapter shows none",))
    report, before = NOTHING, False
    for number in range(len(case.attempts)):
        report += _attempt(case, number, again=before)
        before = before or bool(shown_calls(case, number))
    return report


def shown_calls(case: Case, number: int | None = None) -> tuple[SawTool, ...]:
    """The calls that were handed over while attempt `number` was the newest; all of them without a number."""
    # Places and not times: in virtual time a client can show, fail and begin anew in the same microsecond.
    first, last = -1, len(case.trace.observations)
    if number is not None:
        first = case.attempts[number].place if number else first
        last = case.attempts[number + 1].place if number + 1 < len(case.attempts) else last
    seen = enumerate(case.trace.observations)
    return tuple(one for place, one in seen if first <= place < last and isinstance(one, SawTool))


# --- what was sent ----------------------------------------------------------------------------------------------------


def called(connection: Connection) -> tuple[Called, ...]:
    """The calls of the answer that a caller sees: of several choices the first."""
    script = connection.attempt.script
    spans = {span.step: span for span in connection.spans}
    found: list[Called] = []
    steps = script.steps
    for index, step in enumerate(steps):
        if isinstance(step, ToolCall) and step.choice == 0:
            last, arguments = _pieces(steps, index)
            mine = [spans[place] for place in range(index, last + 1) if place in spans]
            end = _end(spans, last)
            found.append(
                Called(
                    step.name,
                    arguments,
                    end.needs(Tier.LINE) if end is not None else None,
                    end.needs(Tier.CHUNK) if end is not None and end.whole else None,
                    mine[0].end if mine else None,
                    any(hits(script, span) for span in mine),
                )
            )
    return tuple(found)


def _pieces(steps: tuple[Step, ...], index: int) -> tuple[int, str]:
    """Where the last piece of the call at `index` stands, and its arguments; what is no call may stand in between."""
    last, arguments = index, ""
    for place, step in enumerate(steps[index + 1 :], index + 1):
        if isinstance(step, ToolCall):
            break
        if isinstance(step, Arguments):
            last, arguments = place, arguments + step.json
    return last, arguments


def _end(spans: dict[int, Span], last: int) -> Span | None:
    """The step behind which the call is whole: its last piece.

    Or the next step that has bytes, where a dialect says a whole call only when it knows that no piece follows.
    """
    there = next((spans[place] for place in sorted(spans) if place >= last), None)
    return there if there is not None and there.is_there(Tier.LINE) else None


# --- against what was shown -------------------------------------------------------------------------------------------


def _attempt(case: Case, number: int, *, again: bool) -> Report:
    connection, shown = case.attempts[number], list(shown_calls(case, number))
    sent = called(connection)
    steps = connection.attempt.script.steps
    # Bytes of nobody's making may hold a call that no step tells of, and changed ones another call than theirs.
    if any(one.changed for one in sent) or any(isinstance(step, (Raw, Message)) for step in steps):
        return Report(unchecked=("tool calls behind overwritten or raw bytes",)) if shown or sent else NOTHING
    received = connection.received(case.until(number) + case.races.bytes)
    missing = list(sent)
    for one in shown:
        wrong = _wrong(case, one, sent, missing, received, again=again)
        if wrong is not None:
            return Report(findings=(wrong,))
    lost = None if again else next(_lost(case, number, missing), None)
    return NOTHING if lost is None else Report(findings=(lost,))


def _wrong(
    case: Case, shown: SawTool, sent: tuple[Called, ...], missing: list[Called], received: int, *, again: bool
) -> Finding | None:
    """What is wrong with a call that was handed over; a right one is no longer `missing`."""
    same = [one for one in sent if one.name == shown.name]
    equal = [one for one in same if _equal(one.arguments, shown.arguments)]
    at = f"{_spelled(shown.name, shown.arguments)} was handed over at {seconds(shown.t)}"
    if any(one.needs is not None and one.needs <= received for one in equal):
        left = next((one for one in equal if one in missing), None)
        if left is not None and not again:
            missing.remove(left)
            return None
        return _finding(case, Failure.DUPLICATED_TEXT, "A tool call was handed over twice.", at)
    # Some clients close the braces of what they have, so half a call need not be the beginning of the whole one.
    came = [one for one in same if one.needs is not None and one.needs <= received]
    there = [one for one in came if _parsed(one.arguments) is not None]
    if same and (not there or any(one.arguments.startswith(shown.arguments) for one in there)):
        pieces = f"sent: {_spelled(same[0].name, same[0].arguments)}"
        summary = "A tool call was handed over before all of its arguments had arrived."
        return _finding(case, Failure.PARTIAL_EVENT_DELIVERED, summary, at, pieces)
    if same:
        pieces = f"sent: {_spelled(same[0].name, same[0].arguments)}"
        summary = "A tool call was handed over with other arguments than were sent."
        return _finding(case, Failure.CORRUPTED_TEXT, summary, at, pieces)
    return _finding(case, Failure.PHANTOM_EVENT, "A tool call was handed over that nobody sent.", at)


def _lost(case: Case, number: int, missing: list[Called]) -> Iterator[Finding]:
    """Calls that a client which reports success has kept from its caller."""
    last, given = case.attempts[number], case.given
    reported = number + 1 == len(case.attempts) and isinstance(case.view.end, Ended)
    if not reported or given is None or given.progress < Progress.FINISHED or _reason(last) not in _WHOLE:
        return
    for one in missing:
        if one.surely is not None and one.surely <= last.received(case.end) and _parsed(one.arguments) is not None:
            detail = f"sent, and delivered: {_spelled(one.name, one.arguments)}"
            yield _finding(case, Failure.LOST_EVENT, "A tool call that was delivered was never handed over.", detail)


def _reason(connection: Connection) -> str:
    finishes = (step for step in connection.attempt.script.steps if isinstance(step, Finish) and step.choice == 0)
    return next((step.reason for step in finishes), "")


def _finding(case: Case, failure: Failure, summary: str, *details: str) -> Finding:
    return finding(case, failure, summary, *details, row=TOOLS)


def _spelled(name: str, arguments: str) -> str:
    return f"{name}({quoted(arguments)})"


# --- arguments --------------------------------------------------------------------------------------------------------


def _equal(sent: str, shown: str) -> bool:
    # Clients may parse and write anew; what stays is the value.
    value = _parsed(sent)
    return value is not None and value == _parsed(shown)


def _parsed(arguments: str) -> dict[str, Any] | None:
    """The object that the arguments are; None if they are none, which half of an object never is."""
    # A call without arguments has none to write, or writes the empty object.
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
