"""Plain server-sent events: a sequence, not a string.

The law of this module: every event that arrived whole is shown once, in order, with its type and data, and nothing
else is. Duplicates across reconnects are judged only where events have ids: without them a server that repeats itself
and a client that does look the same.
"""

from __future__ import annotations

import re

from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Tier
from testbed.oracle.evidence import finding, quoted, seconds
from testbed.oracle.expected import Dispatched, Flavour, Piece, delivered, must_show_until, pieces
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.replaced import REPLACEMENT
from testbed.oracle.sequences import common_prefix, diagnose
from testbed.trace import Failure, SawEvent

# The same classes as for text, in words of events.
SUMMARIES = {
    Failure.CORRUPTED_TEXT: "An event differs from what was sent.",
    Failure.DUPLICATED_TEXT: "An event was shown twice.",
    Failure.LOST_EVENT: "An event that was delivered was never shown.",
    Failure.REORDERED_EVENT: "Events were shown in another order than they were sent.",
    Failure.PHANTOM_EVENT: "An event was shown that was never sent.",
    Failure.PARTIAL_EVENT_DELIVERED: "An event was shown whose blank line never arrived.",
}

_RUNS = re.compile(f"{REPLACEMENT}+")

# What makes two events the same to a caller. Ids are compared apart, for not every adapter shows them.
Key = tuple[str, str]


def check(case: Case) -> Report:
    """Judge the events of every attempt."""
    if not case.is_eventsource or case.view.texts:
        return NOTHING
    report = NOTHING
    # A client that was made to yield strings is judged as text, there and not here.
    ids: frozenset[str] = frozenset()
    for number in range(len(case.attempts)):
        seen = tuple(event for event in case.shown(number) if isinstance(event, SawEvent))
        report += _attempt(case, number, seen, ids)
        ids |= _ids(case, number, seen)
    return report


def _ids(case: Case, number: int, seen: tuple[SawEvent, ...]) -> frozenset[str]:
    """The ids of the events that were shown; most callers are shown none, and then their events tell which they are."""
    connection = case.attempts[number]
    received = connection.received(case.until(number) + case.races.bytes)
    given = _events(delivered(pieces(connection), received, Tier.CR))[: len(seen)]
    told = given if all((one.type, one.data) == right[:2] for one, right in zip(seen, given, strict=False)) else ()
    return frozenset(one.id for one in seen if one.id) | {own for _, _, own in told if own}


def _attempt(case: Case, number: int, seen: tuple[SawEvent, ...], ids: frozenset[str]) -> Report:
    connection = case.attempts[number]
    received = connection.received(case.until(number) + case.races.bytes)
    # The blank line is what dispatches an event, and its CR alone is one: no tier below it exists in this standard.
    arrived = delivered(pieces(connection), received, Tier.CR)
    first = next((n for n, piece in enumerate(arrived) if piece.flavour is Flavour.UNKNOWN), len(arrived))
    sure = arrived[:first]
    # A client may leave out what it has seen on an earlier connection: that is what ids are for.
    fresh = tuple(piece for piece in sure if not any(event[2] in ids for event in piece.events if event[2]))
    wrong = [_wrong(case, number, seen, choice, whole=first == len(arrived)) for choice in (sure, fresh)]
    for failure, choice in zip(wrong, (sure, fresh), strict=True):
        if failure is None:
            return _missing_or_late(case, number, seen, choice)
    # Neither fits: the mistake is named against all that was given.
    return _report(case, next(filter(None, wrong)), seen, sure)


def _wrong(
    case: Case, number: int, seen: tuple[SawEvent, ...], arrived: tuple[Piece, ...], *, whole: bool
) -> Failure | None:
    # Compared place by place first, because almost every run is right.
    expected = _events(arrived)
    matched = tuple(_key(event, expected, place) for place, event in enumerate(seen))
    given = tuple((type_, data) for type_, data, _ in expected)
    # What stands behind bytes that nobody can read is not compared.
    if not whole and len(matched) > len(given) and matched[: len(given)] == given:
        return None
    if matched == given[: len(matched)]:
        return Failure.CORRUPTED_TEXT if _wrong_id(seen, expected) else None
    # One event too many, of which a part had arrived: the unterminated block that the standard has discarded.
    if (
        len(matched) > len(given)
        and matched[: len(given)] == given
        and _is_unfinished(case, number, matched[len(given)])
    ):
        return Failure.PARTIAL_EVENT_DELIVERED
    return diagnose(matched, given, range(len(given) + 1))


