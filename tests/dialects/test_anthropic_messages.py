"""Messages: blocks of every kind by the SDK's own types and accumulator, refusals, errors, and strict requests."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from testbed.dialects import DIALECTS, QUIRKS, Asked
from testbed.dialects._anthropic_request import REQUEST
from testbed.script import (
    Arguments,
    Body,
    Citation,
    Comment,
    DialectName,
    Done,
    Failure,
    Finish,
    Framing,
    Head,
    Open,
    Ping,
    Quirk,
    Refusal,
    Script,
    SplitEvery,
    Step,
    Text,
    Thinking,
    ToolCall,
)
from testbed.sse import Event, Parser
from tests.dialects.speaking import BOUND, Speaker, speaking
from tests.dialects.typed import keys_of, listed, typed

MESSAGES = DIALECTS[DialectName.ANTHROPIC_MESSAGES]
EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)

# Shrinking asks again and again, and each time over a socket: what fails is shown as it was drawn.
OVER_A_SOCKET = settings(
    derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)

# --- what is drawn ----------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NOISE: st.SearchStrategy[Step] = st.sampled_from([Ping(), Comment("c")])


@st.composite
def tool_calls(draw: st.DrawFn) -> list[Step]:
    """A tool call with its arguments in pieces, between which only what is no content may stand."""
    text = json.dumps(draw(st.dictionaries(WORDS, WORDS | st.integers(-9, 9), max_size=2)), ensure_ascii=False)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    between = draw(st.lists(NOISE, max_size=1))
    call = ToolCall(draw(WORDS), draw(st.sampled_from(["", "toolu_x"])))
    return [call, Arguments(pieces[0]), *between, *map(Arguments, pieces[1:])]


@st.composite
def answers(draw: st.DrawFn) -> tuple[Step, ...]:
    """A clean answer: the opening, content of every kind, the finish, the end."""
    step: st.SearchStrategy[Step] = st.one_of(
        st.builds(Text, WORDS), st.builds(Thinking, WORDS), st.builds(Refusal, WORDS), st.builds(Citation, WORDS), NOISE
    )
    single = step.map(lambda one: [one])
    content: list[Step] = [one for some in draw(st.lists(single | tool_calls(), max_size=7)) for one in some]
    reason = draw(st.sampled_from(["", "end_turn", "max_tokens", "stop_sequence", "pause_turn"]))
    return (Open(), *content, Finish(reason), Done())


def events_of(steps: Iterable[Step], quirks: Iterable[Quirk] = ()) -> tuple[Event, ...]:
    """What the reference parser reads of the steps."""
    encoded = MESSAGES.encode(tuple(steps), tuple(quirks))
    return Parser().feed(b"".join(data for step in encoded for data in step))


def typed_events(steps: Iterable[Step]) -> list[RawMessageStreamEvent]:
    """The events as the SDK's types, validated strictly. It skips pings before it types them."""
    return [EVENT.validate_json(event.data, strict=True) for event in events_of(steps) if event.type != "ping"]


def accumulated(events: Iterable[RawMessageStreamEvent]) -> Any:
    """Let the SDK's own accumulator make a message of events."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


# One block: its type, what it says, and the sources or the name that come with it.
Block = tuple[str, Any, Any]


def spoken(steps: Iterable[Step]) -> list[Block]:
    """The blocks that the steps say, without their bytes."""
    blocks: list[list[Any]] = []
    for step in steps:
        kind = {Text: "text", Citation: "text", Thinking: "thinking", ToolCall: "tool_use"}.get(type(step))
        if kind is not None and (isinstance(step, ToolCall) or not blocks or blocks[-1][0] != kind):
            blocks.append([kind, "", []])
        if isinstance(step, (Text, Thinking)):
            blocks[-1][1] += step.text
        elif isinstance(step, Citation):
            blocks[-1][2].append((step.title, step.url))
        elif isinstance(step, ToolCall):
            blocks[-1][2] = step.name
        elif isinstance(step, Arguments):
            blocks[-1][1] += step.json
    return [(kind, json.loads(said or "{}") if kind == "tool_use" else said, more) for kind, said, more in blocks]


def heard(message: Any) -> list[Block]:
    """The blocks of the SDK's message, in the same form."""
    found: list[Block] = []
    for block in message.content:
        if block.type == "text":
            found.append(("text", block.text, [(one.title, one.url) for one in block.citations or []]))
        elif block.type == "thinking":
            assert block.signature
            found.append(("thinking", block.thinking, []))
        else:
            found.append(("tool_use", block.input, block.name))
    return found


