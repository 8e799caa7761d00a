"""The Responses API of openai, and google-genai: what their callers see of every kind of output and of every end."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing

import pytest

from testbed import runner, script
from testbed.adapters import KNOWN, load
from testbed.adapters.items import Finish, Item, ToolCall, Usage
from testbed.dialects import DIALECTS
from testbed.oracle import Verdict, judge
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.ports import Runtime
from testbed.script import (
    Arguments,
    Body,
    Citation,
    DialectName,
    Done,
    End,
    Ending,
    Failure,
    Head,
    Open,
    Ping,
    Quirk,
    Refusal,
    Script,
    Step,
    Text,
    Thinking,
)
from testbed.trace import Ended, Request, Wrapping
from testbed.trace import Failure as F
from tests.adapters.loopback import RST, Loopback, Part, chunked, status
from tests.adapters.support import ListRecorder, call, target_of

CONTENT: tuple[Step, ...] = (
    Open(),
    Thinking("hm"),
    Text("naïve "),
    Text("日本語"),
    Citation("a page"),
    Ping(),
    script.ToolCall("look", "call_7"),
    Arguments('{"at":'),
    Arguments("1}"),
)
ENDS: dict[str, tuple[Step, ...]] = {
    "openai-responses": (script.Finish(), Done()),
    "google-genai": (script.Finish(),),
}
NAMES = list(ENDS)
LOOPS = (Runtime.ASYNCIO, Runtime.TRIO)


def body(name: str, *steps: Step, quirks: tuple[Quirk, ...] = ()) -> list[bytes]:
    """The events of the steps in the client's dialect."""
    dialect = DIALECTS[KNOWN[name].dialects[0]]
    return [event for step in dialect.encode(steps, quirks) for event in step]


def items(name: str, *parts: Part) -> list[Item]:
    """Everything that the adapter yields for this answer."""
    server = Loopback([parts])

    async def collect(root: str) -> list[Item]:
        async with aclosing(load(name)(target_of(root, KNOWN[name].dialects[0]))) as seen:  # type: ignore[operator]
            return [item async for item in seen]

    with server.serve() as root:
        return asyncio.run(collect(root))


def seen_of(
    name: str, *steps: Step, runtime: Runtime = Runtime.ASYNCIO, quirks: tuple[Quirk, ...] = ()
) -> ListRecorder:
    """What the witness records of an answer with these steps."""
    recorder, _ = call(load(name), runtime, [chunked(*body(name, *steps, quirks=quirks))])
    return recorder


# --- what a caller sees -----------------------------------------------------------------------------------------------


def test_every_kind_of_output_of_the_responses_api_is_shown() -> None:
    """Text in deltas, a call with its whole arguments, the end and the counts; no thought."""
    seen = items("openai-responses", chunked(*body("openai-responses", *CONTENT, *ENDS["openai-responses"])))
    assert seen == [
        "naïve ",
        "日本語",
        ToolCall("call_7", "look", '{"at":1}'),
        Finish("completed"),
        Usage(8, 5),
    ]


def test_every_kind_of_output_of_gemini_is_shown() -> None:
    """Text in chunks, a call as a whole, the end and the counts; no thought."""
    seen = items("google-genai", chunked(*body("google-genai", *CONTENT, *ENDS["google-genai"])))
    assert [one for one in seen if one != ""] == [
        "naïve ",
        "日本語",
        ToolCall("call_7", "look", '{"at": 1}'),
        Finish("STOP"),
        Usage(8, 3),
    ]


def test_an_incomplete_response_says_why() -> None:
    """The reason of the details is the finish that a caller sees."""
    recorder = seen_of("openai-responses", *CONTENT, script.Finish("max_output_tokens"), Done())
    assert recorder.reasons == ["max_output_tokens"]
    assert isinstance(recorder.end, Ended)


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL"])
def test_a_candidate_says_why_it_ended(reason: str) -> None:
    """Any reason of the enum, with and without content."""
    assert seen_of("google-genai", Text("a"), script.Finish(reason)).reasons == [reason]


def test_a_blocked_prompt_is_a_finish() -> None:
    """There is no text, and the reason for that is shown."""
    recorder = seen_of("google-genai", Refusal("no"))
    assert (recorder.text, recorder.reasons) == ("", ["SAFETY"])


@pytest.mark.parametrize("runtime", LOOPS)
@pytest.mark.parametrize(
    ("name", "kind", "quirks"),
    [
        ("openai-responses", "server_error", ()),
        ("openai-responses", "server_error", (Quirk.ERROR_EVENT,)),
        ("openai-responses", "server_error", (Quirk.NESTED_ERROR,)),
        ("google-genai", "RESOURCE_EXHAUSTED", ()),
        ("google-genai", "UNAVAILABLE", (Quirk.BARE_ERROR,)),
    ],
)
def test_an_error_inside_the_stream_is_the_providers(
    name: str, runtime: Runtime, kind: str, quirks: tuple[Quirk, ...]
) -> None:
    """In each of its shapes: after the text, with the provider's code, and with no status but the answer's own."""
    recorder = seen_of(name, *CONTENT[:3], Failure(kind), runtime=runtime, quirks=quirks)
    assert recorder.text == "naïve "
    assert (recorder.classes, recorder.raised.code) == ({"provider"}, kind)
    assert recorder.raised.status in {None, 200}


