"""Requests on one connection: read at their own pace, one after the other, and never without a bound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from testbed.net.connections import memory_pair
from testbed.net.http_inbox import MOST_AHEAD, MOST_TIME, Readings, read_whole
from testbed.net.http_server import Application, serve_connection
from testbed.ports import ByteConnection
from testbed.script import Ending, Expectation, Reading
from testbed.trace import PeerLeft, Request, Sent, ServerEnd
from tests.net.support import Log, post, read_all

CHUNKED = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"


def write(data: bytes, *, held: bool = False) -> dict[str, Any]:
    """A write of body bytes."""
    size = len(data)
    message = {"data": data, "step": 0, "payload": (0, size), "body": (0, size), "ends_step": True, "held": held}
    return {"type": "testbed.wire.write", **message}


def close(how: Ending) -> dict[str, Any]:
    """The end of an answer."""
    return {"type": "testbed.wire.close", "how": how, "framed": True}


class Answers:
    """An application that answers each request with its number, and ends the n-th answer as it is told."""

    def __init__(self, *ends: Ending) -> None:
        self._ends = ends
        self.asked: list[tuple[float, bytes, bool]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Note when the application was asked, with which body, and whether that was all of it."""
        body = (await receive())["body"]
        self.asked.append((trio.current_time(), body, scope["extensions"]["testbed.wire"]["whole"]))
        await send(write(b"%d" % len(self.asked)))
        await send(close(self._ends[len(self.asked) - 1]))


@asynccontextmanager
async def served(app: Application, readings: Readings = read_whole) -> AsyncIterator[tuple[ByteConnection, Log]]:
    """Serve one connection; gives the client's end. Leaving waits until the server is done."""
    client, server = memory_pair()
    log = Log()
    with trio.fail_after(100_000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_connection, app, 7, server, log, readings)
            yield client, log
            client.close()


async def until(client: ByteConnection, size: int) -> bytes:
    """Receive so many bytes."""
    seen = b""
    while len(seen) < size and (data := await client.receive()):
        seen += data
    return seen


# --- how a body is read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10, 10_000])
def test_a_body_is_read_at_its_rate(size: int, mock_time: trio.testing.MockClock) -> None:
    """Whether it came byte by byte or all at once, 50 bytes at 10 a second take five seconds."""

    async def main() -> None:
        app = Answers(Ending.CLEAN)
        async with served(app, lambda _head: Reading(rate=10)) as (client, _):
            begun = trio.current_time()
            whole = post(body=bytes(50))
            for start in range(0, len(whole), size):
                await client.send(whole[start : start + size])
            assert await read_all(client) == (b"1", "fin")
        ((at, body, complete),) = app.asked
        assert (round(at - begun, 6), body, complete) == (5.0, bytes(50), True)

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(
    ("most", "sent", "body", "whole"),
    [
        (0, 0, b"", False),
        (0, 10, b"", False),
        (4, 4, b"0123", False),
        (4, 10, b"0123", False),
        (9, 9, b"012345678", False),
        (10, 10, b"0123456789", True),
        (11, 10, b"0123456789", True),
    ],
)
def test_an_answer_begins_after_so_many_bytes(
    most: int, sent: int, body: bytes, whole: bool, mock_time: trio.testing.MockClock
) -> None:
    """The application gets what it waited for and no more, and is told whether that is all."""

    async def main() -> None:
        app = Answers(Ending.CLEAN)
        request = post(body=b"0123456789")
        async with served(app, lambda _head: Reading(most=most)) as (client, log):
            await client.send(request[: len(request) - 10 + sent])
            assert await until(client, 1) == b"1"
            await client.send(request[len(request) - 10 + sent :])
            assert await read_all(client) == (b"", "fin")
        assert [(seen[1], seen[2]) for seen in app.asked] == [(body, whole)]
        assert not log.of(PeerLeft)

    trio.run(main, clock=mock_time)


def test_a_slow_reader_reads_the_rest_slowly_too(mock_time: trio.testing.MockClock) -> None:
    """What comes after the answer has begun is taken at the same rate; the client is held back by it."""

    async def main() -> None:
        body = bytes(400_000)
        async with served(Answers(Ending.OPEN), lambda _head: Reading(most=1000, rate=1000)) as (client, _):
            begun = trio.current_time()
            await client.send(post(body=body))
            # All but what fits into the windows on the way has been read by then.
            assert trio.current_time() - begun > (len(body) - 3 * 65536) / 1000

    trio.run(main, clock=mock_time)


