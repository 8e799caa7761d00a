"""What a JSON request must look like, as values: checks that are put together and say where and what is wrong.

The laws of this module: a check is a pure function of a path and a value; the first thing wrong, in the order in which
the check names its parts, is the one that is said; no vendor's words are here, a dialect gives the codes and spells the
path.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Union, final

Path = tuple[Union[str, int], ...]


class What(enum.Enum):
    """In which way a value is wrong."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    TYPE = "type"
    VALUE = "value"
    INTEGER_LOW = "integer low"
    INTEGER_HIGH = "integer high"
    NUMBER_LOW = "number low"
    NUMBER_HIGH = "number high"
    TEXT_SHORT = "text short"
    TEXT_LONG = "text long"
    ARRAY_SHORT = "array short"
    ARRAY_LONG = "array long"


class Wrong(NamedTuple):
    """The first thing wrong: where, in which way, and the rest of a sentence whose subject is the place."""

    path: Path
    what: What
    sentence: str


Check = Callable[[Path, Any], Union[Wrong, None]]

_KINDS = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array", dict: "an object"}


def kind_of(value: object) -> str:
    """Name the JSON type of a value, with its article."""
    return _KINDS.get(type(value), "null")


def _typed(path: Path, value: object, wanted: str) -> Wrong:
    return Wrong(path, What.TYPE, f"is {kind_of(value)}; it must be {wanted}")


# --- single values ----------------------------------------------------------------------------------------------------


def anything(_path: Path, _value: Any) -> Wrong | None:
    """Accept every value."""
    return None


def boolean(path: Path, value: Any) -> Wrong | None:
    """Accept true and false."""
    return None if type(value) is bool else _typed(path, value, "a boolean")


def mapping(path: Path, value: Any) -> Wrong | None:
    """Accept any object: what is in it is not the server's affair."""
    return None if type(value) is dict else _typed(path, value, "an object")


def text(*, least: int = 0, most: int | None = None) -> Check:
    """Accept strings of these lengths."""

    def check(path: Path, value: Any) -> Wrong | None:
        if type(value) is not str:
            return _typed(path, value, "a string")
        if len(value) < least:
            return Wrong(path, What.TEXT_SHORT, f"has {len(value)} characters; it must have at least {least}")
        if most is not None and len(value) > most:
            return Wrong(path, What.TEXT_LONG, f"has {len(value)} characters; it must have at most {most}")
        return None

    return check


def integer(*, least: int | None = None, most: int | None = None) -> Check:
    """Accept whole numbers in a range, its ends included."""

    def check(path: Path, value: Any) -> Wrong | None:
        if type(value) is not int:
            return _typed(path, value, "an integer")
        return _ranged(path, value, least, most, (What.INTEGER_LOW, What.INTEGER_HIGH))

    return check


def number(*, least: float | None = None, most: float | None = None) -> Check:
    """Accept numbers in a range, its ends included."""

    def check(path: Path, value: Any) -> Wrong | None:
        if type(value) not in {int, float}:
            return _typed(path, value, "a number")
        return _ranged(path, value, least, most, (What.NUMBER_LOW, What.NUMBER_HIGH))

    return check


def _ranged(
    path: Path, value: float, least: float | None, most: float | None, kinds: tuple[What, What]
) -> Wrong | None:
    if least is not None and value < least:
        return Wrong(path, kinds[0], f"is {value}; it must be at least {least}")
    if most is not None and value > most:
        return Wrong(path, kinds[1], f"is {value}; it must be at most {most}")
    return None


def one_of(*allowed: str) -> Check:
    """Accept these strings."""

    def check(path: Path, value: Any) -> Wrong | None:
        if type(value) is not str:
            return _typed(path, value, "a string")
        if value not in allowed:
            listed = ", ".join(repr(one) for one in allowed)
            return Wrong(path, What.VALUE, f"is {value[:64]!r}; it must be one of {listed}")
        return None

    return check


def only_true(path: Path, value: Any) -> Wrong | None:
    """Accept true alone."""
    sentence = "is false; it must be true: this server only streams"
    return boolean(path, value) or (None if value else Wrong(path, What.VALUE, sentence))


# --- put together -----------------------------------------------------------------------------------------------------


def nullable(check: Check) -> Check:
    """Accept null, and what `check` accepts."""
    return lambda path, value: None if value is None else check(path, value)


def array(item: Check, *, least: int = 0, most: int | None = None) -> Check:
    """Accept lists of these lengths whose every item is accepted."""

    def check(path: Path, value: Any) -> Wrong | None:
        if type(value) is not list:
            return _typed(path, value, "an array")
        if len(value) < least:
            return Wrong(path, What.ARRAY_SHORT, f"has {len(value)} items; it must have at least {least}")
        if most is not None and len(value) > most:
            return Wrong(path, What.ARRAY_LONG, f"has {len(value)} items; it must have at most {most}")
        found = (item((*path, index), one) for index, one in enumerate(value))
        return next((wrong for wrong in found if wrong), None)

    return check


def values(item: Check, *, most: int | None = None) -> Check:
    """Accept objects with any keys whose every value is accepted."""

    def check(path: Path, value: Any) -> Wrong | None:
        if type(value) is not dict:
            return _typed(path, value, "an object")
        if most is not None and len(value) > most:
            return Wrong(path, What.ARRAY_LONG, f"has {len(value)} keys; it must have at most {most}")
        found = (item((*path, key), one) for key, one in value.items())
        return next((wrong for wrong in found if wrong), None)

    return check


@final
@dataclass(frozen=True)
class Record:
    """An object with known keys: those it must have, and those it may have."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check] = field(default_factory=dict)

    def __call__(self, path: Path, value: Any) -> Wrong | None:
        """Find the first thing wrong: a missing key, then a wrong value, then an unknown key."""
        if type(value) is not dict:
            return _typed(path, value, "an object")
        for key in self.required:
            if key not in value:
                return Wrong((*path, key), What.MISSING, "is missing")
        known = {**self.required, **self.optional}
        for key, one in value.items():
            wrong = known[key]((*path, key), one) if key in known else None
            if wrong:
                return wrong
        return next((Wrong((*path, key), What.UNKNOWN, "is not known") for key in value if key not in known), None)


def by_type(checks: Mapping[type, Check]) -> Check:
    """Choose the check by the JSON type of the value."""
    wanted = " or ".join(_KINDS[kind] for kind in checks)

    def check(path: Path, value: Any) -> Wrong | None:
        chosen = checks.get(type(value))
        return chosen(path, value) if chosen else _typed(path, value, wanted)

    return check


class Named(enum.Enum):
    """Whether the tag of a tagged object is a part of the paths into it, as one vendor's validator has it."""

    NO = "no"
    YES = "yes"


def tagged(key: str, cases: Mapping[str, Check], *, default: str | None = None, named: Named = Named.NO) -> Check:
    """Choose the check of an object by the string at `key`; `default` is the case of an object without one."""
    allowed = one_of(*cases)

    def check(path: Path, value: Any) -> Wrong | None:
        if type(value) is not dict:
            return _typed(path, value, "an object")
        tag = value.get(key, default)
        if tag is None:
            return Wrong((*path, key), What.MISSING, "is missing")
        wrong = allowed((*path, key), tag)
        return wrong or cases[tag]((*path, tag) if named is Named.YES else path, value)

    return check
