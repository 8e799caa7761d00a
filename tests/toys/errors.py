"""What a toy raises, and what each class means.

The law of this module: one class for one cause, so that a toy which says the wrong cause does so on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping

from testbed.adapters.classify import Meaning


class ToyError(Exception):
    """The base of what a toy raises."""


class ConnectFailed(ToyError):
    """There is no connection."""


class Reset(ToyError):
    """The connection was torn down."""


class FirstByteTimeout(ToyError):
    """Silence before the first token."""


class IdleTimeout(ToyError):
    """Silence behind it."""


class Incomplete(ToyError):
    """The body ended well, the answer did not."""


class Broken(ToyError):
    """The HTTP message broke its rules, or ended inside them: h11 says both with one class."""


class NotAStream(ToyError):
    """The answer is a document."""


class Undecodable(ToyError):
    """An event cannot be read."""


class Provider(ToyError):
    """The provider reported an error inside the stream."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Status(ToyError):
    """An error status. `retry_after`: the seconds that the server asks to wait; None: it asks nothing."""

    def __init__(self, status_code: int, retry_after: float | None = None, code: str | None = None) -> None:
        super().__init__(f"HTTP status {status_code}")
        self.status_code = status_code
        self.retry_after = retry_after
        self.code = code


QUOTA_CODES = frozenset({"insufficient_quota", "billing_error"})

CLASSES: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    403: "permission_denied",
    404: "not_found",
    408: "http_status",
    409: "conflict",
    413: "too_large",
    415: "bad_request",
    422: "bad_request",
    429: "rate_limited",
    503: "overloaded",
    504: "http_status",
    529: "overloaded",
}


def status_class(error: BaseException) -> set[str]:
    """The class of an error status."""
    assert isinstance(error, Status)
    if error.status_code == 429 and error.code in QUOTA_CODES:
        return {"quota_exhausted"}
    return {CLASSES.get(error.status_code, "server_error" if error.status_code >= 500 else "http_status")}


ERRORS: Mapping[type[BaseException], Meaning] = {
    ConnectFailed: {"connect"},
    Reset: {"reset"},
    FirstByteTimeout: {"first_byte_timeout"},
    IdleTimeout: {"idle_timeout"},
    Incomplete: {"incomplete"},
    Broken: {"incomplete", "protocol"},
    NotAStream: {"protocol"},
    Undecodable: {"decode"},
    Provider: {"provider"},
    Status: status_class,
}
