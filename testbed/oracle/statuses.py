"""Error statuses: which kind each is, and its row.

The law of this module: every status from 300 on has a kind, because an answer that begins no stream must be judged as
what it is. `http_status` with the right status is right everywhere: a gateway or a library may say it with that
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from testbed.oracle.rows import GivenKind, Row, row
from testbed.oracle.sources import ANTHROPIC_ERRORS, OPENAI_ERRORS, STATUS, TOO_MANY
from testbed.trace import Outcome

# Short names, so that a row is a line or two and the table can be read as one.
_K, _O = GivenKind, Outcome


def _status(
    kind: GivenKind, given: str, special: Iterable[Outcome], lenient: Iterable[Outcome], requirement: str
) -> Row:
    preferred = {*special, _O.HTTP_STATUS}
    return row(kind, given, preferred, lenient, requirement, STATUS, OPENAI_ERRORS, ANTHROPIC_ERRORS)


STATUS_ROWS: tuple[Row, ...] = (
    # A success that is none: the status says that there is no answer, and an answer was asked for.
    row(
        _K.NO_CONTENT,
        "status 204 instead of a stream",
        {_O.INCOMPLETE, _O.PROTOCOL, _O.HTTP_STATUS},
        {_O.DECODE},
        "Status 204 where a stream was asked is not an answer, and never a success.",
        STATUS,
    ),
    # The request cannot succeed as it is, whether for its shape, its media type or its meaning.
    _status(
        _K.STATUS_BAD_REQUEST,
        "status 400, 415 or 422",
        {_O.BAD_REQUEST},
        (),
        "400, 415 and 422 are reported as a bad request, or with their status.",
    ),
    # A missing or wrong key: nothing that a retry could mend.
    _status(_K.STATUS_UNAUTHORIZED, "status 401", {_O.UNAUTHORIZED}, (), "401 is reported as unauthorized."),
    # A valid key without the right to this model or organisation.
    _status(
        _K.STATUS_PERMISSION_DENIED, "status 403", {_O.PERMISSION_DENIED}, (), "403 is reported as permission denied."
    ),
    # Most often a model's name with a typing mistake.
    _status(_K.STATUS_NOT_FOUND, "status 404", {_O.NOT_FOUND}, (), "404 is reported as not found."),
    # Somebody between client and model has lost patience. It is no time-out of the client's own, so none of the
    # time-out classes fits.
    _status(
        _K.STATUS_TIMEOUT, "status 408 or 504", (), {_O.SERVER_ERROR}, "408 and 504 are reported with their status."
    ),
    # Lock contention on the provider's side; vendors' SDKs retry it.
    _status(_K.STATUS_CONFLICT, "status 409", {_O.CONFLICT}, (), "409 is reported as a conflict."),
    # Also a bad request, in a client that has no finer class.
    _status(_K.STATUS_TOO_LARGE, "status 413", {_O.TOO_LARGE}, {_O.BAD_REQUEST}, "413 is reported as too large."),
    # Both are 429; only the body tells a limit that passes from a quota that does not.
    row(
        _K.STATUS_RATE_LIMITED,
        "status 429",
        {_O.RATE_LIMITED, _O.QUOTA_EXHAUSTED, _O.HTTP_STATUS},
        (),
        "429 is reported as a rate limit or an exhausted quota.",
        TOO_MANY,
        OPENAI_ERRORS,
        ANTHROPIC_ERRORS,
    ),
    # 503 and 529 are server errors, too: a client without a class for overload says less, nothing wrong.
    _status(
        _K.STATUS_OVERLOADED,
        "status 503 or 529",
        {_O.OVERLOADED},
        {_O.SERVER_ERROR},
        "503 and 529 are reported as an overload.",
    ),
    # Everything else from 500 on, gateways' pages of HTML among them.
    _status(
        _K.STATUS_SERVER_ERROR,
        "another status from 500 on",
        {_O.SERVER_ERROR},
        (),
        "Other 5xx statuses are reported as a server error.",
    ),
    # No class of its own, so nothing finer is asked for.
    _status(
        _K.STATUS_CLIENT_ERROR,
        "another status from 400 to 499",
        (),
        {_O.BAD_REQUEST},
        "Other 4xx statuses are reported with their status.",
    ),
    # A redirect that leads nowhere, for the testbed's server never redirects: it is no stream, and the status says
    # so.
    _status(
        _K.STATUS_UNEXPECTED,
        "a status from 300 to 399",
        (),
        {_O.PROTOCOL},
        "A status that is neither success nor error is reported.",
    ),
)

# Both tables are public: the docs print them, and a test asks them for every status.
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
