"""Planted defects of the reading of an answer: when it is over, what an error is, what is text and what is not.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import h11

from testbed import sse
from testbed.adapters.items import Finish, Item, ToolCall
from testbed.script import DialectName, Terminal
from testbed.trace import Failure
from tests.toys import plans, readings
from tests.toys.errors import Broken, Incomplete, Provider, Status, ToyError, Undecodable
from tests.toys.readings import Json
from tests.toys.rows import ALL, ANTHROPIC, CHAT, Toy
from tests.toys.rules import Rules

RESPONSES = (DialectName.OPENAI_RESPONSES,)
GEMINI = (DialectName.GEMINI,)
OLLAMA = (DialectName.OLLAMA,)
MCP = (DialectName.MCP,)


def reading(kind: type[readings.Reading]) -> type[Rules]:
    """A client that reads its dialect like that."""

    class Read(Rules):
        readings: ClassVar[Mapping[DialectName, type[readings.Reading]]] = {
            dialect: kind if issubclass(kind, one) else one for dialect, one in readings.READINGS.items()
        }

    Read.__name__ = kind.__name__
    Read.__doc__ = kind.__doc__
    return Read


# --- when it is over --------------------------------------------------------------------------------------------------


class WholeEventsAreWhole(Rules):
    """Takes an end behind a whole event for a good end: only half an event is suspicious."""

    def judge_end(self) -> None:
        if self.status == 200 and not self.parser.unfinished:
            self.complete = True
        else:
            super().judge_end()


class TrustsLength(Rules):
    """Takes a body that is as long as its Content-Length for a whole answer."""

    def judge_end(self) -> None:
        if self.status == 200 and "content-length" in self.fields:
            self.complete = True
        else:
            super().judge_end()


class TrustsClose(Rules):
    """Takes the end of the connection for the end of the answer where nothing else says where it is."""

    def judge_end(self) -> None:
        if self.status == 200 and not {"content-length", "transfer-encoding"} & set(self.fields):
            self.complete = True
        else:
            super().judge_end()


class Greps(Rules):
    """Looks for the end in the bytes and not in the events: half an event with the right word in it will do."""

    word = rb'"finish_reason":"\w+"'
    tail = b""

    def read(self, piece: bytes) -> Iterator[Item]:
        self.tail = (self.tail + piece)[-8192:]
        yield from super().read(piece)

    def judge_end(self) -> None:
        if self.status == 200 and re.search(self.word, self.tail):
            self.complete = True
        else:
            super().judge_end()


class BelievesName(Greps):
    """Believes the name of an event whose data has not come."""

    word = rb"event: (message_delta|message_stop|response\.completed)\n"


class NeedsDone(Rules):
    """Takes an answer without the protocol's last event for half of one."""

    def judge_end(self) -> None:
        if self.reading.terminal is Terminal.SOFT:
            raise Incomplete
        super().judge_end()


class NeedsFinish(readings.Chat):
    """Takes [DONE] without a finish reason before it for an accident."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        if event.data == "[DONE]" and self.terminal is Terminal.NONE:
            raise Broken("[DONE] came too early")
        yield from super().items(event)


class DonePrefix(readings.Chat):
    """Takes every event that begins like the sentinel for it."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        if event.data.startswith("[DONE]") or "[DONE]" in event.data:
            self.terminal = Terminal.HARD
            return
        yield from super().items(event)


class ShowsDone(readings.Chat):
    """Shows the sentinel where its spelling is not just so."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        if event.data.strip() == "[DONE]" and self.terminal is Terminal.NONE:
            yield event.data
        yield from super().items(event)


class ReadsOn(Rules):
    """Reads what stands behind the end of an answer as if it were a part of it."""

    def is_over(self) -> bool:
        return False

    def items(self, event: sse.Event) -> Iterator[Item]:
        yield from self.reading.items(event)


class WaitsForEnd(Rules):
    """Does not return before the server has closed the connection."""

    def is_over(self) -> bool:
        return False


class EmptyIsFine(Rules):
    """Takes an answer without any event for an empty text."""

    def judge_end(self) -> None:
        if self.status == 200 and not self.seen:
            self.complete = True
        else:
            super().judge_end()


# --- errors -----------------------------------------------------------------------------------------------------------


class ErrorsOnlyLater(readings.Chat):
    """Looks for an error in the deltas and not in the first chunk, from which it takes the id of the answer."""

    first = True

    def complain(self, data: Json) -> None:
        first, self.first = self.first, False
        if not first:
            super().complain(data)


class IgnoresErrors(readings.Chat):
    """Takes an error for a chunk without choices."""

    def complain(self, data: Json) -> None:
        pass


class IgnoresErrorEvents(readings.Anthropic):
    """Knows no event `error`."""

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("type") != "error":
            yield from super().of(data)


class FailedIsFine(readings.Responses):
    """Takes response.failed for the end of the answer, which it is, and looks no closer."""

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("type") == "response.failed":
            self.terminal = Terminal.HARD
            return
        yield from super().of(data)


class IncompleteFails(readings.Responses):
    """Takes response.incomplete for an error."""

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("type") == "response.incomplete":
            raise Provider("the response is incomplete")
        yield from super().of(data)


class ErrorsAreObjects(readings.Ollama):
    """Looks for an error's message where Ollama has a sentence."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        data = self.json(event)
        if "error" in data:
            raise Provider(data["error"]["message"])
        yield from self.of(data)


