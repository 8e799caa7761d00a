"""MCP: its messages by the SDK's own types, its ids and resumption, its handshake, and the SDK over a socket."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx2
import mcp
import mcp_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.client.streamable_http import streamable_http_client
from mcp_types import methods
from mcp_types.jsonrpc import jsonrpc_message_adapter

from testbed.adapters import load
from testbed.dialects import DIALECTS, Answer, Asked
from testbed.dialects._mcp_requests import Cursor, read_cursor
from testbed.errors import UsageError
from testbed.ports import Runtime
from testbed.program import Write, compile_script, layout
from testbed.script import (
    Body,
    Comment,
    CutBody,
    DialectName,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Ping,
    Quirk,
    Script,
    SplitEvery,
    Step,
    Terminal,
    Text,
    Thinking,
)
from testbed.sse import Event, Parser
from testbed.trace import Ended, Raised
from tests.adapters.support import ListRecorder, drive_once, target_of
from tests.dialects.drawing import drawn
from tests.dialects.speaking import BOUND, Speaker, speaking

MCP = DIALECTS[DialectName.MCP]
STATELESS = (Quirk.STATELESS,)
ERAS = pytest.mark.parametrize("quirks", [(), STATELESS], ids=["2025-11-25", "2026-07-28"])
REVISIONS = {(): "2025-11-25", STATELESS: "2026-07-28"}
TOKENS: tuple[Step, ...] = (
    Open(),
    Text("Grüße, "),
    Comment("hi"),
    Text("世界\u2028"),
    Ping(),
    Text(""),
    Text("\x00\r\n"),
)
WHOLE: tuple[Step, ...] = (*TOKENS, Done())


def clean(*steps: Step, **fields: Any) -> Script:
    """Make a script that sends its body whole and in the clear."""
    return Script(MCP.name, (Head(framing=Framing.CLOSE), *steps), **fields)


def body(script: Script) -> bytes:
    """Return the body of a script."""
    return b"".join(op.data[slice(*op.payload)] for op in compile_script(script) if isinstance(op, Write))


def events(script: Script) -> tuple[Event, ...]:
    """Parse the body as a client does."""
    return Parser().feed(body(script))


HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-session-id": "testbed-session",
    "mcp-protocol-version": "2025-11-25",
}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def asked(
    method: str = "tools/call", params: dict[str, Any] | None = None, id: object = 2, drop: str = "", **headers: str
) -> Asked:
    """Make a request of 2025-11-25; `headers` with underscores for dashes."""
    message = {"jsonrpc": "2.0", "id": id, "method": method, "params": {"name": "say"} if params is None else params}
    message = {key: value for key, value in message.items() if value is not None}
    given_ = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    given_.pop(drop, None)
    return Asked("POST", "/mcp", "", given_, json.dumps(message).encode())


def modern(method: str = "tools/call", params: dict[str, Any] | None = None, id: object = 2, **headers: str) -> Asked:
    """Make a request of 2026-07-28."""
    params = {"name": "say", **(params or {})} if method == "tools/call" else dict(params or {})
    params["_meta"] = {**META, **params.get("_meta", {})}
    mirrored = {"mcp_protocol_version": "2026-07-28", "mcp_method": method}
    if method == "tools/call":
        mirrored["mcp_name"] = params["name"]
    request = asked(method, params, id, drop="mcp-session-id", **{**mirrored, **headers})
    return request._replace(quirks=frozenset(STATELESS))


def resuming(known: str, **headers: str) -> Asked:
    """Ask for the rest of a stream."""
    return Asked("GET", "/mcp", "", {**HEADERS, "accept": "text/event-stream", "last-event-id": known, **headers}, b"")


def meta(token: object) -> dict[str, Any]:
    """Parameters with a progress token."""
    return {"name": "say", "_meta": {"progressToken": token}}


# --- spelling ---------------------------------------------------------------------------------------------------------


def test_a_call_is_answered_event_by_event() -> None:
    """The bytes of a whole answer: the opening event primes, each message has the next id, the result says all."""
    frame = 'event: message\nid: 2/2/%d\ndata: {"jsonrpc":"2.0",%s}\n\n'
    progress = '"method":"notifications/progress","params":{"progressToken":2,"progress":%d,"message":"%s"}'
    steps = (Open(), Text("a"), Ping(), Text("b"), Finish(), Done())
    assert [b"".join(step).decode() for step in MCP.encode(steps)] == [
        "id: 2/2/0\nretry: 500\ndata: \n\n",
        frame % (1, progress % (1, "a")),
        ": keep-alive\n\n",
        frame % (2, progress % (2, "b")),
        "",
        frame % (3, '"id":2,"result":{"content":[{"type":"text","text":"ab"}],"isError":false}'),
    ]


def test_without_a_state_there_are_no_ids() -> None:
    """2026-07-28: no opening event, no ids, and a result that says that it is one."""
    encoded = MCP.encode((Open(), Text("a"), Done()), STATELESS)
    assert encoded[0] == ()
    assert b"id: " not in b"".join(map(b"".join, encoded))
    assert b'"result":{"resultType":"complete","content":' in encoded[2][0]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("-32042", {"code": -32042, "message": "oh"}),
        ("invalid_params", {"code": -32602, "message": "oh"}),
        ("overloaded_error", {"code": -32603, "message": "oh", "data": {"type": "overloaded_error"}}),
        ("", {"code": -32603, "message": "oh", "data": {"type": ""}}),
    ],
)
def test_a_failure_is_an_error_response(kind: str, error: dict[str, Any]) -> None:
    """A number is a code, a name of JSON-RPC stands for its own, anything else is said beside an internal error."""
    (event,) = events(clean(Failure(kind, "oh")))
    assert json.loads(event.data) == {"jsonrpc": "2.0", "id": 2, "error": error}


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (Thinking("x"), r"step 0 \(thinking\): reasoning is a word of chat"),
        (Finish("length"), r"step 0 \(finish\): mcp has no word for why a tool has finished: leave out the reason"),
        (Text("x", choice=1), r"step 0 \(text\): choice is 1"),
    ],
)
def test_what_a_tool_call_cannot_say_is_refused(step: Step, sentence: str) -> None:
    """By step and rule."""
    with pytest.raises(UsageError, match=sentence):
        MCP.encode((step,))


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((Text("a"), Open()), "step 1 (open): the event that primes the client comes first, and once"),
        ((Done(), Text("a")), "step 1 (text): a notification stands before the response"),
        ((Done(), Done()), "step 1 (done): the response comes once, and ends the stream"),
        ((Failure("x"), Done()), "step 1 (done): the response comes once, and ends the stream"),
        ((Message("a"),), "step 0 (message): an event that is no JSON-RPC message is no part of mcp"),
    ],
)
def test_what_is_out_of_order_is_named(steps: tuple[Step, ...], sentence: str) -> None:
    """One sentence with the step and the rule."""
    assert MCP.violations(steps) == (sentence,)
    assert MCP.terminal(Done()) is Terminal.HARD


# --- properties -------------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
talk = st.lists(st.one_of(st.builds(Text, words), st.just(Ping()), st.builds(Comment, words)), max_size=8)
ends = st.one_of(st.just(Done()), st.builds(Failure, words.map(lambda word: f"x{word}"), words))
answers = st.tuples(talk, ends).map(lambda parts: (Open(), *parts[0], parts[1]))
ids = st.one_of(st.integers(-(2**53), 2**53), words)


@ERAS
@settings(deadline=None)
@given(steps=answers)
def test_a_clean_answer_is_valid_by_the_sdks_types(quirks: tuple[Quirk, ...], steps: tuple[Step, ...]) -> None:
    """Invariant: what breaks no rule of ours is notifications of the revision, then one response with all the text."""
    script = clean(*steps, quirks=quirks)
    assert not MCP.violations(steps)
    # An event without data is no message: it only gives the first id.
    *notes, last = [jsonrpc_message_adapter.validate_json(event.data) for event in events(script) if event.data]
    told = ""
    for note in notes:
        assert isinstance(note, mcp_types.JSONRPCNotification)
        params = methods.parse_server_notification(note.method, REVISIONS[quirks], note.params).params
        assert isinstance(params, mcp_types.ProgressNotificationParams)
        told += params.message or ""
    assert told == script.text
    if isinstance(steps[-1], Failure):
        assert isinstance(last, mcp_types.JSONRPCError)
    else:
        assert isinstance(last, mcp_types.JSONRPCResponse)
        result = methods.parse_server_result("tools/call", REVISIONS[quirks], last.result)
        assert isinstance(result, mcp_types.CallToolResult)
        assert [block.text for block in result.content if isinstance(block, mcp_types.TextContent)] == [script.text]


@settings(deadline=None)
@given(answers, ids, ids)
def test_the_answer_names_its_request(steps: tuple[Step, ...], identity: int | str, token: int | str) -> None:
    """Invariant: id and token are the request's, whatever they are; ids are unique and rise; no body gets shorter."""
    script = clean(*steps)
    addressed = MCP.resume(script, asked(params=meta(token), id=identity))
    messages = [json.loads(event.data) for event in events(addressed) if event.data]
    assert [message["params"]["progressToken"] for message in messages[:-1]] == [token] * (len(messages) - 1)
    assert messages[-1]["id"] == identity
    numbers = [int(event.id.rpartition("/")[2]) for event in events(addressed)]
    assert numbers == sorted(numbers)
    assert len(layout(addressed).events) == len(layout(script).events)
    assert len(body(addressed)) >= len(body(script))


