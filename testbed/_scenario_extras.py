"""What a generated script may have beside its features: steps put in, faults to choose from, a vendor's own error.

The laws of this module: what is put in changes no other step; a word that vendors say differently is looked up before
anything is drawn, so each dialect draws the same integers.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from testbed._scenario_forms import COUNT, STRING, At, Kind, Reader, converted, listed, spec, table, words
from testbed._scenario_spec import (
    PLAIN_WORDS,
    SAID,
    UNSAID,
    AttemptSpec,
    Before,
    ByDialect,
    Choice,
    Faults,
    Generated,
    Insert,
    Range,
    Readings,
    Stall,
    Texts,
    ToxicSpec,
    Versus,
    Within,
)
from testbed._values import Value
from testbed.dialects import DIALECTS
from testbed.dialects.statuses import RETRY_AFTER, status_script
from testbed.errors import UsageError
from testbed.script import (
    Body,
    ContentFault,
    DialectName,
    Done,
    End,
    Failure,
    Finish,
    Head,
    Open,
    Quirk,
    Reading,
    Step,
    Text,
    ToolCall,
)

T = TypeVar("T")


# --- reading ----------------------------------------------------------------------------------------------------------


def _steps(value: object, at: At) -> Any:
    """Read steps; a string stands for just these bytes, so that a file shows what is on the wire."""
    if isinstance(value, list):
        value = [_raw(one) if isinstance(one, str) else one for one in value]
    return converted(tuple[Step, ...])(value, at)


def _raw(text: str) -> dict[str, str]:
    return {"step": "raw", "data": b64encode(text.encode()).decode()}


def _alternatives(one: Reader) -> Callable[[object, At], tuple[Any, ...]]:
    """A reader for one value, or for ``{ one_of = [..., ...] }``."""

    def read(value: object, at: At) -> tuple[Any, ...]:
        if not isinstance(value, dict) or "one_of" not in value:
            return (one(value, at),)
        options = table(value, at, {"one_of": listed(one)})["one_of"]
        if not options:
            at.key("one_of").refuse("it is empty; it must name at least one value")
        return tuple(options)

    return read


def _insert(value: object, at: At) -> Insert:
    places = spec(words(one.value for one in Before))
    read = table(value, at, {"before": places, "steps": _alternatives(_steps)}, required=("before", "steps"))
    return Insert(read["before"], read["steps"])


def _faults(value: object, at: At) -> Faults:
    return Faults(_alternatives(converted(tuple[ContentFault, ...]))(value, at))


def _readings(value: object, at: At) -> Readings:
    return Readings(_alternatives(converted(Reading))(value, at))


_WAIT = Kind(
    f"whole seconds or one of {', '.join(RETRY_AFTER)}",
    (int, str),
    frozenset({"one_of", "min"}),
    low=0,
    words=tuple(RETRY_AFTER),
)

# The keys of `[script]` that this module is about.
EXTRA_KEYS: dict[str, Reader] = {
    "faults": _faults,
    "reading": _readings,
    "quirks": converted(tuple[Quirk, ...]),
    "inserts": listed(_insert),
    "case": spec(STRING),
    "retry_after": spec(_WAIT),
    "opening": spec(words((SAID, UNSAID))),
    "times": spec(COUNT._replace(low=1)),
}


# --- what a dialect says in its own words -----------------------------------------------------------------------------


def in_dialect(part: T, dialect: DialectName) -> T:
    """The same part of a scenario with each ``by_dialect`` replaced by what it says for this dialect."""
    said: Any = part
    if isinstance(part, ByDialect):
        found = next((one for name, one in part.options if name is dialect), None)
        if found is None:
            raise UsageError(f"by_dialect says nothing for {dialect.value}")
        said = in_dialect(found, dialect)
    elif isinstance(part, tuple):
        said = tuple(in_dialect(one, dialect) for one in part)
    elif isinstance(part, Value) and not isinstance(part, _PLAIN):
        changed = {field: in_dialect(getattr(part, field), dialect) for field in part.__struct_fields__}
        said = msgspec.structs.replace(part, **changed)
    return said  # type: ignore[no-any-return]


# Values without anything that varies in them.
_PLAIN = (Insert, Faults, Readings)


# --- what varies ------------------------------------------------------------------------------------------------------


def varies(part: object) -> bool:
    """Whether anything in this part of a scenario is to be drawn."""
    if isinstance(part, (Faults, Insert, Readings)) and len(part.options) > 1:
        return True
    if isinstance(part, (Range, Choice, Versus, Within)) or (isinstance(part, Texts) and part != PLAIN_WORDS):
        return True
    if isinstance(part, tuple):
        return any(map(varies, part))
    if isinstance(part, (AttemptSpec, Generated, Insert, ToxicSpec, Stall)):
        optional = isinstance(part, ToxicSpec) and (part.optional or bool(part.others))
        return optional or any(varies(getattr(part, field)) for field in part.__struct_fields__)
    return False


# --- steps that are put in --------------------------------------------------------------------------------------------

# Before which steps each place stands; END is before the script's own end, or behind everything.
_PARTS: dict[Before, tuple[type, ...]] = {
    Before.OPEN: (Open, Text, ToolCall, Failure, Finish, Done, End),
    Before.TEXT: (Text, ToolCall, Failure, Finish, Done, End),
    Before.FINISH: (Finish, Failure, Done, End),
    Before.DONE: (Done, Failure, End),
    Before.END: (End,),
}


def with_inserts(
    steps: Iterable[Step],
    inserts: Sequence[Insert],
    place_of: Callable[[Insert, int], Before],
    pick: Callable[[str, int], int],
) -> tuple[Step, ...]:
    """Put one option of each insert into the steps; `pick(name, top)` draws an integer."""
    said = list(steps)
    for number, insert in enumerate(inserts):
        chosen = insert.options[pick(f"inserts[{number}].steps", len(insert.options) - 1)]
        # On a scale of its own, so that the number of tokens does not change what is drawn.
        at = _index(said, place_of(insert, number), pick(f"inserts[{number}].token", _FINE - 1))
        said[at:at] = chosen
    return tuple(said)


def _index(steps: Sequence[Step], before: Before, share: int) -> int:
    if before is Before.TOKEN:
        later = [index for index, step in enumerate(steps) if isinstance(step, Text)][1:]
        if later:
            return later[share * len(later) // _FINE]
        before = Before.FINISH
    parts = _PARTS[before]
    return next((index for index, step in enumerate(steps) if isinstance(step, parts)), len(steps))


_FINE = 1024


# --- error answers ----------------------------------------------------------------------------------------------------


def named_answer(dialect: DialectName, case: str, wait: str) -> tuple[Head, Body]:
    """The head and the body of a vendor's error answer; `wait` "" keeps what the case says of a wait."""
    script = status_script(DIALECTS[dialect], case, retry_after=None if wait == "" else waiting(wait))
    head, body = script.steps
    if not isinstance(head, Head) or not isinstance(body, Body):
        raise UsageError(f"case: {case} is no head and a body")
    return head, body


def waiting(wait: str) -> tuple[tuple[str, str], ...]:
    """The header fields that say how long to wait: a form by its name, or seconds."""
    return RETRY_AFTER[wait][0] if wait in RETRY_AFTER else (("Retry-After", wait),)
