"""What MCP clients ask around a tool call, and what a server of their revision answers or refuses.

The laws of this module: a request is read once, into a message or the error that answers it; the revision 2025-11-25
has a handshake, a session and GET, the revision 2026-07-28 (quirk `stateless`) has none of them and says the same in
each request's headers and `_meta`; what is refused is refused with the status and code that the revision names.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Union
from urllib.parse import quote, unquote

import msgspec

from testbed.dialects._answers import Answer, Asked, Case, read_object, to_json
from testbed.script import Quirk

PATH = "/mcp"
SESSION = "testbed-session"
TOOL = "say"

HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_REVISION = "2026-07-28"

SERVER_INFO = {"name": "testbed", "version": "1"}
CAPABILITIES: dict[str, object] = {"tools": {}, "logging": {}}

# JSON-RPC 2.0, and the three that MCP 2026-07-28 adds.
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
HEADER_MISMATCH, UNSUPPORTED_REVISION = -32020, -32022

_META = "io.modelcontextprotocol/"
_VERSION_KEY, _CAPABILITIES_KEY = f"{_META}protocolVersion", f"{_META}clientCapabilities"
LOG_LEVEL_KEY = f"{_META}logLevel"

Id = Union[int, str]

# Stands in an event id where a token would: no JSON, and no shorter than one.
_NO_TOKEN = "-"


class Cursor(NamedTuple):
    """An event id: which request the stream answers, its progress token, and the number of the event in the stream."""

    id: Id
    token: Id | None
    number: int

    def __str__(self) -> str:
        return "/".join([_name(self.id), _NO_TOKEN if self.token is None else _name(self.token), str(self.number)])


def _name(value: Id) -> str:
    return quote(to_json(value), safe="")


def read_cursor(text: str) -> Cursor | None:
    """Read an event id back; None if it is none of ours.

    >>> read_cursor(str(Cursor("a/1", 2, 7)))
    Cursor(id='a/1', token=2, number=7)
    """
    parts = text.split("/")
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit() and len(parts[2]) < 10):
        return None
    identity, token = _id_in(parts[0]), _id_in(parts[1])
    if identity is None or (token is None and parts[1] != _NO_TOKEN):
        return None
    return Cursor(identity, token, int(parts[2]))


def _id_in(name: str) -> Id | None:
    try:
        value = msgspec.json.decode(unquote(name))
    except (msgspec.DecodeError, UnicodeError):
        return None
    return as_id(value)


def as_id(value: object) -> Id | None:
    """A JSON-RPC id or a progress token: a string or a whole number; None for anything else."""
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


class Message(NamedTuple):
    """A JSON-RPC message that is well formed. `id` None: a notification; `method` "": a client's response."""

    method: str
    id: Id | None
    params: Mapping[str, Any]

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the caller said beside the parameters."""
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def token(self) -> Id | None:
        """The progress token."""
        return as_id(self.meta.get("progressToken"))


def case(status: int, code: int, message: str, *, id: Id | None = None, kind: str = "") -> Case:
    """An error as data: `param` holds the id of the request that it answers, as JSON."""
    return Case(status, message, kind, str(code), None if id is None else to_json(id))


def is_stateless(asked: Asked) -> bool:
    """Whether the server that is asked speaks 2026-07-28 only."""
    return Quirk.STATELESS in asked.quirks


def read_message(asked: Asked) -> Message | Case:
    """Read the message in the body of a POST."""
    value = read_object(asked.body)
    if isinstance(value, str):
        not_json = value.startswith("the body is not JSON")
        return case(400, PARSE_ERROR if not_json else INVALID_REQUEST, value)
    identity, method, params = as_id(value.get("id")), value.get("method", ""), value.get("params", {})
    if value.get("jsonrpc") != "2.0":
        return case(400, INVALID_REQUEST, 'the body\'s jsonrpc must be "2.0"', id=identity)
    if "id" in value and identity is None:
        return case(400, INVALID_REQUEST, f"the body's id is {to_json(value['id'])}; it must be a string or an integer")
    if not isinstance(method, str) or (not method and not {"result", "error"} & set(value)):
        return case(400, INVALID_REQUEST, "the body is neither a request, a notification nor a response", id=identity)
    if not isinstance(params, dict):
        return case(400, INVALID_PARAMS, "the body's params must be an object", id=identity)
    return Message(method, identity, params)


# --- what is refused --------------------------------------------------------------------------------------------------

# A check looks at a request whose message has been read, and says what is wrong with it or None.
_Check = Callable[[Asked, Message], Union[Case, None]]


def reject(asked: Asked) -> Case | None:
    """Find the first thing that a server of the request's revision would refuse."""
    if asked.path != PATH:
        return case(404, INVALID_REQUEST, f"the path is {asked.path}; mcp is served at {PATH}")
    allowed = ("POST",) if is_stateless(asked) else ("POST", "GET", "DELETE")
    if asked.method not in allowed:
        sentence = f"the method is {asked.method}; {PATH} takes {', '.join(allowed)}"
        return case(405, INVALID_REQUEST, sentence)._replace(headers=(("Allow", ", ".join(allowed)),))
    if asked.method == "POST":
        return _reject_post(asked)
    return _session(asked, "") or (_reject_get(asked) if asked.method == "GET" else None)


