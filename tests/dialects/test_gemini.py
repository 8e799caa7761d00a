"""The Gemini API by the SDK's own types and streams: every kind of output, both forms of the body, errors, requests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.dialects import DIALECTS, Asked, Case
from testbed.dialects._gemini_request import STATUSES
from testbed.errors import UsageError
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
    Message,
    Open,
    Ping,
    Quirk,
    Refusal,
    Script,
    SplitEvery,
    Step,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)
from testbed.sse import Parser
from tests.dialects.drawn import contents, joined, made_calls
from tests.dialects.speaking import BOUND, speaking

GEMINI = DIALECTS[DialectName.GEMINI]
ARRAY = (Quirk.JSON_ARRAY,)

CONTENT: tuple[Step, ...] = (
    Thinking("hm"),
    Text("naïve "),
    Text("日本語"),
    Citation("a page", "https://example.com/a"),
    Ping(),
    ToolCall("look", "call_7"),
    Arguments('{"at": '),
    Arguments("1.50}"),
    ToolCall("stop"),
)
WHOLE: tuple[Step, ...] = (Head(), Open(), *CONTENT, Finish())


def raw(steps: Sequence[Step], *quirks: Quirk) -> bytes:
    """The body that the steps are."""
    return b"".join(event for step in GEMINI.encode(steps, quirks) for event in step)


def chunks(steps: Sequence[Step], *quirks: Quirk) -> list[dict[str, Any]]:
    """The JSON of each event, or of each element."""
    if Quirk.JSON_ARRAY in quirks:
        found: list[dict[str, Any]] = json.loads(raw(steps, *quirks))
        return found
    events = Parser().feed(raw(steps, *quirks))
    assert {event.type for event in events} <= {"message"}
    return [json.loads(event.data) for event in events]


def parts(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a chunk's first candidate."""
    found: list[dict[str, Any]] = chunk["candidates"][0].get("content", {}).get("parts", [])
    return found


# --- spelling ---------------------------------------------------------------------------------------------------------


def test_a_text_is_spelled_as_an_event_with_crlf() -> None:
    """The bytes of one event: a data line, and CR LF behind it and behind the event."""
    assert GEMINI.encode((Text("é"),)) == (
        (
            'data: {"candidates":[{"content":{"parts":[{"text":"é"}],"role":"model"},"index":0}],'
            '"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":1,"totalTokenCount":9},'
            '"modelVersion":"testbed-1","responseId":"resp-testbed"}\r\n\r\n'.encode(),
        ),
    )


@pytest.mark.parametrize("quirks", [(), ARRAY], ids=["events", "array"])
def test_every_kind_of_output_is_a_part(quirks: tuple[Quirk, ...]) -> None:
    """Thoughts are marked, calls are whole, a ping has no parts, and the last chunk has the reason."""
    thought, naive, japanese, cited, ping, look, stop, last = chunks(WHOLE, *quirks)
    assert parts(thought) == [{"text": "hm", "thought": True}]
    assert [part["text"] for one in (naive, japanese) for part in parts(one)] == ["naïve ", "日本語"]
    candidate = cited["candidates"][0]
    assert candidate["groundingMetadata"]["groundingChunks"] == [
        {"web": {"uri": "https://example.com/a", "title": "a page"}}
    ]
    assert candidate["citationMetadata"]["citationSources"][0] == {
        "startIndex": 0,
        "endIndex": len("naïve 日本語".encode()),
        "uri": "https://example.com/a",
    }
    assert parts(ping) == []
    assert parts(look) == [{"functionCall": {"id": "call_7", "name": "look", "args": {"at": 1.5}}}]
    assert parts(stop) == [{"functionCall": {"id": "call_testbed_1", "name": "stop", "args": {}}}]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == {
        "promptTokenCount": 8,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 1,
        "totalTokenCount": 13,
    }


