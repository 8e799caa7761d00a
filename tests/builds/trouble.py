"""What the builds raise: one small family of errors, because their callers decide the same things whatever is below.

The law of this module: a class for each decision that a caller can take, and every error says whether asking again may
help. How an exception of a library becomes one of these is each build's own affair.
"""

from __future__ import annotations

from collections.abc import Mapping

from testbed.adapters.classify import Meaning

# What another attempt may cure; a 4xx that is not here stays what it is.
PASSING = frozenset({408, 429, *range(500, 600)})
# The codes with which providers say that a 429 is about money and not about pace.
SPENT = frozenset({"insufficient_quota", "billing_error"})
# The reasons with which an answer ends where it was cut: of a call that was under way a part is missing.
CUT = frozenset({"length", "content_filter", "max_tokens", "model_context_window_exceeded", "refusal"})


class StreamError(Exception):
    """The base: no other exception leaves a build."""

    passing = False  # whether another attempt may end otherwise

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(StreamError):
    """No connection."""

    passing = True


class Reset(StreamError):
    """The connection was torn down."""

    passing = True


class SlowStart(StreamError):
    """Silence for too long before the first token."""

    passing = True


class Stalled(StreamError):
    """Silence for too long after it."""

    passing = True


class Silence(StreamError):
    """Silence for too long, of a library that cannot say when."""

    passing = True


class Truncated(StreamError):
    """The answer has no end."""

    passing = True


class BrokenBody(StreamError):
    """The message ended inside its framing or broke its rules, of a library that says both in one word."""

    passing = True


class Malformed(StreamError):
    """What came is no legal message."""

    passing = True


class NoStream(StreamError):
    """The answer is something else than a stream."""


class Unreadable(StreamError):
    """UTF-8, JSON or the shape of an event is wrong."""


class ProviderError(StreamError):
    """The provider reports an error inside the stream."""


class Refused(StreamError):
    """An error status."""

    def __init__(self, status: int, code: str | None = None, wait: float | None = None) -> None:
        super().__init__(f"HTTP status {status}" + (f" ({code})" if code else ""), code=code)
        self.status = status
        self.wait = wait  # the seconds that the server asks for, if it asks
        self.passing = status in PASSING and code not in SPENT


_BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "permission_denied",
    404: "not_found",
    408: "http_status",
    409: "conflict",
    413: "too_large",
    415: "bad_request",
    422: "bad_request",
    503: "overloaded",
    504: "http_status",
    529: "overloaded",
}


def _refusal(error: BaseException) -> set[str]:
    assert isinstance(error, Refused)
    if error.status == 429:
        return {"quota_exhausted" if error.code in SPENT else "rate_limited"}
    return {_BY_STATUS.get(error.status, "server_error" if error.status >= 500 else "http_status")}


ERRORS: Mapping[type[BaseException], Meaning] = {
    Unreachable: {"connect"},
    Reset: {"reset"},
    SlowStart: {"first_byte_timeout"},
    Stalled: {"idle_timeout"},
    Silence: {"first_byte_timeout", "idle_timeout"},
    Truncated: {"incomplete"},
    BrokenBody: {"incomplete", "protocol"},
    Malformed: {"protocol"},
    NoStream: {"protocol"},
    Unreadable: {"decode"},
    ProviderError: {"provider"},
    Refused: _refusal,
}
