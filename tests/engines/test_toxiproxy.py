"""The engine `toxiproxy`, over the real server and over the embedded one, which must look the same to it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from testbed.engines.embedded import Embedded
from testbed.engines.toxiproxy import Toxiproxy
from testbed.engines.toxiproxy_client import ToxiproxyClient
from testbed.errors import HarnessError, Unsupported
from testbed.faults.toxics import (
    Bandwidth,
    BandwidthAttributes,
    CloseAfter,
    CloseAfterAttributes,
    Direction,
    Latency,
    LatencyAttributes,
    LimitData,
    LimitDataAttributes,
    PacketLoss,
    ResetAfter,
    ResetAfterAttributes,
    ResetPeer,
    Slicer,
    SlicerAttributes,
    SlowClose,
    SlowCloseAttributes,
    Timeout,
    TimeoutAttributes,
    Toxic,
)
from testbed.plan import Attempt, Plan
from testbed.ports import ByteConnection, Endpoint, Engine
from testbed.script import Text
from testbed.server.app import make_serve
from testbed.trace import Clock, Delivered, Fired, LinkEof, LinkReset, Opened, Request
from tests.engines.toxiproxies import KINDS, ask, serving
from tests.net.support import HELLO, Log, chat, plan_of, post, read_socket, wire_of

pytestmark = pytest.mark.once

WIRE = wire_of(HELLO)
LONG = chat(*(Text(f"word {number} ") for number in range(200)))


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server, ours and the real one."""
    with serving(request.param) as served:
        yield served


