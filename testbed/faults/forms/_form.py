"""What a named form is: one thing that is wrong with an answer, ready to be played, with its sentence.

The law of this module: a form is data; all that it breaks, it breaks by faults and steps that a scenario file has words
for, so whoever reads a form can write it down.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from testbed.script import (
    ContentFault,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Head,
    HeadField,
    HeadLine,
    Open,
    Quirk,
    Script,
    Step,
    Text,
)


class Group(enum.Enum):
    """What of an answer a form strikes."""

    LENGTH = "length"
    CHUNK = "chunk"
    HEAD = "head"
    CONTENT = "content type and coding"
    BODY = "body"


# Plain EventSource never says that it has finished, and gemini says it with the reason.
_LAST_WORDS: Mapping[DialectName, tuple[Step, ...]] = MappingProxyType(
    {DialectName.EVENTSOURCE: (), DialectName.GEMINI: (Finish(),)}
)


class Form(NamedTuple):
    """One form. `broken` is a sentence, `section` the place in the standard that it offends, or rests upon.

    `legal`: the standard allows it, and clients trip over it all the same. `between`: steps between the two tokens of
    the answer; `steps`: all that stands behind the head, in place of them. `plain`: it has events that only the
    dialect `eventsource` can read.
    """

    name: str
    group: Group
    broken: str
    section: str
    faults: tuple[ContentFault, ...] = ()
    head: Head = Head()
    between: tuple[Step, ...] = ()
    steps: tuple[Step, ...] | None = None
    quirks: tuple[Quirk, ...] = ()
    end: Ending = Ending.CLEAN
    legal: bool = False
    plain: bool = False

    def script(self, dialect: DialectName = DialectName.EVENTSOURCE) -> Script:
        """Make the script: a short whole answer of the dialect with this one thing wrong."""
        steps = tuple(self._answer(dialect)) if self.steps is None else self.steps
        return Script(dialect, (self.head, *steps, End(self.end)), self.faults, self.quirks)

    def _answer(self, dialect: DialectName) -> Iterator[Step]:
        yield from () if dialect is DialectName.EVENTSOURCE else (Open(),)
        yield Text("one")
        yield from self.between
        yield Text("two")
        yield from _LAST_WORDS.get(dialect, (Finish(), Done()))


def line(data: bytes, *, at: int = -1, drop: int = 0, times: int = 1) -> tuple[ContentFault, ...]:
    """One more line of the head; by default behind its fields."""
    return (HeadLine(at, data, drop, times),)


def status_line(data: bytes) -> tuple[ContentFault, ...]:
    """Another status line."""
    return (HeadLine(0, data, drop=1),)


def field(name: str, *values: str) -> tuple[ContentFault, ...]:
    """A field with these values and no others."""
    return (HeadField(name, values),)
