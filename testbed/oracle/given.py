"""What a client was given by one connection up to a moment, as a kind of the table.

The law of this module: the same facts give the same kind, whoever the client is (except that one which reconnects is
asked to). A kind is looked up in tables here, from how far the answer came and how the connection ended; what the
answer *said* (a status, an error event, something that is no stream) comes before both.
"""

from __future__ import annotations

from testbed._values import Value
from testbed.dialects import DIALECTS
from testbed.oracle.connections import Connection, Span, Tier
from testbed.oracle.contents import Meaning, meaning
from testbed.oracle.rows import GivenKind
from testbed.oracle.sealed import answer_begins, is_doubtful, is_taken_leave_of, shows_bad_certificate
from testbed.oracle.spoken import Told, broken_kind, what_it_says
from testbed.oracle.transports import BY_DIALECT, INSIDE_EVENT, TRANSPORT, End, Progress
from testbed.plan import Attempt
from testbed.script import Body, CutBody, DialectName, Failure, Framing, Raw, Step


class Given(Value):
    """What one connection gave the client. `also`: kinds that are as true of it and tolerated."""

    kind: GivenKind
    conn: int
    attempt: Attempt  # what the server played there; its number need not be the connection's
    progress: Progress
    end: End
    received: int
    cause: int | None  # when the client could know: the terminal event, the error, the end; None while it is open
    status: int = 0  # 0 before the head is whole
    code: str = ""  # the provider's, of an error event
    also: tuple[GivenKind, ...] = ()


# RFC 9110: these never have a body, so the head is the whole message.
BODYLESS = frozenset({204, 304})


def look(connection: Connection, *, at: int, received: int, tier: Tier = Tier.EVENT, reconnects: bool = False) -> Given:
    """What the client was given: the end as of time `at`, and the first `received` bytes."""
    # What a client has is counted in whole steps: half an event is no event, whatever its bytes say.
    delivered = tuple(
        (span, meaning(connection, span))
        for span in connection.body
        if span.is_there(tier) and received >= span.needs(tier)
    )
    told = _until_last_word(delivered)
    progress = _progress(connection, received, told)
    end = _ending(connection, at, received)
    # First how it was carried, then what it said: the second can overrule the first, and keeps it as what is tolerated.
    transport = _transport(connection, progress, end, received, delivered, reconnects=reconnects)
    if broken_kind(connection.attempt.script) is not None:
        # A client whose HTTP lets it pass has read the answer to a clean end.
        passed = _transport(connection, progress, End.CLEAN, received, delivered, reconnects=reconnects)
        transport = (transport[0], (*transport[1], passed[0], *passed[1]))
    status = connection.attempt.script.head.status if progress >= Progress.HEAD else 0
    kind, also, decisive = what_it_says(
        connection, status, told, transport, end, progressed=progress > Progress.NOTHING
    )
    return Given(
        kind=kind,
        conn=connection.number,
        attempt=connection.attempt,
        progress=progress,
        end=end,
        received=received,
        cause=_cause(connection, kind, decisive, end, tier),
        status=status,
        code=_code(connection, told),
        also=also,
    )


# A server may go on talking after its last word, and a fault may make it; a right client has stopped listening.
_LAST_WORDS = frozenset({Meaning.DONE, Meaning.FAILURE})


def _until_last_word(delivered: Told) -> Told:
    """The steps up to the first that ends the answer; what stands behind it does not count."""
    for number, (_, said) in enumerate(delivered):
        if said in _LAST_WORDS:
            return delivered[: number + 1]
    return delivered


# Meanings that are not here (an error event, a page, broken bytes) are no progress towards an end.
_REACHED = {Meaning.TOKEN: Progress.TOKENS, Meaning.FINISH: Progress.FINISHED, Meaning.DONE: Progress.DONE}


def _progress(connection: Connection, received: int, told: Told) -> Progress:
    # The head counts only whole: before its empty line a client knows neither status nor framing.
    begin = answer_begins(connection)
    if begin is None or received < begin:
        return Progress.HANDSHAKE
    if received == begin:
        return Progress.NOTHING
    if connection.head is None or received < connection.head.wire_end:
        return Progress.HEAD_PART
    return max((_REACHED.get(said, Progress.HEAD) for _, said in told), default=Progress.HEAD)


# --- how it ended -----------------------------------------------------------------------------------------------------


def _ending(connection: Connection, at: int, received: int) -> End:
    # The order matters. An immediate reset puts everything in doubt, so it comes first. A message that its framing
    # completes is complete whatever happens to the connection then. Of FIN and RST the earlier one is what the client
    # met.
    reset, eof = connection.reset, connection.eof
    if reset is not None and reset.t <= at and reset.immediate:
        return End.ABORT
    if is_framed(connection, received):
        return End.CLEAN
    if reset is not None and reset.t <= at and (eof is None or reset.t <= eof):
        return End.RESET
    if eof is not None and eof <= at:
        head = connection.head
        # Under TLS it takes a close_notify, and that was asked above.
        closes = connection.attempt.script.head.framing is Framing.CLOSE and connection.attempt.tls is None
        return End.CLEAN if closes and head is not None and received >= head.wire_end else End.FIN
    return End.OPEN


