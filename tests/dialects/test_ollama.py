"""Ollama: its lines byte by byte, its order rules by the SDK's own types, its requests, and the SDK over a socket."""

from __future__ import annotations

import json
from typing import Any

import ollama
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.adapters import load
from testbed.dialects import DIALECTS, Asked
from testbed.errors import UsageError
from testbed.ports import Runtime
from testbed.program import Write, compile_script, layout
from testbed.script import (
    Arguments,
    Body,
    Citation,
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
    Refusal,
    Script,
    SplitEvery,
    Step,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)
from testbed.trace import Ended
from tests.adapters.support import ListRecorder, drive_once, target_of
from tests.dialects.drawing import drawn
from tests.dialects.speaking import BOUND, speaking

OLLAMA = DIALECTS[DialectName.OLLAMA]
FRAME = '{"model":"testbed-1","created_at":"2023-11-14T22:13:20.000000Z",'
WHOLE: tuple[Step, ...] = (
    Open(),
    Thinking("let me"),
    Text("a<b & \u2028\u2029>"),
    ToolCall("look", "call_7"),
    Arguments('{"city": "Gr'),
    Arguments('ü\\n"}'),
    Text("日本語 😀"),
    Finish("length"),
    Done(),
)


def asked(method: str = "POST", path: str = "/api/chat", body: object = None, **headers: str) -> Asked:
    """Make a request; a body that is not bytes is JSON."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Asked(method, path, "", headers, data)


def lines(script: Script) -> list[dict[str, Any]]:
    """Read the body of a script, line by line."""
    body = b"".join(op.data[slice(*op.payload)] for op in compile_script(script) if isinstance(op, Write))
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.split(b"\n")[:-1]]


def clean(*steps: Step, **fields: Any) -> Script:
    """Make a script that sends its body whole and in the clear."""
    return Script(OLLAMA.name, (Head(framing=Framing.CLOSE), *steps), **fields)


# --- spelling ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_a_line_for_each_thing_said() -> None:
    """The bytes of a whole answer: escapes as Go writes them, a call in one line, the counters in the last."""
    line = FRAME + '"message":{"role":"assistant","content":%s},"done":false}\n'
    call = '"","tool_calls":[{"id":"call_7","function":{"index":0,"name":"look","arguments":{"city":"Grü\\n"}}}]'
    counters = (
        '"total_duration":5000000,"load_duration":1000000,"prompt_eval_count":8,"prompt_eval_duration":1000000,'
        '"eval_count":4,"eval_duration":3000000}\n'
    )
    assert [b"".join(step).decode() for step in OLLAMA.encode(WHOLE)] == [
        "",
        line % '"","thinking":"let me"',
        line % '"a\\u003cb \\u0026 \\u2028\\u2029\\u003e"',
        "",
        "",
        line % call,
        line % '"日本語 😀"',
        "",
        FRAME + '"message":{"role":"assistant","content":""},"done":true,"done_reason":"length",' + counters,
    ]


def test_a_line_holds_no_line_end() -> None:
    """Neither from a text nor from arguments that were written over several lines; a number keeps its digits."""
    arguments = '{\n  "n": 12345678901234567890.50\n}'
    (data,) = OLLAMA.encode((Open(), ToolCall("f"), Arguments(arguments)))[-1]
    assert data.count(b"\n") == 1
    assert b'"arguments":{"n":12345678901234567890.50}' in data
    ((data,),) = OLLAMA.encode((Text("a\r\nb"),))
    assert data.count(b"\n") == 1


def test_an_error_is_a_line_of_its_own() -> None:
    """It has the message, and no kind: the vendor has none."""
    assert OLLAMA.encode((Failure("server_error", "oh"),)) == ((b'{"error":"oh"}\n',),)


def test_the_reason_is_said_in_the_last_line_only() -> None:
    """A finish has no bytes; without one the reason is the normal one. Only the last line ends the answer."""
    assert lines(clean(Finish("length"), Done()))[0]["done_reason"] == "length"
    assert lines(clean(Done()))[0]["done_reason"] == "stop"
    assert (OLLAMA.terminal(Finish()), OLLAMA.terminal(Done())) == (Terminal.NONE, Terminal.HARD)
    assert {Open, Finish, ToolCall} <= OLLAMA.wordless


@pytest.mark.parametrize("step", [Ping(), Comment("x"), Message("x"), Refusal("x"), Citation("x")])
def test_what_lines_of_json_cannot_say_is_refused(step: Step) -> None:
    """Server-sent events, a keep-alive, and words that the vendor does not have."""
    with pytest.raises(UsageError, match=r"step 1 \(\w+\): ollama"):
        OLLAMA.encode((Open(), step))


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((ToolCall("f"), Text("x")), r"step 1 \(text\): the arguments of the tool call 'f' before it are ''"),
        ((ToolCall("f"), Arguments("[1"), Done()), r"step 2 \(done\): .* are '\[1'; its arguments steps, joined, must"),
        ((ToolCall("f"), ToolCall("g")), r"step 1 \(tool_call\): the arguments of the tool call 'f'"),
        ((Arguments("{}"),), r"step 0 \(arguments\): no tool call before it waits for arguments"),
        ((ToolCall("f"), Arguments("{}"), Arguments("{}")), r"step 2 \(arguments\): no tool call before it waits"),
    ],
)
def test_a_tool_call_is_whole_or_not_said(steps: tuple[Step, ...], sentence: str) -> None:
    """The vendor says a call in one line, with an object: what is none is named with its step."""
    with pytest.raises(UsageError, match=sentence):
        OLLAMA.encode(steps)


# --- properties -------------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
arguments = st.dictionaries(words, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words, max_size=3)


@st.composite
def calls(draw: st.DrawFn) -> list[Step]:
    """A tool call whose arguments come in up to three pieces."""
    whole = json.dumps(draw(arguments), ensure_ascii=draw(st.booleans()))
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=2)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    # Nothing may follow the last brace, so an empty piece stands before it or nowhere.
    while len(pieces) > 1 and not pieces[-1]:
        pieces.pop()
    return [ToolCall(draw(words)), *map(Arguments, pieces)]


contents = st.lists(
    st.one_of(st.builds(lambda text: [Text(text)], words), st.builds(lambda text: [Thinking(text)], words), calls()),
    max_size=6,
).map(lambda groups: [step for group in groups for step in group])
answers = contents.map(lambda steps: (Open(), *steps, Finish(), Done()))


@settings(deadline=None)
@given(answers)
def test_a_clean_answer_is_valid_by_the_sdks_types(steps: tuple[Step, ...]) -> None:
    """Invariant: what breaks no rule of ours is a list of their ChatResponse, of which just the last is done."""
    assert not OLLAMA.violations(steps)
    parts = [ollama.ChatResponse.model_validate(line, strict=True) for line in lines(clean(*steps))]
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert "".join(part.message.content or "" for part in parts) == clean(*steps).text
    thoughts = "".join(step.text for step in steps if isinstance(step, Thinking))
    assert "".join(part.message.thinking or "" for part in parts) == thoughts
    said = [call.function for part in parts for call in part.message.tool_calls or ()]
    assert [call.name for call in said] == [step.name for step in steps if isinstance(step, ToolCall)]
    assert "".join(json.dumps(call.arguments) for call in said) == _joined(steps)


def _joined(steps: tuple[Step, ...]) -> str:
    whole, so_far = [], ""
    for step in steps:
        if isinstance(step, Arguments):
            so_far += step.json
            try:
                whole.append(json.dumps(json.loads(so_far)))
                so_far = ""
            except ValueError:
                continue
    return "".join(whole)


@settings(deadline=None)
@given(answers)
def test_both_paths_have_every_event_at_the_same_place(steps: tuple[Step, ...]) -> None:
    """Invariant: a plan's addresses mean the same on /api/generate, and each line there is their GenerateResponse."""
    chat = clean(*steps)
    generate = OLLAMA.resume(chat, asked(path="/api/generate"))
    assert layout(generate).events == layout(chat).events
    parts = [ollama.GenerateResponse.model_validate(line, strict=True) for line in lines(generate)]
    assert "".join(part.response or "" for part in parts) == chat.text
    assert [part.done for part in parts] == [part["done"] for part in lines(chat)]
    assert OLLAMA.resume(chat, asked()) is chat


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((Open(), Open()), "step 1 (open): the opening comes first, and once"),
        ((Done(), Text("x")), "step 1 (text): content stands between the opening and the finish"),
        ((Finish(), Finish()), "step 1 (finish): the reason is given once, after the content"),
        ((Done(), Done()), "step 1 (done): the line with done:true comes once, and is the last"),
        ((Failure("x"), Done()), "step 1 (done): the line with done:true comes once, and is the last"),
        ((Head(), Body("x")), "step 1 (body): text that is no event stands in a stream of events"),
    ],
)
def test_what_is_out_of_order_is_named(steps: tuple[Step, ...], sentence: str) -> None:
    """One sentence with the step and the rule."""
    assert OLLAMA.violations(steps) == (sentence,)


