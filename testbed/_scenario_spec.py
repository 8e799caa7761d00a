"""A scenario as a value: a family of plans, with everything that may vary said as a range and nothing drawn yet.

The law of this module: a specification is data. Which member of the family is meant is decided by
:mod:`testbed._scenario_draw`, from integers that somebody else draws.
"""

from __future__ import annotations

import enum
from typing import Union

from testbed._scenario_pace import Heartbeat, Pace
from testbed._values import Value
from testbed.errors import UsageError
from testbed.plan import Expect, Purpose, Quota
from testbed.script import Coding, ContentFault, DialectName, Ending, Flush, Quirk, Reading, Step, Terminal, Version

Scalar = Union[bool, int, float, str]
Number = Union[int, float]


class Region(str, enum.Enum):
    """The parts of an answer in which a byte can be chosen. Script faults count body bytes, toxics count wire bytes."""

    BODY = "body"  # any byte of the body, its two ends included
    WIRE = "wire"  # any byte of the answer, the head included; for toxics
    EVENTS = "events"  # only where an event begins or ends
    BEFORE_TERMINAL = "before-terminal"  # so that the terminal event's data stay unfinished
    MID_STREAM = "mid-stream"  # after the first token and before the terminal event
    ARGUMENTS = "arguments"  # inside the arguments of the first tool call, so that their JSON is no whole object
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


class ByDialect(Value, tag=True):
    """``{ by_dialect = { openai-chat = "length" } }``: what vendors have different words for."""

    options: tuple[tuple[DialectName, Spec], ...]


Spec = Union[Constant, Range, Choice, Versus, Texts, Within, ByDialect]
Fields = tuple[tuple[str, Spec], ...]


class Before(str, enum.Enum):
    """Before which part of a generated answer something is put in. Where that part is missing, before the next."""

    OPEN = "open"  # before the first event
    TEXT = "text"  # before the first token
    TOKEN = "token"  # before any of the tokens but the first
    FINISH = "finish"
    DONE = "done"
    END = "end"  # behind the last event


class Insert(Value):
    """Steps that are put into a generated answer: one of `options`."""

    before: Spec
    options: tuple[tuple[Step, ...], ...]


class Faults(Value):
    """Content faults behind those that `cut` and `splits` make: one of `options`."""

    options: tuple[tuple[ContentFault, ...], ...] = ((),)


class Readings(Value):
    """How the request's body is read: one of `options`."""

    options: tuple[Reading, ...] = (Reading(),)


# The word for no quirk, and for no error.
NO_QUIRK = NO_ERROR = UNSAID = "none"
# The word for an opening that is there.
SAID = "said"


class Stall(Value):
    """One silence of the server after a token, beside the pace of all the others."""

    seconds: Spec
    after: Spec = Within(Region.TOKENS)
    end: Spec | None = None  # how the connection ends behind it; None: the answer goes on


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
    lost_heartbeats: Spec = Constant(0)  # so many in a row never come
    ids: bool = False  # plain events are numbered, so that a client can go on from one
    thinking: Spec = Constant(0)  # tokens of reasoning before the answer
    tools: Spec = Constant(0)  # calls behind its text
    finish: Spec = Constant("")
    version: Spec = Constant(Version.HTTP_1_1.value)
    coding: Spec = Constant(Coding.IDENTITY.value)
    flush: Spec = Constant(Flush.EVENT.value)
    quirk: Spec = Constant(NO_QUIRK)
    reading: Readings = Readings()
    resumes: bool = False
    faults: Faults = Faults()
    quirks: tuple[Quirk, ...] = ()  # beside the one that may vary
    inserts: tuple[Insert, ...] = ()
    case: Spec | None = None  # the vendor's error answer of that name, in place of a status and an error
    retry_after: Spec | None = None  # seconds, or the name of a form
    opening: Spec = Constant(SAID)
    times: Spec = Constant(1)  # how often each piece of text is said in its event


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
    others: tuple[ToxicSpec, ...] = ()  # one of these may stand in its place


class AttemptSpec(Value):
    """What may happen to the client's n-th connection, and to how many. `tls` None: in the clear."""

    script: Generated | Explicit
    toxics: tuple[ToxicSpec, ...] = ()
    tls: Fields | None = None
    repeat: Spec = Constant(1)  # so many connections in a row meet it


class SweptFault(str, enum.Enum):
    """What strikes at each place."""

    CUT = "cut"  # the body ends there, as the sweep says
    STALL = "stall"  # nothing more comes, and the connection stays open
    RESET = "reset"  # all that was sent before has arrived, then RST


class Grain(str, enum.Enum):
    """At which body bytes."""

    BYTES = "bytes"  # every one
    EDGES = "edges"  # where events, lines, names and characters begin and end, and one byte beside
    EVENTS = "events"  # where an event begins or ends


class Sweep(Value):
    """``[sweep]``: the fault, the places, and for a cut how the connection then ends."""

    fault: SweptFault
    at: Grain = Grain.EDGES
    end: Ending = Ending.CLEAN

    def __post_init__(self) -> None:
        if self.fault is not SweptFault.CUT and self.end is not Ending.CLEAN:
            raise UsageError(f"end belongs to a cut; a {self.fault.value} has one end")
        if self.end not in (Ending.CLEAN, Ending.FIN):
            raise UsageError(
                f"end is {self.end.value}; a cut ends clean or fin (stall and reset are faults of their own)"
            )


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
    fallback: tuple[AttemptSpec, ...] = ()  # what answers at the second address
    sweep: Sweep | None = None  # one fault at every place of the simplest member's stream