def test_the_reading_is_asked_for_with_the_head(mock_time: trio.testing.MockClock) -> None:
    """Who decides sees the request as far as it has come: everything but the body."""

    async def main() -> None:
        heads = []

        def readings(head: Any) -> Reading:
            heads.append((head.method, head.path, head.body))
            return Reading()

        async with served(Answers(Ending.CLEAN), readings) as (client, _):
            await client.send(post(body=b"{}")[:-2])
            await trio.testing.wait_all_tasks_blocked()
            assert heads == [("POST", "/v1/chat/completions", b"")]
            await client.send(b"{}")
            await read_all(client)
        assert len(heads) == 1

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("how", [Ending.CLEAN, Ending.FIN])
def test_what_is_left_unread_makes_a_reset_of_an_orderly_end(how: Ending, mock_time: trio.testing.MockClock) -> None:
    """As a kernel does; also if the server had read the bytes ahead together with the head."""

    async def main() -> None:
        for sent in (5, 10):
            request = post(body=b"0123456789")
            async with served(Answers(how), lambda _head: Reading(most=5, rest=False)) as (client, log):
                await client.send(request[: len(request) - 10 + sent])
                assert await read_all(client) == (b"1", "reset")
            assert [end.how for end in log.of(ServerEnd)] == [how]

    trio.run(main, clock=mock_time)


def test_a_client_that_leaves_an_unread_upload_is_noticed_at_an_open_end(mock_time: trio.testing.MockClock) -> None:
    """Waiting for the client to leave means listening to it, whatever was left unread before."""

    async def main() -> None:
        async with served(Answers(Ending.OPEN), lambda _head: Reading(most=0, rest=False)) as (client, log):
            await client.send(post(body=b"0123456789"))
            assert await until(client, 1) == b"1"
        assert [left.reset for left in log.of(PeerLeft)] == [False]

    trio.run(main, clock=mock_time)