def test_an_answer_needs_no_opening() -> None:
    """It has no bytes, so the answer is the same without it."""
    assert not OLLAMA.violations((Text("a"), ToolCall("f"), Arguments("{}"), Done()))


# --- requests ---------------------------------------------------------------------------------------------------------

GOOD = OLLAMA.request("testbed-1")


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_right_request_plays_an_attempt(path: str) -> None:
    """Also without `stream`, which is true unless it is said, and whatever the content type is."""
    whole = {**GOOD, "prompt": "Say something."}
    for body in (whole, {**whole, "stream": None}, {key: value for key, value in whole.items() if key != "stream"}):
        assert OLLAMA.refuse(asked(path=path, body=body)) is None
        assert OLLAMA.aside(asked(path=path, body=body)) is None


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (asked(path="/api/chats"), 404, "the path is /api/chats; ollama is served at /api/chat and /api/generate"),
        (asked("PUT"), 405, "the method is PUT; /api/chat takes POST"),
        (asked(), 400, "missing request body"),
        (asked(body=b"{"), 400, "the body is not JSON"),
        (asked(body=[]), 400, "the body is a JSON list; it must be an object"),
        (asked(body={}), 400, "model is required"),
        (asked(body={"model": ""}), 400, "model is required"),
        (asked(body={"model": "x", "messages": "hi"}), 400, 'the body\'s messages is "hi"; it must be a list'),
        (asked(body={"model": "x", "messages": {"role": "user"}}), 400, "the body's messages is {"),
        (asked(body={**GOOD, "stream": [1]}), 400, "the body's stream is [1]; this server only streams"),
        (asked(body={**GOOD, "stream": False}), 400, "the body's stream is false; this server only streams"),
    ],
)
def test_a_wrong_request_gets_the_vendors_error(request_: Asked, status: int, words: str) -> None:
    """The status, and a JSON object with nothing but the message."""
    answer = OLLAMA.refuse(request_)
    assert answer is not None
    assert answer.status == status
    (message,) = json.loads(answer.body).values()
    assert message.startswith(words)
    assert OLLAMA.aside(request_) is None