def test_a_call_is_said_by_the_piece_that_makes_it_whole() -> None:
    """Each step's bytes depend on the steps before it alone; the numbers keep their spelling."""
    encoded = GEMINI.encode(
        (ToolCall("f"), Arguments('{"a": {'), Arguments('"b": 1.50}'), Arguments("}"), Arguments(" "))
    )
    assert [len(events) for events in encoded] == [0, 0, 0, 1, 0]
    assert b'"args":{"a":{"b":1.50}}' in encoded[3][0]


@pytest.mark.parametrize("step", [Text("a"), Thinking("a"), ToolCall("g"), Citation("a"), Finish()])
def test_a_call_without_pieces_is_said_before_the_next_word(step: Step) -> None:
    """It has no arguments, and stands in front of what follows it."""
    encoded = GEMINI.encode((ToolCall("f"), Ping(), step))
    assert [len(events) for events in encoded] == [0, 1, 1 if isinstance(step, ToolCall) else 2]
    assert b'"name":"f","args":{}' in encoded[2][0]


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            (ToolCall("f"), Arguments('{"a":'), Finish()),
            r"step 2 \(finish\): the arguments of the call of f before it are",
        ),
        (
            (ToolCall("f"), Arguments("[1]"), Text("a")),
            r"step 2 \(text\): the arguments of the call of f before it are",
        ),
        ((ToolCall("f"), Arguments("{}"), Arguments("{}")), r"step 2 \(arguments\): the piece '{}' belongs to no call"),
        ((Arguments("{}"),), r"step 0 \(arguments\): the piece '{}' belongs to no call"),
        ((Done(),), r"step 0 \(done\): gemini has no sentinel"),
        ((Text("a", 8),), r"step 0 \(text\): choice is 8"),
    ],
)
def test_what_cannot_be_said_is_a_usage_error(steps: tuple[Step, ...], sentence: str) -> None:
    """The step and the rule are named."""
    with pytest.raises(UsageError, match=sentence):
        GEMINI.encode(steps)


@pytest.mark.parametrize("step", [Comment("a"), Message("a")])
def test_an_array_has_no_comments_and_no_events(step: Step) -> None:
    """They would break the JSON without being a fault that anyone asked for."""
    with pytest.raises(UsageError, match="a JSON array has no comments and no events"):
        GEMINI.encode((step,), ARRAY)
    assert GEMINI.encode((step,)) != ((),)


def test_a_blocked_prompt_has_no_candidates() -> None:
    """The reason and the message stand in the feedback, and that is the whole answer."""
    (chunk,) = chunks((Open(), Refusal("no")))
    assert chunk["promptFeedback"] == {"blockReason": "SAFETY", "blockReasonMessage": "no"}
    assert "candidates" not in chunk
    assert GEMINI.terminal(Refusal("no")) is Terminal.SOFT
    assert chunks((Refusal("no"),), *ARRAY) == [chunk]


def test_a_stop_for_safety_has_no_content() -> None:
    """Only a normal end and the limit of tokens bring a last part."""
    (safety,) = chunks((Finish("SAFETY"),))
    assert safety["candidates"] == [{"finishReason": "SAFETY", "index": 0}]
    (limit,) = chunks((Finish("MAX_TOKENS"),))
    assert parts(limit) == [{"text": ""}]


def test_candidates_are_told_apart() -> None:
    """Each has its index and its reason, the end of the first alone is terminal, and the array ends with the last."""
    steps = (Text("a"), Text("b", 1), Finish(), Text("c", 1), Finish("MAX_TOKENS", 1))
    seen = [chunk["candidates"][0] for chunk in chunks(steps, *ARRAY)]
    assert [(one["index"], one.get("finishReason")) for one in seen] == [
        (0, None),
        (1, None),
        (0, "STOP"),
        (1, None),
        (1, "MAX_TOKENS"),
    ]
    assert [GEMINI.terminal(step) for step in steps] == [
        Terminal.NONE,
        Terminal.NONE,
        Terminal.SOFT,
        *[Terminal.NONE] * 2,
    ]
    assert GEMINI.violations(steps) == ()


