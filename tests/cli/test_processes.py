"""What can be seen only from outside: Ctrl-C and terminals."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A client that says on stderr that it was called, and then never ends.
STUCK = """
import asyncio
import os
from testbed import client

@client(options=["idle_timeout"], runtimes=["asyncio"])
async def stuck(target):
    os.write(2, b"stuck\\n")  # one write a line: several plans run at the same time, each in a thread of its own
    await asyncio.Event().wait()
    yield ""
"""


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``testbed`` in a process group of its own; whatever happens, it is gone afterwards."""
    # A shell starts what runs in its background with SIGINT ignored, and children inherit that.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom testbed.cli import main; main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_ctrl_c_prints_what_was_found_so_far(tmp_path: Path) -> None:
    """The question that was answered stands in the table, the one under way does not; the exit status is 130."""
    (tmp_path / "clients.py").write_text(STUCK, encoding="utf-8")
    arguments = ("run", "abrupt-end", "--client", "reference", "--client", "clients:stuck", "--examples", "3")
    with started(tmp_path, *arguments) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "stuck\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.splitlines()[-1] == "2 PASS · seed 0"
    assert "interrupted" in err
    assert "Traceback" not in err


def read_all(terminal: int) -> bytes:
    """Read what is written to a terminal until its last writer is gone."""
    said = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not piece:
            break
        said += piece
    return said


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """With stderr on a terminal the item under way is named there; stdout has the results only."""
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-c",
        "from testbed.cli import main; main()",
        "run",
        "abrupt-end",
        "--engine",
        "simulated",
    ]
    environ = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        shown = read_all(ours)
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"scenario/abrupt-end::reference-simulated" in shown
    assert "scenario/" not in out
