"""What the shipped adapters of HTTP clients share.

The law of this module: nothing here changes how a client behaves on a stream. It only spares each client its own TLS
set-up and keeps proxies out of the way, through options that the clients' own documentation names.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from typing import Any

from testbed.ports import Target
from testbed.trace import Option

# Every setting of a target that an SDK has a word for; to ask another address is left to its caller. A client with
# one read time-out takes `first_byte_timeout` too, as long as both are the same.
_SELDOM = (Option.FALLBACK, Option.KEEPALIVES, Option.MAX_EVENT_BYTES)
ALL_OPTIONS = tuple(option for option in Option if option not in _SELDOM)
SYNC_OPTIONS = tuple(option for option in ALL_OPTIONS if option is not Option.CANCEL)

# Error classes by status, as DESIGN's table of statuses has them; a status that is not here is told by its hundred.
_STATUSES: Mapping[int, frozenset[str]] = {
    400: frozenset({"bad_request"}),
    401: frozenset({"unauthorized"}),
    403: frozenset({"permission_denied"}),
    404: frozenset({"not_found"}),
    408: frozenset({"http_status"}),
    409: frozenset({"conflict"}),
    413: frozenset({"too_large"}),
    415: frozenset({"bad_request"}),
    422: frozenset({"bad_request"}),
    429: frozenset({"rate_limited"}),
    503: frozenset({"overloaded"}),
    504: frozenset({"http_status"}),
    529: frozenset({"overloaded"}),
}


def tls(target: Target) -> ssl.SSLContext:
    """The TLS context for this target, one a process: it trusts the authority that the target names and no other.

    A target in the clear names none. A context that trusts nobody cannot talk to anyone, should the client leave the
    testbed by mistake.
    """
    return _trusting(target.ca)


@functools.lru_cache(maxsize=8)
def _trusting(ca: str | None) -> ssl.SSLContext:
    # Building one costs 50 ms with the system's own authorities, and these are not asked here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        context.load_verify_locations(ca)
    return context


def read_timeout(target: Target) -> float | None:
    """The one time-out of a client that has no other: silence before the first byte and between two bytes."""
    return target.idle_timeout if target.idle_timeout is not None else target.first_byte_timeout


def timed_out(error: BaseException) -> frozenset[str]:
    """What an SDK with one class for every wait that was too long says by its cause: which wait it was.

    The cause is of the HTTP library below, of which there are several; all call it the same.
    """
    # The TLS handshake is a part of connecting. Which of the waits behind it was too long is told by nothing.
    connecting = type(error.__cause__).__name__ == "ConnectTimeout"
    return frozenset({"first_byte_timeout", "idle_timeout"}) | (frozenset({"connect"}) if connecting else frozenset())


def text_at(value: object, *path: str) -> str:
    """The text at the end of a path of attributes, "" where there is none.

    SDKs hand on what they parsed without validating it, so anything may be missing, or be of another type. That is no
    mistake of the SDK's before its caller stumbles, and the adapter is not the caller to do that.
    """
    for name in path:
        value = getattr(value, name, None)
    return value if isinstance(value, str) else ""


def count_at(value: object, *path: str) -> int:
    """The number at the end of a path of attributes, 0 where there is none."""
    for name in path:
        value = getattr(value, name, None)
    return value if isinstance(value, int) else 0


def list_at(value: object, *path: str) -> list[Any]:
    """The list at the end of a path of attributes, an empty one where there is none."""
    for name in path:
        value = getattr(value, name, None)
    return value if isinstance(value, list) else []


def status_class(status: int) -> frozenset[str]:
    """The error class of a status, for clients that surface the status itself.

    >>> sorted(status_class(503)), sorted(status_class(500)), sorted(status_class(451))
    (['overloaded'], ['server_error'], ['http_status'])
    """
    return _STATUSES.get(status, frozenset({"server_error" if status >= 500 else "http_status"}))
