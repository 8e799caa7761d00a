"""Chat completions: every kind of content by the SDK's own types and accumulator, quirks, and strict requests."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk, ParsedChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import BaseModel

from testbed.dialects import DIALECTS, QUIRKS, Asked
from testbed.dialects._openai_chat_request import REQUEST
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
from testbed.sse import Parser
from tests.dialects.speaking import BOUND, Speaker, speaking
from tests.dialects.typed import keys_of, listed, typed

CHAT = DIALECTS[DialectName.OPENAI_CHAT]
QUIET = (Quirk.USAGE_CHUNK, Quirk.OBFUSCATION, Quirk.CRLF, Quirk.NO_SPACE)

# Shrinking asks again and again, and each time over a socket: what fails is shown as it was drawn.
OVER_A_SOCKET = settings(
    derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)

# --- what is drawn ----------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NOISE: st.SearchStrategy[Step] = st.sampled_from([Ping(), Comment("c")])


@st.composite
def calls(draw: st.DrawFn, choices: int) -> list[Step]:
    """A tool call with its arguments in pieces, which other deltas may part."""
    text = json.dumps(draw(st.dictionaries(WORDS, WORDS | st.integers(-9, 9), max_size=2)), ensure_ascii=False)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    between: list[Step] = draw(st.lists(st.one_of(st.builds(Text, WORDS), NOISE), max_size=1))
    choice = draw(st.integers(0, choices - 1))
    call = ToolCall(draw(WORDS), draw(st.sampled_from(["", "call_x"])), choice)
    return [call, Arguments(pieces[0]), *between, *map(Arguments, pieces[1:])]


@st.composite
def answers(draw: st.DrawFn) -> tuple[Step, ...]:
    """A clean answer: the opening, content of every kind for one or two choices, a finish for each, the end."""
    choices = draw(st.integers(1, 2))
    step: st.SearchStrategy[Step] = st.one_of(
        st.builds(Text, WORDS, st.integers(0, choices - 1)),
        st.builds(Thinking, WORDS),
        st.builds(Refusal, WORDS),
        st.builds(Citation, WORDS),
        NOISE,
    )
    single = step.map(lambda one: [one])
    content: list[Step] = [step for some in draw(st.lists(single | calls(choices), max_size=6)) for step in some]
    reasons = st.sampled_from(["", "stop", "length", "content_filter"])
    ends = [Finish(draw(reasons), choice) for choice in draw(st.permutations(range(choices)))]
    return (Open(), *content, *ends, Done())


def chunks_of(steps: Iterable[Step], quirks: Iterable[Quirk] = ()) -> list[str]:
    """The data of each event but the last word."""
    encoded = CHAT.encode(tuple(steps), tuple(quirks))
    events = Parser().feed(b"".join(data for step in encoded for data in step))
    return [event.data for event in events if event.data != "[DONE]"]


def accumulated(chunks: Iterable[ChatCompletionChunk]) -> ParsedChatCompletion[Any]:
    """Let the SDK's own accumulator make a completion of chunks."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    return state.current_completion_snapshot


def spoken(steps: Iterable[Step]) -> dict[int, dict[str, Any]]:
    """What each choice says, from the steps and without their bytes."""
    said: dict[int, dict[str, Any]] = {}
    latest = 0

    def of(choice: int) -> dict[str, Any]:
        for one in range(choice + 1):
            said.setdefault(one, {"text": "", "thinking": "", "refusal": "", "cited": [], "calls": [], "reason": None})
        return said[choice]

    for step in steps:
        if isinstance(step, Text):
            of(step.choice)["text"] += step.text
        elif isinstance(step, Thinking):
            of(0)["thinking"] += step.text
        elif isinstance(step, Refusal):
            of(0)["refusal"] += step.text
        elif isinstance(step, Citation):
            of(0)["cited"].append((step.title, step.url))
        elif isinstance(step, ToolCall):
            latest = step.choice
            of(latest)["calls"].append([step.id, step.name, ""])
        elif isinstance(step, Arguments):
            of(latest)["calls"][-1][2] += step.json
        elif isinstance(step, Finish):
            of(step.choice)["reason"] = step.reason or ("tool_calls" if of(step.choice)["calls"] else "stop")
    return said


