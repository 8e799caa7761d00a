"""Every legal wire form, byte for byte on a socket, with the network and without; and libraries that read it."""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import cast

import h11
import httpx
import pytest
import trio

from testbed.dialects import DIALECTS
from testbed.script import (
    Coding,
    CutBody,
    CutWire,
    DialectName,
    End,
    Ending,
    Expectation,
    Framing,
    Head,
    Reading,
    Script,
    Text,
)
from testbed.trace import PeerLeft, Request, Sent, ServerEnd
from tests.coding import decoded
from tests.conformance.wire_forms import (
    FORMS,
    KEPT,
    ROADS,
    STREAM,
    Facts,
    Road,
    close_of,
    connected,
    read_all,
    read_exactly,
    redirect,
    said,
    wire_of,
)
from tests.net.support import BODY, plan_of, post

pytestmark = pytest.mark.once

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "wire-forms.md"
TEXT = b"".join(event for events in DIALECTS[DialectName.OPENAI_CHAT].encode(STREAM) for event in events)


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> Road:
    """The server alone, and behind the network."""
    return ROADS[request.param]


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_byte_exact_on_a_socket(form: str, road: Road) -> None:
    """A raw reader gets the bytes of the plan's program, all of them and no others, and the end that the plan says."""
    script = FORMS[form]
    log = Facts()

    async def main() -> None:
        async with connected(road, log, script) as client:
            await client.send(post())
            met = await read_all(client)
        assert met.data == wire_of(script)
        assert met.end == ("reset" if close_of(script).how is Ending.RST else "fin")

    trio.run(main)
    assert [end.framed for end in log.of(ServerEnd)] == [close_of(script).framed]
    # What the trace says was sent is what was sent.
    assert max(sent.wire[1] for sent in log.of(Sent)) == len(wire_of(script))


@pytest.mark.parametrize("form", KEPT)
def test_a_kept_connection_serves_one_request_after_the_other(form: str, road: Road) -> None:
    """Each answer is byte exact; wire bytes go on counting over the connection, body bytes begin anew."""
    script, last = KEPT[form], FORMS["chunked"]
    log = Facts()

    async def main() -> None:
        async with connected(road, log, script, script, last) as client:
            for _ in range(2):
                await client.send(post())
                assert await read_exactly(client, len(wire_of(script))) == wire_of(script)
            await client.send(post())
            assert await read_all(client) == (wire_of(last), "fin")

    trio.run(main)
    assert [(seen.conn, seen.problem) for seen in log.of(Request)] == [(0, "")] * 3
    assert [end.how for end in log.of(ServerEnd)] == [Ending.KEEP, Ending.KEEP, Ending.CLEAN]
    sent = [one for one in log.of(Sent) if one.wire[0] < one.wire[1]]
    assert all(before.wire[1] == after.wire[0] for before, after in pairwise(sent))
    assert sent[-1].wire[1] == 2 * len(wire_of(script)) + len(wire_of(last))
    assert [one.body for one in sent].count((0, 0)) >= 3
    assert not log.of(PeerLeft)


def test_pipelined_requests_are_answered_in_order(road: Road) -> None:
    """What is asked before the answer is over waits for its turn, byte for byte."""
    first, second = KEPT["keep"], FORMS["content-length"]

    async def main() -> None:
        async with connected(road, Facts(), first, second) as client:
            await client.send(post() + post())
            assert await read_all(client) == (wire_of(first) + wire_of(second), "fin")

    trio.run(main)


@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.LENGTH])
def test_a_stale_connection_is_reset_by_the_first_byte_of_another_request(framing: Framing, road: Road) -> None:
    """The first answer is whole and the connection looks kept; whoever uses it again meets an RST and no answer."""
    script = said(Head(framing=framing), End(Ending.STALE))
    log = Facts()

    async def main() -> None:
        async with connected(road, log, script) as client:
            await client.send(post())
            assert await read_exactly(client, len(wire_of(script))) == wire_of(script)
            await client.send(b"P")
            assert await read_all(client) == (b"", "reset")

    trio.run(main)
    assert [(end.how, end.framed) for end in log.of(ServerEnd)] == [(Ending.STALE, True)]
    assert len(log.of(Request)) == 1


def test_an_open_end_says_no_more_until_the_client_leaves(road: Road) -> None:
    """All bytes are there, the end is not."""
    script = said(Head(), End(Ending.OPEN))

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            await client.send(post())
            assert await read_exactly(client, len(wire_of(script))) == wire_of(script)
            with trio.move_on_after(0.05) as silence:
                await client.receive()
            assert silence.cancelled_caught

    trio.run(main)


