"""Error answers of every vendor: valid, in the vendor's shape, and read back through the official SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
import trio
from google import genai
from google.genai import errors as genai_errors

from testbed.dialects import DIALECTS, RETRY_AFTER, http_date, status_cases, status_script
from testbed.dialects.statuses import PAGE
from testbed.errors import UsageError
from testbed.plan import Attempt, Plan
from testbed.program import Write, compile_script
from testbed.script import Body, DialectName
from tests.net.support import Log
from tests.server.on_sockets import beside, served

D = DialectName


def plan_of(dialect: DialectName) -> tuple[list[str], Plan]:
    """Every case of a dialect, one attempt each, and their names."""
    names = list(status_cases(DIALECTS[dialect]))
    scripts = [status_script(DIALECTS[dialect], name) for name in names]
    return names, Plan("statuses", tuple(Attempt(script) for script in scripts))


def raised(call: Callable[[], Any], kind: type[Exception]) -> Any:
    """The error that a client raises."""
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def one_after_another(dialect: DialectName, connect: Callable[[str], Callable[[], Any]]) -> dict[str, Any]:
    """What a client makes of every case of the dialect, by the names of the cases. `connect` makes it for a root."""
    names, plan = plan_of(dialect)

    async def main() -> dict[str, Any]:
        async with served(plan, Log()) as root:

            def all_of_them() -> dict[str, Any]:
                ask = connect(root)
                return {name: ask() for name in names}

            return await beside(all_of_them)

    return trio.run(main)


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_every_case_compiles_and_its_json_is_json(dialect: DialectName) -> None:
    """The declared length is the length of the body; a vendor's body parses, a gateway's page is HTML or JSON."""
    for name in status_cases(DIALECTS[dialect]):
        script = status_script(DIALECTS[dialect], name)
        wire = b"".join(one.data for one in compile_script(script) if isinstance(one, Write))
        head, _, body = wire.partition(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % len(body) in head
        assert 400 <= script.head.status <= 599
        if (script.head.content_type or "").startswith("application/json"):
            assert isinstance(json.loads(body), dict)
        else:
            assert b"<html" in body


@pytest.mark.parametrize("dialect", [D.OPENAI_CHAT, D.OPENAI_RESPONSES])
def test_the_openai_sdk_reads_status_code_type_param_and_request_id(dialect: DialectName) -> None:
    """What the dialect's table says of each case is what the SDK's exception shows."""

    def connect(root: str) -> Callable[[], openai.APIStatusError]:
        sdk = openai.OpenAI(base_url=f"{root}/v1", api_key="sk", max_retries=0)
        call = sdk.chat.completions.create if dialect is D.OPENAI_CHAT else sdk.responses.create
        return lambda: raised(lambda: call(**DIALECTS[dialect].request("m")), openai.APIStatusError)

    for name, error in one_after_another(dialect, connect).items():
        if name.startswith(PAGE):
            assert error.status_code == int(name.rpartition("-")[2])
            continue
        case = DIALECTS[dialect].cases[name]
        written = json.loads(DIALECTS[dialect].answer(case).body)["error"]
        assert error.status_code == case.status
        assert (error.code, error.type, error.param) == (written["code"], written["type"], case.param)
        assert case.message in error.message
        assert error.request_id == "req_testbed"


def test_the_anthropic_sdk_reads_status_type_and_request_id() -> None:
    """What the dialect's table says of each case is what the SDK's exception shows."""

    def connect(root: str) -> Callable[[], anthropic.APIStatusError]:
        sdk = anthropic.Anthropic(base_url=root, api_key="sk", max_retries=0)
        request = DIALECTS[D.ANTHROPIC_MESSAGES].request("m")
        return lambda: raised(lambda: sdk.messages.create(**request), anthropic.APIStatusError)

    for name, error in one_after_another(D.ANTHROPIC_MESSAGES, connect).items():
        if name.startswith(PAGE):
            assert error.status_code == int(name.rpartition("-")[2])
            continue
        case = DIALECTS[D.ANTHROPIC_MESSAGES].cases[name]
        assert error.status_code == case.status
        assert error.body["error"]["message"] == case.message
        assert error.request_id == error.body["request_id"] == "req_testbed"


def test_the_google_sdk_reads_status_and_name() -> None:
    """The number and the name of the status are the exception's; a gateway's page keeps its number."""

    def connect(root: str) -> Callable[[], genai_errors.APIError]:
        sdk = genai.Client(api_key="sk", http_options={"base_url": root, "retry_options": {"attempts": 1}})
        request = DIALECTS[D.GEMINI].request("testbed-1")
        return lambda: raised(lambda: list(sdk.models.generate_content_stream(**request)), genai_errors.APIError)

    for name, error in one_after_another(D.GEMINI, connect).items():
        script = status_script(DIALECTS[D.GEMINI], name)
        assert error.code == script.head.status
        if not name.startswith(PAGE):
            written = json.loads(next(step.text for step in script.steps if isinstance(step, Body)))["error"]
            assert (error.status, error.message) == (written["status"], written["message"])


def test_the_ollama_sdk_reads_status_and_message() -> None:
    """Both are attributes of its one exception."""

    def connect(root: str) -> Callable[[], ollama.ResponseError]:
        sdk, request = ollama.Client(host=root), DIALECTS[D.OLLAMA].request("m")
        return lambda: raised(lambda: list(sdk.chat(**request)), ollama.ResponseError)

    for name, error in one_after_another(D.OLLAMA, connect).items():
        assert error.status_code == status_script(DIALECTS[D.OLLAMA], name).head.status


@pytest.mark.parametrize("form", list(RETRY_AFTER))
def test_every_form_of_retry_after_stands_on_the_wire_as_the_table_has_it(form: str) -> None:
    """The fields replace those of the case, and the body of a vendor that repeats the wait repeats this one."""
    script = status_script(DIALECTS[D.OPENAI_CHAT], "rate-limit", retry_after=form)
    waits = tuple(field for field in script.head.headers if field[0].lower() in {"retry-after", "retry-after-ms"})
    assert waits == RETRY_AFTER[form][0]
    wire = b"".join(one.data for one in compile_script(script) if isinstance(one, Write))
    assert all(f"{name}: {value}\r\n".encode() in wire for name, value in waits)


def test_gemini_repeats_the_wait_in_its_body() -> None:
    """The field and the detail say the same."""
    script = status_script(DIALECTS[D.GEMINI], "rate-limit", retry_after=(("Retry-After", "17"),))
    assert '"retryDelay":"17s"' in next(step.text for step in script.steps if isinstance(step, Body))


@pytest.mark.parametrize("seconds", [0, 1_445_412_480, 4_102_444_800])
def test_a_date_of_http_is_one_that_others_read(seconds: int) -> None:
    """The standard library reads back the moment that was written."""
    assert parsedate_to_datetime(http_date(seconds)).timestamp() == seconds


@pytest.mark.parametrize(
    ("name", "form", "sentence"),
    [
        ("rate-limited", None, "unknown case of openai-chat 'rate-limited'; did you mean 'rate-limit'?"),
        ("rate-limit", "secnds", "unknown form of Retry-After 'secnds'; did you mean 'seconds'?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name: str, form: str | None, sentence: str) -> None:
    """One sentence, with what was probably meant."""
    with pytest.raises(UsageError) as refused:
        status_script(DIALECTS[D.OPENAI_CHAT], name, retry_after=form)
    assert str(refused.value).startswith(sentence)


def test_the_openai_sdk_waits_as_it_is_told_by_milliseconds() -> None:
    """A 429 with retry-after-ms, then a whole answer: the SDK's own retry completes it."""
    limited = status_script(DIALECTS[D.OPENAI_CHAT], "rate-limit", retry_after=(("retry-after-ms", "20"),))
    plan = Plan("retry", (Attempt(limited), Attempt(status_script(DIALECTS[D.OPENAI_CHAT], "server-error"))))

    async def main() -> Log:
        log = Log()
        async with served(plan, log) as root:

            def call() -> None:
                with openai.OpenAI(base_url=f"{root}/v1", api_key="sk", max_retries=1) as sdk:
                    raised(
                        lambda: sdk.chat.completions.create(**DIALECTS[D.OPENAI_CHAT].request("m")),
                        openai.InternalServerError,
                    )

            await beside(call)
        return log

    assert trio.run(main).kinds().count("Request") == 2


def test_httpx_reads_each_gateway_page_as_it_was_written() -> None:
    """A plain HTTP client gets the page, its content type and its status."""

    def connect(root: str) -> Callable[[], httpx.Response]:
        client, request = httpx.Client(base_url=root), DIALECTS[D.ANTHROPIC_MESSAGES].request("m")
        return lambda: client.post("/v1/messages", json=request)

    for name, answer in one_after_another(D.ANTHROPIC_MESSAGES, connect).items():
        script = status_script(DIALECTS[D.ANTHROPIC_MESSAGES], name)
        assert answer.text == next(step.text for step in script.steps if isinstance(step, Body))
        assert answer.status_code == script.head.status
