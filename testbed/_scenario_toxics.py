"""``[[toxics]]`` of a scenario file: read, chosen, and made into the toxics of a plan.

The laws of this module: which attributes a toxic has is read off its own type, and stands nowhere else; one that is not
there, or that another stands in for, draws nothing of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

import msgspec

from testbed._scenario_forms import (
    NUMBER,
    STRING,
    WHOLE,
    At,
    Kind,
    Reader,
    as_table,
    boolean,
    listed,
    spec,
    string,
    table,
    words,
)
from testbed._scenario_spec import Range, Spec, ToxicSpec, Within
from testbed._scenario_tape import Reading, Tape
from testbed.errors import unknown_name
from testbed.faults import toxics as kinds
from testbed.faults.toxics import Direction, Toxic

_TOXICS: Mapping[str, Any] = {kind.__struct_config__.tag: kind for kind in get_args(Toxic)}

_FIELDS = ("name", "stream", "toxicity")


def toxic(value: object, at: At) -> ToxicSpec:
    """Read one entry of ``[[toxics]]``."""
    given = as_table(value, at)
    return _one_of(given, at) if "one_of" in given else _single(given, at)


def _one_of(given: dict[str, object], at: At) -> ToxicSpec:
    """Toxics of which one is there: the first is the simplest, the others are told beside it."""
    read = table(given, at, {"one_of": listed(_plain), "optional": boolean})
    if not read["one_of"]:
        at.key("one_of").refuse("it is empty; it must hold at least one toxic")
    options: tuple[ToxicSpec, ...] = read["one_of"]
    first, *others = options
    return msgspec.structs.replace(first, others=tuple(others), optional=read.get("optional", False))


def _plain(value: object, at: At) -> ToxicSpec:
    given = as_table(value, at)
    if "optional" in given:
        at.key("optional").refuse("it belongs beside one_of: then none of them may be there")
    return _single(given, at)


def _single(given: dict[str, object], at: At) -> ToxicSpec:
    type_ = string(given.get("type", ""), at.key("type"))
    if type_ not in _TOXICS:
        at.key("type").refuse(str(unknown_name("toxic", type_, _TOXICS)))
    readers = {**_TOXIC, "attributes": lambda item, inner: table(item, inner, _attribute_readers(type_))}
    read = table(given, at, readers)
    return ToxicSpec(
        type=type_,
        attributes=tuple(read.get("attributes", {}).items()),
        fields=tuple((field, read[field]) for field in _FIELDS if field in read),
        optional=read.get("optional", False),
    )


def _attribute_readers(type_: str) -> dict[str, Reader]:
    (attributes,) = (field.type for field in msgspec.structs.fields(_TOXICS[type_]) if field.name == "attributes")
    return {field.name: spec(_attribute_kind(field.type)) for field in msgspec.structs.fields(attributes)}


def _attribute_kind(type_: Any) -> Kind:
    if hasattr(type_, "__members__"):
        return words(str(one.value) for one in type_)
    return NUMBER if type_ is float else WHOLE._replace(forms=WHOLE.forms | {"within"})


_TOXIC: dict[str, Reader] = {
    "type": string,
    "name": spec(STRING),
    "stream": spec(words(one.value for one in Direction)),
    "toxicity": spec(NUMBER),
    "optional": boolean,
}


# --- from what was read to what strikes -------------------------------------------------------------------------------


def has_place(toxic: ToxicSpec) -> bool:
    """Whether it, or one that may stand in for it, strikes at a byte of the answer."""
    return any(isinstance(value, Within) for one in (toxic, *toxic.others) for _, value in one.attributes)


def present(toxics: Iterable[ToxicSpec], name: str, tape: Tape) -> list[tuple[str, ToxicSpec]]:
    """The toxics that are there, each chosen, under the name of what is drawn for it."""
    return [
        (f"{name}.{number}.toxic", _chosen(toxic, tape.pick(f"{name}.{number}.which", len(toxic.others))))
        for number, toxic in enumerate(toxics)
        if not toxic.optional or tape.pick(f"{name}.{number}.there", 1)
    ]


def _chosen(toxic: ToxicSpec, which: int) -> ToxicSpec:
    # Alone: what might have stood there is no part of the plan.
    return msgspec.structs.replace((toxic, *toxic.others)[which], others=())


def made(spec: ToxicSpec, name: str, reading: Reading, strike: Callable[[Within, str], int] | None) -> Toxic:
    """The toxic itself. `strike` finds its byte; without one it must need none."""

    def attribute(value: Spec, field: str) -> object:
        if isinstance(value, Within) and strike is not None:
            return strike(value, field)
        return reading.number(value, field) if isinstance(value, Range) else reading.constant(value, field)

    attributes = {field: attribute(value, f"{name}.{spec.type}.{field}") for field, value in spec.attributes}
    fields = {field: reading.constant(value, f"{name}.{field}") for field, value in spec.fields}
    toxic: Toxic = msgspec.convert({"type": spec.type, "attributes": attributes, **fields}, Toxic)
    return toxic


def is_random(toxic: Toxic) -> bool:
    """Whether it draws anything while it works."""
    if isinstance(toxic, kinds.PacketLoss) or 0 < toxic.toxicity < 1:
        return True
    if isinstance(toxic, kinds.Latency):
        return toxic.attributes.jitter > 0
    return isinstance(toxic, kinds.Slicer) and toxic.attributes.size_variation > 0
