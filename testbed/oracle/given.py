"""What a client was given by one connection up to a moment, as a kind of the table.

The law of this module: the same facts give the same kind, whoever the client is (except that one which reconnects is
asked to). A kind is looked up in tables here, from how far the answer came and how the connection ended; what the
answer *said* (a status, an error event, something that is no stream) comes before both.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from itertools import product
from types import MappingProxyType

from testbed._values import Value
from testbed.dialects import DIALECTS
from testbed.faults.breaks import Breaks, breaks
from testbed.oracle.connections import Connection, Span, Tier
from testbed.oracle.contents import Meaning, meaning
from testbed.oracle.rows import GivenKind
from testbed.oracle.sealed import answer_begins, is_doubtful, is_taken_leave_of, shows_bad_certificate
from testbed.oracle.statuses import status_kind
from testbed.script import Body, CutBody, DialectName, Failure, Framing, Raw, Script, Step


# Progress and End span the whole space of what a transport can do to an answer. Everything else in this module
# decides which pair a run is, and then whether the answer said something that comes before both.
class Progress(enum.IntEnum):
    """How far the answer came."""

    # Ordered, so that "at least a token" is a comparison.
    HANDSHAKE = 0  # of TLS, and not through it; in the clear there is none
    NOTHING = 1
    HEAD_PART = 2
    HEAD = 3  # and perhaps opening events and keep-alives, but no token
    TOKENS = 4
    FINISHED = 5  # SOFT
    DONE = 6  # HARD


class End(enum.Enum):
    """How the connection ended, as the client could see it."""

    OPEN = "open"
    CLEAN = "clean"  # the message is complete by its framing
    FIN = "fin"  # before that
    RESET = "reset"
    # Told apart from RESET because only here the bytes themselves are in doubt, and not merely who buffered them.
    ABORT = "abort"  # a reset that may have destroyed bytes


class Given(Value):
    """What one connection gave the client. `also`: kinds that are as true of it and tolerated."""

    kind: GivenKind
    conn: int
    progress: Progress
    end: End
    received: int
    cause: int | None  # when the client could know: the terminal event, the error, the end; None while it is open
    status: int = 0  # 0 before the head is whole
    code: str = ""  # the provider's, of an error event
    also: tuple[GivenKind, ...] = ()


# --- the space of transports, as a table. It is written out, not computed, so that it can be read beside the rows.
_K, _P, _E = GivenKind, Progress, End

# Every pair of progress and end, so that no run can fall through.
TRANSPORT: Mapping[tuple[Progress, End], GivenKind] = MappingProxyType(
    {
        **dict.fromkeys(product([_P.DONE], End), _K.WHOLE),
        (_P.DONE, _E.ABORT): _K.ENDING_MAYBE_LOST,
        # Before there is a request, how the handshake failed is of little interest to a caller.
        **dict.fromkeys(product([_P.HANDSHAKE], End), _K.HANDSHAKE_FAILED),
        (_P.HANDSHAKE, _E.OPEN): _K.SILENT_HANDSHAKE,
        # Open: the client is left waiting. Whether it waited long enough is for the timing checks, not for the kind.
        (_P.NOTHING, _E.OPEN): _K.SILENT_BEFORE_HEAD,
        (_P.HEAD_PART, _E.OPEN): _K.SILENT_BEFORE_HEAD,
        (_P.HEAD, _E.OPEN): _K.SILENT_BEFORE_TOKEN,
        (_P.TOKENS, _E.OPEN): _K.SILENT_MID_STREAM,
        (_P.FINISHED, _E.OPEN): _K.SILENT_AFTER_FINISH,
        # Without a head there is no framing, so no end can be clean.
        (_P.NOTHING, _E.CLEAN): _K.FIN_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.CLEAN): _K.FIN_IN_HEAD,
        (_P.HEAD, _E.CLEAN): _K.CLEAN_BEFORE_TERMINAL,
        (_P.TOKENS, _E.CLEAN): _K.CLEAN_BEFORE_TERMINAL,
        (_P.FINISHED, _E.CLEAN): _K.CLEAN_AFTER_FINISH,
        # FIN before the framing was content.
        (_P.NOTHING, _E.FIN): _K.FIN_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.FIN): _K.FIN_IN_HEAD,
        (_P.HEAD, _E.FIN): _K.FIN_IN_BODY,
        (_P.TOKENS, _E.FIN): _K.FIN_IN_BODY,
        (_P.FINISHED, _E.FIN): _K.FIN_AFTER_FINISH,
        # Drained: every byte before the RST was acknowledged, so what had arrived counts.
        (_P.NOTHING, _E.RESET): _K.RESET_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.RESET): _K.RESET,
        (_P.HEAD, _E.RESET): _K.RESET,
        (_P.TOKENS, _E.RESET): _K.RESET,
        (_P.FINISHED, _E.RESET): _K.RESET_AFTER_FINISH,
        # Immediate: the same until the answer is finished; from then on its end may be what was destroyed.
        (_P.NOTHING, _E.ABORT): _K.RESET_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.ABORT): _K.RESET,
        (_P.HEAD, _E.ABORT): _K.RESET,
        (_P.TOKENS, _E.ABORT): _K.RESET,
        (_P.FINISHED, _E.ABORT): _K.ENDING_MAYBE_LOST,
    }
)

# A clean end in the middle of an event leaves half an event behind.
_INSIDE_EVENT = {
    _K.CLEAN_BEFORE_TERMINAL: _K.CLEAN_INSIDE_EVENT,
    _K.CLEAN_AFTER_FINISH: _K.CLEAN_INSIDE_DONE,
}
# Where a dialect reads a clean end in its own way.
_BY_DIALECT = {
    (DialectName.ANTHROPIC_MESSAGES, _K.CLEAN_AFTER_FINISH): _K.CLEAN_BEFORE_MESSAGE_STOP,
    (DialectName.EVENTSOURCE, _K.CLEAN_BEFORE_TERMINAL): _K.EVENTSOURCE_END,
}

# RFC 9110: these never have a body, so the head is the whole message.
BODYLESS = frozenset({204, 304})
# A coding that a client would have to undo before it sees an event.
_CODINGS = frozenset({"content-encoding"})
# Fields that contradict what the framing of a script says.
_CONFLICTING = frozenset({"content-length", "transfer-encoding"})


def look(connection: Connection, *, at: int, received: int, tier: Tier = Tier.EVENT, reconnects: bool = False) -> Given:
    """What the client was given: the end as of time `at`, and the first `received` bytes."""
    # What a client has is counted in whole steps: half an event is no event, whatever its bytes say.
    delivered = tuple(
        (span, meaning(connection, span)) for span in connection.body if span.whole and received >= span.needs(tier)
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
    kind, also, decisive = _what_it_says(
        connection, status, told, transport, end, progressed=progress > Progress.NOTHING
    )
    return Given(
        kind=kind,
        conn=connection.number,
        progress=progress,
        end=end,
        received=received,
        cause=_cause(connection, kind, decisive, end, tier),
        status=status,
        code=_code(connection, told),
        also=also,
    )


Told = tuple[tuple[Span, Meaning], ...]

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
    special = _BY_DIALECT.get((dialect, kind), kind)
    if special is GivenKind.EVENTSOURCE_END and reconnects:
        special = GivenKind.EVENTSOURCE_RECONNECT
    if not inside or kind not in _INSIDE_EVENT:
        return special, ()
    # For an EventSource half an event at the end is nothing: the standard has it discarded.
    if dialect is DialectName.EVENTSOURCE:
        return special, (GivenKind.CLEAN_INSIDE_EVENT,)
    return _INSIDE_EVENT[kind], ()


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


# --- what it says -----------------------------------------------------------------------------------------------------

_Said = tuple[GivenKind, tuple[GivenKind, ...], "Span | None"]


def _what_it_says(
    connection: Connection,
    status: int,
    told: Told,
    transport: tuple[GivenKind, tuple[GivenKind, ...]],
    end: End,
    *,
    progressed: bool,
) -> _Said:
    # From the most to the least of what overrules a transport: the status (there is no stream at all), the head (the
    # stream cannot be read), the body (the stream says something).
    base, also = transport
    # A head that may be unreadable comes before what it would have said.
    broken = broken_kind(connection.attempt.script) if progressed else None
    if broken is not None and breaks(connection.attempt.script) & _DECISIVE:
        return broken, (base, *also, *_as_it_was_meant(connection)), None
    # What is legal, or stands behind the end, decides nothing; a client may refuse it all the same.
    also = also if broken is None else (*also, broken)
    if not status:
        return base, also, None
    if (refused := _status(connection, status)) is not None:
        # The body of an error may be cut, too, and a client that reads it may then speak of that.
        cut = () if end is End.CLEAN else (TRANSPORT[Progress.HEAD, end],)
        return refused, cut if broken is None else (*cut, broken), connection.head
    if _has_field(connection, _CONFLICTING):
        return GivenKind.FRAMING_CONFLICT, (base, *also), connection.head
    # No script is compressed, so a coding that its head names cannot be undone.
    if _has_field(connection, _CODINGS):
        return GivenKind.BROKEN_CONTENT, (base, *also), connection.head
    return _stream(connection, told, (base, *also), end)


def _status(connection: Connection, status: int) -> GivenKind | None:
    # For an EventSource, 204 is an instruction; for everybody else an answer that is missing.
    if status == 204:
        eventsource = connection.dialect is DialectName.EVENTSOURCE
        return GivenKind.EVENTSOURCE_NO_CONTENT if eventsource else GivenKind.NO_CONTENT
    return status_kind(status)


# What the faults of a script break, from the head inwards: the first that is broken decides.
_BROKEN_KINDS: tuple[tuple[Breaks, GivenKind], ...] = (
    (Breaks.HEAD | Breaks.LIMITS, GivenKind.BROKEN_HEAD),
    (Breaks.FRAMING | Breaks.CUT, GivenKind.BROKEN_FRAMING),
    (Breaks.LENGTHS, GivenKind.FRAMING_CONFLICT),
    (Breaks.CONTENT, GivenKind.WRONG_CONTENT_TYPE),
    # Bytes behind the end are none of the answer's; a client that looks at them may say so.
    (Breaks.AFTER, GivenKind.BROKEN_FRAMING),
)


# These make the answer another one than the script says; the rest a parser may mind or not.
_DECISIVE = Breaks.HEAD | Breaks.FRAMING | Breaks.CUT | Breaks.LENGTHS | Breaks.CONTENT


def _as_it_was_meant(connection: Connection) -> tuple[GivenKind, ...]:
    """What a client may say that reads past what is broken: the status that stands there, or that nothing is there."""
    script = connection.attempt.script
    meant = _status(connection, script.head.status)
    # Under another coding than its own the body is nothing that could be read, and then it is over.
    unread = (GivenKind.BROKEN_CONTENT, GivenKind.CLEAN_BEFORE_TERMINAL) if breaks(script) & Breaks.CONTENT else ()
    return unread if meant is None else (*unread, meant)


def broken_kind(script: Script) -> GivenKind | None:
    """What a client was given if the HTTP around the body is broken by faults; None if it is not."""
    broken = breaks(script)
    return next((kind for flags, kind in _BROKEN_KINDS if broken & flags), None)


def _has_field(connection: Connection, names: frozenset[str]) -> bool:
    return any(name.lower() in names for name, _ in connection.attempt.script.head.headers)


def _stream(connection: Connection, told: Told, transport: tuple[GivenKind, ...], end: End) -> _Said:
    """The kind of a 200 answer: the first thing said that is more than tokens decides."""
    base, *also = transport
    # A page comes first, because it makes nothing of every event that it seems to hold.
    page = _page(connection, told)
    if page is not None:
        kind, span = page
        return kind, _tolerated(connection, kind, transport), span
    for span, said in told:
        if said is Meaning.BAD_UTF8 and connection.dialect is DialectName.EVENTSOURCE:
            return GivenKind.BROKEN_UTF8_EVENTSOURCE, transport, None
        if said in (Meaning.BAD, Meaning.BAD_UTF8, Meaning.BODY):
            return (_BROKEN.get(said, GivenKind.BROKEN_CONTENT), transport, span)
        # Nobody can say whether these bytes are good, so both readings stand and neither is preferred over what
        # follows.
        if said is Meaning.UNSURE:
            return base, (*also, GivenKind.BROKEN_CONTENT), None
        # The provider's own word: it says more than any end of the connection could.
        if said is Meaning.FAILURE:
            return _provider(told, end, span)
    done = told[-1][0] if told and told[-1][1] is Meaning.DONE else None
    return base, tuple(also), done


_BROKEN = {Meaning.BAD_UTF8: GivenKind.BROKEN_UTF8}


def _page(connection: Connection, told: Told) -> tuple[GivenKind, Span | None] | None:
    """Something that is no event stream at all: by its content type, or because its first words are a page."""
    wrong_type = not is_event_stream(connection.attempt.script)
    # Keep-alives before a page do not make it a stream, and a page after tokens does not unmake one.
    words = [(span, said) for span, said in told if said is not Meaning.NOTHING]
    page = bool(words) and words[0][1] is Meaning.BODY
    says_page = any(isinstance(step, Body) for step in connection.attempt.script.steps)
    if page or (wrong_type and says_page):
        return GivenKind.NOT_A_STREAM, connection.head if wrong_type else words[0][0]
    return (GivenKind.WRONG_CONTENT_TYPE, None) if wrong_type else None


def _tolerated(connection: Connection, kind: GivenKind, transport: tuple[GivenKind, ...]) -> tuple[GivenKind, ...]:
    """What may be reported instead of "this is no stream".

    Vendors' clients read whatever they get as a stream; if it was one, nobody is harmed. The EventSource standard
    leaves no choice. And the connection may have ended in its own way before the client could tell, but a *clean* end
    is no news about a page: there the decision of the table stands.
    """
    wrong_type = not is_event_stream(connection.attempt.script)
    if kind is GivenKind.NOT_A_STREAM and wrong_type:
        return tuple(one for one in transport if one not in _CLEAN)
    if kind is GivenKind.WRONG_CONTENT_TYPE and connection.dialect is DialectName.EVENTSOURCE:
        return tuple(one for one in transport if one not in _CLEAN)
    return transport


# These stand in the clean column only because no end can be clean there: they are trouble, not news of a page.
_TROUBLE = frozenset({GivenKind.FIN_BEFORE_ANSWER, GivenKind.HANDSHAKE_FAILED})
_CLEAN = frozenset(kind for (_, end), kind in TRANSPORT.items() if end is End.CLEAN and kind not in _TROUBLE) | {
    *_INSIDE_EVENT.values(),
    *_BY_DIALECT.values(),
    GivenKind.EVENTSOURCE_RECONNECT,
}


def is_event_stream(script: Script) -> bool:
    """Whether a client must take the answer for a stream of its dialect."""
    content_type = script.head.content_type
    # None is the dialect's own type, whatever a quirk makes of it.
    return content_type is None or _essence(content_type) == _essence(
        DIALECTS[script.dialect].content_type_of(script.quirks)
    )


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _provider(told: Told, end: End, span: Span) -> _Said:
    # What the connection does after an error event is of no interest, unless the event itself may have been destroyed.
    finished = any(said is Meaning.FINISH for _, said in told)
    kind = GivenKind.PROVIDER_ERROR_AFTER_FINISH if finished else GivenKind.PROVIDER_ERROR
    return kind, (GivenKind.RESET,) if end is End.ABORT else (), span


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