class ErrorLineIgnored(readings.Ollama):
    """Takes an error line for one without text."""

    def complain(self, data: Json) -> None:
        pass


class ResultOnly(readings.Mcp):
    """Takes a response without a result for one that says nothing."""

    def of(self, data: Json) -> Iterator[Item]:
        if "error" in data:
            self.terminal = Terminal.HARD
            return
        yield from super().of(data)


class AnyType(Rules):
    """Looks at no content type: what is no event stream has no events."""

    def check_type(self, content_type: str) -> None:
        pass


class NeedsCharset(Rules):
    """Reads a stream whose type names no charset as Latin-1."""

    def read(self, piece: bytes) -> Iterator[Item]:
        if "charset" not in self.fields.get("content-type", ""):
            piece = piece.decode("latin-1").encode()
        yield from super().read(piece)


class RawJsonErrors(Rules):
    """Lets the JSON library's exception out."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        try:
            yield from super().items(event)
        except Undecodable as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None
            raise


class StatusIsProvider(Rules):
    """Has one class for everything that a server may say."""

    def refusal(self) -> Status:
        raise Provider(f"status {self.status}")


class InterimIsFinal(Rules):
    """Takes the first head for the answer's, an interim one too."""

    def next_event(self) -> object:
        event = super().next_event()
        if isinstance(event, h11.InformationalResponse):
            raise Status(event.status_code)
        return event


class ForgivesFraming(Rules):
    """Takes a body that stops inside its framing for one that is over, if text was shown."""

    def forgives(self, error: ToyError) -> bool:
        if isinstance(error, Broken) and self.shown:
            self.reading.terminal = Terminal.SOFT
            return True
        return super().forgives(error)


# --- what is text -----------------------------------------------------------------------------------------------------


class FirstChoiceNeeded(readings.Chat):
    """Takes the first choice of every chunk, though some have none."""

    def items(self, event: sse.Event) -> Iterator[Item]:
        if event.data == "[DONE]":
            yield from super().items(event)
            return
        data = self.json(event)
        self.complain(data)
        yield from self.of_choice(data["choices"][0])


class EveryChoice(readings.Chat):
    """Shows the text of all choices as one."""

    def of(self, data: Json) -> Iterator[Item]:
        self.complain(data)
        for choice in data.get("choices") or []:
            yield from self.of_choice(choice)


class Reasons(readings.Chat):
    """Says of every finish that the model stopped."""

    def finished(self, reason: str) -> Iterator[Item]:
        for item in super().finished(reason):
            yield Finish("stop") if isinstance(item, Finish) else item


class HidesReason(readings.Anthropic):
    """Knows why the message stopped, and tells nobody."""

    def of_message(self, delta: Json) -> Iterator[Item]:
        for _ in super().of_message(delta):
            yield ""


class FirstPieceOfCall(readings.Chat):
    """Shows a tool call with the first piece of its arguments."""

    def of_choice(self, choice: Json) -> Iterator[Item]:
        yield from super().of_choice(choice)
        for call_id, name, pieces in self.calls.open.values():
            if "".join(pieces):
                yield ToolCall(call_id, name, "".join(pieces))
        self.calls.open = {key: call for key, call in self.calls.open.items() if not "".join(call[2])}


class CallsAtCut(Rules):
    """Shows the tool calls that are open when the stream breaks off, with what there is of their arguments."""

    def flush(self) -> Iterable[Item]:
        calls = getattr(self.reading, "calls", None)
        return [
            ToolCall(one, name, "".join(json) or "{}") for one, name, json in (calls.open if calls else {}).values()
        ]


class ThoughtsAreText(readings.Gemini):
    """Shows what the model thinks as what it says."""

    def of_candidate(self, candidate: Json) -> Iterator[Item]:
        for part in (candidate.get("content") or {}).get("parts") or []:
            part.pop("thought", None)
        yield from super().of_candidate(candidate)


class StopOnly(readings.Gemini):
    """Takes every reason but STOP for an error."""

    def of_candidate(self, candidate: Json) -> Iterator[Item]:
        if candidate.get("finishReason") not in {None, "STOP"}:
            raise Provider(candidate["finishReason"])
        yield from super().of_candidate(candidate)


class TellsTwice(readings.Mcp):
    """Shows the result although its text was told as progress."""

    def of(self, data: Json) -> Iterator[Item]:
        self.said = "" if "result" in data else self.said
        yield from super().of(data)


class PingIsText(readings.Anthropic):
    """Shows what it does not know."""

    def of(self, data: Json) -> Iterator[Item]:
        if data.get("type") == "ping":
            yield "ping"
        yield from super().of(data)