def _reject_get(asked: Asked) -> Case | None:
    if not _accepts(asked, "text/event-stream"):
        return case(406, INVALID_REQUEST, "the request must accept text/event-stream")
    known = asked.headers.get("last-event-id", "")
    if known and read_cursor(known) is None:
        return case(400, INVALID_REQUEST, f"the Last-Event-ID is {known!r}; this server gave no event that id")
    return None


def _reject_post(asked: Asked) -> Case | None:
    if not _accepts(asked, "application/json", "text/event-stream"):
        return case(406, INVALID_REQUEST, "the request must accept application/json and text/event-stream")
    content_type = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        return case(415, INVALID_REQUEST, f"the content type is {content_type!r}; it must be application/json")
    message = read_message(asked)
    if isinstance(message, Case):
        return message
    checks = _STATELESS_CHECKS if is_stateless(asked) else _SESSION_CHECKS
    return next((found for check in checks if (found := check(asked, message)) is not None), None)


def _accepts(asked: Asked, *types: str) -> bool:
    # A missing field accepts everything (RFC 9110, section 12.5.1), but the specification demands that both be listed.
    listed = {part.partition(";")[0].strip().lower() for part in asked.headers.get("accept", "").split(",")}
    return "*/*" in listed or all(one in listed or one.partition("/")[0] + "/*" in listed for one in types)


def _in_session(asked: Asked, message: Message) -> Case | None:
    return None if message.method == "initialize" else _session(asked, message.id)


def _session(asked: Asked, identity: Id | None) -> Case | None:
    session, revision = asked.headers.get("mcp-session-id"), asked.headers.get("mcp-protocol-version")
    if revision is not None and revision not in HANDSHAKE_REVISIONS:
        sentence = f"the MCP-Protocol-Version is {revision!r}; this server speaks {', '.join(HANDSHAKE_REVISIONS)}"
        return case(400, INVALID_REQUEST, sentence, id=identity)
    if session is None:
        return case(400, INVALID_REQUEST, "the Mcp-Session-Id of the initialize answer is missing", id=identity)
    if session != SESSION:
        return case(404, INVALID_REQUEST, "there is no session of that Mcp-Session-Id", id=identity)
    return None


def _named_tool(_asked: Asked, message: Message) -> Case | None:
    name, arguments = message.params.get("name"), message.params.get("arguments", {})
    if message.method != "tools/call":
        return None
    if not isinstance(name, str) or not name:
        return case(400, INVALID_PARAMS, f"params.name is {to_json(name)}; it must name a tool", id=message.id)
    if not isinstance(arguments, dict):
        return case(400, INVALID_PARAMS, "params.arguments must be an object", id=message.id)
    return None


def _enveloped(asked: Asked, message: Message) -> Case | None:
    if message.id is None:
        return None  # the revision defines no headers for notifications
    missing = [key for key in (_VERSION_KEY, _CAPABILITIES_KEY) if key not in message.meta]
    if missing:
        return case(400, INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}", id=message.id)
    revision = message.meta[_VERSION_KEY]
    for header, value in (("MCP-Protocol-Version", revision), *_mirrored(message)):
        if _decoded(asked.headers.get(header.lower())) != value:
            sentence = f"the header {header} is {asked.headers.get(header.lower())!r}; the body says {value!r}"
            return case(400, HEADER_MISMATCH, sentence, id=message.id)
    if revision != STATELESS_REVISION:
        sentence = f"the revision is {revision}; this server speaks {STATELESS_REVISION}"
        return case(400, UNSUPPORTED_REVISION, sentence, id=message.id, kind=str(revision))
    return None


def _mirrored(message: Message) -> tuple[tuple[str, object], ...]:
    """The fields of the body that the headers repeat."""
    name = message.params.get("name")
    named = (("Mcp-Name", name),) if message.method == "tools/call" and isinstance(name, str) else ()
    return (("Mcp-Method", message.method), *named)


def _decoded(value: str | None) -> str | None:
    # A name that no header can carry comes as =?base64?...?=.
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _known(asked: Asked, message: Message) -> Case | None:
    if message.id is None or not message.method or message.method in {*_results(asked), "tools/call"}:
        return None
    # Before 2026-07-28 an unknown method is an answer like any other; since then it is a status of its own.
    status = 404 if is_stateless(asked) else 200
    return case(status, METHOD_NOT_FOUND, f"there is no method {message.method!r} here", id=message.id)


