"""The link: what the model asks for reaches the right end, at the right time, and in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from testbed.faults.connection import ConnectionModel, Semantics
from testbed.faults.toxics import (
    CloseAfter,
    CloseAfterAttributes,
    Direction,
    Latency,
    LatencyAttributes,
    LimitData,
    LimitDataAttributes,
    ResetAfter,
    ResetAfterAttributes,
    ResetMode,
    ResetPeer,
    Stall,
    StallAttributes,
    Toxic,
)
from testbed.net.connections import memory_pair
from testbed.net.link import LINGER, Link, run_link
from testbed.ports import ByteConnection
from testbed.trace import ClientLeft, Delivered, Fired, LinkEof, LinkReset
from tests.net.support import Log, read_all

SMALL = 4096
UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM


class Rig:
    """A link under way between two ends of ours."""

    def __init__(self, client: ByteConnection, server: ByteConnection, log: Log, scope: trio.CancelScope) -> None:
        self.client = client
        self.server = server
        self.log = log
        self.scope = scope
        self.over = trio.Event()


@asynccontextmanager
async def linked(*toxics: Toxic, semantics: Semantics = Semantics.TRANSPARENT) -> AsyncIterator[Rig]:
    """Run a link with these toxics; leaving cancels it."""
    client, near_client = memory_pair(SMALL)
    near_server, server = memory_pair(SMALL)
    log = Log()
    async with trio.open_nursery() as nursery:
        rig = Rig(client, server, log, nursery.cancel_scope)

        async def run() -> None:
            await run_link(ConnectionModel(toxics, seed=1, semantics=semantics), near_client, near_server, 3, log)
            rig.over.set()

        nursery.start_soon(run)
        yield rig
        nursery.cancel_scope.cancel()


def test_bytes_pass_both_ways_and_the_link_ends_with_both_fins(mock_time: trio.testing.MockClock) -> None:
    """Without toxics the link is a wire, half-close included, and it is over when both sides have said FIN."""

    async def main() -> None:
        async with linked() as rig:
            await rig.client.send(b"question")
            assert await rig.server.receive() == b"question"
            await rig.client.send_eof()
            assert await rig.server.receive() == b""
            await rig.server.send(b"answer")
            rig.server.close()
            assert await read_all(rig.client) == (b"answer", "fin")
            await rig.over.wait()
            assert rig.log.kinds() == ["Delivered", "ClientLeft", "LinkEof", "Delivered", "LinkEof"]
            assert [(seen.conn, seen.direction, seen.total) for seen in rig.log.of(Delivered)] == [
                (3, UP, 8),
                (3, DOWN, 6),
            ]

    trio.run(main, clock=mock_time)


def test_a_slow_reader_holds_the_sender_back(mock_time: trio.testing.MockClock) -> None:
    """A server that writes faster than its client reads is stopped; no end of the path stores without bound."""

    async def main() -> None:
        async with linked() as rig:
            sent = 0
            with trio.move_on_after(1):
                while True:
                    await rig.server.send(bytes(1000))
                    sent += 1000
            assert 2 * SMALL < sent < 300_000
            with trio.move_on_after(1):
                got = 0
                while got < sent:
                    got += len(await rig.client.receive())
            assert got >= sent

    trio.run(main, clock=mock_time)


def test_deadlines_of_the_model_are_kept_to_the_microsecond(mock_time: trio.testing.MockClock) -> None:
    """A chunk held for 250 ms of virtual time is handed on then, and time passes for nothing else."""

    async def main() -> None:
        async with linked(Latency(attributes=LatencyAttributes(latency=250))) as rig:
            await rig.server.send(b"x")
            assert await rig.client.receive() == b"x"
            assert rig.log.of(Delivered)[0].t == pytest.approx(250_000, abs=2)
            assert [fired.type for fired in rig.log.of(Fired)] == ["latency"]

    trio.run(main, clock=mock_time)


def test_an_hour_of_stall_passes_in_virtual_time(mock_time: trio.testing.MockClock) -> None:
    """A stall holds the bytes behind its address for as long as it says, and then lets them go."""

    async def main() -> None:
        async with linked(Stall(attributes=StallAttributes(bytes=2, duration=3_600_000))) as rig:
            await rig.server.send(b"abcd")
            assert await rig.client.receive() == b"ab"
            assert await rig.client.receive() == b"cd"
            assert trio.current_time() >= 3600

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("mode", list(ResetMode))
def test_a_reset_strikes_at_its_byte_on_both_sides(mode: ResetMode, mock_time: trio.testing.MockClock) -> None:
    """Exactly so many bytes pass, then client and server both meet an RST."""

    async def main() -> None:
        toxic = ResetAfter(attributes=ResetAfterAttributes(bytes=5, mode=mode))
        async with linked(toxic) as rig:
            await rig.client.send(b"question")
            await rig.server.send(b"0123456789")
            seen, how = await read_all(rig.client)
            assert how == "reset"
            assert seen == b"01234" if mode is ResetMode.DRAINED else b"01234".startswith(seen)
            assert (await read_all(rig.server))[1] == "reset"
            await rig.over.wait()
            resets = rig.log.of(LinkReset)
            assert {seen.direction for seen in resets} == {UP, DOWN}
            assert {seen.immediate for seen in resets} == {mode is ResetMode.IMMEDIATE}

    trio.run(main, clock=mock_time)


def test_a_drained_reset_waits_for_a_client_that_reads_late(mock_time: trio.testing.MockClock) -> None:
    """The RST comes behind the last byte even when the client begins to read long after."""

    async def main() -> None:
        total = 3 * SMALL
        toxic = ResetAfter(attributes=ResetAfterAttributes(bytes=total))
        async with linked(toxic) as rig, trio.open_nursery() as nursery:
            nursery.start_soon(rig.server.send, bytes(total))
            await trio.sleep(5)
            assert await read_all(rig.client) == (bytes(total), "reset")

    trio.run(main, clock=mock_time)


def test_a_reset_by_the_server_reaches_the_client_behind_its_data(mock_time: trio.testing.MockClock) -> None:
    """An RST that the server sends passes as an RST, and is not sent back to the server."""

    async def main() -> None:
        async with linked() as rig:
            await rig.server.send(b"part")
            await rig.server.drain()
            rig.server.reset()
            assert await read_all(rig.client) == (b"part", "reset")
            await rig.over.wait()
            assert [seen.direction for seen in rig.log.of(LinkReset)] == [DOWN]

    trio.run(main, clock=mock_time)


def test_a_client_that_resets_is_noted_and_passed_on(mock_time: trio.testing.MockClock) -> None:
    """The server learns that the client is gone, and the trace says that it went by RST."""

    async def main() -> None:
        async with linked() as rig:
            rig.client.reset()
            assert (await read_all(rig.server))[1] == "reset"
            await rig.over.wait()
            assert [seen.reset for seen in rig.log.of(ClientLeft)] == [True]
            assert [seen.direction for seen in rig.log.of(LinkReset)] == [UP]

    trio.run(main, clock=mock_time)


def test_a_client_that_is_gone_is_found_out_by_writing(mock_time: trio.testing.MockClock) -> None:
    """After the client's FIN the server may still write; when nobody is there to read, it is told by an RST."""

    async def main() -> None:
        async with linked() as rig:
            rig.client.close()
            assert await rig.server.receive() == b""

            async def write_on() -> None:
                while True:
                    await rig.server.send(b"anybody?")

            with pytest.raises(ConnectionError):
                await write_on()
            assert [seen.reset for seen in rig.log.of(ClientLeft)] == [False, True]

    trio.run(main, clock=mock_time)