def _key(event: SawEvent, expected: tuple[Dispatched, ...], place: int) -> Key:
    """The event as it is compared. How many U+FFFD stand for one run of invalid bytes decoders see differently."""
    if place < len(expected) and _RUNS.sub(REPLACEMENT, event.data) == _RUNS.sub(REPLACEMENT, expected[place][1]):
        return event.type, expected[place][1]
    return event.type, event.data


def _events(arrived: tuple[Piece, ...]) -> tuple[Dispatched, ...]:
    return tuple(event for piece in arrived for event in piece.events)


def _wrong_id(seen: tuple[SawEvent, ...], expected: tuple[Dispatched, ...]) -> bool:
    """An id that is shown must be the event's own or the last one before it; one that is not shown says nothing."""
    return any(event.id not in ("", right[2]) for event, right in zip(seen, expected, strict=False))


def _is_unfinished(case: Case, number: int, shown: Key) -> bool:
    """Whether the event is one of which a part had arrived: all of its data, or the beginning."""
    connection = case.attempts[number]
    received = connection.received(case.until(number) + case.races.bytes)
    # The first piece that is not whole is the only one that can be unfinished.
    for piece in pieces(connection):
        if piece.span.start < received < piece.span.end or not piece.span.whole:
            return any(data.startswith(shown[1]) for _, data, _ in piece.events)
    return False


def _missing_or_late(case: Case, number: int, seen: tuple[SawEvent, ...], arrived: tuple[Piece, ...]) -> Report:
    connection, limit = case.attempts[number], must_show_until(case, number)
    # Events and pieces walk side by side; a piece may hold several events (raw bytes) or none (a comment).
    place = 0
    worst: tuple[int, str] | None = None
    for piece in arrived:
        there = connection.arrival(piece.span.needs(Tier.CHUNK))
        for event in piece.events:
            if place >= len(seen):
                if limit is None or there is None or there > limit or not piece.span.whole:
                    return _late(case, worst)
                detail = f"step {piece.span.step} {quoted(event[1])} was delivered at {seconds(there)}"
                summary = SUMMARIES[Failure.LOST_EVENT]
                return Report(findings=(finding(case, Failure.LOST_EVENT, summary, detail),))
            if there is not None and (worst is None or seen[place].t - there > worst[0]):
                worst = (seen[place].t - there, f"step {piece.span.step} was delivered at {seconds(there)}")
            place += 1
    return _late(case, worst)


def _late(case: Case, worst: tuple[int, str] | None) -> Report:
    # Only the worst is told: the others have the same cause.
    if worst is None or worst[0] / SECOND <= case.margin(case.timeouts.mid_stream) + case.taken:
        return NOTHING
    summary = f"An event was held back for {seconds(worst[0])}."
    return Report(findings=(finding(case, Failure.LATE_DELIVERY, summary, worst[1]),))


def _report(case: Case, failure: Failure, seen: tuple[SawEvent, ...], arrived: tuple[Piece, ...]) -> Report:
    shown = tuple((event.type, event.data) for event in seen)
    given = tuple((type_, data) for type_, data, _ in _events(arrived))
    # The first difference is where a maintainer looks.
    place = common_prefix(shown, given)
    details = (
        f"seen: {len(shown)} events; given: {len(given)} events; they differ from event {place} on",
        f"there the client shows {_named(shown, place)}, where {_named(given, place)} was given",
    )
    return Report(findings=(finding(case, failure, SUMMARIES[failure], *details),))


def _named(events: tuple[Key, ...], place: int) -> str:
    if place >= len(events):
        return "nothing"
    type_, data = events[place]
    return f"{quoted(type_)} {quoted(data)}"