def assert_heard(steps: tuple[Step, ...], message: Any) -> None:
    """Everything that the steps say is in the message: blocks, refusal, reason and counts."""
    assert heard(message) == spoken(steps)
    ids = [block.id for block in message.content if block.type == "tool_use" and block.id != "toolu_x"]
    assert len(set(ids)) == len(ids)
    refused = [step.text for step in steps if isinstance(step, Refusal)]
    assert (message.stop_details.explanation if message.stop_details else None) == (
        "".join(refused) if refused else None
    )
    (finish,) = (step for step in steps if isinstance(step, Finish))
    called = any(isinstance(step, ToolCall) for step in steps)
    assert message.stop_reason == finish.reason or ("refusal" if refused else "tool_use" if called else "end_turn")
    assert (message.stop_sequence is None) is (message.stop_reason != "stop_sequence")
    tokens = sum(isinstance(step, (Text, Thinking, Refusal, Arguments)) for step in steps)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (8, tokens)


# --- the vendor's types -----------------------------------------------------------------------------------------------


def unknown_fields(value: object) -> set[str]:
    """The names of what the SDK's types do not know, however deep it is."""
    if isinstance(value, list):
        return {name for one in value for name in unknown_fields(one)}
    if not isinstance(value, BaseModel):
        return set()
    known = {name for field in type(value).model_fields for name in unknown_fields(getattr(value, field))}
    return known | set(value.model_extra or {})


@settings(deadline=None)
@given(answers())
def test_every_event_is_of_the_sdks_union(steps: tuple[Step, ...]) -> None:
    """Invariant: validated strictly and written again each event is itself, and its name is its type."""
    for event in events_of(steps):
        data = json.loads(event.data)
        assert event.type == data["type"]
        if event.type == "ping":
            assert data == {"type": "ping"}
            continue
        value = EVENT.validate_json(event.data, strict=True)
        assert value.model_dump(mode="json", exclude_unset=True) == data
        assert unknown_fields(value) == set()


@settings(deadline=None)
@given(answers())
def test_the_accumulator_loses_nothing(steps: tuple[Step, ...]) -> None:
    """Invariant: an answer in order is accepted by the SDK's accumulator, which then has all that was said."""
    assert MESSAGES.violations(steps) == ()
    assert_heard(steps, accumulated(typed_events(steps)))


@settings(deadline=None)
@given(answers())
def test_blocks_stand_one_behind_the_other(steps: tuple[Step, ...]) -> None:
    """Invariant: a block is started once with the next index, only then has deltas, and is stopped before the next."""
    open_block, following = None, 0
    names = [event.type for event in events_of(steps)]
    for event in events_of(steps):
        data = json.loads(event.data)
        if event.type == "content_block_start":
            assert (open_block, data["index"]) == (None, following)
            open_block, following = following, following + 1
        elif event.type == "content_block_delta":
            assert data["index"] == open_block
        elif event.type == "content_block_stop":
            assert data["index"] == open_block
            open_block = None
        elif event.type == "message_delta":
            assert open_block is None
    assert [name for name in names if not name.startswith(("content_block", "ping"))] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


ANY_STEP: st.SearchStrategy[Step] = st.sampled_from(
    [Open(), Done(), Finish(), ToolCall("a"), Arguments("{}"), Text("x"), Thinking("z"), Citation("c"), Ping()]
)