def heard(completion: ParsedChatCompletion[Any]) -> dict[int, dict[str, Any]]:
    """What each choice of the SDK's completion says, in the same form."""
    return {
        choice.index: {
            "text": choice.message.content,
            "thinking": getattr(choice.message, "reasoning_content", ""),
            "refusal": choice.message.refusal or "",
            "cited": [
                (one["url_citation"]["title"], one["url_citation"]["url"])
                if isinstance(one, dict)
                else (one.url_citation.title, one.url_citation.url)
                for one in choice.message.annotations or []
            ],
            "calls": [
                [call.id, call.function.name, call.function.arguments] for call in choice.message.tool_calls or []
            ],
            "reason": choice.finish_reason,
        }
        for choice in completion.choices
    }


def assert_heard(steps: tuple[Step, ...], completion: ParsedChatCompletion[Any]) -> None:
    """Everything that the steps say is in the completion; an id that was left to the dialect is some id."""
    wanted, found = spoken(steps), heard(completion)
    ids = [call[0] for choice in found.values() for call in choice["calls"] if call[0] != "call_x"]
    assert len(set(ids)) == len(ids)
    for choice, said in found.items():
        for call, want in zip(said["calls"], wanted[choice]["calls"], strict=True):
            assert call[0]
            want[0] = want[0] or call[0]
    assert found == wanted


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
@given(answers(), st.sets(st.sampled_from([Quirk.USAGE_CHUNK, Quirk.OBFUSCATION])))
def test_every_chunk_is_of_the_sdks_type(steps: tuple[Step, ...], quirks: set[Quirk]) -> None:
    """Invariant: validated strictly and written again each chunk is itself; what the type lacks is documented."""
    for data in chunks_of(steps, quirks):
        chunk = ChatCompletionChunk.model_validate_json(data, strict=True)
        assert json.loads(data) == chunk.model_dump(mode="json", exclude_unset=True)
        assert unknown_fields(chunk) <= {"reasoning_content", "annotations"}


@settings(deadline=None)
@given(answers(), st.sets(st.sampled_from([Quirk.USAGE_CHUNK, Quirk.OBFUSCATION])))
def test_the_accumulator_loses_nothing(steps: tuple[Step, ...], quirks: set[Quirk]) -> None:
    """Invariant: an answer in order is accepted by the SDK's accumulator, which then has all that was said."""
    assert CHAT.violations(steps) == ()
    assert_heard(steps, accumulated(ChatCompletionChunk.model_validate_json(data) for data in chunks_of(steps, quirks)))


ANY_STEP = st.one_of(
    st.sampled_from([Open(), Done(), Finish(), Finish(choice=1), ToolCall("a"), ToolCall("b", choice=1)]),
    st.sampled_from([Arguments("{}"), Text("x"), Text("y", choice=1), Thinking("z"), Citation("c"), Ping()]),
)


@settings(deadline=None)
@given(st.lists(ANY_STEP, max_size=12))
def test_what_the_order_rules_allow_the_accumulator_accepts(drawn: list[Step]) -> None:
    """Invariant: steps in any order, cut before the first that our rules call wrong, are understood without loss."""
    in_order = [length for length in range(len(drawn) + 1) if not CHAT.violations(drawn[:length])]
    steps = tuple(drawn[: in_order[-1]])
    chunks = [ChatCompletionChunk.model_validate_json(data) for data in chunks_of(steps)]
    if not chunks:
        return
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    texts = {choice.index: choice.message.content for choice in state.current_completion_snapshot.choices}
    assert texts == {choice: said["text"] for choice, said in ({0: {"text": ""}} | spoken(steps)).items()}


def test_arguments_belong_to_a_call() -> None:
    """A piece without a call before it is out of order; text in between ends no call, since deltas are numbered."""
    assert CHAT.violations((Open(), Arguments("{}"))) == (
        "step 1 (arguments): a piece of arguments follows its tool call",
    )
    assert CHAT.violations((Open(), ToolCall("f"), Arguments("{"), Text("a"), Arguments("}"), Finish(), Done())) == ()


