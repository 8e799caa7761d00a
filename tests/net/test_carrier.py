"""The carrier: numbered connections, bounded in number, and failures of ours that nobody can overlook."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from testbed.errors import HarnessError, UsageError
from testbed.net.carrier import MOST_AT_ONCE, open_carrier
from testbed.net.connections import MemoryConnection, memory_pair
from testbed.plan import Plan
from testbed.ports import ByteConnection, Serve
from testbed.trace import Opened
from tests.net.support import HELLO, Log, plan_of, read_all

PLAN: Plan = plan_of(HELLO)


async def echo_number(conn: int, connection: ByteConnection) -> None:
    """A server that says its number and waits for the client to leave."""
    await connection.send(b"%d" % conn)
    await connection.receive()
    connection.close()


async def carry_one(serve: Serve) -> None:
    """Carry one connection to that server, for ever."""
    async with open_carrier(PLAN, serve, Log()) as carrier:
        carrier.carry(memory_pair()[0])
        await trio.sleep_forever()


def test_connections_are_numbered_in_the_order_of_their_coming(mock_time: trio.testing.MockClock) -> None:
    """The n-th client is served as number n, and the trace notes each as it comes."""

    async def main() -> None:
        log = Log()
        async with open_carrier(PLAN, echo_number, log) as carrier:
            for number in range(3):
                client, end = memory_pair()
                carrier.carry(end)
                assert await client.receive() == b"%d" % number
                await trio.sleep(1)
        assert [(seen.conn, seen.t) for seen in log.of(Opened)] == [(0, 0), (1, 1_000_000), (2, 2_000_000)]

    trio.run(main, clock=mock_time)


def test_one_connection_too_many_is_closed_at_once(mock_time: trio.testing.MockClock) -> None:
    """Beyond the bound clients meet a FIN; when others have left, there is room again."""

    async def main() -> None:
        log = Log()
        async with open_carrier(PLAN, echo_number, log) as carrier:
            clients: list[MemoryConnection] = []
            for _ in range(MOST_AT_ONCE + 1):
                client, end = memory_pair()
                carrier.carry(end)
                clients.append(client)
            assert await read_all(clients[-1]) == (b"", "fin")
            clients[0].close()
            await trio.testing.wait_all_tasks_blocked()
            client, end = memory_pair()
            carrier.carry(end)
            assert await client.receive() == b"%d" % MOST_AT_ONCE
        assert len(log.of(Opened)) == MOST_AT_ONCE + 1

    trio.run(main, clock=mock_time)


def test_leaving_closes_every_connection(mock_time: trio.testing.MockClock) -> None:
    """What is still under way when the run is over ends with it."""

    async def main() -> None:
        async with open_carrier(PLAN, echo_number, Log()) as carrier:
            client, end = memory_pair()
            carrier.carry(end)
            await client.receive()
        assert (await read_all(client))[0] == b""

    trio.run(main, clock=mock_time)


def test_a_failing_server_is_a_harness_error_that_ends_the_run(mock_time: trio.testing.MockClock) -> None:
    """The body is cancelled, and what is raised is plain, has its cause, and is ours."""

    async def main() -> None:
        async def broken(_conn: int, _connection: ByteConnection) -> None:
            raise ZeroDivisionError("oops")

        with pytest.raises(HarnessError, match="the network failed: ZeroDivisionError: oops") as caught:
            await carry_one(broken)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    trio.run(main, clock=mock_time)


def test_an_error_of_our_own_kind_stays_what_it_is(mock_time: trio.testing.MockClock) -> None:
    """A tester's mistake that only the server can find is still the tester's."""

    async def main() -> None:
        async def unusable(_conn: int, _connection: ByteConnection) -> None:
            raise UsageError("this script cannot be said")

        with pytest.raises(UsageError, match="cannot be said"):
            await carry_one(unusable)

    trio.run(main, clock=mock_time)


def test_an_exception_of_the_body_comes_out_as_it_is(mock_time: trio.testing.MockClock) -> None:
    """The carrier's own tasks wrap nothing around what its user raises."""

    async def main() -> None:
        async def body() -> None:
            async with open_carrier(PLAN, echo_number, Log()) as carrier:
                carrier.carry(memory_pair()[0])
                raise KeyError("mine")

        with pytest.raises(KeyError):
            await body()

    trio.run(main, clock=mock_time)


def test_cancellation_from_outside_passes(mock_time: trio.testing.MockClock) -> None:
    """A deadline around the network is a deadline, and no error."""

    async def main() -> None:
        with trio.move_on_after(5) as scope:
            await carry_one(echo_number)
        assert scope.cancelled_caught

    trio.run(main, clock=mock_time)
