"""The embedded Toxiproxy's own parts, and what it does otherwise than the real one on purpose."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import trio

from testbed.engines.proxy_api import serve_proxy_api
from testbed.engines.proxy_api.collection import PopulateError, Proxies
from testbed.engines.proxy_api.gojson import Float32, GoError, Number, Object, decode, encode
from testbed.engines.proxy_api.messages import TYPES, ApiError, ToxicEntry, parse_toxic
from testbed.errors import UsageError
from testbed.faults.toxics import Direction, type_name
from testbed.net.portal import in_thread
from tests.engines.toxiproxies import ask, proxied, read_end, read_exactly, serving, toxic

# --- Go's JSON --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", Object()),
        (' {"a" : [1, -2.5e+3, true] } ignored', Object([("a", [Number("1"), Number("-2.5e+3"), True])])),
        ("[false,null]", [False, None]),
        ('{"a":1,"a":2}', Object([("a", Number("1")), ("a", Number("2"))])),
        ('"\\u00e9\\n\\ud83d\\ude00 é"', "é\n😀 é"),
        ('"\\ud800"', "\ufffd"),
        ("01", Number("0")),
        ("[]", []),
    ],
)
def test_one_value_is_read(text: str, value: object) -> None:
    """The first value alone, as Go reads it."""
    assert decode(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "EOF"),
        (" \n", "EOF"),
        ("[1,", "unexpected EOF"),
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 2}', "invalid character '2' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ('"a\tb"', "invalid character '\\t' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ('"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"),
        ("nil", "invalid character 'i' in literal null (expecting 'u')"),
        ("-a", "invalid character 'a' in numeric literal"),
        ("1.a", "invalid character 'a' after decimal point in numeric literal"),
        ("1e+a", "invalid character 'a' in exponent of numeric literal"),
        ("'", "invalid character '\\'' looking for beginning of value"),
        ("\x01", "invalid character '\\x01' looking for beginning of value"),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        ("[" * 5000, "exceeded max depth"),
    ],
)
def test_what_is_wrong_is_said_in_gos_words(text: str, message: str) -> None:
    """Each message is the one of encoding/json."""
    with pytest.raises(GoError) as caught:
        decode(text.encode())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, True, None, "x"]}, '{"a":[1,true,null,"x"]}'),
        ("<&>\u2028é", '"\\u003c\\u0026\\u003e\\u2028é"'),
        (Float32(1.0), "1"),
        (Float32(0.0), "0"),
        (Float32(0.10000000149011612), "0.1"),
        (Float32(1e-07), "1e-7"),
        (Float32(100000002004087734272.0), "100000000000000000000"),
        (Float32(1.2345679e30), "1.2345679e+30"),
    ],
)
def test_values_are_written_as_go_writes_them(value: object, text: str) -> None:
    """Compact, safe inside HTML, floats with the fewest digits that a float32 needs."""
    assert encode(value) == text


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_every_toxic_of_the_api_is_one_of_the_model(kind: str) -> None:
    """What a request creates by default is what the model takes."""
    entry = parse_toxic(json.dumps({"type": kind, "stream": "UPstream"}).encode(), ())
    made = entry.toxic()
    assert (type_name(made), made.stream, made.name) == (kind, Direction.UPSTREAM, f"{kind}_UPstream")
    assert set(entry.attributes) == set(made.attributes.__struct_fields__)


# --- the collection, over a carrier that is none ----------------------------------------------------------------------


class Ledger:
    """A carrier that writes down what it is told. Port 99999 cannot be had."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def start(self, listen: str, upstream: str, toxics: Sequence[ToxicEntry]) -> str:
        """Listen."""
        bound = await self.resolve(listen)
        self.told.append(f"start {bound} {upstream} {len(toxics)}")
        return bound

    async def stop(self) -> None:
        """Stop."""
        self.told.append("stop")

    async def resolve(self, listen: str) -> str:
        """Ports as they are, 7 for 0."""
        await trio.lowlevel.checkpoint()
        if listen.endswith(":99999"):
            raise ApiError(500, "no such port")
        host, _, port = (listen or "127.0.0.1:0").rpartition(":")
        return f"{host.replace('localhost', '127.0.0.1')}:{7 if port == '0' else port}"

    def add(self, toxic: ToxicEntry) -> None:
        """Note it."""
        self.told.append(f"add {toxic.name}")

    def update(self, toxic: ToxicEntry) -> None:
        """Note it."""
        self.told.append(f"update {toxic.name}")

    def remove(self, name: str) -> None:
        """Note it."""
        self.told.append(f"remove {name}")


class Book:
    """Proxies over ledgers, driven from sync code."""

    def __init__(self) -> None:
        self.ledgers: list[Ledger] = []
        self.proxies = Proxies(self._carrier)

    def _carrier(self) -> Ledger:
        self.ledgers.append(Ledger())
        return self.ledgers[-1]

    def create(self, name: str = "p", listen: str = "localhost:5", **fields: object) -> None:
        """Create a proxy."""
        trio.run(self.proxies.create, json.dumps({"name": name, "upstream": "u", "listen": listen, **fields}).encode())

    def update(self, name: str = "p", **fields: object) -> None:
        """Update a proxy."""
        trio.run(self.proxies.update, name, json.dumps(fields).encode())

    def populate(self, *entries: dict[str, object]) -> list[str]:
        """Populate."""
        return [proxy.name for proxy in trio.run(self.proxies.populate, json.dumps(entries).encode())]


