"""The HTTP/1.1 server: exact bytes, exact ends, and calm in the face of bad requests and clients that leave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from testbed.errors import HarnessError
from testbed.net import http_request
from testbed.net.connections import memory_pair
from testbed.net.http_server import Application, serve_connection
from testbed.ports import ByteConnection
from testbed.script import Ending
from testbed.trace import PeerLeft, Request, Sent, ServerEnd
from tests.net.support import Log, post, read_all

GET = b"GET /events HTTP/1.1\r\nHost: testbed\r\n\r\n"


def write(data: bytes, step: int = 0) -> dict[str, Any]:
    """A raw write without body bytes."""
    size = len(data)
    message = {"data": data, "step": step, "payload": (size, size), "body": (0, 0), "ends_step": True}
    return {"type": "testbed.wire.write", **message}


def wait(seconds: float) -> dict[str, Any]:
    """A raw silence."""
    return {"type": "testbed.wire.wait", "seconds": seconds}


def close(how: Ending) -> dict[str, Any]:
    """A raw end."""
    return {"type": "testbed.wire.close", "how": how, "framed": how is Ending.CLEAN}


def playing(*messages: dict[str, Any]) -> Application:
    """An application that sends these messages, whatever it is asked."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


@asynccontextmanager
async def served(app: Application, buffer: int = 65536) -> AsyncIterator[tuple[ByteConnection, Log]]:
    """Serve one connection; gives the client's end. Leaving waits until the server is done."""
    client, server = memory_pair(buffer)
    log = Log()
    with trio.fail_after(3600):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_connection, app, 7, server, log)
            yield client, log
            client.close()


def test_writes_go_out_as_they_are_and_are_annotated(mock_time: trio.testing.MockClock) -> None:
    """The client gets the application's bytes and no others; the trace says which wire bytes each write was."""

    async def main() -> None:
        head, body = b"HTTP/1.1 200 OK\r\n\r\n", b"data: x\n\n"
        event = {**write(body, 1), "payload": (0, 9), "body": (0, 9), "ends_step": False}
        async with served(playing(write(head), wait(2.5), event, close(Ending.CLEAN))) as (client, log):
            await client.send(GET)
            assert await read_all(client) == (head + body, "fin")
        first, second = log.of(Sent)
        size = len(head)
        assert (first.conn, first.step, first.wire, first.payload) == (7, 0, (0, size), (size, size))
        assert (second.step, second.wire, second.payload, second.body) == (
            1,
            (size, size + 9),
            (size, size + 9),
            (0, 9),
        )
        assert (first.ends_step, second.ends_step) == (True, False)
        assert second.t - first.t == pytest.approx(2_500_000, abs=2)
        assert log.kinds() == ["Request", "Sent", "ServerEnd"]
        assert log.of(Request)[0] == Request(t=0, conn=7, method="GET", path="/events")

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        (Ending.CLEAN, "fin"),
        (Ending.FIN, "fin"),
        (Ending.RST, "reset"),
        (Ending.ABORT, "reset"),
    ],
)
def test_each_ending_is_what_the_client_sees(how: Ending, seen: str, mock_time: trio.testing.MockClock) -> None:
    """FIN or RST reaches the client behind the bytes that had arrived, and the trace names the ending."""

    async def main() -> None:
        async with served(playing(write(b"x" * 10), close(how))) as (client, log):
            await client.send(GET)
            assert await read_all(client) == (b"x" * 10, seen)
        assert [(end.how, end.framed) for end in log.of(ServerEnd)] == [(how, how is Ending.CLEAN)]
        assert not log.of(PeerLeft)

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(("how", "whole"), [(Ending.RST, True), (Ending.ABORT, False)])
def test_a_reset_is_drained_and_an_abort_is_not(how: Ending, whole: bool, mock_time: trio.testing.MockClock) -> None:
    """RST waits until a slow client has all bytes; ABORT destroys those that are still queued."""

    async def main() -> None:
        async with served(playing(write(bytes(150)), close(how)), buffer=100) as (client, _):
            await client.send(GET)
            await trio.sleep(3)
            assert await read_all(client) == (bytes(150 if whole else 100), "reset")

    trio.run(main, clock=mock_time)


def test_an_open_end_lasts_until_the_client_leaves(mock_time: trio.testing.MockClock) -> None:
    """The server says nothing more, and notes when the client has had enough."""

    async def main() -> None:
        async with served(playing(write(b"x"), close(Ending.OPEN))) as (client, log):
            await client.send(GET)
            assert await client.receive() == b"x"
            with trio.move_on_after(1800) as patience:
                await client.receive()
            assert patience.cancelled_caught
        assert [(left.t, left.reset) for left in log.of(PeerLeft)] == [(1_800_000_000, False)]

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_client_that_leaves_during_a_silence_is_noticed_at_once(
    reset: bool, mock_time: trio.testing.MockClock
) -> None:
    """Waiting is no reason to overlook the client; the script stops there."""

    async def main() -> None:
        async with served(playing(write(b"x"), wait(600), write(b"y"), close(Ending.CLEAN))) as (client, log):
            await client.send(GET)
            await client.receive()
            await trio.sleep(2)
            client.reset() if reset else client.close()
        assert [(left.t, left.reset) for left in log.of(PeerLeft)] == [(2_000_000, reset)]
        assert not log.of(ServerEnd)
        assert len(log.of(Sent)) == 1
        assert trio.current_time() < 600

    trio.run(main, clock=mock_time)


