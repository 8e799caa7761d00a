"""Whatever is wrong with what was typed: one sentence on stderr, exit status 2, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Testbed

GOOD = """
format = 1
[scenario]
title = "One"
[script]
dialect = "openai-chat"
"""

FILES = {
    "broken.toml": GOOD + "tokens = = 3\n",
    "unknown-key.toml": GOOD + "tokns = 3\n",
    "wrong-type.toml": GOOD + 'tokens = "three"\n',
    "format.toml": GOOD.replace("format = 1", "format = 99"),
}

CASES = [
    ("run vpn-latencey", "unknown scenario 'vpn-latencey'; did you mean 'vpn-latency'?"),
    ("run zzz-*", "unknown scenario 'zzz-*'"),
    ("run ../vpn-latency", "'../vpn-latency' is no scenario name"),
    ("show ../../etc/passwd", "'../../etc/passwd' is no scenario name"),
    ("serve ../vpn-latency", "'../vpn-latency' is no scenario name"),
    ("run vpn-latency --client opneai", "unknown client 'opneai'; did you mean 'openai'?"),
    ("run vpn-latency --client nowhere:client", "there is no module nowhere"),
    ("run vpn-latency --engine embeded", "unknown engine 'embeded'; did you mean 'embedded'?"),
    ("run vpn-latency --examples 0", "--examples is '0'; it must be a whole number of at least 1"),
    ("run vpn-latency --seed soon", "--seed is 'soon'; it must be a whole number of at least 0 or the word random"),
    ("run vpn-latency --json .", "--json is '.', which is a folder"),
    ("run vpn-latency --json no/such/folder.json", "there is no folder"),
    ("run broken.toml", "broken.toml: line 7"),
    ("run unknown-key.toml", "tokns"),
    ("run wrong-type.toml", "tokens"),
    ("run format.toml", "it is 99; this version reads format 1"),
    ("run missing.toml", "missing.toml"),
    ("replay missing.toml", "missing.toml"),
    ("replay vpn-latency", "it describes many plans, not one"),
    ("serve vpn-latency --dialect klingon", "'klingon'; it speaks openai-chat, anthropic-messages, eventsource"),
    ("serve vpn-latency --port 99999", "99999"),
    ("rn vpn-latency", "unknown command 'rn'; did you mean 'run'?"),
    ("run", "Missing argument"),
    ("run vpn-latency --exampels 3", "No such option"),
]


def says_one_sentence(stderr: str, sentence: str) -> bool:
    """Whether stderr is a single line that has the sentence in it."""
    return stderr.startswith("testbed: ") and stderr.count("\n") == 1 and sentence in stderr


@pytest.mark.parametrize(("line", "sentence"), CASES, ids=[line for line, _ in CASES])
def test_a_mistake_is_one_sentence_and_exit_2(testbed: Testbed, line: str, sentence: str) -> None:
    """Every kind of bad input that a command line can have."""
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    result = testbed(*line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert says_one_sentence(result.stderr, sentence), result.stderr


def test_a_port_in_use_is_one_sentence(testbed: Testbed) -> None:
    """Serving on a taken port says so and ends."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = testbed("serve", "vpn-latency", "--port", port)
    assert result.exit_code == 2
    assert says_one_sentence(result.stderr, f"cannot listen on 127.0.0.1:{port}: the port is in use")


def run_alone(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, with these environment variables and no TOXIPROXY ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TOXIPROXY", "GO"))}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**inherited, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_missing_sdk_is_told_with_the_line_that_installs_it() -> None:
    """Where the package of a known client is not installed, the sentence says which extra brings it."""
    ran = run_alone(
        "import sys; sys.modules['openai'] = None\n"  # as if it were not installed
        "from testbed.cli import main; main(['run', 'abrupt-end', '--client', 'openai'])"
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert says_one_sentence(ran.stderr, "pip install 'stream-testbed[openai]'"), ran.stderr


def test_no_toxiproxy_server_is_told_with_how_to_get_it(tmp_path: Path) -> None:
    """Where there is no real server, the sentence says how to build one."""
    code = "from testbed.cli import main; main(['run', 'abrupt-end', '--engine', 'toxiproxy', '--examples', '1'])"
    ran = run_alone(code, PATH="", HOME=str(tmp_path))
    assert ran.returncode == 2
    assert "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0" in ran.stderr
    assert ran.stderr.count("\n") == 1
