"""The vendors' own SDKs, over a socket: they ask as the dialects want it, and read what the dialects write."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import anthropic
import h11
import openai
import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from testbed.dialects import DIALECTS, Asked, Dialect
from testbed.program import Write, compile_script
from testbed.script import (
    Body,
    Comment,
    DialectName,
    Done,
    Failure,
    Finish,
    Framing,
    Head,
    Open,
    Ping,
    Script,
    SplitEvery,
    Step,
    Text,
)
from testbed.sse import Parser

OPENAI = DIALECTS[DialectName.OPENAI_CHAT]
ANTHROPIC = DIALECTS[DialectName.ANTHROPIC_MESSAGES]

TEXTS = ("Grüße, ", "世界 ", "👩‍👩‍👧\u2028", '"\\\r\n\t\x00', "", "end")
STREAM: tuple[Step, ...] = (Open(), Comment("hi"), *map(Text, TEXTS), Ping())
KEY = "sk-testbed"
BOUND = 20.0  # seconds: no wait of these tests is longer


@dataclass
class OneAnswer:
    """A server on the loopback that answers one request with the program of one script."""

    root: str
    problems: list[str] = field(default_factory=list)


@contextlib.contextmanager
def answering(script: Script) -> Iterator[OneAnswer]:
    """Serve one connection, and record what the dialect finds wrong with its request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(BOUND)
        answer = OneAnswer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = threading.Thread(target=_serve, args=(listener, script, answer.problems), daemon=True)
        server.start()
        yield answer
        server.join(BOUND)
        assert not server.is_alive()


def _serve(listener: socket.socket, script: Script, problems: list[str]) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(BOUND)
        problems.append(_read_request(connection, DIALECTS[script.dialect]))
        for operation in compile_script(script):
            if isinstance(operation, Write):
                connection.sendall(operation.data)


