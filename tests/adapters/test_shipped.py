"""The published SDKs through their adapters, on every runtime that they have, against a raw server."""

from __future__ import annotations

import socket
import time
from importlib.util import find_spec

import pytest

from testbed.adapters import KNOWN, load
from testbed.ports import Runtime
from testbed.script import DialectName, Failure, Text
from testbed.trace import Ended, Wrapping
from tests.adapters.loopback import RST, WAIT, chunked, refusing, status
from tests.adapters.support import MESSAGES, TOKENS, WHOLE, ListRecorder, call, drive_once, events, target_of

LLM = {
    "openai": "stop",
    "openai-sync": "stop",
    "openai-responses": "completed",
    "anthropic": "end_turn",
    "anthropic-sync": "end_turn",
    "anthropic-stream": "end_turn",
    "anthropic-stream-sync": "end_turn",
    "langchain-openai": "stop",
    "litellm": "stop",
    "reference": "stop",
}
# Written down, so that collecting the tests imports no SDK; `test_loading` holds the list to the adapters.
_LOOPS = (Runtime.ASYNCIO, Runtime.TRIO)
_ELSEWHERE = {
    **dict.fromkeys(("openai-sync", "anthropic-sync", "anthropic-stream-sync", "sseclient-py"), (Runtime.THREAD,)),
    **dict.fromkeys(("langchain-openai", "litellm", "aiohttp-sse-client2"), (Runtime.ASYNCIO,)),
}
# It asks for an older openai than the others live with; where it is, it is asked like any other.
_HERE = [name for name in KNOWN if name != "litellm" or find_spec("litellm") is not None]
RUNS = [(name, runtime) for name in _HERE for runtime in _ELSEWHERE.get(name, _LOOPS)]
LLM_RUNS = [(name, runtime) for name, runtime in RUNS if name in LLM]
SDK_RUNS = [(name, runtime) for name, runtime in LLM_RUNS if name != "reference"]


# These SDKs promise no class for what their HTTP library, httpx or httpx2, raises.
_BELOW = {"first_byte_timeout": "ReadTimeout", "connect": "ConnectError"}
UNWRAPPED = {"ollama": _BELOW, "google-genai": _BELOW}


def means(name: str, recorder: ListRecorder, outcome: str) -> bool:
    """Whether the error is of this class, or what stands for it in an SDK that wraps nothing."""
    foreign = UNWRAPPED.get(name, {}).get(outcome)
    if foreign is None:
        return outcome in recorder.classes
    module, _, kind = recorder.raised.type.rpartition(".")
    return kind == foreign and module in {"httpx", "httpx2"} and recorder.raised.wrapping is Wrapping.FOREIGN


# The id that they show of an event that brings none: by the standard the one before it.
PLAIN = {"httpx-sse": "7", "reference": "7", "sseclient-py": ""}


def spoken(name: str, steps) -> list[bytes]:
    return events(KNOWN[name].dialects[0], steps)


@pytest.mark.parametrize(("name", "runtime"), LLM_RUNS)
def test_a_whole_answer_is_shown_with_its_finish(name, runtime):
    """The text, the reason, success, and one request that the dialect accepts."""
    recorder, server = call(load(name), runtime, [chunked(*spoken(name, WHOLE))])
    assert isinstance(recorder.end, Ended)
    assert recorder.text == "naïve 日本語"
    assert recorder.reasons == [LLM[name]]
    assert len(server.requests) == 1
    assert b'"stream":true' in server.requests[0].replace(b" ", b"")


@pytest.mark.parametrize(("name", "runtime"), [run for run in RUNS if run[0] in PLAIN])
def test_plain_events_are_shown(name, runtime):
    """Type, data and id; a parser of single events cannot know that an id stays."""
    answer = chunked(*events(DialectName.EVENTSOURCE, MESSAGES))
    recorder, _ = call(load(name), runtime, [answer], dialect=DialectName.EVENTSOURCE)
    assert recorder.events == [("tick", "one", "7"), ("message", "two\nlines", PLAIN[name])]
    assert isinstance(recorder.end, Ended)


STATUSES = {
    400: {"bad_request"},
    401: {"unauthorized"},
    403: {"permission_denied"},
    404: {"not_found"},
    409: {"conflict"},
    422: {"bad_request"},
    429: {"rate_limited"},
    500: {"server_error"},
    503: {"overloaded"},
    504: {"http_status"},
    529: {"overloaded"},
}


@pytest.mark.parametrize(
    "name", ["openai", "openai-responses", "anthropic", "google-genai", "httpx-sse", "reference", "ollama"]
)
@pytest.mark.parametrize("code", STATUSES)
def test_a_status_is_surfaced_with_its_class(name, code):
    """By class and by number, without a retry."""
    recorder, server = call(load(name), Runtime.ASYNCIO, [status(f"{code} Trouble")], max_retries=0)
    assert recorder.classes == STATUSES[code]
    assert recorder.raised.status == code
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["openai", "openai-responses", "anthropic", "google-genai", "reference", "ollama"])
def test_too_large_is_told_apart(name):
    """413 has no class of its own in every SDK, but its status shows."""
    recorder, _ = call(load(name), Runtime.ASYNCIO, [status("413 Too Large")])
    assert "too_large" in recorder.classes


