"""What a request for chat completions may hold.

The law of this module: every parameter that the vendor's own SDK can send is known here, with the vendor's types and
ranges; what is not known is an error, as it is at the vendor.
"""

from __future__ import annotations

from typing import Any

from testbed.dialects._schema import (
    Check,
    Path,
    Record,
    What,
    Wrong,
    anything,
    array,
    boolean,
    by_type,
    integer,
    mapping,
    nullable,
    number,
    one_of,
    only_true,
    tagged,
    text,
    values,
)

MOST_CHOICES = 128
_ANY_TEXT = text()
_NAME = text(least=1, most=64)

# --- messages ---------------------------------------------------------------------------------------------------------

_BREAKPOINT = {"prompt_cache_breakpoint": Record({"mode": one_of("explicit")}, {"ttl": one_of("30m", "12h")})}
_TEXT_PART = Record({"type": anything, "text": _ANY_TEXT}, _BREAKPOINT)
_IMAGE = Record({"url": _ANY_TEXT}, {"detail": one_of("auto", "low", "high", "original")})
_AUDIO = Record({"data": _ANY_TEXT, "format": one_of("wav", "mp3")})
_FILE = Record({}, {"file_data": _ANY_TEXT, "file_id": _ANY_TEXT, "filename": _ANY_TEXT})

_TEXT_PARTS = {"text": _TEXT_PART}
_USER_PARTS = {
    "text": _TEXT_PART,
    "image_url": Record({"type": anything, "image_url": _IMAGE}, _BREAKPOINT),
    "input_audio": Record({"type": anything, "input_audio": _AUDIO}, _BREAKPOINT),
    "file": Record({"type": anything, "file": _FILE}, _BREAKPOINT),
}
_ASSISTANT_PARTS = {"text": _TEXT_PART, "refusal": Record({"type": anything, "refusal": _ANY_TEXT})}


def _content(parts: dict[str, Record]) -> Check:
    return by_type({str: _ANY_TEXT, list: array(tagged("type", parts), least=1)})


_CALLED = Record({"name": _ANY_TEXT, "arguments": _ANY_TEXT})
_TOOL_CALLS = {
    "function": Record({"type": anything, "id": _ANY_TEXT, "function": _CALLED}),
    "custom": Record({"type": anything, "id": _ANY_TEXT, "custom": Record({"name": _ANY_TEXT, "input": _ANY_TEXT})}),
}
_NAMED = {"name": _ANY_TEXT}
_MESSAGES = {
    "developer": Record({"role": anything, "content": _content(_TEXT_PARTS)}, _NAMED),
    "system": Record({"role": anything, "content": _content(_TEXT_PARTS)}, _NAMED),
    "user": Record({"role": anything, "content": _content(_USER_PARTS)}, _NAMED),
    "assistant": Record(
        {"role": anything},
        {
            **_NAMED,
            "content": nullable(_content(_ASSISTANT_PARTS)),
            "refusal": nullable(_ANY_TEXT),
            "audio": nullable(Record({"id": _ANY_TEXT})),
            "function_call": nullable(_CALLED),
            "tool_calls": array(tagged("type", _TOOL_CALLS), least=1),
        },
    ),
    "tool": Record({"role": anything, "content": _content(_TEXT_PARTS), "tool_call_id": _ANY_TEXT}),
    "function": Record({"role": anything, "content": nullable(_ANY_TEXT), "name": _ANY_TEXT}),
}

# --- tools ------------------------------------------------------------------------------------------------------------

_FUNCTION = Record({"name": _NAME}, {"description": _ANY_TEXT, "parameters": mapping, "strict": nullable(boolean)})
_GRAMMAR = Record({"definition": _ANY_TEXT, "syntax": one_of("lark", "regex")})
_FORMATS = {
    "text": Record({"type": anything}),
    "grammar": Record({"type": anything, "grammar": _GRAMMAR}),
}
_CUSTOM = Record({"name": _NAME}, {"description": _ANY_TEXT, "format": tagged("type", _FORMATS)})
_TOOLS = {
    "function": Record({"type": anything, "function": _FUNCTION}),
    "custom": Record({"type": anything, "custom": _CUSTOM}),
}
_ALLOWED_TOOLS = Record({"mode": one_of("auto", "required"), "tools": array(mapping)})
_CHOSEN_TOOLS = {
    "function": Record({"type": anything, "function": Record({"name": _ANY_TEXT})}),
    "custom": Record({"type": anything, "custom": Record({"name": _ANY_TEXT})}),
    "allowed_tools": Record({"type": anything, "allowed_tools": _ALLOWED_TOOLS}),
}
_TOOL_CHOICE = by_type({str: one_of("none", "auto", "required"), dict: tagged("type", _CHOSEN_TOOLS)})

# --- the rest ---------------------------------------------------------------------------------------------------------

