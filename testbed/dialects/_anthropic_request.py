"""What a request for messages may hold.

The law of this module: every parameter that the vendor's own SDK can send is known here, with the vendor's types and
ranges. What the vendor's own tools and their results hold is the vendor's affair: they only need their type. With a
beta header there may be parameters that only the vendor knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from testbed.dialects._answers import Asked, Case, read_object
from testbed.dialects._schema import (
    Check,
    Named,
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
)

_ANY_TEXT = text()
_CACHED = {"cache_control": nullable(Record({"type": one_of("ephemeral")}, {"ttl": one_of("5m", "1h")}))}
_CITING = nullable(Record({}, {"enabled": boolean}))


def _block(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Record:
    return Record({"type": anything, **required}, {**_CACHED, **(optional or {})})


def _blocks(cases: dict[str, Check]) -> Check:
    return by_type({str: _ANY_TEXT, list: array(tagged("type", cases, named=Named.YES))})


# --- content ----------------------------------------------------------------------------------------------------------

_TEXT = _block({"text": text(least=1)}, {"citations": nullable(array(mapping))})
_BY_URL = Record({"type": anything, "url": _ANY_TEXT})
_BY_ID = Record({"type": anything, "file_id": _ANY_TEXT})


def _base64(*media_types: str) -> Record:
    return Record({"type": anything, "media_type": one_of(*media_types), "data": _ANY_TEXT})


_IMAGE = _block(
    {
        "source": tagged(
            "type",
            {
                "base64": _base64("image/jpeg", "image/png", "image/gif", "image/webp"),
                "url": _BY_URL,
                "file": _BY_ID,
            },
            named=Named.YES,
        )
    },
    {"transformations": nullable(mapping)},
)
_DOCUMENT = _block(
    {
        "source": tagged(
            "type",
            {
                "base64": _base64("application/pdf"),
                "text": Record({"type": anything, "media_type": one_of("text/plain"), "data": _ANY_TEXT}),
                "content": Record({"type": anything, "content": _blocks({"text": _TEXT, "image": _IMAGE})}),
                "url": _BY_URL,
                "file": _BY_ID,
            },
            named=Named.YES,
        )
    },
    {"citations": _CITING, "context": nullable(_ANY_TEXT), "title": nullable(_ANY_TEXT)},
)
_SEARCH_RESULT = _block({"content": array(_TEXT), "source": _ANY_TEXT, "title": _ANY_TEXT}, {"citations": _CITING})
_RESULTS: dict[str, Check] = {
    "text": _TEXT,
    "image": _IMAGE,
    "search_result": _SEARCH_RESULT,
    "document": _DOCUMENT,
    "tool_reference": _block({"tool_name": _ANY_TEXT}),
    "browser_state": mapping,
}
_CONTENT: dict[str, Check] = {
    "text": _TEXT,
    "image": _IMAGE,
    "document": _DOCUMENT,
    "search_result": _SEARCH_RESULT,
    "thinking": Record({"type": anything, "thinking": _ANY_TEXT, "signature": _ANY_TEXT}),
    "redacted_thinking": Record({"type": anything, "data": _ANY_TEXT}),
    "tool_use": _block(
        {"id": _ANY_TEXT, "name": _ANY_TEXT, "input": mapping},
        {"caller": mapping, "toolset_name": nullable(_ANY_TEXT)},
    ),
    "tool_result": _block(
        {"tool_use_id": _ANY_TEXT},
        {"content": _blocks(_RESULTS), "is_error": boolean, "toolset_name": nullable(_ANY_TEXT)},
    ),
    "server_tool_use": mapping,
    "web_search_tool_result": mapping,
    "web_fetch_tool_result": mapping,
    "code_execution_tool_result": mapping,
    "bash_code_execution_tool_result": mapping,
    "text_editor_code_execution_tool_result": mapping,
    "tool_search_tool_result": mapping,
    "container_upload": mapping,
}
_MESSAGE = tagged(
    "role",
    {
        "user": Record({"role": anything, "content": _blocks(_CONTENT)}),
        "assistant": Record({"role": anything, "content": _blocks(_CONTENT)}),
        "system": Record({"role": anything, "content": _blocks({"text": _TEXT})}),
    },
)

# --- tools ------------------------------------------------------------------------------------------------------------

_OBJECT = one_of("object")


def _input_schema(path: Path, value: Any) -> Wrong | None:
    # A JSON schema has any keywords; the one that is checked says that the tool takes an object.
    wrong = mapping(path, value)
    if wrong is None and "type" not in value:
        wrong = Wrong((*path, "type"), What.MISSING, "is missing")
    return wrong or _OBJECT((*path, "type"), value["type"])


_OWN_TOOL = Record(
    {"name": text(least=1, most=128), "input_schema": _input_schema},
    {
        **_CACHED,
        "type": nullable(one_of("custom")),
        "description": _ANY_TEXT,
        "allowed_callers": array(_ANY_TEXT),
        "defer_loading": boolean,
        "eager_input_streaming": nullable(boolean),
        "input_examples": array(mapping),
        "strict": boolean,
    },
)
# The vendor's own tools are named with the day of their release.
_VENDORS_TOOL = re.compile(r"[a-z0-9_]+_\d{8}|tool_search_tool_(?:bm25|regex)")


def _tool(path: Path, value: Any) -> Wrong | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and _VENDORS_TOOL.fullmatch(kind):
        return None
    return _OWN_TOOL((*path, "custom"), value)


_ALONE = {"disable_parallel_tool_use": boolean}
_TOOL_CHOICE = tagged(
    "type",
    {
        "auto": Record({"type": anything}, _ALONE),
        "any": Record({"type": anything}, _ALONE),
        "tool": Record({"type": anything, "name": _ANY_TEXT}, _ALONE),
        "none": Record({"type": anything}),
    },
    named=Named.YES,
)

# --- the rest ---------------------------------------------------------------------------------------------------------

_SHOWN = {"display": nullable(one_of("summarized", "omitted"))}
_THINKING = tagged(
    "type",
    {
        "enabled": Record({"type": anything, "budget_tokens": integer(least=1024)}, _SHOWN),
        "disabled": Record({"type": anything}),
        "between_tools": Record({"type": anything}),
        "adaptive": Record({"type": anything}, _SHOWN),
    },
    named=Named.YES,
)
_FORMAT = Record({"type": one_of("json_schema"), "schema": mapping})
_EFFORT = one_of("low", "medium", "high", "xhigh", "max")
_SKILL = Record({"skill_id": _ANY_TEXT, "type": one_of("anthropic", "custom")}, {"version": _ANY_TEXT})
_CONTAINER = Record({}, {"id": nullable(_ANY_TEXT), "skills": nullable(array(_SKILL))})

REQUEST = Record(
    {
        "model": text(least=1),
        "max_tokens": integer(least=0),  # 0: only to warm the vendor's cache
        "messages": array(_MESSAGE, least=1, most=100_000),
        "stream": only_true,
    },
    {
        **_CACHED,
        "container": nullable(by_type({str: _ANY_TEXT, dict: _CONTAINER})),
        "diagnostics": nullable(Record({}, {"previous_message_id": nullable(_ANY_TEXT)})),
        "inference_geo": nullable(_ANY_TEXT),
        "metadata": Record({}, {"user_id": nullable(text(most=256))}),
        "output_config": Record({}, {"effort": nullable(_EFFORT), "format": nullable(_FORMAT)}),
        "service_tier": one_of("auto", "standard_only"),
        "speed": nullable(one_of("standard", "fast")),
        "stop_sequences": array(_ANY_TEXT),
        "system": _blocks({"text": _TEXT}),
        "temperature": number(least=0, most=1),
        "thinking": _THINKING,
        "tool_choice": _TOOL_CHOICE,
        "tools": array(_tool),
        "top_k": integer(least=0),
        "top_p": number(least=0, most=1),
    },
)

# The vendor's words for the two mistakes that clients look for.
_WORDS = {What.MISSING: "Field required", What.UNKNOWN: "Extra inputs are not permitted"}


def validate(asked: Asked) -> Case | None:
    """Find the first thing wrong with a body: the error to answer with, or None."""
    value = read_object(asked.body)
    if isinstance(value, str):
        return Case(400, value)
    wrong = REQUEST((), value) or _thinks_too_long(value) or _unanswered(value["messages"])
    if wrong is None or (wrong.what is What.UNKNOWN and len(wrong.path) == 1 and "anthropic-beta" in asked.headers):
        return None
    where = ".".join(map(str, wrong.path))
    return Case(400, f"{where}: {_WORDS.get(wrong.what, f'the value {wrong.sentence}')}")


def _thinks_too_long(value: dict[str, Any]) -> Wrong | None:
    budget, most = value.get("thinking", {}).get("budget_tokens", -1), value["max_tokens"]
    sentence = f"is {most}; it must be more than thinking.budget_tokens, which is {budget}"
    return Wrong(("max_tokens",), What.INTEGER_LOW, sentence) if budget >= most else None


def _unanswered(messages: list[dict[str, Any]]) -> Wrong | None:
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        results = dict(_ids(message, "tool_result", "tool_use_id"))
        for place, one in results.items():
            if one not in open_calls:
                where = ("messages", index, "content", place, "tool_result", "tool_use_id")
                return Wrong(where, What.VALUE, f"is {one[:64]!r}; it must be a tool_use of the message before")
        missing = sorted(open_calls.difference(results.values()))
        if missing:
            return _no_result(index - 1, missing)
        open_calls = {one for _, one in _ids(message, "tool_use", "id")}
    return _no_result(len(messages) - 1, sorted(open_calls)) if open_calls else None


def _ids(message: dict[str, Any], kind: str, key: str) -> Iterator[tuple[int, str]]:
    blocks = message["content"] if isinstance(message["content"], list) else []
    return ((index, block[key]) for index, block in enumerate(blocks) if block["type"] == kind)


def _no_result(index: int, missing: list[str]) -> Wrong:
    listed = ", ".join(missing)
    return Wrong(("messages", index), What.VALUE, f"has tool_use blocks without a tool_result right behind: {listed}")
