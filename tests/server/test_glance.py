"""A glance: it sees whose a request is, and loses no byte of it."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from testbed.net.connections import memory_pair
from testbed.server.glance import Replayed, Seen, glance
from tests.net.support import BODY, post, read_all


def run(sent: list[bytes], *, enough: bool, clock: trio.testing.MockClock, fin: bool = True) -> tuple[Seen, bytes]:
    """What a glance saw of these pieces, and what could be read afterwards."""

    async def main() -> tuple[Seen, bytes]:
        client, server = memory_pair()
        looked = Replayed(server)
        found: list[Seen] = []

        async def look() -> None:
            found.append(await glance(looked, 5.0, lambda _path: enough))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            for piece in sent:
                await client.send(piece)
                await trio.testing.wait_all_tasks_blocked()
            if fin:
                await client.send_eof()
        if not fin:
            await client.send_eof()
        return found[0], (await read_all(looked))[0]

    return trio.run(main, clock=clock)


NAMED = BODY.replace(b'"m"', b'"testbed/one"')


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_the_model_is_seen_and_every_byte_comes_again(size: int, mock_time: trio.testing.MockClock) -> None:
    """However the request is cut."""
    request = post(body=NAMED)
    pieces = [request[at : at + size] for at in range(0, len(request), size)]
    seen, again = run(pieces, enough=False, clock=mock_time)
    assert (seen.path, seen.model) == ("/v1/chat/completions", "testbed/one")
    assert seen.headers["content-type"] == "application/json"
    assert again == request


def test_a_path_that_is_enough_spares_the_body(mock_time: trio.testing.MockClock) -> None:
    """The glance is over with the head, though the body never comes."""
    head = post(body=NAMED).partition(b"{")[0]
    seen, again = run([head], enough=True, clock=mock_time, fin=False)
    assert (seen.path, seen.model) == ("/v1/chat/completions", "")
    assert again == head


def test_a_client_that_waits_for_the_word_to_go_on_is_not_kept_waiting(mock_time: trio.testing.MockClock) -> None:
    """The word is the answer's to give, so the glance ends with the head."""
    head = b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    assert run([head], enough=False, clock=mock_time, fin=False)[0].path == "/x"


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"\x00\x01 no http\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: t\r\n", post()[:-5]]
)
@pytest.mark.parametrize("fin", [True, False])
def test_what_is_no_request_is_seen_as_none_and_comes_again(
    sent: bytes, fin: bool, mock_time: trio.testing.MockClock
) -> None:
    """Broken, unfinished and silent clients end the glance, by their bytes or by its time."""
    seen, again = run([sent] if sent else [], enough=False, clock=mock_time, fin=fin)
    assert seen.model == ""
    assert again == sent
