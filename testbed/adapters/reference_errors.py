"""What the reference client raises: one class for each thing that its caller can decide differently about.

The law of this module: every error derives from :class:`StreamError`, says in its message what happened, and carries
status and code where there are any.
"""

from __future__ import annotations


class StreamError(Exception):
    """The base of all errors of the reference client."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ConnectFailed(StreamError):
    """No connection came about."""


class ConnectionReset(StreamError):
    """The peer tore the connection down."""


class FirstByteTimeout(StreamError):
    """Silence for too long, before the first token."""


class IdleTimeout(StreamError):
    """Silence for too long, in the middle of the answer."""


class IncompleteAnswer(StreamError):
    """The body ended well, but the answer in it has no end."""


class BrokenMessage(StreamError):
    """The HTTP message ended inside its framing, or broke its rules; httpx says both with one class."""


class NotAnEventStream(StreamError):
    """The answer is something else: a wrong content type."""


class UndecodableAnswer(StreamError):
    """An event whose UTF-8, JSON or shape is wrong."""


class ProviderError(StreamError):
    """The provider reported an error inside the stream."""


class HttpError(StreamError):
    """The provider answered with an error status. `retry_after`: the seconds that it asks to wait, 0 if it does not.

    `should_retry` is its own word on asking again, None if it has none.
    """

    retry_after: float = 0.0
    should_retry: bool | None = None


class BadRequest(HttpError):
    """400, 415, 422."""


class Unauthorized(HttpError):
    """401."""


class PermissionDenied(HttpError):
    """403."""


class NotFound(HttpError):
    """404."""


class Conflict(HttpError):
    """409."""


class TooLarge(HttpError):
    """413."""


class RateLimited(HttpError):
    """429: slow down and try again."""


class QuotaExhausted(HttpError):
    """429 with a code that says that waiting does not help."""


class Overloaded(HttpError):
    """503, 529."""


class ServerFault(HttpError):
    """Every other status from 500 on, but 504."""


BY_STATUS: dict[int, type[HttpError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: PermissionDenied,
    404: NotFound,
    408: HttpError,
    409: Conflict,
    413: TooLarge,
    415: BadRequest,
    422: BadRequest,
    429: RateLimited,
    503: Overloaded,
    504: HttpError,
    529: Overloaded,
}

# The codes with which providers say that a 429 is about money and not about pace.
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_error"})


def http_error(status: int, code: str | None) -> HttpError:
    """Build the error for an error status.

    >>> http_error(429, "insufficient_quota")
    QuotaExhausted('HTTP status 429 (insufficient_quota)')
    """
    kind = BY_STATUS.get(status, ServerFault if status >= 500 else HttpError)
    if kind is RateLimited and code in _QUOTA_CODES:
        kind = QuotaExhausted
    return kind(f"HTTP status {status}" + (f" ({code})" if code else ""), status=status, code=code)