def _read_request(connection: socket.socket, dialect: Dialect) -> str:
    reader = h11.Connection(h11.SERVER)
    request, body = None, b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            reader.receive_data(connection.recv(65536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
    assert request is not None
    headers = {name.decode(): value.decode() for name, value in request.headers}
    path, _, query = request.target.decode().partition("?")
    answer = dialect.refuse(Asked(request.method.decode(), path, query, headers, body))
    return "" if answer is None else answer.body


def read_openai(script: Script) -> list[ChatCompletionChunk]:
    """Let the `openai` package ask for the script and read it to its end."""
    with answering(script) as server:
        sdk = openai.OpenAI(base_url=server.root + OPENAI.base_path, api_key=KEY, timeout=BOUND, max_retries=0)
        with sdk, sdk.chat.completions.create(**OPENAI.request("testbed-1")) as stream:  # type: ignore[call-overload]
            chunks = list(stream)
    assert server.problems == [""]
    return chunks


def read_anthropic(script: Script) -> list[RawMessageStreamEvent]:
    """Let the `anthropic` package ask for the script and read it to its end."""
    with answering(script) as server:
        sdk = anthropic.Anthropic(base_url=server.root + ANTHROPIC.base_path, api_key=KEY, timeout=BOUND, max_retries=0)
        with sdk, sdk.messages.create(**ANTHROPIC.request("testbed-1")) as stream:  # type: ignore[call-overload]
            events = list(stream)
    assert server.problems == [""]
    return events


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("split", [(), (SplitEvery(1),)], ids=["whole", "byte-by-byte"])
def test_the_openai_sdk_reads_the_text(framing: Framing, split: tuple[SplitEvery, ...]) -> None:
    """The SDK asks rightly, and its deltas join to the script's text in every framing, whole and byte by byte."""
    script = Script(OPENAI.name, (Head(framing=framing), *STREAM, Finish("length"), Done()), split)
    chunks = read_openai(script)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == script.text
    assert {(chunk.id, chunk.created) for chunk in chunks} == {(chunks[0].id, chunks[0].created)}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["length"]


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("split", [(), (SplitEvery(1),)], ids=["whole", "byte-by-byte"])
def test_the_anthropic_sdk_reads_the_text(framing: Framing, split: tuple[SplitEvery, ...]) -> None:
    """The SDK asks rightly, and its deltas join to the script's text in every framing, whole and byte by byte."""
    script = Script(ANTHROPIC.name, (Head(framing=framing), *STREAM, Finish("max_tokens"), Done()), split)
    events = read_anthropic(script)
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(delta.text for delta in deltas if delta.type == "text_delta") == script.text
    assert [event.delta.stop_reason for event in events if event.type == "message_delta"] == ["max_tokens"]
    assert events[-1].type == "message_stop"


def test_the_anthropic_helper_accumulates_the_message() -> None:
    """The SDK's accumulating helper, which is stricter about order than the raw stream, ends with the whole message."""
    script = Script(ANTHROPIC.name, (Head(), *STREAM, Finish(), Done()))
    with answering(script) as server:
        sdk = anthropic.Anthropic(base_url=server.root, api_key=KEY, timeout=BOUND, max_retries=0)
        request = {key: value for key, value in ANTHROPIC.request("testbed-1").items() if key != "stream"}
        with sdk, sdk.messages.stream(**request) as stream:  # type: ignore[arg-type]
            message = stream.get_final_message()
    assert [block.text for block in message.content if block.type == "text"] == [script.text]
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", len(TEXTS))


def test_a_failure_is_an_api_error_of_the_openai_sdk() -> None:
    """An error inside the stream surfaces with the provider's type and code."""
    with pytest.raises(openai.APIError) as raised:
        read_openai(Script(OPENAI.name, (Head(), *STREAM, Failure("server_error", "oh"))))
    assert (raised.value.message, raised.value.type, raised.value.code) == ("oh", "server_error", "server_error")


def test_a_failure_is_an_api_error_of_the_anthropic_sdk() -> None:
    """An error inside the stream surfaces with the provider's type."""
    with pytest.raises(anthropic.APIStatusError) as raised:
        read_anthropic(Script(ANTHROPIC.name, (Head(), *STREAM, Failure("overloaded_error", "oh"))))
    assert raised.value.body == json.loads(ANTHROPIC.error_body(500, "overloaded_error", "oh"))


def refused(dialect: Dialect, status: int) -> Script:
    """Build an answer with the vendor's error body."""
    body = Body(dialect.error_body(status, "", "not now"))
    head = Head(status, "application/json", (("retry-after", "7"),), Framing.LENGTH)
    return Script(dialect.name, (head, body))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_error_bodies_are_understood_by_the_openai_sdk(status: int) -> None:
    """The SDK finds status, header, type, code and message in an HTTP error."""
    with pytest.raises(openai.APIStatusError) as raised:
        read_openai(refused(OPENAI, status))
    error = raised.value
    assert (error.status_code, error.response.headers["retry-after"]) == (status, "7")
    sent = json.loads(OPENAI.error_body(status, "", "not now"))["error"]
    assert (error.type, error.code) == (sent["type"], sent["code"])
    assert "not now" in error.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 529])
def test_error_bodies_are_understood_by_the_anthropic_sdk(status: int) -> None:
    """The SDK finds status, header, type and message in an HTTP error."""
    with pytest.raises(anthropic.APIStatusError) as raised:
        read_anthropic(refused(ANTHROPIC, status))
    error = raised.value
    assert (error.status_code, error.response.headers["retry-after"]) == (status, "7")
    assert error.body == json.loads(ANTHROPIC.error_body(status, "", "not now"))
    assert "not now" in error.message


def test_every_event_is_valid_by_the_sdks_types() -> None:
    """The SDKs construct their values without validating; validated strictly, every event still fits its type."""
    steps = (*STREAM, Finish(), Done())
    for dialect, model in (
        (OPENAI, TypeAdapter(ChatCompletionChunk)),
        (ANTHROPIC, TypeAdapter(RawMessageStreamEvent)),
    ):
        events = Parser().feed(b"".join(data for step in dialect.encode(steps) for data in step))
        # [DONE] is no JSON, and a ping is no member of the SDK's union: it is skipped before it is typed.
        for event in (event for event in events if event.data != "[DONE]" and event.type != "ping"):
            model.validate_json(event.data, strict=True)
