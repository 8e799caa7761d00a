"""What a client says it has when it asks for the rest of a stream, against what it was given and what it showed.

The law of this module: facts laid side by side, none judged. A position is told by ids where the script gives them
(EventSource) and by the dialect's own count of events where it numbers them (MCP, the Responses API); nothing is
encoded for it.

A stream that breaks off and goes on::

    given    1 2 3 4 │ 5̶          the fifth event never arrived whole
    shown    1 2 3 4
    says     "I have 4"   right       the rest begins with 5
    says     "I have 5"   a gap       the rest begins with 6, and nobody will ever see 5
    says     "I have 2"   an overlap  the rest begins with 3, and 3 and 4 come twice
    says     nothing      no resume   all of it comes again
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from testbed._values import Value
from testbed.dialects import DIALECTS, Numbering
from testbed.oracle.case import Case
from testbed.oracle.connections import Connection, Tier
from testbed.oracle.expected import Dispatched, Flavour, delivered, pieces
from testbed.script import Script, shown_text

# --- by ids -----------------------------------------------------------------------------------------------------------


class Mark(Value):
    """A place in a stream of events: so many were dispatched by then, and the client's last event id was this."""

    events: int
    id: str


class Marked(Value):
    """What one attempt gave an EventSource client: its events, and every place at which it could have stopped."""

    events: tuple[Dispatched, ...]
    marks: tuple[Mark, ...]


def marked(case: Case, number: int) -> Marked | None:
    """The events of an attempt and the ids behind them; None where overwritten bytes leave them unsure."""
    connection = case.attempts[number]
    # An attempt begins with the id that the client brought along.
    marks, events = [Mark(0, connection.resumes)], []
    if connection.attempt.script.head.status == 200:
        received = connection.received(case.until(number) + case.races.bytes)
        for piece in delivered(pieces(connection), received, Tier.CR):
            if piece.flavour is not Flavour.EXACT:
                return None
            for event in piece.events:
                events.append(event)
                marks.append(Mark(len(events), event[2]))
            # A block of an id alone dispatches nothing and counts all the same.
            marks.append(Mark(len(events), piece.last_id))
    return Marked(tuple(events), tuple(marks))


def same_id(one: str, other: str) -> bool:
    """Whether a header can tell these two ids apart: the white space around its value it loses on the way."""
    return one.strip(" \t") == other.strip(" \t")


# --- by numbers -------------------------------------------------------------------------------------------------------


class Numbered(Value):
    """One event that has a number: its step, whether it is the last of it, and the text that a caller sees with it."""

    number: int
    step: int
    last: bool
    text: str


@functools.lru_cache(maxsize=64)
def _counts(script: Script) -> tuple[int, ...]:
    # Asked by several checks of every run; to count the events of a long answer takes its time.
    numbering = DIALECTS[script.dialect].numbering
    return () if numbering is None else numbering.counts(script)


def said(connection: Connection) -> int | None:
    """The number of the last event that the client says it has; None if it says nothing."""
    numbering = _numbering(connection)
    return None if numbering is None else numbering.read(connection.resumes)


def _numbering(connection: Connection) -> Numbering | None:
    return DIALECTS[connection.dialect].numbering


def _numbered(connection: Connection) -> Iterator[Numbered]:
    """The numbered events of the script that answered, with the numbers that they have on this connection."""
    numbering, script, has = _numbering(connection), connection.attempt.script, said(connection)
    if numbering is None:
        return
    # A script that resumes is the whole answer, and what the client has is left out of it.
    number = has + 1 if has is not None and numbering.goes_on and not script.resumes else 0
    for step, count in enumerate(_counts(script)):
        for place in range(count):
            # The text comes with the last event of its step: what stands before it opens an item or a part.
            last = place + 1 == count
            yield Numbered(number + place, step, last, shown_text(script.steps[step]) if last else "")
        number += count


def last_given(case: Case, before: int) -> int:
    """The number of the last event that the client can have had before attempt `before`; -1 if it had none."""
    return max((number for place in range(before) for number in _given(case, place)), default=-1)


def _given(case: Case, place: int) -> Iterator[int]:
    connection = case.attempts[place]
    received = connection.received(case.until(place) + case.races.bytes)
    spans = {span.step: span for span in connection.body}
    for event in _numbered(connection):
        span = spans.get(event.step)
        if span is None or received <= span.start:
            continue
        # Of a step that is there in part any of its events may be there but the last.
        if not event.last or (span.is_there(Tier.LINE) and received >= span.needs(Tier.LINE)):
            yield event.number


def text_through(case: Case, before: int, last: int) -> str:
    """The text of the events up to number `last` that the attempts before `before` were about."""
    texts = {event.number: event.text for place in range(before) for event in _numbered(case.attempts[place])}
    return "".join(text for number, text in sorted(texts.items()) if number <= last)


def text_claimed(case: Case, number: int) -> str | None:
    """The text that the client says it has when it asks for the rest by attempt `number`; None if that is not known."""
    following = case.attempts[number]
    if not following.resumed or not following.says or _numbering(following) is None:
        return None
    has = said(following)
    return text_through(case, number, -1 if has is None else has)