@settings(deadline=None)
@given(answers, ids, ids, st.data())
def test_a_resumed_stream_is_the_rest(
    steps: tuple[Step, ...], identity: int | str, token: int | str, data: st.DataObject
) -> None:
    """Invariant: cut behind any event and resumed by its id alone, both parts together are the stream, byte by byte."""
    script = clean(*steps, resumes=True)
    whole = MCP.resume(script, asked(params=meta(token), id=identity))
    spans = [span for span in layout(whole).events if not isinstance(script.steps[span.step], (Ping, Comment))]
    cut = data.draw(st.sampled_from(spans)).body[1]
    known = Parser()
    known.feed(body(whole)[:cut])
    rest = MCP.resume(script, resuming(known.last_event_id))
    assert body(whole)[:cut] + body(rest) == body(whole)
    # Every step keeps its place, so that the trace of the rest speaks of the plan's steps.
    assert len(rest.steps) == len(script.steps)


@ERAS
@settings(deadline=None)
@given(texts=st.lists(words, max_size=5))
def test_a_call_without_a_token_is_told_in_another_voice(quirks: tuple[Quirk, ...], texts: list[str]) -> None:
    """Invariant: logs, or comments where nobody asked for logs; the result says all, and no step gets shorter."""
    script = clean(Open(), *map(Text, texts), Done(), quirks=quirks)
    request = modern() if quirks else asked()
    addressed = MCP.resume(script, request)
    messages = [json.loads(event.data) for event in events(addressed) if event.data]
    assert messages[-1]["result"]["content"][0]["text"] == script.text
    logs = [message["params"]["data"] for message in messages[:-1]]
    assert logs == ([] if quirks else texts)
    for span, plain in zip(layout(addressed).events, layout(script).events, strict=True):
        assert span.body[1] - span.body[0] >= plain.body[1] - plain.body[0]