def test_failures_are_events_or_bare_lines() -> None:
    """An event with the error by nature; with the quirk lines that a parser of events cannot see."""
    error = {"code": 503, "message": "oh", "status": "UNAVAILABLE"}
    steps = (Text("a"), Failure("UNAVAILABLE", "oh"))
    assert chunks(steps)[-1] == {"error": error}
    assert chunks(steps, *ARRAY)[-1] == {"error": error}
    bare = raw(steps, Quirk.BARE_ERROR)
    assert len(Parser().feed(bare)) == 1
    _, _, lines = bare.partition(b"\r\n\r\n")
    assert lines.startswith(b'{\r\n  "error": {\r\n')
    assert json.loads(lines) == {"error": error}


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((Text("a"), Refusal("no")), "step 1 (refusal): a prompt that was blocked has no candidates"),
        ((Refusal("no"), Text("a")), "step 1 (text): content stands before the finishReason of its candidate"),
        ((Finish(), Finish()), "step 1 (finish): finishReason comes once for each candidate"),
        ((Citation("a"),), "step 0 (citation): a citation follows the text that it is about"),
        ((Failure("INTERNAL"), Ping()), "step 1 (ping): nothing is kept alive after the end"),
    ],
)
def test_what_is_out_of_order_is_said(steps: tuple[Step, ...], sentence: str) -> None:
    """Order is judged by the table, a sentence each."""
    assert GEMINI.violations(steps) == (sentence,)


def test_the_form_of_an_array_is_json() -> None:
    """The head says so, with or without a charset."""
    assert GEMINI.content_type_of(()) == "text/event-stream"
    assert GEMINI.content_type_of(ARRAY) == "application/json; charset=UTF-8"
    assert GEMINI.content_type_of((*ARRAY, Quirk.NO_CHARSET)) == "application/json"


# --- by the SDK's own types -------------------------------------------------------------------------------------------

FORMS = st.sampled_from([(), ARRAY, (Quirk.MIXED_LINE_ENDS,), (Quirk.CR,), (Quirk.BOM,), (Quirk.NO_SPACE,)])
ENDS = st.sampled_from([Finish(), Finish("MAX_TOKENS"), Finish("SAFETY"), Failure("INTERNAL")])


@settings(deadline=None)
@given(contents(refusals=False), ENDS, FORMS)
def test_every_chunk_is_of_the_sdks_type(content: tuple[Step, ...], end: Step, form: tuple[Quirk, ...]) -> None:
    """Invariant: each chunk but an error is valid by the SDK's type, which forbids fields that it does not know."""
    steps = (Head(), Open(), *content, end)
    assert GEMINI.violations(steps) == ()
    seen = chunks(steps, *form)
    answers = [types.GenerateContentResponse.model_validate(one) for one in seen if "error" not in one]
    found = [part for one in answers for candidate in one.candidates or () for part in _parts(candidate)]
    assert "".join(part.text or "" for part in found if not part.thought) == joined(content, Text)
    assert "".join(part.text or "" for part in found if part.thought) == joined(content, Thinking)
    assert sum("error" in one for one in seen) == isinstance(end, Failure)


def _parts(candidate: types.Candidate) -> Sequence[types.Part]:
    return (candidate.content.parts or ()) if candidate.content else ()


def test_finish_reasons_and_block_reasons_are_the_sdks() -> None:
    """What the dialect writes by itself is a member of the SDK's enums."""
    assert types.FinishReason("STOP") is types.FinishReason.STOP
    (blocked,) = chunks((Refusal("no"),))
    feedback = types.GenerateContentResponse.model_validate(blocked).prompt_feedback
    assert feedback is not None
    assert feedback.block_reason is types.BlockedReason.SAFETY


# --- read by the SDK --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """One HTTP client for all tests: what it costs is to make it."""
    with httpx.Client(timeout=BOUND, trust_env=False) as client:
        yield client


