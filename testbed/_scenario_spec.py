"""A scenario as a value: a family of plans, with everything that may vary said as a range and nothing drawn yet.

The law of this module: a specification is data. Which member of the family is meant is decided by
:mod:`testbed._scenario_draw`, from integers that somebody else draws.
"""

from __future__ import annotations

import enum
from typing import Union

from testbed._scenario_pace import Heartbeat, Pace
from testbed._values import Value
from testbed.plan import Expect, Purpose, Quota
from testbed.script import Coding, ContentFault, DialectName, Flush, Quirk, Reading, Step, Terminal, Version

Scalar = Union[bool, int, float, str]
Number = Union[int, float]


class Region(str, enum.Enum):
    """The parts of an answer in which a byte can be chosen. Script faults count body bytes, toxics count wire bytes."""

    BODY = "body"  # any byte of the body, its two ends included
    WIRE = "wire"  # any byte of the answer, the head included; for toxics
    EVENTS = "events"  # only where an event begins or ends
    BEFORE_TERMINAL = "before-terminal"  # so that the terminal event's data stay unfinished
    MID_STREAM = "mid-stream"  # after the first token and before the terminal event
    TOKENS = "tokens"  # not a byte but a token, counted from 1: where a stall begins


class Side(str, enum.Enum):
    """On which side of the client's time-out a silence lies, always beyond the margin of
    :func:`testbed.timing.margin`.
    """

    SHORTER = "shorter_than"
    LONGER = "longer_than"


class Constant(Value, tag=True):
    """A bare value: the tester's word, taken as it is."""

    value: Scalar


class Range(Value, tag=True):
    """``{ min, max }``: from the simplest, the minimum, to the maximum."""

    low: Number
    high: Number


class Choice(Value, tag=True):
    """``{ one_of = [...] }``: the first is the simplest."""

    options: tuple[Spec, ...]


class Versus(Value, tag=True):
    """``{ longer_than = "idle_timeout", max = 3600 }`` or ``{ shorter_than = "idle_timeout", min = 0.1 }``."""

    side: Side
    timeout: str
    bound: float


class Texts(Value, tag=True):
    """``{ faker = [locales], corpus = [groups] }``: words of Faker, words of our own corpus, and both mixed."""

    faker: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ()


# Numbered words: the one text that a scenario has when it asks for none, the same in every plan.
PLAIN_WORDS = Texts(corpus=("plain",))


class Within(Value, tag=True):
    """``{ within = "body" }``: a position that is known when the rest of the plan is."""

    region: Region


Spec = Union[Constant, Range, Choice, Versus, Texts, Within]
Fields = tuple[tuple[str, Spec], ...]


# The word for none of them.
NO_QUIRK = "none"


class Stall(Value):
    """One silence of the server after a token, beside the pace of all the others."""

    seconds: Spec
    after: Spec = Within(Region.TOKENS)


class Generated(Value, tag=True):
    """A script told by its features: so many tokens, this pace, this end."""

    tokens: Spec = Constant(8)
    text: Spec = PLAIN_WORDS
    time_to_first_byte: Spec = Constant(0)
    time_to_first_token: Spec = Constant(0)
    inter_token: Spec = Constant(0)
    stall: Stall | None = None
    status: Spec = Constant(200)
    content_type: Spec | None = None
    headers: Fields = ()
    framing: Spec = Constant("chunked")
    body: Spec | None = None
    error: Spec | None = None
    message: Spec | None = None
    terminal: Spec = Constant(Terminal.HARD.name.lower())
    end: Spec = Constant("clean")
    cut: Spec | None = None
    splits: Spec | None = None
    pace: Spec = Constant(Pace.UNIFORM.value)
    recorded: tuple[float, ...] = ()
    heartbeat: Heartbeat | None = None
    thinking: Spec = Constant(0)  # tokens of reasoning before the answer
    tools: Spec = Constant(0)  # calls behind its text
    finish: Spec = Constant("")
    version: Spec = Constant(Version.HTTP_1_1.value)
    coding: Spec = Constant(Coding.IDENTITY.value)
    flush: Spec = Constant(Flush.EVENT.value)
    quirk: Spec = Constant(NO_QUIRK)
    reading: Reading = Reading()
    resumes: bool = False
    faults: tuple[ContentFault, ...] = ()  # behind those that `cut` and `splits` make


class Explicit(Value, tag=True):
    """A script told step by step; nothing in it varies."""

    steps: tuple[Step, ...]
    faults: tuple[ContentFault, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    reading: Reading = Reading()
    resumes: bool = False


class ToxicSpec(Value):
    """A toxic whose attributes may vary; an optional one is there or not, and not is simpler."""

    type: str
    attributes: Fields = ()
    fields: Fields = ()  # name, stream, toxicity
    optional: bool = False


class AttemptSpec(Value):
    """What may happen to the client's n-th connection. `tls` None: in the clear."""

    script: Generated | Explicit
    toxics: tuple[ToxicSpec, ...] = ()
    tls: Fields | None = None


class Scenario(Value):
    """A named family of plans, the reason it exists, and what is expected.

    `where` names the text that it was read from.
    """

    name: str
    where: str
    dialects: tuple[DialectName, ...]
    attempts: tuple[AttemptSpec, ...]
    title: str = ""
    cause: str = ""
    requirement: str = ""
    sources: tuple[str, ...] = ()
    bugs: tuple[str, ...] = ()  # entries of the corpus of field bugs, by their number
    client: Fields = ()
    expect: Expect = Expect()
    seed: int | None = None  # None: drawn where a toxic is random by definition
    tested: Purpose = Purpose.STREAM
    quota: Quota | None = None
    body_limit: int | None = None
