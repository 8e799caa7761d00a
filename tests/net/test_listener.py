"""Listening: addresses that cannot be had, and accepting that goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest
import trio

from testbed.errors import UsageError
from testbed.net.listener import accept_forever, endpoint_of, listen


def test_port_zero_takes_a_free_port_of_loopback() -> None:
    """Without wishes, the listener is on 127.0.0.1 and says on which port."""

    async def main() -> None:
        with await listen() as listener:
            endpoint = endpoint_of(listener)
            assert endpoint.host == "127.0.0.1"
            assert endpoint.root == f"http://127.0.0.1:{endpoint.port}"

    trio.run(main)


def test_a_port_in_use_is_one_clear_sentence() -> None:
    """The tester is told which address, and what to do."""

    async def main() -> None:
        with await listen() as first:
            port = endpoint_of(first).port
            with pytest.raises(UsageError) as caught:
                await listen("127.0.0.1", port)
            assert str(caught.value) == (
                f"cannot listen on 127.0.0.1:{port}: the port is in use; choose another, or 0 for a free one"
            )

    trio.run(main)


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        ("127.0.0.1", 70_000, "cannot listen on 127.0.0.1:70000: "),
        ("192.0.2.1", 0, "this machine has no such address"),
        ("127.0.0.1\0", 0, "cannot listen on "),
        ("300.300.300.300.", 0, "cannot listen on "),
    ],
)
def test_an_impossible_address_is_a_usage_error(host: str, port: int, sentence: str) -> None:
    """Whatever the system says of it, the tester reads a sentence."""

    async def main() -> None:
        with pytest.raises(UsageError) as caught:
            await listen(host, port)
        assert sentence in str(caught.value)

    trio.run(main)


def test_accepted_connections_come_in_order_and_open() -> None:
    """Each client's bytes arrive at the connection that was handed over for it."""

    async def main() -> None:
        accepted, enough = [], trio.Event()

        def handle(connection: object) -> None:
            accepted.append(connection)
            if len(accepted) == 3:
                enough.set()

        with trio.fail_after(10), await listen() as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept_forever, listener, handle)
                endpoint = endpoint_of(listener)
                clients = []
                for number in range(3):
                    clients.append(await trio.open_tcp_stream(endpoint.host, endpoint.port))
                    await clients[-1].send_all(b"%d" % number)
                await enough.wait()
                assert [await connection.receive() for connection in accepted] == [b"0", b"1", b"2"]
                nursery.cancel_scope.cancel()
            for connection, client in zip(accepted, clients, strict=True):
                connection.close()
                await client.aclose()

    trio.run(main)


OUT_OF_FILES = """
import resource, socket, trio, trio.testing
from testbed.net.listener import accept_forever, endpoint_of, listen

async def main():
    served = []
    with trio.fail_after(20), await listen() as listener:
        endpoint = endpoint_of(listener)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        clients = [socket.socket()]
        hoard = []
        try:
            while True:
                hoard.append(open("/dev/null"))
        except OSError:
            pass  # now nothing is left to accept with
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_forever, listener, served.append)
            clients[0].connect((endpoint.host, endpoint.port))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not served
            for file in hoard:
                file.close()
            while not served:
                await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        clients[0].close()
        served[0].close()

trio.run(main)
print("went on")
"""


def test_running_out_of_files_ends_nothing() -> None:
    """A listener that cannot accept for want of files waits, and goes on when there are some again."""
    done = subprocess.run([sys.executable, "-c", OUT_OF_FILES], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("went on\n", "")


def test_accepting_on_a_closed_listener_is_an_error() -> None:
    """Only a listener that is gone ends the loop, and loudly: nothing could ever come of trying again."""

    async def main() -> None:
        listener = await listen()
        listener.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await accept_forever(listener, print)

    trio.run(main)
