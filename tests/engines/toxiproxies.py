"""Both Toxiproxies, ours and the real one, for tests that must hold on both; and raw sockets through them."""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import pytest
import trio

from testbed.engines.proxy_api import serve_proxy_api
from testbed.engines.toxiproxy_server import HOW_TO_GET_IT, ServerProcess, find_server
from testbed.net.portal import in_thread

PATIENCE = 5.0
KINDS = ("ours", "real")


def missing_real() -> None:
    """Skip with one line if there is no real server here, or fail where it was promised."""
    if find_server() is not None:
        return
    if os.environ.get("TESTBED_REQUIRE_TOXIPROXY") == "1":
        _fail()
    pytest.skip(HOW_TO_GET_IT)


def _fail() -> NoReturn:
    pytest.fail(f"TESTBED_REQUIRE_TOXIPROXY is set, but {HOW_TO_GET_IT}", pytrace=False)


async def _real(*, task_status: trio.TaskStatus[str]) -> None:
    # Always one of our own: the tests reset and destroy, which nobody wants done to the server at TOXIPROXY_URL.
    binary = find_server()
    assert binary is not None
    server = ServerProcess(binary)
    try:
        await server.wait_ready()
        task_status.started(server.url)
        await trio.sleep_forever()
    finally:
        server.stop()


@contextmanager
def serving(kind: str) -> Iterator[str]:
    """The URL of a fresh server of that kind."""
    if kind == "ours":
        with in_thread(functools.partial(serve_proxy_api, port=0)) as endpoint:
            yield endpoint.root
    else:
        missing_real()
        with in_thread(_real) as url:
            yield url


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    content_type: str | None
    request_id: str | None
    body: str

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def ask(url: str, method: str, path: str, body: object = None, agent: str = "testbed") -> Answer:
    """One request. A string or bytes goes as it is, anything else as JSON."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    raw = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
    try:
        connection.request(method, path, raw, {"User-Agent": agent})
        response = connection.getresponse()
        text = response.read().decode()
        return Answer(
            response.status, response.getheader("content-type"), response.getheader("x-toxiproxy-request-id"), text
        )
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_NAMES = itertools.count()


class Proxied:
    """A proxy in front of a listener of ours, and the connections through it."""

    def __init__(self, url: str, listener: socket.socket) -> None:
        self.url = url
        self.name = f"p{next(_NAMES)}"
        self._listener = listener
        self._sockets: list[socket.socket] = []

    def open(self, *toxics: dict[str, Any]) -> None:
        """Create the proxy disabled, add the toxics, enable it."""
        upstream = "{}:{}".format(*self._listener.getsockname())
        given = {"name": self.name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": False}
        assert ask(self.url, "POST", "/proxies", given).status == 201
        for toxic in toxics:
            assert self.api("POST", "/toxics", toxic).status == 200
        assert self.api("POST", "", {"enabled": True}).status == 200

    def api(self, method: str, path: str, body: object = None) -> Answer:
        """A request about this proxy."""
        return ask(self.url, method, f"/proxies/{self.name}{path}", body)

    def dial(self) -> socket.socket:
        """Connect to the proxy."""
        host, port = self.api("GET", "").json()["listen"].rsplit(":", 1)
        return self._own(socket.create_connection((host, int(port)), PATIENCE))

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A connection: the client's end, and the server's."""
        client = self.dial()
        server, _ = self._listener.accept()
        return client, self._own(server)

    def _own(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(PATIENCE)
        self._sockets.append(sock)
        return sock

    def close(self) -> None:
        """Delete the proxy and close what is left."""
        for sock in self._sockets:
            sock.close()
        self.api("DELETE", "")


@contextmanager
def proxied(url: str, *toxics: dict[str, Any]) -> Iterator[Proxied]:
    """A proxy with these toxics on the server at `url`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        proxy = Proxied(url, listener)
        try:
            proxy.open(*toxics)
            yield proxy
        finally:
            proxy.close()


def read_end(sock: socket.socket, patience: float = PATIENCE) -> tuple[bytes, str]:
    """Everything up to the end, and which end it was: fin, reset, or silence."""
    sock.settimeout(patience)
    seen = bytearray()
    try:
        while data := sock.recv(65536):
            seen += data
    except TimeoutError:
        return bytes(seen), "silence"
    except ConnectionError:
        return bytes(seen), "reset"
    return bytes(seen), "fin"


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """The next `count` bytes."""
    seen = bytearray()
    while len(seen) < count:
        data = sock.recv(count - len(seen))
        assert data, f"the stream ended after {len(seen)} of {count} bytes"
        seen += data
    return bytes(seen)


def toxic(kind: str, stream: str = "downstream", toxicity: float = 1.0, name: str = "", **attributes: int) -> Any:
    """A toxic as the API takes it."""
    given = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
    return {**given, "name": name} if name else given
