"""Error answers as scripts: a vendor's named case, or a gateway's page in its place, with any form of ``Retry-After``.

The laws of this module: a script from here is one head and one body, so it says by itself what it says on the wire; the
vendor's words come from its dialect and the pages from :mod:`testbed.dialects.gateways`; here they are only put
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from types import MappingProxyType

from testbed.dialects._answers import Answer, Case
from testbed.dialects._dialect import Dialect
from testbed.dialects.gateways import GATEWAYS
from testbed.errors import unknown_name
from testbed.script import Body, Framing, Head, Script

Field = tuple[str, str]

# What every server may say, for the dialects that name no cases of their own.
COMMON: Mapping[str, Case] = MappingProxyType(
    {
        "bad-request": Case(400, "the request cannot be understood"),
        "unauthorized": Case(401, "the request names no caller"),
        "forbidden": Case(403, "the caller may not do this"),
        "model-not-found": Case(404, "this model does not exist"),
        "timeout": Case(408, "the request took too long to arrive"),
        "conflict": Case(409, "another request holds the resource"),
        "too-large": Case(413, "the body of the request is too large"),
        "content-type": Case(415, "the content type must be application/json"),
        "unprocessable": Case(422, "the request was understood and cannot be followed"),
        "rate-limit": Case(429, "the limit of requests is reached: try again later"),
        "server-error": Case(500, "the server met an error"),
        "bad-gateway": Case(502, "the gateway got no right answer from the server behind it"),
        "overloaded": Case(503, "the server has too much to do: try again later"),
        "gateway-timeout": Case(504, "the gateway waited too long for the server behind it"),
    }
)

PAGE = "page-"


def http_date(seconds: float) -> str:
    """Spell a moment, in seconds since 1970, as HTTP does.

    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return formatdate(seconds, usegmt=True)


# The forms in which a wait is told, right and wrong ones. What a client may do with each stands in its sentence.
RETRY_AFTER: Mapping[str, tuple[tuple[Field, ...], str]] = MappingProxyType(
    {
        "none": ((), "nothing is said: the client's own back-off"),
        "seconds": ((("Retry-After", "1"),), "whole seconds (RFC 9110, section 10.2.3)"),
        "zero": ((("Retry-After", "0"),), "at once, or after the client's own back-off"),
        "fraction": ((("Retry-After", "0.5"),), "no form of the RFC, though some servers send it"),
        "milliseconds": ((("retry-after-ms", "1500"),), "a field of OpenAI and Azure"),
        "both": ((("Retry-After", "60"), ("retry-after-ms", "500")), "the finer field wins where it is known"),
        # Moments in 1970 count from the answer: see :mod:`testbed.retrying`.
        "date": ((("Retry-After", http_date(1)),), "a moment: a second behind the answer"),
        "date-minute": ((("Retry-After", http_date(59)),), "a moment: most of a minute behind the answer"),
        "date-past": ((("Retry-After", http_date(1_445_412_480)),), "long over: at once, or the client's own back-off"),
        "date-far": (
            (("Retry-After", "Fri, 31 Dec 2999 23:59:59 GMT"),),
            "longer than anyone waits: told to the caller",
        ),
        "minute": ((("Retry-After", "60"),), "the longest that is waited for"),
        "hour": ((("Retry-After", "3600"),), "longer than a caller waits: told to the caller"),
        "absurd": ((("Retry-After", "999999999999999999999"),), "beyond every clock: told to the caller"),
        "negative": ((("Retry-After", "-5"),), "no time: the client's own back-off"),
        "garbage": ((("Retry-After", "soon"),), "no form at all: the client's own back-off"),
        "empty": ((("Retry-After", ""),), "a field without a value: the client's own back-off"),
        "twice": ((("Retry-After", "1"), ("Retry-After", "2")), "two values: the longer one is safe"),
    }
)

_WAITS = frozenset({"retry-after", "retry-after-ms"})


def status_cases(dialect: Dialect) -> tuple[str, ...]:
    """The names of the error answers that :func:`status_script` makes for this dialect."""
    return (*(dialect.cases or COMMON), *(PAGE + name for name in GATEWAYS))


def status_script(dialect: Dialect, case: str, *, retry_after: str | tuple[Field, ...] | None = None) -> Script:
    """Make the script of a named error answer.

    `retry_after` replaces what the case says of a wait: a name of :data:`RETRY_AFTER`, or fields. Raises
    :class:`~testbed.errors.UsageError` for a name that does not exist.
    """
    answer = _answer(dialect, case, None if retry_after is None else _waits(retry_after))
    head = Head(answer.status, answer.content_type, answer.headers, Framing.LENGTH)
    return Script(dialect.name, (head, Body(answer.body)))


def _waits(retry_after: str | tuple[Field, ...]) -> tuple[Field, ...]:
    if not isinstance(retry_after, str):
        return retry_after
    if retry_after not in RETRY_AFTER:
        raise unknown_name("form of Retry-After", retry_after, RETRY_AFTER)
    return RETRY_AFTER[retry_after][0]


def _answer(dialect: Dialect, name: str, waits: tuple[Field, ...] | None) -> Answer:
    cases = dialect.cases or COMMON
    if name in cases:
        case = cases[name]
        # Before the body is made: some vendors repeat the wait in it.
        return dialect.answer(case._replace(headers=_replaced(case.headers, waits)))
    if name.startswith(PAGE) and name.removeprefix(PAGE) in GATEWAYS:
        page = GATEWAYS[name.removeprefix(PAGE)]
        return page._replace(headers=_replaced(page.headers, waits))
    raise unknown_name(f"case of {dialect.name.value}", name, status_cases(dialect))


def _replaced(headers: tuple[Field, ...], waits: tuple[Field, ...] | None) -> tuple[Field, ...]:
    if waits is None:
        return headers
    return (*(field for field in headers if field[0].lower() not in _WAITS), *waits)
