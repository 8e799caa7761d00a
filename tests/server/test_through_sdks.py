"""Quota, uploads and keys as the official SDKs meet them, on real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anthropic
import msgspec
import openai
import pytest
import trio

from testbed.dialects import DIALECTS, status_script
from testbed.plan import Attempt, Plan, Purpose, Quota, Window
from testbed.script import Body, DialectName, Framing, Head, Reading, Script, Text
from testbed.trace import Request
from tests.net.support import HELLO, Log, chat, plan_of
from tests.server.on_sockets import beside, served

T = TypeVar("T")

CHAT, ANTHROPIC = DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES


def against(plan: Plan, call: Callable[[str], T]) -> tuple[T, list[Request]]:
    """What a client gets that is given the root of the URL, and the requests that the server read."""

    async def main() -> tuple[T, list[Request]]:
        log = Log()
        async with served(plan, log) as root:
            got = await beside(lambda: call(root))
        return got, log.of(Request)

    return trio.run(main)


def said(sdk: openai.OpenAI, **options: object) -> str:
    """The text of one streamed answer."""
    request = {**DIALECTS[CHAT].request("m"), **options}
    return "".join(chunk.choices[0].delta.content or "" for chunk in sdk.chat.completions.create(**request))


@pytest.mark.parametrize("window", list(Window))
def test_the_openai_sdk_comes_through_a_quota_by_waiting_as_it_is_told(window: Window) -> None:
    """One request in 0.3 seconds: the second is told to wait, waits, and is answered; no attempt is lost by it."""
    plan = plan_of(chat(Text("first")), chat(Text("second")), chat(Text("third")))
    plan = msgspec.structs.replace(plan, quota=Quota(requests=1, seconds=0.3, window=window))

    def call(root: str) -> list[str]:
        with openai.OpenAI(base_url=f"{root}/v1", api_key="sk", max_retries=1) as sdk:
            return [said(sdk), said(sdk)]

    texts, requests = against(plan, call)
    assert texts == ["first", "second"]
    assert [seen.status for seen in requests] == [0, 429, 0]
    assert 0 < requests[1].wait <= 300_000
    assert requests[2].t - requests[1].t >= requests[1].wait


def test_another_key_has_a_quota_of_its_own() -> None:
    """Two callers, one request each, none of them is refused."""
    plan = msgspec.structs.replace(plan_of(HELLO), quota=Quota(requests=1))

    def call(root: str) -> list[str]:
        one = openai.OpenAI(base_url=f"{root}/v1", api_key="sk-1", max_retries=0)
        other = openai.OpenAI(base_url=f"{root}/v1", api_key="sk-2", max_retries=0)
        with one, other:
            texts = [said(one), said(other)]
            with pytest.raises(openai.RateLimitError) as refused:
                said(one)
        assert refused.value.request_id == refused.value.response.headers["x-request-id"]
        assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        return texts

    assert against(plan, call)[0] == [HELLO.text, HELLO.text]


def test_the_openai_sdk_uploads_a_file_beside_a_stream() -> None:
    """The upload is answered as the vendor does and spends no attempt."""

    def call(root: str) -> tuple[str, int, str]:
        with openai.OpenAI(base_url=f"{root}/v1", api_key="sk", max_retries=0) as sdk:
            stored = sdk.files.create(file=("a.jsonl", b'{"a": 1}\n'), purpose="batch")
            with pytest.raises(openai.BadRequestError, match="line 1"):
                sdk.files.create(file=("a.jsonl", b"no json"), purpose="batch")
            return stored.filename, stored.bytes, said(sdk)

    got, requests = against(plan_of(HELLO), call)
    assert got == ("a.jsonl", 9, HELLO.text)
    assert [(seen.aside, bool(seen.problem)) for seen in requests] == [(True, False), (False, True), (False, False)]


def test_the_anthropic_sdk_uploads_a_file() -> None:
    """Its own form and its own answer."""

    def call(root: str) -> tuple[str, int, str]:
        with anthropic.Anthropic(base_url=root, api_key="sk", max_retries=0) as sdk:
            stored = sdk.beta.files.upload(file=("a.txt", b"hello", "text/plain"))
            return stored.filename, stored.size_bytes, stored.mime_type

    steps = (Head(),)
    plan = Plan("upload", (Attempt(Script(ANTHROPIC, steps)),))
    assert against(plan, call)[0] == ("a.txt", 5, "text/plain")


def test_an_upload_over_the_limit_is_too_large() -> None:
    """413, in the vendor's shape."""
    plan = msgspec.structs.replace(plan_of(HELLO), body_limit=1000)

    def call(root: str) -> str:
        with openai.OpenAI(base_url=f"{root}/v1", api_key="sk", max_retries=0) as sdk:
            with pytest.raises(openai.APIStatusError) as refused:
                sdk.files.create(file=("a", b"x" * 1000), purpose="vision")
            assert refused.value.status_code == 413
            return refused.value.message

    assert "at most 1000 are taken" in against(plan, call)[0]


STORED = (
    '{"id":"file-1","object":"file","bytes":1,"created_at":1,"filename":"a","purpose":"vision","status":"processed"}'
)


@pytest.mark.parametrize(
    "reading",
    [Reading(), Reading(rate=400_000), Reading(most=1000)],
    ids=["whole", "slowly", "answered after a part of it"],
)
def test_an_upload_that_is_tested_is_read_as_the_script_says(reading: Reading) -> None:
    """Refused once by the script, then stored: the SDK's retry uploads the file again."""
    head = Head(200, "application/json", framing=Framing.LENGTH)
    first = msgspec.structs.replace(status_script(DIALECTS[CHAT], "overloaded", retry_after="zero"), reading=reading)
    second = Script(CHAT, (head, Body(STORED)), reading=reading)
    plan = msgspec.structs.replace(plan_of(first, second), tested=Purpose.UPLOAD)

    def call(root: str) -> str:
        with openai.OpenAI(base_url=f"{root}/v1", api_key="sk", max_retries=1) as sdk:
            return sdk.files.create(file=("a", b"x" * 20_000), purpose="vision").id

    got, requests = against(plan, call)
    assert got == "file-1"
    assert [seen.problem for seen in requests] == ["", ""]


def test_the_key_of_a_retry_is_in_the_trace() -> None:
    """The same idempotency key on both requests of one call, so that a retry can be told from another call."""
    plan = plan_of(status_script(DIALECTS[CHAT], "overloaded", retry_after="zero"), HELLO)

    def call(root: str) -> str:
        with openai.OpenAI(base_url=f"{root}/v1", api_key="sk", max_retries=1) as sdk:
            return said(sdk, extra_headers={"Idempotency-Key": "mine"})

    text, requests = against(plan, call)
    assert text == HELLO.text
    assert [seen.key for seen in requests] == ["mine", "mine"]