def test_who_is_refused_before_the_body_is_read_may_still_send_it(mock_time: trio.testing.MockClock) -> None:
    """A kept connection finds the next request behind a body that nobody waited for."""

    async def main() -> None:
        app = Answers(Ending.KEEP, Ending.CLEAN)
        async with served(app, lambda head: Reading(expect=Expectation.FINAL)) as (client, _):
            await client.send(CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
            assert await until(client, 1) == b"1"
            await client.send(b"3\r\nabc\r\n0\r\n\r\n" + post(body=b"{}"))
            assert await read_all(client) == (b"2", "fin")
        assert [(seen[1], seen[2]) for seen in app.asked] == [(b"", False), (b"{}", True)]

    trio.run(main, clock=mock_time)


# --- one after the other ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_requests_are_served_in_order_however_they_are_cut(size: int, mock_time: trio.testing.MockClock) -> None:
    """Each answer follows the one before it, and the wire bytes of the trace go on counting."""

    async def main() -> None:
        app = Answers(Ending.KEEP, Ending.KEEP, Ending.CLEAN)
        async with served(app) as (client, log):
            whole = post(body=b"a") + CHUNKED + b"1\r\nb\r\n0\r\n\r\n" + post(body=b"c")
            for start in range(0, len(whole), size):
                await client.send(whole[start : start + size])
            assert await read_all(client) == (b"123", "fin")
        assert [seen[1] for seen in app.asked] == [b"a", b"b", b"c"]
        assert [(one.wire, one.body) for one in log.of(Sent)] == [((0, 1), (0, 1)), ((1, 2), (0, 1)), ((2, 3), (0, 1))]
        assert len(log.of(Request)) == 3

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(("part", "noted"), [(b"", 0), (b"POST / HT", 1)])
def test_leaving_a_kept_connection_is_no_news(part: bytes, noted: int, mock_time: trio.testing.MockClock) -> None:
    """Unless the client leaves in the middle of its next request."""

    async def main() -> None:
        async with served(Answers(Ending.KEEP)) as (client, log):
            await client.send(post())
            assert await until(client, 1) == b"1"
            if part:
                await client.send(part)
        assert len(log.of(PeerLeft)) == noted
        assert [end.how for end in log.of(ServerEnd)] == [Ending.KEEP]

    trio.run(main, clock=mock_time)


def test_nonsense_on_a_kept_connection_gets_one_line(mock_time: trio.testing.MockClock) -> None:
    """The second request is as malformed as a first one could be, and ends the connection."""

    async def main() -> None:
        async with served(Answers(Ending.KEEP)) as (client, log):
            await client.send(post() + b"nonsense\r\n\r\n")
            answer, how = await read_all(client)
            assert (answer[:14], how) == (b"1HTTP/1.1 400 ", "fin")
        assert [bool(seen.problem) for seen in log.of(Request)] == [False, True]

    trio.run(main, clock=mock_time)


def test_what_is_sent_ahead_is_bounded(mock_time: trio.testing.MockClock) -> None:
    """A client that floods the server while an answer is under way is told so in its turn, and held in no memory."""

    async def main() -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await trio.sleep(10)
            await send(close(Ending.KEEP))

        async with served(app) as (client, log):
            flood = post() + b"GET / HTTP/1.1\r\nHost: t\r\n\r\n" * (MOST_AHEAD // 10)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, flood)
                answer, how = await read_all(client)
            assert (answer[:12], how) == (b"HTTP/1.1 413", "fin")
        assert [bool(seen.problem) for seen in log.of(Request)] == [False, True]

    trio.run(main, clock=mock_time)


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_request_that_is_never_whole_is_given_up(mock_time: trio.testing.MockClock) -> None:
    """A byte now and then does not hold a connection for ever: 408, counted from the first byte."""

    async def main() -> None:
        async with served(Answers()) as (client, log):
            await trio.sleep(100)
            begun = trio.current_time()
            async with trio.open_nursery() as nursery:

                async def drip() -> None:
                    for byte in post(body=bytes(1000)):
                        await client.send(bytes([byte]))
                        await trio.sleep(1)

                nursery.start_soon(drip)
                answer = await until(client, 12)
                assert (answer[:12], trio.current_time() - begun) == (b"HTTP/1.1 408", MOST_TIME)
                nursery.cancel_scope.cancel()
        assert log.of(Request)[0].problem == "the request was not whole after 600 seconds"

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("requests", [0, 1])
def test_a_connection_on_which_nobody_asks_is_closed(requests: int, mock_time: trio.testing.MockClock) -> None:
    """Whether it is new or kept, it waits as long as a request may take, and then ends in good order."""

    async def main() -> None:
        async with served(Answers(Ending.KEEP)) as (client, log):
            if requests:
                await client.send(post())
            begun = trio.current_time()
            assert await read_all(client) == (b"1" * requests, "fin")
            assert trio.current_time() - begun == MOST_TIME
        assert not log.of(PeerLeft)

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("asks", [True, False])
def test_a_stale_connection_ends_with_a_reset(asks: bool, mock_time: trio.testing.MockClock) -> None:
    """By the first byte of another request, or when it has waited long enough for one."""

    async def main() -> None:
        async with served(Answers(Ending.STALE)) as (client, log):
            await client.send(post())
            assert await until(client, 1) == b"1"
            begun = trio.current_time()
            if asks:
                await client.send(b"P")
            assert await read_all(client) == (b"", "reset")
            assert trio.current_time() - begun == (0 if asks else MOST_TIME)
        assert len(log.of(Request)) == 1

    trio.run(main, clock=mock_time)


def test_a_stale_connection_that_is_not_used_again_ends_in_good_order(mock_time: trio.testing.MockClock) -> None:
    """A client that closes it first has met no trouble."""

    async def main() -> None:
        async with served(Answers(Ending.STALE)) as (client, log):
            await client.send(post())
            assert await until(client, 1) == b"1"
            await client.send_eof()
            assert await read_all(client) == (b"", "fin")
        assert not log.of(PeerLeft)

    trio.run(main, clock=mock_time)


# --- held writes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "pieces"),
    [
        ([write(b"a", held=True), write(b"b", held=True), write(b"c"), write(b"d")], [b"abc", b"d"]),
        ([write(b"a", held=True), {"type": "testbed.wire.wait", "seconds": 1}, write(b"b")], [b"a", b"b"]),
        ([write(b"a"), write(b"b", held=True)], [b"a", b"b"]),
        ([write(b"a", held=True), write(b"", held=False)], [b"a"]),
    ],
)
def test_held_writes_leave_together(
    messages: list[dict[str, Any]], pieces: list[bytes], mock_time: trio.testing.MockClock
) -> None:
    """In one send with the next, or before a silence or the end; each has its own range in the trace."""

    async def main() -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            for message in [*messages, close(Ending.CLEAN)]:
                await send(message)

        seen = []
        client, server = memory_pair()
        log = Log()
        async with trio.open_nursery() as nursery:
            await client.send(post())
            nursery.start_soon(serve_connection, app, 7, _Sends(server, seen), log)
            await read_all(client)
            client.close()
        assert seen == pieces
        ends = [one.wire[1] for one in log.of(Sent)]
        assert len(ends) == sum(message["type"] == "testbed.wire.write" for message in messages)
        assert ends[-1] == len(b"".join(pieces))

    trio.run(main, clock=mock_time)


class _Sends:
    """A connection that also notes what is sent in one call."""

    def __init__(self, connection: Any, seen: list[bytes]) -> None:
        self._connection = connection
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def send(self, data: bytes) -> None:
        """Note it, and pass it on."""
        self._seen.append(data)
        await self._connection.send(data)
