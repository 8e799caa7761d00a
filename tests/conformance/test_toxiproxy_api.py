"""The embedded Toxiproxy's API is the real one's: recorded exchanges, exchanges compared live, its Python client."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from testbed.engines.proxy_api.differences import DIFFERENCES
from tests.engines.toxiproxies import Answer, ask, free_port, serving

GOLDEN = Path(__file__).with_name("toxiproxy_golden.jsonl")

# In the recording: two fixed ports, and the one that was given for an address without one.
FIXED = ("19010", "19011")
FREE = "[::]:34545"


def exchanges() -> list[dict[str, Any]]:
    """The recorded exchanges, on ports that are free here."""
    text = GOLDEN.read_text(encoding="utf-8")
    for port in FIXED:
        text = text.replace(port, str(free_port()))
    return [json.loads(line) for line in text.splitlines()]


def same_go(text: str) -> str:
    """Leave out what depends on the version of Go that built the server: how it names a struct inside a message."""
    return re.sub(r"Go struct field \w*\.", "Go struct field .", text)


@pytest.mark.parametrize("kind", ["ours", "real"])
def test_recorded_exchanges_come_out_the_same(kind: str) -> None:
    """Every exchange of the recording is repeated to the letter: status, content type, request id, body."""
    given = FREE
    with serving(kind) as url:
        for number, exchange in enumerate(exchanges()):
            asked = exchange["req"]
            answer = ask(url, asked["method"], asked["path"], asked["body"])
            if FREE in exchange["body"] and given == FREE:
                given = answer.json()["listen"]
            expected = exchange["body"].replace(FREE, given)
            where = f"exchange {number}: {asked}"
            assert (answer.status, answer.content_type) == (exchange["status"], exchange["content_type"]), where
            assert (answer.request_id is not None) == exchange["has_request_id"], where
            assert same_go(answer.body) == same_go(expected), where
    # The one difference that the recording meets: listen-without-host.
    assert given.startswith({"ours": "127.0.0.1:", "real": "[::]:"}[kind])


def test_every_difference_is_told() -> None:
    """A difference has a name of its own and says what, and why."""
    names = [difference.name for difference in DIFFERENCES]
    assert sorted(set(names)) == sorted(names)
    assert all(difference.real and difference.ours and difference.why for difference in DIFFERENCES)


# Asked of both in this order; answers must be the same but for ports and request ids.
QUESTIONS: list[tuple[str, str, object]] = [
    ("POST", "/proxies", None),
    ("POST", "/proxies", "[1]"),
    ("POST", "/proxies", '"s"'),
    ("POST", "/proxies", "null"),
    ("POST", "/proxies", '{"name":5,"upstream":"x:1"}'),
    ("POST", "/proxies", '{"name":"a","upstream":"127.0.0.1:1","enabled":"yes"}'),
    ("POST", "/proxies", '{"NAME":"a","Upstream":"127.0.0.1:1","listen":null,"enabled":false} trailing'),
    ("POST", "/proxies", {"name": "", "upstream": ""}),
    ("POST", "/proxies", {"name": "a", "upstream": "127.0.0.1:1", "listen": "nonsense"}),
    ("POST", "/proxies", {"name": "<&>é\u2028", "upstream": "127.0.0.1:1", "enabled": False}),
    ("POST", "/proxies", '{"name":"\\ud800x","upstream":"u","enabled":false,"toxics":[1],"unknown":{}}'),
    ("POST", "/proxies", {"name": "b", "upstream": "127.0.0.1:1", "listen": "localhost:0"}),
    ("POST", "/proxies", {"name": "c", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:"}),
    *(
        ("POST", "/proxies", {"name": "d", "upstream": "127.0.0.1:1", "listen": listen})
        for listen in ("foo", "foo:bar", "a:b:c", "8.8.8.8:1", "127.0.0.1:-1", "127.0.0.1:65536", "[::1:5")
    ),
    *(
        ("POST", "/proxies", body)
        for body in (
            "{",
            '{"a" 1}',
            '{"a":1 2}',
            "[1 2]",
            '"\\q"',
            '"\\u12x"',
            "tru",
            "nulL",
            "-",
            "1.",
            "1ex",
            "'",
            "\x01",
        )
    ),
    *(
        ("POST", "/proxies/b/toxics", body)
        for body in (
            "5",
            '{"type":5}',
            '{"type":"latency","attributes":5}',
            '{"type":"latency","attributes":[]}',
            '{"type":"latency","attributes":null}',
            '{"type":"latency","stream":"x"}',
            '{"type":"latency","stream":5}',
            '{"type":"Latency"}',
            '{"type":"latency","toxicity":"x"}',
            '{"type":"latency","toxicity":1e99}',
            '{"type":"latency","name":"f","toxicity":0.30000001,"attributes":{"LATENCY":5,"latency":6}}',
            '{"type":"latency","name":"g","toxicity":1e-9,"stream":"UpStream"}',
            '{"type":"latency","stream":"UpStream"}',
            '{"type":"latency","name":"h","toxicity":1e30}',
            '{"type":"latency","name":"i","toxicity":-0.25}',
            '{"type":"latency","name":"j","attributes":{"latency":1.5}}',
            '{"type":"latency","name":"j","attributes":{"latency":1e3}}',
            '{"type":"latency","name":"j","attributes":{"latency":true}}',
            '{"type":"latency","name":"j","attributes":{"latency":99999999999999999999}}',
            '{"type":"latency","name":"j","attributes":{"latency":9223372036854775807}}',
            '{"type":"slicer","name":"k","attributes":{"average_size":{}}}',
            '{"type":"slicer","name":"k","attributes":{"average_size":5}}',
            '{"type":"slow_close"}',
            '{"type":"reset_peer"}',
            '{"type":"timeout","name":"with/slash"}',
            '{"type":"noop","name":"l","attributes":{"a":1}}',
        )
    ),
    ("GET", "/proxies/b/toxics/with/slash", None),
    ("GET", "/proxies/b/toxics/with%2Fslash", None),
    ("GET", "/proxies/%62/toxics/%66", None),
    ("PATCH", "/proxies/b/toxics/f", '{"toxicity":"a"}'),
    ("PATCH", "/proxies/b/toxics/f", "5"),
    ("PATCH", "/proxies/b/toxics/f", '{"attributes":5}'),
    ("PATCH", "/proxies/b/toxics/f", '{"attributes":null}'),
    ("PATCH", "/proxies/b/toxics/f", "{}"),
    ("PATCH", "/proxies/b/toxics/f", None),
    ("POST", "/proxies/b/toxics/f", '{"toxicity":0.7,"attributes":{"jitter":3}}'),
    ("GET", "/proxies/b/toxics", None),
    ("PATCH", "/proxies/nope", "{"),
    ("PATCH", "/proxies/b", None),
    ("PATCH", "/proxies/b", {"enabled": 5}),
    ("PATCH", "/proxies/b", {"name": "zz", "listen": "foo"}),
    ("GET", "/proxies/b", None),
    ("PATCH", "/proxies/b", {"upstream": "127.0.0.1:2", "enabled": False}),
    # Those without an address would be started where the two differ: see listen-without-host.
    ("DELETE", "/proxies/a", None),
    ("DELETE", "/proxies/%3C&%3E%C3%A9%E2%80%A8", None),
    ("DELETE", "/proxies/%EF%BF%BDx", None),
    ("POST", "/reset", None),
    ("POST", "/populate", None),
    ("POST", "/populate", "[]"),
    ("POST", "/populate", "null"),
    ("POST", "/populate", "[5]"),
    ("POST", "/populate", '[{"name":5}]'),
    ("POST", "/populate", '[{"name":"x","upstream":"u","enabled":"q"}]'),
    ("POST", "/populate", [{"name": "x", "upstream": "u", "enabled": False}, {"name": "", "upstream": "u"}]),
    (
        "POST",
        "/populate",
        [{"name": "y", "upstream": "u", "enabled": False}, {"name": "z", "upstream": "u", "listen": "foo"}],
    ),
    ("GET", "/proxies", None),
    ("DELETE", "/proxies/y", None),
    ("DELETE", "/proxies/y", None),
    ("OPTIONS", "/proxies", None),
    ("HEAD", "/proxies", None),
    ("DELETE", "/version", None),
]


def without_ports(answer: Answer) -> tuple[object, ...]:
    """What must be the same of two answers. Ports that were given, not asked for, are left out."""
    body = re.sub(r'("listen":"[^"]*:)\d{4,5}"', r'\1PORT"', same_go(answer.body))
    return answer.status, answer.content_type, answer.request_id is not None, body


def test_questions_get_the_same_answers(both_toxiproxies: tuple[str, str]) -> None:
    """What the recording does not ask is asked of both servers, and both say the same."""
    ours, real = both_toxiproxies
    asked = [(question, *(without_ports(ask(url, *question)) for url in (ours, real))) for question in QUESTIONS]
    assert [entry for entry in asked if entry[1] != entry[2]] == []


def test_browsers_are_kept_out(toxiproxy: str) -> None:
    """A page in a browser cannot drive the API; a request id shows that it was looked at."""
    answer = ask(toxiproxy, "GET", "/proxies", agent="Mozilla/5.0")
    assert (answer.status, answer.content_type) == (403, "text/plain; charset=utf-8")
    assert answer.body == "User agent not allowed\n"
    assert len(answer.request_id or "") == 20
    assert ask(toxiproxy, "GET", "/nope", agent="Mozilla/5.0").status == 404


# --- its own client ---------------------------------------------------------------------------------------------------


@pytest.fixture
def library(toxiproxy: str) -> Iterator[Toxiproxy]:
    """toxiproxy-python as it is, pointed at the server under test."""
    before = APIConsumer.host, APIConsumer.port, os.environ.get("NO_PROXY")
    host, port = toxiproxy.removeprefix("http://").split(":")
    client = Toxiproxy()
    client.update_api_consumer(host, int(port))
    os.environ["NO_PROXY"] = host  # it follows HTTP_PROXY even to this machine
    try:
        yield client
        client.destroy_all()
    finally:
        APIConsumer.host, APIConsumer.port = before[:2]
        if before[2] is None:
            del os.environ["NO_PROXY"]
        else:
            os.environ["NO_PROXY"] = before[2]


def test_its_python_client_makes_and_finds_proxies(library: Toxiproxy) -> None:
    """Create, look up, disable, enable, destroy."""
    assert library.running()
    assert json.loads(library.version())["version"] == "git"
    proxy = library.create(upstream="127.0.0.1:1", name="one")
    assert (proxy.enabled, proxy.upstream) == (True, "127.0.0.1:1")
    assert proxy.listen.startswith("127.0.0.1:")
    assert library.create(upstream="127.0.0.1:1", name="off", enabled=False).enabled is False
    assert sorted(library.proxies()) == ["off", "one"]
    proxy.disable()
    assert library.get_proxy("one").enabled is False
    with library.get_proxy("off").down():
        assert library.get_proxy("off").enabled is False
    assert library.get_proxy("off").enabled is True
    assert library.destroy(proxy)
    assert library.get_proxy("one") is None
    with pytest.raises(NotFound):
        proxy.destroy()


def test_its_python_client_adds_and_removes_toxics(library: Toxiproxy) -> None:
    """Toxics by default name and by their own, read back as they were given."""
    proxy = library.create(upstream="127.0.0.1:1", name="one")
    proxy.add_toxic(type="latency", attributes={"latency": 5})
    proxy.add_toxic(type="limit_data", name="cut", stream="upstream", toxicity=0.5, attributes={"bytes": 9})
    assert sorted(proxy.toxics()) == ["cut", "latency_downstream"]
    cut = proxy.get_toxic("cut")
    assert (cut.type, cut.stream, cut.toxicity, cut.attributes) == ("limit_data", "upstream", 0.5, {"bytes": 9})
    assert proxy.get_toxic("latency_downstream").attributes == {"latency": 5, "jitter": 0}
    with pytest.raises(ProxyExists):
        proxy.add_toxic(type="latency")
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="gremlin")
    assert proxy.destroy_toxic("cut")
    assert sorted(proxy.toxics()) == ["latency_downstream"]
    with pytest.raises(NotFound):
        proxy.destroy_toxic("cut")


def test_its_python_client_resets_and_populates(library: Toxiproxy) -> None:
    """Reset enables everything and removes every toxic; populate replaces what differs and leaves what is the same."""
    one, two = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    wanted = [
        {"name": "one", "upstream": "127.0.0.1:1", "listen": one},
        {"name": "two", "upstream": "127.0.0.1:1", "listen": two},
    ]
    assert [proxy.name for proxy in library.populate(wanted)] == ["one", "two"]
    library.get_proxy("one").add_toxic(type="slow_close")
    library.get_proxy("two").disable()
    assert library.reset()
    assert library.get_proxy("two").enabled is True
    assert library.get_proxy("one").toxics() == {}
    library.get_proxy("one").add_toxic(type="slow_close")
    changed = [wanted[0], {**wanted[1], "upstream": "127.0.0.1:2"}]
    assert [proxy.name for proxy in library.populate(changed)] == ["two"]
    assert sorted(library.get_proxy("one").toxics()) == ["slow_close_downstream"]
    assert library.get_proxy("two").upstream == "127.0.0.1:2"