@settings(deadline=None)
@given(st.lists(ANY_STEP, max_size=12))
def test_what_the_order_rules_allow_the_accumulator_accepts(drawn: list[Step]) -> None:
    """Invariant: steps in any order, cut before the first that our rules call wrong, are understood without loss."""
    in_order = [length for length in range(len(drawn) + 1) if not MESSAGES.violations(drawn[:length])]
    steps = [step for step in drawn[: in_order[-1]] if not isinstance(step, Arguments)]
    events = typed_events(steps)
    if events:
        message = accumulated(events)
        assert [block[0] for block in heard_so_far(message)] == [block[0] for block in spoken(steps)]


def heard_so_far(message: Any) -> list[tuple[str, str]]:
    return [(block.type, "") for block in message.content]


@pytest.mark.parametrize("step", [Text("a"), Thinking("a"), ToolCall("f"), Finish(), Done()])
def test_what_the_accumulator_refuses_our_rules_call_wrong(step: Step) -> None:
    """Nothing may come before the start of the message: the SDK raises, and the order says why."""
    assert len(MESSAGES.violations((step,))) == 1
    with pytest.raises(RuntimeError, match='before "message_start"'):
        accumulated(typed_events((step,)))


def test_arguments_follow_their_call() -> None:
    """A block of text closes the call, so a piece of arguments behind it has no place."""
    assert MESSAGES.violations((Open(), ToolCall("f"), Arguments("{"), Ping(), Arguments("}"), Finish(), Done())) == ()
    for between in (Text("a"), Thinking("a"), Citation("a")):
        (violation,) = MESSAGES.violations((Open(), ToolCall("f"), Arguments("{"), between, Arguments("}")))
        assert violation == "step 4 (arguments): a piece of arguments follows its tool call"


def test_a_block_of_thinking_is_signed_when_it_ends() -> None:
    """The signature is the last delta of its block, wherever the block ends."""
    for behind in (Text("b"), ToolCall("f"), Finish()):
        events = [json.loads(event.data) for event in events_of((Open(), Thinking("a"), Thinking("b"), behind))]
        kinds = [event.get("delta", {}).get("type", event["type"]) for event in events]
        start = ["message_start", "content_block_start", "thinking_delta", "thinking_delta"]
        assert kinds[:6] == [*start, "signature_delta", "content_block_stop"]


# --- over a socket ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def asking(*scripts: Script) -> Iterator[tuple[Speaker, anthropic.Anthropic]]:
    """Serve the scripts and give a client that asks for them."""
    with (
        speaking(*scripts) as server,
        anthropic.Anthropic(base_url=server.root, api_key="k", timeout=BOUND, max_retries=0) as sdk,
    ):
        yield server, sdk


def stream(sdk: anthropic.Anthropic) -> list[RawMessageStreamEvent]:
    """Read one answer to its end."""
    with sdk.messages.create(**MESSAGES.request("testbed-1")) as events:  # type: ignore[call-overload]
        return list(events)


@settings(OVER_A_SOCKET, max_examples=10)
@given(answers(), st.sets(st.sampled_from([Quirk.CRLF, Quirk.CR, Quirk.NO_SPACE]), max_size=1))
def test_the_sdk_reads_ten_drawn_answers(steps: tuple[Step, ...], quirks: set[Quirk]) -> None:
    """Invariant: whatever is said in order is read over a socket without loss."""
    with asking(Script(MESSAGES.name, (Head(), *steps), quirks=tuple(quirks))) as (server, sdk):
        assert_heard(steps, accumulated(stream(sdk)))
    assert server.refused == []


