"""The clients in `examples/`, each driven as a user would drive it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.adapters import command_adapter
from testbed.ports import Runtime
from testbed.script import DialectName, Failure, Finish, Open, Text
from testbed.trace import Ended
from tests.adapters.loopback import RST, WAIT, chunked, refusing, status
from tests.adapters.support import (
    MESSAGES,
    TOKENS,
    WHOLE,
    ListRecorder,
    call,
    drive_once,
    events,
    target_of,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAT, ANTHROPIC, SOURCE = DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES, DialectName.EVENTSOURCE
RECOVERABLE = [status("503 Busy", headers="Retry-After: 1\r\n")]


def missing(program: str, demanded_by: str) -> bool:
    """Whether to skip; a machine that demands the program fails instead."""
    absent = shutil.which(program) is None
    assert not (absent and os.environ.get(demanded_by) == "1"), f"{demanded_by}=1, but there is no {program}"
    return absent


NO_NODE = missing("node", "TESTBED_REQUIRE_NODE")
NO_CURL = missing("curl", "TESTBED_REQUIRE_CURL") or missing("bash", "TESTBED_REQUIRE_CURL")

COMMANDS = [
    pytest.param(f"node {EXAMPLES}/client.mjs", id="node", marks=pytest.mark.skipif(NO_NODE, reason="needs node")),
    pytest.param(
        f"bash {EXAMPLES}/client.sh", id="bash", marks=pytest.mark.skipif(NO_CURL, reason="needs bash and curl")
    ),
]
pytestmark = pytest.mark.parametrize("command", COMMANDS)


def ask(command: str, *answers, dialect=CHAT, **settings):
    return call(command_adapter(command), Runtime.PROCESS, *answers, dialect=dialect, **settings)


@pytest.mark.parametrize("dialect", [CHAT, ANTHROPIC])
def test_a_whole_answer_is_written_just_as_it_is(command, dialect):
    """Escapes, quotes, newlines, astral characters, and no byte of its own."""
    said = 'a "quoted" \\ line\n\ttab \u2028 日本語 😀 \x7f/\x01'
    recorder, server = ask(
        command, [chunked(*events(dialect, (Open(), Text(said), Finish(), *WHOLE[-1:])))], dialect=dialect
    )
    assert isinstance(recorder.end, Ended), recorder.end
    assert recorder.text == said
    assert len(server.requests) == 1


def test_escaped_characters_are_put_together(command):
    """Other servers write JSON in ASCII: surrogate pairs are one character."""
    chunk = b'data: {"choices":[{"delta":{"content":"\\u00e9 \\ud83d\\ude00 \\u20ac\\n"},"finish_reason":null}]}\n\n'
    recorder, _ = ask(command, [chunked(chunk, *events(CHAT, WHOLE[-2:]))])
    assert recorder.text == "é 😀 €\n"


def test_plain_events_are_written_as_their_data(command):
    """An event source ends when its body ends."""
    recorder, _ = ask(command, [chunked(*events(SOURCE, MESSAGES))], dialect=SOURCE)
    assert recorder.text == "onetwo\nlines"
    assert isinstance(recorder.end, Ended)


def test_the_end_of_the_body_is_not_the_end_of_the_answer(command):
    """The terminal is checked."""
    recorder, _ = ask(command, [chunked(*events(CHAT, TOKENS))])
    assert recorder.text == "naïve 日本語"
    assert "incomplete" in recorder.classes


def test_nothing_is_waited_for_after_the_terminal(command):
    """The server keeps the connection open; the client leaves."""
    recorder, server = ask(command, [chunked(*events(CHAT, WHOLE), end=False), WAIT])
    assert isinstance(recorder.end, Ended)
    assert server.left[0].wait(5)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([chunked(*events(CHAT, TOKENS), end=False), RST], "reset"),
        ([chunked(*events(CHAT, (*TOKENS, Failure("overloaded_error"))))], "provider"),
        ([chunked(b"data: {broken\n\n")], "decode"),
        ([chunked(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n')], "decode"),
        ([status("200 OK", b"<html>", content_type="text/html")], "protocol"),
        ([status("401 No")], "unauthorized"),
        ([status("502 Bad gateway")], "server_error"),
        ([status("529 Busy")], "overloaded"),
    ],
)
def test_trouble_is_named(command, answer, kind):
    """On the last line of stderr, with exit code 1."""
    recorder, server = ask(command, answer)
    assert kind in recorder.classes
    assert len(recorder.classes) < 3
    assert len(server.requests) == 1


@pytest.mark.parametrize(("begun", "kind"), [((Open(),), "first_byte_timeout"), (TOKENS, "idle_timeout")])
def test_silence_is_a_timeout(command, begun, kind):
    """Two time-outs, and each is used where it belongs."""
    answer = [chunked(*events(CHAT, begun), end=False), WAIT]
    recorder, _ = ask(command, answer, first_byte_timeout=0.6, idle_timeout=0.4)
    assert recorder.classes == {kind}


def test_a_refused_connection_is_named(command):
    """Nobody listens at the other end."""
    recorder = ListRecorder()
    with refusing() as root:
        drive_once(command_adapter(command), target_of(root, CHAT), Runtime.PROCESS, recorder)
    assert recorder.classes == {"connect"}


def test_an_overload_is_retried_when_the_server_says(command):
    """Not sooner than Retry-After."""
    recorder, server = ask(command, RECOVERABLE, [chunked(*events(CHAT, WHOLE))], max_retries=1)
    assert isinstance(recorder.end, Ended)
    assert recorder.end.t > 1_000_000
    assert len(server.requests) == 2


def test_nothing_is_retried_once_text_was_shown(command):
    """The caller would see it twice."""
    cut = [chunked(*events(CHAT, TOKENS), end=False), RST]
    recorder, server = ask(command, cut, [chunked(*events(CHAT, WHOLE))], max_retries=2)
    assert "reset" in recorder.classes
    assert len(server.requests) == 1


def test_the_example_is_short(command):
    """Under eighty lines, as a client to start from should be."""
    path = Path(shlex.split(command)[1])
    assert len(path.read_text().splitlines()) < 80
    checker = {".mjs": ["node", "--check"], ".sh": ["bash", "-n"]}[path.suffix]
    subprocess.run([*checker, str(path)], check=True, timeout=30)
