"""The fixtures, used as a user's own test uses them."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request

import pytest

from testbed.oracle import Verdict
from testbed.plan import Attempt, Plan
from testbed.pytest_support.fixtures import RunScenario, ServeScenario
from testbed.script import DialectName, Done, End, Ending, Finish, Head, Open, Script, Text
from testbed.trace import Failure

CUT = Plan(
    scenario="of-our-own",
    attempts=(
        Attempt(Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("Hello"), End(Ending.CLEAN)))),
        Attempt(Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("Hello"), Finish(), Done()))),
    ),
)


def ask(base_url: str) -> bytes:
    """Make the request of openai-chat with nothing but the standard library."""
    body = json.dumps({"model": "testbed-1", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer sk-testbed"}
    request = urllib.request.Request(f"{base_url}/chat/completions", data=body, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        return answer.read()


def test_run_explores_a_scenario(testbed_run: RunScenario) -> None:
    """A scenario, a client and an engine by name give a result."""
    result = testbed_run("abrupt-end", "reference", engine="simulated")
    assert (result.verdict, result.examples) == (Verdict.PASS, 100)


def test_run_takes_a_plan_and_reports_a_finding_as_a_value(testbed_run: RunScenario) -> None:
    """A FAIL is not an exception: what to make of it is the test's affair."""
    result = testbed_run(CUT, "openai")
    assert result.verdict is Verdict.FAIL
    assert result.findings[0].failure is Failure.SILENT_TRUNCATION
    assert "testbed replay" in result.findings[0].reproduce


def test_server_plays_the_attempts_in_order_and_the_last_for_ever(testbed_server: ServeScenario) -> None:
    """Connection n gets attempt n of the plan."""
    base_url = testbed_server(CUT)
    whole = [b"[DONE]" in ask(base_url) for _ in range(3)]
    assert whole == [False, True, True]


def test_servers_are_independent_and_speak_the_dialect_that_is_wanted(testbed_server: ServeScenario) -> None:
    """Each call opens one more server; the base URL is what the dialect's SDK wants."""
    urls = [testbed_server("byte-at-a-time", dialect=name) for name in ("openai-chat", "anthropic-messages")]
    assert urls[0].endswith("/v1")
    assert urls[0].split("/")[2] != urls[1].split("/")[2]
    assert b"[DONE]" in ask(urls[0])


def test_leaving_the_test_closes_what_the_fixtures_opened(request: pytest.FixtureRequest) -> None:
    """No thread of ours outlives the test that asked for it."""
    del request
    assert [thread for thread in threading.enumerate() if thread.name == "testbed-portal"] == []


def test_toxiproxy_is_an_api_for_existing_clients(testbed_toxiproxy: str) -> None:
    """The value is the URL of an HTTP API that answers as Toxiproxy does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{testbed_toxiproxy}/proxies", timeout=20) as answer:
        assert json.load(answer) == {}
