"""What an answer says about asking again: whether it would help, and when.

The laws of this module: it reads scripts and no clock; where an answer says several things, all of them are found here,
and whoever judges takes the one that is kindest to the client.

``Retry-After`` has three forms: seconds, a date, and OpenAI's field of milliseconds. A date in a script would depend on
the day on which it was written, so a date in 1970 counts from the moment of the answer: ``Thu, 01 Jan 1970 00:00:30
GMT`` is half a minute later, and as the ``Date`` of a head ``Thu, 01 Jan 1970 00:00:00 GMT`` is now. :func:`dated` is
what a server says in its place, byte for byte as long.
"""

from __future__ import annotations

import enum
import functools
import math
from email.utils import formatdate, parsedate_to_datetime

import msgspec

from testbed._values import Value
from testbed.script import Body, DialectName, Head, Script

# Statuses after which the same request may succeed.
RETRYABLE_STATUS = frozenset({408, 409, 429}) | frozenset(range(500, 600))

# The codes, under which a provider says that paying is what would help, and waiting would not.
SPENT = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached"})

# Vendors whose SDKs obey `x-should-retry`, and whose field of milliseconds any client of theirs may be asked to know.
_OBEYED = frozenset({DialectName.OPENAI_CHAT, DialectName.OPENAI_RESPONSES, DialectName.ANTHROPIC_MESSAGES})
_MILLISECONDS = frozenset({DialectName.OPENAI_CHAT, DialectName.OPENAI_RESPONSES})

_YEAR = 365 * 86_400

_NO = "x-should-retry: false"


class Form(str, enum.Enum):
    """How a wait is told."""

    SECONDS = "seconds"
    DATE = "date"
    MILLISECONDS = "ms"
    QUOTA = "quota"  # by a server that counts, in every form that its vendor has


class Wait(Value):
    """How long an answer asks to wait, and in which form."""

    seconds: float
    form: Form


@functools.lru_cache(maxsize=256)
def waits(script: Script) -> tuple[Wait, ...]:
    """Every wait that the head names, the shortest first; a date that is no moment of this run names none."""
    found = [wait for name, value in script.head.headers if (wait := _wait(name.lower(), value)) is not None]
    # Of a vendor who has no such field a client need not know it; one that knows it may go by it all the same.
    if script.dialect not in _MILLISECONDS and all(wait.form is Form.MILLISECONDS for wait in found):
        return ()
    return tuple(sorted(found, key=lambda wait: wait.seconds))


def _wait(name: str, value: str) -> Wait | None:
    if name == "retry-after":
        moment = _relative(value)
        return _number(value, 1.0, Form.SECONDS) if moment is None else Wait(moment, Form.DATE)
    return _number(value, 0.001, Form.MILLISECONDS) if name == "retry-after-ms" else None


def _number(value: str, unit: float, form: Form) -> Wait | None:
    try:
        wait = float(value) * unit
    except ValueError:
        return None
    return Wait(wait, form) if wait >= 0 and math.isfinite(wait) else None


# --- whether it would help --------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def says_no(script: Script) -> str:
    """Why the same request cannot succeed after this answer, in words that follow "after"; empty if it can."""
    status = script.head.status
    if status < 400 or _should_retry(script) is True:
        return ""
    if status not in RETRYABLE_STATUS:
        return f"status {status}"
    code = _code(script)
    if code:
        return f"status {status} with the code {code}"
    return f"status {status} with {_NO}" if _should_retry(script) is False else ""


def only_advised(script: Script) -> bool:
    """Whether the no is nothing but a vendor's field, which stands in no standard and in no reference of its API."""
    return says_no(script).endswith(_NO)


def needs_body(script: Script) -> bool:
    """Whether it takes the body of an error, and not only its head, to know that it is final."""
    return bool(says_no(script)) and script.head.status in RETRYABLE_STATUS and bool(_code(script))


def _should_retry(script: Script) -> bool | None:
    if script.dialect not in _OBEYED:
        return None
    fields = {name.lower(): value.strip().lower() for name, value in script.head.headers}
    return {"true": True, "false": False}.get(fields.get("x-should-retry", ""))


def _code(script: Script) -> str:
    """The code of the error in the body, where the whole of it is one step."""
    for step in script.steps:
        if isinstance(step, Body):
            try:
                value = msgspec.json.decode(step.text)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                return ""
            error = value.get("error") if isinstance(value, dict) else None
            named = [error.get(key) for key in ("code", "type")] if isinstance(error, dict) else []
            return next((word for word in named if isinstance(word, str) and word in SPENT), "")
    return ""


# --- dates ------------------------------------------------------------------------------------------------------------


def _relative(value: str) -> float | None:
    """The seconds from the moment of the answer that a date in 1970 stands for; None for anything else."""
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if 0 <= moment < _YEAR and value == formatdate(moment, usegmt=True) else None


def dated(script: Script, now: float) -> Script:
    """The same script at the moment `now` (seconds since 1970): dates that count from the answer become real ones.

    A moment between two seconds is rounded down for now, and up for what is to come: whoever obeys is not too early.
    """
    if not has_dates(script):
        return script
    headers = tuple((name, _dated(value, now)) for name, value in script.head.headers)
    head = msgspec.structs.replace(script.head, headers=headers)
    steps = tuple(head if isinstance(step, Head) else step for step in script.steps)
    return msgspec.structs.replace(script, steps=steps)


@functools.lru_cache(maxsize=256)
def has_dates(script: Script) -> bool:
    """Whether its head names a date that counts from the moment of the answer."""
    return any(_relative(value) is not None for _, value in script.head.headers)


def _dated(value: str, now: float) -> str:
    ahead = _relative(value)
    if ahead is None:
        return value
    return formatdate(math.ceil(now + ahead) if ahead else math.floor(now), usegmt=True)
