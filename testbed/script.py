"""What the server says, as data.

A script is a dialect and a tuple of steps; *how* a step is spelled in bytes is the dialect's affair, and what goes
wrong with the bytes is a content fault (:mod:`testbed.faults.content`). The law of this module: a script says
everything that the server will do and nothing that the network will do; no step is random, none reads a clock.
"""

from __future__ import annotations

import enum
from typing import Union

from testbed._script_faults import (
    After,
    ChunkEnd,
    ChunkLine,
    ContentFault,
    CutBody,
    CutWire,
    HeadBytes,
    HeadEnds,
    HeadField,
    HeadLine,
    Join,
    Joint,
    Replace,
    SlowHead,
    SplitAt,
    SplitEvery,
)
from testbed._script_words import Coding, DialectName, Ending, Flush, Framing, Quirk, Terminal, Version
from testbed._values import Value
from testbed.errors import UsageError

# Defined next door, and read from here. (What this module defines itself needs no word.)
__all__ = [
    "After",
    "ChunkEnd",
    "ChunkLine",
    "Coding",
    "ContentFault",
    "CutBody",
    "CutWire",
    "DialectName",
    "Ending",
    "Flush",
    "Framing",
    "HeadBytes",
    "HeadEnds",
    "HeadField",
    "HeadLine",
    "Join",
    "Joint",
    "Quirk",
    "Replace",
    "SlowHead",
    "SplitAt",
    "SplitEvery",
    "Terminal",
    "Version",
]

# --- steps ------------------------------------------------------------------------------------------------------------
# Each step is named by what the server means, not by how a dialect spells it: one script, many wire formats. The tag is
# what stands in scenario files, so a step is renamed never and a new one is added at will.


class Head(Value, tag_field="step", tag="head"):
    """Status line and header fields. `content_type` None stands for the dialect's own."""

    # An error status makes the steps behind it the body of an error; that they are JSON or HTML is theirs to say.
    status: int = 200
    content_type: str | None = None
    # Fields that follow from the others (length, coding, connection) are refused here: a head must not contradict
    # itself by accident. Where it is meant to, a fault says so.
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = Framing.CHUNKED
    version: Version = Version.HTTP_1_1
    coding: Coding = Coding.IDENTITY
    flush: Flush = Flush.EVENT
    trailers: tuple[tuple[str, str], ...] = ()  # behind the last chunk (RFC 9112, section 7.1.2)

    def __post_init__(self) -> None:
        # What comes before a final status is a step of its own.
        if not 200 <= self.status <= 599:
            raise UsageError(f"head: status is {self.status}; it must be a final HTTP status from 200 to 599")


class Open(Value, tag_field="step", tag="open"):
    """The dialect's opening events: the role chunk, or message_start and content_block_start."""


# Text, Finish and Done are kept apart because clients confuse them: the oracle must know which of them was delivered.


class Text(Value, tag_field="step", tag="text"):
    """One token: a delta event whose text the caller must see. `choice`: of which answer, where several are asked.

    `text` is said `times` over, all in the one event: what is huge stays small in a plan.
    """

    text: str
    choice: int = 0
    times: int = 1

    def __post_init__(self) -> None:
        # A script is compiled in memory, and some dialects repeat the whole text in a later event.
        if not 1 <= self.times <= MOST_TIMES_OVER or len(self.text) * self.times > MOST_CHARACTERS:
            raise UsageError(
                f"text: {len(self.text)} characters, {self.times} times; times is from 1 to {MOST_TIMES_OVER},"
                f" and the most is {MOST_CHARACTERS} characters"
            )

    @property
    def said(self) -> str:
        """The text as it is written."""
        return self.text * self.times


MOST_TIMES_OVER = MOST_CHARACTERS = 16 * 1024 * 1024


def shown_text(step: object) -> str:
    """The text that a step adds to the answer: of several choices a caller is taken to show the first."""
    return step.said if isinstance(step, Text) and step.choice == 0 else ""


# What a caller sees beside the text. A dialect opens and closes its blocks and items around them by itself.


class Thinking(Value, tag_field="step", tag="thinking"):
    """One delta of the model's reasoning, which is not part of the answer's text."""

    text: str


class Refusal(Value, tag_field="step", tag="refusal"):
    """One delta of a refusal, which is not part of the answer's text."""

    text: str


class Citation(Value, tag_field="step", tag="citation"):
    """A source that the text before it rests on."""

    title: str
    url: str = "https://example.com/"


# A call and its arguments are steps of their own, because the worst place for a cut is between two pieces of JSON: a
# client that runs the tool then does what nobody asked for.


class ToolCall(Value, tag_field="step", tag="tool_call"):
    """The model begins to call a tool. "" as the id stands for one made of the dialect's prefix and a count."""

    name: str
    id: str = ""
    choice: int = 0


class Arguments(Value, tag_field="step", tag="arguments"):
    """One piece of the JSON arguments of the tool call before it; a call's pieces joined are one JSON object."""

    json: str


class Finish(Value, tag_field="step", tag="finish"):
    """The soft terminal: the model has finished, and why (in the dialect's own word)."""

    reason: str = ""  # "" stands for the dialect's normal reason: stop, end_turn, tool_calls after a tool call
    choice: int = 0


class Done(Value, tag_field="step", tag="done"):
    """The hard terminal: ``data: [DONE]``, ``message_stop``; a dialect without one refuses the step."""


# An error inside a stream that began with 200: it is neither an end nor a status, which is why clients lose it.


class Failure(Value, tag_field="step", tag="failure"):
    """An error event inside the stream, in the dialect's shape; `kind` is the provider's type or code."""

    kind: str
    message: str = "the server met an error"


# Two signs of life: one is the vendor's own, the other any server or gateway may put between two events.


