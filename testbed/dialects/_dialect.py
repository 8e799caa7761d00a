"""What a dialect is: tables of how each step is spelled, in which order steps make sense, and what ends an answer.

The laws of this module: a dialect is data, and the one class here reads it; it adds no knowledge about a vendor. Equal
steps give equal bytes. Order is judged, never enforced: a script may say its steps in any order, and
:meth:`Dialect.violations` tells the oracle so. The violations of a prefix are a prefix of the violations: a stream that
merely stops breaks no order rule.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, final

import msgspec

from testbed import sse
from testbed.dialects.quirks import QUIRKS
from testbed.errors import UsageError
from testbed.script import (
    Body,
    Comment,
    DialectName,
    End,
    Head,
    Interim,
    Message,
    Pause,
    Quirk,
    Raw,
    Step,
    Terminal,
    Text,
)


class Said:
    """What an answer has said so far: the memory of one encoding, made anew for each.

    A dialect whose words depend on more than the number of tokens (block indexes, sequence numbers, the whole text)
    makes a subclass its `begin`.
    """

    def __init__(self, quirks: frozenset[Quirk] = frozenset()) -> None:
        self.quirks = quirks
        self.tokens = 0  # text steps before this one: usage counters are cumulative
        self._events = 0

    def event(self, data: str, event: str | None = None, id: str | None = None, retry: int | None = None) -> bytes:
        """Spell one server-sent event, with the quirks that every such dialect has."""
        return self._written(sse.event(data, event, id, retry, space="" if Quirk.NO_SPACE in self.quirks else " "))

    def comment(self, text: str) -> bytes:
        """Spell one comment, with the same quirks."""
        return self._written(sse.comment(text))

    def keepalive(self) -> bytes:
        """Spell the keep-alive of a dialect that has no event for it."""
        if Quirk.COLON_KEEPALIVE in self.quirks:
            return self.event(": keepalive")
        return self.comment("OPENROUTER PROCESSING" if Quirk.OPENROUTER_COMMENTS in self.quirks else "keep-alive")

    def _written(self, event: bytes) -> bytes:
        ends = next((ends for quirk, ends in _LINE_ENDS.items() if quirk in self.quirks), (b"\n",))
        mark = b"\xef\xbb\xbf" if Quirk.BOM in self.quirks and self._events == 0 else b""
        self._events += 1
        if ends == (b"\n",):
            return mark + event
        lines = event.split(b"\n")[:-1]
        return mark + b"".join(line + ends[number % len(ends)] for number, line in enumerate(lines))


# Which line ends an event's lines have, in turn. Of the mixed ones LF comes before CR: CR LF in a row would be one end.
_LINE_ENDS: Mapping[Quirk, tuple[bytes, ...]] = MappingProxyType(
    {Quirk.CRLF: (b"\r\n",), Quirk.CR: (b"\r",), Quirk.MIXED_LINE_ENDS: (b"\n", b"\r\n", b"\r")}
)

# A spelling turns a step into its events, each a byte string of its own.
Spelling = Callable[[Any, Any], tuple[bytes, ...]]


class Phase(enum.Enum):
    """How far an answer has come, as its order rules see it."""

    START = "start"
    OPENED = "opened"
    FINISHED = "finished"
    OVER = "over"


ANYWHERE = frozenset(Phase)
NOWHERE: frozenset[Phase] = frozenset()
BEFORE_THE_END = ANYWHERE - {Phase.OVER}


class Rule(NamedTuple):
    """Where a step may stand, the phase that it leads to (None: the same), and the rule as a sentence."""

    allowed: frozenset[Phase]
    then: Phase | None
    sentence: str


FOREIGN_RULES: Mapping[type, Rule] = MappingProxyType(
    {
        Comment: Rule(ANYWHERE, None, "a comment may stand anywhere"),
        Body: Rule(NOWHERE, None, "text that is no event stands in a stream of events"),
        Raw: Rule(NOWHERE, None, "raw bytes may mean anything, so their order cannot be judged"),
    }
)

# What every dialect on server-sent events spells alike. Head, pause and end are no bytes of the body.
SHARED_SPELLING: Mapping[type, Spelling] = MappingProxyType(
    {
        Interim: lambda _step, _said: (),
        Head: lambda _step, _said: (),
        Pause: lambda _step, _said: (),
        End: lambda _step, _said: (),
        Comment: lambda step, said: (said.comment(step.text),),
        Message: lambda step, said: (said.event(step.data, step.event, step.id, step.retry),),
        Body: lambda step, _said: (sse.utf8(step.text),),
        Raw: lambda step, _said: (step.data * step.times,),
    }
)


class Asked(NamedTuple):
    """A request as a dialect sees it: header names in lower case, `query` without its question mark."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What the server answers by itself, without playing an attempt: what SDKs ask at start, what a vendor refuses."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