def read(http: httpx.Client, script: Script) -> list[types.GenerateContentResponse]:
    """Let the SDK ask for the script and read it to its end."""
    with speaking(script) as speaker:
        options = types.HttpOptions(base_url=speaker.root, httpx_client=http, timeout=int(BOUND * 1000))
        client = genai.Client(api_key="testbed", vertexai=False, http_options=options)
        try:
            seen = list(client.models.generate_content_stream(**GEMINI.request("testbed-1")))
        finally:
            assert speaker.refused == []
    return seen


def shown(answers: Sequence[types.GenerateContentResponse]) -> dict[str, Any]:
    """What a caller finds in the chunks, kind by kind."""
    found = [part for one in answers for candidate in one.candidates or () for part in _parts(candidate)]
    return {
        "text": "".join(one.text or "" for one in answers),
        "thinking": "".join(part.text or "" for part in found if part.thought),
        "calls": [(part.function_call.name, part.function_call.args) for part in found if part.function_call],
    }


def meant(content: tuple[Step, ...]) -> dict[str, Any]:
    """What the steps say, kind by kind."""
    return {"text": joined(content, Text), "thinking": joined(content, Thinking), "calls": made_calls(content)}


# Releases before 3.0 end lines at these three as well: a defect of theirs, and no affair of the dialect.
READABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"), max_size=12)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(content=contents(refusals=False, text=READABLE), reason=st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY"]))
def test_the_sdk_reads_what_the_script_says(http: httpx.Client, content: tuple[Step, ...], reason: str) -> None:
    """Ten drawn answers: every text, every thought, every call and the reason reach the caller."""
    answers = read(http, Script(GEMINI.name, (Head(), Open(), *content, Finish(reason))))
    assert shown(answers) == meant(content)
    assert answers[-1].candidates is not None
    assert answers[-1].candidates[0].finish_reason == types.FinishReason(reason)


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("split", [(), (SplitEvery(1),)], ids=["whole", "byte-by-byte"])
def test_the_sdk_reads_every_kind_of_output(
    http: httpx.Client, framing: Framing, split: tuple[SplitEvery, ...]
) -> None:
    """In every framing, in one piece and byte by byte."""
    answers = read(http, Script(GEMINI.name, (Head(framing=framing), *WHOLE[1:]), split))
    assert shown(answers) == meant(CONTENT)
    metadata = [one.candidates[0].grounding_metadata for one in answers if one.candidates]
    assert [one.grounding_chunks[0].web.title for one in metadata if one] == ["a page"]  # type: ignore[index,union-attr]


def test_the_sdk_shows_a_blocked_prompt(http: httpx.Client) -> None:
    """Without candidates there is no text, and the reason is in the feedback."""
    (answer,) = read(http, Script(GEMINI.name, (Head(), Open(), Refusal("no"))))
    assert (answer.text, answer.candidates) == (None, None)
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason is types.BlockedReason.SAFETY


@pytest.mark.parametrize("quirks", [(), (Quirk.BARE_ERROR,)], ids=["event", "bare"])
@pytest.mark.parametrize(
    ("kind", "raised"), [("UNAVAILABLE", errors.ServerError), ("RESOURCE_EXHAUSTED", errors.ClientError)]
)
def test_the_sdk_raises_a_failure(
    http: httpx.Client, quirks: tuple[Quirk, ...], kind: str, raised: type[errors.APIError]
) -> None:
    """In both of its shapes, as the class of its number."""
    with pytest.raises(raised) as caught:
        read(http, Script(GEMINI.name, (Head(), Open(), Text("a"), Failure(kind, "oh")), quirks=quirks))
    assert (caught.value.status, caught.value.message) == (kind, "oh")


@pytest.mark.parametrize("name", GEMINI.cases)
def test_the_sdk_raises_each_named_error(http: httpx.Client, name: str) -> None:
    """With its number, its name, its sentence and its details."""
    case = GEMINI.cases[name]
    answer = GEMINI.answer(case)
    head = Head(answer.status, "application/json", framing=Framing.LENGTH)
    with pytest.raises(errors.APIError) as caught:
        read(http, Script(GEMINI.name, (head, Body(answer.body))))
    assert (caught.value.code, caught.value.message) == (case.status, case.message)
    assert caught.value.status == (case.kind or STATUSES[case.status])


