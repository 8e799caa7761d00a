"""What an answer said, beside how it was carried: a status, a page, an error event, HTTP that is broken.

The law of this module: what is said comes before the transport, from the outermost inwards (broken HTTP, the status,
the head, the body), and what the transport would have been is kept as tolerated where a client may have gone by it.
"""

from __future__ import annotations

from testbed.dialects import DIALECTS
from testbed.faults.breaks import Breaks, breaks
from testbed.oracle.connections import Connection, Span
from testbed.oracle.contents import Meaning
from testbed.oracle.rows import GivenKind
from testbed.oracle.statuses import status_kind
from testbed.oracle.transports import CLEAN, TRANSPORT, End, Progress
from testbed.script import Body, DialectName, Quirk, Script

Told = tuple[tuple[Span, Meaning], ...]

# A coding that a client would have to undo before it sees an event.
_CODINGS = frozenset({"content-encoding"})
# Fields that contradict what the framing of a script says.
_CONFLICTING = frozenset({"content-length", "transfer-encoding"})


Said = tuple[GivenKind, tuple[GivenKind, ...], "Span | None"]


def what_it_says(
    connection: Connection,
    status: int,
    told: Told,
    transport: tuple[GivenKind, tuple[GivenKind, ...]],
    end: End,
    *,
    progressed: bool,
) -> Said:
    """The kind of an answer, what is tolerated beside it, and the step that decides (None: the end does)."""
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
    # The script's own coding stands in no header of its own, so one that is named by hand was never applied.
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


def _stream(connection: Connection, told: Told, transport: tuple[GivenKind, ...], end: End) -> Said:
    """The kind of a 200 answer: the first thing said that is more than tokens decides."""
    base, *also = transport
    doubts = [GivenKind.BROKEN_CONTENT] if any(said is Meaning.DOUBTFUL for _, said in told) else []
    also += doubts
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
            kind, destroyed, at = _provider(told, end, span)
            return kind, (*destroyed, *_unseen(connection, transport), *doubts), at
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
        return tuple(one for one in transport if one not in CLEAN)
    if kind is GivenKind.WRONG_CONTENT_TYPE and connection.dialect is DialectName.EVENTSOURCE:
        return tuple(one for one in transport if one not in CLEAN)
    return transport


def is_event_stream(script: Script) -> bool:
    """Whether a client must take the answer for a stream of its dialect."""
    content_type = script.head.content_type
    # None is the dialect's own type, whatever a quirk makes of it.
    return content_type is None or _essence(content_type) == _essence(
        DIALECTS[script.dialect].content_type_of(script.quirks)
    )


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _provider(told: Told, end: End, span: Span) -> Said:
    # What the connection does after an error event is of no interest, unless the event itself may have been destroyed.
    finished = any(said is Meaning.FINISH for _, said in told)
    kind = GivenKind.PROVIDER_ERROR_AFTER_FINISH if finished else GivenKind.PROVIDER_ERROR
    return kind, (GivenKind.RESET,) if end is End.ABORT else (), span


# Errors that stand in no field of the standard, so that a parser that keeps to it never shows them.
_UNSEEN = frozenset({Quirk.ERROR_FIELD, Quirk.BARE_ERROR})


def _unseen(connection: Connection, transport: tuple[GivenKind, ...]) -> tuple[GivenKind, ...]:
    """What a client may report that has not seen the error: the end behind it, or the [DONE] behind it."""
    quirks = _UNSEEN.intersection(connection.attempt.script.quirks)
    if not quirks:
        return ()
    done = Quirk.DONE_AFTER_ERROR in connection.attempt.script.quirks
    return (*transport, GivenKind.WHOLE) if done else transport