def is_framed(connection: Connection, received: int) -> bool:
    """Whether these bytes are a message that its own framing completes, before any FIN."""
    script, head = connection.attempt.script, connection.head
    if head is None or received < max(connection.written, head.wire_end):
        return False
    if script.head.status in BODYLESS:
        return True
    # A FIN is the framing of such a body; whether one came is for the caller to ask. Under TLS close_notify is.
    if script.head.framing is Framing.CLOSE:
        return is_taken_leave_of(connection, received)
    if connection.ended is not None:
        return connection.ended.framed
    # A client that knows the length leaves at the last byte, perhaps before the server has said that it is done.
    return script.head.framing is Framing.LENGTH and _all_said(connection)


def _all_said(connection: Connection) -> bool:
    script = connection.attempt.script
    # With a cut, what the head promised depends on how the cut ends; then only the server's own word counts.
    if any(isinstance(fault, CutBody) for fault in script.faults):
        return False
    written = {span.step for span in connection.body if span.whole}
    return all(index in written for index, step in enumerate(script.steps) if _has_bytes(step, script.dialect))


def _has_bytes(step: Step, dialect: DialectName) -> bool:
    if isinstance(step, (Body, Raw)):
        return bool(step.text if isinstance(step, Body) else step.data)
    return type(step) not in DIALECTS[dialect].wordless


def _transport(
    connection: Connection, progress: Progress, end: End, received: int, delivered: Told, *, reconnects: bool
) -> tuple[GivenKind, tuple[GivenKind, ...]]:
    # Two refinements of the table: half an event that is left over, and dialects that read a clean end in their own
    # way.
    kind = TRANSPORT[progress, end]
    if (sealed := _sealed(connection, progress, end, received)) is not None:
        return sealed
    done = {span.step for span, _ in delivered}
    inside = any(span.start < received and span.step not in done for span in connection.body)
    dialect = connection.dialect
    if end is End.ABORT and is_framed(connection, received):
        # Whoever read the message to its end before the reset came speaks of that end.
        clean, also = _transport(connection, progress, End.CLEAN, received, delivered, reconnects=reconnects)
        return kind, (clean, *also)
    if kind is GivenKind.SILENT_AFTER_FINISH and not any(said is Meaning.TOKEN for _, said in delivered):
        # To a client that waits on for the last event no token has come yet.
        return kind, (GivenKind.SILENT_BEFORE_TOKEN,)
    special = BY_DIALECT.get((dialect, kind), kind)
    if special is GivenKind.EVENTSOURCE_END and reconnects:
        special = GivenKind.EVENTSOURCE_RECONNECT
    if not inside or kind not in INSIDE_EVENT:
        return special, ()
    # For an EventSource half an event at the end is nothing: the standard has it discarded.
    if dialect is DialectName.EVENTSOURCE:
        return special, (GivenKind.CLEAN_INSIDE_EVENT,)
    return INSIDE_EVENT[kind], ()


def _sealed(
    connection: Connection, progress: Progress, end: End, received: int
) -> tuple[GivenKind, tuple[GivenKind, ...]] | None:
    """What TLS makes of a transport, where it makes anything else of it than the table."""
    handshake = TRANSPORT[Progress.HANDSHAKE, end]
    if progress <= Progress.NOTHING and shows_bad_certificate(connection, received):
        # An end that came together with the certificate may have been noticed first.
        return GivenKind.BAD_CERTIFICATE, () if end is End.OPEN else (handshake,)
    if progress is Progress.NOTHING and is_doubtful(connection):
        return TRANSPORT[progress, end], (handshake,)
    closes = connection.attempt.tls is not None and connection.attempt.script.head.framing is Framing.CLOSE
    if closes and TRANSPORT[progress, end] is GivenKind.FIN_IN_BODY:
        return GivenKind.SEALED_TRUNCATION, ()
    return None


def _code(connection: Connection, told: Told) -> str:
    steps = connection.attempt.script.steps
    failures = [steps[span.step] for span, said in told if said is Meaning.FAILURE]
    return failures[0].kind if failures and isinstance(failures[0], Failure) else ""


def _cause(connection: Connection, kind: GivenKind, decisive: Span | None, end: End, tier: Tier) -> int | None:
    """When the client could know how it ends: the decisive step, or else the end itself."""
    # For the head the framing behind it does not exist, so its last byte is its end in every tier.
    if decisive is not None:
        return connection.arrival(decisive.needs(Tier.CHUNK if decisive is connection.head else tier))
    if kind is GivenKind.BAD_CERTIFICATE and connection.presented is not None:
        return connection.arrival(connection.presented)
    if end is End.OPEN:
        return None
    if end is End.CLEAN and connection.farewell is not None and connection.attempt.script.head.framing is Framing.CLOSE:
        return connection.arrival(connection.farewell.wire[1])
    # A clean end by length or by the last chunk is known from bytes; the FIN behind it adds nothing.
    if end is End.CLEAN and connection.attempt.script.head.framing is not Framing.CLOSE:
        return connection.arrival(connection.written)
    return connection.over
