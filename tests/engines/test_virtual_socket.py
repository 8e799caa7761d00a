"""The simulated network and the kernel's loopback, held to the same tests through trio's own streams."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

from testbed.engines._virtual_clock import VirtualClock
from testbed.engines._virtual_socket import VirtualNet
from testbed.net.connections import SocketConnection, memory_pair
from testbed.ports import ByteConnection

Body = Callable[[trio.SocketStream, ByteConnection], Awaitable[None]]


async def on_loopback(body: Body) -> None:
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        host, port = listener.getsockname()
        client = await trio.open_tcp_stream(host, port)
        accepted, _ = await listener.accept()
        server = SocketConnection(accepted)
        try:
            await body(client, server)
        finally:
            server.close()
            await client.aclose()


async def on_virtual_net(body: Body) -> None:
    net = VirtualNet()
    net.install()
    theirs, ours = memory_pair()
    endpoint = net.listen(lambda: theirs)
    client = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    try:
        await body(client, ours)
    finally:
        ours.close()
        await client.aclose()


@pytest.fixture(params=["loopback", "virtual"])
def meet(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    def run(body: Body) -> None:
        async def bounded() -> None:
            with trio.fail_after(10):
                await (on_loopback if request.param == "loopback" else on_virtual_net)(body)

        trio.run(bounded, clock=None if request.param == "loopback" else VirtualClock())

    return run


async def read_all(client: trio.SocketStream) -> bytes:
    return b"".join([part async for part in client])


def test_bytes_travel_both_ways_and_fin_ends_them(meet):
    """A client reads what was sent and then the end; what it sends arrives."""

    async def body(client: trio.SocketStream, server: ByteConnection) -> None:
        await client.send_all(b"question")
        assert await server.receive() == b"question"
        await server.send(b"answer")
        await server.send_eof()
        assert await read_all(client) == b"answer"

    meet(body)


def test_what_came_before_a_reset_can_still_be_read(meet):
    """After a drained reset the client reads every byte and only then meets the error."""

    async def body(client: trio.SocketStream, server: ByteConnection) -> None:
        await server.send(b"all of this")
        await server.drain()
        server.reset()
        assert await client.receive_some() == b"all of this"
        with pytest.raises(trio.BrokenResourceError) as caught:
            await client.receive_some()
        assert isinstance(caught.value.__cause__, ConnectionResetError)

    meet(body)


def test_writing_to_a_peer_that_reset_fails(meet):
    """A write after the peer's RST raises instead of vanishing."""

    async def body(client: trio.SocketStream, server: ByteConnection) -> None:
        server.reset()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"too late")

    meet(body)


def test_a_closing_client_is_seen_as_fin(meet):
    """The server reads the end when the client closes."""

    async def body(client: trio.SocketStream, server: ByteConnection) -> None:
        await client.aclose()
        assert await server.receive() == b""

    meet(body)


def test_half_close_leaves_the_answer_readable(meet):
    """A client that has sent its FIN still gets the answer, and may not write any more."""

    async def body(client: trio.SocketStream, server: ByteConnection) -> None:
        await client.send_eof()
        assert await server.receive() == b""
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"more")
        await server.send(b"answer")
        await server.send_eof()
        assert await read_all(client) == b"answer"

    meet(body)


def test_using_a_closed_stream_says_so(meet):
    """Every use after closing raises ClosedResourceError."""

    async def body(client: trio.SocketStream, server: ByteConnection) -> None:
        await client.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some()
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"")

    meet(body)


def test_a_reader_wakes_when_bytes_come(meet):
    """A client that waits for bytes is woken by them, not by a time-out."""

    async def body(client: trio.SocketStream, server: ByteConnection) -> None:
        async with trio.open_nursery() as nursery:

            async def reader() -> None:
                assert await client.receive_some() == b"now"

            nursery.start_soon(reader)
            await server.send(b"now")

    meet(body)


def test_an_address_that_nobody_listens_on_refuses():
    """Connecting to a forgotten address fails as it does with a kernel."""

    async def main() -> None:
        net = VirtualNet()
        net.install()
        endpoint = net.listen(lambda: memory_pair()[0])
        net.forget(endpoint)
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(endpoint.host, endpoint.port)

    trio.run(main, clock=VirtualClock())


def test_only_tcp_is_simulated():
    """A datagram socket is refused with the kernel's own error, not quietly made into something else."""
    with pytest.raises(OSError, match=r"[Pp]rotocol not supported"):
        VirtualNet().socket(socket.AF_INET, socket.SOCK_DGRAM)