def test_asides_are_what_the_sdk_expects() -> None:
    """The lists, the version and the model's card parse as its own types; a request without a question loads."""
    tags, shown = OLLAMA.aside(asked("GET", "/api/tags")), OLLAMA.aside(asked(path="/api/show", body={"model": "x"}))
    assert tags is not None
    assert shown is not None
    assert ollama.ListResponse.model_validate_json(tags.body).models[0].model == "testbed-1:latest"
    assert ollama.ShowResponse.model_validate_json(shown.body).capabilities == ["completion", "tools", "thinking"]
    assert json.loads(OLLAMA.aside(asked("GET", "/api/version")).body) == {"version": "0.12.0"}  # type: ignore[union-attr]
    assert OLLAMA.aside(asked("GET", "/")).body == "Ollama is running"  # type: ignore[union-attr]
    for path, key in (("/api/chat", "message"), ("/api/generate", "response")):
        loaded = OLLAMA.aside(asked(path=path, body={"model": "x"}))
        assert loaded is not None
        assert {"done": True, "done_reason": "load"}.items() <= json.loads(loaded.body).items()
        assert key in json.loads(loaded.body)


# --- the SDK ----------------------------------------------------------------------------------------------------------


def read(*scripts: Script) -> list[ollama.ChatResponse]:
    """Let the `ollama` package ask for the script and read it to its end."""
    with speaking(*scripts) as server, ollama.Client(server.root, timeout=BOUND, trust_env=False) as sdk:
        parts = list(sdk.chat(**OLLAMA.request("testbed-1")))
    assert not server.refused
    return parts


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("split", [(), (SplitEvery(1),)], ids=["whole", "byte-by-byte"])
def test_the_sdk_reads_a_clean_answer(framing: Framing, split: tuple[SplitEvery, ...]) -> None:
    """Texts, thoughts, the tool call and the reason, in every framing, whole and byte by byte."""
    script = Script(OLLAMA.name, (Head(framing=framing), *WHOLE), split)
    parts = read(script)
    assert "".join(part.message.content or "" for part in parts) == script.text
    assert [part.message.thinking for part in parts if part.message.thinking] == ["let me"]
    assert [part.message.tool_calls[0].function.arguments for part in parts if part.message.tool_calls] == [
        {"city": "Grü\n"}
    ]
    assert (parts[-1].done, parts[-1].done_reason, parts[-1].eval_count) == (True, "length", 4)