_SESSION_CHECKS: tuple[_Check, ...] = (_in_session, _known, _named_tool)
_STATELESS_CHECKS: tuple[_Check, ...] = (_enveloped, _known, _named_tool)


# --- what plays no attempt --------------------------------------------------------------------------------------------


def aside(asked: Asked) -> Answer | None:
    """Answer the handshake, the lists, pings and notifications; the rest plays an attempt or is refused."""
    if (refused := reject(asked)) is not None:
        return _no_probe(asked, refused)
    if asked.method == "DELETE":
        return Answer(204, "")
    if asked.method == "GET":
        return None if asked.headers.get("last-event-id") else _no_stream()
    message = read_message(asked)
    return None if isinstance(message, Case) else _answer(asked, message)


def _no_probe(asked: Asked, refused: Case) -> Answer | None:
    """Answer a client that asks whether the server speaks 2026-07-28: that is how one finds out, and no mistake."""
    if is_stateless(asked) or asked.method != "POST" or asked.path != PATH:
        return None
    message = read_message(asked)
    if isinstance(message, Case) or message.method != "server/discover":
        return None
    return Answer(refused.status, to_json(error(refused)))


def _no_stream() -> Answer:
    # The specification lets a server offer no stream of its own.
    body = error(case(405, INVALID_REQUEST, "this server opens no stream of its own; GET resumes with Last-Event-ID"))
    return Answer(405, to_json(body), (("Allow", "POST, DELETE"),))


def _answer(asked: Asked, message: Message) -> Answer | None:
    if message.id is None or not message.method:
        return Answer(202, "")
    result = _results(asked).get(message.method)
    if result is None:
        return None
    headers = (("Mcp-Session-Id", SESSION),) if message.method == "initialize" else ()
    return Answer(200, to_json({"jsonrpc": "2.0", "id": message.id, "result": result(message)}), headers)


def _initialized(message: Message) -> dict[str, object]:
    wanted = message.params.get("protocolVersion")
    revision = wanted if wanted in HANDSHAKE_REVISIONS else HANDSHAKE_REVISIONS[-1]
    return {"protocolVersion": revision, "capabilities": CAPABILITIES, "serverInfo": SERVER_INFO}


_TOOLS = [
    {
        "name": TOOL,
        "description": "Says what the script of the testbed says, token by token as progress, then as a whole.",
        "inputSchema": {"type": "object", "properties": {"model": {"type": "string"}}},
    }
]

_Results = Mapping[str, Callable[[Message], dict[str, object]]]

_SESSION_RESULTS: _Results = MappingProxyType(
    {
        "initialize": _initialized,
        "ping": lambda _message: {},
        "logging/setLevel": lambda _message: {},
        "tools/list": lambda _message: {"tools": _TOOLS},
    }
)

# What every result of 2026-07-28 holds; nothing here is worth caching.
_COMPLETE: dict[str, object] = {"resultType": "complete"}
_UNCACHED: dict[str, object] = {**_COMPLETE, "ttlMs": 0, "cacheScope": "private"}

_STATELESS_RESULTS: _Results = MappingProxyType(
    {
        "server/discover": lambda _message: {
            **_UNCACHED,
            "supportedVersions": [STATELESS_REVISION],
            "capabilities": CAPABILITIES,
            "_meta": {f"{_META}serverInfo": SERVER_INFO},
        },
        "tools/list": lambda _message: {**_UNCACHED, "tools": _TOOLS},
    }
)


def _results(asked: Asked) -> _Results:
    return _STATELESS_RESULTS if is_stateless(asked) else _SESSION_RESULTS


# --- errors -----------------------------------------------------------------------------------------------------------

_CODES_BY_STATUS: Mapping[int, int] = MappingProxyType({404: INVALID_REQUEST, 422: INVALID_PARAMS})


def error(case: Case) -> dict[str, object]:
    """Put an error of a status into JSON-RPC; `data` holds the status, which a caller of the SDKs sees nowhere else."""
    code = int(case.code) if case.code else _code_of(case.status)
    data: dict[str, object] = {"status": case.status}
    if code == UNSUPPORTED_REVISION:
        data = {"supported": [STATELESS_REVISION], "requested": case.kind}
    elif case.kind:
        data["type"] = case.kind
    identity = None if case.param is None else msgspec.json.decode(case.param)
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": case.message, "data": data}}


def _code_of(status: int) -> int:
    return _CODES_BY_STATUS.get(status, INTERNAL_ERROR if status >= 500 else INVALID_REQUEST)
