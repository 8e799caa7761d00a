"""The errors of the messages API: types by status, the headers they come with, and named cases.

The law of this module: every sentence is ours, but for what clients look for in it; types and headers are the vendor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed.dialects._answers import Answer, Asked, Case, read_object, to_json

MODEL = "testbed-1"
REQUEST_ID = "req_testbed"
INPUT_TOKENS = 8

# The type that the vendor gives with each status; anything else is an api_error.
KINDS: Mapping[int, str] = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        405: "invalid_request_error",
        408: "timeout_error",
        409: "conflict_error",
        413: "request_too_large",
        415: "invalid_request_error",
        422: "invalid_request_error",
        429: "rate_limit_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)


def error(case: Case) -> dict[str, object]:
    """Spell an error, in the head's body and inside a stream alike."""
    kind = case.kind or KINDS.get(case.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": case.message}, "request_id": REQUEST_ID}


def error_headers(_status: int) -> tuple[tuple[str, str], ...]:
    """What stands in the head of every error."""
    return (("request-id", REQUEST_ID),)


_AGAIN = (("retry-after", "1"), ("x-should-retry", "true"))
_NEVER = (("x-should-retry", "false"),)


def _limits(kind: str) -> tuple[tuple[str, str], ...]:
    prefix = f"anthropic-ratelimit-{kind}"
    fields = (("limit", "60"), ("remaining", "0"), ("reset", "2030-01-01T00:00:00Z"))
    return (*_AGAIN, *((f"{prefix}-{name}", value) for name, value in fields))


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "context-length": Case(400, "prompt is too long: 200001 tokens > 200000 maximum"),
        "stream-unsupported": Case(400, "stream: this model cannot be streamed by this organization"),
        "credit": Case(400, "the credit balance is too low to use the API: see plans and billing", headers=_NEVER),
        "bad-json": Case(400, "the body of the request could not be parsed as JSON"),
        "no-key": Case(401, "x-api-key: the header is missing"),
        "invalid-key": Case(401, "invalid x-api-key"),
        "billing": Case(402, "there is a problem with the payment", headers=_NEVER),
        "org-not-verified": Case(403, "the organization must be verified before it can use this model"),
        "model-not-found": Case(404, "model: testbed-0"),
        "timeout": Case(408, "the request took too long to arrive"),
        "conflict": Case(409, "another request holds the resource"),
        "too-large": Case(413, "the body of the request is larger than the largest that is taken"),
        "content-type": Case(415, "the content type must be application/json"),
        "unprocessable": Case(422, "the request was understood and cannot be followed"),
        "rate-limit": Case(429, "the limit of requests per minute is reached", headers=_limits("requests")),
        "token-limit": Case(429, "the limit of input tokens per minute is reached", headers=_limits("input-tokens")),
        "quota": Case(429, "the usage limit of the organization is reached", headers=_NEVER),
        "server-error": Case(500, "Internal server error"),
        "bad-gateway": Case(502, "the gateway got no right answer from the server behind it"),
        "unavailable": Case(503, "the service is not available: try again later"),
        "gateway-timeout": Case(504, "the request took longer than an answer may take"),
        "overloaded": Case(529, "Overloaded", headers=(("x-should-retry", "true"),)),
    }
)


def _model(name: str) -> dict[str, object]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"}


def _models() -> dict[str, object]:
    return {"data": [_model(MODEL)], "has_more": False, "first_id": MODEL, "last_id": MODEL}


def aside(asked: Asked) -> Answer | None:
    """Answer what clients ask beside messages: which models there are (each that is named), how long a prompt is."""
    if asked.method == "POST" and asked.path == "/v1/messages/count_tokens":
        value = read_object(asked.body)
        if isinstance(value, str):
            case = Case(400, value)
            return Answer(case.status, to_json(error(case)), error_headers(case.status))
        return Answer(200, to_json({"input_tokens": INPUT_TOKENS}))
    where, _, name = asked.path.removeprefix("/v1/").partition("/")
    if asked.method != "GET" or not asked.path.startswith("/v1/") or where != "models":
        return None
    return Answer(200, to_json(_model(name) if name else _models()))