def test_every_choice_is_finished_before_the_end() -> None:
    """The end comes after the finish of each choice that has said something, or that lies before one that has."""
    assert len(CHAT.violations((Open(), Text("a", choice=1), Finish(), Done()))) == 1
    assert CHAT.violations((Open(), Text("a", choice=1), Finish(), Text("b", choice=1), Finish(choice=1), Done())) == ()
    assert len(CHAT.violations((Open(), Finish(choice=1), Text("a", choice=1)))) == 1
    assert len(CHAT.violations((Open(), Text("a", choice=2), Finish(), Finish(choice=2), Done()))) == 1


def test_a_tool_calls_first_delta_names_it_and_the_others_only_count_it() -> None:
    """Two calls of one choice, one of another: indexes are counted by choice; id, type and name come once."""
    steps = (ToolCall("f", "id1"), Arguments("{"), ToolCall("g"), Arguments("}"), ToolCall("h", choice=1))
    deltas = [choice for data in chunks_of(steps) for choice in json.loads(data)["choices"]]
    named = [delta["delta"]["tool_calls"][0] for delta in deltas if "tool_calls" in delta["delta"]]
    assert named == [
        {"index": 0, "id": "id1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{"}},
        {"index": 1, "id": "call_testbed_0_1", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "}"}},
        {"index": 0, "id": "call_testbed_1_0", "type": "function", "function": {"name": "h", "arguments": ""}},
    ]
    assert [delta["index"] for delta in deltas] == [0, 0, 0, 0, 1, 1]
    assert deltas[4]["delta"] == {"role": "assistant", "content": ""}


# --- over a socket ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def asking(*scripts: Script) -> Iterator[tuple[Speaker, openai.OpenAI]]:
    """Serve the scripts and give a client that asks for them."""
    with speaking(*scripts) as server:
        base_url = server.root + CHAT.base_path
        with openai.OpenAI(base_url=base_url, api_key="k", timeout=BOUND, max_retries=0) as sdk:
            yield server, sdk


def stream(sdk: openai.OpenAI) -> list[ChatCompletionChunk]:
    """Read one answer to its end."""
    with sdk.chat.completions.create(**CHAT.request("testbed-1")) as chunks:  # type: ignore[call-overload]
        return list(chunks)


@settings(OVER_A_SOCKET, max_examples=10)
@given(answers(), st.sets(st.sampled_from(QUIET)))
def test_the_sdk_reads_ten_drawn_answers(steps: tuple[Step, ...], quirks: set[Quirk]) -> None:
    """Invariant: whatever is said in order is read over a socket without loss."""
    with asking(Script(CHAT.name, (Head(), *steps), quirks=tuple(sorted(quirks)))) as (server, sdk):
        assert_heard(steps, accumulated(stream(sdk)))
    assert server.refused == []


CLEAN: dict[str, tuple[Step, ...]] = {
    "text": (Text("Grüße, "), Text("世界")),
    "tool calls": (Text("a"), ToolCall("f"), Arguments('{"a":'), Arguments("1}"), ToolCall("g"), Arguments("{}")),
    "reasoning": (Thinking("hm "), Thinking("so"), Text("a")),
    "citations": (Text("as said"), Citation("A", "https://a.example/"), Text(" and"), Citation("B")),
    "refusal": (Refusal("I will "), Refusal("not")),
    "two choices": (Text("a"), Text("b", choice=1), Text("c"), ToolCall("f", choice=1), Arguments("{}")),
}


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("framing", Framing)
def test_the_sdks_own_helper_reads_every_kind(name: str, framing: Framing) -> None:
    """The SDK's streaming helper ends with everything that was said, byte by byte and with the counts of usage."""
    content = CLEAN[name]
    ends = (Finish(), Finish(choice=1)) if name == "two choices" else (Finish(),)
    steps = (Open(), *content, *ends, Done())
    script = Script(CHAT.name, (Head(framing=framing), *steps), (SplitEvery(7),), (Quirk.USAGE_CHUNK,))
    with asking(script) as (_, sdk):
        manager = sdk.chat.completions.stream(model="testbed-1", messages=[{"role": "user", "content": "hi"}])
        with manager as events:
            completion = events.get_final_completion()
    assert_heard(steps, completion)
    assert completion.usage is not None
    tokens = sum(isinstance(step, (Text, Thinking, Refusal, Arguments)) for step in content)
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (8, tokens)


# --- quirks -----------------------------------------------------------------------------------------------------------

SAID = (Open(), Text("a"), Ping(), Text("b"), Finish(), Done())


