"""The engine `embedded`, met by clients that are nothing but sockets."""

from __future__ import annotations

import socket
import struct

import pytest
import trio
import trio.testing

from testbed.engines.embedded import Embedded
from testbed.errors import HarnessError, UsageError
from testbed.faults.toxics import (
    CloseAfter,
    CloseAfterAttributes,
    Direction,
    Latency,
    LatencyAttributes,
    PacketLoss,
    PacketLossAttributes,
    ResetAfter,
    ResetAfterAttributes,
    ResetPeer,
    Slicer,
    SlicerAttributes,
    Stall,
    StallAttributes,
    Toxic,
)
from testbed.net.carrier import MOST_AT_ONCE
from testbed.plan import Attempt, Plan
from testbed.ports import ByteConnection, Endpoint
from testbed.script import Ending, Pause, Script, Text
from testbed.server.app import make_serve
from testbed.trace import ClientLeft, Clock, Delivered, Fired, LinkReset, Opened, PeerLeft, Request, Sent, ServerEnd
from tests.net.support import HELLO, Log, chat, plan_of, post, read_socket, wire_of

WIRE = wire_of(HELLO)


async def ask(endpoint: Endpoint, request: bytes = b"") -> tuple[bytes, str]:
    """One request over one connection: everything that came back, and how it ended."""
    async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as stream:
        await stream.send_all(request or post())
        return await read_socket(stream)


async def until(condition: object) -> None:
    """Wait until something that another task does has happened; the test's own deadline bounds it."""
    while not condition():  # type: ignore[operator]
        await trio.testing.wait_all_tasks_blocked(0.005)


def with_toxics(*toxics: Toxic, script: Script = HELLO) -> Plan:
    """A plan of one attempt."""
    return plan_of(Attempt(script=script, toxics=toxics))


def run_asking(plan: Plan, log_of: list[Log] | None = None) -> tuple[bytes, str]:
    """Ask once over the network of this plan."""
    engine = Embedded()

    async def main() -> tuple[bytes, str]:
        log = Log()
        if log_of is not None:
            log_of.append(log)
        with trio.fail_after(20):
            async with engine.network(plan, make_serve(plan, log), log) as endpoint:
                answer = await ask(endpoint)
                await until(lambda: log.of(ClientLeft) or log.of(LinkReset))
                return answer

    return engine.run(main)


def test_without_toxics_it_is_the_direct_path() -> None:
    """Every byte of the script arrives, and the three parties' records agree on how many there were."""
    logs: list[Log] = []
    assert run_asking(with_toxics(), logs) == (WIRE, "fin")
    (log,) = logs
    assert log.of(Sent)[-1].wire[1] == len(WIRE)
    assert [seen.total for seen in log.of(Delivered) if seen.direction is Direction.DOWNSTREAM][-1] == len(WIRE)
    assert type(log.all()[0]) is Opened
    assert [seen.problem for seen in log.of(Request)] == [""]
    assert [seen.how for seen in log.of(ServerEnd)] == [Ending.CLEAN]
    assert [seen.reset for seen in log.of(ClientLeft)] == [False]