@pytest.fixture
def book() -> Book:
    """An empty collection."""
    return Book()


def test_a_change_of_address_restarts_a_proxy(book: Book) -> None:
    """Stop, change, start; the same address under either of its names is no change."""
    book.create()
    proxy = book.proxies.get("p")
    book.update(listen="localhost:5")
    book.update(listen="127.0.0.1:5", enabled=True)
    assert book.ledgers[0].told == ["start 127.0.0.1:5 u 0"]
    book.update(listen="localhost:6")
    book.update(upstream="v")
    assert book.ledgers[0].told[1:] == ["stop", "start 127.0.0.1:6 u 0", "stop", "start 127.0.0.1:6 v 0"]
    assert (proxy.listen, proxy.upstream, proxy.enabled) == ("127.0.0.1:6", "v", True)


def test_an_address_that_cannot_be_had_changes_nothing(book: Book) -> None:
    """It is found out before the proxy is stopped."""
    book.create()
    with pytest.raises(ApiError, match="no such port"):
        book.update(listen="localhost:99999")
    assert book.proxies.get("p").json()["listen"] == "127.0.0.1:5"
    assert book.ledgers[0].told == ["start 127.0.0.1:5 u 0"]


def test_a_proxy_that_cannot_start_is_not_created(book: Book) -> None:
    """Neither is one whose name is taken; disabled ones are not even looked at."""
    with pytest.raises(ApiError):
        book.create(listen="x:99999")
    assert book.proxies.all() == {}
    book.create(listen="x:99999", enabled=False)
    assert book.proxies.get("p").json()["listen"] == "x:99999"
    with pytest.raises(ApiError) as caught:
        book.create()
    assert (caught.value.status, caught.value.message) == (409, "proxy already exists")


def test_toxics_are_told_to_the_carrier(book: Book) -> None:
    """Add, update, remove, reset; upstream ones are listed first."""
    book.create()
    proxy = book.proxies.get("p")
    proxy.add_toxic(b'{"type":"latency"}')
    proxy.add_toxic(b'{"type":"latency","stream":"upstream"}')
    proxy.update_toxic("latency_downstream", b'{"attributes":{"jitter":3}}')
    proxy.remove_toxic("latency_upstream")
    proxy.add_toxic(b'{"type":"noop","stream":"upstream"}')
    assert [toxic.name for toxic in proxy.toxics] == ["noop_upstream", "latency_downstream"]
    book.update(enabled=False)
    trio.run(book.proxies.reset)
    assert book.ledgers[0].told == [
        "start 127.0.0.1:5 u 0",
        "add latency_downstream",
        "add latency_upstream",
        "update latency_downstream",
        "remove latency_upstream",
        "add noop_upstream",
        "stop",
        "start 127.0.0.1:5 u 2",
        "remove latency_downstream",
        "remove noop_upstream",
    ]


def test_populate_replaces_what_differs_and_stops_at_the_first_failure(book: Book) -> None:
    """What is the same stays as it is, toxics too; what was done before a failure stays done."""
    same, changed = {"name": "same", "upstream": "u", "listen": "localhost:0"}, {"name": "c", "upstream": "u"}
    assert book.populate(same, changed) == ["same", "c"]
    book.proxies.get("same").add_toxic(b'{"type":"noop"}')
    with pytest.raises(PopulateError) as caught:
        book.populate(
            {**same, "enabled": False}, {**changed, "upstream": "v"}, {**changed, "name": "x", "listen": "x:99999"}
        )
    assert [proxy.name for proxy in caught.value.done] == ["same", "c"]
    assert [len(ledger.told) for ledger in book.ledgers] == [2, 2, 1, 0]
    assert book.proxies.get("same").enabled
    assert book.proxies.get("c").upstream == "v"
    assert sorted(book.proxies.all()) == ["c", "same"]


def test_two_requests_for_one_name_at_once(book: Book) -> None:
    """One of them gets it."""
    body = b'{"name":"p","upstream":"u"}'
    outcomes: list[str] = []

    async def create() -> None:
        try:
            await book.proxies.create(body)
        except ApiError as error:
            outcomes.append(error.message)
        else:
            outcomes.append("created")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(create)
            nursery.start_soon(create)

    trio.run(main)
    assert outcomes == ["created", "proxy already exists"]


# --- differences from the real server ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of ours."""
    with serving("ours") as served:
        yield served


def test_a_negative_rate_is_refused(url: str) -> None:
    """The real server takes it, and its first chunk ends the process."""
    with proxied(url, toxic("bandwidth", rate=5)) as proxy:
        for answer in (
            proxy.api("POST", "/toxics", toxic("bandwidth", name="b", rate=-1)),
            proxy.api("PATCH", "/toxics/bandwidth_downstream", {"attributes": {"rate": -1}}),
        ):
            assert (answer.status, answer.json()["error"]) == (
                400,
                "bad request body: bandwidth rate must not be negative",
            )
        assert [entry["attributes"] for entry in proxy.api("GET", "/toxics").json()] == [{"rate": 5}]