CLEAN: dict[str, tuple[Step, ...]] = {
    "text": (Text("Grüße, "), Ping(), Text("世界")),
    "tool calls": (Text("a"), ToolCall("f"), Arguments('{"a":'), Arguments("1}"), ToolCall("g"), Arguments("{}")),
    "thinking": (Thinking("hm "), Thinking("so"), Text("a"), ToolCall("f"), Thinking("again"), Text("b")),
    "citations": (Text("as said"), Citation("A", "https://a.example/"), Text(" and"), Citation("B")),
    "refusal": (Text("well"), Refusal("I will "), Refusal("not")),
    "nothing": (),
}


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("framing", Framing)
def test_the_sdks_own_helper_reads_every_kind(name: str, framing: Framing) -> None:
    """The SDK's streaming helper ends with everything that was said."""
    steps = (Open(), *CLEAN[name], Finish(), Done())
    with asking(Script(MESSAGES.name, (Head(framing=framing), *steps), (SplitEvery(7),))) as (_, sdk):
        request: Any = {key: value for key, value in MESSAGES.request("testbed-1").items() if key != "stream"}
        with sdk.messages.stream(**request) as events:
            text = "".join(events.text_stream)
            message = events.get_final_message()
    assert_heard(steps, message)
    assert text == "".join(step.text for step in steps if isinstance(step, Text))


def test_an_answer_goes_back_with_the_next_request() -> None:
    """What the SDK made of blocks of every kind is accepted as a part of the next request, with the tool's result."""
    steps = (Open(), Thinking("hm"), Text("a"), Citation("A"), ToolCall("f", "t1"), Arguments("{}"), Finish(), Done())
    with asking(Script(MESSAGES.name, (Head(), *steps))) as (server, sdk):
        request: Any = {key: value for key, value in MESSAGES.request("testbed-1").items() if key != "stream"}
        with sdk.messages.stream(**request) as events:
            message = events.get_final_message()
        result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "4"}]}
        turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        with sdk.messages.stream(**{**request, "messages": [*request["messages"], *turns]}) as events:
            assert isinstance(events.get_final_message(), Message)
    assert server.refused == []
    assert len(server.played) == 2


# --- quirks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quirk", [quirk for quirk, note in QUIRKS.items() if MESSAGES.name in note.dialects])
def test_the_sdk_copes_with_a_quirk(quirk: Quirk) -> None:
    """A quirk changes the spelling and not the text that the caller sees, even where it costs the first event."""
    steps = (Head(), Open(), Text("a"), Ping(), Text("b"), Finish(), Done())
    with asking(Script(MESSAGES.name, steps, quirks=(quirk,))) as (_, sdk):
        deltas = [event.delta for event in stream(sdk) if event.type == "content_block_delta"]
    assert "".join(delta.text for delta in deltas if delta.type == "text_delta") == "ab"


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["overloaded_error", "api_error", "rate_limit_error", "timeout_error"])
def test_an_error_inside_the_stream_has_the_vendors_shape(kind: str) -> None:
    """The event is named error, its type is the kind, and the SDK raises it as the provider's."""
    (event,) = events_of((Failure(kind, "no"),))
    error = {"type": kind, "message": "no"}
    assert (event.type, json.loads(event.data)) == (
        "error",
        {"type": "error", "error": error, "request_id": "req_testbed"},
    )
    script = Script(MESSAGES.name, (Head(), Open(), Text("a"), Failure(kind, "no")))
    with asking(script) as (_, sdk), pytest.raises(anthropic.APIStatusError) as raised:
        stream(sdk)
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"] == error


def test_the_sdk_understands_every_named_case() -> None:
    """Status and type are where the SDK looks for them, and the head comes with them."""
    answers = [MESSAGES.answer(case) for case in MESSAGES.cases.values()]
    heads = [Head(one.status, one.content_type, one.headers) for one in answers]
    scripts = [Script(MESSAGES.name, (head, Body(one.body))) for head, one in zip(heads, answers, strict=True)]
    with asking(*scripts) as (_, sdk):
        for case, answer in zip(MESSAGES.cases.values(), answers, strict=True):
            with pytest.raises(anthropic.APIStatusError) as raised:
                stream(sdk)
            error = raised.value
            assert (error.status_code, error.request_id) == (case.status, "req_testbed")
            assert error.body == json.loads(answer.body)
            assert set(answer.headers) <= set(error.response.headers.items())