def test_a_close_gives_both_sides_a_fin_and_waits_for_theirs(mock_time: trio.testing.MockClock) -> None:
    """A connection that the network closes ends orderly, and it is still seen when the client leaves."""

    async def main() -> None:
        async with linked(LimitData(attributes=LimitDataAttributes(bytes=3))) as rig:
            await rig.server.send(b"abcdef")
            assert await read_all(rig.client) == (b"abc", "fin")
            assert (await read_all(rig.server))[1] == "fin"
            rig.server.close()
            await trio.sleep(7)
            assert not rig.log.of(ClientLeft)
            rig.client.close()
            await rig.over.wait()
            assert [seen.direction for seen in rig.log.of(LinkEof)].count(DOWN) == 1
            assert rig.log.of(ClientLeft)[0].t == pytest.approx(7_000_000, abs=10)

    trio.run(main, clock=mock_time)


def test_input_after_a_close_does_not_turn_the_fin_into_a_reset(mock_time: trio.testing.MockClock) -> None:
    """What a client sends after the network has closed is read and forgotten, so its answer stays whole."""

    async def main() -> None:
        async with linked(CloseAfter(attributes=CloseAfterAttributes(bytes=3))) as rig:
            await rig.server.send(b"abcdef")
            await trio.sleep(1)
            await rig.client.send(b"more")
            assert await read_all(rig.client) == (b"abc", "fin")

    trio.run(main, clock=mock_time)


HELD = Latency(stream=UP, attributes=LatencyAttributes(latency=5000))  # holds what the client says for five seconds


