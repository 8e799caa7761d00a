"""What a dialect is: tables of how each step is spelled, in which order steps make sense, and what ends an answer.

The laws of this module: a dialect is data, and the one class here reads it; it adds no knowledge about a vendor. Equal
steps give equal bytes. Order is judged, never enforced (:mod:`testbed.dialects._order`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, final

from msgspec import structs

from testbed import sse
from testbed.dialects import _order
from testbed.dialects._answers import (
    Answer,
    Asked,
    Case,
    read_object,
    to_json,
)
from testbed.dialects._order import (
    ANYWHERE,
    BEFORE_THE_END,
    CHAT_ONLY_REFUSED,
    CHAT_RULES,
    CONTENT_RULES,
    FOREIGN_RULES,
    NOWHERE,
    TALKING,
    Phase,
    Rule,
    step_name,
)
from testbed.dialects.quirks import QUIRKS
from testbed.errors import UsageError
from testbed.script import (
    Arguments,
    Body,
    Comment,
    DialectName,
    End,
    Failure,
    Head,
    Interim,
    Message,
    Pause,
    Quirk,
    Raw,
    Refusal,
    Script,
    Step,
    Terminal,
    Text,
    Thinking,
)

__all__ = [
    "ANYWHERE",
    "BEFORE_THE_END",
    "CHAT_ONLY_REFUSED",
    "CHAT_RULES",
    "COLON_KEEPALIVE",
    "CONTENT_RULES",
    "FOREIGN_RULES",
    "NOWHERE",
    "SHARED_SPELLING",
    "TALKING",
    "WORDLESS",
    "Answer",
    "Asked",
    "Case",
    "Dialect",
    "Numbering",
    "Phase",
    "Rule",
    "Said",
    "Spelling",
    "read_object",
    "reject",
    "step_name",
    "to_json",
]


# A comment that was put into an event by mistake: to a parser it is data like any other.
COLON_KEEPALIVE = ": keepalive"


class Said:
    """What an answer has said so far: the memory of one encoding, made anew for each.

    A dialect whose words depend on more than the number of tokens (block indexes, sequence numbers, the whole text)
    makes a subclass its `begin`.
    """

    def __init__(self, quirks: frozenset[Quirk] = frozenset()) -> None:
        self.quirks = quirks
        self.tokens = 0  # the tokens of output before this step: counts of usage are cumulative
        self._lines = 0
        # Read off the quirks once: they are the same for every event of the answer.
        self._space = "" if Quirk.NO_SPACE in quirks else " "
        self._ends = next((ends for quirk, ends in _LINE_ENDS.items() if quirk in quirks), _LF)

    def event(self, data: str, event: str | None = None, id: str | None = None, retry: int | None = None) -> bytes:
        """Spell one server-sent event, with the quirks that every such dialect has."""
        if Quirk.MULTI_LINE_DATA in self.quirks and data.startswith("{") and data.endswith("}"):
            # Between the braces and what they hold, where JSON has white space: the lines joined mean the same.
            data = f"{{\n{data[1:-1]}\n}}"
        return self._written(sse.event(data, event, id, retry, space=self._space))

    def comment(self, text: str) -> bytes:
        """Spell one comment, with the same quirks."""
        return self._written(sse.comment(text))

    def field(self, name: str, value: str) -> bytes:
        """Spell one field, whose name need not be of the standard, as an event of its own."""
        return self._written(sse.utf8(f"{name}:{self._space}{value}\n\n"))

    def keepalive(self) -> bytes:
        """Spell the keep-alive of a dialect that has no event for it."""
        if Quirk.COLON_KEEPALIVE in self.quirks:
            return self.event(COLON_KEEPALIVE)
        return self.comment("OPENROUTER PROCESSING" if Quirk.OPENROUTER_COMMENTS in self.quirks else "keep-alive")

    def _written(self, event: bytes) -> bytes:
        mark = b"\xef\xbb\xbf" if Quirk.BOM in self.quirks and self._lines == 0 else b""
        first, self._lines = self._lines, self._lines + event.count(b"\n")
        if self._ends is _LF:
            return mark + event
        ends = self._ends
        lines = event.split(b"\n")[:-1]
        return mark + b"".join(line + ends[number % len(ends)] for number, line in enumerate(lines, first))


_LF = (b"\n",)
# Which line ends the lines of a stream have, in turn. Of the mixed ones CR comes before CR LF: before LF it would be
# one end with it.
_LINE_ENDS: Mapping[Quirk, tuple[bytes, ...]] = MappingProxyType(
    {Quirk.CRLF: (b"\r\n",), Quirk.CR: (b"\r",), Quirk.MIXED_LINE_ENDS: (b"\n", b"\r", b"\r\n")}
)

# A spelling turns a step into its events, each a byte string of its own.
Spelling = Callable[[Any, Any], tuple[bytes, ...]]

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


# What each is one token of output.
TOKENS: frozenset[type] = frozenset({Text, Thinking, Refusal, Arguments})

# No bytes of the body in any dialect.
WORDLESS: frozenset[type] = frozenset({Interim, Head, Pause, End})


def reject(dialect: Dialect, asked: Asked) -> Case | None:
    """Find the first thing wrong with a request: its path, its method, its content type, then what it holds."""
    if not dialect.serves(asked.path):
        where = f"the path is {asked.path}; {dialect.name.value} is served at {dialect.path}"
        return Case(404, where, code="unknown_url")
    if asked.method not in dialect.all_methods:
        allowed = ", ".join(dialect.all_methods)
        sentence = f"the method is {asked.method}; {asked.path} takes {allowed}"
        return Case(405, sentence, code="method_not_supported", headers=(("Allow", allowed),))
    if asked.method == "POST":
        content_type = asked.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            return Case(415, f"the content type is {content_type!r}; it must be application/json")
    return dialect.validate(asked)


# Two newlines. With CR LF they are twice as many, in turn with others one of the two is CR LF at most.
LINE_ENDS: Mapping[Quirk | None, int] = MappingProxyType({None: 2, Quirk.CRLF: 4, Quirk.MIXED_LINE_ENDS: 3})


class Numbering(NamedTuple):
    """How a dialect numbers its events, so that a client can say which was the last that it has.

    `counts` says how many numbered events each step of a script is, `read` the number in what a client says, or None.
    `goes_on`: a script that does not resume is what comes next, and is numbered from behind that event.
    """

    counts: Callable[[Script], tuple[int, ...]]
    read: Callable[[str], int | None]
    goes_on: bool


@final
@dataclass(frozen=True)
class Dialect:
    """One wire format.

    `path` is what a client requests, `base_path` what is appended to the server's root to make the base URL of its SDK.
    What follows `make_error` has a default that many dialects keep: `validate` finds what is wrong with a request of
    the right path and method, `reject` finds anything that is; `routes` says which paths are served (None: just
    `path`); `methods` are those beside `method`; `cases` are named error answers, for scripts to be made from;
    `make_error_headers` is what each error has in its head; `aside` answers the requests around a stream that play no
    attempt (a list of models, a handshake), or says None; `resume` leaves out of a script what the client has already,
    `line_ends` is how many bytes may stand behind the data of an event until it is over, by quirk (None: without one),
    and `behind_errors` how long an event is that a quirk puts behind an error, in the same step;
    `resumes` is what the client says that it has, in its own words ("" if it says nothing, None if nothing can be
    said), and `numbering` what these words mean (None: the script gives ids of its own, or there are none).
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
    make_error: Callable[[Case], object]
    validate: Callable[[Asked], Case | None] = lambda _asked: None
    reject: Callable[[Dialect, Asked], Case | None] = reject
    routes: Callable[[str], bool] | None = None
    methods: tuple[str, ...] = ()
    most_choices: int = 1  # of how many answers to one request a step can be
    cases: Mapping[str, Case] = field(default_factory=lambda: MappingProxyType({}))
    make_error_headers: Callable[[int], tuple[tuple[str, str], ...]] = lambda _status: ()
    begin: Callable[[frozenset[Quirk]], Said] = Said
    content_types: Mapping[Quirk, str] = field(default_factory=lambda: MappingProxyType({}))  # what a quirk makes of it
    wordless: frozenset[type] = WORDLESS  # the steps that put no bytes into the body
    aside: Callable[[Asked], Answer | None] = lambda _asked: None
    resume: Callable[[Script, Asked], Script] = lambda script, _asked: script
    line_ends: Mapping[Quirk | None, int] = field(default_factory=lambda: LINE_ENDS)
    behind_errors: Mapping[Quirk, int] = field(default_factory=lambda: MappingProxyType({}))
    resumes: Callable[[Asked], str | None] = lambda _asked: None
    numbering: Numbering | None = None

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
            said.tokens += type(step) in TOKENS
        return tuple(encoded)

    def _spell(self, index: int, step: Step, said: Said) -> tuple[bytes, ...]:
        if type(step) in self.refused:
            raise UsageError(f"step {index} ({step_name(step)}): {self.refused[type(step)]}")
        if type(step) not in self.spelling:
            raise UsageError(f"step {index} ({step_name(step)}): {self.name.value} has no word for it")
        if not 0 <= getattr(step, "choice", 0) < self.most_choices:
            raise UsageError(
                f"step {index} ({step_name(step)}): choice is {step.choice}; {self.name.value} says at most "  # type: ignore[union-attr]
                f"{self.most_choices}, counted from 0"
            )
        if isinstance(step, Text) and step.times > 1:
            step = structs.replace(step, text=step.said, times=1)
        try:
            events = self.spelling[type(step)](step, said)
        except UsageError as error:
            raise UsageError(f"step {index} ({step_name(step)}): {error}") from None
        # An empty event would be an empty write, and with chunked framing the end of the message.
        return tuple(event for event in events if event)

    def content_type_of(self, quirks: Sequence[Quirk] = ()) -> str:
        """What the head of an answer with these quirks says of its body."""
        value = next((self.content_types[quirk] for quirk in quirks if quirk in self.content_types), self.content_type)
        return value.partition(";")[0] if Quirk.NO_CHARSET in quirks else value

    def is_event_stream(self, quirks: Sequence[Quirk] = ()) -> bool:
        """Whether an answer with these quirks is server-sent events, and no other form of lines or of JSON."""
        return self.content_type_of(quirks).partition(";")[0].strip() == "text/event-stream"

    def line_ends_of(self, quirks: Sequence[Quirk] = (), step: Step | None = None) -> int:
        """How many bytes at most may stand behind the data of a step with these quirks, until the step is over.

        A client that acts on the data has the event without them, one that waits for its end has not.
        """
        own = self.line_ends[None]
        behind = sum(self.behind_errors.get(quirk, 0) for quirk in quirks) if isinstance(step, Failure) else 0
        return behind + max((self.line_ends.get(quirk, own) for quirk in quirks), default=own)

    def terminal(self, step: Step) -> Terminal:
        """Tell how surely a client knows that the answer is whole, once it has the step's last event.

        Of several choices it is the first whose text a caller follows, so the end of another one is no terminal.
        """
        return Terminal.NONE if getattr(step, "choice", 0) else self.terminals.get(type(step), Terminal.NONE)

    def violations(self, steps: Sequence[Step]) -> tuple[str, ...]:
        """List where the steps break the dialect's order, one sentence each; a clean script has none."""
        return tuple(_order.violations(steps, self.order, self.refused))

    def request(self, model: str) -> dict[str, object]:
        """Build the keyword arguments for the vendor's SDK, which are also the JSON body of the request."""
        return self.make_request(model)

    @property
    def all_methods(self) -> tuple[str, ...]:
        """The methods that the dialect's paths take, its own first."""
        return (self.method, *self.methods)

    def serves(self, path: str) -> bool:
        """Whether this path (without a query) is the dialect's."""
        return path == self.path if self.routes is None else self.routes(path)

    def refuse(self, asked: Asked) -> Answer | None:
        """Answer a request that the vendor would reject as the vendor does, or say None to one that is right."""
        case = self.reject(self, asked)
        return None if case is None else self.answer(case)

    def answer(self, case: Case) -> Answer:
        """Put an error into the vendor's JSON and head."""
        return Answer(case.status, to_json(self.make_error(case)), (*self.error_headers(case.status), *case.headers))

    def error_headers(self, status: int) -> tuple[tuple[str, str], ...]:
        """What the vendor puts into the head of every error of this status."""
        return self.make_error_headers(status)

    def error_body(self, status: int, kind: str, message: str) -> str:
        """Build the JSON text of an HTTP error; an empty `kind` stands for the vendor's usual one for that status."""
        return to_json(self.make_error(Case(status, message, kind)))
