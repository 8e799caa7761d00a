"""The Responses API by the SDK's own types and accumulator: every kind of output, one end, resumption, requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseError, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from testbed.dialects import DIALECTS, Asked
from testbed.dialects._responses_request import PARAMETERS
from testbed.dialects.openai_responses import FAILED_CODES
from testbed.errors import UsageError
from testbed.script import (
    Arguments,
    Citation,
    Comment,
    CutBody,
    DialectName,
    Done,
    End,
    Failure,
    Finish,
    Head,
    Open,
    Pause,
    Ping,
    Quirk,
    Raw,
    Refusal,
    Script,
    SplitEvery,
    Step,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)
from testbed.sse import Event, Parser
from tests.dialects.drawn import contents, joined, made_calls
from tests.dialects.speaking import BOUND, Speaker, speaking

RESPONSES = DIALECTS[DialectName.OPENAI_RESPONSES]
UNION: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

CONTENT: tuple[Step, ...] = (
    Thinking("hm, "),
    Thinking("yes"),
    Text("naïve "),
    Text("日本語"),
    Citation("a page", "https://example.com/a"),
    Ping(),
    Refusal("not "),
    Refusal("that"),
    ToolCall("look", "call_7"),
    Arguments('{"at":'),
    Arguments("1}"),
    ToolCall("stop"),
)
WHOLE: tuple[Step, ...] = (Head(), Open(), *CONTENT, Finish(), Done())


def events(steps: Sequence[Step], *quirks: Quirk) -> tuple[Event, ...]:
    """What the reference parser reads of the steps."""
    return Parser().feed(b"".join(data for step in RESPONSES.encode(steps, quirks) for data in step))


def data(steps: Sequence[Step], *quirks: Quirk) -> list[dict[str, Any]]:
    """The JSON of each event."""
    return [json.loads(event.data) for event in events(steps, *quirks)]


# --- spelling ---------------------------------------------------------------------------------------------------------


def test_the_order_of_events_is_the_vendors() -> None:
    """Items follow each other, each with its parts inside; names repeat the types; the numbers rise by one."""
    seen = events(WHOLE)
    assert [event.type for event in seen] == [json.loads(event.data)["type"] for event in seen]
    assert [json.loads(event.data)["sequence_number"] for event in seen] == list(range(len(seen)))
    assert [event.type.removeprefix("response.") for event in seen] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "keepalive",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_the_final_response_holds_the_whole_output() -> None:
    """The last event repeats every item, with the texts, the annotation, the calls and the counts."""
    response = Response.model_validate(data(WHOLE)[-1]["response"])
    reasoning, message, look, stop = response.output
    assert reasoning.type == "reasoning"
    assert [part.text for part in reasoning.summary] == ["hm, yes"]
    assert message.type == "message"
    text, refusal = message.content
    assert text.type == "output_text"
    assert refusal.type == "refusal"
    assert (text.text, refusal.refusal) == ("naïve 日本語", "not that")
    cited = text.annotations[0]
    assert cited.type == "url_citation"
    assert (cited.title, cited.url, cited.start_index, cited.end_index) == ("a page", "https://example.com/a", 0, 9)
    assert look.type == stop.type == "function_call"
    assert [(call.call_id, call.name, call.arguments) for call in (look, stop)] == [
        ("call_7", "look", '{"at":1}'),
        ("call_testbed_1", "stop", ""),
    ]
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert response.usage.output_tokens == 8
    assert response.usage.total_tokens == response.usage.input_tokens + 8


def test_a_second_citation_goes_on_where_the_first_one_ended() -> None:
    """Each citation is about the text since the one before it."""
    steps = (Text("ab"), Citation("x"), Text("c"), Citation("y"))
    spans = [one["annotation"] for one in data(steps) if one["type"].endswith("annotation.added")]
    assert [(span["start_index"], span["end_index"]) for span in spans] == [(0, 2), (2, 3)]


def test_an_answer_without_content_is_an_empty_message() -> None:
    """A finish always closes an item."""
    final = data((Open(), Finish(), Done()))[-1]["response"]
    assert [part["text"] for item in final["output"] for part in item["content"]] == [""]


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_a_reason_makes_the_response_incomplete(reason: str) -> None:
    """The open item, the event, the status and the details all say so."""
    *_, item, final = data((Open(), Text("a"), Finish(reason), Done()))
    assert item["item"]["status"] == "incomplete"
    assert (final["type"], final["response"]["status"]) == ("response.incomplete", "incomplete")
    assert final["response"]["incomplete_details"] == {"reason": reason}


FAILURES = {
    ("server_error", ()): {"type": "response.failed", "code": "server_error"},
    ("server_error", (Quirk.ERROR_EVENT,)): {"type": "error", "code": "server_error"},
    ("overloaded", ()): {"type": "error", "code": "overloaded"},
    ("server_error", (Quirk.NESTED_ERROR,)): {"type": "error", "code": "server_error"},
}


@pytest.mark.parametrize(("kind", "quirks"), FAILURES)
def test_a_failure_has_the_shape_of_its_kind(kind: str, quirks: tuple[Quirk, ...]) -> None:
    """A code of the vendor's is a failed response, any other an error event, and quirks choose the latter's shape."""
    *_, last = data((Open(), Text("a"), Failure(kind, "oh")), *quirks)
    where = last["response"]["error"] if last["type"] == "response.failed" else last.get("error", last)
    assert {"type": last["type"], "code": where["code"]} == FAILURES[kind, quirks]
    assert where["message"] == "oh"
    assert ("error" in last) is (Quirk.NESTED_ERROR in quirks)


def test_background_answers_are_queued_first() -> None:
    """The quirk puts response.queued between the first two events."""
    seen = data((Open(),), Quirk.BACKGROUND)
    assert [(one["type"], one["response"]["status"]) for one in seen] == [
        ("response.created", "queued"),
        ("response.queued", "queued"),
        ("response.in_progress", "in_progress"),
    ]
    assert all(one["response"]["background"] for one in seen)


def test_obfuscation_hides_the_length_of_a_delta() -> None:
    """Deltas of different lengths are as long as each other with their padding; nothing else is padded."""
    deltas = [one for one in data((Text("a"), Text("four"), Finish()), Quirk.OBFUSCATION) if "delta" in one]
    assert len({len(one["delta"] + one["obfuscation"]) for one in deltas}) == 1
    assert sum("obfuscation" in one for one in data(WHOLE, Quirk.OBFUSCATION)) == 8


def test_reasoning_can_be_said_as_it_is() -> None:
    """The quirk turns the summary into content, with the events of its own."""
    seen = data((Open(), Thinking("hm"), Finish(), Done()), Quirk.REASONING_TEXT)
    assert "response.reasoning_text.delta" in [one["type"] for one in seen]
    assert seen[-1]["response"]["output"][0]["content"] == [{"type": "reasoning_text", "text": "hm"}]


def test_only_done_and_failure_end_an_answer() -> None:
    """A finish is no terminal here: the response is complete by its last event alone."""
    assert RESPONSES.terminal(Finish()) is Terminal.NONE
    assert RESPONSES.terminal(Done()) is Terminal.HARD


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((Text("a"),), "step 0 (text): content stands between the opening and the finish"),
        ((Open(), Open()), "step 1 (open): response.created comes first, and once"),
        ((Open(), Text("a"), Done()), "step 2 (done): the response ends once, after its last item was closed"),
        ((Open(), Text("a"), Arguments("{}")), "step 2 (arguments): a piece of arguments follows its tool call"),
        ((Ping(),), "step 0 (ping): a keepalive stands between response.created and the end"),
        ((Open(), Failure("x"), Done()), "step 2 (done): the response ends once, after its last item was closed"),
    ],
)
def test_what_is_out_of_order_is_said(steps: tuple[Step, ...], sentence: str) -> None:
    """Order is judged by the table, a sentence each."""
    assert RESPONSES.violations(steps) == (sentence,)


def test_a_second_choice_has_no_words() -> None:
    """A response is one answer."""
    with pytest.raises(UsageError, match=r"step 1 \(text\): choice is 1"):
        RESPONSES.encode((Open(), Text("a", 1)))


# --- by the SDK's own types -------------------------------------------------------------------------------------------

QUIRKS = st.sets(st.sampled_from([Quirk.BACKGROUND, Quirk.REASONING_TEXT, Quirk.OBFUSCATION, Quirk.CR]))
ENDS = st.sampled_from([(Finish(), Done()), (Finish("max_output_tokens"), Done()), (Failure("invalid_prompt"),)])


@settings(deadline=None)
@given(contents(), ENDS, QUIRKS)
def test_every_event_is_of_the_sdks_union(content: tuple[Step, ...], end: tuple[Step, ...], quirks: set[Quirk]) -> None:
    """Invariant: strictly validated, each event is of the union; texts that are done are their deltas joined."""
    steps = (Head(), Open(), *content, *end)
    assert RESPONSES.violations(steps) == ()
    grown: dict[tuple[int, int, str], str] = {}
    seen = data(steps, *quirks)
    for one in seen:
        if one["type"] == "keepalive":  # undocumented, and in nobody's types
            continue
        UNION.validate_python(one, strict=True)
        kind, _, step = one["type"].rpartition(".")
        where = one.get("output_index", -1), one.get("content_index", one.get("summary_index", -1)), kind
        if step == "delta":
            grown[where] = grown.get(where, "") + one["delta"]
        elif step == "done" and kind.endswith(("text", "refusal", "arguments")):
            text = next(one[key] for key in ("text", "refusal", "arguments") if key in one)
            assert grown.pop(where, "") == text
    # What is left was never closed, which only a failure does.
    assert not grown or isinstance(end[-1], Failure)
    assert sum(one["type"].rpartition(".")[2] in {"completed", "incomplete", "failed"} for one in seen) == 1


def test_the_codes_of_a_failed_response_are_the_sdks() -> None:
    """Every code that makes a failed response is one that the SDK's type knows."""
    assert set(get_args(ResponseError.model_fields["code"].annotation)) >= FAILED_CODES


