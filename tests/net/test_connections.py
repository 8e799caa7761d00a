"""What a byte connection does, asked of loopback sockets and of their twins in memory by the same tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from testbed.net import connections
from testbed.net.connections import SocketConnection, memory_pair
from testbed.ports import ByteConnection

Connected = Callable[[], Any]
BIG = bytes(range(256)) * 40_000  # ten megabytes: more than any pair of socket buffers holds


def run(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main)


async def read_all(end: ByteConnection) -> tuple[bytes, str]:
    """Everything up to the end, and which end it was."""
    seen = bytearray()
    try:
        while data := await end.receive():
            seen += data
    except ConnectionError:
        return bytes(seen), "reset"
    return bytes(seen), "fin"


async def fill(end: ByteConnection) -> int:
    """Send until the other end, which does not read, takes no more; return how many bytes were taken for certain."""
    sent = 0
    with trio.move_on_after(0.2):
        while True:
            await end.send(bytes(1000))
            sent += 1000
    return sent


async def sends_fail(end: ByteConnection) -> None:
    """Send until it fails, which a gone peer makes it do soon, though not always at once."""

    async def send_often() -> None:
        for _ in range(1000):
            await end.send(b"x")
            await trio.testing.wait_all_tasks_blocked(0.001)

    with pytest.raises(ConnectionError):
        await send_often()


def test_bytes_arrive_in_order_and_the_fin_behind_them(connected: Connected) -> None:
    """What is sent is received unchanged, and the end of the stream comes after the last byte."""

    async def main() -> None:
        async with connected() as (one, other), trio.open_nursery() as nursery:

            async def send() -> None:
                await one.send(BIG)
                await one.send_eof()

            nursery.start_soon(send)
            assert await read_all(other) == (BIG, "fin")
            assert await other.receive() == b""

    run(main)


def test_half_closed_connection_still_carries_the_other_direction(connected: Connected) -> None:
    """After its own FIN an end goes on receiving."""

    async def main() -> None:
        async with connected() as (one, other):
            await one.send(b"question")
            await one.send_eof()
            assert await read_all(other) == (b"question", "fin")
            await other.send(b"answer")
            other.close()
            assert await read_all(one) == (b"answer", "fin")

    run(main)


def test_sending_after_the_own_fin_is_refused(connected: Connected) -> None:
    """An end that has said that it is finished can send no more."""

    async def main() -> None:
        async with connected() as (one, _):
            await one.send_eof()
            with pytest.raises(ConnectionError):
                await one.send(b"x")

    run(main)


def test_full_buffers_hold_the_sender_back(connected: Connected) -> None:
    """A sender waits for a receiver that does not read, and goes on when it does."""

    async def main() -> None:
        async with connected() as (one, other), trio.open_nursery() as nursery:
            done = trio.Event()

            async def send() -> None:
                await one.send(BIG)
                done.set()

            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not done.is_set()
            seen = 0
            while seen < len(BIG):
                seen += len(await other.receive())
            await done.wait()

    run(main)


def test_drained_reset_loses_nothing(connected: Connected) -> None:
    """After a drain, the peer reads every byte that was sent, and then meets the reset."""

    async def main() -> None:
        async with connected() as (one, other), trio.open_nursery() as nursery:

            async def send() -> None:
                await one.send(BIG)
                await one.drain()
                one.reset()

            nursery.start_soon(send)
            assert await read_all(other) == (BIG, "reset")
            with pytest.raises(ConnectionResetError):
                await other.receive()

    run(main)


def test_immediate_reset_destroys_what_had_not_arrived(connected: Connected) -> None:
    """An RST overtakes queued bytes: the peer reads what had arrived, a prefix, and then meets the reset."""

    async def main() -> None:
        async with connected() as (one, other):
            sent = await fill(one)
            one.reset()
            seen, how = await read_all(other)
            assert how == "reset"
            assert 0 < len(seen) < sent

    run(main)


def test_drain_waits_for_a_peer_whose_window_is_full(connected: Connected) -> None:
    """Bytes that are still queued are not acknowledged, so a drain does not return before they are read."""

    async def main() -> None:
        async with connected() as (one, other):
            await fill(one)
            with trio.move_on_after(0.1) as scope:
                await one.drain()
            assert scope.cancelled_caught
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_all, other)
                await one.drain()
                one.close()

    run(main)


def test_drain_returns_when_the_peer_is_gone(connected: Connected) -> None:
    """Nobody will ever acknowledge bytes to a connection that was reset."""

    async def main() -> None:
        async with connected() as (one, other):
            await fill(one)
            other.reset()
            with trio.fail_after(2):
                await one.drain()

    run(main)


def test_reset_ends_both_directions(connected: Connected) -> None:
    """Whoever is reset can neither receive nor send."""

    async def main() -> None:
        async with connected() as (one, other):
            one.reset()
            assert await read_all(other) == (b"", "reset")
            await sends_fail(other)

    run(main)


def test_reset_wakes_a_sender_that_waits(connected: Connected) -> None:
    """A sender held back by full buffers learns at once that its peer is gone."""

    async def main() -> None:
        async with connected() as (one, other), trio.open_nursery() as nursery:

            async def send() -> None:
                with pytest.raises(ConnectionError):
                    await one.send(BIG)

            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked(0.05)
            other.reset()

    run(main)


def test_reset_wakes_a_receiver_that_waits(connected: Connected) -> None:
    """A receiver learns of a reset without sending anything."""

    async def main() -> None:
        async with connected() as (one, other), trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(ConnectionResetError):
                    await one.receive()

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked(0.01)
            other.reset()

    run(main)


def test_a_reset_is_no_fin_to_an_end_that_is_sending(connected: Connected) -> None:
    """A kernel reports a reset once; whether the sender or the receiver hears of it, both know."""

    async def send_for_ever(end: ByteConnection) -> None:
        with suppress(ConnectionError):
            while True:
                await end.send(b"x" * 50)

    async def reset_after(rounds: int, end: ByteConnection) -> None:
        for _ in range(rounds):
            await trio.lowlevel.checkpoint()
        end.reset()

    async def main() -> None:
        for attempt in range(50):
            async with connected() as (one, other), trio.open_nursery() as nursery:
                nursery.start_soon(send_for_ever, one)
                nursery.start_soon(reset_after, attempt % 5, other)
                assert await read_all(one) == (b"", "reset")

    run(main)


def test_closing_with_unread_input_resets_the_peer(connected: Connected) -> None:
    """A kernel that would have to throw input away says so with an RST in place of a FIN."""

    async def main() -> None:
        async with connected() as (one, other):
            await one.send(b"never read")
            await one.drain()
            other.close()
            assert await read_all(one) == (b"", "reset")

    run(main)


def test_sending_to_a_closed_peer_fails_and_stays_failed(connected: Connected) -> None:
    """The first bytes are answered by an RST; afterwards sending and receiving say that the connection is lost."""

    async def main() -> None:
        async with connected() as (one, other):
            other.close()
            assert await one.receive() == b""
            await sends_fail(one)
            with pytest.raises(ConnectionResetError):
                await one.receive()
            await one.send_eof()

    run(main)


def test_reset_after_a_fin_still_reads_as_the_fin(connected: Connected) -> None:
    """A stream whose end has arrived is whole, whatever comes behind it."""

    async def main() -> None:
        async with connected() as (one, other):
            await other.send(b"all of it")
            await other.send_eof()
            await other.drain()
            assert await one.receive() == b"all of it"
            assert await one.receive() == b""
            other.reset()
            assert await one.receive() == b""

    run(main)


def test_an_end_that_was_closed_says_so(connected: Connected) -> None:
    """Using an end after closing it is our own mistake, and not taken for a peer that left."""

    async def main() -> None:
        async with connected() as (one, _):
            one.close()
            one.close()
            one.reset()
            await one.send_eof()
            await one.drain()
            with pytest.raises(trio.ClosedResourceError):
                await one.receive()
            with pytest.raises(trio.ClosedResourceError):
                await one.send(b"x")

    run(main)


def test_closing_wakes_the_own_waiter(connected: Connected) -> None:
    """A task that waits on an end which another task closes is told so."""

    async def main() -> None:
        async with connected() as (one, _), trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await one.receive()

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked(0.01)
            one.close()

    run(main)


def test_a_cancelled_receive_loses_nothing(connected: Connected) -> None:
    """Bytes that a cancelled receive did not return are there for the next one."""

    async def main() -> None:
        async with connected() as (one, other):
            await other.send(b"kept")
            await other.drain()
            with trio.CancelScope() as scope:
                scope.cancel()
                await one.receive()
            assert await one.receive() == b"kept"

    run(main)


def test_at_most_max_bytes_are_returned(connected: Connected) -> None:
    """The caller says how much it can take, and the rest waits."""

    async def main() -> None:
        async with connected() as (one, other):
            await other.send(b"abcdef")
            await other.drain()
            assert [await one.receive(4), await one.receive(4)] == [b"abcd", b"ef"]

    run(main)


def test_every_method_is_a_checkpoint(connected: Connected) -> None:
    """No method returns without letting others run, even when it has nothing to wait for."""

    async def main() -> None:
        async with connected() as (one, other):
            await other.send(b"x")
            await other.drain()
            for method in (one.receive, one.drain, one.send_eof):
                with trio.testing.assert_checkpoints():
                    await method()
            with trio.testing.assert_checkpoints():
                await other.send(b"y")

    run(main)


def test_drain_gives_a_silent_peer_up_after_its_limit(mock_time: trio.testing.MockClock) -> None:
    """A reset that waits for a peer which never reads comes all the same, after ten seconds of virtual time."""

    async def main() -> None:
        one, other = memory_pair(10)
        await one.send(bytes(20))
        before = trio.current_time()
        await one.drain()
        assert trio.current_time() - before == pytest.approx(connections.DRAIN_LIMIT)
        one.close()
        other.close()

    trio.run(main, clock=mock_time)


def test_a_foreign_socket_error_means_that_the_peer_is_gone() -> None:
    """Errors that are no ConnectionError in Python, such as an unconnected socket, still surface as one."""

    async def main() -> None:
        end = SocketConnection(trio.socket.socket())
        with pytest.raises(ConnectionError):
            await end.receive()
        end.close()

    run(main)
