"""Requests from an SDK's own types: whatever they allow to be sent can be drawn, and each alternative is listed."""

from __future__ import annotations

import collections.abc
import functools
import operator
import os
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import typing_extensions
from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

_TEXT = st.text("aé\n世", min_size=1, max_size=4)
_JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | _TEXT, lambda inner: st.lists(inner, max_size=2))
# Numbers that lie in every range: what the ranges are the types do not say.
_PLAIN: Mapping[Any, Strategy] = {
    str: _TEXT,
    int: st.integers(1, 4),
    float: st.sampled_from([0, 0.5, 1]),
    bool: st.booleans(),
    object: _JSON,
    type(None): st.none(),
}
_SAMPLES: Mapping[Any, Any] = {str: "a", int: 1, float: 0.5, bool: True, object: None, type(None): None}
# What an SDK takes instead of JSON: files for strings, the blocks of an answer for those of a request.
_OTHER_WAYS = {typing.IO, os.PathLike, typing.Annotated}
_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)


def typed(hint: Any, exceptions: Mapping[str, Strategy]) -> Strategy:
    """Draw any value of a type; `exceptions` are the keys whose values need more than their type says."""
    return _of(hint, tuple(exceptions.items()))


def keys_of(hint: Any) -> set[str]:
    """The keys of a typed dictionary."""
    return set(typing_extensions.get_type_hints(hint))


@functools.cache
def _of(hint: Any, exceptions: tuple[tuple[str, Strategy], ...]) -> Strategy:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if typing_extensions.is_typeddict(hint):
        return _record(hint, exceptions)
    if origin in {typing.Literal, typing_extensions.Literal}:
        return st.sampled_from(arguments)
    of = functools.partial(_of, exceptions=exceptions)
    return {
        typing_extensions.Required: lambda: of(arguments[0]),
        typing.Union: lambda: st.one_of([of(one) for one in arguments if (get_origin(one) or one) not in _OTHER_WAYS]),
        dict: lambda: st.dictionaries(_TEXT, of(arguments[1]), max_size=2),
        **dict.fromkeys(_LISTS, lambda: st.lists(of(arguments[0]), min_size=1, max_size=2)),
    }[origin]()


def _record(hint: Any, exceptions: tuple[tuple[str, Strategy], ...]) -> Strategy:
    hints = typing_extensions.get_type_hints(hint, include_extras=True)
    special = dict(exceptions)
    drawn = {key: special[key] if key in special else _of(one, exceptions) for key, one in hints.items()}
    required = {key for key, one in hints.items() if get_origin(one) is typing_extensions.Required}
    sure = st.fixed_dictionaries({key: drawn[key] for key in drawn if key in required})
    rest = {key: one for key, one in drawn.items() if key not in required}
    if not rest:
        return sure
    # Few at a time: a request with forty parameters is slow to draw and says no more than many with three.
    some = st.lists(st.sampled_from(sorted(rest)), max_size=3, unique=True).flatmap(
        lambda keys: st.fixed_dictionaries({key: rest[key] for key in keys})
    )
    return st.builds(operator.or_, sure, some)


def listed(hint: Any, exceptions: Mapping[str, Any]) -> list[Any]:
    """List values of a type so that each key, each member of a union and each literal, however deep, is in one of them.

    The first is the smallest. `exceptions` are the values of keys for which their type says too little.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SAMPLES:
        return [_SAMPLES[hint]]
    if typing_extensions.is_typeddict(hint):
        return _listed_records(hint, exceptions)
    if origin in {typing.Literal, typing_extensions.Literal}:
        return list(arguments)
    # What is in it: a dictionary's keys are no matter.
    members = arguments[1:] if origin is dict else arguments
    members = tuple(one for one in members if (get_origin(one) or one) not in _OTHER_WAYS)
    inner = [value for one in members for value in listed(one, exceptions)]
    if origin in _LISTS:
        return [[value] for value in inner]
    return [{"k": value} for value in inner] if origin is dict else inner


def _listed_records(hint: Any, exceptions: Mapping[str, Any]) -> list[Any]:
    hints = typing_extensions.get_type_hints(hint, include_extras=True)
    found = {key: [exceptions[key]] if key in exceptions else listed(one, exceptions) for key, one in hints.items()}
    least = {key: found[key][0] for key, one in hints.items() if get_origin(one) is typing_extensions.Required}
    return [least, *({**least, key: value} for key, values in found.items() for value in values)]