def test_an_abort_destroys_no_byte_that_had_arrived(road: Road) -> None:
    """What a client gets before the RST is a beginning of the program."""
    script = said(Head(), End(Ending.ABORT))

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            await client.send(post())
            met = await read_all(client)
            assert wire_of(script).startswith(met.data)
            assert met.end == "reset"

    trio.run(main)


# --- readers ----------------------------------------------------------------------------------------------------------


class _Recorded:
    """As much of a socket as http.client needs."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        """The bytes as a file."""
        return io.BytesIO(self._data)


def read_by_http_client(data: bytes) -> bytes:
    """The body, as Python's own client reads it."""
    response = http.client.HTTPResponse(cast("socket.socket", _Recorded(data)), method="POST")
    response.begin()
    while response.status == 100:  # it skips the rest by itself
        response.begin()
    return response.read()


def read_by_h11(data: bytes) -> bytes:
    """The body, as h11 reads it; an error if the message is not complete."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "testbed")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    reader.receive_data(b"")
    body = bytearray()
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            body += event.data
    return bytes(body)


# http.client takes any other interim answer than 100 for the final one.
READERS: dict[str, Callable[[bytes], bytes]] = {"h11": read_by_h11, "http.client": read_by_http_client}
ALONE = {"interim-102-again-and-again": "h11", "interim-103": "h11"}
READ = [
    (form, reader)
    for form, script in {**FORMS, **KEPT}.items()
    for reader in READERS
    if close_of(script).framed and not script.faults and ALONE.get(form, reader) == reader
]


@pytest.mark.parametrize(("form", "reader"), READ)
def test_other_readers_find_the_same_body(form: str, reader: str) -> None:
    """A library that knows nothing of us gets the text of the steps, once the coding's own library has decoded it."""
    script = {**FORMS, **KEPT}[form]
    events = DIALECTS[script.dialect].encode(script.steps)
    body = READERS[reader](wire_of(script))
    assert decoded(script.head.coding, body) == b"".join(event for step in events for event in step)


@pytest.mark.parametrize("coding", [Coding.GZIP, Coding.DEFLATE, Coding.BR, Coding.ZSTD])
def test_a_client_reads_a_flushed_coding_event_by_event(coding: Coding, road: Road) -> None:
    """Each event can be decoded as soon as its own write is there, although the answer stays open behind it."""
    script = said(Head(coding=coding), End(Ending.OPEN))

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            await client.send(post())
            data = await read_exactly(client, len(wire_of(script)))
        body, rest = b"", data.partition(b"\r\n\r\n")[2]
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        assert decoded(coding, body) == TEXT

    trio.run(main)


def follow(road: Road, log: Facts, first: Script) -> httpx.Response:
    """Ask as a client that follows redirects; what it is led to is a whole stream."""

    async def main() -> httpx.Response:
        with trio.fail_after(20):
            async with road(plan_of(first, FORMS["chunked"]), log) as endpoint, httpx.AsyncClient() as client:
                headers = {"Content-Type": "application/json"}
                url = f"{endpoint.root}/v1/chat/completions"
                return await client.post(url, content=BODY, headers=headers, follow_redirects=True)

    return trio.run(main)


@pytest.mark.parametrize("how", [Ending.CLEAN, Ending.KEEP])
@pytest.mark.parametrize("status", [307, 308])
def test_a_redirected_request_plays_the_next_attempt(status: int, how: Ending, road: Road) -> None:
    """307 and 308 keep method and body; the request that comes of it is the next attempt, on either connection."""
    log = Facts()
    response = follow(road, log, redirect(status, how))
    assert [step.status_code for step in (*response.history, response)] == [status, 200]
    assert response.content == TEXT
    assert [(seen.method, seen.problem) for seen in log.of(Request)] == [("POST", "")] * 2
    assert [seen.conn for seen in log.of(Request)] == ([0, 0] if how is Ending.KEEP else [0, 1])


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_loses_the_method_is_told_so(status: int, road: Road) -> None:
    """Clients make a GET of it, and the vendor has no answer to that: the trace says what was wrong."""
    log = Facts()
    response = follow(road, log, redirect(status))
    assert response.status_code == 405
    assert [seen.method for seen in log.of(Request)] == ["POST", "GET"]
    assert [bool(seen.problem) for seen in log.of(Request)] == [False, True]


# --- uploads ----------------------------------------------------------------------------------------------------------

UPLOAD = post(body=BODY[:-1] + b" " * 50_000 + b"}")
HEAD_END = UPLOAD.index(b"\r\n\r\n") + 4


def read_as(reading: Reading, *steps_and_faults: CutWire | CutBody, how: Ending = Ending.CLEAN) -> Script:
    """A small answer to a request that is read in this way."""
    return Script(
        DialectName.OPENAI_CHAT, (Head(400, framing=Framing.LENGTH), Text("no"), End(how)), steps_and_faults,
        reading=reading,
    )  # fmt: skip