def test_what_is_asked_beside_messages() -> None:
    """Models are listed and found, and a prompt is counted."""
    with asking(Script(MESSAGES.name, (Head(),))) as (server, sdk):
        assert [model.id for model in sdk.models.list()] == ["testbed-1"]
        assert sdk.models.retrieve("any-name").id == "any-name"
        turns: Any = [{"role": "user", "content": "hi"}]
        assert sdk.messages.count_tokens(model="m", messages=turns).input_tokens == 8
    assert [asked.path for asked in server.asides] == ["/v1/models", "/v1/models/any-name", "/v1/messages/count_tokens"]


# --- requests ---------------------------------------------------------------------------------------------------------


def problem(changes: dict[str, Any], headers: dict[str, str] | None = None) -> str:
    """The message that answers the dialect's own request with these changes; None as a value takes a key out."""
    request = {key: value for key, value in {**MESSAGES.request("m"), **changes}.items() if value is not None}
    return problem_of(json.dumps(request).encode(), headers or {})


def problem_of(body: bytes, headers: dict[str, str]) -> str:
    sent = {"content-type": "application/json", **headers}
    answer = MESSAGES.refuse(Asked("POST", MESSAGES.path, "", sent, body))
    if answer is None:
        return ""
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["type"]) == (400, "invalid_request_error")
    return str(error["message"])


# Sent in the head, not in the body.
HEADERS = {"workspace_id", "user_profile_id"}
# The sampling that older releases of the SDK have.
OLDER = {"temperature", "top_k", "top_p"}


def test_every_parameter_of_the_sdk_is_known() -> None:
    """The checks and the SDK's type have the same keys, but for those of older releases."""
    known = REQUEST.required.keys() | REQUEST.optional.keys()
    assert known | HEADERS == keys_of(MessageCreateParamsStreaming) | OLDER | HEADERS


