"""What a right client shows of one connection: the texts or events of its steps, with the time at which each was there.

The law of this module: read from the script and the server's annotations. A piece whose bytes a content fault has
changed is not `exact`, and what is shown from there on is judged only as far as the fault allows.
"""

from __future__ import annotations

import enum

from testbed._values import Value
from testbed.dialects import COLON_KEEPALIVE, DIALECTS
from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Connection, Span, Tier
from testbed.oracle.contents import Meaning, hits, last_id_behind, meaning, parsed
from testbed.oracle.spoken import broken_kind
from testbed.oracle.transports import End, Progress
from testbed.script import DialectName, Message, Ping, Quirk, Raw, Replace, Step, Text, shown_text
from testbed.sse import as_received
from testbed.trace import Cancelled, Ended, Outcome, Raised


class Flavour(enum.Enum):
    """How surely the oracle knows what a step shows."""

    EXACT = "exact"
    REPLACED = "replaced"  # invalid UTF-8: U+FFFD in its place, if anything
    UNKNOWN = "unknown"


# What one client sees of one event; the id is compared only where the client shows one.
Dispatched = tuple[str, str, str]


class Piece(Value):
    """What one step shows: its text, and for EventSource its events."""

    span: Span
    text: str
    flavour: Flavour
    events: tuple[Dispatched, ...] = ()
    faults: tuple[Replace, ...] = ()
    last_id: str = ""  # the client's last event id behind it


# What is not here is exact.
_FLAVOURS = {
    Meaning.BAD_UTF8: Flavour.REPLACED,
    Meaning.BAD: Flavour.UNKNOWN,
    Meaning.BODY: Flavour.UNKNOWN,
    Meaning.UNSURE: Flavour.UNKNOWN,
}
_LINE_ENDS = frozenset(b"\r\n")
# Behind these nothing may be shown: the answer is over.
_LAST = frozenset({Meaning.DONE, Meaning.FAILURE})


def pieces(connection: Connection) -> tuple[Piece, ...]:
    """Every step that the server wrote at least in part, up to the one that ends the answer."""
    script = connection.attempt.script
    # Steps that the server never reached are no pieces: nobody can have seen them.
    found: list[Piece] = []
    # The id that a client has stays with it over a reconnect, and stands in events that bring none.
    last_id = connection.resumes if connection.dialect is DialectName.EVENTSOURCE else ""
    for span in connection.body:
        said = meaning(connection, span)
        if said in _LAST and span.whole:
            break
        step = script.steps[span.step]
        if connection.dialect is DialectName.EVENTSOURCE:
            events = _events(connection, span, last_id)
            raw = isinstance(step, Raw)
            last_id = last_id_behind(script, span.step, last_id) if raw else events[-1][2] if events else last_id
            # A client that shows strings where events are asked shows their data, one after the other.
            text = "".join(data for _, data, _ in events)
        else:
            events, text = (), _text(step)
        flavour, faults = _FLAVOURS.get(said, Flavour.EXACT), hits(script, span)
        if flavour is Flavour.REPLACED and connection.dialect is DialectName.EVENTSOURCE:
            struck = _struck(connection, span, faults)
            flavour = Flavour.UNKNOWN if struck is None else Flavour.EXACT
            text = text if struck is None else struck
            events = tuple((type_, text, id_) for type_, _, id_ in events)
        found.append(Piece(span, text, flavour, events, faults, last_id))
    return tuple(found)


def _struck(connection: Connection, span: Span, faults: tuple[Replace, ...]) -> str | None:
    """The data of a plain event whose bytes were overwritten; None where it is not the data, or not only that.

    The data is what stands last in an event, so that its length says where; of several lines nobody can say. What
    becomes of invalid bytes the standard says, to the character.
    """
    script = connection.attempt.script
    step = script.steps[span.step]
    sent = step.data if isinstance(step, Message) else step.said if isinstance(step, Text) else "\n"
    plain = "\n" not in sent and "\r" not in sent and not any(_LINE_ENDS & set(fault.data) for fault in faults)
    if not plain or not span.whole or Quirk.MIXED_LINE_ENDS in script.quirks:
        return None
    data = bytearray(sent.encode("utf-8", "surrogatepass"))
    first = span.body[1] - DIALECTS[script.dialect].line_ends_of(script.quirks) - len(data)
    for fault in faults:
        at = fault.at - first
        if at < 0 or at + len(fault.data) > len(data):
            return None
        data[at : at + len(fault.data)] = fault.data
    return data.decode("utf-8", "replace")


def _text(step: Step) -> str:
    # Vendors' events escape line ends, so text arrives just as the script has it; only plain events lose a CR.
    return shown_text(step)


def _events(connection: Connection, span: Span, last_id: str) -> tuple[Dispatched, ...]:
    step = connection.attempt.script.steps[span.step]
    if isinstance(step, Text):
        return (("message", as_received(step.said), last_id),)
    if isinstance(step, Message):
        # An id that holds NUL is ignored, and an id stays until the next one.
        own = step.id if step.id is not None and "\0" not in step.id else last_id
        return ((step.event or "message", as_received(step.data), own),)
    if isinstance(step, Ping) and Quirk.COLON_KEEPALIVE in connection.attempt.script.quirks:
        return (("message", COLON_KEEPALIVE, last_id),)
    if isinstance(step, Raw):
        events, _ = parsed(connection.attempt.script, span.step)
        return tuple((event.type, event.data, event.id or last_id) for event in events)
    return ()


def delivered(all_pieces: tuple[Piece, ...], received: int, tier: Tier) -> tuple[Piece, ...]:
    """The pieces that a client of that tier has after `received` bytes."""
    # A step that the server itself never finished has no end whose arrival could be asked for.
    return tuple(piece for piece in all_pieces if piece.span.is_there(tier) and piece.span.needs(tier) <= received)


def must_show_until(case: Case, number: int) -> int | None:
    """The time by which a piece must have arrived to be missed when it is not shown; None if none can be missed.

    Everything, where the client went on past it: it reported success, or it read to a clean end. Nothing, after a
    reset: right clients differ in what they save. In between, what arrived a good while before the client's end.
    """
    connection, at = case.attempts[number], case.until(number)
    last = number + 1 == len(case.attempts)
    if not last and not case.is_eventsource:
        # What was held back before a retry harms nobody; what was shown is judged by the retry checks.
        return None
    # From the least to the most that can be asked: nothing after a reset, everything after success or a clean end, and
    # otherwise what had been there for a while, counted back from what ended the attempt.
    given = case.look(connection, at)
    if given.end in (End.RESET, End.ABORT) and not _is_success(case, given.progress):
        return None
    # Whoever refuses an answer for its HTTP may do so before it has shown anything.
    if broken_kind(connection.attempt.script) is not None and not _is_success(case, given.progress):
        return None
    if last and _read_everything(case, given.end, given.progress):
        return at
    if not last and given.end is End.CLEAN:
        return at
    known = min(at, given.cause) if given.cause is not None else at
    return known - case.races.back - round(case.taken * SECOND)


def _is_success(case: Case, progress: Progress) -> bool:
    # Whoever reports success has read the terminal event, and so every event before it.
    return isinstance(case.view.end, Ended) and progress >= Progress.FINISHED


def _read_everything(case: Case, end: End, progress: Progress) -> bool:
    client = case.view.end
    if isinstance(client, Cancelled) or client is None:
        return False
    if _is_success(case, progress):
        return True
    if end is not End.CLEAN:
        return False
    # Only a client that speaks of the stream's end has surely seen it.
    return isinstance(client, Ended) or (isinstance(client, Raised) and Outcome.INCOMPLETE in client.classes)