_CUT, _FALSE, _LOST = Failure.SILENT_TRUNCATION, Failure.FALSE_FAILURE, Failure.LOST_EVENT
_WRONG, _PHANTOM = Failure.WRONG_ERROR_CLASS, Failure.PHANTOM_EVENT

_ROWS: tuple[tuple[str, type[Any], Failure, tuple[DialectName, ...], tuple[str, ...]], ...] = (
    ("whole-events-are-whole", WholeEventsAreWhole, _CUT, CHAT + ANTHROPIC + RESPONSES, ("abrupt-end",)),
    ("trusts-length", TrustsLength, _CUT, CHAT, ("abrupt-end",)),
    ("trusts-close", TrustsClose, _CUT, ANTHROPIC, ("abrupt-end",)),
    ("greps", Greps, _CUT, CHAT, ("abrupt-end",)),
    ("believes-name", BelievesName, _CUT, ANTHROPIC + RESPONSES, ("abrupt-end", "eof-before-response-completed")),
    ("needs-done", NeedsDone, _FALSE, CHAT, ("missing-done",)),
    ("needs-finish", NeedsFinish, _FALSE, CHAT, ("done-with-null-finish",)),
    ("done-prefix", DonePrefix, _CUT, CHAT, ("done-lookalike",)),
    ("reads-on", ReadsOn, _PHANTOM, CHAT, ("data-after-done",)),
    ("waits-for-end", WaitsForEnd, Failure.HANG, CHAT + ANTHROPIC, ("done-then-open-socket",)),
    ("empty-is-fine", EmptyIsFine, _CUT, ALL, ("empty-200-stream",)),
    ("errors-only-later", ErrorsOnlyLater, _WRONG, CHAT, ("inband-error-chat",)),
    ("ignores-errors", IgnoresErrors, _WRONG, CHAT, ("inband-error-chat",)),
    ("ignores-error-events", IgnoresErrorEvents, _WRONG, ANTHROPIC, ("inband-overloaded-anthropic",)),
    ("failed-is-fine", FailedIsFine, _CUT, RESPONSES, ("responses-failed-error-incomplete",)),
    ("incomplete-fails", IncompleteFails, _FALSE, RESPONSES, ("responses-failed-error-incomplete",)),
    ("errors-are-objects", ErrorsAreObjects, Failure.CRASH, OLLAMA, ("ollama-midstream-error-line",)),
    ("error-line-ignored", ErrorLineIgnored, _WRONG, OLLAMA, ("ollama-midstream-error-line",)),
    ("result-only", ResultOnly, _CUT, MCP, ("overloaded-mid-stream",)),
    ("any-type", AnyType, _WRONG, CHAT, ("html-instead-of-sse",)),
    ("needs-charset", NeedsCharset, Failure.CORRUPTED_TEXT, CHAT, ("no-charset-non-ascii",)),
    ("raw-json-errors", RawJsonErrors, Failure.UNWRAPPED_ERROR, CHAT, ("data-colon-keepalive",)),
    ("status-is-provider", StatusIsProvider, _WRONG, CHAT, ("overloaded-before-stream",)),
    ("interim-is-final", InterimIsFinal, _WRONG, CHAT, ()),
    ("forgives-framing", ForgivesFraming, _CUT, CHAT, ("fin-inside-chunk",)),
    ("first-choice-needed", FirstChoiceNeeded, Failure.CRASH, CHAT, ("choices-empty-and-usage-chunk",)),
    ("every-choice", EveryChoice, _PHANTOM, CHAT, ()),
    ("reasons", Reasons, Failure.CORRUPTED_TEXT, CHAT, ("finish-length",)),
    ("hides-reason", HidesReason, _LOST, ANTHROPIC, ("finish-length",)),
    ("first-piece-of-call", FirstPieceOfCall, Failure.PARTIAL_EVENT_DELIVERED, CHAT, ("cut-inside-tool-arguments",)),
    ("calls-at-cut", CallsAtCut, Failure.PARTIAL_EVENT_DELIVERED, CHAT + ANTHROPIC, ("cut-inside-tool-arguments",)),
    ("thoughts-are-text", ThoughtsAreText, _PHANTOM, GEMINI, ("finish-length", "max-tokens-visible")),
    ("stop-only", StopOnly, _FALSE, GEMINI, ("finish-length",)),
    ("tells-twice", TellsTwice, Failure.DUPLICATED_TEXT, MCP, ("coalesced-events",)),
    ("ping-is-text", PingIsText, _PHANTOM, ANTHROPIC, ("heartbeat-only", "lost-heartbeat")),
)

# What no scenario of the catalogue is about.
_OWN = {"every-choice": plans.several_choices, "interim-is-final": plans.hinted}

DEFECTS: tuple[Toy, ...] = tuple(
    Toy(
        name,
        reading(kind) if issubclass(kind, readings.Reading) else kind,
        planted,
        dialects=dialects,
        scenarios=scenarios,
        plan=_OWN.get(name),
    )
    for name, kind, planted, dialects, scenarios in _ROWS
)
