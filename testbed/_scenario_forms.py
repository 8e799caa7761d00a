"""The forms that a value of a scenario file may have, and the readers that check them.

The law of this module: what is allowed stands in tables, and a refusal quotes them; every refusal is one sentence
that names the file, the key with its whole path, and what would be right. Which keys exist is said in
:mod:`testbed.catalogue`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

import msgspec

from testbed._scenario_positions import SPLIT_WORDS
from testbed._scenario_spec import (
    ByDialect,
    Choice,
    Constant,
    Range,
    Region,
    Side,
    Spec,
    Texts,
    Versus,
    Within,
)
from testbed.corpus import GROUPS
from testbed.errors import UsageError, unknown_name
from testbed.script import DialectName

T = TypeVar("T")


class At(NamedTuple):
    """Where we are in which file, for refusals."""

    file: str
    path: str = ""

    def key(self, name: str | int) -> At:
        """One level down."""
        step = f"[{name}]" if isinstance(name, int) else f".{name}" if self.path else name
        return self._replace(path=self.path + step)

    def refuse(self, sentence: str) -> NoReturn:
        """Raise the one sentence that the tester reads."""
        place = f"{self.path}: " if self.path else ""
        raise UsageError(f"{self.file}: {place}{sentence}")


Reader = Callable[[object, At], Any]


# --- plain values -----------------------------------------------------------------------------------------------------


def table(value: object, at: At, readers: Mapping[str, Reader], *, required: Iterable[str] = ()) -> dict[str, Any]:
    """Read a table whose keys are known; what is not there is not in the result."""
    given = as_table(value, at)
    for key in given:
        if key not in readers:
            at.refuse(str(unknown_name("key", key, readers)))
    for key in required:
        if key not in given:
            at.refuse(f"the key {key!r} is missing")
    return {key: readers[key](item, at.key(key)) for key, item in given.items()}


def as_table(value: object, at: At) -> dict[str, object]:
    """Refuse what is no table."""
    if not isinstance(value, dict):
        at.refuse(f"it is {shown(value)}; it must be a table")
    return value


def listed(read: Callable[[object, At], T]) -> Callable[[object, At], tuple[T, ...]]:
    """A reader for an array of what `read` reads."""

    def read_all(value: object, at: At) -> tuple[T, ...]:
        if not isinstance(value, list):
            at.refuse(f"it is {shown(value)}; it must be an array")
        return tuple(read(item, at.key(index)) for index, item in enumerate(value))

    return read_all


def string(value: object, at: At) -> str:
    """Text, and nothing else."""
    if not isinstance(value, str):
        at.refuse(f"it is {shown(value)}; it must be a string")
    return value


def boolean(value: object, at: At) -> bool:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        at.refuse(f"it is {shown(value)}; it must be true or false")
    return value


def integer(value: object, at: At) -> int:
    """A whole number."""
    if type(value) is not int:
        at.refuse(f"it is {shown(value)}; it must be a whole number")
    return value


def member(kind: type[enum.Enum]) -> Reader:
    """A reader for one word of an enumeration."""

    def read(value: object, at: At) -> enum.Enum:
        words = [str(one.value) for one in kind]
        if string(value, at) not in words:
            at.refuse(str(unknown_name("value", str(value), words)))
        return kind(value)

    return read


def shown(value: object) -> str:
    """A value as it may stand in a sentence: cut short, in TOML's words."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def converted(kind: Any) -> Reader:
    """A reader for values that have their own types: steps, faults."""

    def read(value: object, at: At) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            at.refuse(_own_words(error))

    return read


def in_place(read: Reader) -> Reader:
    """The same reader, for a value with refusals of its own, which know nothing of the file."""

    def read_there(value: object, at: At) -> Any:
        try:
            return read(value, at)
        except UsageError as error:
            if str(error).startswith(at.file):
                raise
            at.refuse(str(error))

    return read_there


def _own_words(error: msgspec.ValidationError) -> str:
    """Msgspec names a path below ours after a dash; everything else it says is a sentence already."""
    return str(error).replace(" - at `$.", " at `").replace(" - at `$", " at `")