def test_the_sdk_lists_models_and_counts_tokens(http: httpx.Client) -> None:
    """What is asked beside an answer plays no attempt."""
    with speaking(Script(GEMINI.name, WHOLE)) as speaker:
        options = types.HttpOptions(base_url=speaker.root, httpx_client=http)
        client = genai.Client(api_key="testbed", vertexai=False, http_options=options)
        assert [model.name for model in client.models.list()] == ["models/testbed-1"]
        assert client.models.get(model="other").name == "models/other"
        assert client.models.count_tokens(model="other", contents="a").total_tokens == 8
    assert (len(speaker.asides), speaker.played) == (3, [])


# --- errors and requests ----------------------------------------------------------------------------------------------


def test_a_limit_says_when_to_come_back() -> None:
    """The vendor has no header for it: the delay stands in the details."""
    details = json.loads(GEMINI.answer(Case(429, "no", headers=(("retry-after", "7"),))).body)["error"]["details"]
    assert [one["@type"].rpartition(".")[2] for one in details] == ["QuotaFailure", "RetryInfo"]
    assert details[1]["retryDelay"] == "7s"


def refusal(body: object, *, method: str = "POST", path: str = "", query: str = "alt=sse", quirks: Any = ()) -> Any:
    """The status and the error with which a request is refused, or None."""
    path = path or GEMINI.path.partition("?")[0]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    answer = GEMINI.refuse(Asked(method, path, query, headers, data, frozenset(quirks)))
    return None if answer is None else (answer.status, json.loads(answer.body)["error"])


PROMPT = {"contents": [{"parts": [{"text": "a"}]}]}


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("model", ["models/gemini-2.5-flash", "tunedModels/mine"])
def test_the_model_stands_in_the_path(version: str, model: str) -> None:
    """Every version and every model is served."""
    assert refusal(PROMPT, path=f"/{version}/{model}:streamGenerateContent") is None


def test_keys_may_be_in_both_spellings() -> None:
    """Protocol buffers read camelCase and snake_case."""
    for key in ("generationConfig", "generation_config"):
        assert refusal({**PROMPT, key: {"maxOutputTokens": 5, "top_p": 1}}) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"contents": []}, "contents"),
        ({"contents": [{"parts": []}]}, "contents[0].parts"),
        ({"contents": [{"role": "robot", "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"txt": "a"}]}]}, "contents[0].parts[0]"),
        ({"generationConfig": {"temperature": 3}}, "generationConfig.temperature"),
        ({"foo": 1}, "foo"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], field: str) -> None:
    """INVALID_ARGUMENT, with the field among the details."""
    status, error = refusal({**PROMPT, **change})
    assert (status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["fieldViolations"][0]["field"] == field


def test_the_form_that_is_asked_for_must_be_the_scripts() -> None:
    """A stream of events needs alt=sse; an array is answered whatever was asked, as servers that ignore it do."""
    status, error = refusal(PROMPT, query="")
    assert (status, "alt=sse" in error["message"]) == (400, True)
    assert refusal(PROMPT, query="", quirks=ARRAY) is None
    assert refusal(PROMPT, query="alt=sse", quirks=ARRAY) is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1beta/models/a:generateContent", 404),
        ("POST", "/v2/models/a:streamGenerateContent", 404),
        ("GET", "/v1beta/models/a:streamGenerateContent", 405),
    ],
)
def test_a_wrong_place_is_refused(method: str, path: str, status: int) -> None:
    """Only streams are served, by POST."""
    assert refusal(PROMPT, method=method, path=path)[0] == status


def test_a_body_that_is_no_json_is_refused() -> None:
    """With the vendor's name for it."""
    assert refusal(b"{")[1]["status"] == "INVALID_ARGUMENT"
