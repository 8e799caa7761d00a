"""The Gemini API: unnamed events of one JSON object each, lines that end with CR LF, and no sentinel.

The laws of this module: every chunk has the count of tokens so far; exactly one chunk of each candidate has a
``finishReason``, and that of the first is all the end there is (SOFT), so that a ``done`` is refused; a prompt that was
blocked has no candidates.

How the steps are said:

- ``tool_call`` and ``arguments``: the vendor sends a call as one part with all of its arguments. It is said by the
  piece with which the pieces become a JSON object; a call without pieces by the next step that is no piece.
- ``citation``: grounding and citation metadata of a text that is cited from the end of the citation before.
- ``refusal``: ``promptFeedback`` with ``blockReason`` and no candidates, which is a whole answer (SOFT). A refusal
  after text is a ``finish`` with the reason ``SAFETY``.
- ``failure``: an event with an error object; the quirk ``bare-error`` makes it pretty-printed lines outside of any
  event. Its kind is the name of a status, such as ``RESOURCE_EXHAUSTED``, which has its number.
- ``ping``: a chunk without parts. There is no other keep-alive: the SDK takes a comment line for the JSON of an error.
- In the form of an array (a quirk) the first element opens it, and the end closes it: the ``finishReason`` of the last
  candidate that has begun, a refusal, a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from testbed import sse
from testbed.dialects._dialect import (
    BEFORE_THE_END,
    FOREIGN_RULES,
    NOWHERE,
    SHARED_SPELLING,
    TALKING,
    WORDLESS,
    Case,
    Dialect,
    Phase,
    Rule,
    Said,
    Spelling,
    to_json,
)
from testbed.dialects._gemini_request import CASES, MODEL, PROMPT_TOKENS, aside, error, serves, status_of, validate
from testbed.errors import UsageError
from testbed.script import (
    Arguments,
    Citation,
    Comment,
    DialectName,
    Done,
    Failure,
    Finish,
    Message,
    Open,
    Ping,
    Quirk,
    Refusal,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)

RESPONSE_ID = "resp-testbed"
NORMAL_REASON = "STOP"

# With any other reason the last chunk has no content at all.
_WITH_CONTENT = frozenset({NORMAL_REASON, "MAX_TOKENS"})

_TALKING = TALKING | {Phase.START}
_CONTENT = "content stands before the finishReason of its candidate"

ORDER: Mapping[type, Rule] = MappingProxyType(
    {
        **FOREIGN_RULES,
        Text: Rule(_TALKING, Phase.OPENED, _CONTENT),
        Thinking: Rule(_TALKING, Phase.OPENED, _CONTENT),
        Citation: Rule(TALKING, Phase.OPENED, "a citation follows the text that it is about"),
        ToolCall: Rule(_TALKING, Phase.CALLING, _CONTENT),
        Arguments: Rule(frozenset({Phase.CALLING}), None, "a piece of arguments follows its tool call"),
        Refusal: Rule(frozenset({Phase.START}), Phase.OVER, "a prompt that was blocked has no candidates"),
        Finish: Rule(_TALKING, Phase.FINISHED, "finishReason comes once for each candidate"),
        Failure: Rule(BEFORE_THE_END, Phase.OVER, "an error ends the stream, and nothing follows the end"),
        Ping: Rule(BEFORE_THE_END, None, "nothing is kept alive after the end"),
        Message: Rule(NOWHERE, None, "a plain server-sent event is no part of gemini"),
    }
)


class _Call:
    """A tool call whose arguments are not whole yet."""

    def __init__(self, step: ToolCall, number: int) -> None:
        self.step = step
        self.id = step.id or f"call_testbed_{number}"
        self.pieces: list[str] = []

    def whole(self) -> msgspec.Raw | None:
        """The pieces as one JSON object, just as they were written but for the space between its parts, or None."""
        text = sse.utf8("".join(self.pieces)) or b"{}"
        # Only a brace can end an object, so nothing else is worth the parsing.
        if not text.rstrip().endswith(b"}"):
            return None
        try:
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            return None
        return msgspec.Raw(msgspec.json.format(text, indent=-1))


class Chunks(Said):
    """What an answer has said so far: its counts, the call that is waiting, and the candidates that have begun."""

    def __init__(self, quirks: frozenset[Quirk] = frozenset()) -> None:
        # The vendor's lines end with CR LF unless a quirk says otherwise.
        super().__init__(quirks if quirks & {Quirk.CR, Quirk.MIXED_LINE_ENDS} else quirks | {Quirk.CRLF})
        self.cited = 0  # bytes of the first candidate's text that have their citation
        self._texts = 0  # bytes of that text
        self._counts = {"candidatesTokenCount": 0, "thoughtsTokenCount": 0}
        self._calls = 0
        self._waiting: _Call | None = None
        self._begun: set[int] = set()  # candidates that have begun and not finished
        self._elements = 0

    # --- chunks -------------------------------------------------------------------------------------------------------

    def part(self, part: Mapping[str, object], choice: int = 0) -> bytes:
        """Spell a chunk with one part of one candidate."""
        self._begun.add(choice)
        self._counts["thoughtsTokenCount" if part.get("thought") else "candidatesTokenCount"] += 1
        return self.chunk({"content": {"parts": [part], "role": "model"}, "index": choice})

    def text(self, text: str, choice: int) -> bytes:
        """Spell a chunk with text."""
        self._texts += len(sse.utf8(text)) if choice == 0 else 0
        return self.part({"text": text}, choice)

    def chunk(self, candidate: Mapping[str, object] | None, *, last: bool = False, **more: object) -> bytes:
        """Spell a chunk; `last` closes the array in which it may stand."""
        candidates = {"candidates": [candidate]} if candidate else {}
        return self.element({**candidates, **more, "usageMetadata": self._usage(), **_ABOUT}, last=last)

    def element(self, value: object, *, last: bool = False) -> bytes:
        """Spell an object as an event, or as an element of the array."""
        if Quirk.JSON_ARRAY not in self.quirks:
            return self.event(to_json(value))
        opening = b",\n" if self._elements else b"["
        self._elements += 1
        return self._written(opening + _pretty(value) + (b"]\n" if last else b""))

    def bare(self, value: object) -> bytes:
        """Spell an object as lines that are no event."""
        return self._written(_pretty(value))

    def finish(self, choice: int, reason: str) -> bytes:
        """Spell the last chunk of a candidate."""
        self._begun.discard(choice)
        content = {"content": {"parts": [{"text": ""}], "role": "model"}} if reason in _WITH_CONTENT else {}
        return self.chunk({**content, "finishReason": reason, "index": choice}, last=not self._begun)

    def cite(self) -> dict[str, int]:
        """The place of what is cited now, in bytes of the text."""
        start, self.cited = self.cited, self._texts
        return {"startIndex": start, "endIndex": self._texts}

    def _usage(self) -> dict[str, int]:
        counts = {name: count for name, count in self._counts.items() if count}
        return {"promptTokenCount": PROMPT_TOKENS, **counts, "totalTokenCount": PROMPT_TOKENS + sum(counts.values())}

    # --- calls --------------------------------------------------------------------------------------------------------

    def call(self, step: ToolCall) -> tuple[bytes, ...]:
        """Begin a call, which is said when its arguments are whole."""
        said = self.settle()
        self._waiting = _Call(step, self._calls)
        self._calls += 1
        return said

    def piece(self, json: str) -> tuple[bytes, ...]:
        """Add a piece to the call that is waiting, and say the call if this makes it whole."""
        if self._waiting is None:
            if json.strip():
                raise UsageError(f"the piece {json[:60]!r} belongs to no call, or to one whose arguments were whole")
            return ()
        self._waiting.pieces.append(json)
        return self.settle() if self._waiting.whole() else ()

    def settle(self) -> tuple[bytes, ...]:
        """Say the call that is waiting, if there is one."""
        call, self._waiting = self._waiting, None
        if call is None:
            return ()
        arguments = call.whole()
        if arguments is None:
            raise UsageError(
                f"the arguments of the call of {call.step.name} before it are {''.join(call.pieces)[:60]!r}; "
                "gemini says them as one JSON object, so the pieces must be one"
            )
        function = {"id": call.id, "name": call.step.name, "args": arguments}
        return (self.part({"functionCall": function}, call.step.choice),)


_ABOUT: Mapping[str, object] = MappingProxyType({"modelVersion": MODEL, "responseId": RESPONSE_ID})


def _pretty(value: object) -> bytes:
    return msgspec.json.format(sse.utf8(to_json(value)), indent=2) + b"\n"


# --- spelling ---------------------------------------------------------------------------------------------------------


def _citation(step: Citation, said: Chunks) -> tuple[bytes, ...]:
    place = said.cite()
    settled = said.settle()
    candidate = {
        "content": {"role": "model"},
        "index": 0,
        "citationMetadata": {"citationSources": [{**place, "uri": step.url}]},
        "groundingMetadata": {
            "groundingChunks": [{"web": {"uri": step.url, "title": step.title}}],
            "groundingSupports": [{"segment": place, "groundingChunkIndices": [0]}],
        },
    }
    return (*settled, said.chunk(candidate))


def _refusal(step: Refusal, said: Chunks) -> tuple[bytes, ...]:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": step.text}
    return (*said.settle(), said.chunk(None, last=True, promptFeedback=feedback))


def _finish(step: Finish, said: Chunks) -> tuple[bytes, ...]:
    return (*said.settle(), said.finish(step.choice, step.reason or NORMAL_REASON))


def _failure(step: Failure, said: Chunks) -> tuple[bytes, ...]:
    # An error comes whenever it comes: a call that was not whole by then is never said.
    described = error(Case(status_of(step.kind), step.message, step.kind))
    if Quirk.BARE_ERROR in said.quirks and Quirk.JSON_ARRAY not in said.quirks:
        return (said.bare(described),)
    return (said.element(described, last=True),)


def _no_array(spelling: Spelling) -> Spelling:
    """The same spelling where there are events; in an array there is no such thing."""

    def spell(step: object, said: Chunks) -> tuple[bytes, ...]:
        if Quirk.JSON_ARRAY in said.quirks:
            raise UsageError("a JSON array has no comments and no events; leave the step or the quirk json-array out")
        return spelling(step, said)

    return spell


def _request(model: str) -> dict[str, object]:
    return {"model": model, "contents": [{"role": "user", "parts": [{"text": "Say something."}]}]}


GEMINI = Dialect(
    name=DialectName.GEMINI,
    method="POST",
    path=f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
    base_path="",
    content_type="text/event-stream",
    content_types=MappingProxyType({Quirk.JSON_ARRAY: "application/json; charset=UTF-8"}),
    # Behind an element of an array stand a comma and newlines.
    line_ends=MappingProxyType({None: 4, Quirk.CR: 2, Quirk.MIXED_LINE_ENDS: 3, Quirk.JSON_ARRAY: 8}),
    spelling=MappingProxyType(
        {
            **SHARED_SPELLING,
            Comment: _no_array(SHARED_SPELLING[Comment]),
            Message: _no_array(SHARED_SPELLING[Message]),
            Open: lambda _step, _said: (),
            Text: lambda step, said: (*said.settle(), said.text(step.text, step.choice)),
            Thinking: lambda step, said: (*said.settle(), said.part({"text": step.text, "thought": True})),
            ToolCall: lambda step, said: said.call(step),
            Arguments: lambda step, said: said.piece(step.json),
            Citation: _citation,
            Refusal: _refusal,
            Finish: _finish,
            Failure: _failure,
            Ping: lambda _step, said: (said.chunk({"content": {"role": "model"}, "index": 0}),),
        }
    ),
    refused=MappingProxyType({Done: "gemini has no sentinel: the last chunk is the one with the finishReason"}),
    order=ORDER,
    terminals=MappingProxyType({Finish: Terminal.SOFT, Refusal: Terminal.SOFT}),
    make_request=_request,
    make_error=error,
    validate=validate,
    routes=serves,
    most_choices=8,
    cases=CASES,
    begin=Chunks,
    wordless=WORDLESS | {Open},
    aside=aside,
)