def test_logs_are_heard_where_they_are_asked_for() -> None:
    """2026-07-28: a log level in the request."""
    request = modern(params={"_meta": {"io.modelcontextprotocol/logLevel": "info"}})
    note = json.loads(events(MCP.resume(clean(*WHOLE, quirks=STATELESS), request))[0].data)
    assert (note["method"], note["params"]["data"]) == ("notifications/message", "Grüße, ")


# --- ids --------------------------------------------------------------------------------------------------------------


def test_a_script_for_the_first_call_is_sent_as_it_is() -> None:
    """The request that SDKs make behind their handshake is the one that a script is spelled for."""
    script = clean(*WHOLE)
    assert MCP.resume(script, asked(params=meta(2))) is script
    assert MCP.resume(script, asked(params=meta(3), id=3)) is not script


def test_what_is_left_out_takes_its_faults_along() -> None:
    """A cut at a byte of the script strikes the same event of the rest; one in what is left out does not happen."""
    script = clean(*WHOLE, resumes=True)
    spans = layout(script).events
    last = spans[-1].body
    for at, left in ((last[0] + 5, 5), (spans[1].body[1] - 1, last[1] - last[0])):
        cut = clean(*WHOLE, resumes=True, faults=(CutBody(at, Ending.FIN),))
        known = f"2/2/{len([span for span in spans if isinstance(script.steps[span.step], (Open, Text))]) - 1}"
        # What is left is the result, and the keep-alive is no event of its own.
        assert len(body(MCP.resume(cut, resuming(known)))) == left