# --- read by the SDK --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdk() -> Any:
    """One client for all tests: what it costs is to make it."""
    with openai.OpenAI(base_url="http://127.0.0.1", api_key="sk-testbed", timeout=BOUND, max_retries=0) as client:
        yield client


def asking(sdk: openai.OpenAI, speaker: Speaker) -> openai.OpenAI:
    return sdk.with_options(base_url=speaker.root + RESPONSES.base_path)


def request() -> dict[str, Any]:
    return RESPONSES.request("testbed-1")


def final(sdk: openai.OpenAI, script: Script) -> tuple[list[Any], Any]:
    """Let the SDK's helper read the script: what it fired, and the response that it accumulated."""
    with speaking(script) as speaker:
        call = {key: value for key, value in request().items() if key != "stream"}
        with asking(sdk, speaker).responses.stream(**call) as stream:
            fired = list(stream)
            response = stream.get_final_response() if fired[-1].type == "response.completed" else fired[-1].response
    assert speaker.refused == []
    return fired, response


def shown(response: Any) -> dict[str, Any]:
    """What a caller finds in a response, kind by kind."""
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    return {
        "text": "".join(part.text for part in parts if part.type == "output_text"),
        "refusal": "".join(part.refusal for part in parts if part.type == "refusal"),
        "thinking": "".join(
            part.text
            for item in response.output
            if item.type == "reasoning"
            for part in (*item.summary, *(item.content or ()))
        ),
        "calls": [
            (item.name, json.loads(item.arguments or "{}")) for item in response.output if item.type == "function_call"
        ],
    }


