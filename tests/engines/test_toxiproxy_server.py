"""The real server: found, started, proven, and gone afterwards whatever happened."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from testbed.engines.toxiproxy_server import HOW_TO_GET_IT, ServerProcess, available, find_server, prove, running_server
from testbed.errors import HarnessError, UsageError
from testbed.net.listener import endpoint_of, listen
from tests.engines.toxiproxies import free_port, missing_real, serving


def program(folder: Path, name: str = "toxiproxy-server", script: str = "#!/bin/sh\nexit 3\n") -> Path:
    """A program that can be run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(script)
    path.chmod(0o755)
    return path


def test_the_server_is_looked_for_in_order(tmp_path: Path) -> None:
    """What is named wins over PATH, PATH over Go's folders."""
    named, on_path = program(tmp_path / "a", "any-name"), program(tmp_path / "b")
    by_go = program(tmp_path / "c")
    path, gobin = str(tmp_path / "b"), str(tmp_path / "c")
    assert find_server({"TOXIPROXY_SERVER": str(named), "PATH": path, "GOBIN": gobin}) == named
    assert find_server({"PATH": path, "GOBIN": gobin}) == on_path
    assert find_server({"PATH": str(tmp_path), "GOBIN": gobin}) == by_go


def test_go_is_asked_for_its_folder(tmp_path: Path) -> None:
    """A server that `go install` has built is found without being on PATH."""
    program(tmp_path / "bin", "go", f"#!/bin/sh\necho {tmp_path}/work\n")
    built = program(tmp_path / "work" / "bin")
    assert find_server({"PATH": str(tmp_path / "bin")}) == built


def test_a_named_server_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    """It is not silently replaced by another one."""
    with pytest.raises(UsageError, match=r"TOXIPROXY_SERVER is '.*', which is no program that can be run"):
        find_server({"TOXIPROXY_SERVER": str(tmp_path), "PATH": ""})


def test_where_it_comes_from(tmp_path: Path) -> None:
    """A URL, or a path."""
    named = program(tmp_path)
    assert available({"TOXIPROXY_URL": "http://x:1", "TOXIPROXY_SERVER": str(named)}) == "http://x:1"
    assert available({"TOXIPROXY_SERVER": str(named)}) == str(named)


def test_how_to_get_it_is_one_line() -> None:
    """A skip reason and an error of the command line."""
    assert "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0" in HOW_TO_GET_IT
    assert "\n" not in HOW_TO_GET_IT


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\nexit 3\n", r"could not be used on port \d+$"),
        ("#!/bin/sh\necho boom >&2\n", r"could not be used on port \d+: boom$"),
        (
            '#!/bin/sh\necho \'{"error":"bind: taken"}\'\nexec sleep 60\n',
            r"could not be used on port \d+: bind: taken$",
        ),
    ],
)
def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path, script: str, words: str) -> None:
    """Ended at once or complaining: the error has what it logged."""
    process = ServerProcess(program(tmp_path, script=script))
    try:
        with pytest.raises(HarnessError, match=words):
            trio.run(process.wait_ready)
    finally:
        process.stop()


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_server_is_gone_after_the_context() -> None:
    """Left in order or by an exception, the port is free again."""
    missing_real()
    ports: list[int] = []

    async def main() -> None:
        async with running_server(os.environ.get("TOXIPROXY_URL")) as url:
            ports.append(int(url.rsplit(":", 1)[1]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trio.run(main)
    if "TOXIPROXY_URL" not in os.environ:
        assert refused(ports[0])


VICTIM = """
import sys, trio
from testbed.engines.toxiproxy_server import ServerProcess, find_server

async def main():
    server = ServerProcess(find_server())
    try:
        await server.wait_ready()
        print(server.port, flush=True)
        await trio.sleep_forever()
    finally:
        server.stop()

trio.run(main)
"""


@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_does_not_outlive_us(death: signal.Signals) -> None:
    """Interrupted, terminated or killed: the pipe closes, and the server ends."""
    missing_real()
    with subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as victim:
        assert victim.stdout is not None
        port = int(victim.stdout.readline())
        assert not refused(port)
        victim.send_signal(death)
        victim.wait(10.0)
    deadline = time.monotonic() + 10.0
    while not refused(port):
        assert time.monotonic() < deadline


def test_a_named_server_that_is_not_there_is_a_mistake() -> None:
    """The tester named it, so the tester is told."""

    async def main() -> None:
        async with running_server(f"http://127.0.0.1:{free_port()}"):
            pytest.fail("nobody was there")

    with pytest.raises(UsageError, match=r"no Toxiproxy answers at .*; it was named as the Toxiproxy to use"):
        trio.run(main)


@pytest.mark.parametrize("kind", ["ours", "real"])
def test_a_toxiproxy_proves_itself(kind: str) -> None:
    """The embedded one and the real one reset after exactly the bytes they were told."""
    with serving(kind) as url:
        trio.run(prove, url)


def test_something_else_is_not_a_toxiproxy() -> None:
    """A server that answers, but not as Toxiproxy does, is refused before any run."""

    async def main() -> None:
        with await listen() as listener:
            place = endpoint_of(listener)

            async def impostor() -> None:
                while True:
                    sock, _ = await listener.accept()
                    with sock:
                        await sock.recv(65536)
                        body = json.dumps({}).encode()
                        await sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(impostor)
                with pytest.raises(HarnessError, match="is no Toxiproxy"):
                    await prove(place.root)
                nursery.cancel_scope.cancel()

    trio.run(main)
