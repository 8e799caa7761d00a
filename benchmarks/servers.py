"""The servers that the benchmark compares: how each is started, and why one is not there.

The law: all of them play the same stream (a role chunk, the tokens with their pauses, the finish, ``[DONE]``) at the
same path, with no access log, one process each.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from marker import MARKER

PATH = "/v1/chat/completions"
HERE = Path(__file__).parent
_INSTALL = "pip install --group bench"
_START_LIMIT = 30.0


class Shape(NamedTuple):
    """What every stream of a row is."""

    tokens: int
    seconds: float  # before each token


class Setup(NamedTuple):
    """Where the peers are found: an interpreter for those of Python, a folder with node_modules, one to write into."""

    python: str
    node: Path | None
    scratch: Path


class Server(NamedTuple):
    """One competitor. `missing` says why it cannot be started here, or nothing."""

    name: str
    command: Callable[[Setup, int, Shape], list[str]]
    missing: Callable[[Setup], str]


def _script(name: str, *rest: str) -> Callable[[Setup, int, Shape], list[str]]:
    def command(setup: Setup, port: int, shape: Shape) -> list[str]:
        return [setup.python, str(HERE / name), str(port), str(shape.tokens), str(shape.seconds), *rest]

    return command


def _ours(_setup: Setup, port: int, shape: Shape) -> list[str]:
    return [sys.executable, str(HERE / "serve_ours.py"), str(port), str(shape.tokens), str(shape.seconds)]


def _aimock(setup: Setup, port: int, shape: Shape) -> list[str]:
    token = f"{MARKER.decode()} "
    fixture: dict[str, object] = {
        "match": {"userMessage": "hello"},
        "response": {"content": token * shape.tokens},
        "chunkSize": len(token),
    }
    if shape.seconds:
        fixture["streamingProfile"] = {"ttft": 0, "tps": 1 / shape.seconds}
    path = setup.scratch / f"fixtures-{port}.json"
    path.write_text(json.dumps({"fixtures": [fixture]}), encoding="utf-8")
    cli = Path(setup.node or ".", "node_modules", "@copilotkit", "aimock", "dist", "cli.js")
    return ["node", str(cli), "-p", str(port), "-f", str(path), "-c", str(len(token)), "--log-level", "silent"]


def _needs(*modules: str) -> Callable[[Setup], str]:
    def missing(setup: Setup) -> str:
        test = f"import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, {modules!r})))"
        try:
            found = subprocess.run([setup.python, "-c", test], capture_output=True, check=False, timeout=30)
        except OSError as error:
            return f"{setup.python} cannot be run: {error.strerror}"
        return "" if found.returncode == 0 else f"not installed; {_INSTALL}"

    return missing


def _needs_node(setup: Setup) -> str:
    return "" if setup.node else "no Node, or npm could not install @copilotkit/aimock"


SERVERS = (
    Server("ours", _ours, lambda _setup: ""),
    Server("aimock", _aimock, _needs_node),
    Server("StreamingResponse", _script("serve_starlette.py", "streaming"), _needs("uvicorn", "starlette")),
    Server("sse-starlette", _script("serve_starlette.py", "sse"), _needs("uvicorn", "sse_starlette")),
    Server("llmock", _script("serve_llmock.py"), _needs("llmock", "uvicorn")),
)


def install_aimock(into: Path) -> Path | None:
    """Install the npm package into a folder, if Node and npm are here; None if it cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(into), "@copilotkit/aimock"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=180)
    except subprocess.TimeoutExpired:
        return None
    return into if done.returncode == 0 else None


# --- one server, running ----------------------------------------------------------------------------------------------


class Running:
    """A server that has answered its first request, and what the kernel says of its process (Linux)."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, started: float) -> None:
        self.port = port
        self.started = started  # seconds from the start of the process to the first byte of the first answer
        self._proc = Path("/proc", str(process.pid))

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(self._proc, "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def memory(self) -> int:
        """Bytes that are resident now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most bytes that were resident since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Begin to count anew."""
        Path(self._proc, "clear_refs").write_text("5", encoding="ascii")

    def _status(self, field: str) -> int:
        for line in Path(self._proc, "status").read_text(encoding="ascii").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        return 0


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def running(server: Server, setup: Setup, shape: Shape) -> Iterator[Running]:
    """Start a server, wait for its first answer, and end it; raises RuntimeError if it does not answer."""
    port = free_port()
    command = server.command(setup, port, shape)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers(port):
            if process.poll() is not None or time.perf_counter() - start > _START_LIMIT:
                raise RuntimeError(f"{server.name} did not start: {' '.join(command)}")
            time.sleep(0.002)
        yield Running(process, port, time.perf_counter() - start)
    finally:
        process.kill()
        process.wait(10)


def _answers(port: int) -> bool:
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}],"stream":true}'
    request = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(request % (PATH.encode(), len(body), body))
            return sock.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
