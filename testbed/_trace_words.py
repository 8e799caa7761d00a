"""The words of a trace, and of whoever judges it: outcomes, failure classes, cures, clocks, settings.

The law of this module: words that stand in files and never change there; what each is for is said in a line, and
nothing here does anything.
"""

from __future__ import annotations

import enum


class Outcome(str, enum.Enum):
    """How a run ended for the caller: complete, or the class of the error that surfaced.

    The members after COMPLETE and RECONNECT are the error classes that adapters map exceptions to.
    """

    COMPLETE = "complete"
    RECONNECT = "reconnect"
    CONNECT = "connect"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    RESET = "reset"
    INCOMPLETE = "incomplete"
    PROTOCOL = "protocol"
    DECODE = "decode"
    PROVIDER = "provider"
    HTTP_STATUS = "http_status"
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"


ERROR_CLASSES: frozenset[Outcome] = frozenset(Outcome) - {Outcome.COMPLETE, Outcome.RECONNECT}


class Failure(str, enum.Enum):
    """The failure classes: what can be wrong with a client. Each has a page under docs/reference/failures."""

    SILENT_TRUNCATION = "silent-truncation"
    FALSE_FAILURE = "false-failure"
    CORRUPTED_TEXT = "corrupted-text"
    DUPLICATED_TEXT = "duplicated-text"
    LOST_EVENT = "lost-event"
    PHANTOM_EVENT = "phantom-event"
    REORDERED_EVENT = "reordered-event"
    PARTIAL_EVENT_DELIVERED = "partial-event-delivered"
    WRONG_ERROR_CLASS = "wrong-error-class"
    UNWRAPPED_ERROR = "unwrapped-error"
    HANG = "hang"
    EARLY_TIMEOUT = "early-timeout"
    LATE_TIMEOUT = "late-timeout"
    LATE_DELIVERY = "late-delivery"
    RETRY_STORM = "retry-storm"
    RETRY_AFTER_IGNORED = "retry-after-ignored"
    RETRIED_NON_RETRYABLE = "retried-non-retryable"
    RETRY_AFTER_PARTIAL_OUTPUT = "retry-after-partial-output"
    CERTIFICATE_IGNORED = "certificate-ignored"
    NO_RESUME = "no-resume"
    RESUME_GAP = "resume-gap"
    CANCEL_IGNORED = "cancel-ignored"
    RESOURCE_LEAK = "resource-leak"
    UNBOUNDED_MEMORY = "unbounded-memory"
    CRASH = "crash"


class Cure(str, enum.Enum):
    """What clients claim to do about trouble, each of which a run can prove or disprove.

    What proves and what disproves each stands in :mod:`testbed.oracle.cures`.
    """

    BOUNDED_RETRIES = "bounded-retries"
    GROWING_BACKOFF = "growing-backoff"
    JITTER = "jitter"
    RETRY_AFTER = "retry-after"
    STABLE_KEY = "stable-key"
    NOTHING_FINAL_RETRIED = "nothing-final-retried"
    NO_TEXT_TWICE = "no-text-twice"
    RESUME = "resume"
    TIMEOUT_PER_PHASE = "timeout-per-phase"
    FALLBACK = "fallback"
    CANCEL = "cancel"
    CONNECTION_CLOSED = "connection-closed"
    MEMORY_BOUNDED = "memory-bounded"
    WHOLE_TOOL_CALLS = "whole-tool-calls"
    FINISH_VISIBLE = "finish-visible"
    PARTIAL_CHUNKS = "partial-chunks"
    SENTINEL = "sentinel"


class Clock(str, enum.Enum):
    """Which clock the times of a trace were read from."""

    VIRTUAL = "virtual"
    REAL = "real"


class Option(str, enum.Enum):
    """The client settings that an adapter may be able to pass on."""

    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    MAX_RETRIES = "max_retries"
    CANCEL = "cancel_at"
    FALLBACK = "fallback"  # not a setting of a plan either: the second address, and the model to ask for there
    CA = "ca"  # not a setting of a plan: the certificate authority that the client is to trust
    KEEPALIVES = "keepalives"  # that signs of life are no progress
    MAX_EVENT_BYTES = "max_event_bytes"  # how long one event may be
