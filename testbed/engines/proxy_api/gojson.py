"""JSON as Go's encoding/json reads and writes it, to the letter of its error messages.

The law of this module: pure text in, values out. Clients of Toxiproxy show these messages to people and match them
in tests, so a drop-in has to speak them: the first value alone is read, what follows is ignored; keys match in any
case; `null` means "not given"; an integer is written without point or exponent; a float is a float32.
"""

from __future__ import annotations

import enum
import json
import re
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple, Union, final

MAX_DEPTH = 200  # Go allows 10000; nobody nests a proxy that deep on purpose

_SPACE = b" \t\r\n"
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]+")
_LITERALS = {b"true": True, b"false": False, b"null": None}
_ESCAPES = b'"\\/bfnrt'
# json.Marshal makes its output safe inside HTML and JavaScript.
_ESCAPED = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


class GoError(Exception):
    """Not decodable; the text is Go's."""


@final
class Number(str):
    """A number as it was written; what it means depends on the field it is for."""

    __slots__ = ()


@final
class Object(tuple[tuple[str, "Json"], ...]):
    """The members in their order, duplicates kept: later ones win."""

    __slots__ = ()


Json = Union[Object, list["Json"], str, Number, bool, None]


class Float32(float):
    """A float that is written with as few digits as tell it from its float32 neighbours."""


def decode(data: bytes) -> Json:
    """Decode the first value of `data`; raises :class:`GoError`."""
    scanner = _Scanner(data)
    scanner.skip_space()
    if scanner.at == len(data):
        raise GoError("EOF")
    return scanner.value(0)


@final
class _Scanner:
    """A recursive descent over bytes, with Go's words for what is wrong."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def skip_space(self) -> None:
        while self.at < len(self._data) and self._data[self.at] in _SPACE:
            self.at += 1

    def value(self, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise GoError("exceeded max depth")
        char = self._next()
        if char == ord("{"):
            return self._object(depth)
        if char == ord("["):
            return self._array(depth)
        if char == ord('"'):
            return self._string()
        for word in _LITERALS:
            if char == word[0]:
                return self._literal(word)
        if char == ord("-") or chr(char).isdigit():
            return self._number()
        raise self._invalid("looking for beginning of value")

    def _next(self) -> int:
        """The next byte that is no space, not consumed."""
        self.skip_space()
        return self._peek()

    def _peek(self) -> int:
        if self.at >= len(self._data):
            raise GoError("unexpected EOF")
        return self._data[self.at]

    def _invalid(self, context: str) -> GoError:
        return GoError(f"invalid character {_quoted(self._peek())} {context}")

    def _object(self, depth: int) -> Object:
        self.at += 1
        members: list[tuple[str, Json]] = []
        if self._next() == ord("}"):
            self.at += 1
            return Object()
        while True:
            if self._next() != ord('"'):
                raise self._invalid("looking for beginning of object key string")
            key = self._string()
            if self._next() != ord(":"):
                raise self._invalid("after object key")
            self.at += 1
            members.append((key, self.value(depth + 1)))
            if self._closed(ord("}"), "after object key:value pair"):
                return Object(members)

    def _array(self, depth: int) -> list[Json]:
        self.at += 1
        items: list[Json] = []
        if self._next() == ord("]"):
            self.at += 1
            return items
        while True:
            items.append(self.value(depth + 1))
            if self._closed(ord("]"), "after array element"):
                return items

    def _closed(self, bracket: int, context: str) -> bool:
        """Consume a comma (False) or the closing bracket (True)."""
        char = self._next()
        if char not in {bracket, ord(",")}:
            raise self._invalid(context)
        self.at += 1
        return char == bracket

    def _string(self) -> str:
        start = self.at
        self.at += 1
        while (char := self._peek()) != ord('"'):
            if char < 0x20:
                raise self._invalid("in string literal")
            self.at += 1
            if char == ord("\\"):
                self._escape()
        self.at += 1
        text: str = json.loads(self._data[start : self.at].decode("utf-8", "replace"))
        # Half of a surrogate pair is no character; Go puts U+FFFD in its place.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _escape(self) -> None:
        char = self._peek()
        if char != ord("u"):
            if char not in _ESCAPES:
                raise self._invalid("in string escape code")
            self.at += 1
            return
        for _ in range(4):
            self.at += 1
            if self._peek() not in b"0123456789abcdefABCDEF":
                raise self._invalid("in \\u hexadecimal character escape")
        self.at += 1

    def _literal(self, word: bytes) -> Json:
        for expected in word:
            if self._peek() != expected:
                raise self._invalid(f"in literal {word.decode()} (expecting {_quoted(expected)})")
            self.at += 1
        return _LITERALS[word]

    def _number(self) -> Number:
        match = _NUMBER.match(self._data, self.at)
        if match is None:  # a minus sign alone
            self.at += 1
            raise self._invalid("in numeric literal")
        self.at = match.end()
        rest = self._data[self.at : self.at + 1]
        if rest == b".":
            self.at += 1
            raise self._invalid("after decimal point in numeric literal")
        if rest in {b"e", b"E"}:
            self.at += 1
            self.at += self._data[self.at : self.at + 1] in {b"+", b"-"}
            raise self._invalid("in exponent of numeric literal")
        return Number(match.group().decode())


def _quoted(char: int) -> str:
    """A byte as Go quotes it in an error."""
    if char == ord("'"):
        return "'\\''"
    if char == ord('"'):
        return "'\"'"
    return "'" + json.dumps(chr(char), ensure_ascii=False)[1:-1].replace("\\u00", "\\x") + "'"


# --- values into fields -----------------------------------------------------------------------------------------------


class Kind(enum.Enum):
    """What a field takes, by the name of its type in Go."""

    STRING = "string"
    BOOL = "bool"
    FLOAT32 = "float32"
    INT64 = "int64"
    INT = "int"


Scalar = Union[str, bool, float, int]


class Field(NamedTuple):
    """A field's type, and the path by which Go's messages name it."""

    kind: Kind
    path: str


def fill(value: Json, fields: Mapping[str, Field], go_type: str, path: str = "") -> dict[str, Scalar]:
    """Read an object's known fields; absent ones and nulls are left out. Raises :class:`GoError`."""
    found: dict[str, Scalar] = {}
    for key, member in members(value, go_type, path):
        name = key if key in fields else key.lower()
        if name in fields and member is not None:
            found[name] = _scalar(member, fields[name])
    return found