@pytest.mark.parametrize("text", ["", "2", "2/2", "2/2/x", "2/2/2/2", "x/2/2", "2/x/2", "1.5/2/2", "2/2/9999999999"])
def test_an_id_of_another_server_is_none_of_ours(text: str) -> None:
    """Whatever it is, it is described and never raised; our own read back as they were."""
    assert read_cursor(text) is None
    for cursor in (Cursor("a/b\u2028", None, 0), Cursor(-1, "", 12)):
        assert read_cursor(str(cursor)) == cursor


def test_a_script_that_does_not_resume_goes_on() -> None:
    """It says all that it has, and its ids follow the one that the client names."""
    rest = events(MCP.resume(clean(Text("c"), Done()), resuming("7/7/4")))
    assert [event.id for event in rest] == ["7/7/5", "7/7/6"]
    assert json.loads(rest[-1].data)["id"] == 7


# --- requests ---------------------------------------------------------------------------------------------------------

INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "x", "version": "1"},
}


def answered(request: Asked) -> tuple[Answer, dict[str, Any]]:
    """The aside for a request, and its result by the SDK's types."""
    answer = MCP.aside(request)
    assert answer is not None
    return answer, json.loads(answer.body) if answer.body else {}


def test_the_handshake_of_2025() -> None:
    """The revision that the client asks for, capabilities, a session; then a notification is accepted."""
    answer, said = answered(asked("initialize", INITIALIZE, 0, drop="mcp-session-id"))
    result = methods.parse_server_result("initialize", "2025-06-18", said["result"])
    assert isinstance(result, mcp_types.InitializeResult)
    assert (said["id"], result.protocol_version) == (0, "2025-06-18")
    assert answer.headers == (("Mcp-Session-Id", "testbed-session"),)
    _, said = answered(asked("initialize", {**INITIALIZE, "protocolVersion": "1999-01-01"}))
    assert said["result"]["protocolVersion"] == "2025-11-25"
    assert answered(asked("notifications/initialized", {}, None))[0] == Answer(202, "")
    assert answered(asked("ping", {}))[1]["result"] == {}
    assert answered(asked("tools/list", {}))[1]["result"]["tools"][0]["name"] == "say"


def test_what_is_asked_by_other_methods_in_2025() -> None:
    """No stream of the server's own, an end to the session; with the id of an event GET plays an attempt."""
    get = resuming("2/2/1")
    assert (MCP.aside(get), MCP.refuse(get)) == (None, None)
    assert answered(get._replace(headers={**HEADERS, "accept": "text/event-stream"}))[0].status == 405
    assert answered(get._replace(method="DELETE"))[0] == Answer(204, "")


def test_2026_has_discovery_and_no_handshake() -> None:
    """What is found out parses by the revision's types."""
    _, said = answered(modern("server/discover"))
    result = methods.parse_server_result("server/discover", "2026-07-28", said["result"])
    assert isinstance(result, mcp_types.DiscoverResult)
    assert result.supported_versions == ["2026-07-28"]
    listed = answered(modern("tools/list"))[1]["result"]
    assert isinstance(methods.parse_server_result("tools/list", "2026-07-28", listed), mcp_types.ListToolsResult)


