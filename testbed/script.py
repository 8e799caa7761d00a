"""What the server says, as data.

A script is a dialect and a tuple of steps; *how* a step is spelled in bytes is the dialect's affair, and what goes
wrong with the bytes is a content fault (:mod:`testbed.faults.content`). The law of this module: a script says
everything that the server will do and nothing that the network will do; no step is random, none reads a clock.
"""

from __future__ import annotations

import enum
from typing import Union

from testbed._values import Value
from testbed.errors import UsageError


class DialectName(str, enum.Enum):
    """The wire formats, by the names that scenario files use."""

    OPENAI_CHAT = "openai-chat"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    EVENTSOURCE = "eventsource"


class Terminal(enum.IntEnum):
    """How surely a client knows that the answer is whole.

    ``SOFT``: the answer says that it is finished (``finish_reason``, ``stop_reason``) but the protocol's own last event
    is still to come. ``HARD``: that last event (``[DONE]``, ``message_stop``). ``NONE``: neither so far; plain
    EventSource never leaves it.
    """

    # Ordered: a stream that has reached HARD has also passed SOFT, whether or not the soft event was sent.
    NONE = 0
    SOFT = 1
    HARD = 2


class Framing(str, enum.Enum):
    """How the HTTP/1.1 message says where its body ends (RFC 9112, section 6.3)."""

    # Ranked by how much a client can know: chunked and content-length tell a cut from an end, close does not.
    CHUNKED = "chunked"
    LENGTH = "content-length"
    CLOSE = "close"


class Ending(str, enum.Enum):
    """What the server does with the connection when the script is over."""

    CLEAN = "clean"  # the framing is completed, then FIN: a client can not tell it from a good end
    FIN = "fin"  # FIN at once: chunked and content-length bodies stay unfinished
    RST = "rst"  # drained: wait until the peer has all bytes, then RST
    ABORT = "abort"  # immediate: RST now, what is still queued is lost
    OPEN = "open"  # say nothing more and wait for the client to leave


# --- steps ------------------------------------------------------------------------------------------------------------
# Each step is named by what the server means, not by how a dialect spells it: one script, many wire formats. The tag is
# what stands in scenario files, so a step is renamed never and a new one is added at will.


class Head(Value, tag_field="step", tag="head"):
    """Status line and header fields. `content_type` None stands for the dialect's own."""

    status: int = 200
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = Framing.CHUNKED

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise UsageError(f"head: status is {self.status}; it must be a final HTTP status from 200 to 599")


class Open(Value, tag_field="step", tag="open"):
    """The dialect's opening events: the role chunk, or message_start and content_block_start."""


# Text, Finish and Done are kept apart because clients confuse them: the oracle must know which of them was delivered.


class Text(Value, tag_field="step", tag="text"):
    """One token: a delta event whose text the caller must see."""

    text: str


class Finish(Value, tag_field="step", tag="finish"):
    """The soft terminal: the model has finished, and why (in the dialect's own word)."""

    reason: str = ""  # "" stands for the dialect's normal reason: stop, end_turn


class Done(Value, tag_field="step", tag="done"):
    """The hard terminal: ``data: [DONE]``, ``message_stop``; a dialect without one refuses the step."""


class Failure(Value, tag_field="step", tag="failure"):
    """An error event inside the stream, in the dialect's shape; `kind` is the provider's type or code."""

    kind: str
    message: str = "the server met an error"


class Ping(Value, tag_field="step", tag="ping"):
    """The dialect's keep-alive: a comment line, or Anthropic's ``ping`` event."""


class Comment(Value, tag_field="step", tag="comment"):
    """An SSE comment line, which a client must ignore."""

    text: str = ""


# From here on the steps are closer to the wire: what no dialect of chat has a word for, and what no dialect would say.


class Message(Value, tag_field="step", tag="message"):
    """A plain server-sent event, for the `eventsource` dialect. `retry` is in milliseconds, as on the wire."""

    data: str
    event: str | None = None
    id: str | None = None
    retry: int | None = None


class Body(Value, tag_field="step", tag="body"):
    """Text that is no event: a JSON error, a gateway's HTML page. Sent as UTF-8."""

    text: str


class Raw(Value, tag_field="step", tag="raw"):
    """Body bytes just as they are (base64 in JSON and TOML)."""

    data: bytes


class Pause(Value, tag_field="step", tag="pause"):
    """The server falls silent for `seconds`."""

    seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= 86_400:
            raise UsageError(f"pause: seconds is {self.seconds}; it must lie between 0 and 86400 (a day)")


class End(Value, tag_field="step", tag="end"):
    """The last step. A script without one ends CLEAN."""

    how: Ending = Ending.CLEAN


Step = Union[Head, Open, Text, Finish, Done, Failure, Ping, Comment, Message, Body, Raw, Pause, End]


# --- content faults ---------------------------------------------------------------------------------------------------
# They strike body bytes, after the dialect has spelled the steps and before the body is framed: the framing of a faulty
# body is still right HTTP. Addresses count body bytes from 0 and do not see chunk sizes.


class CutBody(Value, tag_field="fault", tag="cut_body"):
    """Body bytes from `at` on are never written; the connection then ends `how`. Steps after the cut do not happen."""

    at: int
    how: Ending = Ending.CLEAN


class SplitAt(Value, tag_field="fault", tag="split_at"):
    """Cut the writes at these body bytes: each piece is a write, and a chunk, of its own."""

    at: tuple[int, ...]


class SplitEvery(Value, tag_field="fault", tag="split_every"):
    """Cut the body into writes (and chunks) of `size` bytes."""

    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"split_every: size is {self.size}; it must be at least 1 byte")


class Replace(Value, tag_field="fault", tag="replace"):
    """Overwrite body bytes from `at` on with `data`: malformed JSON, invalid UTF-8."""

    at: int
    data: bytes


ContentFault = Union[CutBody, SplitAt, SplitEvery, Replace]


class Script(Value):
    """A dialect, its steps, and the content faults applied to their bytes in order."""

    dialect: DialectName
    steps: tuple[Step, ...]
    faults: tuple[ContentFault, ...] = ()

    def __post_init__(self) -> None:
        # The rules that hold for every dialect. What a dialect has no word for it refuses itself, when it is encoded.
        heads = [index for index, step in enumerate(self.steps) if isinstance(step, Head)]
        if len(heads) != 1:
            raise UsageError(f"script: it has {len(heads)} heads; it must have exactly one")
        # Silence before the head is a pause, and nothing else can come before it.
        if any(not isinstance(step, Pause) for step in self.steps[: heads[0]]):
            raise UsageError(f"script: step {heads[0]} is the head; only a pause may come before it")
        for index, step in enumerate(self.steps[:-1]):
            if isinstance(step, End):
                raise UsageError(f"script: step {index} is an end but not the last step")

    @property
    def text(self) -> str:
        """The text that a caller sees when the whole stream is delivered."""
        return "".join(step.text for step in self.steps if isinstance(step, Text))

    @property
    def head(self) -> Head:
        """The one head of the script."""
        return next(step for step in self.steps if isinstance(step, Head))
