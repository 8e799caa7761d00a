"""The embedded Toxiproxy is the real one: the same sockets see the same through both, toxic by toxic.

Times are compared coarsely, and from below where they can be: a busy machine is late, and never early.
"""

from __future__ import annotations

import socket
import struct
import time

import pytest

from tests.engines.toxiproxies import PATIENCE, proxied, read_end, read_exactly, toxic

pytestmark = pytest.mark.once

DATA = bytes(range(256)) * 16  # 4096 bytes, any 256 of them in a row different


def hard_close(sock: socket.socket) -> None:
    """Send RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def since(start: float) -> float:
    """Seconds since then."""
    return time.monotonic() - start


# --- without toxics ---------------------------------------------------------------------------------------------------


def test_bytes_pass_both_ways(toxiproxy: str) -> None:
    """Without toxics a proxy hands on every byte of both directions, and the end."""
    with proxied(toxiproxy) as proxy:
        client, server = proxy.connect()
        client.sendall(DATA)
        assert read_exactly(server, len(DATA)) == DATA
        server.sendall(DATA[::-1])
        server.close()
        assert read_end(client) == (DATA[::-1], "fin")


def test_there_is_no_half_close(toxiproxy: str) -> None:
    """A client that ends its side ends the whole connection: what the server answers later is lost."""
    with proxied(toxiproxy) as proxy:
        client, server = proxy.connect()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_end(server) == (b"question", "fin")
        assert read_end(client) == (b"", "fin")


def test_a_reset_comes_out_as_an_end(toxiproxy: str) -> None:
    """An RST of the server reaches the client as FIN."""
    with proxied(toxiproxy) as proxy:
        client, server = proxy.connect()
        hard_close(server)
        assert read_end(client) == (b"", "fin")


def test_connecting_works_with_the_server_down(toxiproxy: str) -> None:
    """The proxy accepts first and dials then, so a server that is down shows as a connection that just ends."""
    with proxied(toxiproxy) as proxy:
        proxy.api("POST", "", {"upstream": "127.0.0.1:1"})
        assert read_end(proxy.dial()) == (b"", "fin")


def test_a_disabled_proxy_is_down(toxiproxy: str) -> None:
    """Disabling ends open connections with FIN and refuses new ones; enabling takes them again, toxics included."""
    with proxied(toxiproxy, toxic("limit_data", bytes=7)) as proxy:
        client, server = proxy.connect()
        address = client.getpeername()
        assert proxy.api("POST", "", {"enabled": False}).status == 200
        assert (read_end(client), read_end(server)) == ((b"", "fin"), (b"", "fin"))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, PATIENCE)
        assert proxy.api("POST", "", {"enabled": True}).json()["listen"] == "{}:{}".format(*address)
        client, server = proxy.connect()
        server.sendall(DATA)
        assert read_end(client) == (DATA[:7], "fin")


def test_deleting_a_proxy_ends_its_connections(toxiproxy: str) -> None:
    """A deleted proxy leaves nothing open."""
    with proxied(toxiproxy) as proxy:
        client, server = proxy.connect()
        assert proxy.api("DELETE", "").status == 204
        assert (read_end(client), read_end(server)) == ((b"", "fin"), (b"", "fin"))


# --- latency, bandwidth, slow_close, slicer: all bytes, later ---------------------------------------------------------


def test_latency_delays_data_and_not_connecting(toxiproxy: str) -> None:
    """Data takes `latency` longer in its stream, and no time is added to the other one."""
    with proxied(toxiproxy, toxic("latency", latency=300)) as proxy:
        client, server = proxy.connect()
        start = time.monotonic()
        client.sendall(b"question")
        assert read_exactly(server, 8) == b"question"
        assert since(start) < 0.3
        start = time.monotonic()
        server.sendall(DATA)
        server.close()
        assert read_end(client) == (DATA, "fin")
        assert since(start) >= 0.29


def test_removing_latency_lets_go_what_it_holds(toxiproxy: str) -> None:
    """A chunk that waits goes on at once when its latency is removed."""
    with proxied(toxiproxy, toxic("latency", latency=60_000)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        assert read_end(client, 0.1) == (b"", "silence")
        assert proxy.api("DELETE", "/toxics/latency_downstream").status == 204
        client.settimeout(PATIENCE)
        assert read_exactly(client, len(DATA)) == DATA


def test_updating_latency_reaches_open_connections(toxiproxy: str) -> None:
    """New attributes hold for the next chunk of a connection that is open."""
    with proxied(toxiproxy, toxic("latency", latency=60_000)) as proxy:
        client, server = proxy.connect()
        body = {"attributes": {"latency": 1}}
        assert proxy.api("POST", "/toxics/latency_downstream", body).json()["attributes"]["latency"] == 1
        server.sendall(DATA)
        assert read_exactly(client, len(DATA)) == DATA


def test_bandwidth_makes_bytes_pay(toxiproxy: str) -> None:
    """20 kB at 50 kB/s take 0.4 seconds, and arrive whole."""
    with proxied(toxiproxy, toxic("bandwidth", rate=50)) as proxy:
        client, server = proxy.connect()
        start = time.monotonic()
        server.sendall(DATA * 5)
        server.close()
        assert read_end(client) == (DATA * 5, "fin")
        assert since(start) >= 0.35


def test_bandwidth_of_zero_stalls_until_it_is_removed(toxiproxy: str) -> None:
    """Rate 0 lets nothing pass, the end neither; removing it releases what it held."""
    with proxied(toxiproxy, toxic("bandwidth", rate=0)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        server.close()
        assert read_end(client, 0.2) == (b"", "silence")
        assert proxy.api("DELETE", "/toxics/bandwidth_downstream").status == 204
        assert read_end(client) == (DATA, "fin")


def test_slow_close_holds_the_end_back(toxiproxy: str) -> None:
    """Data passes at once, the end comes `delay` later."""
    with proxied(toxiproxy, toxic("slow_close", delay=300)) as proxy:
        client, server = proxy.connect()
        start = time.monotonic()
        server.sendall(DATA)
        server.close()
        assert read_exactly(client, len(DATA)) == DATA
        assert since(start) < 0.3
        assert read_end(client) == (b"", "fin")
        assert since(start) >= 0.29


def test_slicer_cuts_and_keeps_every_byte(toxiproxy: str) -> None:
    """One write arrives in many small pieces that are the same bytes."""
    with proxied(toxiproxy, toxic("slicer", average_size=64, size_variation=32, delay=2000)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA[:512])
        server.close()
        pieces = list(iter(lambda: client.recv(65536), b""))
        assert b"".join(pieces) == DATA[:512]
        assert len(pieces) >= 4


# --- timeout, limit_data, reset_peer: fewer bytes, and an end ---------------------------------------------------------


def test_timeout_drops_and_closes(toxiproxy: str) -> None:
    """Nothing passes a timeout, and it closes that long after the last chunk."""
    with proxied(toxiproxy, toxic("timeout", timeout=300)) as proxy:
        client, server = proxy.connect()
        start = time.monotonic()
        server.sendall(DATA)
        assert read_end(client) == (b"", "fin")
        assert since(start) >= 0.29


def test_timeout_of_zero_never_closes(toxiproxy: str) -> None:
    """A timeout of 0 swallows everything for ever; removing it closes the connection."""
    with proxied(toxiproxy, toxic("timeout", timeout=0)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        assert read_end(client, 0.2) == (b"", "silence")
        assert proxy.api("DELETE", "/toxics/timeout_downstream").status == 204
        assert read_end(client) == (b"", "fin")


@pytest.mark.parametrize("limit", [1, 255, 4096, 4097])
def test_limit_data_is_exact(toxiproxy: str, limit: int) -> None:
    """Exactly that many bytes pass, then FIN."""
    with proxied(toxiproxy, toxic("limit_data", bytes=limit)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA * 2)
        assert read_end(client) == ((DATA * 2)[:limit], "fin")


def test_limit_data_of_zero_waits_for_data(toxiproxy: str) -> None:
    """With 0 the first chunk is dropped and closes; before it the connection is open."""
    with proxied(toxiproxy, toxic("limit_data", bytes=0)) as proxy:
        client, server = proxy.connect()
        assert read_end(client, 0.1) == (b"", "silence")
        server.sendall(DATA)
        assert read_end(client) == (b"", "fin")


def test_limit_data_counts_from_when_it_was_added(toxiproxy: str) -> None:
    """What had passed before does not count."""
    with proxied(toxiproxy) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        assert read_exactly(client, len(DATA)) == DATA
        assert proxy.api("POST", "/toxics", toxic("limit_data", bytes=10)).status == 200
        server.sendall(DATA)
        assert read_end(client) == (DATA[:10], "fin")


def test_limit_data_lowered_below_its_count_closes_at_the_next_chunk(toxiproxy: str) -> None:
    """The count outlives an update."""
    with proxied(toxiproxy, toxic("limit_data", bytes=100)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA[:50])
        assert read_exactly(client, 50) == DATA[:50]
        assert proxy.api("POST", "/toxics/limit_data_downstream", {"attributes": {"bytes": 20}}).status == 200
        server.sendall(DATA[:50])
        assert read_end(client) == (b"", "fin")


def test_limit_data_upstream(toxiproxy: str) -> None:
    """A toxic of the other stream works on what the client sends, and its close ends both sides."""
    with proxied(toxiproxy, toxic("limit_data", "upstream", bytes=5)) as proxy:
        client, server = proxy.connect()
        client.sendall(b"question")
        assert read_end(server) == (b"quest", "fin")
        assert read_end(client) == (b"", "fin")


def test_reset_peer_before_the_connection_resets(toxiproxy: str) -> None:
    """No byte arrives, then RST, once there is traffic."""
    with proxied(toxiproxy, toxic("reset_peer", timeout=0)) as proxy:
        client, server = proxy.connect()
        assert read_end(client, 0.1) == (b"", "silence")
        server.sendall(DATA)
        assert read_end(client) == (b"", "reset")


def test_reset_peer_added_to_an_open_connection_only_closes(toxiproxy: str) -> None:
    """The option that makes a close a reset is set when a connection starts, so later it is FIN."""
    with proxied(toxiproxy) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        assert read_exactly(client, len(DATA)) == DATA
        assert proxy.api("POST", "/toxics", toxic("reset_peer", timeout=0)).status == 200
        server.sendall(DATA)
        assert read_end(client) == (b"", "fin")


@pytest.mark.parametrize("limit", [1, 1000, 4096])
def test_the_recipe_for_an_exact_reset(toxiproxy: str, limit: int) -> None:
    """limit_data beside a reset_peer of toxicity 0: exactly that many bytes, then RST."""
    toxics = (toxic("reset_peer", toxicity=0.0, timeout=0), toxic("limit_data", bytes=limit))
    with proxied(toxiproxy, *toxics) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA * 2)
        assert read_end(client) == ((DATA * 2)[:limit], "reset")


def test_a_reset_peer_that_never_strikes_resets_the_servers_own_end(toxiproxy: str) -> None:
    """With toxicity 0 it lets all bytes pass and still takes the orderly end away."""
    with proxied(toxiproxy, toxic("reset_peer", toxicity=0.0, timeout=0)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        assert read_exactly(client, len(DATA)) == DATA
        server.close()
        assert read_end(client) == (b"", "reset")


# --- chains, toxicity ------------------------------------------------------------------------------------------------


def test_toxics_work_in_the_order_of_their_creation(toxiproxy: str) -> None:
    """What a limit lets through still pays for the latency behind it, and the end waits for its turn."""
    with proxied(toxiproxy, toxic("limit_data", bytes=9), toxic("latency", latency=200)) as proxy:
        client, server = proxy.connect()
        start = time.monotonic()
        server.sendall(DATA)
        assert read_end(client) == (DATA[:9], "fin")
        assert since(start) >= 0.19


@pytest.mark.parametrize(("toxicity", "expected"), [(0.0, DATA), (1.0, b""), (7.0, b""), (-1.0, DATA)])
def test_toxicity_at_its_ends_is_certain(toxiproxy: str, toxicity: float, expected: bytes) -> None:
    """0 and less never strikes, 1 and more always does."""
    with proxied(toxiproxy, toxic("limit_data", toxicity=toxicity, bytes=0)) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        server.close()
        assert read_end(client) == (expected, "fin")


def test_noop_passes(toxiproxy: str) -> None:
    """A noop is no fault."""
    with proxied(toxiproxy, toxic("noop")) as proxy:
        client, server = proxy.connect()
        server.sendall(DATA)
        server.close()
        assert read_end(client) == (DATA, "fin")


def test_two_connections_do_not_share_a_limit(toxiproxy: str) -> None:
    """Each connection has its own count."""
    with proxied(toxiproxy, toxic("limit_data", bytes=100)) as proxy:
        for _ in range(2):
            client, server = proxy.connect()
            server.sendall(DATA)
            assert read_end(client) == (DATA[:100], "fin")