def test_a_client_that_asks_a_server_of_2025_for_2026_is_told() -> None:
    """It is a question and no mistake: an aside, with an error that makes a client fall back to the handshake."""
    answer, said = answered(modern("server/discover")._replace(quirks=frozenset()))
    assert (answer.status, said["error"]["code"]) == (400, -32600)


def test_calls_play_attempts() -> None:
    """In both revisions, a name that no header can carry included."""
    for request in (asked(), modern(), modern(params={"name": "ß"}, mcp_name="=?base64?w58=?=")):
        assert (MCP.aside(request), MCP.refuse(request)) == (None, None)


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        (asked()._replace(path="/"), 404, -32600, "the path is /; mcp is served at /mcp"),
        (asked()._replace(method="PUT"), 405, -32600, "the method is PUT; /mcp takes POST, GET, DELETE"),
        (asked(accept="application/json"), 406, -32600, "the request must accept application/json and text/event-"),
        (asked(drop="accept"), 406, -32600, "the request must accept"),
        (
            asked(content_type="text/plain"),
            415,
            -32600,
            "the content type is 'text/plain'; it must be application/json",
        ),
        (asked()._replace(body=b"{"), 400, -32700, "the body is not JSON"),
        (asked()._replace(body=b"[]"), 400, -32600, "the body is a JSON list; it must be an object"),
        (asked()._replace(body=b'{"id":1,"method":"ping"}'), 400, -32600, 'the body\'s jsonrpc must be "2.0"'),
        (asked(id=1.5), 400, -32600, "the body's id is 1.5; it must be a string or an integer"),
        (asked(method=""), 400, -32600, "the body is neither a request, a notification nor a response"),
        (asked(drop="mcp-session-id"), 400, -32600, "the Mcp-Session-Id of the initialize answer is missing"),
        (asked(mcp_session_id="x"), 404, -32600, "there is no session of that Mcp-Session-Id"),
        (
            asked(mcp_protocol_version="x"),
            400,
            -32600,
            "the MCP-Protocol-Version is 'x'; this server speaks 2024-11-05",
        ),
        (asked(params={}), 400, -32602, "params.name is null; it must name a tool"),
        (asked(params={"name": "say", "arguments": 1}), 400, -32602, "params.arguments must be an object"),
        (asked("resources/list"), 200, -32601, "there is no method 'resources/list' here"),
        (resuming("x"), 400, -32600, "the Last-Event-ID is 'x'; this server gave no event that id"),
        (resuming("2/2/2", accept="text/html"), 406, -32600, "the request must accept text/event-stream"),
        (modern()._replace(method="GET"), 405, -32600, "the method is GET; /mcp takes POST"),
        (modern("initialize"), 404, -32601, "there is no method 'initialize' here"),
        (asked()._replace(quirks=frozenset(STATELESS)), 400, -32602, "params._meta lacks io.modelcontextprotocol/prot"),
        (modern(mcp_method="x"), 400, -32020, "the header Mcp-Method is 'x'; the body says 'tools/call'"),
        (modern(mcp_name="x"), 400, -32020, "the header Mcp-Name is 'x'; the body says 'say'"),
        (modern(mcp_name="=?base64?x?="), 400, -32020, "the header Mcp-Name is '=?base64?x?='; the body says 'say'"),
        (modern(mcp_protocol_version="x"), 400, -32020, "the header MCP-Protocol-Version is 'x'; the body says '2026-"),
    ],
)
def test_a_wrong_request_gets_the_protocols_error(request_: Asked, status: int, code: int, words: str) -> None:
    """Status and code of the revision, a sentence, and the status once more for callers who see nothing else."""
    answer = MCP.refuse(request_)
    assert answer is not None
    error = jsonrpc_message_adapter.validate_json(answer.body)
    assert isinstance(error, mcp_types.JSONRPCError)
    assert (answer.status, error.error.code, error.error.data) == (status, code, {"status": status})
    assert error.error.message.startswith(words)
    assert MCP.aside(request_) is None