async def request(endpoint: Endpoint) -> tuple[bytes, str]:
    """One request over one connection: everything that came back, and how it ended."""
    async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as stream:
        await stream.send_all(post())
        return await read_socket(stream)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for another task, but not for ever."""
    with trio.fail_after(5.0):
        while not condition():
            await trio.testing.wait_all_tasks_blocked(0.005)


def carry(engine: Engine, plan: Plan, times: int = 1) -> tuple[list[tuple[bytes, str]], Log]:
    """Run a plan for so many clients, one after the other."""
    logs: list[Log] = []

    async def main() -> list[tuple[bytes, str]]:
        logs.append(Log())
        async with engine.network(plan, make_serve(plan, logs[0]), logs[0]) as endpoint:
            with trio.fail_after(10.0):
                return [await request(endpoint) for _ in range(times)]

    return engine.run(main), logs[0]


LIMIT = LimitData(attributes=LimitDataAttributes(57))
CASES: dict[str, tuple[Toxic, ...]] = {
    "no toxics": (),
    "latency": (Latency(attributes=LatencyAttributes(latency=30, jitter=10)),),
    "latency upstream": (Latency(stream=Direction.UPSTREAM, attributes=LatencyAttributes(latency=30)),),
    "bandwidth": (Bandwidth(attributes=BandwidthAttributes(rate=100)),),
    "slicer": (Slicer(attributes=SlicerAttributes(average_size=64, size_variation=20, delay=100)),),
    "slow_close": (SlowClose(attributes=SlowCloseAttributes(delay=30)),),
    "timeout": (Timeout(attributes=TimeoutAttributes(timeout=50)),),
    "reset_peer": (ResetPeer(),),
    "reset_peer upstream": (ResetPeer(stream=Direction.UPSTREAM),),
    "limit_data": (LIMIT,),
    "limit_data upstream": (LimitData(stream=Direction.UPSTREAM, attributes=LimitDataAttributes(20)),),
    "limit_data at the end": (LimitData(attributes=LimitDataAttributes(len(wire_of(LONG)))),),
    "limit_data behind the end": (LimitData(attributes=LimitDataAttributes(len(wire_of(LONG)) + 1)),),
    "reset_after 0": (ResetAfter(attributes=ResetAfterAttributes(0)),),
    "reset_after 1": (ResetAfter(attributes=ResetAfterAttributes(1)),),
    "reset_after in the head": (ResetAfter(attributes=ResetAfterAttributes(100)),),
    "reset_after in the body": (ResetAfter(attributes=ResetAfterAttributes(12_345)),),
    "reset_after at the end": (ResetAfter(attributes=ResetAfterAttributes(len(wire_of(LONG)))),),
    "reset_after spared": (ResetAfter(toxicity=0.0, attributes=ResetAfterAttributes(1)),),
    "close_after": (CloseAfter(attributes=CloseAfterAttributes(bytes=12_345)),),
    "latency, then reset_after": (
        Latency(attributes=LatencyAttributes(latency=30)),
        ResetAfter(attributes=ResetAfterAttributes(500)),
    ),
    "reset_after, then latency": (
        ResetAfter(attributes=ResetAfterAttributes(500)),
        Latency(attributes=LatencyAttributes(latency=30)),
        Slicer(attributes=SlicerAttributes(average_size=64)),
    ),
    "a reset_peer that is spared": (ResetPeer(toxicity=0.0), LIMIT),
}


def told(log: Log) -> dict[str, Any]:
    """What an oracle reads of the link: how much the client got, how it ended, what fired."""
    down = [seen.total for seen in log.of(Delivered) if seen.direction is Direction.DOWNSTREAM]
    ends = [*log.of(LinkEof), *log.of(LinkReset)]
    return {
        "delivered": max(down, default=0),
        "ended": {type(seen).__name__ for seen in ends if seen.direction is Direction.DOWNSTREAM},
        "fired": sorted((seen.conn, seen.toxic, seen.type) for seen in log.of(Fired)),
    }


@pytest.mark.parametrize("case", CASES)
def test_a_plan_is_the_same_on_both_engines(url: str, case: str) -> None:
    """What the client gets and what the trace says of the link do not depend on who carries the plan."""
    plan = plan_of(Attempt(LONG, CASES[case]))
    engines: list[Engine] = [Toxiproxy(url), Embedded()]
    assert engines[0].unsupported(plan) is None
    (real, real_log), (ours, our_log) = (carry(engine, plan) for engine in engines)
    assert real == ours
    assert told(real_log) == told(our_log)


def test_each_connection_gets_its_attempt_and_the_last_repeats(url: str) -> None:
    """Connection n meets the toxics and the script of attempt n."""
    plan = plan_of(
        Attempt(HELLO, (LIMIT,)),
        chat(Text("second")),
        Attempt(HELLO, (ResetAfter(attributes=ResetAfterAttributes(9)),)),
    )
    answers, log = carry(Toxiproxy(url), plan, times=4)
    assert answers == [
        (WIRE[:57], "fin"),
        (wire_of(chat(Text("second"))), "fin"),
        (WIRE[:9], "reset"),
        (WIRE[:9], "reset"),
    ]
    assert [seen.conn for seen in log.of(Opened)] == [0, 1, 2, 3]
    assert [seen.conn for seen in log.of(Request)] == [0, 1, 2, 3]


def test_many_at_once_come_out_as_they_went_in(url: str) -> None:
    """Connections through one proxy keep their numbers, even when some of them leave without a word.

    Each connection's server says its own number; each client's port is known by the order of Opened.
    """
    answers: dict[int, bytes] = {}

    async def serve(conn: int, connection: ByteConnection) -> None:
        # A client that leaves with its number unread resets the connection.
        with contextlib.suppress(ConnectionError), contextlib.closing(connection):
            await connection.send(str(conn).encode())
            while await connection.receive():
                pass

    async def client(endpoint: Endpoint, number: int, opened: Callable[[], int]) -> None:
        async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as stream:
            await until(lambda: opened() > number)
            ready.set()
            if number % 3 != 1:  # every third one leaves at once
                answers[number] = bytes(await stream.receive_some(10))

    ready = trio.Event()

    async def main() -> None:
        nonlocal ready
        log = Log()
        plan = plan_of(Attempt(HELLO, (Latency(attributes=LatencyAttributes(latency=20)),)))
        async with Toxiproxy(url).network(plan, serve, log) as endpoint, trio.open_nursery() as nursery:
            for number in range(12):
                ready = trio.Event()
                nursery.start_soon(client, endpoint, number, lambda: len(log.of(Opened)))
                await ready.wait()

    Toxiproxy(url).run(main)
    assert answers == {number: str(number).encode() for number in range(12) if number % 3 != 1}


def test_networks_share_one_server_and_leave_nothing_behind(url: str) -> None:
    """Several networks are open at once, each with its own proxies; afterwards the server has none of them."""
    engine = Toxiproxy(url)
    most: list[int] = []

    async def one(cut: int) -> None:
        plan = plan_of(Attempt(HELLO, (CloseAfter(attributes=CloseAfterAttributes(bytes=cut)),)), HELLO)
        log = Log()
        async with engine.network(plan, make_serve(plan, log), log) as endpoint:
            assert await request(endpoint) == (WIRE[:cut], "fin")
            most.append(len(ask_proxies()))
            assert await request(endpoint) == (WIRE, "fin")

    def ask_proxies() -> dict[str, Any]:
        answer: dict[str, Any] = ask(url, "GET", "/proxies").json()
        return answer

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for cut in range(10, 14):
                nursery.start_soon(one, cut)

    engine.run(main)
    assert max(most) >= 2
    assert ask_proxies() == {}


@pytest.mark.parametrize("way", ["cancelled", "an exception"])
def test_proxies_are_deleted_however_the_network_is_left(url: str, way: str) -> None:
    """Cancellation and exceptions clean up as an orderly end does, connections under way included."""
    engine = Toxiproxy(url)
    plan = plan_of(Attempt(HELLO, (Bandwidth(),)))

    async def main() -> None:
        log = Log()
        with trio.CancelScope() as scope:
            async with (
                engine.network(plan, make_serve(plan, log), log) as endpoint,
                await trio.open_tcp_stream(endpoint.host, endpoint.port) as stream,
            ):
                await stream.send_all(post())
                await until(lambda: bool(log.of(Request)))
                if way == "an exception":
                    raise ZeroDivisionError
                scope.cancel()
                await trio.sleep_forever()

    if way == "an exception":
        with pytest.raises(ZeroDivisionError):
            engine.run(main)
    else:
        engine.run(main)
    assert ask(url, "GET", "/proxies").json() == {}


def test_other_proxies_of_the_server_are_left_alone(url: str) -> None:
    """What else the tester does with the server is the tester's."""
    theirs = ToxiproxyClient(url)
    theirs.open_proxy("theirs", "127.0.0.1:1", (), "127.0.0.1:0")
    try:
        carry(Toxiproxy(url), plan_of(HELLO))
        assert [proxy.name for proxy in theirs.proxies()] == ["theirs"]
    finally:
        theirs.close_proxy("theirs")


