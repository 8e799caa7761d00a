"""OpenAI's Responses API: named events, each with its type and a sequence number, and no ``[DONE]``.

The laws of this module: an answer opens with ``response.created``, its items follow each other, and exactly one of
``response.completed``, ``response.incomplete`` (HARD), ``response.failed`` and ``error`` is its last event. A finish is
no terminal: it closes the open item and says which of the first two is to come.

How the steps are said:

- ``open``: ``response.created`` and ``response.in_progress``; in the background (a quirk) ``response.queued`` between.
- ``text``, ``refusal``, ``thinking``, ``tool_call``: items and parts are opened and closed around them as needed.
- ``finish``: closes the open item. The reason "" is ``completed``; any other is the reason why it is incomplete, and
  the types know ``max_output_tokens`` and ``content_filter``.
- ``failure``: ``response.failed`` if its kind is one of the vendor's codes for that event, else the event ``error``
  with the kind as its code; the quirk ``error-event`` makes all of them ``error``.
- ``ping``: the event ``keepalive``, which the vendor sends and does not document. It counts like any other event.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from testbed.dialects._addressed import as_bytes, replaced, without
from testbed.dialects._dialect import (
    BEFORE_THE_END,
    CONTENT_RULES,
    FOREIGN_RULES,
    NOWHERE,
    SHARED_SPELLING,
    TALKING,
    Asked,
    Case,
    Dialect,
    Numbering,
    Phase,
    Rule,
    reject,
)
from testbed.dialects._openai import CASES, aside, error, error_headers
from testbed.dialects._responses import ARGUMENTS, ID, REASONING, REFUSAL, SUMMARY, TEXT, Answering
from testbed.dialects._responses_request import check_creation, check_retrieval, events_known, number_known
from testbed.script import (
    Arguments,
    Citation,
    DialectName,
    Done,
    Failure,
    Finish,
    Message,
    Open,
    Ping,
    Quirk,
    Refusal,
    Script,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)

PATH = "/v1/responses"
NORMAL_REASON = "completed"

# The codes that the SDK's type of a failed response knows; an in-band error with any other is an `error` event.
FAILED_CODES = frozenset(
    {
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "misalignment_policy_violation",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)

ORDER: Mapping[type, Rule] = MappingProxyType(
    {
        **FOREIGN_RULES,
        **CONTENT_RULES,
        Open: Rule(frozenset({Phase.START}), Phase.OPENED, "response.created comes first, and once"),
        Finish: Rule(TALKING, Phase.FINISHED, "the last item is closed once, after response.created"),
        Done: Rule(frozenset({Phase.FINISHED}), Phase.OVER, "the response ends once, after its last item was closed"),
        Failure: Rule(BEFORE_THE_END, Phase.OVER, "an error ends the stream, and nothing follows the end"),
        Ping: Rule(TALKING | {Phase.FINISHED}, None, "a keepalive stands between response.created and the end"),
        Message: Rule(NOWHERE, None, "a plain server-sent event is no part of openai-responses"),
    }
)


# --- spelling ---------------------------------------------------------------------------------------------------------


def _open(_step: Open, said: Answering) -> tuple[bytes, ...]:
    states = ("queued", "in_progress") if Quirk.BACKGROUND in said.quirks else ("in_progress",)
    created = said.say("response.created", response=said.response(states[0]))
    rest = (event for state in states for event in said.say(f"response.{state}", response=said.response(state)))
    return (*created, *rest)


def _thinking(step: Thinking, said: Answering) -> tuple[bytes, ...]:
    said.reasoning_tokens += 1
    return said.grow(REASONING if Quirk.REASONING_TEXT in said.quirks else SUMMARY, step.text)


def _citation(step: Citation, said: Answering) -> tuple[bytes, ...]:
    return said.annotate({"type": "url_citation", "url": step.url, "title": step.title})


def _tool_call(step: ToolCall, said: Answering) -> tuple[bytes, ...]:
    calls = sum(item["type"] == "function_call" for item in said.output)
    return said.begin_item("function_call", call_id=step.id or f"call_testbed_{calls}", name=step.name)


def _finish(step: Finish, said: Answering) -> tuple[bytes, ...]:
    said.reason = "" if step.reason == NORMAL_REASON else step.reason
    # An answer without any content is a message with an empty text.
    opening = () if said.output else said.enter(TEXT)
    return (*opening, *said.close_item())


def _done(_step: Done, said: Answering) -> tuple[bytes, ...]:
    if not said.reason:
        return said.say("response.completed", response=said.response("completed"))
    why = {"reason": said.reason}
    return said.say("response.incomplete", response=said.response("incomplete", incomplete_details=why))


def _failure(step: Failure, said: Answering) -> tuple[bytes, ...]:
    if step.kind in FAILED_CODES and not said.quirks & {Quirk.ERROR_EVENT, Quirk.NESTED_ERROR}:
        error = {"code": step.kind, "message": step.message}
        return said.say("response.failed", response=said.response("failed", error=error))
    fields: dict[str, object] = {"code": step.kind, "message": step.message, "param": None}
    if Quirk.NESTED_ERROR in said.quirks:
        return said.say("error", error={"type": step.kind, **fields})
    return said.say("error", **fields)


# --- requests and errors ----------------------------------------------------------------------------------------------


def _request(model: str) -> dict[str, object]:
    return {"model": model, "input": "Say something.", "stream": True}


def _routes(path: str) -> bool:
    return path == PATH or (path.startswith(PATH + "/") and "/" not in path[len(PATH) + 1 :])


# The parameters that are called otherwise than in chat completions.
_CASES = MappingProxyType(
    {
        **CASES,
        "context-length": CASES["context-length"]._replace(
            message="this model takes 8192 tokens at most, and the input has 9000: make the input shorter",
            param="input",
        ),
        "parameter-unsupported": CASES["parameter-unsupported"]._replace(
            message="this model does not take temperature", param="temperature"
        ),
    }
)


def _reject(dialect: Dialect, asked: Asked) -> Case | None:
    # Each of the two paths has one method of its own.
    method = "POST" if asked.path == PATH else "GET"
    if dialect.serves(asked.path) and asked.method != method:
        sentence = f"the method is {asked.method}; {asked.path} takes {method}"
        return Case(405, sentence, code="method_not_supported", headers=(("Allow", method),))
    return reject(dialect, asked)


def _validate(asked: Asked) -> Case | None:
    return check_creation(asked) if asked.path == PATH else check_retrieval(asked, ID)


def _resume(script: Script, asked: Asked) -> Script:
    """Leave out the events that the client has, and whatever stands before the last of them."""
    known = events_known(asked)
    if not (script.resumes and known):
        return script
    whole = OPENAI_RESPONSES.encode(script.steps, script.quirks)
    # What is sent depends on what was said before it, so it is spelled with all of that and then left out.
    resumed = dataclasses.replace(OPENAI_RESPONSES, begin=lambda quirks: Answering(quirks, known))
    rest = resumed.encode(script.steps, script.quirks)
    last = max(index for index, events in enumerate(whole) if rest[index] != events)
    through = last - bool(rest[last])
    # Of a step that the client has in part, the rest stays in its place.
    taken = [*whole[:through], (*whole[through], *whole[last][: len(whole[last]) - len(rest[last])])]
    shorter = without(script, through, taken if rest[last] else whole)
    return replaced(shorter, lambda at, step: as_bytes(b"".join(rest[at])) if whole[at] and at > through else step)


def _counts(script: Script) -> tuple[int, ...]:
    said = Answering(frozenset(script.quirks))
    counts = []
    for step in script.steps:
        before = said.count
        OPENAI_RESPONSES.spelling[type(step)](step, said)
        counts.append(said.count - before)
    return tuple(counts)


OPENAI_RESPONSES = Dialect(
    name=DialectName.OPENAI_RESPONSES,
    method="POST",
    path=PATH,
    base_path="/v1",
    content_type="text/event-stream; charset=utf-8",
    spelling=MappingProxyType(
        {
            **SHARED_SPELLING,
            Open: _open,
            Text: lambda step, said: said.grow(TEXT, step.text),
            Thinking: _thinking,
            Refusal: lambda step, said: said.grow(REFUSAL, step.text),
            Citation: _citation,
            ToolCall: _tool_call,
            Arguments: lambda step, said: said.grow(ARGUMENTS, step.json),
            Finish: _finish,
            Done: _done,
            Failure: _failure,
            Ping: lambda _step, said: said.say("keepalive"),
        }
    ),
    refused=MappingProxyType({}),
    order=ORDER,
    terminals=MappingProxyType({Done: Terminal.HARD}),
    make_request=_request,
    make_error=error,
    validate=_validate,
    reject=_reject,
    routes=_routes,
    methods=("GET",),
    cases=_CASES,
    make_error_headers=error_headers,
    begin=Answering,
    aside=aside,
    resume=_resume,
    resumes=number_known,
    numbering=Numbering(_counts, lambda known: int(known) if known else None, goes_on=False),
)