@pytest.mark.parametrize(("name", "runtime"), LLM_RUNS)
def test_an_error_inside_the_stream_is_the_providers(name, runtime):
    """After a token, with the provider's own code."""
    steps = (*TOKENS, Failure("overloaded_error"))
    recorder, _ = call(load(name), runtime, [chunked(*spoken(name, steps))])
    assert recorder.text == "naïve 日本語"
    assert recorder.classes == {"provider"}
    assert recorder.raised.code == "overloaded_error"


@pytest.mark.parametrize(("name", "runtime"), LLM_RUNS)
def test_max_retries_is_passed_on(name, runtime):
    """One retry, then the answer."""
    answers = [status("503 Busy", headers="Retry-After: 1\r\n")], [chunked(*spoken(name, WHOLE))]
    recorder, server = call(load(name), runtime, *answers, max_retries=1)
    assert isinstance(recorder.end, Ended)
    assert len(server.requests) == 2


@pytest.mark.parametrize(("name", "runtime"), RUNS)
def test_silence_before_the_answer_is_a_timeout(name, runtime):
    """`idle_timeout` reaches the client, before the head too."""
    recorder, _ = call(load(name), runtime, [WAIT], idle_timeout=0.2, first_byte_timeout=0.2)
    assert means(name, recorder, "first_byte_timeout")
    assert 150_000 < recorder.raised.t < 5_000_000


_ONE_CLASS = ("openai", "openai-sync", "openai-responses", "anthropic", "anthropic-sync")


@pytest.mark.parametrize(("name", "runtime"), [run for run in RUNS if run[0] in _ONE_CLASS])
def test_a_silent_handshake_is_a_failure_to_connect(name, runtime):
    """The SDKs have one class for every time-out; its cause tells that this one came before any request."""
    client, recorder = load(name), ListRecorder()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        root = f"https://127.0.0.1:{silent.getsockname()[1]}"
        told = {"connect_timeout": 0.2, "idle_timeout": 5.0, "first_byte_timeout": 5.0}
        drive_once(client, target_of(root, client.profile.dialects[0], **told), runtime, recorder)
    assert "connect" in recorder.classes
    assert recorder.raised.t < 4_000_000


@pytest.mark.parametrize(("name", "runtime"), RUNS)
def test_a_refused_connection_is_a_connection_error(name, runtime):
    """Nobody listens at the other end."""
    client, recorder = load(name), ListRecorder()
    with refusing() as root:
        drive_once(client, target_of(root, client.profile.dialects[0]), runtime, recorder)
    assert means(name, recorder, "connect")


@pytest.mark.parametrize(("name", "runtime"), [run for run in RUNS if run[1] is not Runtime.THREAD])
def test_a_cancelled_client_closes_its_connection(name, runtime):
    """The server sees it go: the adapter leaves nothing open."""
    dialect = KNOWN[name].dialects[0]
    begun = events(dialect, MESSAGES[:1] if dialect is DialectName.EVENTSOURCE else TOKENS)
    recorder, server = call(load(name), runtime, [chunked(*begun, end=False), WAIT], cancel_at=0.3)
    assert recorder.end.planned
    assert server.left[0].wait(5)


@pytest.mark.parametrize(("name", "runtime"), SDK_RUNS)
def test_a_reset_in_the_middle_is_whatever_the_sdk_makes_of_it(name, runtime):
    """Releases differ in whether they wrap it: the adapter neither hides nor mends that."""
    recorder, _ = call(load(name), runtime, [chunked(*spoken(name, TOKENS), end=False), RST])
    raised = recorder.raised
    below = raised.type.startswith("httpx")
    assert raised.wrapping is (Wrapping.FOREIGN if below else Wrapping.DECLARED)
    assert below or "reset" in recorder.classes


@pytest.mark.parametrize("name", ["openai", "openai-responses", "anthropic", "google-genai", "httpx-sse", "reference"])
def test_many_clients_are_cheap(name):
    """A client shares its TLS context with all others: fifty are made and fail in less than the price of one each."""
    client = load(name)
    with refusing() as root:
        target = target_of(root, client.profile.dialects[0])
        start = time.process_time()
        for _ in range(50):
            drive_once(client, target, Runtime.TRIO, ListRecorder())
    assert time.process_time() - start < 50 * 0.05


def test_text_that_is_empty_is_no_event_of_the_caller():
    """A role chunk has content "", which nobody sees."""
    recorder, _ = call(load("openai"), Runtime.TRIO, [chunked(*spoken("openai", (Text(""), *WHOLE)))])
    assert recorder.text == "naïve 日本語"


@pytest.mark.parametrize("name", ["openai", "openai-sync", "anthropic"])
@pytest.mark.parametrize(
    "data", ['{"not":"an event"}', '{"choices":[{}]}', '{"choices":[{"delta":{"content":5}}]}', '{"choices":"x"}']
)
def test_an_adapter_never_stumbles_over_what_the_sdk_hands_on(name, data):
    """SDKs do not validate; a crash here would be ours, and would be blamed on them."""
    event = f"event: content_block_delta\ndata: {data}\n\n".encode()
    recorder, _ = call(
        load(name), RUNS[[run[0] for run in RUNS].index(name)][1], [chunked(event, *spoken(name, WHOLE))]
    )
    assert isinstance(recorder.end, Ended), recorder.end
    assert recorder.text == "naïve 日本語"
