"""Find, start, prove and stop a real toxiproxy-server.

The law of this module: what we started is stopped, whatever happens to us. A small shell holds the other end of a pipe
whose write end is ours: when it closes (we stop, we crash, we are killed) the shell ends the server. What we did *not*
start (``TOXIPROXY_URL``) is never stopped, and everything is judged by how it behaves, never by the version it claims:
a plain build says ``git``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import IO, final

import trio

from testbed.engines.toxiproxy_client import ToxicSpec, ToxiproxyClient
from testbed.errors import HarnessError, UsageError

HOW_TO_GET_IT = (
    "the real toxiproxy-server was not found: run `go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0`,"
    " rename the `server` in Go's bin folder to `toxiproxy-server`, and put it on PATH (or name it in"
    " TOXIPROXY_SERVER, or set TOXIPROXY_URL to a server that runs already)"
)

READY_WITHIN = 10.0
STOPPED_WITHIN = 5.0

# The server's own signals reach it through the guard only, so that Ctrl-C in a terminal cannot take it away under a run
# that is still cleaning up. `cat` ends when our end of the pipe closes.
_GUARD = 'exec 3<&0; "$@" </dev/null & server=$!; { cat <&3 >/dev/null; kill "$server" 2>/dev/null; } & wait "$server"'


def find_server(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The path of toxiproxy-server: TOXIPROXY_SERVER, PATH, or where Go installs programs; None if it is nowhere."""
    named = environ.get("TOXIPROXY_SERVER")
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise UsageError(f"TOXIPROXY_SERVER is {named!r}, which is no program that can be run")
        return Path(named).absolute()
    on_path = shutil.which("toxiproxy-server", path=environ.get("PATH"))
    places = [Path(on_path)] if on_path else [folder / "toxiproxy-server" for folder in _go_folders(environ)]
    return next((place for place in places if os.access(place, os.X_OK)), None)


def available(environ: Mapping[str, str] = os.environ) -> str | None:
    """Where the server comes from, its URL or its path; None if there is none."""
    return environ.get("TOXIPROXY_URL") or (str(path) if (path := find_server(environ)) else None)


