"""A program as a client: its contract, told by small Python programs."""

from __future__ import annotations

import os
import select
import shlex
import sys
import textwrap

import pytest

from testbed.adapters import command_adapter
from testbed.adapters.command import encode_target
from testbed.errors import UsageError
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Cancelled, Ended, Option, Outcome, SawText, Started, Wrapping
from tests.adapters.support import ListRecorder, drive_once

TARGET = Target(base_url="http://127.0.0.1:9/v1", dialect=DialectName.OPENAI_CHAT, request={"stream": True})
HEADER = "import json, os, signal, sys, threading\nout = sys.stdout.buffer\n"


def program(source: str):
    """A client that is this Python source."""
    words = [sys.executable, "-c", HEADER + textwrap.dedent(source)]
    return command_adapter(" ".join(map(shlex.quote, words)))


def run(source: str, cancel_at: float | None = None) -> ListRecorder:
    recorder = ListRecorder()
    drive_once(program(source), TARGET, Runtime.PROCESS, recorder, cancel_at)
    return recorder


def test_text_arrives_as_it_is_written_and_exit_0_is_success():
    """A character that is cut in two between writes is put together again."""
    recorder = run(
        """
        for piece in ("na\\u00efve ".encode()[:3], "na\\u00efve ".encode()[3:], b"end"):
            out.write(piece); out.flush()
        """
    )
    assert recorder.text == "naïve end"
    assert isinstance(recorder.end, Ended)
    assert isinstance(recorder.seen[0], Started)


def test_the_target_is_in_the_environment():
    """With every key, null where nothing is said, and the proxies kept away."""
    recorder = run(
        """
        target = json.loads(os.environ["TESTBED_TARGET"])
        print(target["base_url"], target["idle_timeout"], target["request"], "127.0.0.1" in os.environ["NO_PROXY"])
        """
    )
    assert recorder.text == "http://127.0.0.1:9/v1 None {'stream': True} True\n"


def test_the_request_stands_last_in_the_target():
    """A client without a JSON parser can cut it off."""
    assert encode_target(TARGET).endswith('"request":{"stream":true}}')


@pytest.mark.parametrize(
    ("line", "classes", "status", "code"),
    [
        ("testbed-error: reset", (Outcome.RESET,), None, None),
        ("testbed-error: incomplete,reset", (Outcome.RESET, Outcome.INCOMPLETE), None, None),
        ("testbed-error: overloaded status=529 code=overloaded_error", (Outcome.OVERLOADED,), 529, "overloaded_error"),
    ],
)
def test_exit_1_with_the_error_line_is_a_declared_error(line, classes, status, code):
    """The last line of stderr counts, whatever stands before it."""
    raised = run(f"sys.stderr.write('a note\\n{line}\\n'); sys.exit(1)").raised
    assert (raised.wrapping, raised.classes) == (Wrapping.DECLARED, classes)
    assert (raised.status, raised.code) == (status, code)


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("sys.exit(3)", "exit 3", "(it wrote nothing to stderr)"),
        ("1 / 0", "exit 1", "ZeroDivisionError: division by zero"),
        ("sys.stderr.write('testbed-error: reset'); sys.exit(2)", "exit 2", "testbed-error: reset"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9", "(it wrote nothing to stderr)"),
    ],
)
def test_every_other_end_is_a_crash(source, kind, message):
    """With the end of stderr as the evidence."""
    raised = run(source).raised
    assert (raised.wrapping, raised.type) == (Wrapping.BUG, kind)
    assert raised.message.endswith(message)


def test_an_unknown_class_is_the_testers_mistake():
    """The hint names the class that was meant."""
    with pytest.raises(UsageError, match="unknown error class 'resett'; did you mean 'reset'"):
        run("sys.stderr.write('testbed-error: resett\\n'); sys.exit(1)")


def test_an_error_line_without_a_class_is_the_testers_mistake():
    """Nothing would be judged by it."""
    with pytest.raises(UsageError, match="name an error class after 'testbed-error:'"):
        run("sys.stderr.write('testbed-error:\\n'); sys.exit(1)")


def test_a_cancelled_program_is_ended_with_all_that_it_started():
    """The whole process group: a client is often a wrapper around another one."""
    recorder = run(
        """
        child = os.fork()
        if child:
            out.write(b"%d %d" % (os.getpid(), child)); out.flush()
        threading.Event().wait(60)
        """,
        cancel_at=1.0,
    )
    assert recorder.end == Cancelled(t=recorder.end.t, planned=True)
    assert all(is_gone(int(pid)) for pid in recorder.text.split())


def is_gone(pid: int) -> bool:
    """Whether a process ends within five seconds; one that nobody has collected yet has ended, too."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([watch], [], [], 5)
    finally:
        os.close(watch)
    return bool(ready)


def test_a_program_that_ignores_the_request_to_end_is_killed():
    """SIGTERM first, SIGKILL a moment later."""
    recorder = run(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        out.write(b"%d" % os.getpid()); out.flush()
        threading.Event().wait(60)
        """,
        cancel_at=1.0,
    )
    assert isinstance(recorder.end, Cancelled)
    assert is_gone(int(recorder.text))


def test_what_a_program_leaves_behind_does_not_hold_the_run_up():
    """A child that keeps the pipes open is ended when the program itself is gone."""
    recorder = run(
        """
        if os.fork():
            out.write(b"done"); out.flush()
            os._exit(0)
        threading.Event().wait(60)
        """
    )
    assert recorder.text == "done"
    assert isinstance(recorder.end, Ended)
    assert recorder.end.t < 10_000_000


def test_a_long_stderr_neither_blocks_nor_is_kept():
    """It is read all the time, and only its end is evidence."""
    raised = run("sys.stderr.write('x' * 1_000_000 + '\\nlast words\\n'); sys.exit(4)").raised
    assert raised.message.endswith("last words")
    assert len(raised.message) < 5000


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("no-such-program-anywhere --flag", "there is no program 'no-such-program-anywhere'"),
        ("", "it is empty; give a program"),
        ("node 'client", "No closing quotation"),
    ],
)
def test_a_command_that_cannot_be_run_is_said_at_once(command, sentence):
    """Before any run."""
    with pytest.raises(UsageError, match=sentence):
        command_adapter(command)


def test_a_program_claims_every_dialect_and_every_setting():
    """The target says it all; what the program does with it is what is tested."""
    adapter = program("")
    assert set(adapter.profile.dialects) == set(DialectName)
    assert set(adapter.profile.options) == set(Option)
    assert adapter.runtimes == {Runtime.PROCESS}
    with pytest.raises(UsageError, match="it cannot run on trio; it is a process"):
        drive_once(adapter, TARGET, Runtime.TRIO, ListRecorder())


def test_text_may_be_cut_anywhere():
    """Pieces are what the pipe gives; only their order and sum count."""
    recorder = run("out.write(b'x' * 300_000)")
    assert recorder.text == "x" * 300_000
    assert len(recorder.all(SawText)) >= 1
