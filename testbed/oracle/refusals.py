"""Requests that a quota refused, read as attempts like any other.

The law of this module: nothing is invented. The server answers such a request by itself, so the plan has no script for
it; its status, its wait and its bytes stand in the trace, and that is what the script says that is made of them here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from testbed.plan import Attempt
from testbed.script import Body, DialectName, Framing, Head, Script
from testbed.trace import Request, Sent

_SECOND = 1_000_000
_TOO_MANY = 429


def by_quota(request: Request | None) -> bool:
    """Whether this request was refused because there were too many."""
    return request is not None and request.aside and request.status == _TOO_MANY


def refusal(struck: Attempt, dialect: DialectName, request: Request) -> Attempt:
    """The attempt that such a request met: the network of its connection, and the server's own answer."""
    # One that is too large for the whole quota is told no time.
    told = (("Retry-After", f"{request.wait / _SECOND:.6f}"),) if request.wait >= 0 else ()
    head = Head(request.status, "application/json", told, Framing.LENGTH)
    return msgspec.structs.replace(struck, script=Script(dialect, (head, Body(""))))


def as_steps(sent: Sequence[Sent]) -> tuple[Sent, ...]:
    """The writes of the server's own answer as those of its head and its body."""
    first, *rest = sent or (None,)
    if first is None:
        return ()
    body = (msgspec.structs.replace(one, step=1, ends_step=True) for one in rest)
    return (msgspec.structs.replace(first, step=0, ends_step=True), *body)