def test_an_answer_may_come_before_the_upload_is_over(road: Road) -> None:
    """After so many bytes the script begins; the rest is read and forgotten, and the answer arrives whole."""
    script = read_as(Reading(most=1000))
    log = Facts()

    async def main() -> None:
        async with connected(road, log, script) as client:
            await client.send(UPLOAD[: HEAD_END + 1000])
            answer = await read_exactly(client, len(wire_of(script)))
            assert answer == wire_of(script)
            await client.send(UPLOAD[HEAD_END + 1000 :])
            assert await read_all(client) == (b"", "fin")

    trio.run(main)
    assert [seen.problem for seen in log.of(Request)] == [""]


def test_an_early_answer_may_keep_the_connection(road: Road) -> None:
    """The next request begins where the body ends, wherever the answer began."""
    early, last = read_as(Reading(most=1000), how=Ending.KEEP), FORMS["chunked"]

    async def main() -> None:
        async with connected(road, Facts(), early, last) as client:
            await client.send(UPLOAD[: HEAD_END + 5000])
            assert await read_exactly(client, len(wire_of(early))) == wire_of(early)
            await client.send(UPLOAD[HEAD_END + 5000 :] + post())
            assert await read_all(client) == (wire_of(last), "fin")

    trio.run(main)


def test_a_rest_that_is_left_unread_makes_a_reset_of_every_close(road: Road) -> None:
    """The server answers and closes; a client that is still sending meets the RST that a kernel would send."""
    script = read_as(Reading(most=1000, rest=False))

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            await client.send(UPLOAD)
            met = await read_all(client)
            assert wire_of(script).startswith(met.data)
            assert met.end == "reset"

    trio.run(main)


@pytest.mark.parametrize("how", [Ending.RST, Ending.ABORT])
def test_an_upload_can_be_reset_in_the_middle(how: Ending, road: Road) -> None:
    """Not a byte of an answer, and an RST while the body is on its way."""
    script = read_as(Reading(most=20_000, rest=False), CutWire(0, how))
    log = Facts()

    async def main() -> None:
        async with connected(road, log, script) as client:
            await client.send(UPLOAD[:30_000])
            assert await read_all(client) == (b"", "reset")

    trio.run(main)
    assert len(log.of(Request)) == 1
    assert log.of(Sent) == []


def test_an_upload_can_be_read_slowly(road: Road) -> None:
    """The answer does not begin before the body has been read at its rate, even if it came at once."""
    script = read_as(Reading(rate=200_000))

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            begun = trio.current_time()
            await client.send(UPLOAD)
            assert (await read_all(client)).data == wire_of(script)
            assert trio.current_time() - begun >= len(UPLOAD[HEAD_END:]) / 200_000

    trio.run(main)


EXPECTING = post().replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
EXPECTING_HEAD = EXPECTING[: EXPECTING.index(b"\r\n\r\n") + 4]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_client_that_asks_is_told_to_go_on(road: Road) -> None:
    """100 as soon as the head is read, the answer behind the body."""
    script = read_as(Reading())

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            await client.send(EXPECTING_HEAD)
            assert await client.receive() == CONTINUE
            await client.send(EXPECTING[len(EXPECTING_HEAD) :])
            assert await read_all(client) == (wire_of(script), "fin")

    trio.run(main)


def test_a_server_may_never_say_continue(road: Road) -> None:
    """The client waits in vain, sends its body without the word, and gets its answer without it."""
    script = read_as(Reading(expect=Expectation.SILENCE))

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            await client.send(EXPECTING_HEAD)
            with trio.move_on_after(0.05) as silence:
                await client.receive()
            assert silence.cancelled_caught
            await client.send(EXPECTING[len(EXPECTING_HEAD) :])
            assert await read_all(client) == (wire_of(script), "fin")

    trio.run(main)


def test_a_server_may_refuse_a_body_before_it_is_sent(road: Road) -> None:
    """The final head is the first word, and the body is not waited for."""
    script = read_as(Reading(expect=Expectation.FINAL))

    async def main() -> None:
        async with connected(road, Facts(), script) as client:
            await client.send(EXPECTING_HEAD)
            assert await read_all(client) == (wire_of(script), "fin")

    trio.run(main)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_every_form_has_its_line_on_the_page() -> None:
    """docs/reference/wire-forms.md lists the forms that are tested here, each by its name, and no others."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == [*FORMS, *KEPT, "stale", *OTHERS]


OTHERS = (
    "early-answer",
    "rest-unread",
    "reset-mid-upload",
    "slow-reading",
    "expect-continue",
    "expect-silence",
    "expect-final",
)