@pytest.mark.parametrize("at", [1, 17, len(WIRE) // 2, len(WIRE) - 1])
def test_a_drained_reset_is_seen_at_its_exact_byte(at: int) -> None:
    """A raw client reads so many bytes, not one less and not one more, and then meets ECONNRESET."""
    logs: list[Log] = []
    plan = with_toxics(ResetAfter(attributes=ResetAfterAttributes(bytes=at)))
    assert run_asking(plan, logs) == (WIRE[:at], "reset")
    assert [(seen.toxic, seen.type) for seen in logs[0].of(Fired)] == [(0, "reset_after")]


@pytest.mark.parametrize("at", [1, len(WIRE) // 2, len(WIRE) - 1])
def test_a_close_is_seen_at_its_exact_byte(at: int) -> None:
    """A raw client reads so many bytes, and then the end of the stream."""
    plan = with_toxics(CloseAfter(attributes=CloseAfterAttributes(bytes=at)))
    assert run_asking(plan) == (WIRE[:at], "fin")


def test_reset_peer_gives_no_byte() -> None:
    """Toxiproxy's reset, there before the connection, is an RST before any byte."""
    assert run_asking(with_toxics(ResetPeer())) == (b"", "reset")


@pytest.mark.parametrize(
    "toxic",
    [
        Latency(attributes=LatencyAttributes(latency=30, jitter=20)),
        Slicer(attributes=SlicerAttributes(average_size=40, size_variation=20, delay=100)),
        PacketLoss(attributes=PacketLossAttributes(loss_rate=0.3, mss=100, rto=20, rtt=5)),
        Stall(attributes=StallAttributes(bytes=100, duration=50)),
    ],
    ids=lambda toxic: type(toxic).__name__,
)
def test_toxics_that_only_delay_lose_nothing(toxic: Toxic) -> None:
    """Whatever waits on the way arrives in the end, whole and in order."""
    assert run_asking(with_toxics(toxic)) == (WIRE, "fin")


@pytest.mark.parametrize(("how", "seen"), [(Ending.CLEAN, "fin"), (Ending.FIN, "fin"), (Ending.RST, "reset")], ids=str)
def test_the_servers_own_ending_reaches_a_raw_client(how: Ending, seen: str) -> None:
    """FIN and RST pass the network as what they are, behind the last byte."""
    script = chat(Text("x"), how=how)
    assert run_asking(with_toxics(script=script)) == (wire_of(script), seen)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_client_that_leaves_early_is_seen_by_link_and_server(reset: bool) -> None:
    """In the middle of a pause both vantage points note that the client is gone, and how."""
    plan = with_toxics(script=chat(Text("a"), Pause(60), Text("b")))

    async def main() -> None:
        log = Log()
        with trio.fail_after(20):
            async with Embedded().network(plan, make_serve(plan, log), log) as endpoint:
                stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
                await stream.send_all(post())
                # Unread input would turn a FIN into an RST, so everything before the pause is read.
                seen = b""
                while b'"content":"a"' not in seen:
                    seen += await stream.receive_some()
                if reset:
                    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await stream.aclose()
                await until(lambda: log.of(PeerLeft))
        assert [seen.reset for seen in log.of(ClientLeft)] == [reset]
        assert [seen.reset for seen in log.of(PeerLeft)] == [reset]
        assert not log.of(ServerEnd)

    trio.run(main)


def test_each_connection_plays_its_own_attempt() -> None:
    """The second request meets the second script and the second network."""
    first = Attempt(script=HELLO, toxics=(ResetAfter(attributes=ResetAfterAttributes(bytes=50)),))
    plan = plan_of(first, chat(Text("second")))

    async def main() -> list[tuple[bytes, str]]:
        log = Log()
        with trio.fail_after(20):
            async with Embedded().network(plan, make_serve(plan, log), log) as endpoint:
                return [await ask(endpoint) for _ in range(3)]

    second = wire_of(chat(Text("second")))
    assert trio.run(main) == [(WIRE[:50], "reset"), (second, "fin"), (second, "fin")]


def test_several_networks_live_side_by_side() -> None:
    """Each run has a port, a plan and a trace of its own."""
    scripts = [chat(Text(f"number {number}")) for number in range(4)]
    answers: dict[int, tuple[bytes, str]] = {}

    async def one(number: int) -> None:
        log, plan = Log(), plan_of(scripts[number])
        async with Embedded().network(plan, make_serve(plan, log), log) as endpoint:
            answers[number] = await ask(endpoint)
        assert len(log.of(Opened)) == 1

    async def main() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for number in range(4):
                    nursery.start_soon(one, number)

    trio.run(main)
    assert answers == {number: (wire_of(script), "fin") for number, script in enumerate(scripts)}


def test_leaving_closes_listener_and_connections() -> None:
    """After the run nobody listens, and a client that still waits is told so."""
    plan = with_toxics(Stall(attributes=StallAttributes(bytes=0)))

    async def main() -> None:
        log = Log()
        with trio.fail_after(20):
            async with Embedded().network(plan, make_serve(plan, log), log) as endpoint:
                stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
                await stream.send_all(post())
                await until(lambda: log.of(ServerEnd))
            assert (await read_socket(stream))[0] == b""
            await stream.aclose()
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream(endpoint.host, endpoint.port)

    trio.run(main)


def test_connections_beyond_the_bound_are_closed() -> None:
    """A client that opens without end meets a closed door, and the others are served on."""

    async def main() -> None:
        log, plan = Log(), with_toxics()
        with trio.fail_after(20):
            async with Embedded().network(plan, make_serve(plan, log), log) as endpoint:
                idle = [await trio.open_tcp_stream(endpoint.host, endpoint.port) for _ in range(MOST_AT_ONCE)]
                await until(lambda: len(log.of(Opened)) == MOST_AT_ONCE)
                async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as refused:
                    assert (await read_socket(refused))[0] == b""
                await idle[0].send_all(post())
                assert await read_socket(idle[0]) == (WIRE, "fin")
                for stream in idle:
                    await stream.aclose()
        assert len(log.of(Opened)) == MOST_AT_ONCE

    trio.run(main)


def test_a_failing_server_ends_the_run_with_our_own_error() -> None:
    """The run's body is stopped, and the caller gets one plain HarnessError."""

    async def broken(_conn: int, _connection: ByteConnection) -> None:
        raise ZeroDivisionError("oops")

    async def main() -> None:
        async with Embedded().network(with_toxics(), broken, Log()) as endpoint:
            await ask(endpoint)
            await trio.sleep_forever()

    with pytest.raises(HarnessError, match="ZeroDivisionError: oops"):
        trio.run(main)


def test_an_occupied_port_is_a_usage_error() -> None:
    """The sentence names the address."""

    async def main() -> None:
        log, plan = Log(), with_toxics()
        async with Embedded().network(plan, make_serve(plan, log), log) as endpoint:
            second = Embedded(port=endpoint.port).network(plan, make_serve(plan, log), log)
            with pytest.raises(UsageError, match=f"127.0.0.1:{endpoint.port}: the port is in use"):
                await second.__aenter__()

    trio.run(main)


def test_a_burst_of_clients_is_served_whole() -> None:
    """Fifty clients at once get every byte, each of its own stream."""

    async def main() -> None:
        log, plan = Log(), with_toxics(Latency(attributes=LatencyAttributes(latency=20)))
        answers = []

        async def one(endpoint: Endpoint) -> None:
            answers.append(await ask(endpoint))

        with trio.fail_after(30):
            network = Embedded().network(plan, make_serve(plan, log), log)
            async with network as endpoint, trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(one, endpoint)
        assert answers == [(WIRE, "fin")] * 50

    trio.run(main)


def test_it_says_what_it_is() -> None:
    """The engine carries every plan, on the real clock."""
    engine = Embedded()
    assert (engine.name, engine.clock, engine.unsupported(with_toxics(ResetPeer()))) == ("embedded", Clock.REAL, None)
