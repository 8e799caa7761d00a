"""What the dialects of one vendor share: its errors, the headers they come with, and its list of models.

The law of this module: every sentence is ours; types, codes and names of parameters are the vendor's, because clients
decide by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed.dialects._answers import Answer, Asked, Case, read_object, to_json
from testbed.dialects._schema import Check, Path, What, Wrong

MODEL = "testbed-1"
CREATED = 1_700_000_000  # a constant: an answer must not depend on the day
REQUEST_ID = "req_testbed"

INVALID = "invalid_request_error"

# The type and the code that the vendor gives with each status; anything else is a server_error without a code.
USUAL: Mapping[int, tuple[str, str | None]] = MappingProxyType(
    {
        400: (INVALID, None),
        401: (INVALID, "invalid_api_key"),
        403: (INVALID, "insufficient_permissions"),
        404: (INVALID, "model_not_found"),
        405: (INVALID, "method_not_supported"),
        408: (INVALID, "request_timeout"),
        409: (INVALID, "conflict"),
        413: (INVALID, "request_too_large"),
        415: (INVALID, "unsupported_content_type"),
        422: (INVALID, "unprocessable_entity"),
        429: ("requests", "rate_limit_exceeded"),
        502: ("server_error", "bad_gateway"),
        503: ("server_error", "overloaded"),
        504: ("server_error", "gateway_timeout"),
    }
)

# What each way of being wrong is called.
CODES: Mapping[What, str] = MappingProxyType(
    {
        What.MISSING: "missing_required_parameter",
        What.UNKNOWN: "unknown_parameter",
        What.TYPE: "invalid_type",
        What.VALUE: "invalid_value",
        What.INTEGER_LOW: "integer_below_min_value",
        What.INTEGER_HIGH: "integer_above_max_value",
        What.NUMBER_LOW: "decimal_below_min_value",
        What.NUMBER_HIGH: "decimal_above_max_value",
        What.TEXT_SHORT: "empty_string",
        What.TEXT_LONG: "string_above_max_length",
        What.ARRAY_SHORT: "empty_array",
        What.ARRAY_LONG: "array_above_max_length",
    }
)


def error(case: Case) -> dict[str, object]:
    """Spell an error. A type that was asked for by name is the code too: clients differ in which of them they show."""
    usual = USUAL.get(case.status, ("server_error", None))
    kind, code = (case.kind, case.kind) if case.kind else usual
    # An empty code stands for none at all.
    code = code if case.code is None else case.code or None
    return {"error": {"message": case.message, "type": kind, "param": case.param, "code": code}}


def error_headers(_status: int) -> tuple[tuple[str, str], ...]:
    """What stands in the head of every error."""
    return (("x-request-id", REQUEST_ID), ("openai-version", "2020-10-01"), ("openai-processing-ms", "7"))


def spelled(path: Path) -> str:
    """Spell the place of a parameter: ``messages[0].content``."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return parts.removeprefix(".")


def invalid(wrong: Wrong) -> Case:
    """Describe what is wrong with a parameter."""
    where = spelled(wrong.path)
    return Case(400, f"the parameter {where} {wrong.sentence}", code=CODES[wrong.what], param=where)


def check_body(asked: Asked, check: Check) -> Case | None:
    """Check a JSON body: the error to answer with, or None."""
    value = read_object(asked.body)
    if isinstance(value, str):
        return Case(400, value)
    wrong = check((), value)
    return invalid(wrong) if wrong else None


_LIMITS = (
    ("retry-after", "1"),
    ("retry-after-ms", "1000"),
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-limit-tokens", "150000"),
    ("x-ratelimit-remaining-requests", "0"),
    ("x-ratelimit-remaining-tokens", "0"),
    ("x-ratelimit-reset-requests", "1s"),
    ("x-ratelimit-reset-tokens", "1s"),
)
_NEVER = (("x-should-retry", "false"),)

CASES: Mapping[str, Case] = MappingProxyType(
    {
        "context-length": Case(
            400,
            "this model takes 8192 tokens at most, and the messages have 9000: make the messages shorter",
            code="context_length_exceeded",
            param="messages",
        ),
        "stream-unsupported": Case(
            400,
            "the organization is not verified, so this model cannot be streamed",
            code="unsupported_value",
            param="stream",
        ),
        "parameter-unsupported": Case(
            400,
            "this model does not take max_tokens; it takes max_completion_tokens",
            code="unsupported_parameter",
            param="max_tokens",
        ),
        "content-filter": Case(
            400, "the prompt was stopped by the filter of contents", code="content_filter", param="prompt"
        ),
        "bad-json": Case(400, "the body of the request could not be parsed as JSON"),
        "no-key": Case(401, "no API key was given: it belongs in an Authorization header, behind Bearer", code=""),
        # Clients tell it from other invalid requests by these words.
        "invalid-key": Case(401, "Incorrect API key provided"),
        "org-not-verified": Case(403, "the organization must be verified before it can use this model", code=""),
        "region": Case(
            403, "this country is not served", kind="request_forbidden", code="unsupported_country_region_territory"
        ),
        "model-not-found": Case(404, "this model does not exist, or the key has no access to it"),
        "timeout": Case(408, "the request took too long to arrive"),
        "conflict": Case(409, "another request holds the resource"),
        "too-large": Case(413, "the body of the request is too large"),
        "content-type": Case(415, "the content type must be application/json"),
        "unprocessable": Case(422, "the request was understood and cannot be followed"),
        "rate-limit": Case(429, "the limit of requests per minute is reached: try again in 1s", headers=_LIMITS),
        "token-limit": Case(
            429,
            "the limit of tokens per minute is reached: try again in 1s",
            kind="tokens",
            code="rate_limit_exceeded",
            headers=_LIMITS,
        ),
        "quota": Case(429, "the quota is used up: see plan and billing", kind="insufficient_quota", headers=_NEVER),
        "server-error": Case(500, "the server had an error while it worked on the request"),
        "bad-gateway": Case(502, "the gateway got no right answer from the server behind it"),
        "overloaded": Case(503, "the engine has too much to do: try again later"),
        "gateway-timeout": Case(504, "the gateway waited too long for the server behind it"),
        "site-overloaded": Case(529, "the site has too much to do: try again later", code="overloaded"),
    }
)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "testbed"}


def aside(asked: Asked) -> Answer | None:
    """Answer what clients of this vendor ask at start: which models there are. Every model that is asked for exists."""
    where, _, name = asked.path.removeprefix("/v1/").partition("/")
    if asked.method != "GET" or not asked.path.startswith("/v1/") or where != "models":
        return None
    return Answer(200, to_json(_model(name) if name else {"object": "list", "data": [_model(MODEL)]}))
