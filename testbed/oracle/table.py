"""The table of right behaviour: what the client was given, and what it may then report.

The law of this module: one row for each kind of thing that a client can be given; code runs the table, the docs print
it, a test walks it. A row never looks at the client: what it was given decides alone. `preferred` and `lenient` never
overlap, and whatever is in neither is a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed.oracle.rows import GivenKind, Row, row
from testbed.oracle.sealed_rows import SEALED_ROWS
from testbed.oracle.sources import (
    ANTHROPIC,
    BODY_LENGTH,
    CHUNKED,
    CONTENT_TYPE,
    FAILURES,
    INCOMPLETE_MESSAGES,
    MESSAGE,
    OPENAI,
    RETRYING,
    RST,
    SMUGGLING,
    SSE,
    SSE_MODEL,
    SSE_PARSING,
    UTF8,
)
from testbed.oracle.statuses import STATUS_ROWS
from testbed.trace import Outcome

_K, _O = GivenKind, Outcome

ROWS: tuple[Row, ...] = (
    # --- nothing, or silence ------------------------------------------------------------------------------------------
    # The only row without a wire: nobody listens, or a middle box says no. It is reached only by a plan that expects
    # it, because a client that never connects for reasons of its own looks the same.
    row(
        _K.REFUSED,
        "no connection at all",
        {_O.CONNECT},
        (),
        "A connection that cannot be made is reported as a connection error.",
        FAILURES,
    ),
    # Long prompts and overloaded servers look like this. The client does not know yet whether there will be an
    # answer, which is why a retry is welcome here and not in the row after the next.
    row(
        _K.SILENT_BEFORE_HEAD,
        "silence before the head of the answer",
        {_O.FIRST_BYTE_TIMEOUT},
        (),
        "Silence longer than the client's time-out before the answer begins is reported as a first-byte time-out.",
        FAILURES,
    ),
    # Most libraries have one read time-out for everything behind the request, and cannot tell this from a stall in
    # the middle; so the other name is tolerated.
    row(
        _K.SILENT_BEFORE_TOKEN,
        "a head and then silence",
        {_O.FIRST_BYTE_TIMEOUT},
        {_O.IDLE_TIMEOUT},
        "Silence after the head and before the first token is a first-byte time-out; an idle time-out is tolerated.",
        FAILURES,
    ),
    # Here there is no doubt: text has been shown, and what follows is missing.
    row(
        _K.SILENT_MID_STREAM,
        "silence in the middle of the stream",
        {_O.IDLE_TIMEOUT},
        (),
        "Silence longer than the client's time-out in the middle of a stream is reported as an idle time-out.",
        FAILURES,
    ),
    # `finish_reason` or `stop_reason` says that no more text will come. Waiting on for the sentinel is within a
    # client's rights, and then its time-out is what ends the wait.
    row(
        _K.SILENT_AFTER_FINISH,
        "a finished answer and then silence",
        {_O.COMPLETE},
        {_O.IDLE_TIMEOUT},
        "Once the answer has said that it is finished, silence does not make it incomplete.",
        OPENAI,
        ANTHROPIC,
    ),
    # --- RST
    # ---------------------------------------------------------------------------------------------------------- An
    # RST can meet a client that still writes its request, and some libraries then speak of the connection attempt or
    # of an answer that never came.
    row(
        _K.RESET_BEFORE_ANSWER,
        "a reset before any byte of the answer",
        {_O.RESET},
        {_O.CONNECT, _O.INCOMPLETE},
        "A connection that is reset before any byte of the answer is reported as a reset.",
        RST,
        FAILURES,
    ),
    # In the middle of an answer the caller must be able to tell a broken network (worth another try) from a broken
    # answer (not worth one): so no other class will do.
    row(
        _K.RESET,
        "a reset before the answer was finished",
        {_O.RESET},
        (),
        "A connection that is reset is reported as a reset.",
        RST,
        FAILURES,
    ),
    # The answer had said that it is finished, so the reset costs nothing but the usage figures.
    row(
        _K.RESET_AFTER_FINISH,
        "a finished answer and then a reset instead of the protocol's last event",
        {_O.COMPLETE},
        {_O.RESET},
        "An answer that has said that it is finished is complete, even if the connection is reset afterwards.",
        OPENAI,
        ANTHROPIC,
        RST,
    ),
    # Which of the two a client saw cannot be known from outside, so both are right.
    row(
        _K.ENDING_MAYBE_LOST,
        "the end of the answer and a reset that may have destroyed it",
        {_O.COMPLETE, _O.RESET},
        (),
        "A reset that may have destroyed the end of the answer leaves a client complete or reset.",
        RST,
    ),
    *SEALED_ROWS,
    # --- FIN inside the framing ---------------------------------------------------------------------------------------
    # Servers that restart and idle pools look like this. Whether it is called a failed connection or an answer of
    # zero bytes is a matter of taste; that it is an error is not.
    row(
        _K.FIN_BEFORE_ANSWER,
        "a connection that closed before any byte of the answer",
        {_O.CONNECT, _O.RESET, _O.INCOMPLETE},
        (),
        "A connection that is closed before any byte of the answer is a connection error; a retry is welcome.",
        FAILURES,
        RETRYING,
    ),
    # Without a head there is no answer to be incomplete; a parser may as well speak of a malformed message.
    row(
        _K.FIN_IN_HEAD,
        "a connection that closed inside the head",
        {_O.INCOMPLETE},
        {_O.PROTOCOL, _O.RESET},
        "An answer that ends inside its head is incomplete.",
        INCOMPLETE_MESSAGES,
    ),
    # RFC 9112 calls such a message incomplete. Libraries below often know only that their parser was not done
    # (`protocol`) or that the peer went away (`reset`).
    row(
        _K.FIN_IN_BODY,
        "a connection that closed inside the body",
        {_O.INCOMPLETE},
        {_O.PROTOCOL, _O.RESET},
        "A body that ends inside a chunk or short of its length is incomplete, and never a success.",
        INCOMPLETE_MESSAGES,
        CHUNKED,
    ),
    # The text is whole and the transport is not: both can be said, the first is what the caller wants to know.
    row(
        _K.FIN_AFTER_FINISH,
        "a finished answer and then a connection that closed inside the body",
        {_O.COMPLETE},
        {_O.INCOMPLETE, _O.PROTOCOL, _O.RESET},
        "An answer that has said that it is finished may be taken as complete although its framing is not.",
        OPENAI,
        ANTHROPIC,
        INCOMPLETE_MESSAGES,
    ),
    # --- clean end by the framing -------------------------------------------------------------------------------------
    # The founding case of this testbed. HTTP says that all is well, and only the missing terminal event tells that it
    # is not; a client that looks at HTTP alone shows half an answer as a whole one.
    row(
        _K.CLEAN_BEFORE_TERMINAL,
        "a clean end of the body before any terminal event",
        {_O.INCOMPLETE},
        (),
        "A stream that ends before its terminal event is incomplete, and never a success.",
        OPENAI,
        ANTHROPIC,
    ),
    # The half event that is left can also be what the client complains about.
    row(
        _K.CLEAN_INSIDE_EVENT,
        "a clean end of the body inside an event",
        {_O.INCOMPLETE},
        {_O.DECODE, _O.PROTOCOL},
        "A stream that ends inside an event is incomplete, and never a success.",
        SSE_PARSING,
        OPENAI,
        ANTHROPIC,
    ),
    # Many servers never send `[DONE]`; a client that insisted on it would fail on all of them.
    row(
        _K.CLEAN_AFTER_FINISH,
        "a finished answer without the protocol's last event",
        {_O.COMPLETE},
        (),
        "An answer that has said that it is finished is complete without the protocol's last event.",
        OPENAI,
    ),
    # Anthropic's protocol names `message_stop` as the end, so whoever misses it is right to say so; whoever has the
    # stop_reason has all there is to show.
    row(
        _K.CLEAN_BEFORE_MESSAGE_STOP,
        "an answer with a stop_reason and without message_stop",
        {_O.COMPLETE},
        {_O.INCOMPLETE},
        "An answer with a stop_reason may be taken as complete; that message_stop is missing may be reported.",
        ANTHROPIC,
    ),
    # As above, with half a line left over that a strict parser may complain of.
    row(
        _K.CLEAN_INSIDE_DONE,
        "a finished answer whose last event is cut",
        {_O.COMPLETE},
        {_O.INCOMPLETE, _O.DECODE, _O.PROTOCOL},
        "An answer that has said that it is finished may be taken as complete although its last event is cut.",
        SSE_PARSING,
        OPENAI,
        ANTHROPIC,
    ),
    # Whatever comes now (a reset, silence, a FIN inside the framing) comes after the last thing that mattered.
    row(
        _K.WHOLE,
        "the whole stream up to its terminal event",
        {_O.COMPLETE},
        (),
        "A stream delivered up to its terminal event is a success with the whole text, whatever the connection does.",
        OPENAI,
        ANTHROPIC,
    ),
    # --- what the stream says -----------------------------------------------------------------------------------------
    # A client that sorts the provider's codes into classes of their own says more, not less.
    row(
        _K.PROVIDER_ERROR,
        "an error event inside the stream",
        {_O.PROVIDER},
        {_O.OVERLOADED, _O.RATE_LIMITED, _O.QUOTA_EXHAUSTED, _O.SERVER_ERROR},
        "An error event inside the stream is reported as the provider's error, with its code.",
        OPENAI,
        ANTHROPIC,
    ),
    # A moderation verdict or an accounting error that comes late.
    row(
        _K.PROVIDER_ERROR_AFTER_FINISH,
        "an error event after the answer was finished",
        {_O.PROVIDER},
        {_O.COMPLETE, _O.OVERLOADED, _O.RATE_LIMITED, _O.QUOTA_EXHAUSTED, _O.SERVER_ERROR},
        "An error event after the finish is reported; a client that had the whole answer by then may be content.",
        OPENAI,
        ANTHROPIC,
    ),
    # Captive portals, gateways and misrouted requests. An SSE parser makes nothing of it, and so the naive client
    # reports an empty success.
    row(
        _K.NOT_A_STREAM,
        "a page or a document instead of a stream",
        {_O.PROTOCOL},
        {_O.DECODE, _O.HTTP_STATUS},
        "A page of HTML or a JSON document with status 200 is no event stream, and never a success.",
        CONTENT_TYPE,
        SSE_MODEL,
    ),
    # The standard has an EventSource fail the connection. Vendors' clients seldom look; if the stream is one all the
    # same, what it says is tolerated through the other reading.
    row(
        _K.WRONG_CONTENT_TYPE,
        "an answer with a wrong content type",
        {_O.PROTOCOL, _O.HTTP_STATUS},
        {_O.DECODE},
        "An answer whose content type is not text/event-stream is refused.",
        CONTENT_TYPE,
        SSE_MODEL,
    ),
    # No head, or one that is no HTTP. Parsers stumble over it in every way, and some of them not at all; whatever the
    # bytes behind it would have made is tolerated through the other reading.
    row(
        _K.BROKEN_HEAD,
        "an answer whose head is not legal HTTP, or larger than parsers take",
        {_O.PROTOCOL},
        {
            *(_O.DECODE, _O.INCOMPLETE, _O.RESET, _O.CONNECT, _O.FIRST_BYTE_TIMEOUT, _O.IDLE_TIMEOUT),
            *(_O.HTTP_STATUS, _O.SERVER_ERROR),  # of a status that nobody knows, read as its class
        },
        "An answer whose head cannot be read is a protocol error.",
        MESSAGE,
        INCOMPLETE_MESSAGES,
    ),
    # A length or a chunk that lies. Where it promises too much, what is seen is an end that comes too early.
    row(
        _K.BROKEN_FRAMING,
        "a body that does not end where its framing says",
        {_O.PROTOCOL},
        {_O.DECODE, _O.INCOMPLETE, _O.RESET, _O.IDLE_TIMEOUT},
        "A body whose framing is broken is a protocol error.",
        BODY_LENGTH,
        CHUNKED,
    ),
    # Two lengths for one body are how requests are smuggled. RFC 9112 lets a client go by the transfer coding, or
    # refuse; a mixture of both is what must not happen.
    row(
        _K.FRAMING_CONFLICT,
        "header fields that contradict each other about the body",
        {_O.PROTOCOL},
        {_O.DECODE, _O.INCOMPLETE},
        "An answer whose header fields contradict its framing is a protocol error, or is read by its transfer coding.",
        SMUGGLING,
        BODY_LENGTH,
    ),
    # JSON is UTF-8 by definition, so a byte that is none is a broken event. Replacing it by U+FFFD in just that place
    # is tolerated where the text is compared, not here.
    row(
        _K.BROKEN_UTF8,
        "invalid UTF-8 in a stream of JSON events",
        {_O.DECODE, _O.PROTOCOL},
        (),
        "Invalid UTF-8 in a stream of JSON events is reported.",
        UTF8,
        SSE,
    ),
    # U+FFFD in just those places is what the standard demands here, so the rest of the run decides.
    row(
        _K.BROKEN_UTF8_EVENTSOURCE,
        "invalid UTF-8 in a plain event stream",
        {_O.COMPLETE, _O.RECONNECT},
        {_O.DECODE, _O.PROTOCOL, _O.INCOMPLETE},
        "Invalid UTF-8 in an event stream is replaced by U+FFFD.",
        SSE_PARSING,
        UTF8,
    ),
    # An event that cannot be read may have been the one that mattered. Skipping it in silence is tolerated only as
    # far as the rest of the stream allows, which is another reading's affair.
    row(
        _K.BROKEN_CONTENT,
        "an event that cannot be read",
        {_O.DECODE, _O.PROTOCOL},
        (),
        "Malformed events or JSON are reported.",
        SSE_PARSING,
        OPENAI,
        ANTHROPIC,
    ),
    # --- plain EventSource --------------------------------------------------------------------------------------------
    # Which of the two a client does is its nature, declared in its profile: a fetch-based reader ends, a browser's
    # EventSource comes back.
    row(
        _K.EVENTSOURCE_END,
        "the clean end of a plain event stream",
        {_O.COMPLETE, _O.RECONNECT},
        {_O.INCOMPLETE},
        "An event stream has no terminal event: its clean end is an end, or a reason to reconnect.",
        SSE_MODEL,
    ),
    # Seen on the wire as another connection; the client itself does not say that it reconnects.
    row(
        _K.EVENTSOURCE_RECONNECT,
        "the clean end of a plain event stream, to a client that reconnects",
        {_O.RECONNECT},
        {_O.INCOMPLETE},
        "A client that reconnects does so after a clean end; out of reconnects it reports the last trouble.",
        SSE_MODEL,
    ),
    # The one way for a server to end such a stream for good.
    row(
        _K.EVENTSOURCE_NO_CONTENT,
        "status 204 instead of a plain event stream",
        {_O.COMPLETE},
        {_O.HTTP_STATUS},
        "Status 204 tells an EventSource client to stop, and not to reconnect.",
        SSE_MODEL,
    ),
    *STATUS_ROWS,
)

TABLE: Mapping[GivenKind, Row] = MappingProxyType({row.kind: row for row in ROWS})