def test_a_server_that_goes_away_is_our_trouble_and_not_the_clients(url: str) -> None:
    """A proxy that disappears under a run is told as a failure of the harness."""
    engine = Toxiproxy(url)
    plan = plan_of(HELLO)

    async def main() -> None:
        log = Log()
        async with engine.network(plan, make_serve(plan, log), log) as endpoint:
            for name in ask(url, "GET", "/proxies").json():
                ask(url, "DELETE", f"/proxies/{name}")
            await request(endpoint)
            await trio.sleep_forever()

    with pytest.raises(HarnessError, match=r"Toxiproxy opened a proxy at .* that cannot be reached"):
        engine.run(main)


def outside(engine: Engine, plan: Plan) -> Callable[[], Awaitable[None]]:
    """Open a network."""

    async def main() -> None:
        async with engine.network(plan, make_serve(plan, Log()), Log()):
            pass

    return main


def test_a_network_needs_its_run() -> None:
    """Outside of run() there is no server."""
    with pytest.raises(HarnessError, match=r"outside of its run\(\)"):
        trio.run(outside(Toxiproxy(), plan_of(HELLO)))


def test_what_cannot_be_carried_is_refused(url: str) -> None:
    """The engine says so when asked, and does not open a network that would approximate."""
    engine = Toxiproxy(url)
    plan = plan_of(Attempt(HELLO, (PacketLoss(),)))
    assert (engine.unsupported(plan) or "").startswith("packet_loss")
    with pytest.raises(Unsupported, match="packet_loss"):
        engine.run(outside(engine, plan))
    assert (engine.name, engine.clock) == ("toxiproxy", Clock.REAL)