def meant(content: tuple[Step, ...]) -> dict[str, Any]:
    """What the steps say, kind by kind."""
    return {
        "text": joined(content, Text),
        "refusal": joined(content, Refusal),
        "thinking": joined(content, Thinking),
        "calls": made_calls(content),
    }


@settings(max_examples=10, deadline=None, derandomize=True)
@given(content=contents(), reason=st.sampled_from(["", "max_output_tokens"]), quirks=QUIRKS)
def test_the_sdk_accumulates_what_the_script_says(
    sdk: openai.OpenAI, content: tuple[Step, ...], reason: str, quirks: set[Quirk]
) -> None:
    """Ten drawn answers: the helper's response has every text, every call and the status that the script says."""
    script = Script(RESPONSES.name, (Head(), Open(), *content, Finish(reason), Done()), quirks=tuple(quirks))
    fired, response = final(sdk, script)
    assert shown(response) == meant(content)
    assert response.status == ("incomplete" if reason else "completed")
    assert "".join(one.delta for one in fired if one.type == "response.output_text.delta") == joined(content, Text)


@pytest.mark.parametrize("split", [(), (SplitEvery(1),)], ids=["whole", "byte-by-byte"])
def test_the_sdk_reads_every_kind_of_output(sdk: openai.OpenAI, split: tuple[SplitEvery, ...]) -> None:
    """The answer with everything in it, in one piece and byte by byte."""
    _, response = final(sdk, Script(RESPONSES.name, WHOLE, split))
    assert shown(response) == meant(CONTENT)