# --- what may vary ----------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """What one key takes.

    A noun for refusals, the types of a constant, its limits or its words, and the forms beside it.
    """

    noun: str
    types: tuple[type, ...]
    forms: frozenset[str] = frozenset({"one_of"})
    low: float | None = None
    words: tuple[str, ...] = ()


_RANGED = frozenset({"one_of", "min"})
WHOLE = Kind("a whole number", (int,), _RANGED)
COUNT = WHOLE._replace(low=0)
NUMBER = Kind("a number", (int, float), _RANGED)
SECONDS = Kind("seconds", (int, float), _RANGED, low=0)
SILENCE = Kind("seconds", (int, float), _RANGED | {Side.LONGER.value, Side.SHORTER.value}, low=0)
STRING = Kind("a string", (str,))
FLAG = Kind("true or false", (bool,))
FIELD = Kind("a string or a whole number", (str, int), _RANGED)
TEXT = Kind("a string", (str,), frozenset({"one_of", "faker", "corpus"}))
PLACE = Kind("a byte", (int,), _RANGED | {"within"}, low=0)
SPLITS = Kind("a size in bytes", (int, str), _RANGED | {"within"}, low=1, words=("byte", *SPLIT_WORDS))


def words(kind: Iterable[str]) -> Kind:
    """One of these words."""
    known = tuple(kind)
    return Kind(f"one of {', '.join(known)}", (str,), words=known)


def spec(kind: Kind) -> Callable[[object, At], Spec]:
    """A reader for a value that may vary."""

    def read(value: object, at: At) -> Spec:
        if not isinstance(value, dict):
            return Constant(_checked(value, at, kind))
        known = (*kind.forms, "by_dialect")
        # The last, for a silence that is shorter than a time-out may have a min, too.
        form = next((form for key, form in reversed(list(_FORMS.items())) if key in value and key in known), None)
        if form is None:
            at.refuse(f"it is {shown(value)}; it must be {_allowed(kind)}")
        table(value, at, dict.fromkeys(form.keys, _anything))
        told: Spec = form.read(value, at, kind)
        return told

    return read


def _anything(value: object, at: At) -> object:
    return value


def _allowed(kind: Kind) -> str:
    """What a key takes, for a refusal."""
    return " or ".join(dict.fromkeys([kind.noun, *(form.shape for key, form in _FORMS.items() if key in kind.forms)]))


def _checked(value: object, at: At, kind: Kind) -> Any:
    if type(value) not in kind.types:
        at.refuse(f"it is {shown(value)}; it must be {_allowed(kind)}")
    if isinstance(value, str) and kind.words and value not in kind.words:
        at.refuse(str(unknown_name("value", value, kind.words)))
    if kind.low is not None and isinstance(value, (int, float)) and value < kind.low:
        at.refuse(f"it is {value}; it must be at least {kind.low:g}")
    return value


def _range(value: dict[str, Any], at: At, kind: Kind) -> Spec:
    if "max" not in value:
        at.refuse("the key 'max' is missing; a range has both min and max")
    numeric = kind._replace(types=tuple(one for one in kind.types if one is not str), forms=frozenset())
    low, high = (_checked(value[key], at.key(key), numeric) for key in ("min", "max"))
    if low > high:
        at.refuse(f"min is {low}, which is more than max, {high}")
    return Range(low, high)


def _choice(value: dict[str, Any], at: At, kind: Kind) -> Spec:
    options = listed(spec(kind))(value["one_of"], at.key("one_of"))
    if not options:
        at.refuse("one_of is empty; it must name at least one value")
    return Choice(options)


def _by_dialect(value: dict[str, Any], at: At, kind: Kind) -> Spec:
    inner = at.key("by_dialect")
    names = {name.value: name for name in DialectName}
    read = table(value["by_dialect"], inner, dict.fromkeys(names, spec(kind)))
    return ByDialect(tuple((names[name], one) for name, one in read.items()))


def _texts(value: dict[str, Any], at: At, kind: Kind) -> Spec:
    groups = listed(string)(value.get("corpus", []), at.key("corpus"))
    for group in groups:
        if group not in GROUPS:
            at.key("corpus").refuse(str(unknown_name("group", group, GROUPS)))
    return Texts(faker=listed(string)(value.get("faker", []), at.key("faker")), corpus=groups)


def _within(value: dict[str, Any], at: At, kind: Kind) -> Spec:
    return Within(member(Region)(value["within"], at.key("within")))


def _versus(side: Side, bound: str, default: float) -> Callable[[dict[str, Any], At, Kind], Spec]:
    def read(value: dict[str, Any], at: At, kind: Kind) -> Spec:
        timeout = string(value[side.value], at.key(side.value))
        if timeout not in ("idle_timeout", "first_byte_timeout"):
            at.key(side.value).refuse(str(unknown_name("time-out", timeout, ("idle_timeout", "first_byte_timeout"))))
        plain = kind._replace(forms=frozenset())
        return Versus(side, timeout, float(_checked(value.get(bound, default), at.key(bound), plain)))

    return read


class Form(NamedTuple):
    """One shape of a value that may vary: as a refusal shows it, all its keys, and its reader."""

    shape: str
    keys: tuple[str, ...]
    read: Callable[[dict[str, Any], At, Kind], Spec]


_TEXTS = Form("{ faker = [...], corpus = [...] }", ("faker", "corpus"), _texts)

# Each under the key that tells it from the others.
_FORMS: Mapping[str, Form] = {
    "one_of": Form("{ one_of = [...] }", ("one_of",), _choice),
    "min": Form("{ min, max }", ("min", "max"), _range),
    "faker": _TEXTS,
    "corpus": _TEXTS,
    "within": Form('{ within = "body" }', ("within",), _within),
    "by_dialect": Form("{ by_dialect = { openai-chat = ... } }", ("by_dialect",), _by_dialect),
    Side.LONGER.value: Form(
        '{ longer_than = "idle_timeout", max }', (Side.LONGER.value, "max"), _versus(Side.LONGER, "max", 3600.0)
    ),
    Side.SHORTER.value: Form(
        '{ shorter_than = "idle_timeout", min }', (Side.SHORTER.value, "min"), _versus(Side.SHORTER, "min", 0.0)
    ),
}
