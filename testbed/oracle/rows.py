"""What a row of the table is: a kind of thing that a client can be given, and what it may then report.

The law of this module: a kind says what happened and never what follows from it; a row says what follows, and never
looks at the client.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from testbed._values import Value
from testbed.trace import Outcome


class GivenKind(str, enum.Enum):
    """What a connection gave the client, as far as it matters for what the client must report."""

    # --- nothing, or silence: the connection is open and says nothing more
    REFUSED = "refused"
    SILENT_BEFORE_HEAD = "silent-before-head"
    SILENT_BEFORE_TOKEN = "silent-before-token"
    SILENT_MID_STREAM = "silent-mid-stream"
    SILENT_AFTER_FINISH = "silent-after-finish"
    # --- RST: the wire is cut. Before any byte, in the middle, or when the answer was already finished
    RESET_BEFORE_ANSWER = "reset-before-answer"
    RESET = "reset"
    RESET_AFTER_FINISH = "reset-after-finish"
    ENDING_MAYBE_LOST = "ending-maybe-lost"
    # --- TLS: what comes before an answer, and what must stand behind it
    SILENT_HANDSHAKE = "silent-handshake"
    HANDSHAKE_FAILED = "handshake-failed"
    BAD_CERTIFICATE = "bad-certificate"
    SEALED_TRUNCATION = "sealed-truncation"
    # --- FIN inside the framing: the peer closed before the message was complete
    FIN_BEFORE_ANSWER = "fin-before-answer"
    FIN_IN_HEAD = "fin-in-head"
    FIN_IN_BODY = "fin-in-body"
    FIN_AFTER_FINISH = "fin-after-finish"
    # --- a clean end by the framing: HTTP is content, the protocol above it may not be
    CLEAN_BEFORE_TERMINAL = "clean-before-terminal"
    CLEAN_INSIDE_EVENT = "clean-inside-event"
    CLEAN_AFTER_FINISH = "clean-after-finish"
    CLEAN_BEFORE_MESSAGE_STOP = "clean-before-message-stop"
    CLEAN_INSIDE_DONE = "clean-inside-done"
    # --- what the stream says: everything, an error, or something that is no stream of events
    WHOLE = "whole"
    PROVIDER_ERROR = "provider-error"
    PROVIDER_ERROR_AFTER_FINISH = "provider-error-after-finish"
    NOT_A_STREAM = "not-a-stream"
    WRONG_CONTENT_TYPE = "wrong-content-type"
    FRAMING_CONFLICT = "framing-conflict"
    BROKEN_HEAD = "broken-head"
    BROKEN_FRAMING = "broken-framing"
    BROKEN_UTF8 = "broken-utf8"
    BROKEN_UTF8_EVENTSOURCE = "broken-utf8-eventsource"
    BROKEN_CONTENT = "broken-content"
    # --- plain EventSource, which knows no terminal event
    EVENTSOURCE_END = "eventsource-end"
    EVENTSOURCE_RECONNECT = "eventsource-reconnect"
    EVENTSOURCE_NO_CONTENT = "eventsource-no-content"
    # --- statuses other than 200
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
    """One line of the table. `given` ends the sentence "the client was given …"."""

    kind: GivenKind
    given: str
    # Preferred passes, lenient passes with a remark; a set because clients name causes in different grain.
    preferred: frozenset[Outcome]
    lenient: frozenset[Outcome]
    requirement: str
    sources: tuple[str, ...]


def row(
    kind: GivenKind,
    given: str,
    preferred: Iterable[Outcome],
    lenient: Iterable[Outcome],
    requirement: str,
    *sources: str,
) -> Row:
    """Write one row."""
    return Row(kind, given, frozenset(preferred), frozenset(lenient), requirement, sources)