def test_a_client_that_leaves_while_the_server_is_held_back_is_noticed(mock_time: trio.testing.MockClock) -> None:
    """A write that waits for room ends when the client does."""

    async def main() -> None:
        async with served(playing(write(bytes(10_000)), close(Ending.CLEAN)), buffer=100) as (client, log):
            await client.send(GET)
            await trio.sleep(2)
            client.reset()
        assert [left.reset for left in log.of(PeerLeft)] == [True]

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("part", [b"", b"POST /v1/messages HT", post()[:-5]])
def test_a_client_that_leaves_before_its_request_is_whole(part: bytes, mock_time: trio.testing.MockClock) -> None:
    """There is no request in the trace then, and the server has nothing to complain about."""

    async def main() -> None:
        async with served(playing(close(Ending.CLEAN))) as (client, log):
            if part:
                await client.send(part)
        assert log.kinds() == ["PeerLeft"]

    trio.run(main, clock=mock_time)


def test_a_client_that_resets_before_its_request_is_whole(mock_time: trio.testing.MockClock) -> None:
    """Whether it talks or waits to be told to go on, an RST is noted as one."""

    async def main() -> None:
        log = Log()
        for part in (b"POST", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"):
            client, server = memory_pair()
            await client.send(part)
            client.reset()
            await serve_connection(playing(close(Ending.CLEAN)), 0, server, log)
        assert [left.reset for left in log.of(PeerLeft)] == [True, True]

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_a_request_may_come_in_pieces(size: int, mock_time: trio.testing.MockClock) -> None:
    """Cut anywhere, with bytes behind its end, a request is the same request."""

    async def main() -> None:
        bodies = []

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            bodies.append((await receive())["body"])
            await send(close(Ending.CLEAN))

        async with served(app) as (client, log):
            whole = post(body=b'{"k": 1}') + b"GET / HTTP/1.1\r\n"
            for start in range(0, len(whole), size):
                await client.send(whole[start : start + size])
            assert await read_all(client) == (b"", "fin")
        assert bodies == [b'{"k": 1}']
        assert [(seen.method, seen.path, seen.problem) for seen in log.of(Request)] == [
            ("POST", "/v1/chat/completions", "")
        ]

    trio.run(main, clock=mock_time)


def test_a_chunked_request_body_is_put_together(mock_time: trio.testing.MockClock) -> None:
    """Clients that stream their body up are understood too."""

    async def main() -> None:
        async def app(_scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["body"] == b"onetwo"
            await send(close(Ending.CLEAN))

        async with served(app) as (client, log):
            head = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            await client.send(head + b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
            assert (await read_all(client))[1] == "fin"
        assert len(log.of(Request)) == 1

    trio.run(main, clock=mock_time)


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(mock_time: trio.testing.MockClock) -> None:
    """The interim answer goes out first, and the wire ranges of the trace count its bytes."""

    async def main() -> None:
        async with served(playing(write(b"answer"), close(Ending.CLEAN))) as (client, log):
            head = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
            await client.send(head)
            interim = await client.receive()
            assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"{}")
            assert await read_all(client) == (b"answer", "fin")
        assert log.of(Sent)[0].wire == (len(interim), len(interim) + 6)

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not plain text\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
def test_a_malformed_request_gets_one_line(raw: bytes, status: int, mock_time: trio.testing.MockClock) -> None:
    """What is no HTTP is answered with a status and one sentence, which also stands in the trace."""

    async def main() -> None:
        async with served(playing(close(Ending.CLEAN))) as (client, log):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, raw)
                answer, how = await read_all(client)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert how == "fin"
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert body.startswith(b"%d " % status)
            assert body.count(b"\n") == 1
            assert b"Traceback" not in body
        (request,) = log.of(Request)
        assert (request.method, request.path) == ("", "")
        assert request.problem in body.decode()

    trio.run(main, clock=mock_time)


def test_a_body_beyond_all_bounds_is_refused(mock_time: trio.testing.MockClock) -> None:
    """Memory is not the client's to fill: 413, and the rest is read and forgotten so that the answer arrives."""

    async def main() -> None:
        length = http_request.MOST_BODY + 100_000
        async with served(playing(close(Ending.CLEAN))) as (client, _), trio.open_nursery() as nursery:
            nursery.start_soon(client.send, post(body=bytes(length)))
            answer, how = await read_all(client)
            assert (answer[:12], how) == (b"HTTP/1.1 413", "fin")

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/events?last=3&x=%20", "/events", b"last=3&x=%20"),
        ("/caf%C3%A9", "/café", b""),
        ("http://testbed:80/events?a", "/events", b"a"),
        ("http://testbed", "/", b""),
        ("http://[", "http://[", b""),
        ("*", "*", b""),
    ],
)
def test_the_scope_tells_the_path_in_every_form_of_target(
    target: str, path: str, query: bytes, mock_time: trio.testing.MockClock
) -> None:
    """Origin form, absolute form, and what is neither: applications see a path and a query."""

    async def main() -> None:
        scopes = []

        async def app(scope: Any, _receive: Any, send: Any) -> None:
            scopes.append(scope)
            await send(close(Ending.CLEAN))

        async with served(app) as (client, log):
            await client.send(f"GET {target} HTTP/1.1\r\nHost: t\r\nX-Odd:  v \r\n\r\n".encode())
            await read_all(client)
        assert (scopes[0]["path"], scopes[0]["query_string"]) == (path, query)
        assert scopes[0]["headers"] == [(b"host", b"t"), (b"x-odd", b"v")]
        assert scopes[0]["extensions"] == {"testbed.wire": {"whole": True}}
        assert log.of(Request)[0].path == path

    trio.run(main, clock=mock_time)