@final
@dataclass(frozen=True)
class Dialect:
    """One wire format.

    `path` is what a client requests, `base_path` what is appended to the server's root to make the base URL of its SDK.
    `aside` answers the requests around a stream that play no attempt (a list of models, a handshake), or says None.
    """

    name: DialectName
    method: str
    path: str
    base_path: str
    content_type: str
    spelling: Mapping[type, Spelling]
    refused: Mapping[type, str]  # the steps that have no spelling here, each with the reason
    order: Mapping[type, Rule]
    terminals: Mapping[type, Terminal]
    make_request: Callable[[str], dict[str, object]]
    make_error: Callable[[int, str, str], object]
    check_body: Callable[[bytes], str]
    begin: Callable[[frozenset[Quirk]], Said] = Said
    aside: Callable[[Asked], Answer | None] = lambda _asked: None

    def encode(self, steps: Sequence[Step], quirks: Sequence[Quirk] = ()) -> tuple[tuple[bytes, ...], ...]:
        """Spell each step as its events (no events for head, pause and end); the last event of a step is its terminal.

        Raises :class:`UsageError` naming the step if the dialect has no words for it, or the quirk if it has none such.
        """
        for quirk in quirks:
            if self.name not in QUIRKS[quirk].dialects:
                raise UsageError(
                    f"quirk {quirk.value}: {self.name.value} does not have it; see `testbed list --quirks`"
                )
        said = self.begin(frozenset(quirks))
        encoded = []
        for index, step in enumerate(steps):
            encoded.append(self._spell(index, step, said))
            said.tokens += isinstance(step, Text)
        return tuple(encoded)

    def _spell(self, index: int, step: Step, said: Said) -> tuple[bytes, ...]:
        if type(step) in self.refused:
            raise UsageError(f"step {index} ({step_name(step)}): {self.refused[type(step)]}")
        try:
            events = self.spelling[type(step)](step, said)
        except UsageError as error:
            raise UsageError(f"step {index} ({step_name(step)}): {error}") from None
        # An empty event would be an empty write, and with chunked framing the end of the message.
        return tuple(event for event in events if event)

    def terminal(self, step: Step) -> Terminal:
        """Tell how surely a client knows that the answer is whole, once it has the step's last event."""
        return self.terminals.get(type(step), Terminal.NONE)

    def violations(self, steps: Sequence[Step]) -> tuple[str, ...]:
        """List where the steps break the dialect's order, one sentence each; a clean script has none."""
        return tuple(self._violations(steps))

    def _violations(self, steps: Sequence[Step]) -> Iterator[str]:
        phase = Phase.START
        status = 200
        for index, step in enumerate(steps):
            if isinstance(step, Head):
                status = step.status
            rule = self.order.get(type(step))
            if type(step) in self.refused:
                yield f"step {index} ({step_name(step)}): {self.refused[type(step)]}"
            elif rule is None:
                continue  # head, pause, end: no events
            elif not 200 <= status < 300:
                # An error answer is one body of text, so the rules of a stream do not hold for it.
                if not isinstance(step, (Body, Raw)):
                    yield f"step {index} ({step_name(step)}): an answer with status {status} has a body, not events"
            else:
                if phase not in rule.allowed:
                    yield f"step {index} ({step_name(step)}): {rule.sentence}"
                phase = rule.then or phase

    def request(self, model: str) -> dict[str, object]:
        """Build the keyword arguments for the vendor's SDK, which are also the JSON body of the request."""
        return self.make_request(model)

    def error_body(self, status: int, kind: str, message: str) -> str:
        """Build the JSON text of an HTTP error; an empty `kind` stands for the vendor's usual one for that status."""
        return to_json(self.make_error(status, kind, message))

    def check_request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """Say in a sentence what is wrong with a request, or return the empty string."""
        if path.partition("?")[0] != self.path:
            return f"the path is {path}; {self.name.value} is served at {self.path}"
        if method != self.method:
            return f"the method is {method}; {self.path} takes {self.method}"
        if self.method == "GET":
            return ""
        content_type = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            return f"the content type is {content_type!r}; it must be application/json"
        return self.check_body(body)


def step_name(step: Step) -> str:
    """Return the step's name in scenario files: ``text``, ``finish``."""
    return str(type(step).__struct_config__.tag)


def to_json(value: object) -> str:
    r"""Encode as compact JSON in the order given; text stays UTF-8, as vendors send it, not ``\u`` escapes."""
    try:
        return msgspec.json.encode(value).decode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"text: it holds half a surrogate pair, which UTF-8 cannot carry ({error.reason})") from None


# What a request body must hold: the key, whether its value will do, and the sentence for when it will not.
Requirement = tuple[str, Callable[[Any], bool], str]

CHAT_REQUIREMENTS: tuple[Requirement, ...] = (
    ("model", lambda value: isinstance(value, str) and value != "", "it must name a model"),
    ("messages", lambda value: isinstance(value, list) and len(value) > 0, "it must be a list of at least one message"),
    ("stream", lambda value: value is True, "it must be true: this server only streams"),
)


def check_json(body: bytes, requirements: Sequence[Requirement]) -> str:
    """Say in a sentence what is wrong with a JSON request body, or return the empty string."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The bytes are a client's: what the decoder does not call its own error is a wrong body all the same.
        return f"the body is not JSON: {error}"
    if not isinstance(value, dict):
        return f"the body is a JSON {type(value).__name__}; it must be an object"
    for key, accepts, sentence in requirements:
        if not accepts(value.get(key)):
            return f"the body's {key} is {to_json(value.get(key))}; {sentence}"
    return ""