@pytest.mark.parametrize(("kind", "quirks"), FAILURES)
def test_the_sdk_sees_each_failure(sdk: openai.OpenAI, kind: str, quirks: tuple[Quirk, ...]) -> None:
    """Events of both shapes reach the caller with code and message; the nested one is raised."""
    script = Script(RESPONSES.name, (Head(), Open(), Text("a"), Failure(kind, "oh")), quirks=quirks)
    with speaking(script) as speaker, asking(sdk, speaker).responses.create(**request()) as stream:
        if Quirk.NESTED_ERROR in quirks:
            with pytest.raises(openai.APIError) as raised:
                list(stream)
            assert (raised.value.code, raised.value.message) == (kind, "oh")
            return
        last = list(stream)[-1]
    assert last.type == FAILURES[kind, quirks]["type"]
    error = last.response.error if last.type == "response.failed" else last
    assert (error.code, error.message) == (kind, "oh")


def test_the_sdk_resumes_a_response(sdk: openai.OpenAI) -> None:
    """The rest of a stream is read from behind every number, and is what the whole one had there."""
    script = Script(RESPONSES.name, WHOLE, quirks=(Quirk.BACKGROUND,), resumes=True)
    whole = data(WHOLE, Quirk.BACKGROUND)
    with speaking(script) as speaker:
        retrieve = asking(sdk, speaker).responses.retrieve
        for after in (0, 3, len(whole) // 2, len(whole) - 2):
            with retrieve("resp_testbed", stream=True, starting_after=after) as stream:
                rest = [event.to_dict() for event in stream]
            assert [one["sequence_number"] for one in rest] == list(range(after + 1, len(whole)))
            assert [one["type"] for one in rest] == [one["type"] for one in whole[after + 1 :]]
    assert speaker.refused == []


def test_the_sdk_lists_models(sdk: openai.OpenAI) -> None:
    """What is asked beside an answer plays no attempt."""
    with speaking(Script(RESPONSES.name, WHOLE)) as speaker:
        assert [model.id for model in asking(sdk, speaker).models.list()] == ["testbed-1"]
        assert asking(sdk, speaker).models.retrieve("other").id == "other"
    assert (len(speaker.asides), speaker.played) == (2, [])


# --- resumption -------------------------------------------------------------------------------------------------------


def resumed(script: Script, after: int) -> Script:
    path = RESPONSES.path + "/resp_testbed"
    return RESPONSES.resume(script, Asked("GET", path, f"stream=true&starting_after={after}", {}, b""))


@settings(deadline=None)
@given(contents(), st.integers(0, 60))
def test_a_resumed_script_is_the_end_of_the_whole(content: tuple[Step, ...], after: int) -> None:
    """Invariant: behind any number, the bytes are the end of the whole stream's, and each step keeps its place."""
    script = Script(RESPONSES.name, (Head(), Open(), *content, Finish(), Done(), End()), resumes=True)
    whole = RESPONSES.encode(script.steps)
    rest = RESPONSES.encode(resumed(script, after).steps)
    assert len(rest) == len(whole)
    # A step is said whole, not at all, or in its last part.
    assert all(b"".join(before).endswith(b"".join(now)) for before, now in zip(whole, rest, strict=True))
    sent = Parser().feed(b"".join(data for step in rest for data in step))
    numbers = [json.loads(event.data)["sequence_number"] for event in sent]
    assert numbers == list(range(after + 1, sum(map(len, whole))))


def test_pauses_and_comments_before_the_resumption_are_left_out() -> None:
    """The client waits for what is new only; the silence before the head is this answer's own."""
    steps = (Pause(1), Head(), Open(), Pause(2), Comment("c"), Text("a"), Pause(3), Text("b"), Finish(), Done())
    script = Script(RESPONSES.name, steps, resumes=True)
    kept = [type(step) for step in resumed(script, 4).steps if step != Pause(0)]
    assert kept == [Pause, Head, Pause, Raw, Raw, Raw]


def test_faults_strike_the_same_event_in_the_rest() -> None:
    """The address of a cut is counted from where the rest begins."""
    script = Script(RESPONSES.name, WHOLE, (CutBody(3000),), resumes=True)
    created = RESPONSES.encode(WHOLE)[1][0]
    assert resumed(script, 0).faults == (CutBody(3000 - len(created)),)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_request_without_a_number_plays_everything(*, resumes: bool) -> None:
    """So does a script that does not resume, whatever the number."""
    script = Script(RESPONSES.name, WHOLE, resumes=resumes)
    asked = Asked("GET", RESPONSES.path + "/resp_testbed", "stream=true" + "&starting_after=3" * (not resumes), {}, b"")
    assert RESPONSES.resume(script, asked) == script


# --- requests ---------------------------------------------------------------------------------------------------------

JSON = {"content-type": "application/json"}


def refusal(method: str, path: str, body: object = None, query: str = "") -> tuple[int, dict[str, Any]] | None:
    """The status and the error with which a request is refused."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = RESPONSES.refuse(Asked(method, path, query, JSON, raw))
    return None if answer is None else (answer.status, json.loads(answer.body)["error"])


def test_the_dialects_own_request_is_right() -> None:
    """With a text, and with a list of messages."""
    assert refusal("POST", RESPONSES.path, request()) is None
    items = [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}, {"type": "reasoning", "id": "rs"}]
    assert refusal("POST", RESPONSES.path, {**request(), "input": items, "instructions": None}) is None


def test_every_parameter_of_the_sdk_is_known() -> None:
    """What the SDK's type of the request can hold is never an unknown parameter."""
    assert set(ResponseCreateParamsStreaming.__annotations__) <= PARAMETERS


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "invalid_type"),
        ({"model": ""}, "model", "empty_string"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream": False}, "stream", "invalid_value"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"type": [], "role": "user"}]}, None, None),
        ({"messages": []}, "messages", "unsupported_parameter"),
        ({"foo": 1}, "foo", "unknown_parameter"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"max_output_tokens": 1}, "max_output_tokens", "integer_below_min_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage", "unknown_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", "missing_required_parameter"),
    ],
)
def test_a_wrong_parameter_is_named(change: dict[str, object], param: str | None, code: str | None) -> None:
    """The error has the vendor's type, the place of the parameter and the vendor's code."""
    found = refusal("POST", RESPONSES.path, {**request(), **change})
    if param is None:
        assert found is None
        return
    assert found is not None
    status, error = found
    assert (status, error["type"], error["param"], error["code"]) == (400, "invalid_request_error", param, code)