def test_one_side_may_be_closed_while_the_other_still_gets_its_bytes(mock_time: trio.testing.MockClock) -> None:
    """The client meets its FIN at once and may go on talking into the void; the server gets what was on its way."""

    async def main() -> None:
        async with linked(HELD, LimitData(attributes=LimitDataAttributes(bytes=3))) as rig:
            await rig.client.send(b"question")
            await rig.server.send(b"abcdef")
            assert await read_all(rig.client) == (b"abc", "fin")
            assert trio.current_time() < 5
            await rig.client.send(b"more")
            assert await read_all(rig.server) == (b"question", "fin")
            assert trio.current_time() >= 5
            rig.server.close()
            rig.client.close()
            await rig.over.wait()
            assert len(rig.log.of(ClientLeft)) == 1

    trio.run(main, clock=mock_time)


def test_one_side_may_be_reset_while_the_other_still_gets_its_bytes(mock_time: trio.testing.MockClock) -> None:
    """A spared reset_peer turns the client's FIN into an RST at that byte, and the server's too when its turn comes."""

    async def main() -> None:
        spared = ResetPeer(toxicity=0.0)
        async with linked(HELD, spared, LimitData(attributes=LimitDataAttributes(bytes=3))) as rig:
            await rig.client.send(b"question")
            await rig.server.send(b"abcdef")
            assert await read_all(rig.client) == (b"abc", "reset")
            assert trio.current_time() < 5
            assert (await read_all(rig.server))[1] == "reset"
            await rig.over.wait()
            assert [seen.direction for seen in rig.log.of(LinkReset)] == [DOWN, UP]

    trio.run(main, clock=mock_time)


def test_a_client_that_resets_after_the_close_is_still_noted(mock_time: trio.testing.MockClock) -> None:
    """Leaving by RST is leaving, also when the network has ended the connection before."""

    async def main() -> None:
        async with linked(LimitData(attributes=LimitDataAttributes(bytes=3))) as rig:
            await rig.server.send(b"abcdef")
            assert await read_all(rig.client) == (b"abc", "fin")
            rig.client.reset()
            rig.server.close()
            await rig.over.wait()
            assert [seen.reset for seen in rig.log.of(ClientLeft)] == [True]

    trio.run(main, clock=mock_time)


def test_a_client_that_never_leaves_is_closed_in_the_end(mock_time: trio.testing.MockClock) -> None:
    """A finished connection that nobody lets go of does not last for ever, and the trace shows no leaving."""

    async def main() -> None:
        async with linked(LimitData(attributes=LimitDataAttributes(bytes=3))) as rig:
            await rig.server.send(b"abcdef")
            rig.server.close()
            await rig.over.wait()
            assert trio.current_time() == pytest.approx(LINGER)
            assert not rig.log.of(ClientLeft)

    trio.run(main, clock=mock_time)


def test_reset_peer_resets_at_the_first_chunk(mock_time: trio.testing.MockClock) -> None:
    """Toxiproxy's own reset, there from the start, gives the client an RST and no byte."""

    async def main() -> None:
        async with linked(ResetPeer(), semantics=Semantics.TOXIPROXY) as rig:
            await rig.server.send(b"abcdef")
            assert await read_all(rig.client) == (b"", "reset")
            await rig.over.wait()

    trio.run(main, clock=mock_time)


def test_toxiproxy_has_no_half_close(mock_time: trio.testing.MockClock) -> None:
    """Under the real proxy's rules a client's FIN ends the whole connection, and a later answer is lost."""

    async def main() -> None:
        async with linked(semantics=Semantics.TOXIPROXY) as rig:
            await rig.client.send(b"question")
            await rig.client.send_eof()
            assert await read_all(rig.server) == (b"question", "fin")
            await rig.server.send(b"answer")
            assert await read_all(rig.client) == (b"", "fin")

    trio.run(main, clock=mock_time)


def test_a_model_changed_from_outside_acts_after_a_poke(mock_time: trio.testing.MockClock) -> None:
    """A toxic taken away while it holds bytes lets them go at once."""

    async def main() -> None:
        client, near_client = memory_pair()
        near_server, server = memory_pair()
        log = Log()
        model = ConnectionModel(
            [Stall(name="wall", attributes=StallAttributes(bytes=0))], seed=1, semantics=Semantics.TRANSPARENT
        )
        link = Link(model, near_client, near_server, 0, log)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await server.send(b"held")
            await trio.sleep(100)
            assert not log.of(Delivered)
            model.remove("wall", log.now())
            link.poke()
            assert await client.receive() == b"held"
            nursery.cancel_scope.cancel()

    trio.run(main, clock=mock_time)


def test_a_cancelled_link_closes_both_ends(mock_time: trio.testing.MockClock) -> None:
    """When the network is left, no end stays open behind it."""

    async def main() -> None:
        async with linked() as rig:
            await trio.testing.wait_all_tasks_blocked()
            rig.scope.cancel()
        assert await read_all(rig.client) == (b"", "fin")
        assert await read_all(rig.server) == (b"", "fin")

    trio.run(main, clock=mock_time)