def test_ordinary_responses_have_exact_heads(mock_time: trio.testing.MockClock) -> None:
    """An application that knows nothing of the extension is answered for with a length and a clean end."""

    async def main() -> None:
        start = {"type": "http.response.start", "status": 404, "headers": [(b"x-a", b"1")]}
        refuse = {"type": "testbed.wire.refuse", "problem": "no such path"}
        app = playing(refuse, start, {"type": "http.response.body", "body": b"gone"})
        async with served(app) as (client, log):
            await client.send(GET)
            assert await read_all(client) == (
                b"HTTP/1.1 404 Not Found\r\nx-a: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone",
                "fin",
            )
        assert log.of(Request)[0].problem == "no such path"
        assert [(sent.step, sent.body) for sent in log.of(Sent)] == [(-1, (0, 0)), (-1, (0, 4))]
        assert log.of(ServerEnd)[0].framed

    trio.run(main, clock=mock_time)


def test_ordinary_responses_in_parts_end_with_the_connection(mock_time: trio.testing.MockClock) -> None:
    """Without a length the body lasts until the FIN, which HTTP allows."""

    async def main() -> None:
        start = {"type": "http.response.start", "status": 200}
        parts = [{"type": "http.response.body", "body": b"one", "more_body": True}, {"type": "http.response.body"}]
        async with served(playing(start, *parts)) as (client, log):
            await client.send(GET)
            assert await read_all(client) == (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none", "fin")
        assert not log.of(ServerEnd)[0].framed

    trio.run(main, clock=mock_time)


def test_the_answer_to_head_has_no_body(mock_time: trio.testing.MockClock) -> None:
    """HEAD gets the head of what GET would get."""

    async def main() -> None:
        start = {"type": "http.response.start", "status": 200}
        async with served(playing(start, {"type": "http.response.body", "body": b"four"})) as (client, _):
            await client.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n")
            answer, _how = await read_all(client)
            assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"

    trio.run(main, clock=mock_time)


def test_an_application_that_waits_hears_of_the_disconnect(mock_time: trio.testing.MockClock) -> None:
    """ASGI's own way of learning that nobody listens works as everywhere, after the answer has ended."""

    async def main() -> None:
        heard = []

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(close(Ending.CLEAN))
            heard.append(await receive())

        async with served(app) as (client, _):
            await client.send(GET)
            await read_all(client)
        assert heard == [{"type": "http.disconnect"}]

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "returned before it had ended"),
        ([write(b"x")], "returned before it had ended"),
        ([{"type": "websocket.accept"}], "'websocket.accept' is unknown"),
        ([close(Ending.CLEAN), write(b"x")], "'testbed.wire.write' is sent after the end"),
        ([write(b"x"), {"type": "http.response.start", "status": 200}], "begins a second answer"),
        ([{"type": "http.response.body"}], "has no http.response.start before it"),
    ],
)
def test_an_application_that_breaks_the_rules_is_our_own_failure(
    messages: list[dict[str, Any]], complaint: str, mock_time: trio.testing.MockClock
) -> None:
    """It is raised plainly as a HarnessError, and never taken for something that the client did."""

    async def main() -> None:
        client, server = memory_pair()
        await client.send(GET)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_and_close, client)
            with pytest.raises(HarnessError, match=complaint):
                await serve_connection(playing(*messages), 0, server, Log())

    trio.run(main, clock=mock_time)


async def read_and_close(client: ByteConnection) -> None:
    """What a client does."""
    await read_all(client)
    client.close()


def test_an_application_that_raises_is_our_own_failure(mock_time: trio.testing.MockClock) -> None:
    """Its exception is the cause, and the connection is closed."""

    async def main() -> None:
        async def app(_scope: Any, _receive: Any, _send: Any) -> None:
            raise ZeroDivisionError("oops")

        client, server = memory_pair()
        await client.send(GET)
        with pytest.raises(HarnessError, match="the application failed: ZeroDivisionError: oops"):
            await serve_connection(app, 0, server, Log())
        assert await read_all(client) == (b"", "fin")

    trio.run(main, clock=mock_time)