def _go_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where ``go install`` puts programs; Go is asked only if it is there."""
    if environ.get("GOBIN"):
        yield Path(environ["GOBIN"])
    go = shutil.which("go", path=environ.get("PATH"))
    if go:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run([go, "env", "GOPATH"], capture_output=True, text=True, timeout=10, check=True)
            yield from (Path(folder) / "bin" for folder in said.stdout.strip().split(os.pathsep) if folder)
    with contextlib.suppress(RuntimeError):  # a user without a home folder
        yield Path.home() / "go" / "bin"


@final
class ServerProcess:
    """A toxiproxy-server of our own on a free loopback port, from construction until `stop`."""

    def __init__(self, binary: Path) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop()
        command = [str(binary), "-host", "127.0.0.1", "-port", str(self.port)]
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "toxiproxy-guard", *command],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, "LOG_LEVEL": "error"},  # all that is logged then is a reason not to trust it
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise HarnessError(f"{binary} could not be started: {error.strerror}") from error

    async def wait_ready(self) -> None:
        """Return when the API answers; raise :class:`HarnessError` with what the server said if it does not."""
        with trio.move_on_after(READY_WITHIN):
            while not await _listens(self.port):
                self.check_alive()
                await trio.sleep(0.02)
            self.check_alive()  # a port that was taken is only logged: the server stays
            return
        said = self._last_words()
        raise HarnessError(f"toxiproxy-server did not listen on port {self.port} within {READY_WITHIN:g} s{said}")

    def stop(self) -> None:
        """End the server and wait until it is gone. Stopping twice is allowed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            # It drains its API for up to half a minute; nobody is left who could want an answer.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        finally:
            self._log.close()

    def check_alive(self) -> None:
        """Raise :class:`HarnessError` if the server has ended or has complained."""
        words = self._last_words()
        if self._process.poll() is not None or words:
            raise HarnessError(f"toxiproxy-server could not be used on port {self.port}{words}")

    def _last_words(self) -> str:
        """The last line that the server logged, as the tail of a sentence."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        if not lines:
            return ""
        try:
            return f": {json.loads(lines[-1]).get('error', lines[-1])}"
        except (ValueError, AttributeError):
            return f": {lines[-1][:300]}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _listens(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


@contextlib.asynccontextmanager
async def running_server(url: str | None = None) -> AsyncIterator[str]:
    """The URL of a proven server: `url`, else TOXIPROXY_URL, else one that we start and stop."""
    known = url or os.environ.get("TOXIPROXY_URL")
    if known:
        try:
            await prove(known)
        except HarnessError as error:  # the address is the tester's
            raise UsageError(f"{error}; it was named as the Toxiproxy to use") from error
        yield known
        return
    binary = await trio.to_thread.run_sync(find_server)
    if binary is None:
        raise UsageError(HOW_TO_GET_IT)
    process = ServerProcess(binary)
    try:
        await process.wait_ready()
        await prove(process.url)
        process.check_alive()  # what we proved could have been somebody else's server on the port that ours did not get
        yield process.url
    finally:
        process.stop()  # bounded, and blocking on purpose: nothing of ours may run on while its network goes away


# --- what a Toxiproxy 2.12 does ---------------------------------------------------------------------------------------

_LIMIT = 1000
_PROBE = (
    ToxicSpec(name="reset", type="reset_peer", stream="downstream", toxicity=0.0, attributes={"timeout": 0}),
    ToxicSpec(name="limit", type="limit_data", stream="downstream", toxicity=1.0, attributes={"bytes": _LIMIT}),
)


async def prove(url: str) -> None:
    """Raise unless the server at `url` resets after exactly as many bytes as we say: our exact cut rests on that."""
    client = ToxiproxyClient(url)
    name = f"testbed-probe-{os.getpid()}-{_free_port()}"
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    upstream = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    try:
        state = await trio.to_thread.run_sync(client.open_proxy, name, upstream, _PROBE, "127.0.0.1:0")
        count, ending = await _probe_once(listeners[0], *state.address)
    finally:
        await close_quietly(client, name)
        await listeners[0].aclose()
    if (count, ending) != (_LIMIT, "a reset"):
        raise UsageError(
            f"the server at {url} is not the Toxiproxy that this engine knows: limit_data {_LIMIT} with reset_peer gave"
            f" {count} bytes and then {ending}, where 2.12 gives {_LIMIT} and a reset"
        )


async def _probe_once(listener: trio.SocketListener, host: str, port: int) -> tuple[int, str]:
    """Send twice the limit through the proxy; say how much arrived and how it ended."""
    count = 0
    with trio.move_on_after(5.0):
        try:
            async with await trio.open_tcp_stream(host, port) as client, await listener.accept() as server:
                await server.send_all(bytes(2 * _LIMIT))
                while data := await client.receive_some(65536):
                    count += len(data)
                return count, "an end of file"
        except trio.BrokenResourceError:
            return count, "a reset"
        except OSError as error:
            raise unreachable(host, port) from error
    return count, "silence"


def unreachable(host: str, port: int) -> HarnessError:
    """What to tell whose Toxiproxy answers while its proxies do not: it lives in a network of its own."""
    return HarnessError(
        f"Toxiproxy opened a proxy at {host}:{port} that cannot be reached from here; run the server on this machine,"
        " or its container in the network of the host (--network host)"
    )


async def close_quietly(client: ToxiproxyClient, *names: str) -> None:
    """Delete proxies even while being cancelled; a server that is gone has deleted them already."""
    with trio.CancelScope(shield=True):
        for name in names:
            with contextlib.suppress(HarnessError):
                await trio.to_thread.run_sync(client.close_proxy, name)
