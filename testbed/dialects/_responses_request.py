"""What OpenAI's Responses API asks of a request: a table of its parameters, and of the query that resumes a stream.

The law of this module: a parameter that the SDK's own type of the request has is never unknown here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import parse_qs

from testbed.dialects._answers import Asked, Case, read_object
from testbed.dialects._openai import invalid
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

_ROLE = one_of("user", "assistant", "system", "developer")
_PART: Check = tagged(
    "type",
    {
        "input_text": Record({"type": anything, "text": text()}, {"prompt_cache_breakpoint": anything}),
        "output_text": mapping,
        "refusal": mapping,
        "input_image": mapping,
        "input_file": mapping,
    },
)
_MESSAGE = Record(
    {"role": _ROLE, "content": by_type({str: text(), list: array(_PART)})},
    {"type": anything, "id": anything, "status": anything, "phase": anything},
)
_CALL_OUTPUT = Record(
    {"type": anything, "call_id": text(least=1), "output": by_type({str: text(), list: array(mapping)})},
    dict.fromkeys(("id", "status", "caller", "name", "namespace"), anything),
)

_FUNCTION = Record(
    {"type": anything, "name": text(least=1, most=64)},
    {
        "parameters": nullable(mapping),
        "strict": nullable(boolean),
        "allowed_callers": anything,
        "defer_loading": boolean,
        "description": nullable(text()),
        "output_schema": nullable(mapping),
    },
)


def _item(path: Path, value: object) -> Wrong | None:
    # An item without a type is a message; the many types that only repeat what the server said are let through.
    kind = value.get("type", "message") if isinstance(value, dict) else ""
    return {"message": _MESSAGE, "function_call_output": _CALL_OUTPUT}.get(str(kind), mapping)(path, value)


def _tool(path: Path, value: object) -> Wrong | None:
    # A function stands in its tool, and not in an object of its own as in chat completions.
    kind = value.get("type") if isinstance(value, dict) else ""
    return (_FUNCTION if kind == "function" else mapping)(path, value)


_OPTIONAL: Mapping[str, Check] = MappingProxyType(
    {
        "input": by_type({str: text(), list: array(_item)}),
        "access_programs": mapping,
        "background": boolean,
        "background_options": mapping,
        "context_management": array(mapping),
        "conversation": by_type({str: text(least=1), dict: mapping}),
        "image": mapping,
        "include": array(text()),
        "instructions": text(),
        "max_output_tokens": integer(least=16),
        "max_tool_calls": integer(least=1),
        "metadata": values(text(most=512), most=16),
        "moderation": mapping,
        "parallel_tool_calls": boolean,
        "previous_response_id": text(least=1),
        "prompt": mapping,
        "prompt_cache_key": text(),
        "prompt_cache_options": mapping,
        "prompt_cache_retention": one_of("in_memory", "in-memory", "24h"),
        "reasoning": mapping,
        "safety_identifier": text(most=64),
        "service_tier": text(),
        "store": boolean,
        "stream_options": Record({}, {"include_obfuscation": boolean}),
        "temperature": number(least=0, most=2),
        "text": mapping,
        "tool_choice": by_type({str: one_of("none", "auto", "required"), dict: mapping}),
        "tools": array(_tool),
        "top_logprobs": integer(least=0, most=20),
        "top_p": number(least=0, most=1),
        "truncation": one_of("auto", "disabled"),
        "user": text(),
    }
)

_BODY = Record(
    {"model": text(least=1), "stream": only_true},
    {key: nullable(check) for key, check in _OPTIONAL.items()},
)
PARAMETERS = frozenset({*_BODY.required, *_BODY.optional})

_NUMBER = re.compile(r"[0-9]{1,15}")

# One of these says what to answer to.
_SUBJECTS = ("input", "prompt", "conversation", "previous_response_id")


def check_creation(asked: Asked) -> Case | None:
    """Find what is wrong with the body of a request for a new response."""
    body = read_object(asked.body)
    if isinstance(body, str):
        return Case(400, body)
    # The mistake of those who come from chat completions has a code of its own.
    if "messages" in body:
        return Case(400, "the parameter messages is called input here", code="unsupported_parameter", param="messages")
    wrong = _BODY((), body)
    if wrong is None and not any(body.get(key) for key in _SUBJECTS):
        wrong = Wrong(("input",), What.MISSING, f"is required, unless there is one of {', '.join(_SUBJECTS[1:])}")
    return invalid(wrong) if wrong else None


def check_retrieval(asked: Asked, known: str) -> Case | None:
    """Find what is wrong with a request for the rest of a response; `known` is the only id that there is."""
    name = asked.path.rpartition("/")[2]
    if name != known:
        return Case(404, f"there is no response with the id {name!r}; this server has {known!r}", code="")
    query = parse_qs(asked.query, keep_blank_values=True)
    if query.get("stream", [""])[-1].lower() != "true":
        return invalid(Wrong(("stream",), What.VALUE, "must be true: this server only streams"))
    after = query.get("starting_after", ["0"])[-1]
    if not _NUMBER.fullmatch(after):
        return invalid(Wrong(("starting_after",), What.TYPE, f"must be an integer, and it is {after[:64]!r}"))
    return None


def events_known(asked: Asked) -> int:
    """How many of the first events the client has already: those up to the number that it names, and that one."""
    after = number_known(asked)
    return int(after) + 1 if after else 0


def number_known(asked: Asked) -> str:
    """The number of the last event that the client says it has, as it stands in the query; "" if it names none."""
    after = parse_qs(asked.query).get("starting_after", [""])[-1]
    return after if asked.method == "GET" and _NUMBER.fullmatch(after) else ""