def user(content: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def called(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": one, "name": "f", "input": {}} for one in ids]}


def answered(*ids: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": one, "content": "4"} for one in ids]}


def ids_in(turn: dict[str, Any], kind: str, key: str) -> list[str]:
    blocks = turn["content"] if isinstance(turn["content"], list) else []
    return sorted({block[key] for block in blocks if block["type"] == kind})


def in_agreement(request: dict[str, Any]) -> dict[str, Any]:
    """Add what the vendor wants beside what the types allow alone: calls of tools and their results go together."""
    turns: list[dict[str, Any]] = []
    for turn in request["messages"]:
        results, calls = ids_in(turn, "tool_result", "tool_use_id"), ids_in(turn, "tool_use", "id")
        turns += [*([called(*results)] if results else []), turn, *([answered(*calls)] if calls else [])]
    return {**request, "messages": turns}


REQUESTS = typed(
    MessageCreateParamsStreaming,
    {
        "model": st.just("testbed-1"),
        "max_tokens": st.integers(4096, 8192),
        "budget_tokens": st.integers(1024, 2048),
        "workspace_id": st.just("w"),
        "user_profile_id": st.just("u"),
        # The type allows any object, the vendor only the schema of one.
        "input_schema": st.sampled_from([{"type": "object"}, {"type": "object", "properties": {"a": {}}}]),
    },
).map(in_agreement)


def test_whatever_the_sdks_types_allow_is_accepted() -> None:
    """Each key, member of a union and literal of the SDK's types, however deep, is accepted, its numbers in range."""
    exact = {"max_tokens": 4096, "budget_tokens": 1024, "input_schema": {"type": "object"}}
    requests = listed(MessageCreateParamsStreaming, exact)
    assert len(requests) > 200
    for request in requests:
        body = {key: value for key, value in in_agreement(request).items() if key not in HEADERS}
        assert problem_of(json.dumps(body).encode(), {}) == "", request


@settings(OVER_A_SOCKET, max_examples=20)
@given(st.lists(REQUESTS, min_size=5, max_size=5))
def test_what_the_sdk_builds_is_accepted(requests: list[dict[str, Any]]) -> None:
    """Invariant: the bytes and the head that the SDK makes of a request are accepted."""
    with asking(Script(MESSAGES.name, (Head(), Open(), Finish(), Done()))) as (server, sdk), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of parameters that the SDK would rather not send
        for request in requests:
            with sdk.messages.create(**request) as events:
                assert len(list(events)) == 3
    assert server.refused == []
    assert len(server.played) == len(requests)


TOOL = {"name": "f", "input_schema": {"type": "object"}}


def test_tool_calls_are_answered() -> None:
    """Every call has its result in the next message, and no result is without a call."""
    calling, result = called("c"), answered("c")
    assert problem({"messages": [*user("hi"), calling, result]}) == ""
    assert problem({"messages": [*user("hi"), calling, result, calling, result]}) == ""
    unknown = (
        "messages.0.content.0.tool_result.tool_use_id: the value is 'c'; it must be a tool_use of the message before"
    )
    assert problem({"messages": [result]}) == unknown
    alone = "messages.1: the value has tool_use blocks without a tool_result right behind: c"
    assert problem({"messages": [*user("hi"), calling]}) == alone
    assert problem({"messages": [*user("hi"), calling, *user("well?"), result]}) == alone


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "model: Field required"),
        ({"model": 7}, "model: the value is an integer; it must be a string"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": -1}, "max_tokens: the value is -1; it must be at least 0"),
        ({"max_tokens": "1"}, "max_tokens: the value is a string; it must be an integer"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "messages: the value has 0 items; it must have at least 1"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        (
            {"messages": [{"role": "bot", "content": "a"}]},
            "messages.0.role: the value is 'bot'; it must be one of 'user', 'assistant', 'system'",
        ),
        (
            {"messages": [{"role": "user", "content": "a", "name": "b"}]},
            "messages.0.name: Extra inputs are not permitted",
        ),
        ({"messages": user(7)}, "messages.0.content: the value is an integer; it must be a string or an array"),
        ({"messages": user([{"type": "text"}])}, "messages.0.content.0.text.text: Field required"),
        (
            {"messages": user([{"type": "text", "text": "a", "b": 1}])},
            "messages.0.content.0.text.b: Extra inputs are not permitted",
        ),
        ({"messages": user([{"type": "image"}])}, "messages.0.content.0.image.source: Field required"),
        ({"messages": user([{"type": "tool_result"}])}, "messages.0.content.0.tool_result.tool_use_id: Field required"),
        ({"temperature": 1.5}, "temperature: the value is 1.5; it must be at most 1"),
        ({"top_p": -0.5}, "top_p: the value is -0.5; it must be at least 0"),
        ({"stop_sequences": "a"}, "stop_sequences: the value is a string; it must be an array"),
        ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{**TOOL, "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 10}},
            "thinking.enabled.budget_tokens: the value is 10; it must be at least 1024",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 4096}},
            "max_tokens: the value is 4096; it must be more than thinking.budget_tokens, which is 4096",
        ),
        ({"stream": False}, "stream: the value is false; it must be true: this server only streams"),
        ({"response_format": {}}, "response_format: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_parameter_is_named_by_its_path(changes: dict[str, object], message: str) -> None:
    """The vendor's path, in which a union's member is named, and what is wrong there."""
    assert problem(changes) == message


def test_the_vendors_own_tools_and_betas_are_its_own_affair() -> None:
    """A tool that is named with its day is taken as it is; with a beta header there may be more parameters."""
    beta = {"anthropic-beta": "mcp-client-2025-04-04"}
    assert problem({"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}]}) == ""
    assert problem({"mcp_servers": []}) == "mcp_servers: Extra inputs are not permitted"
    assert problem({"mcp_servers": []}, beta) == ""
    assert problem({"max_tokens": None}, beta) == "max_tokens: Field required"
