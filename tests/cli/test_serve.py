"""``testbed serve`` from outside: what it prints works when it is pasted, and one line tells of each request."""

from __future__ import annotations

import functools
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from itertools import takewhile
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import msgspec
import pytest
import trio

from testbed.catalogue import to_toml
from testbed.cli._snippets import curl, python
from testbed.dialects import DIALECTS
from testbed.net.certificates import ca_file
from testbed.net.portal import in_thread
from testbed.plan import Attempt, Plan
from testbed.script import DialectName, Done, End, Ending, Finish, Head, Message, Open, Pause, Script, Step, Text
from testbed.serving import base_url, repeat, sealed, serve
from tests.cli.conftest import Testbed
from tests.cli.test_processes import started

D = DialectName
CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
MESSAGES = {**CHAT, "max_tokens": 10}


class Served:
    """A serving process: what it printed at the start, and the lines of its log as they come."""

    def __init__(self, process: subprocess.Popen[str], *, lines: bool) -> None:
        assert process.stdout is not None
        self._out = process.stdout
        self.start: dict[str, Any] = json.loads(self._out.readline()) if lines else {}
        self.text = "" if lines else "".join(takewhile(lambda line: line != "Ctrl-C stops.\n", self._out))

    def line(self) -> str:
        """The next line of the log."""
        return self._out.readline()

    def entry(self) -> dict[str, Any]:
        """The next line of the log, of JSON."""
        read: dict[str, Any] = json.loads(self.line())
        return read


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Served]:
    """Serve on a free port until the block is left; it then ends as Ctrl-C ends it, without a traceback."""
    with started(folder, "serve", *arguments, "--port", "0") as process:
        yield Served(process, lines="--json" in arguments)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in err


DIRECT = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def run_curl(line: str) -> str:
    """Run a curl line as a shell would, and return what it shows."""
    command = shlex.split(line)
    assert command[:2] == ["curl", "-N"]
    return subprocess.run(command, env=DIRECT, capture_output=True, text=True, timeout=60, check=True).stdout


# What the stream of each dialect, shown by curl, has in it when it came to its end.
ENDS = {
    D.OPENAI_CHAT: "data: [DONE]",
    D.OPENAI_RESPONSES: "response.completed",
    D.ANTHROPIC_MESSAGES: "message_stop",
    D.GEMINI: '"finishReason":"STOP"',
    D.OLLAMA: '"done":true',
    D.EVENTSOURCE: "data: ",
    D.MCP: '"result"',
}


def hello(dialect: DialectName) -> Plan:
    """A plan that says hello, in any dialect."""
    words: tuple[Step, ...] = (Open(), Text("Hello "), Text("there"), Finish(), Done())
    words = (Message("Hello there"),) if dialect is D.EVENTSOURCE else words
    steps = [step for step in words if type(step) in DIALECTS[dialect].spelling]
    said = [step for step in steps if type(step) not in DIALECTS[dialect].refused]
    return Plan("hello", (Attempt(Script(dialect, (Head(), *said))),))


@contextmanager
def in_this_process(plan: Plan) -> Iterator[str]:
    """Serve as the command does, without its start; yields the root of the URL."""
    with in_thread(functools.partial(serve, repeat(plan))) as root:
        yield root