@pytest.mark.parametrize("attributes", [{}, {"average_size": 1, "size_variation": 50}])
def test_a_slicer_cannot_crash(url: str, attributes: dict[str, int]) -> None:
    """Every byte arrives whatever the sizes."""
    with proxied(url, toxic("slicer", **attributes)) as proxy:
        client, server = proxy.connect()
        server.sendall(b"0123456789" * 20)
        server.close()
        assert read_end(client) == (b"0123456789" * 20, "fin")


def test_a_refused_update_changes_nothing(url: str) -> None:
    """Fields before the mistake neither."""
    with proxied(url, toxic("latency", latency=5)) as proxy:
        path = "/toxics/latency_downstream"
        before = proxy.api("GET", path)
        refused = proxy.api("PATCH", path, '{"toxicity":0.5,"attributes":{"latency":7,"jitter":"x"}}')
        assert refused.status == 400
        assert proxy.api("GET", path).body == before.body


def test_an_address_without_host_is_loopback(url: str) -> None:
    """With and without a port."""
    for number, listen in enumerate(("", ":0")):
        given = {"name": f"l{number}", "upstream": "127.0.0.1:1", "listen": listen}
        assert ask(url, "POST", "/proxies", given).json()["listen"].startswith("127.0.0.1:")
        assert ask(url, "DELETE", f"/proxies/l{number}").status == 204


def test_populate_knows_wildcards_and_free_ports_again(url: str) -> None:
    """The same request twice leaves proxies and connections as they are."""
    entries = [
        {"name": f"w{number}", "upstream": "127.0.0.1:1", "listen": listen}
        for number, listen in enumerate(("0.0.0.0:0", "localhost:0", ""))
    ]
    first, second = (ask(url, "POST", "/populate", entries).body for _ in range(2))
    assert first == second
    for entry in entries:
        ask(url, "DELETE", f"/proxies/{entry['name']}")


def test_a_slow_upstream_keeps_nobody_else_waiting(url: str) -> None:
    """While one client's server does not answer the dial, the API and other clients go on."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, proxied(url) as proxy:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        address = proxy.api("GET", "").json()["upstream"]
        assert proxy.api("POST", "", {"upstream": "{}:{}".format(*full.getsockname())}).status == 200
        waiting = proxy.dial()
        assert read_end(waiting, 0.05) == (b"", "silence")
        assert proxy.api("POST", "", {"upstream": address}).status == 200
        assert read_end(waiting) == (b"", "fin")
        client, server = proxy.connect()
        server.sendall(b"here")
        assert read_exactly(client, 4) == b"here"
        for filler in fillers:
            filler.close()


def test_a_seeded_server_repeats_itself() -> None:
    """With a seed, connection n draws the same toxicity each time."""

    def run() -> list[bytes]:
        with (
            in_thread(partial(serve_proxy_api, port=0, seed=5)) as endpoint,
            proxied(endpoint.root, toxic("limit_data", toxicity=0.5, bytes=0)) as proxy,
        ):
            seen = []
            for _ in range(12):
                client, server = proxy.connect()
                server.sendall(b"x")
                server.close()
                seen.append(read_end(client)[0])
            return seen

    first = run()
    assert first == run()
    assert set(first) == {b"", b"x"}


# --- the server -------------------------------------------------------------------------------------------------------


def test_leaving_closes_everything() -> None:
    """The API's port, a proxy's port and a connection through it."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        with in_thread(partial(serve_proxy_api, port=0)) as endpoint:
            given = {"name": "p", "upstream": "{}:{}".format(*upstream.getsockname()), "listen": "127.0.0.1:0"}
            port = int(ask(endpoint.root, "POST", "/proxies", given).json()["listen"].rpartition(":")[2])
            client = socket.create_connection(("127.0.0.1", port), 5.0)
        with client:
            assert read_end(client) == (b"", "fin")
        for closed in (port, endpoint.port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", closed), 5.0)


def test_a_port_in_use_is_a_mistake_of_the_tester(url: str) -> None:
    """One sentence, and nothing is left running."""
    taken = int(url.rsplit(":", 1)[1])
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{taken}: the port is in use"):
        trio.run(partial(serve_proxy_api, port=taken))


def test_a_client_that_hangs_up_leaves_no_half_change(url: str) -> None:
    """A request is carried out whole even if nobody waits for its answer."""
    host, port = url.removeprefix("http://").split(":")
    body = b'{"name":"gone","upstream":"127.0.0.1:1","listen":"localhost:0"}'
    head = b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection((host, int(port)), 5.0) as client:
        client.sendall(head + body)
    changed: Callable[[], bool] = lambda: ask(url, "DELETE", "/proxies/gone").status == 204  # noqa: E731
    assert any(changed() for _ in range(1000))
