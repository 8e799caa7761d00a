"""What the reference client makes of a head that says when to ask again, and of an address that failed.

The law of this module: who asks for a wait gets it, in whichever form it is told; what has no form is no wait.
"""

from __future__ import annotations

import email.utils
import time

import httpx
from msgspec import structs

from testbed.adapters import reference_errors as errors
from testbed.adapters.reference_errors import StreamError
from testbed.ports import Target

# What no other address would take either: it is the request that is wrong.
_OWN_FAULT = (errors.BadRequest, errors.TooLarge)


def retry_after(headers: httpx.Headers) -> float:
    """Seconds that the server asks to wait: OpenAI's milliseconds, or a number of seconds, or a date. 0: none."""
    milliseconds = headers.get("retry-after-ms", "").strip()
    if milliseconds.isdigit():
        return int(milliseconds) / 1000
    asked = headers.get("retry-after", "")
    if asked.strip().isdigit():
        return float(asked)
    until, now = _moment(asked), _moment(headers.get("date", ""))
    if until is None:
        return 0.0
    # By the server's own clock where it tells its time, because ours may be wrong.
    return max(0.0, until - (time.time() if now is None else now))


def _moment(date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


def should_retry(headers: httpx.Headers) -> bool | None:
    """What the server says of asking again; None if it says nothing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def elsewhere(target: Target) -> Target | None:
    """The second address as a target of its own, if there is one."""
    if not target.fallback_url:
        return None
    model = target.fallback_model or target.model
    request = {**target.request, "model": model} if "model" in target.request else target.request
    return structs.replace(
        target, base_url=target.fallback_url, model=model, request=request, fallback_url="", fallback_model=""
    )


def may_go_elsewhere(error: StreamError) -> bool:
    """Whether another address may answer what this one did not."""
    return not isinstance(error, _OWN_FAULT)