@pytest.mark.skipif(which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("dialect", list(ENDS))
def test_the_printed_lines_work_when_they_are_pasted(dialect: DialectName) -> None:
    """For every dialect the curl line shows the whole stream, and the Python lines print its text."""
    with in_this_process(hello(dialect)) as root:
        assert ENDS[dialect] in run_curl(curl(root, dialect, model="testbed-1"))
        _, lines = python(base_url(root, dialect), dialect, model="testbed-1")
        shown = io.StringIO()
        with redirect_stdout(shown):
            exec(compile(lines, "snippet", "exec"), {})  # what a reader would do with it
        assert "Hello there" in shown.getvalue()


@pytest.mark.skipif(which("curl") is None, reason="curl is not installed")
def test_with_tls_the_printed_lines_work_too() -> None:
    """The authority to trust is part of the curl line, and named for the SDK's environment."""
    turn = next(sealed(repeat(hello(D.OPENAI_CHAT))))
    with in_this_process(turn.plan) as clear:
        root = clear.replace("http:", "https:")
        assert "[DONE]" in run_curl(curl(root, D.OPENAI_CHAT, model="m", ca=ca_file()))
        _, lines = python(base_url(root, D.OPENAI_CHAT), D.OPENAI_CHAT, model="m")
        environment = {**DIRECT, "SSL_CERT_FILE": ca_file()}
        subprocess.run([sys.executable, "-c", lines], env=environment, timeout=60, check=True)


@pytest.mark.parametrize("tls", [False, True])
def test_the_start_says_the_base_url_and_both_ways_to_try_it(tls: bool, tmp_path: Path) -> None:
    """The lines are those that work; with TLS they name the authority to trust."""
    options = ("--dialect", "openai-chat", *(["--tls"] if tls else []))
    with serving(tmp_path, "byte-at-a-time", *options) as served:
        text = served.text
        assert text.splitlines()[0] == "byte-at-a-time · openai-chat · seed 0"
        url = text.split("base URL  ")[1].split()[0]
        root = url.removesuffix("/v1")
        assert root.startswith("https" if tls else "http:")
        ca = text.partition("SSL_CERT_FILE=")[2].partition(" ")[0] or None
        assert (ca is not None) is tls
        assert curl(root, D.OPENAI_CHAT, model="testbed-1", ca=ca) in text
        package, lines = python(url, D.OPENAI_CHAT, model="testbed-1")
        assert package in text
        assert textwrap.indent(lines, "    ") in text


def test_every_scenario_is_found_by_its_path_and_by_the_model(tmp_path: Path) -> None:
    """The dialect is told by the rest of the path; what names no scenario is told how to name one."""
    with serving(tmp_path, "--all", "--json") as served:
        root = served.start["serving"]
        with httpx.Client(base_url=root, trust_env=False) as client:
            client.post("/html-instead-of-sse/v1/messages", json=MESSAGES)
            first = served.entry()
            assert (first["scenario"], first["dialect"]) == ("html-instead-of-sse", "anthropic-messages")
            assert (first["outcome"], first["attempt"], first["connection"]) == ("complete", 0, 1)
            client.post("/v1/chat/completions", json={**CHAT, "model": "testbed/missing-done"})
            second = served.entry()
            assert (second["scenario"], second["dialect"]) == ("missing-done", "openai-chat")
            lost = client.post("/v1/chat/completions", json=CHAT)
            assert lost.status_code == 404
            assert "ask for the model testbed/NAME" in lost.json()["error"]["message"]
            assert served.entry()["outcome"] == "refused"
            assert client.get("/").json()["scenarios"]["missing-done"] == "/missing-done"
            assert served.entry()["outcome"] == "aside"


def test_several_dialects_of_one_scenario_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    """Two dialects on one port, each at its own path."""
    dialects = ("--dialect", "openai-chat", "--dialect", "anthropic-messages")
    with serving(tmp_path, "abrupt-end", *dialects, "--json") as served, httpx.Client(trust_env=False) as client:
        for path, body, dialect in (
            ("/v1/messages", MESSAGES, "anthropic-messages"),
            ("/v1/chat/completions", CHAT, "openai-chat"),
        ):
            client.post(f"{served.start['serving']}{path}", json=body)
            assert served.entry()["dialect"] == dialect


def test_a_line_says_what_became_of_each_request(tmp_path: Path) -> None:
    """Complete, refused with the sentence, and what was asked on the side; attempts count from 1 for people."""
    broken = Script(D.OPENAI_CHAT, (Head(), Open(), Text("x"), End(Ending.RST)))
    plan = msgspec.structs.replace(hello(D.OPENAI_CHAT), scenario="twice")
    plan = msgspec.structs.replace(plan, attempts=(*plan.attempts, Attempt(broken)))
    file = tmp_path / "twice.toml"
    file.write_text(to_toml(plan), encoding="utf-8")
    with serving(tmp_path, str(file)) as served:
        root = served.text.split("base URL  ")[1].split()[0]
        with httpx.Client(base_url=root, trust_env=False) as client:
            client.get("/models")
            client.post("/chat/completions", json={**CHAT, "stream": "yes"})
            client.post("/chat/completions", json=CHAT)
            with pytest.raises(httpx.ReadError):
                client.post("/chat/completions", json=CHAT)
        lines = [served.line().split(" ", 1)[1].strip() for _ in range(4)]
    assert lines[0].startswith("#1 openai-chat twice attempt 1: answered 200 to GET /v1/models")
    assert lines[1].startswith("#2 openai-chat twice attempt 1: refused 400: ")
    assert lines[2].startswith("#3 openai-chat twice attempt 1: complete ")
    assert lines[3].startswith("#4 openai-chat twice attempt 2: reset by plan at byte ")


def test_one_plan_without_a_network_is_played_to_a_crowd(tmp_path: Path) -> None:
    """Many streams at a time, each whole, each with its line; who leaves early has one too."""
    words = [step for number in range(20) for step in (Pause(0.01), Text(f"{number} "))]
    plan = msgspec.structs.replace(hello(D.OPENAI_CHAT), scenario="many")
    script = Script(D.OPENAI_CHAT, (Head(), Open(), *words, Finish(), Done()))
    file = tmp_path / "many.toml"
    file.write_text(to_toml(msgspec.structs.replace(plan, attempts=(Attempt(script),))), encoding="utf-8")

    async def ask(client: httpx.AsyncClient, seen: list[bytes]) -> None:
        seen.append((await client.post("/chat/completions", json=CHAT)).content)

    async def all_at_once(url: str) -> list[bytes]:
        seen: list[bytes] = []
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, limits=httpx.Limits(), timeout=30) as client,
            trio.open_nursery() as nursery,
        ):
            for _ in range(200):
                nursery.start_soon(ask, client, seen)
        return seen

    with serving(tmp_path, str(file), "--json") as served:
        url = served.start["stages"][0]["base_url"]
        answers = trio.run(all_at_once, url)
        assert len(answers) == 200
        assert all(b"[DONE]" in answer for answer in answers)
        entries = [served.entry() for _ in range(200)]
        assert {entry["outcome"] for entry in entries} == {"complete"}
        assert sorted(entry["connection"] for entry in entries) == list(range(1, 201))
        with (
            httpx.Client(base_url=url, trust_env=False) as client,
            client.stream("POST", "/chat/completions", json=CHAT),
        ):
            pass
        assert served.entry()["outcome"] == "left"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "serve takes the NAME of one scenario, or --all"),
        (["vpn-latency", "--all"], "serve takes the NAME of one scenario, or --all"),
        (["--all", "--tls"], "--all tells scenarios apart by their requests, which TLS hides from it"),
        (["--all", "--dialect", "opnai-chat"], "unknown dialect 'opnai-chat'; did you mean 'openai-chat'?"),
        (["vpn-latency", "--host", "0.0.0.0"], "--host 0.0.0.0 can be reached from other machines"),
        (["vpn-latency", "--host", "example.com"], "there is no password; add --expose"),
        (
            ["vpn-latency", "--tls", "--dialect", "openai-chat", "--dialect", "eventsource"],
            "several dialects are told apart by their paths, which TLS hides",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_sentence(
    testbed: Testbed, arguments: list[str], sentence: str
) -> None:
    """One sentence on stderr, and exit status 2, before anything listens."""
    result = testbed("serve", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
