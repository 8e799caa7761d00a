"""toxiproxy-python, wrapped: servers of their own, time-outs, and sentences in place of its accidents."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from toxiproxy.api import APIConsumer

from testbed.engines.toxiproxy_client import ToxicSpec, ToxiproxyClient, parse_url
from testbed.errors import HarnessError, UsageError
from tests.engines.toxiproxies import KINDS, ask, free_port, serving

LATENCY = ToxicSpec(name="slow", type="latency", stream="downstream", toxicity=1.0, attributes={"latency": 7})
ANY = "127.0.0.1:0"
NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server, ours and the real one."""
    with serving(request.param) as served:
        yield served


@pytest.fixture
def client(url: str) -> ToxiproxyClient:
    """A client of it."""
    return ToxiproxyClient(url, timeout=5.0)


def test_a_proxy_is_opened_with_its_toxics_and_closed(client: ToxiproxyClient, url: str) -> None:
    """What is read back is what was asked for, listening."""
    state = client.open_proxy("one", NOWHERE, [LATENCY], ANY)
    assert (state.name, state.upstream, state.enabled) == ("one", NOWHERE, True)
    assert state in client.proxies()
    socket.create_connection(state.address, 5.0).close()
    toxics = ask(url, "GET", "/proxies/one/toxics").json()
    assert [(toxic["name"], toxic["attributes"]["latency"]) for toxic in toxics] == [("slow", 7)]
    client.close_proxy("one")
    assert client.proxies() == ()


def test_closing_twice_is_allowed(client: ToxiproxyClient) -> None:
    """A proxy that is gone is no error."""
    client.close_proxy("never-was")


def test_two_clients_do_not_share_a_server() -> None:
    """The library keeps one host for all; here each client has its own, and the library's is left alone."""
    before = APIConsumer.host, APIConsumer.port
    with serving("ours") as one, serving("ours") as other:
        clients = [ToxiproxyClient(one), ToxiproxyClient(other)]
        for name, made in zip(("a", "b"), clients, strict=True):
            made.open_proxy(name, NOWHERE, (), ANY)
        assert [[proxy.name for proxy in made.proxies()] for made in clients] == [["a"], ["b"]]
    assert (APIConsumer.host, APIConsumer.port) == before


def test_a_proxy_of_the_environment_is_not_used(client: ToxiproxyClient) -> None:
    """HTTP_PROXY is for the world outside, not for a server on this machine."""
    before = {name: os.environ.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy")}
    for name in before:
        os.environ.pop(name, None)
    os.environ["HTTP_PROXY"] = os.environ["ALL_PROXY"] = "http://127.0.0.1:1"
    try:
        assert client.version()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.mark.parametrize(
    ("toxic", "listen", "sentence"),
    [
        (LATENCY, "127.0.0.1:99999", "could not enable proxy bad: listen tcp: address 99999: invalid port"),
        (
            ToxicSpec(name="x", type="gremlin", stream="downstream", toxicity=1.0, attributes={}),
            ANY,
            "could not add toxic x to proxy bad: invalid toxic type",
        ),
    ],
)
def test_an_error_of_the_server_is_its_own_sentence(
    client: ToxiproxyClient, url: str, toxic: ToxicSpec, listen: str, sentence: str
) -> None:
    """Where the library would raise a KeyError, or nothing, the server's words come through."""
    try:
        with pytest.raises(HarnessError) as caught:
            client.open_proxy("bad", NOWHERE, [toxic], listen)
    finally:
        client.close_proxy("bad")
    if "invalid port" in sentence:  # the real server resolves before it listens, and says less
        assert str(caught.value).endswith("address 99999: invalid port")
    else:
        assert str(caught.value) == f"Toxiproxy at {url} {sentence}"


def test_a_name_that_is_taken_is_an_error(client: ToxiproxyClient) -> None:
    """Nobody's proxy is replaced."""
    client.open_proxy("mine", NOWHERE, (), ANY)
    try:
        with pytest.raises(HarnessError, match=r"could not create proxy mine: .*already exists"):
            client.open_proxy("mine", NOWHERE, (), ANY)
    finally:
        client.close_proxy("mine")


def test_nobody_there_is_a_sentence() -> None:
    """A port where nobody listens."""
    nobody = ToxiproxyClient(f"http://127.0.0.1:{free_port()}")
    assert nobody.version() is None
    with pytest.raises(HarnessError, match=r"no Toxiproxy answers at http://127\.0\.0\.1:\d+ \(asked to list"):
        nobody.proxies()


def answer_once(listener: socket.socket, answer: bytes) -> threading.Thread:
    """Somebody who takes one connection, and answers it with `answer`."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)
            connection.recv(1)  # until the client has left

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "did not answer in time when asked to list the proxies"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is no Toxiproxy"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"a":{"b":"c"}}', "is no Toxiproxy"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", "could not list the proxies: busy"),
    ],
)
def test_whatever_answers_it_ends_in_a_sentence(answer: bytes, sentence: str) -> None:
    """Silence, other servers and overload are errors that say so, in bounded time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = answer_once(listener, answer)
        host, port = listener.getsockname()
        with pytest.raises(HarnessError, match=sentence):
            ToxiproxyClient(f"http://{host}:{port}", timeout=0.3).proxies()
        thread.join(5.0)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8474", ("127.0.0.1", 8474)),
        ("http://localhost", ("localhost", 8474)),
        ("localhost:99/", ("localhost", 99)),
        ("http://[::1]:5", ("::1", 5)),
    ],
)
def test_addresses_of_servers(url: str, address: tuple[str, int]) -> None:
    """With and without scheme and port."""
    assert parse_url(url) == address


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://x:port", "http://x:99999"])
def test_addresses_that_are_none(url: str) -> None:
    """The tester's mistake, told with an example."""
    with pytest.raises(UsageError, match="must look like http://127"):
        parse_url(url)
