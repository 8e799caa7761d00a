"""The requests of Toxiproxy's API as values, and what is wrong with them in its own words.

The law of this module: pure; bytes in, values or an :class:`ApiError` out. What the real server checks is checked here
in its order, so that a request with two faults gets the same answer from both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from testbed._values import Value
from testbed.engines.proxy_api import gojson
from testbed.engines.proxy_api.gojson import Field, Float32, GoError, Json, Kind
from testbed.errors import TestbedError
from testbed.faults.toxics import NATIVE, Direction, Toxic

# The native toxics by the name of their type.
TYPES: Mapping[str, type[Any]] = MappingProxyType({str(kind.__struct_config__.tag): kind for kind in NATIVE})

# Types without a name have their whole declaration for one in Go's messages.
_UPDATE_TYPE = 'struct { Attributes interface {} "json:\\"attributes\\""; Toxicity float32 "json:\\"toxicity\\"" }'
_ENTRY_TYPE = 'struct { toxiproxy.Proxy; Enabled *bool "json:\\"enabled\\"" }'

_PROXY_KINDS = {"name": Kind.STRING, "listen": Kind.STRING, "upstream": Kind.STRING, "enabled": Kind.BOOL}
_PROXY = {name: Field(kind, f"Proxy.{name}") for name, kind in _PROXY_KINDS.items()}
# In /populate the proxy is embedded in a nameless struct, which has `enabled` to itself.
_ENTRY = {name: Field(kind, f".Proxy.{name}") for name, kind in _PROXY_KINDS.items()} | {
    "enabled": Field(Kind.BOOL, ".enabled")
}
_TOXIC_KINDS = {"name": Kind.STRING, "type": Kind.STRING, "stream": Kind.STRING, "toxicity": Kind.FLOAT32}
_TOXIC = {name: Field(kind, f"ToxicWrapper.{name}") for name, kind in _TOXIC_KINDS.items()}
_UPDATE = {"toxicity": Field(Kind.FLOAT32, ".toxicity")}

_DIRECTIONS = frozenset(direction.value for direction in Direction)


class ApiError(TestbedError):
    """An answer that is an error: its status, and Toxiproxy's text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ProxyFields(Value):
    """What a request says of a proxy; None where it says nothing."""

    name: str | None = None
    listen: str | None = None
    upstream: str | None = None
    enabled: bool | None = None


class ToxicEntry(Value):
    """A toxic as the API knows it: `stream` is echoed just as it was sent, `toxicity` is not checked."""

    name: str
    type: str
    stream: str = Direction.DOWNSTREAM.value
    toxicity: float = 1.0
    attributes: Mapping[str, int] = {}

    @property
    def direction(self) -> Direction:
        """The stream it works on."""
        return Direction(self.stream.lower())

    def json(self) -> dict[str, object]:
        """The toxic as the API shows it."""
        return {
            "attributes": dict(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": Float32(self.toxicity),
        }

    def toxic(self) -> Toxic:
        """The toxic as the model takes it. A toxicity beyond 0 to 1 means never or always there."""
        kind = TYPES[self.type]
        attributes = type(kind().attributes)(**self.attributes)
        toxic: Toxic = kind(self.name, self.direction, min(max(self.toxicity, 0.0), 1.0), attributes)
        return toxic


def parse_proxy(body: bytes) -> ProxyFields:
    """The proxy that a create or an update speaks of."""
    try:
        return ProxyFields(**gojson.fill(gojson.decode(body), _PROXY, "toxiproxy.Proxy"))  # type: ignore[arg-type]
    except GoError as error:
        raise _bad_body(error) from error


def parse_proxies(body: bytes) -> tuple[ProxyFields, ...]:
    """The list of proxies that /populate takes; all of them have a name and an upstream."""
    try:
        listed = gojson.decode(body)
        if listed is not None and not isinstance(listed, list):
            raise gojson.mismatch(listed, f"[]{_ENTRY_TYPE}")
        entries = tuple(ProxyFields(**gojson.fill(entry, _ENTRY, _ENTRY_TYPE)) for entry in listed or ())  # type: ignore[arg-type]
    except GoError as error:
        raise _bad_body(error) from error
    for number, entry in enumerate(entries, 1):
        check_complete(entry, f" at proxy {number}")
    return entries


def check_complete(proxy: ProxyFields, where: str = "") -> None:
    """Raise unless the two fields that a new proxy needs are there."""
    for field in ("name", "upstream"):
        if not getattr(proxy, field):
            raise ApiError(400, f"missing required field: {field}{where}")


def parse_toxic(body: bytes, taken: Sequence[str]) -> ToxicEntry:
    """The toxic that a create speaks of. Checked in this order: JSON, stream, type, name, attributes."""
    try:
        value = gojson.decode(body)
        fields = gojson.fill(value, _TOXIC, "toxics.ToxicWrapper")
        attributes = gojson.member(value, "attributes")
        gojson.members(attributes, "toxics.NoopToxic", "ToxicWrapper.attributes")
    except GoError as error:
        raise _bad_body(error) from error
    named = {"type": "", "name": "", **fields}
    entry = ToxicEntry(**named)  # type: ignore[arg-type]
    if entry.stream.lower() not in _DIRECTIONS:
        raise ApiError(400, "stream was invalid, can be either upstream or downstream")
    name = entry.name or f"{entry.type}_{entry.stream}"
    if entry.type not in TYPES:
        raise ApiError(400, "invalid toxic type")
    if name in taken:
        raise ApiError(409, "toxic already exists")
    blank = dict.fromkeys(TYPES[entry.type]().attributes.__struct_fields__, 0)
    named_entry = msgspec.structs.replace(entry, name=name, attributes=blank)
    return _with_attributes(named_entry, attributes)


def parse_toxic_update(body: bytes, old: ToxicEntry) -> ToxicEntry:
    """The toxic after an update, which can change its toxicity and, one by one, its attributes."""
    try:
        value = gojson.decode(body)
        fields = gojson.fill(value, _UPDATE, _UPDATE_TYPE)
        attributes = gojson.member(value, "attributes")
        gojson.members(attributes, f"toxics.{_go_name(old.type)}", ".attributes")
    except GoError as error:
        raise _bad_body(error) from error
    return _with_attributes(msgspec.structs.replace(old, **fields), attributes)


def _with_attributes(entry: ToxicEntry, attributes: Json) -> ToxicEntry:
    # The slicer alone has Go's plain ints.
    kind = Kind.INT if entry.type == "slicer" else Kind.INT64
    fields = {name: Field(kind, f".attributes.{name}") for name in entry.attributes}
    try:
        given = gojson.fill(attributes, fields, f"toxics.{_go_name(entry.type)}")
    except GoError as error:
        raise _bad_body(error) from error
    # The real server takes it, and its first chunk then kills the whole process.
    if entry.type == "bandwidth" and int(given.get("rate", 0)) < 0:
        raise _bad_body("bandwidth rate must not be negative")
    merged = {**entry.attributes, **given}
    return msgspec.structs.replace(entry, attributes=merged)


def _go_name(kind: str) -> str:
    return "".join(word.capitalize() for word in kind.split("_")) + "Toxic"


def _bad_body(error: object) -> ApiError:
    return ApiError(400, f"bad request body: {error}")