class Ping(Value, tag_field="step", tag="ping"):
    """The dialect's keep-alive: a comment line, or Anthropic's ``ping`` event."""


class Comment(Value, tag_field="step", tag="comment"):
    """An SSE comment line, which a client must ignore."""

    text: str = ""


# From here on the steps are closer to the wire: what no dialect of chat has a word for, and what no dialect would say.


class Message(Value, tag_field="step", tag="message"):
    """A plain server-sent event, for the `eventsource` dialect. `retry` is in milliseconds, as on the wire."""

    # All four are written as given, an id with NUL in it too: what a client must ignore has to be sent to it.
    data: str
    event: str | None = None
    id: str | None = None
    retry: int | None = None


class Body(Value, tag_field="step", tag="body"):
    """Text that is no event: a JSON error, a gateway's HTML page. Sent as UTF-8."""

    text: str


class Raw(Value, tag_field="step", tag="raw"):
    """Body bytes just as they are (base64 in JSON and TOML), `times` over: what is huge stays small in a plan."""

    data: bytes
    times: int = 1

    def __post_init__(self) -> None:
        # The bound is on the count; what a body may come to in bytes is the program's to say, for coding changes it.
        if not 1 <= self.times <= 100_000_000:
            raise UsageError(f"raw: times is {self.times}; it must lie between 1 and 100000000")


class Interim(Value, tag_field="step", tag="interim"):
    """An interim answer before the head: 100 Continue, 102 Processing, 103 Early Hints (RFC 9110, section 15.2)."""

    status: int = 103
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        # After 101 the connection speaks another protocol.
        if not 100 <= self.status <= 199 or self.status == 101:
            raise UsageError(f"interim: status is {self.status}; it must lie between 100 and 199, and 101 is no answer")


class Pause(Value, tag_field="step", tag="pause"):
    """The server falls silent for `seconds`."""

    seconds: float

    def __post_init__(self) -> None:
        # A day is longer than any time-out, and on virtual time it costs nothing.
        if not 0 <= self.seconds <= 86_400:
            raise UsageError(f"pause: seconds is {self.seconds}; it must lie between 0 and 86400 (a day)")


class End(Value, tag_field="step", tag="end"):
    """The last step. A script without one ends CLEAN."""

    how: Ending = Ending.CLEAN


# In the order in which an answer usually has them.
Step = Union[
    Interim,
    Head,
    Open,
    Text,
    Thinking,
    Refusal,
    Citation,
    ToolCall,
    Arguments,
    Finish,
    Done,
    Failure,
    Ping,
    Comment,
    Message,
    Body,
    Raw,
    Pause,
    End,
]


# --- the request's body -----------------------------------------------------------------------------------------------


# A server may answer before it has read what was sent to it, and what it leaves unread decides how the connection ends:
# a kernel answers a close with unread input by an RST, which can destroy the answer on its way.


class Expectation(str, enum.Enum):
    """What becomes of ``Expect: 100-continue`` (RFC 9110, section 10.1.1)."""

    CONTINUE = "continue"  # 100 as soon as the head was read
    SILENCE = "silence"  # no word: a client must send its body after a while without one
    FINAL = "final"  # the script's own head is the first word; the body is then not waited for


class Reading(Value):
    """How the server reads the body of the request before it says the first step.

    `most`: so many bytes, then the script begins while the client may still be sending (None: the whole body). `rate`:
    bytes a second (None: as they come). `rest`: whether what comes later is read and forgotten, or left unread, which
    turns any close into an RST.
    """

    most: int | None = None
    rate: int | None = None
    rest: bool = True
    expect: Expectation = Expectation.CONTINUE

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 0:
            raise UsageError(f"reading: most is {self.most}; it must be at least 0 bytes")
        if self.rate is not None and self.rate < 1:
            raise UsageError(f"reading: rate is {self.rate}; it must be at least 1 byte a second")


# --- the whole --------------------------------------------------------------------------------------------------------


class Script(Value):
    """A dialect, its steps, and the content faults applied to their bytes in order.

    `resumes`: where the dialect can resume a stream and the client says how much of it it has, the events that it has
    are left out.
    """

    dialect: DialectName
    steps: tuple[Step, ...]
    # In order, each on what the one before it left: an address counts the bytes that are still there.
    faults: tuple[ContentFault, ...] = ()
    # Quirks change the spelling before any fault does, so they move bytes, and a fault's address with them.
    quirks: tuple[Quirk, ...] = ()
    reading: Reading = Reading()
    resumes: bool = False

    def __post_init__(self) -> None:
        # The rules that hold for every dialect. What a dialect has no word for it refuses itself, when it is encoded.
        heads = [index for index, step in enumerate(self.steps) if isinstance(step, Head)]
        if len(heads) != 1:
            raise UsageError(f"script: it has {len(heads)} heads; it must have exactly one")
        # Before the head there is silence, or an interim answer; behind it an interim answer would be body.
        if any(not isinstance(step, (Pause, Interim)) for step in self.steps[: heads[0]]):
            raise UsageError(f"script: step {heads[0]} is the head; only a pause or an interim may come before it")
        if any(isinstance(step, Interim) for step in self.steps[heads[0] :]):
            raise UsageError(f"script: an interim stands behind the head, which is step {heads[0]}")
        # What stood behind an end would never be said, and a plan must not hold what never happens.
        for index, step in enumerate(self.steps[:-1]):
            if isinstance(step, End):
                raise UsageError(f"script: step {index} is an end but not the last step")

    @property
    def text(self) -> str:
        """The text that a caller sees when the whole stream is delivered."""
        return "".join(map(shown_text, self.steps))

    @property
    def head(self) -> Head:
        """The one head of the script."""
        return next(step for step in self.steps if isinstance(step, Head))