def text_by_the_sdk(*quirks: Quirk, steps: tuple[Step, ...] = SAID) -> str:
    """What a caller of the SDK shows, who takes care of chunks without choices and of choices without a delta."""
    with asking(Script(CHAT.name, (Head(), *steps), quirks=quirks)) as (_, sdk):
        choices = [chunk.choices[0] for chunk in stream(sdk) if chunk.choices]
    return "".join(choice.delta.content or "" for choice in choices if getattr(choice, "delta", None) is not None)


COPES = [quirk for quirk, note in QUIRKS.items() if CHAT.name in note.dialects and quirk is not Quirk.COLON_KEEPALIVE]


@pytest.mark.parametrize("quirk", COPES)
def test_the_sdk_copes_with_a_quirk(quirk: Quirk) -> None:
    """A quirk changes the spelling and not what the caller sees."""
    assert text_by_the_sdk(quirk) == "ab"


def test_the_sdk_stumbles_over_the_keepalive_that_is_no_json() -> None:
    """A keep-alive as data is the one quirk of a clean answer that the SDK does not survive."""
    with pytest.raises(json.JSONDecodeError):
        text_by_the_sdk(Quirk.COLON_KEEPALIVE)


def test_usage_is_null_in_every_chunk_but_one_without_choices() -> None:
    """The counts come behind the finish and before the end; thinking and arguments are output too."""
    steps = (Open(), Thinking("a"), Text("b"), ToolCall("f"), Arguments("{}"), Finish(), Done())
    *others, last = [json.loads(data) for data in chunks_of(steps, (Quirk.USAGE_CHUNK,))]
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 8,
        "completion_tokens": 3,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert all("usage" not in json.loads(data) for data in chunks_of(steps))


def test_obfuscation_pads_every_delta_to_the_same_grid() -> None:
    """A delta and its padding are a multiple of 32 characters; what has no delta has no padding."""
    steps = (Open(), Text("a"), Text("b"), Text("a longer piece"), Finish(), Done())
    chunks = [json.loads(data) for data in chunks_of(steps, (Quirk.OBFUSCATION,))]
    for chunk in chunks[:-1]:
        delta = json.dumps(chunk["choices"][0]["delta"], separators=(",", ":"))
        assert 1 <= len(chunk["obfuscation"]) <= 32
        assert (len(delta) + len(chunk["obfuscation"])) % 32 == 0
    assert "obfuscation" not in chunks[-1]
    assert chunks_of(steps, (Quirk.OBFUSCATION,)) == [json.dumps(one, separators=(",", ":")) for one in chunks]