def test_the_sdk_generates() -> None:
    """The other path, with the same script."""
    with speaking(clean(*WHOLE)) as server, ollama.Client(server.root, timeout=BOUND, trust_env=False) as sdk:
        parts = list(sdk.generate("testbed-1", "Say something.", stream=True))
    assert "".join(part.response or "" for part in parts) == clean(*WHOLE).text
    assert parts[-1].done_reason == "length"


def test_the_sdk_asks_around_a_stream() -> None:
    """The list of models and a model's card."""
    with speaking(clean(Done())) as server, ollama.Client(server.root, timeout=BOUND, trust_env=False) as sdk:
        assert [model.model for model in sdk.list().models] == ["testbed-1:latest"]
        assert sdk.show("testbed-1").details is not None
    assert (server.played, server.refused) == ([], [])


def test_the_sdk_raises_what_the_server_says() -> None:
    """An error line inside the stream has no status; an error before it has its own."""
    with pytest.raises(ollama.ResponseError) as raised:
        read(clean(Text("a"), Failure("", "oh")))
    assert (raised.value.error, raised.value.status_code) == ("oh", -1)
    body = Body(OLLAMA.error_body(503, "", "busy"))
    with pytest.raises(ollama.ResponseError) as raised:
        read(Script(OLLAMA.name, (Head(503, "application/json"), body)))
    assert (raised.value.error, raised.value.status_code) == ("busy", 503)


# The SDK cuts lines as str.splitlines does. Of where that cuts Go escapes all but U+0085.
readable = answers.filter(lambda steps: b"\xc2\x85" not in b"".join(map(b"".join, OLLAMA.encode(steps))))


def test_the_sdk_reads_drawn_answers() -> None:
    """Ten answers of any text: all of it arrives, on one server, one after the other."""
    scripts = [clean(*steps) for steps in drawn(readable, 10)]
    with speaking(*scripts) as server, ollama.Client(server.root, timeout=BOUND, trust_env=False) as sdk:
        for script in scripts:
            parts = list(sdk.chat(**OLLAMA.request("testbed-1")))
            assert "".join(part.message.content or "" for part in parts) == script.text
            assert parts[-1].done
    assert len(server.played) == len(scripts) >= 10


def test_the_sdk_cuts_lines_at_what_is_no_line_end() -> None:
    """U+0085 comes as it is from the real server, and the SDK takes it for the end of a line: its defect, kept here."""
    with pytest.raises(json.JSONDecodeError):
        read(clean(Text("a\x85b"), Done()))


@pytest.mark.parametrize("runtime", [Runtime.ASYNCIO, Runtime.TRIO])
def test_the_adapter_shows_what_a_caller_sees(runtime: Runtime) -> None:
    """Text and reason; a stream that stops is no error of the SDK's, which is for the oracle to judge."""
    for script, reasons in ((clean(*WHOLE), ["length"]), (clean(*WHOLE[:-1], End(Ending.CLEAN)), [])):
        recorder = ListRecorder()
        with speaking(script) as server:
            drive_once(load("ollama"), target_of(server.root, OLLAMA.name), runtime, recorder)
        assert isinstance(recorder.end, Ended), recorder.end
        assert (recorder.text, recorder.reasons) == (script.text, reasons)


def test_a_fault_strikes_the_same_event_on_both_paths() -> None:
    """A cut behind the second line leaves two lines of either kind."""
    at = layout(clean(*WHOLE)).events[1].body[1]
    cut = clean(*WHOLE, faults=(CutBody(at),))
    assert [line["done"] for line in lines(OLLAMA.resume(cut, asked(path="/api/generate")))] == [False, False]