@pytest.mark.parametrize("runtime", LOOPS)
def test_a_reset_reaches_the_caller_of_google_genai_as_it_is(runtime: Runtime) -> None:
    """The SDK wraps nothing that happens below it, and the adapter mends nothing."""
    recorder, _ = call(load("google-genai"), runtime, [chunked(*body("google-genai", *CONTENT[:3]), end=False), RST])
    assert recorder.raised.type.partition(".")[0] in {"httpx", "httpx2"}
    assert recorder.raised.wrapping is Wrapping.FOREIGN


def test_what_is_no_json_is_a_decoding_error_of_google_genai() -> None:
    """The SDK has a class of its own for it."""
    recorder, _ = call(load("google-genai"), Runtime.TRIO, [status("200 OK", b"<html></html>", "", "text/html")])
    assert recorder.classes == {"decode", "protocol"}


STRANGE = [
    '{"not":"an event"}',
    '{"type":"response.completed"}',
    '{"type":"response.output_text.delta","delta":5}',
    '{"type":"response.incomplete","response":{"incomplete_details":null}}',
    '{"type":"response.output_item.added","item":null}',
    '{"type":["x"]}',
]


@pytest.mark.parametrize("data", STRANGE)
def test_the_adapter_of_the_responses_api_never_stumbles(data: str) -> None:
    """The SDK hands on what it did not validate; a crash here would be ours, and would be blamed on it."""
    rest = body("openai-responses", *CONTENT, *ENDS["openai-responses"])
    recorder, _ = call(load("openai-responses"), Runtime.TRIO, [chunked(f"data: {data}\n\n".encode(), *rest)])
    assert isinstance(recorder.end, Ended), recorder.end
    assert recorder.text == "naïve 日本語"


@pytest.mark.parametrize("data", ["{}", '{"candidates":[]}', '{"candidates":[{}]}', '{"candidates":[{"content":{}}]}'])
def test_the_adapter_of_gemini_never_stumbles(data: str) -> None:
    """Everything in a chunk may be missing."""
    rest = body("google-genai", *CONTENT, *ENDS["google-genai"])
    recorder, _ = call(load("google-genai"), Runtime.TRIO, [chunked(f"data: {data}\r\n\r\n".encode(), *rest)])
    assert isinstance(recorder.end, Ended), recorder.end
    assert recorder.text == "naïve 日本語"


def test_the_environment_does_not_lead_google_genai_elsewhere() -> None:
    """A variable that chooses another service of the vendor's is for other programs."""
    name = "GOOGLE_GENAI_USE_VERTEXAI"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        assert seen_of("google-genai", *CONTENT, *ENDS["google-genai"]).text == "naïve 日本語"
    finally:
        os.environ.pop(name)
        os.environ.update({} if before is None else {name: before})


# --- judged over the testbed's own server -----------------------------------------------------------------------------


def plan_of(name: str, *steps: Step, before: tuple[Step, ...] = (), retries: int = 0) -> Plan:
    """An answer with these steps, perhaps with another one before it."""
    answers = [Script(KNOWN[name].dialects[0], one) for one in (before, (Head(), *steps)) if one]
    attempts = tuple(Attempt(script=one) for one in answers)
    return Plan(scenario="clients", title="an answer", attempts=attempts, client=ClientSettings(max_retries=retries))


def judged(name: str, engine: str, *steps: Step) -> tuple[Verdict, set[F]]:
    """The verdict over one run, and what was found."""
    plan = plan_of(name, *steps)
    judgement = judge(plan, runner.run(plan, runner.engine(engine), load(name)))
    return judgement.verdict, {finding.failure for finding in judgement.findings}


@pytest.mark.parametrize("engine", ["embedded", "simulated"])
@pytest.mark.parametrize("name", NAMES)
def test_a_clean_answer_passes(name: str, engine: str) -> None:
    """Over real sockets and in memory: the whole answer with everything in it."""
    assert judged(name, engine, *CONTENT, *ENDS[name]) == (Verdict.PASS, set())


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_without_its_end_is_taken_for_a_whole_one(name: str) -> None:
    """Both SDKs end their iteration without a word when the body ends cleanly: that is silent truncation."""
    assert judged(name, "simulated", *CONTENT[:4]) == (Verdict.FAIL, {F.SILENT_TRUNCATION})


def test_a_reset_is_wrapped_by_openai_and_not_by_google() -> None:
    """The one has a class for it that it promises, the other lets its HTTP library speak."""
    ends = {name: judged(name, "simulated", *CONTENT[:4], End(Ending.RST)) for name in NAMES}
    assert ends["openai-responses"][0] in {Verdict.PASS, Verdict.LENIENT}
    assert ends["google-genai"] == (Verdict.FAIL, {F.UNWRAPPED_ERROR})


def test_google_genai_retries_as_often_as_it_is_told() -> None:
    """One retry after the SDK's own pause, then the answer."""
    busy = (Head(503, "application/json"), Body(DIALECTS[DialectName.GEMINI].error_body(503, "", "busy")))
    plan = plan_of("google-genai", *CONTENT, *ENDS["google-genai"], before=busy, retries=1)
    trace = runner.run(plan, runner.engine("simulated"), load("google-genai"))
    assert sum(isinstance(one, Request) for one in trace.observations) == 2
    assert judge(plan, trace).verdict is Verdict.PASS
