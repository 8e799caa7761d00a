"""The requirement behind each failure class that is not about the outcome alone.

The law of this module: one sentence and its sources for each class that a check can find without a row of
:mod:`testbed.oracle.table`. A finding about the outcome takes the row's sentence instead, because the row says what
the client was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed._values import Value
from testbed.oracle.sources import (
    ANTHROPIC,
    BACKPRESSURE,
    CERTIFICATES,
    FAILURES,
    FLOW_CONTROL,
    IDEMPOTENT,
    MCP_RESUMING,
    OPENAI,
    OPENAI_BACKGROUND,
    RESOURCE_WARNINGS,
    RETRY_AFTER,
    RETRYING,
    SDK_ERRORS,
    SSE_MODEL,
    SSE_PARSING,
    TLS_ALERTS,
    TOO_MANY,
    UTF8,
)
from testbed.trace import Failure


# Named here and not in the checks, so that docs and findings say the same sentence of the same class.
class Requirement(Value):
    """What a client must do, and who says so."""

    sentence: str
    sources: tuple[str, ...]


def _is(sentence: str, *sources: str) -> Requirement:
    return Requirement(sentence, sources)


# What a process holds beside its connections when the call is over.
LEFTOVERS = _is(
    "When a call is over, nothing is left of it: no socket, no thread, no task, and nothing that nobody closed.",
    RESOURCE_WARNINGS,
    FAILURES,
)

# Of several classes, as many as there are ways to hand over a wrong call; so it stands for itself.
TOOLS = _is(
    "A tool call is handed over once, whole, and only when all of its arguments have arrived.", OPENAI, ANTHROPIC
)

REQUIREMENTS: Mapping[Failure, Requirement] = MappingProxyType(
    {
        # --- what the caller sees
        Failure.CORRUPTED_TEXT: _is(
            "The text that the caller sees is the text that was sent, character for character.", SSE_PARSING, UTF8
        ),
        Failure.DUPLICATED_TEXT: _is("No text is shown twice.", OPENAI, ANTHROPIC, SSE_PARSING),
        Failure.LOST_EVENT: _is("Every event that was delivered is shown.", SSE_PARSING, OPENAI, ANTHROPIC),
        Failure.REORDERED_EVENT: _is("Events are shown in the order in which they were sent.", SSE_PARSING),
        Failure.PHANTOM_EVENT: _is("Nothing is shown that was not sent.", SSE_PARSING),
        Failure.PARTIAL_EVENT_DELIVERED: _is(
            "An event is shown only when its blank line has arrived; an unfinished one is discarded.", SSE_PARSING
        ),
        # --- when it is seen, and when the client gives up
        Failure.EARLY_TIMEOUT: _is("A time-out is raised only after that long without progress.", FAILURES),
        Failure.LATE_TIMEOUT: _is("A silence longer than the time-out ends the call.", FAILURES),
        Failure.LATE_DELIVERY: _is(
            "Text is shown as it arrives, not when the stream ends.", OPENAI, ANTHROPIC, SSE_PARSING
        ),
        Failure.HANG: _is("A call ends: with the answer, with an error, or with its time-out.", FAILURES),
        # --- how often it asks. A vendor's POST is not idempotent in HTTP's eyes; that it may be repeated before
        # anything was shown is the SDKs' documented choice.
        Failure.RETRY_STORM: _is(
            "Retries are bounded by max_retries and wait longer from one to the next.", RETRYING, TOO_MANY
        ),
        Failure.RETRY_AFTER_IGNORED: _is(
            "A retry does not come before the time that Retry-After names.", RETRY_AFTER, TOO_MANY
        ),
        Failure.RETRIED_NON_RETRYABLE: _is(
            "A request that cannot succeed, or has succeeded, is not sent again.", IDEMPOTENT, RETRYING
        ),
        Failure.RETRY_AFTER_PARTIAL_OUTPUT: _is(
            "Once text was shown, the request is not sent again behind the caller's back.", IDEMPOTENT, RETRYING
        ),
        # --- streams that are resumed, and calls that are stopped
        Failure.NO_RESUME: _is(
            "A client that resumes a stream comes back when it breaks off, and says which event it had last.",
            SSE_MODEL,
            MCP_RESUMING,
            OPENAI_BACKGROUND,
        ),
        Failure.RESUME_GAP: _is(
            "A stream is resumed behind the last event that was given and shown, so that none is skipped.",
            SSE_MODEL,
            MCP_RESUMING,
            OPENAI_BACKGROUND,
        ),
        Failure.CANCEL_IGNORED: _is("Cancelling a call closes its connection.", FAILURES),
        Failure.RESOURCE_LEAK: _is(
            "When a call is over, its connection is closed, or fit to carry the next request.", FAILURES
        ),
        Failure.UNBOUNDED_MEMORY: _is(
            "A client reads no faster than its caller takes, and holds no more of one event than it was told to.",
            FLOW_CONTROL,
            BACKPRESSURE,
        ),
        Failure.CERTIFICATE_IGNORED: _is(
            "A client sends no request to a server whose certificate it cannot trust.", CERTIFICATES, TLS_ALERTS
        ),
        # --- what is raised. Whether the class fits the cause is a row's affair; here it is only whose exception it is.
        Failure.CRASH: _is("Trouble is reported by an exception that the library documents.", SDK_ERRORS),
        Failure.UNWRAPPED_ERROR: _is(
            "Errors of the libraries below are wrapped in the client's own exceptions.", SDK_ERRORS
        ),
    }
)
