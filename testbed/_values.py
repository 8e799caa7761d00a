"""The base of every value that crosses a process or a file, and its JSON codec.

The law of this module: a value is frozen, compares by content, and ``decode(encode(v)) == v``. Unknown fields are
refused, so that a typing mistake in a scenario or a trace is an error and never a default.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec
from typing_extensions import dataclass_transform


# The decorator is for type checkers alone: every subclass is frozen without saying so again.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, cache_hash=True):
    """Frozen and strict on decode; defaults are left out of the JSON so that reports stay short.

    The hash is kept: pure functions of scripts and plans are cached by their argument.
    """


V = TypeVar("V")

# Sorted keys: the digest of a plan must not depend on the order in which its fields were written.
_ENCODER = msgspec.json.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """Encode a value as compact JSON with sorted keys."""
    return _ENCODER.encode(value)


def decode(data: bytes | str, kind: type[V]) -> V:
    """Decode JSON into `kind`; raises :class:`msgspec.ValidationError`, whose text names the path."""
    return msgspec.json.decode(data, type=kind)


def digest(value: object) -> str:
    """Twelve hexadecimal digits that identify a value by its content: equal values have equal digests."""
    return hashlib.sha256(encode(_without_defaults(msgspec.to_builtins(value)))).hexdigest()[:12]


def _without_defaults(plain: Any) -> Any:
    """The same without objects that say nothing.

    msgspec leaves a default out by its identity and not by its content, so an equal value may stand there as ``{}``.
    """
    if isinstance(plain, dict):
        kept = {key: _without_defaults(item) for key, item in plain.items()}
        return {key: item for key, item in kept.items() if item != {}}
    return [_without_defaults(item) for item in plain] if isinstance(plain, (list, tuple)) else plain
