"""From an exception that reached the caller to what the trace says of it.

The law of this module: the most specific declared class decides; a class that nobody declared is never guessed.
Whether an undeclared exception breaks the client's promise (it escapes the library's base class) or is a plain
mistake in its code is read from the class alone, never from the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Union

from testbed._values import Value
from testbed.errors import UsageError, alone, unknown_name
from testbed.trace import ERROR_CLASSES, Outcome, Raised, Wrapping

# What `errors` may map an exception class to: slugs, or a function of the exception that returns slugs.
Slugs = Union[str, Iterable[str]]
Meaning = Union[Slugs, Callable[[BaseException], Slugs]]

# A message is evidence, not a dump: some libraries put a whole response into it.
MESSAGE_LIMIT = 500

# Python's own words for "this code is wrong". Only the built-in classes themselves count: a library that derives its
# error from KeyError or TypeError raised it on purpose.
_MISTAKES = (
    AssertionError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    SystemError,
    SystemExit,
    TypeError,
    ZeroDivisionError,
)


class Promises(Value):
    """What a client library promises of its errors, as its adapter declares it."""

    base: tuple[type[BaseException], ...] = ()
    errors: Mapping[type[BaseException], Meaning] = {}
    status: str = "status_code"  # attributes of the exception; dots lead further in, to keys too
    code: tuple[str, ...] = ("code",)  # the first that holds something


def outcomes(slugs: Slugs) -> tuple[Outcome, ...]:
    """Read error classes by their slugs; raises :class:`UsageError` with a did-you-mean.

    >>> outcomes({"reset"})
    (<Outcome.RESET: 'reset'>,)
    """
    known = {outcome.value: outcome for outcome in ERROR_CLASSES}
    names = [slugs] if isinstance(slugs, str) else list(slugs)
    for name in names:
        if name not in known:
            raise unknown_name("error class", str(name), known)
    return tuple(sorted({known[name] for name in names}, key=list(Outcome).index))


def check(promises: Promises) -> Promises:
    """Refuse what can not be meant, at the place where it was written."""
    for kind, meaning in promises.errors.items():
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise UsageError(f"client: errors has the key {kind!r}; it must be an exception class")
        if not callable(meaning):
            outcomes(meaning)
    return promises


def classify(error: BaseException, promises: Promises, t: int) -> Raised:
    """Say of an exception where it comes from and which error classes it stands for."""
    error = alone(error)
    classes = _declared(error, promises)
    return Raised(
        t=t,
        type=_type_name(error),
        message=_message(error),
        classes=classes,
        wrapping=_wrapping(error, promises, classes),
        status=_status(error, promises.status),
        code=_code(error, promises.code),
    )


def _declared(error: BaseException, promises: Promises) -> tuple[Outcome, ...]:
    for kind in type(error).__mro__:
        if kind in promises.errors:
            meaning = promises.errors[kind]
            # An empty answer of a function says "this one not": then the exception counts as undeclared.
            return outcomes(meaning(error) if callable(meaning) else meaning)
    return ()


def _wrapping(error: BaseException, promises: Promises, classes: tuple[Outcome, ...]) -> Wrapping:
    if classes:
        return Wrapping.DECLARED
    if isinstance(error, promises.base):
        return Wrapping.BASE
    if isinstance(error, _MISTAKES) and type(error).__module__ == "builtins":
        return Wrapping.BUG
    return Wrapping.FOREIGN


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a client's own __str__ may raise anything, and must not take the run with it
        text = "(its message could not be read)"
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


def _attribute(error: BaseException, path: str) -> object:
    found: object = error
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
    return found


def _status(error: BaseException, path: str) -> int | None:
    found = _attribute(error, path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _code(error: BaseException, paths: Iterable[str]) -> str | None:
    for path in paths:
        found = _attribute(error, path)
        if isinstance(found, (str, int)) and not isinstance(found, bool) and found != "":
            return str(found)
    return None