def test_a_body_that_is_no_object_is_refused() -> None:
    """The vendor gives it neither a parameter nor a code."""
    for body in (b"{", b"[]"):
        found = refusal("POST", RESPONSES.path, body)
        assert found is not None
        assert (found[0], found[1]["param"], found[1]["code"]) == (400, None, None)


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("POST", "/v1/response", "", 404),
        ("GET", "/v1/responses", "", 405),
        ("POST", "/v1/responses/resp_testbed", "", 405),
        ("GET", "/v1/responses/resp_testbed", "", 400),
        ("GET", "/v1/responses/resp_testbed", "stream=true&starting_after=-1", 400),
        ("GET", "/v1/responses/resp_testbed", "stream=true&starting_after=" + "9" * 5000, 400),
        ("GET", "/v1/responses/other", "stream=true", 404),
        ("GET", "/v1/responses/resp_testbed/input_items", "stream=true", 404),
    ],
)
def test_a_wrong_place_or_query_is_refused(method: str, path: str, query: str, status: int) -> None:
    """Each path has its method, and the only response is the one that this server makes."""
    found = refusal(method, path, {}, query)
    assert found is not None
    assert found[0] == status


@pytest.mark.parametrize("name", RESPONSES.cases)
def test_each_named_error_is_in_the_vendors_shape(name: str) -> None:
    """Message, type, parameter and code, with the id of the request in the head."""
    case = RESPONSES.cases[name]
    answer = RESPONSES.answer(case)
    error = json.loads(answer.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answer.status, error["message"], error["param"]) == (case.status, case.message, case.param)
    assert "messages" not in str(error["param"])
    assert "x-request-id" in dict(answer.headers)