def members(value: Json, go_type: str, path: str = "") -> Object:
    """The members of an object (none for `null`), or Go's complaint that it is something else."""
    if value is None:
        return Object()
    if not isinstance(value, Object):
        raise mismatch(value, go_type, path)
    return value


def member(value: Json, name: str) -> Json:
    """The last member of that name, in any case; None if there is none."""
    pairs = reversed(value) if isinstance(value, Object) else ()
    return next((found for key, found in pairs if key.lower() == name), None)


def _kind(value: Json) -> str:
    """What Go calls a value that it cannot store."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "bool"),
        (Number, "number"),
        (str, "string"),
        (Object, "object"),
        (list, "array"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def mismatch(value: Json, go_type: str, path: str = "", literal: str = "") -> GoError:
    """What Go says of a value that does not fit its field, or has a type of its own."""
    target = f"struct field {path}" if path else "value"
    return GoError(f"json: cannot unmarshal {_kind(value)}{literal} into Go {target} of type {go_type}")


def _scalar(value: Json, field: Field) -> Scalar:
    if isinstance(value, Number) and field.kind in _NUMBERS:
        converted = _NUMBERS[field.kind](value)
        if converted is None:
            raise mismatch(value, field.kind.value, field.path, f" {value}")
        return converted
    if isinstance(value, bool) and field.kind is Kind.BOOL:
        return value
    if isinstance(value, str) and not isinstance(value, Number) and field.kind is Kind.STRING:
        return value
    raise mismatch(value, field.kind.value, field.path)


def _int64(text: str) -> int | None:
    # Longer than any int64: not even worth converting.
    if len(text) > 20 or not _INTEGER.fullmatch(text):
        return None
    return int(text) if -(2**63) <= int(text) < 2**63 else None


def _float32(text: str) -> Float32 | None:
    try:
        return Float32(struct.unpack("<f", struct.pack("<f", float(text)))[0])
    except OverflowError:
        return None


_NUMBERS: Mapping[Kind, Callable[[str], Scalar | None]] = {
    Kind.INT64: _int64,
    Kind.INT: _int64,
    Kind.FLOAT32: _float32,
}


# --- values into text -------------------------------------------------------------------------------------------------


def encode(value: object) -> str:
    """Encode dicts, lists, strings, numbers and booleans as json.Marshal does."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(key)}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(encode, value)) + "]"
    if isinstance(value, Float32):
        return _float_text(value)
    return json.dumps(value, ensure_ascii=False).translate(_ESCAPED)


def _float_text(value: Float32) -> str:
    """The shortest decimal that is the same float32."""
    candidates = (f"{value:.{digits}g}" for digits in range(1, 9))
    shortest = next((text for text in candidates if _float32(text) == value), f"{value:.9g}")
    if not value or 1e-6 <= abs(value) < 1e21:
        plain = f"{float(shortest):.60f}".rstrip("0").rstrip(".") if "e" in shortest else shortest
        return plain or "0"
    mantissa, _, exponent = f"{float(shortest):.8e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent):+d}"