_JSON_SCHEMA = Record({"name": _NAME}, {"description": _ANY_TEXT, "schema": mapping, "strict": nullable(boolean)})
_RESPONSE_FORMATS = {
    "text": Record({"type": anything}),
    "json_object": Record({"type": anything}),
    "json_schema": Record({"type": anything, "json_schema": _JSON_SCHEMA}),
}
_PLACE = Record({}, dict.fromkeys(("city", "country", "region", "timezone"), _ANY_TEXT))
_USER_LOCATION = Record({"type": one_of("approximate"), "approximate": _PLACE})
_MODE = Record({"mode": one_of("score", "block")})
_PENALTY = nullable(number(least=-2, most=2))

REQUEST = Record(
    {"model": text(least=1), "messages": array(tagged("role", _MESSAGES), least=1), "stream": only_true},
    {
        "audio": nullable(
            Record(
                {
                    "format": one_of("wav", "aac", "mp3", "flac", "opus", "pcm16"),
                    "voice": by_type({str: _ANY_TEXT, dict: Record({"id": _ANY_TEXT})}),
                }
            )
        ),
        "frequency_penalty": _PENALTY,
        "function_call": by_type({str: one_of("none", "auto"), dict: Record({"name": _ANY_TEXT})}),
        "functions": array(Record({"name": _NAME}, {"description": _ANY_TEXT, "parameters": mapping}), least=1),
        "logit_bias": nullable(values(number(least=-100, most=100))),
        "logprobs": nullable(boolean),
        "max_completion_tokens": nullable(integer(least=1)),
        "max_tokens": nullable(integer(least=1)),
        "metadata": nullable(values(text(most=512), most=16)),
        "modalities": nullable(array(one_of("text", "audio"), least=1)),
        "moderation": nullable(
            Record(
                {"model": _ANY_TEXT},
                {"policy": nullable(Record({}, {"input": nullable(_MODE), "output": nullable(_MODE)}))},
            )
        ),
        "n": nullable(integer(least=1, most=MOST_CHOICES)),
        "parallel_tool_calls": boolean,
        "prediction": nullable(Record({"type": one_of("content"), "content": _content(_TEXT_PARTS)})),
        "presence_penalty": _PENALTY,
        "prompt_cache_key": nullable(_ANY_TEXT),
        "prompt_cache_options": Record({}, {"mode": one_of("implicit", "explicit"), "ttl": one_of("30m")}),
        "prompt_cache_retention": nullable(one_of("in_memory", "24h")),
        "reasoning_effort": nullable(one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        "response_format": tagged("type", _RESPONSE_FORMATS),
        "safety_identifier": nullable(_ANY_TEXT),
        "seed": nullable(integer(least=-(2**63), most=2**63 - 1)),
        "service_tier": nullable(one_of("auto", "default", "flex", "scale", "priority", "fast")),
        "stop": nullable(by_type({str: _ANY_TEXT, list: array(_ANY_TEXT, least=1, most=4)})),
        "store": nullable(boolean),
        "stream_options": nullable(Record({}, {"include_usage": boolean, "include_obfuscation": boolean})),
        "temperature": nullable(number(least=0, most=2)),
        "tool_choice": _TOOL_CHOICE,
        "tools": array(tagged("type", _TOOLS), least=1, most=128),
        "top_logprobs": nullable(integer(least=0, most=20)),
        "top_p": nullable(number(least=0, most=1)),
        "user": _ANY_TEXT,
        "verbosity": nullable(one_of("low", "medium", "high")),
        "web_search_options": Record(
            {}, {"search_context_size": one_of("low", "medium", "high"), "user_location": nullable(_USER_LOCATION)}
        ),
    },
)


def check(path: Path, value: Any) -> Wrong | None:
    """Find the first thing wrong with a request: with its parts, then with how they go together."""
    return REQUEST(path, value) or _needs(value) or _unanswered(value["messages"])


# Which parameter is only taken together with which other one.
_TOGETHER = {"tool_choice": "tools", "parallel_tool_calls": "tools", "top_logprobs": "logprobs"}


def _needs(value: dict[str, Any]) -> Wrong | None:
    for key, other in _TOGETHER.items():
        if value.get(key) is not None and not value.get(other):
            return Wrong((key,), What.VALUE, f"is only taken together with {other}")
    return None


def _unanswered(messages: list[dict[str, Any]]) -> Wrong | None:
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                sentence = "is 'tool'; it must answer a tool call of the assistant's message before it"
                return Wrong(("messages", index, "role"), What.VALUE, sentence)
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return _no_answer(index, open_calls)
        else:
            open_calls = {call["id"] for call in message.get("tool_calls", ())}
    return _no_answer(len(messages), open_calls) if open_calls else None


def _no_answer(index: int, open_calls: set[str]) -> Wrong:
    missing = ", ".join(sorted(open_calls))
    return Wrong(
        ("messages", index), What.VALUE, f"must answer the tool calls before it, and these have none: {missing}"
    )