def test_azure_speaks_of_its_filters_before_between_and_behind() -> None:
    """First a chunk without choices, then results in every choice, and a choice without a delta before the finish."""
    first, role, text, checked, finish = [json.loads(data) for data in chunks_of(SAID[:2] + SAID[4:], (Quirk.AZURE,))]
    assert (first["choices"], first["id"], first["created"]) == ([], "", 0)
    assert [one["prompt_index"] for one in first["prompt_filter_results"]] == [0]
    assert role["choices"][0]["content_filter_results"] == {}
    assert text["choices"][0]["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}
    assert set(checked["choices"][0]) == {"index", "finish_reason", "content_filter_results", "content_filter_offsets"}
    assert checked["choices"][0]["content_filter_offsets"]["end_offset"] == 1
    assert finish["choices"][0]["finish_reason"] == "stop"


ERROR = {"message": "no", "type": "overloaded", "param": None, "code": "overloaded"}


@pytest.mark.parametrize(
    ("quirks", "spelled"),
    [
        ((), [b"data: " + json.dumps({"error": ERROR}, separators=(",", ":")).encode()]),
        ((Quirk.ERROR_FIELD,), [b'error: {"code":500,"message":"no","type":"overloaded"}']),
        (
            (Quirk.DONE_AFTER_ERROR, Quirk.ERROR_FIELD, Quirk.NO_SPACE),
            [b'error:{"code":500,"message":"no","type":"overloaded"}', b"data:[DONE]"],
        ),
    ],
)
def test_an_error_inside_the_stream_is_spelled_in_three_ways(quirks: tuple[Quirk, ...], spelled: list[bytes]) -> None:
    """As a chunk, as a field that no standard has, and with the word for the end behind it."""
    assert CHAT.encode((Failure("overloaded", "no"),), quirks)[0] == tuple(one + b"\n\n" for one in spelled)


def test_the_sdk_hears_an_error_before_the_end_and_not_one_in_a_strange_field() -> None:
    """An error with [DONE] behind it is still raised; a field that is not of the standard is silence."""
    steps = (Open(), Text("a"), Failure("overloaded", "no"))
    with pytest.raises(openai.APIError, match="no"):
        text_by_the_sdk(Quirk.DONE_AFTER_ERROR, steps=steps)
    assert text_by_the_sdk(Quirk.ERROR_FIELD, steps=steps) == "a"


def test_keepalives_are_comments_with_the_gateways_words() -> None:
    """One gateway says what it is doing."""
    assert CHAT.encode((Ping(),)) == ((b": keep-alive\n\n",),)
    assert CHAT.encode((Ping(),), (Quirk.OPENROUTER_COMMENTS,)) == ((b": OPENROUTER PROCESSING\n\n",),)


# --- requests ---------------------------------------------------------------------------------------------------------


def problem(**changes: object) -> dict[str, Any] | None:
    """The error that answers the dialect's own request with these changes; None as a value takes a key out."""
    request = {key: value for key, value in {**CHAT.request("m"), **changes}.items() if value is not None}
    return problem_of(json.dumps(request).encode())


def problem_of(body: bytes) -> dict[str, Any] | None:
    answer = CHAT.refuse(Asked("POST", CHAT.path, "", {"content-type": "application/json"}, body))
    if answer is None:
        return None
    assert answer.status == 400
    error: dict[str, Any] = json.loads(answer.body)["error"]
    assert error["type"] == "invalid_request_error"
    return error


def test_every_parameter_of_the_sdk_is_known() -> None:
    """The checks and the SDK's type have the same keys."""
    assert REQUEST.required.keys() | REQUEST.optional.keys() == keys_of(CompletionCreateParamsStreaming)


def user(content: object) -> list[object]:
    return [{"role": "user", "content": content}]


FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def called(id: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": ""}
    return {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]}


def answered(id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": "4"}


def in_agreement(request: dict[str, Any]) -> dict[str, Any]:
    """Add what the vendor wants beside what the types allow alone: calls of tools and their answers go together."""
    alone = {"tool_choice": "tools", "parallel_tool_calls": "tools", "top_logprobs": "logprobs"}
    beside = {"tools": [FUNCTION], "logprobs": True}
    added = {alone[key]: beside[alone[key]] for key in alone if request.get(key) is not None}
    turns: list[dict[str, Any]] = []
    for turn in request["messages"]:
        before = [called(turn["tool_call_id"])] if turn["role"] == "tool" else []
        behind = [answered(one) for one in sorted({call["id"] for call in turn.get("tool_calls", ())})]
        turns += [*before, turn, *behind]
    return {**request, **added, "messages": turns}


REQUESTS = typed(CompletionCreateParamsStreaming, {}).map(in_agreement)


def test_whatever_the_sdks_types_allow_is_accepted() -> None:
    """Each key, member of a union and literal of the SDK's types, however deep, is accepted, its numbers in range."""
    requests = listed(CompletionCreateParamsStreaming, {})
    assert len(requests) > 200
    for request in requests:
        assert problem_of(json.dumps(in_agreement(request)).encode()) is None, request


@settings(OVER_A_SOCKET, max_examples=20)
@given(st.lists(REQUESTS, min_size=5, max_size=5))
def test_what_the_sdk_builds_is_accepted(requests: list[dict[str, Any]]) -> None:
    """Invariant: the bytes and the head that the SDK makes of a request are accepted."""
    with asking(Script(CHAT.name, (Head(), Open(), Finish(), Done()))) as (server, sdk):
        for request in requests:
            with sdk.chat.completions.create(**request) as chunks:
                assert len(list(chunks)) == 2
    assert server.refused == []
    assert len(server.played) == len(requests)


CALLING, ANSWER = called("c"), answered("c")


def test_tool_calls_are_answered() -> None:
    """Every call has its answer right behind, and no answer is without a call."""
    assert problem(messages=[*user("hi"), CALLING, ANSWER]) is None
    assert problem(messages=[*user("hi"), CALLING, ANSWER, *user("and?"), CALLING, ANSWER]) is None
    for messages, param in (
        ([ANSWER], "messages[0].role"),
        ([CALLING, {**ANSWER, "tool_call_id": "d"}], "messages[1].role"),
        ([CALLING, ANSWER, ANSWER], "messages[2].role"),
        ([CALLING, *user("hi")], "messages[1]"),
        ([CALLING], "messages[1]"),
    ):
        error = problem(messages=messages)
        assert error is not None
        assert (error["param"], error["code"]) == (param, "invalid_value")


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": ""}, "model", "empty_string"),
        ({"model": 7}, "model", "invalid_type"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "bot", "content": "hi"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": user(7)}, "messages[0].content", "invalid_type"),
        ({"messages": user([])}, "messages[0].content", "empty_array"),
        ({"messages": user([{"type": "smell"}])}, "messages[0].content[0].type", "invalid_value"),
        ({"messages": user([{"type": "text"}])}, "messages[0].content[0].text", "missing_required_parameter"),
        (
            {"messages": [{"role": "tool", "content": "4"}]},
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"top_p": 1.01}, "top_p", "decimal_above_max_value"),
        ({"presence_penalty": 3}, "presence_penalty", "decimal_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
        ({"stop": [1]}, "stop[0]", "invalid_type"),
        ({"logit_bias": {"50256": 101}}, "logit_bias.50256", "decimal_above_max_value"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"tools": []}, "tools", "empty_array"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        (
            {"tools": [{**FUNCTION, "function": {"name": "x" * 65}}]},
            "tools[0].function.name",
            "string_above_max_length",
        ),
        ({"tools": [FUNCTION], "tool_choice": "always"}, "tool_choice", "invalid_value"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "invalid_value"),
        ({"stream_options": {"include_cost": True}}, "stream_options.include_cost", "unknown_parameter"),
        ({"tool_choice": "auto"}, "tool_choice", "invalid_value"),
        ({"top_logprobs": 3, "logprobs": False}, "top_logprobs", "invalid_value"),
        ({"stream": False}, "stream", "invalid_value"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"max_token": 5}, "max_token", "unknown_parameter"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_code(changes: dict[str, object], param: str, code: str) -> None:
    """The vendor's place and code, and a sentence that has the place in it."""
    error = problem(**changes)
    assert error is not None
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"].startswith(f"the parameter {param} ")


def test_the_sdk_raises_what_was_wrong() -> None:
    """The SDK finds param, code and the id of the request."""
    with asking(Script(CHAT.name, (Head(),))) as (server, sdk), pytest.raises(openai.BadRequestError) as raised:
        sdk.chat.completions.create(**{**CHAT.request("m"), "temperature": 3})  # type: ignore[call-overload]
    error = raised.value
    assert (error.param, error.code) == ("temperature", "decimal_above_max_value")
    assert "the parameter temperature is 3; it must be at most 2" in error.message
    assert error.request_id == "req_testbed"
    assert len(server.refused) == 1


def test_the_sdk_understands_every_named_case() -> None:
    """Status, code and type are where the SDK looks for them, and the head comes with them."""
    answers = [CHAT.answer(case) for case in CHAT.cases.values()]
    heads = [Head(one.status, one.content_type, one.headers) for one in answers]
    scripts = [Script(CHAT.name, (head, Body(one.body))) for head, one in zip(heads, answers, strict=True)]
    with asking(*scripts) as (_, sdk):
        for case, answer in zip(CHAT.cases.values(), answers, strict=True):
            with pytest.raises(openai.APIStatusError) as raised:
                stream(sdk)
            error, sent = raised.value, json.loads(answer.body)["error"]
            assert (error.status_code, error.code, error.type) == (case.status, sent["code"], sent["type"])
            assert set(answer.headers) <= set(error.response.headers.items())


def test_models_are_listed_and_found() -> None:
    """What clients ask at start is answered beside the attempts."""
    with asking(Script(CHAT.name, (Head(),))) as (server, sdk):
        assert [model.id for model in sdk.models.list()] == ["testbed-1"]
        assert sdk.models.retrieve("any-name").id == "any-name"
    assert [asked.path for asked in server.asides] == ["/v1/models", "/v1/models/any-name"]
    assert server.played == []
