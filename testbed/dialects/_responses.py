"""What an answer of OpenAI's Responses API has said so far: its items, their parts, and the count of its events.

The laws of this module: sequence numbers rise by one with every event, whether or not the client has it already; an
item's ``done`` texts are its deltas joined; items are closed in the order in which they were opened, each before the
next one begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from testbed.dialects._answers import to_json
from testbed.dialects._dialect import Said
from testbed.dialects._openai import CREATED, MODEL
from testbed.script import Quirk

ID = "resp_testbed"
INPUT_TOKENS = 8

Object = dict[str, Any]


class Shape(NamedTuple):
    """One kind of text that grows by deltas: in which item it stands, what it is called, which events speak of it."""

    item: str  # the type of the item around it
    list: str  # the key of the item's list of parts; "" if the text is the item's own
    counted: str  # the field that counts parts in events; "" if there are no parts
    key: str  # the field of the text, in the part and in its `done` event
    added: str
    delta: str
    done: str
    closed: str
    blank: Mapping[str, object]
    beside: Mapping[str, object] = MappingProxyType({})  # what deltas and `done` have beside the text


_NO_LOGPROBS: Mapping[str, object] = MappingProxyType({"logprobs": ()})

TEXT = Shape(
    item="message",
    list="content",
    counted="content_index",
    key="text",
    added="response.content_part.added",
    delta="response.output_text.delta",
    done="response.output_text.done",
    closed="response.content_part.done",
    blank=MappingProxyType({"type": "output_text", "annotations": (), "logprobs": (), "text": ""}),
    beside=_NO_LOGPROBS,
)
REFUSAL = TEXT._replace(
    key="refusal",
    delta="response.refusal.delta",
    done="response.refusal.done",
    blank=MappingProxyType({"type": "refusal", "refusal": ""}),
    beside=MappingProxyType({}),
)
SUMMARY = Shape(
    item="reasoning",
    list="summary",
    counted="summary_index",
    key="text",
    added="response.reasoning_summary_part.added",
    delta="response.reasoning_summary_text.delta",
    done="response.reasoning_summary_text.done",
    closed="response.reasoning_summary_part.done",
    blank=MappingProxyType({"type": "summary_text", "text": ""}),
)
REASONING = SUMMARY._replace(
    list="content",
    counted="content_index",
    added=TEXT.added,
    delta="response.reasoning_text.delta",
    done="response.reasoning_text.done",
    closed=TEXT.closed,
    blank=MappingProxyType({"type": "reasoning_text", "text": ""}),
)
# The arguments of a call are no part in a list: nothing is added and closed around them.
ARGUMENTS = Shape(
    item="function_call",
    list="",
    counted="",
    key="arguments",
    added="",
    delta="response.function_call_arguments.delta",
    done="response.function_call_arguments.done",
    closed="",
    blank=MappingProxyType({}),
)

# The prefix of an item's id, and what the item holds when it is opened.
_ITEMS: Mapping[str, tuple[str, Mapping[str, object]]] = MappingProxyType(
    {
        "message": ("msg", MappingProxyType({"status": "in_progress", "role": "assistant", "content": ()})),
        "reasoning": ("rs", MappingProxyType({"summary": ()})),
        "function_call": (
            "fc",
            MappingProxyType({"status": "in_progress", "call_id": "", "name": "", "arguments": ""}),
        ),
    }
)

_PADDING = "kV3xQ8mZt1RwYc7N"


class Answering(Said):
    """The memory of one response. `known`: so many of its first events the client has already."""

    def __init__(self, quirks: frozenset[Quirk] = frozenset(), known: int = 0) -> None:
        super().__init__(quirks)
        self.output: list[Object] = []  # every item, the open one too
        self.known = known
        self.reason = ""  # why it is incomplete; "" if it is not
        self.reasoning_tokens = 0
        self._sequence = 0
        self._open = False  # whether the last item of the output is still growing
        self._shape: Shape | None = None  # the kind of text that is growing inside it
        self._grown: Object = {}  # the part, or the item itself, that holds this text
        self._deltas: list[str] = []  # the text, joined when it is asked for: adding each to one would copy it all
        self._length = 0

    def say(self, type: str, **fields: object) -> tuple[bytes, ...]:
        """Spell an event, or nothing if the client has it already."""
        number = self._sequence
        self._sequence += 1
        if number < self.known:
            return ()
        return (self.event(to_json({"type": type, "sequence_number": number, **fields}), event=type),)

    @property
    def count(self) -> int:
        """How many events it has said, those that the client has already too."""
        return self._sequence

    def response(self, status: str, **changes: object) -> Object:
        """The response object as it is at this moment."""
        self._settle()
        finished = status in {"completed", "incomplete"}
        return {
            **_blank_response(),
            "status": status,
            "background": Quirk.BACKGROUND in self.quirks,
            "completed_at": CREATED if status == "completed" else None,
            "output": self.output,
            "usage": self._usage() if finished else None,
            **changes,
        }

    def _usage(self) -> Object:
        produced = self.tokens
        return {
            "input_tokens": INPUT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": produced,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": INPUT_TOKENS + produced,
        }

    # --- items and parts ----------------------------------------------------------------------------------------------

    def begin_item(self, type: str, **fields: object) -> tuple[bytes, ...]:
        """Close the item before, and open one."""
        closing = self.close_item()
        prefix, blank = _ITEMS[type]
        item = {"id": f"{prefix}_testbed_{len(self.output)}", "type": type, **_fresh(blank), **fields}
        self.output.append(item)
        self._open = True
        added = self.say("response.output_item.added", output_index=self._index, item=item)
        return (*closing, *added)

    def enter(self, shape: Shape) -> tuple[bytes, ...]:
        """Make `shape` the text that grows: open its item and its part unless they are open."""
        if self._shape is shape:
            return ()
        fits = self._open and self._item["type"] == shape.item
        events = self._close_part() if fits else self.begin_item(shape.item)
        self._shape, self._length = shape, 0
        if not shape.list:
            self._grown = self._item
            return events
        self._grown = _fresh(shape.blank)
        self._item.setdefault(shape.list, []).append(self._grown)
        return (*events, *self._say_of_part(shape.added, shape, part=self._grown))

    def grow(self, shape: Shape, delta: str) -> tuple[bytes, ...]:
        """Append `delta` to the text of this shape."""
        events = self.enter(shape)
        self._deltas.append(delta)
        self._length += len(delta)
        return (
            *events,
            *self._say_of_part(shape.delta, shape, delta=delta, **shape.beside, **self._obfuscation(delta)),
        )

    def annotate(self, annotation: Mapping[str, object]) -> tuple[bytes, ...]:
        """Append an annotation to the text of the message, from the end of the one before to the end of the text."""
        events = self.enter(TEXT)
        annotations: list[Object] = self._grown["annotations"]
        start = annotations[-1]["end_index"] if annotations else 0
        whole = {**annotation, "start_index": start, "end_index": self._length}
        annotations.append(whole)
        said = self._say_of_part(
            "response.output_text.annotation.added", TEXT, annotation_index=len(annotations) - 1, annotation=whole
        )
        return (*events, *said)

    def close_item(self) -> tuple[bytes, ...]:
        """Close the part and the item that are open, if any."""
        if not self._open:
            return ()
        # A call that was given no piece of arguments has empty ones, and they are done too.
        events = self.enter(ARGUMENTS) if self._item["type"] == "function_call" else ()
        events = (*events, *self._close_part())
        if "status" in self._item:
            self._item["status"] = "incomplete" if self.reason else "completed"
        self._open = False
        return (*events, *self.say("response.output_item.done", output_index=self._index, item=self._item))

    def _close_part(self) -> tuple[bytes, ...]:
        self._settle()
        shape, self._shape = self._shape, None
        if shape is None:
            return ()
        done = self._say_of_part(shape.done, shape, **{shape.key: self._grown[shape.key]}, **shape.beside)
        closed = self._say_of_part(shape.closed, shape, part=self._grown) if shape.closed else ()
        return (*done, *closed)

    def _settle(self) -> None:
        if self._shape is not None:
            self._grown[self._shape.key] += "".join(self._deltas)
        self._deltas.clear()

    def _say_of_part(self, type: str, shape: Shape, **fields: object) -> tuple[bytes, ...]:
        where: Object = {"item_id": self._item["id"], "output_index": self._index}
        if shape.counted:
            where[shape.counted] = len(self._item[shape.list]) - 1
        return self.say(type, **where, **fields)

    def _obfuscation(self, delta: str) -> Object:
        # Real padding is random; what counts is that it hides the length of the delta.
        return {"obfuscation": _PADDING[len(delta) % 16 :]} if Quirk.OBFUSCATION in self.quirks else {}

    @property
    def _item(self) -> Object:
        return self.output[-1]

    @property
    def _index(self) -> int:
        return len(self.output) - 1


def _fresh(blank: Mapping[str, object]) -> Object:
    # The tables hold tuples so that no answer can write into them; an answer's own lists grow.
    return {key: [] if value == () else value for key, value in blank.items()}


def _blank_response() -> Object:
    return {
        "id": ID,
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": MODEL,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }
