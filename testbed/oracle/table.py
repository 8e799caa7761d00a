"""The table of right behaviour: what the client was given, and what it may then report.

The law of this module: one row for each kind of thing that a client can be given; code runs the table, the docs print
it, a test walks it. A row never looks at the client: what it was given decides alone. `preferred` and `lenient` never
overlap, and whatever is in neither is a finding.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from testbed._values import Value
from testbed.trace import Outcome


class GivenKind(str, enum.Enum):
    """What a connection gave the client, as far as it matters for what the client must report."""

    REFUSED = "refused"
    SILENT_BEFORE_HEAD = "silent-before-head"
    SILENT_BEFORE_TOKEN = "silent-before-token"
    SILENT_MID_STREAM = "silent-mid-stream"
    SILENT_AFTER_FINISH = "silent-after-finish"
    RESET_BEFORE_ANSWER = "reset-before-answer"
    RESET = "reset"
    RESET_AFTER_FINISH = "reset-after-finish"
    ENDING_MAYBE_LOST = "ending-maybe-lost"
    FIN_BEFORE_ANSWER = "fin-before-answer"
    FIN_IN_HEAD = "fin-in-head"
    FIN_IN_BODY = "fin-in-body"
    FIN_AFTER_FINISH = "fin-after-finish"
    CLEAN_BEFORE_TERMINAL = "clean-before-terminal"
    CLEAN_INSIDE_EVENT = "clean-inside-event"
    CLEAN_AFTER_FINISH = "clean-after-finish"
    CLEAN_BEFORE_MESSAGE_STOP = "clean-before-message-stop"
    CLEAN_INSIDE_DONE = "clean-inside-done"
    WHOLE = "whole"
    PROVIDER_ERROR = "provider-error"
    PROVIDER_ERROR_AFTER_FINISH = "provider-error-after-finish"
    NOT_A_STREAM = "not-a-stream"
    WRONG_CONTENT_TYPE = "wrong-content-type"
    FRAMING_CONFLICT = "framing-conflict"
    BROKEN_UTF8 = "broken-utf8"
    BROKEN_UTF8_EVENTSOURCE = "broken-utf8-eventsource"
    BROKEN_CONTENT = "broken-content"
    EVENTSOURCE_END = "eventsource-end"
    EVENTSOURCE_RECONNECT = "eventsource-reconnect"
    EVENTSOURCE_NO_CONTENT = "eventsource-no-content"
    NO_CONTENT = "no-content"
    STATUS_BAD_REQUEST = "status-bad-request"
    STATUS_UNAUTHORIZED = "status-unauthorized"
    STATUS_PERMISSION_DENIED = "status-permission-denied"
    STATUS_NOT_FOUND = "status-not-found"
    STATUS_TIMEOUT = "status-timeout"
    STATUS_CONFLICT = "status-conflict"
    STATUS_TOO_LARGE = "status-too-large"
    STATUS_RATE_LIMITED = "status-rate-limited"
    STATUS_OVERLOADED = "status-overloaded"
    STATUS_SERVER_ERROR = "status-server-error"
    STATUS_CLIENT_ERROR = "status-client-error"
    STATUS_UNEXPECTED = "status-unexpected"


class Row(Value):
    """One line of the table."""

    kind: GivenKind
    preferred: frozenset[Outcome]
    lenient: frozenset[Outcome]
    requirement: str
    sources: tuple[str, ...]


# --- sources, by name -------------------------------------------------------------------------------------------------

BODY_LENGTH = "RFC 9112, section 6.3 (message body length)"
CHUNKED = "RFC 9112, section 7.1 (chunked transfer coding)"
INCOMPLETE_MESSAGES = "RFC 9112, section 8 (handling incomplete messages)"
FAILURES = "RFC 9112, section 9.5 (failures and timeouts)"
RETRYING = "RFC 9112, section 9.3.1 (retrying requests)"
SMUGGLING = "RFC 9112, section 6.1 (Transfer-Encoding and Content-Length together)"
STATUS = "RFC 9110, section 15 (status codes)"
CONTENT_TYPE = "RFC 9110, section 8.3 (Content-Type)"
TOO_MANY = "RFC 6585, section 4 (429 Too Many Requests)"
RST = "RFC 9293, section 3.10.7 (segment arrives: reset)"
UTF8 = "RFC 3629, section 4 (UTF-8 byte sequences)"
SSE = "WHATWG HTML, section 9.2 (server-sent events)"
SSE_MODEL = "WHATWG HTML, section 9.2.3 (processing model: reconnection, 204, content type)"
SSE_PARSING = "WHATWG HTML, section 9.2.6 (interpreting an event stream)"
OPENAI = "OpenAI API reference, chat completions (streaming)"
OPENAI_ERRORS = "OpenAI API guide, error codes"
ANTHROPIC = "Anthropic API, streaming messages"
ANTHROPIC_ERRORS = "Anthropic API, errors"

_K, _O = GivenKind, Outcome


def _row(
    kind: GivenKind, preferred: Iterable[Outcome], lenient: Iterable[Outcome], requirement: str, *sources: str
) -> Row:
    return Row(kind, frozenset(preferred), frozenset(lenient), requirement, sources)


# A gateway or a library may say it with the status alone: `http_status` with the right status is right everywhere.
def _status(kind: GivenKind, special: Iterable[Outcome], lenient: Iterable[Outcome], sentence: str) -> Row:
    return _row(kind, {*special, _O.HTTP_STATUS}, lenient, sentence, STATUS, OPENAI_ERRORS, ANTHROPIC_ERRORS)


ROWS: tuple[Row, ...] = (
    # --- nothing, or silence ------------------------------------------------------------------------------------------
    _row(_K.REFUSED, {_O.CONNECT}, (), "A connection that cannot be made is reported as a connection error.", FAILURES),
    _row(
        _K.SILENT_BEFORE_HEAD,
        {_O.FIRST_BYTE_TIMEOUT},
        (),
        "Silence longer than the client's time-out before the answer begins is reported as a first-byte time-out.",
        FAILURES,
    ),
    _row(
        _K.SILENT_BEFORE_TOKEN,
        {_O.FIRST_BYTE_TIMEOUT},
        {_O.IDLE_TIMEOUT},
        "Silence after the head and before the first token is a first-byte time-out; an idle time-out is tolerated.",
        FAILURES,
    ),
    _row(
        _K.SILENT_MID_STREAM,
        {_O.IDLE_TIMEOUT},
        (),
        "Silence longer than the client's time-out in the middle of a stream is reported as an idle time-out.",
        FAILURES,
    ),
    _row(
        _K.SILENT_AFTER_FINISH,
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
    _row(
        _K.RESET_BEFORE_ANSWER,
        {_O.RESET},
        {_O.CONNECT, _O.INCOMPLETE},
        "A connection that is reset before any byte of the answer is reported as a reset.",
        RST,
        FAILURES,
    ),
    _row(_K.RESET, {_O.RESET}, (), "A connection that is reset is reported as a reset.", RST, FAILURES),
    _row(
        _K.RESET_AFTER_FINISH,
        {_O.COMPLETE},
        {_O.RESET},
        "An answer that has said that it is finished is complete, even if the connection is reset afterwards.",
        OPENAI,
        ANTHROPIC,
        RST,
    ),
    # Which of the two a client saw cannot be known from outside, so both are right.
    _row(
        _K.ENDING_MAYBE_LOST,
        {_O.COMPLETE, _O.RESET},
        (),
        "A reset that may have destroyed the end of the answer leaves a client complete or reset.",
        RST,
    ),
    # --- FIN inside the framing ---------------------------------------------------------------------------------------
    _row(
        _K.FIN_BEFORE_ANSWER,
        {_O.CONNECT, _O.RESET, _O.INCOMPLETE},
        (),
        "A connection that is closed before any byte of the answer is a connection error; a retry is welcome.",
        FAILURES,
        RETRYING,
    ),
    _row(
        _K.FIN_IN_HEAD,
        {_O.INCOMPLETE},
        {_O.PROTOCOL, _O.RESET},
        "An answer that ends inside its head is incomplete.",
        INCOMPLETE_MESSAGES,
    ),
    _row(
        _K.FIN_IN_BODY,
        {_O.INCOMPLETE},
        {_O.PROTOCOL, _O.RESET},
        "A body that ends inside a chunk or short of its length is incomplete, and never a success.",
        INCOMPLETE_MESSAGES,
        CHUNKED,
    ),
    _row(
        _K.FIN_AFTER_FINISH,
        {_O.COMPLETE},
        {_O.INCOMPLETE, _O.PROTOCOL, _O.RESET},
        "An answer that has said that it is finished may be taken as complete although its framing is not.",
        OPENAI,
        ANTHROPIC,
        INCOMPLETE_MESSAGES,
    ),
    # --- clean end by the framing -------------------------------------------------------------------------------------
    _row(
        _K.CLEAN_BEFORE_TERMINAL,
        {_O.INCOMPLETE},
        (),
        "A stream that ends before its terminal event is incomplete, and never a success.",
        OPENAI,
        ANTHROPIC,
    ),
    # The half event that is left can also be what the client complains about.
    _row(
        _K.CLEAN_INSIDE_EVENT,
        {_O.INCOMPLETE},
        {_O.DECODE, _O.PROTOCOL},
        "A stream that ends inside an event is incomplete, and never a success.",
        SSE_PARSING,
        OPENAI,
        ANTHROPIC,
    ),
    _row(
        _K.CLEAN_AFTER_FINISH,
        {_O.COMPLETE},
        (),
        "An answer that has said that it is finished is complete without the protocol's last event.",
        OPENAI,
    ),
    _row(
        _K.CLEAN_BEFORE_MESSAGE_STOP,
        {_O.COMPLETE},
        {_O.INCOMPLETE},
        "An answer with a stop_reason may be taken as complete; that message_stop is missing may be reported.",
        ANTHROPIC,
    ),
    _row(
        _K.CLEAN_INSIDE_DONE,
        {_O.COMPLETE},
        {_O.INCOMPLETE, _O.DECODE, _O.PROTOCOL},
        "An answer that has said that it is finished may be taken as complete although its last event is cut.",
        SSE_PARSING,
        OPENAI,
        ANTHROPIC,
    ),
    _row(
        _K.WHOLE,
        {_O.COMPLETE},
        (),
        "A stream delivered up to its terminal event is a success with the whole text, whatever the connection does.",
        OPENAI,
        ANTHROPIC,
    ),
    # --- what the stream says -----------------------------------------------------------------------------------------
    # A client that sorts the provider's codes into classes of their own says more, not less.
    _row(
        _K.PROVIDER_ERROR,
        {_O.PROVIDER},
        {_O.OVERLOADED, _O.RATE_LIMITED, _O.QUOTA_EXHAUSTED, _O.SERVER_ERROR},
        "An error event inside the stream is reported as the provider's error, with its code.",
        OPENAI,
        ANTHROPIC,
    ),
    _row(
        _K.PROVIDER_ERROR_AFTER_FINISH,
        {_O.PROVIDER},
        {_O.COMPLETE, _O.OVERLOADED, _O.RATE_LIMITED, _O.QUOTA_EXHAUSTED, _O.SERVER_ERROR},
        "An error event after the finish is reported; a client that had the whole answer by then may be content.",
        OPENAI,
        ANTHROPIC,
    ),
    _row(
        _K.NOT_A_STREAM,
        {_O.PROTOCOL},
        {_O.DECODE, _O.HTTP_STATUS},
        "A page of HTML or a JSON document with status 200 is no event stream, and never a success.",
        CONTENT_TYPE,
        SSE_MODEL,
    ),
    _row(
        _K.WRONG_CONTENT_TYPE,
        {_O.PROTOCOL, _O.HTTP_STATUS},
        {_O.DECODE},
        "An answer whose content type is not text/event-stream is refused.",
        CONTENT_TYPE,
        SSE_MODEL,
    ),
    _row(
        _K.FRAMING_CONFLICT,
        {_O.PROTOCOL},
        {_O.DECODE, _O.INCOMPLETE},
        "An answer whose header fields contradict its framing is a protocol error, or is read by its transfer coding.",
        SMUGGLING,
        BODY_LENGTH,
    ),
    _row(
        _K.BROKEN_UTF8,
        {_O.DECODE, _O.PROTOCOL},
        (),
        "Invalid UTF-8 in a stream of JSON events is reported.",
        UTF8,
        SSE,
    ),
    # U+FFFD in just those places is what the standard demands here, so the rest of the run decides.
    _row(
        _K.BROKEN_UTF8_EVENTSOURCE,
        {_O.COMPLETE, _O.RECONNECT},
        {_O.DECODE, _O.PROTOCOL, _O.INCOMPLETE},
        "Invalid UTF-8 in an event stream is replaced by U+FFFD.",
        SSE_PARSING,
        UTF8,
    ),
    _row(
        _K.BROKEN_CONTENT,
        {_O.DECODE, _O.PROTOCOL},
        (),
        "Malformed events or JSON are reported.",
        SSE_PARSING,
        OPENAI,
        ANTHROPIC,
    ),
    # --- plain EventSource --------------------------------------------------------------------------------------------
    _row(
        _K.EVENTSOURCE_END,
        {_O.COMPLETE, _O.RECONNECT},
        {_O.INCOMPLETE},
        "An event stream has no terminal event: its clean end is an end, or a reason to reconnect.",
        SSE_MODEL,
    ),
    _row(
        _K.EVENTSOURCE_RECONNECT,
        {_O.RECONNECT},
        {_O.INCOMPLETE},
        "A client that reconnects does so after a clean end; out of reconnects it reports the last trouble.",
        SSE_MODEL,
    ),
    _row(
        _K.EVENTSOURCE_NO_CONTENT,
        {_O.COMPLETE},
        {_O.HTTP_STATUS},
        "Status 204 tells an EventSource client to stop, and not to reconnect.",
        SSE_MODEL,
    ),
    # --- statuses -----------------------------------------------------------------------------------------------------
    _row(
        _K.NO_CONTENT,
        {_O.INCOMPLETE, _O.PROTOCOL, _O.HTTP_STATUS},
        {_O.DECODE},
        "Status 204 where a stream was asked is not an answer, and never a success.",
        STATUS,
    ),
    _status(_K.STATUS_BAD_REQUEST, {_O.BAD_REQUEST}, (), "400, 415 and 422 are reported as a bad request."),
    _status(_K.STATUS_UNAUTHORIZED, {_O.UNAUTHORIZED}, (), "401 is reported as unauthorized."),
    _status(_K.STATUS_PERMISSION_DENIED, {_O.PERMISSION_DENIED}, (), "403 is reported as permission denied."),
    _status(_K.STATUS_NOT_FOUND, {_O.NOT_FOUND}, (), "404 is reported as not found."),
    _status(_K.STATUS_TIMEOUT, (), {_O.SERVER_ERROR}, "408 and 504 are reported with their status."),
    _status(_K.STATUS_CONFLICT, {_O.CONFLICT}, (), "409 is reported as a conflict."),
    _status(_K.STATUS_TOO_LARGE, {_O.TOO_LARGE}, {_O.BAD_REQUEST}, "413 is reported as too large."),
    _row(
        _K.STATUS_RATE_LIMITED,
        {_O.RATE_LIMITED, _O.QUOTA_EXHAUSTED, _O.HTTP_STATUS},
        (),
        "429 is reported as a rate limit or an exhausted quota.",
        TOO_MANY,
        OPENAI_ERRORS,
        ANTHROPIC_ERRORS,
    ),
    # 503 and 529 are server errors, too: a client without a class for overload says less, nothing wrong.
    _status(_K.STATUS_OVERLOADED, {_O.OVERLOADED}, {_O.SERVER_ERROR}, "503 and 529 are reported as an overload."),
    _status(_K.STATUS_SERVER_ERROR, {_O.SERVER_ERROR}, (), "Other 5xx statuses are reported as a server error."),
    _status(_K.STATUS_CLIENT_ERROR, (), {_O.BAD_REQUEST}, "Other 4xx statuses are reported with their status."),
    _status(_K.STATUS_UNEXPECTED, (), {_O.PROTOCOL}, "A status that is neither success nor error is reported."),
)

TABLE: Mapping[GivenKind, Row] = MappingProxyType({row.kind: row for row in ROWS})

# Which kind a status is. What is not here falls to its hundred: see :func:`status_kind`.
STATUS_KINDS: Mapping[int, GivenKind] = MappingProxyType(
    {
        400: _K.STATUS_BAD_REQUEST,
        401: _K.STATUS_UNAUTHORIZED,
        403: _K.STATUS_PERMISSION_DENIED,
        404: _K.STATUS_NOT_FOUND,
        408: _K.STATUS_TIMEOUT,
        409: _K.STATUS_CONFLICT,
        413: _K.STATUS_TOO_LARGE,
        415: _K.STATUS_BAD_REQUEST,
        422: _K.STATUS_BAD_REQUEST,
        429: _K.STATUS_RATE_LIMITED,
        503: _K.STATUS_OVERLOADED,
        504: _K.STATUS_TIMEOUT,
        529: _K.STATUS_OVERLOADED,
    }
)
_HUNDREDS = {3: _K.STATUS_UNEXPECTED, 4: _K.STATUS_CLIENT_ERROR, 5: _K.STATUS_SERVER_ERROR}


def status_kind(status: int) -> GivenKind | None:
    """The kind of an error status; None for a status that begins a stream."""
    return STATUS_KINDS.get(status) or _HUNDREDS.get(status // 100)
