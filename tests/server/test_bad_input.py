"""Bad input: bounded, answered in the vendor's shape, told in one sentence, and no trouble for other streams."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import trio
import trio.testing

from testbed.dialects import DIALECTS, Case
from testbed.net.connections import memory_pair
from testbed.net.http_request import MOST_BODY, MOST_HEAD
from testbed.script import DialectName, Pause, Text
from testbed.server.app import Setting, make_serve
from testbed.trace import Request, ServerEnd
from tests.net.support import HELLO, Log, chat, plan_of, post, read_all, read_socket, wire_of
from tests.server.on_sockets import served

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"


def error_of(answer: bytes) -> tuple[int, str]:
    """The status and the vendor's message of a raw answer; the request id stands in its head."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"x-request-id: req_testbed_" in head
    return int(head[9:12]), json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        (b"no http at all\r\n\r\n", 400, "illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (HEAD + b"X: " + b"y" * (3 * MOST_HEAD) + b"\r\n\r\n", 431, ""),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (MOST_BODY + 1), 413, f"longer than {MOST_BODY} bytes"),
        (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", 413, f"longer than {MOST_BODY} bytes"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "Content-Length"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, ""),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501, ""),
    ],
)
def test_what_is_no_request_gets_the_vendors_error_and_one_sentence(
    sent: bytes, status: int, sentence: str, mock_time: trio.testing.MockClock
) -> None:
    """The status says what kind of wrong it is; the sentence of the answer is that of the trace."""

    async def main() -> None:
        log = Log()
        client, server = memory_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_serve(plan_of(HELLO), log), 0, server)
            nursery.start_soon(client.send, sent)
            answer, _ = await read_all(client)
            client.close()
        found, message = error_of(answer)
        assert found == status
        assert sentence in message
        (request,) = log.of(Request)
        assert request.problem == message

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("sent", [HEAD, HEAD + b"Content-Length: 10\r\n\r\n{"])
def test_a_request_that_never_ends_is_given_up_after_its_time(sent: bytes, mock_time: trio.testing.MockClock) -> None:
    """Half a head and half a body get 408 when the time is over, and no earlier."""

    async def main() -> None:
        log = Log()
        client, server = memory_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_serve(plan_of(HELLO), log, setting=Setting(most_time=30.0)), 0, server)
            await client.send(sent)
            with trio.move_on_after(29.9) as early:
                await client.receive(1)
            assert early.cancelled_caught
            answer, _ = await read_all(client)
            client.close()
        assert error_of(answer) == (408, "the request was not whole after 30 seconds")

    trio.run(main, clock=mock_time)


def test_a_client_that_sends_a_byte_now_and_then_gets_no_more_time(mock_time: trio.testing.MockClock) -> None:
    """The time counts from the first byte of the request, whatever else comes."""

    async def main() -> None:
        client, server = memory_pair()
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_serve(plan_of(HELLO), Log(), setting=Setting(most_time=30.0)), 0, server)

            async def drip() -> None:
                for byte in HEAD + b"X: " + b"y" * 1000:
                    await client.send(bytes([byte]))
                    await trio.sleep(1)

            nursery.start_soon(drip)
            answer, _ = await read_all(client)
            nursery.cancel_scope.cancel()
        assert error_of(answer)[0] == 408
        assert trio.current_time() - started < 40

    trio.run(main, clock=mock_time)


def test_the_streams_of_others_go_on_while_somebody_sends_without_end() -> None:
    """Beside an endless head, an endless body and silence, a stream comes whole and in its time."""
    script = chat(*[step for number in range(10) for step in (Pause(0.01), Text(f"{number} "))])

    async def endless(port: int, beginning: bytes, more: bytes) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(beginning)
                while more:
                    await stream.send_all(more)
                await trio.sleep_forever()

    async def main() -> None:
        log = Log()
        async with served(plan_of(script), log) as root, trio.open_nursery() as nursery:
            port = int(root.rpartition(":")[2])
            nursery.start_soon(endless, port, HEAD, b"X: " + b"y" * 5000 + b"\r\n")
            nursery.start_soon(
                endless, port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"z" * 4096 + b"\r\n"
            )
            nursery.start_soon(endless, port, b"", b"")
            with trio.fail_after(5):
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(post())
                    answer = await read_socket(stream)
            assert answer == (wire_of(script), "fin")
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_the_largest_body_that_is_taken_is_read() -> None:
    """A body of the largest size that is taken is taken, and refused for what is in it."""

    async def main() -> None:
        async with served(plan_of(HELLO), Log()) as root:
            port = int(root.rpartition(":")[2])
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                body = b'{"a":"' + b"x" * (MOST_BODY - 8) + b'"}'
                await stream.send_all(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                answer, _ = await read_socket(stream)
        assert error_of(answer)[0] == 400

    trio.run(main)


def test_the_endings_of_refusals_are_orderly(mock_time: trio.testing.MockClock) -> None:
    """A refusal is a whole message and a FIN, never a reset: the client is to read what was wrong."""

    async def main() -> None:
        log = Log()
        client, server = memory_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_serve(plan_of(HELLO), log), 0, server)
            await client.send(post("/nowhere"))
            _, how = await read_all(client)
            client.close()
        assert how == "fin"
        (end,) = log.of(ServerEnd)
        assert end.framed

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("dialect", list(DialectName))
def test_every_dialect_can_say_what_is_no_request(dialect: DialectName) -> None:
    """Each of the statuses that the parser of requests gives has a shape in each dialect."""
    for status in (400, 408, 413, 431, 501, 505):
        answer = DIALECTS[dialect].answer(Case(status, "the sentence"))
        assert answer.status == status
        assert "the sentence" in str(json.loads(answer.body))
