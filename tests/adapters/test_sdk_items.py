"""What the callers of the SDKs see beside the text: tool calls, counts, reasons; and answers that lack something."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from testbed.adapters import load
from testbed.adapters.declare import FunctionClient
from testbed.adapters.items import Finish, Item, ToolCall, Usage
from testbed.script import (
    Arguments,
    DialectName,
    Done,
    Head,
    Message,
    Open,
    Quirk,
    Script,
    Step,
    Text,
    Thinking,
)
from testbed.script import Finish as Finished
from testbed.script import ToolCall as Called
from tests.adapters.support import target_of
from tests.dialects.speaking import BOUND, speaking

CHAT, MESSAGES = DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES
CLIENTS = [("openai", CHAT), ("openai-sync", CHAT), ("anthropic", MESSAGES)]


def seen(name: str, script: Script) -> list[Item]:
    """Everything that the client yields for one script, empty texts left out."""
    client = load(name)
    assert isinstance(client, FunctionClient)
    with speaking(script) as server:
        target = target_of(server.root, script.dialect, idle_timeout=BOUND, max_retries=0)
        found = client(target)
        return [item for item in (asyncio.run(_listed(found)) if hasattr(found, "__aiter__") else list(found)) if item]


async def _listed(found: Any) -> list[Item]:
    return [item async for item in found]


@pytest.mark.parametrize(("name", "dialect"), CLIENTS)
def test_a_caller_sees_calls_counts_and_reasons(name: str, dialect: DialectName) -> None:
    """A call is shown once, with all its arguments; thinking is not text; the counts come with the end."""
    steps = (Thinking("hm"), Text("a"), Called("f", "id1"), Arguments('{"a":'), Arguments("1}"), Called("g", "id2"))
    quirks = (Quirk.USAGE_CHUNK,) if dialect is CHAT else ()
    items = seen(name, Script(dialect, (Head(), Open(), *steps, Finished(), Done()), quirks=quirks))
    calls = [item for item in items if isinstance(item, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("id1", "f", '{"a":1}'),
        ("id2", "g", ""),
    ]
    assert [item for item in items if isinstance(item, str)] == ["a"]
    assert [item.reason for item in items if isinstance(item, Finish)] == ["tool_calls" if quirks else "tool_use"]
    assert [item for item in items if isinstance(item, Usage)] == [Usage(8 if quirks else 0, 4)]


@pytest.mark.parametrize(
    ("name", "dialect", "cut"),
    [
        ("openai", CHAT, "length"),
        ("openai-sync", CHAT, "content_filter"),
        ("anthropic", MESSAGES, "max_tokens"),
        ("openai-responses", DialectName.OPENAI_RESPONSES, "max_output_tokens"),
        ("reference", CHAT, "length"),
        ("reference", MESSAGES, "max_tokens"),
        ("reference", DialectName.OPENAI_RESPONSES, "max_output_tokens"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_a_call_that_a_limit_has_cut_is_never_handed_over(
    name: str, dialect: DialectName, cut: str, whole: bool
) -> None:
    """Half of its arguments are no call, however orderly the answer ends; the same answer that was not cut shows it."""
    steps = (Called("f", "id1"), Arguments('{"a":'), *([Arguments("1}")] if whole else []))
    items = seen(name, Script(dialect, (Head(), Open(), *steps, Finished("" if whole else cut), Done())))
    assert [item for item in items if isinstance(item, ToolCall)] == (
        [ToolCall("id1", "f", '{"a":1}')] if whole else []
    )


def test_a_caller_who_asked_for_one_answer_shows_the_first() -> None:
    """What another choice says is not mixed into the text."""
    steps: tuple[Step, ...] = (
        Open(),
        Text("a"),
        Text("x", choice=1),
        Text("b"),
        Finished(),
        Finished(choice=1),
        Done(),
    )
    assert seen("openai-sync", Script(CHAT, (Head(), *steps))) == ["a", "b", Finish("stop")]


CHOICE = {"index": 0, "delta": {"content": "t"}, "finish_reason": None}
ODD: dict[DialectName, list[object]] = {
    CHAT: [
        {},
        {"choices": None},
        {"choices": 7},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"index": 0}]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "delta": {"content": 7, "tool_calls": "f"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [None, {}, {"function": None}, {"id": 7, "function": 7}]}}]},
        {"choices": [], "usage": 7},
        {"choices": [], "usage": {"prompt_tokens": None}},
        {"choices": [CHOICE]},
    ],
    MESSAGES: [
        {"type": "content_block_start"},
        {"type": "content_block_start", "content_block": None},
        {"type": "content_block_start", "content_block": {"type": "tool_use", "id": None}},
        {"type": "content_block_delta"},
        {"type": "content_block_delta", "delta": {"type": "text_delta"}},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": 7}},
        {"type": "message_delta"},
        {"type": "message_delta", "delta": None, "usage": None},
        {"type": "message_delta", "delta": {"stop_reason": 7}, "usage": {"output_tokens": "x"}},
        {"type": "never_heard_of", "delta": {"text": "no"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "t"}},
    ],
}


@pytest.mark.parametrize(("name", "dialect"), CLIENTS)
def test_an_adapter_does_not_stumble_over_what_is_missing(name: str, dialect: DialectName) -> None:
    """The SDKs hand on what they parsed without checking it; the text behind all oddities is still seen."""
    odd = (Message(json.dumps(one), one.get("type") if isinstance(one, dict) else None) for one in ODD[dialect])
    items = seen(name, Script(dialect, (Head(), *odd)))
    assert [item for item in items if isinstance(item, str)] == ["t"]
    assert not any(isinstance(item, Finish) for item in items)
