"""What the Gemini API asks of a request, and how it says what is wrong: its statuses, details and named errors.

The laws of this module: a status has one name, and a name one status; every sentence is ours, names and types are the
vendor's. Keys may be in camelCase and in snake_case, as protocol buffers take them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import parse_qs

from testbed.dialects._answers import Answer, Asked, Case, read_object, to_json
from testbed.dialects._schema import (
    Check,
    Path,
    Record,
    What,
    Wrong,
    anything,
    array,
    boolean,
    integer,
    mapping,
    number,
    one_of,
    text,
    values,
)
from testbed.script import Quirk

MODEL = "testbed-1"
PROMPT_TOKENS = 8

_PATH = re.compile(r"/v1(?:beta|alpha)?/(?:models|tunedModels)/[^/:]+:(streamGenerateContent|countTokens)")
_MODELS = re.compile(r"/v1(?:beta|alpha)?/models(?:/([^/:]+))?")

# --- statuses and errors ----------------------------------------------------------------------------------------------

# The vendor's name of each status (google.rpc.Code); where several statuses share a name, the first is its own.
STATUSES: Mapping[int, str] = MappingProxyType(
    {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        409: "ABORTED",
        429: "RESOURCE_EXHAUSTED",
        499: "CANCELLED",
        500: "INTERNAL",
        501: "UNIMPLEMENTED",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
        405: "UNIMPLEMENTED",
        408: "DEADLINE_EXCEEDED",
        413: "INVALID_ARGUMENT",
        415: "INVALID_ARGUMENT",
        422: "INVALID_ARGUMENT",
        502: "UNAVAILABLE",
        529: "UNAVAILABLE",
    }
)
_BY_NAME: Mapping[str, int] = MappingProxyType(
    {
        **{name: status for status, name in reversed(tuple(STATUSES.items()))},
        "FAILED_PRECONDITION": 400,
        "OUT_OF_RANGE": 400,
        "ALREADY_EXISTS": 409,
        "DATA_LOSS": 500,
        "UNKNOWN": 500,
    }
)
_TYPE = "type.googleapis.com/google.rpc."


def status_of(name: str) -> int:
    """The number of a status that is named; an unknown name is a fault of the server."""
    return _BY_NAME.get(name, 500)


def error(case: Case) -> dict[str, object]:
    """Spell an error: number, sentence, name, and the details that belong to it."""
    name = case.kind or STATUSES.get(case.status, "UNKNOWN")
    fields: dict[str, object] = {"code": case.status, "message": case.message, "status": name}
    details = _details(case)
    return {"error": {**fields, "details": details} if details else fields}


def _details(case: Case) -> list[object]:
    if case.status == 429:
        asked = next((value for name, value in case.headers if name.lower() == "retry-after"), "1")
        quota = {"quotaMetric": "testbed/requests", "quotaId": case.code or "RequestsPerMinute", "quotaValue": "60"}
        return [
            {"@type": _TYPE + "QuotaFailure", "violations": [quota]},
            {"@type": _TYPE + "RetryInfo", "retryDelay": f"{asked}s"},
        ]
    if case.param:
        violation = {"field": case.param, "description": case.message}
        return [{"@type": _TYPE + "BadRequest", "fieldViolations": [violation]}]
    if case.code:
        reason = {"reason": case.code, "domain": "googleapis.com", "metadata": {"service": "testbed"}}
        return [{"@type": _TYPE + "ErrorInfo", **reason}]
    return []


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "context-length": Case(400, "the input has 9000 tokens, and this model takes 8192 at most"),
        "invalid-key": Case(400, "the API key is wrong", code="API_KEY_INVALID"),
        "region": Case(400, "this place is not served", kind="FAILED_PRECONDITION"),
        "unauthenticated": Case(401, "the request has no credentials that hold", code="ACCESS_TOKEN_EXPIRED"),
        "no-key": Case(403, "the request names no caller: it needs an API key"),
        "key-blocked": Case(403, "the key may not use this service", code="API_KEY_SERVICE_BLOCKED"),
        "model-not-found": Case(404, "this model does not exist, or does not stream"),
        "too-large": Case(413, "the body of the request is too large"),
        "rate-limit": Case(
            429, "the limit of requests per minute is reached: try again in 7s", code="RequestsPerMinute"
        ),
        "quota": Case(429, "the quota of the day is used up: see plan and billing", code="RequestsPerDay"),
        "cancelled": Case(499, "the caller has cancelled the request"),
        "server-error": Case(500, "the server met an error"),
        "bad-gateway": Case(502, "the gateway got no right answer from the server behind it"),
        "overloaded": Case(503, "the model has too much to do: try again later"),
        "deadline": Case(504, "the deadline passed before the request was done"),
    }
)

# --- requests ---------------------------------------------------------------------------------------------------------


def _either(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Record:
    snake = {_SNAKE.sub(lambda found: "_" + found[0].lower(), key): check for key, check in optional.items()}
    return Record(required, {**optional, **snake})


_SNAKE = re.compile(r"[A-Z]")

_PART_KINDS = (
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
    "videoMetadata",
    "mediaResolution",
    "mediaProcessing",
    "partMetadata",
    "audioTranscription",
    "speechMetadata",
    "documentMetadata",
    "spreadsheetMetadata",
    "audioMetadata",
)
_PART = _either(
    {}, {"text": text(), "thought": boolean, "thoughtSignature": text(), **dict.fromkeys(_PART_KINDS, mapping)}
)
_CONTENT = Record({"parts": array(_PART, least=1)}, {"role": one_of("user", "model", "function", "")})
_GENERATION = _either(
    {},
    {
        "candidateCount": integer(least=1, most=8),
        "maxOutputTokens": integer(least=1),
        "temperature": number(least=0, most=2),
        "topP": number(least=0, most=1),
        "topK": number(least=1),
        "seed": integer(),
        "logprobs": integer(least=0, most=20),
        "stopSequences": array(text(least=1), most=5),
        "responseLogprobs": boolean,
        "responseMimeType": text(),
        "responseModalities": array(text()),
        "presencePenalty": number(),
        "frequencyPenalty": number(),
        "mediaResolution": text(),
        "enableEnhancedCivicAnswers": boolean,
        **dict.fromkeys(
            (
                "responseSchema",
                "responseJsonSchema",
                "speechConfig",
                "thinkingConfig",
                "imageConfig",
                "audioTranscriptionConfig",
                "responseFormat",
                "routingConfig",
            ),
            anything,
        ),
    },
)
_BODY = _either(
    {"contents": array(_CONTENT, least=1)},
    {
        "model": text(),
        "systemInstruction": Record({"parts": array(_PART)}, {"role": anything}),
        "generationConfig": _GENERATION,
        "tools": array(mapping),
        "toolConfig": mapping,
        "safetySettings": array(mapping),
        "cachedContent": text(least=1),
        "continuationToken": text(),
        "labels": values(text()),
        "serviceTier": text(),
        "store": boolean,
    },
)


def serves(path: str) -> bool:
    """Whether this is the path of an answer that is streamed, for whatever model."""
    found = _PATH.fullmatch(path)
    return found is not None and found[1] == "streamGenerateContent"


def validate(asked: Asked) -> Case | None:
    """Find what is wrong with a request for an answer."""
    # Without alt=sse the vendor answers with an array, and a script says one of the two.
    if Quirk.JSON_ARRAY not in asked.quirks and parse_qs(asked.query).get("alt") != ["sse"]:
        return Case(400, "the query has no alt=sse: this script is a stream of events", param="alt")
    body = read_object(asked.body)
    if isinstance(body, str):
        return Case(400, body)
    wrong = _BODY((), body)
    return _invalid(wrong) if wrong else None


def _invalid(wrong: Wrong) -> Case:
    where = _spelled(wrong.path)
    if wrong.what is What.UNKNOWN:
        parent = f" at {_spelled(wrong.path[:-1])}" if wrong.path[:-1] else ""
        return Case(400, f"the field {wrong.path[-1]}{parent} is not known", param=_spelled(wrong.path[:-1]) or where)
    return Case(400, f"the field {where} {wrong.sentence}", param=where)


def _spelled(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


# --- what is asked beside an answer -----------------------------------------------------------------------------------


def _model(name: str) -> dict[str, object]:
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": name,
        "inputTokenLimit": 8192,
        "outputTokenLimit": 8192,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def aside(asked: Asked) -> Answer | None:
    """Answer which models there are, and how many tokens a prompt has. Every model that is asked for exists."""
    listed, action = _MODELS.fullmatch(asked.path), _PATH.fullmatch(asked.path)
    if asked.method == "GET" and listed:
        return Answer(200, to_json(_model(listed[1]) if listed[1] else {"models": [_model(MODEL)]}))
    if asked.method == "POST" and action and action[1] == "countTokens":
        return Answer(200, to_json({"totalTokens": PROMPT_TOKENS}))
    return None