def test_an_unknown_revision_is_told_which_ones_there_are() -> None:
    """In the data of the error, by the SDK's type."""
    request = modern(
        params={"_meta": {**META, "io.modelcontextprotocol/protocolVersion": "x"}}, mcp_protocol_version="x"
    )
    answer = MCP.refuse(request)
    assert answer is not None
    error = json.loads(answer.body)["error"]
    assert error["code"] == -32022
    told = mcp_types.UnsupportedProtocolVersionErrorData.model_validate(error["data"])
    assert (told.supported, told.requested) == (["2026-07-28"], "x")


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=40), st.from_regex(rb'\{"jsonrpc":"2\.0","id":.{0,9},"params":.{0,20}\}')))
def test_no_body_makes_the_server_stumble(data: bytes) -> None:
    """Invariant: whatever comes is played, answered aside or refused in JSON-RPC."""
    for request in (asked(), modern()):
        sent = request._replace(body=data)
        refused = MCP.refuse(sent)
        assert refused is None or "error" in json.loads(refused.body)
        MCP.aside(sent)
        MCP.resume(clean(*WHOLE), sent)


# --- the SDK ----------------------------------------------------------------------------------------------------------


async def call(root: str, mode: str, seen: list[str], times: int = 1) -> list[str]:
    """Let the `mcp` package call the tool, and return the texts of its results; progress goes to `seen`."""

    async def show(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    async with (
        httpx2.AsyncClient(timeout=BOUND, trust_env=False) as http,
        mcp.Client(streamable_http_client(f"{root}/mcp", http_client=http), mode=mode) as api,
    ):
        found = [await api.call_tool(**MCP.request("testbed-1"), progress_callback=show) for _ in range(times)]
    return [block.text for result in found for block in result.content if isinstance(block, mcp_types.TextContent)]


def read(*scripts: Script, mode: str = "auto", times: int = 1) -> tuple[str, list[str], Speaker]:
    """Read the scripts with the SDK: what progress told, what the results say, and the server."""
    seen: list[str] = []
    with speaking(*scripts) as server:
        results = anyio.run(call, server.root, mode, seen, times)
    assert not server.refused
    return "".join(seen), results, server


@ERAS
@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("split", [(), (SplitEvery(1),)], ids=["whole", "byte-by-byte"])
def test_the_sdk_reads_a_clean_answer(
    quirks: tuple[Quirk, ...], framing: Framing, split: tuple[SplitEvery, ...]
) -> None:
    """It negotiates the revision by itself; progress and result both say the text."""
    script = Script(MCP.name, (Head(framing=framing), *WHOLE), split, quirks)
    told, results, server = read(script)
    assert (told, results) == (script.text, [script.text])
    assert [request.method for request in server.played] == ["POST"]
    (version,) = {request.headers["mcp-protocol-version"] for request in server.played}
    assert version == REVISIONS[quirks]


@pytest.mark.parametrize(("mode", "quirks"), [("legacy", ()), ("2026-07-28", STATELESS)])
def test_the_sdk_may_be_told_the_revision(mode: str, quirks: tuple[Quirk, ...]) -> None:
    """Then it asks for nothing before the handshake, or for nothing at all."""
    script = clean(*WHOLE, quirks=quirks)
    told, results, server = read(script, mode=mode)
    assert (told, results) == (script.text, [script.text])
    before = [json.loads(request.body)["method"] for request in server.asides if request.body]
    assert before[:1] == (["initialize"] if mode == "legacy" else ["tools/list"])


def test_the_sdk_resumes_where_it_was_cut() -> None:
    """By the id of the last event, over GET, as often as it takes; nothing is told twice and nothing is lost."""
    steps = (Open(), Text("a"), Text("b"), Text("c"), Done())
    at = layout(clean(*steps)).events[2].body[1]
    cut = clean(*steps, faults=(CutBody(at, Ending.FIN),))
    told, results, server = read(cut, clean(*steps, resumes=True))
    assert (told, results) == ("abc", ["abc"])
    played = [(request.method, request.headers.get("last-event-id")) for request in server.played]
    assert played == [("POST", None), ("GET", "3/3/2")]


@ERAS
def test_the_sdk_reads_drawn_answers(quirks: tuple[Quirk, ...]) -> None:
    """Ten answers of any text, in one session."""
    whole = st.builds(lambda steps: clean(Open(), *steps, Done(), quirks=quirks), talk)
    scripts = drawn(whole, 10)
    told, results, server = read(*scripts, times=len(scripts))
    assert results == [script.text for script in scripts]
    assert told == "".join(results)
    assert len(server.played) == len(scripts) >= 10


RUNTIMES = pytest.mark.parametrize("runtime", [Runtime.ASYNCIO, Runtime.TRIO])


def driven(script: Script, runtime: Runtime, **settings_: Any) -> ListRecorder:
    """Drive the adapter against a script."""
    recorder = ListRecorder()
    with speaking(script) as server:
        drive_once(load("mcp"), target_of(server.root, MCP.name, **settings_), runtime, recorder)
    return recorder


@RUNTIMES
@ERAS
def test_the_adapter_shows_the_text_once(runtime: Runtime, quirks: tuple[Quirk, ...]) -> None:
    """As it arrives, and not again when the result says it; what progress did not tell comes from the result."""
    recorder = driven(clean(*WHOLE, quirks=quirks), runtime)
    assert isinstance(recorder.end, Ended), recorder.end
    assert recorder.text == clean(*WHOLE).text


@RUNTIMES
@pytest.mark.parametrize(
    ("script", "classes", "code"),
    [
        (clean(*TOKENS, Failure("overloaded_error", "oh")), {"provider"}, "overloaded_error"),
        (clean(*TOKENS, quirks=STATELESS), {"incomplete"}, "-32000"),
        (clean(*TOKENS, End(Ending.RST), quirks=STATELESS), {"reset"}, "-32000"),
        (Script(MCP.name, (Head(content_type="text/html"), Body("<html>"))), {"protocol"}, "-32600"),
        (
            Script(MCP.name, (Head(503, "application/json"), Body(MCP.error_body(503, "", "busy")))),
            {"overloaded"},
            "-32603",
        ),
        (Script(MCP.name, (Head(502, "text/html"), Body("<html>"))), {"http_status"}, "-32603"),
    ],
    ids=["failure", "cut", "reset", "html", "busy", "gateway"],
)
def test_the_adapter_names_trouble(script: Script, classes: set[str], code: str, runtime: Runtime) -> None:
    """By the SDK's own code; what it does not tell apart is a set that holds the truth."""
    recorder = driven(script, runtime)
    assert isinstance(recorder.end, Raised)
    assert classes <= recorder.classes
    assert recorder.end.code == code


@RUNTIMES
def test_the_adapter_passes_time_outs_on(runtime: Runtime) -> None:
    """Silence in the stream of a server without resumption ends the call."""
    recorder = driven(clean(*TOKENS, End(Ending.OPEN), quirks=STATELESS), runtime, idle_timeout=0.2)
    assert "idle_timeout" in recorder.classes
    assert 150_000 < recorder.raised.t < 5_000_000


def test_a_text_that_is_said_many_times_over_is_said_so_to_every_call():
    """Whatever id and token a client asks with, it is given the same text."""
    script = Script(DialectName.MCP, (Head(), Open(), Text("a", times=3), Finish(), Done()))
    params = {"name": "x", "_meta": {"progressToken": 9}}
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}).encode()
    spelled = MCP.resume(script, Asked("POST", "/mcp", "", {}, body))
    assert spelled != script
    writes = [operation.data for operation in compile_script(spelled) if isinstance(operation, Write)]
    assert any(b'"message":"aaa"' in data for data in writes)
