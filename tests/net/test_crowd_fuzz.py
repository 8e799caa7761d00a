"""Random and mutated requests at a crowd, cut anywhere: nothing crashes, nothing hangs, and open streams go on.

`TESTBED_FUZZ_BYTES` says how much is sent, for a run that is longer than a test may take.
"""

from __future__ import annotations

import os
import random

import pytest
import trio

from testbed.net.crowd_stream import Limits
from testbed.script import Pause, Text
from testbed.server.crowd import host_of
from testbed.trace import ServerEnd
from tests.net.crowds import Place, crowd_of, reset
from tests.net.support import chat, plan_of, post, wire_of

pytestmark = pytest.mark.once

BYTES = int(os.environ.get("TESTBED_FUZZ_BYTES", "300000"))
AT_ONCE = 20

REQUESTS = (
    post(),
    post("/nowhere"),
    post(body=b"{" * 200),
    b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX: y\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
    b"GET http://[::1]:80/v1/models?x=%ff#y HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
)
WORDS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"\xff", b"\x16\x03\x01\x02"),
    *(b"HTTP/1.1", b"GET ", b"chunked", b"Content-Length: ", b"18446744073709551616", b"-1"),
    *(b"ffffffffffffffff\r\n", b"0\r\n\r\n"),
)


def mutate(draw: random.Random) -> bytes:
    """A request damaged in one of the ways in which requests are damaged, or bytes that never were one."""
    data = bytearray(draw.choice(REQUESTS))
    for _ in range(draw.randrange(5)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(6):
            case 0:
                data[at:at] = draw.choice(WORDS)
            case 1:
                del data[at : at + draw.randrange(1, 40)]
            case 2:
                data[at : at + 1] = draw.randbytes(1)
            case 3:
                data[at:at] = data[: draw.randrange(len(data) + 1)]
            case 4:
                data[at:at] = draw.choice((b"x", b"\r\n", b"a: b\r\n", b"1\r\nx\r\n")) * draw.randrange(5000)
            case _:
                data = bytearray(draw.randbytes(draw.randrange(1, 400)))
    return bytes(data)


async def attack(place: Place, draw: random.Random, budget: list[int]) -> None:
    """Send one damaged request after the other in pieces, read or do not read, and leave in any way."""
    while budget[0] > 0:
        client = await place.connect(b"", window=draw.choice((0, 4096)))
        data = mutate(draw)
        budget[0] -= len(data)
        try:
            while data:
                size = draw.choice((1, 3, 17, 200, len(data)))
                await client.send_all(data[:size])
                data = data[size:]
                if draw.random() < 0.1:
                    await client.receive_some(draw.choice((1, 100)))
            if draw.random() < 0.3:
                await client.send_eof()
                while await client.receive_some():
                    pass
        except trio.BrokenResourceError:
            pass  # it was answered, and closed
        finally:
            reset(client) if draw.random() < 0.5 else await client.aclose()


@pytest.mark.parametrize("seed", [1, 2])
def test_no_request_crashes_or_hangs_a_crowd(seed: int) -> None:
    """While it is attacked an open stream gets every byte, and afterwards the crowd is empty and well."""
    draw = random.Random(seed)
    script = chat(*[Pause(0.005), Text("x")] * 40)

    async def main() -> None:
        host = host_of(plan_of(script), lambda: round(trio.current_time() * 1_000_000))
        # So that a client which waits for an answer to half a request gets one.
        async with crowd_of(host, Limits(seconds=0.5), seconds=60 + BYTES / 10_000) as place:
            budget = [BYTES // 2]

            async def listen_to_the_end() -> None:
                while budget[0] > 0:
                    assert await place.fetch() == (wire_of(script), "fin")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen_to_the_end)
                for _ in range(AT_ONCE):
                    nursery.start_soon(attack, place, random.Random(draw.random()), budget)
            await place.emptied()
            assert await place.fetch() == (wire_of(script), "fin")
            assert place.log.of(ServerEnd)
            await place.emptied()
            assert len(place.crowd.timers) == 0

    trio.run(main)
