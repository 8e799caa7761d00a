"""The request parser: the same requests out of the same bytes, however they are cut, and bounds on all of them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import HarnessError
from testbed.net.http_request import IncomingRequest, Malformed, PeerGone, RequestParser

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3;x=y\r\ntwo\r\n0\r\nT: 1\r\n\r\n"
)
OLD = b"GET /o HTTP/1.0\r\nConnection: close\r\n\r\n"
STREAM = GET + POST + CHUNKED + OLD + POST
SEEN = [
    ("GET", "/a?b=1", "1.1", b""),
    ("POST", "/p", "1.1", b"hello"),
    ("PUT", "/c", "1.1", b"onetwo"),
    ("GET", "/o", "1.0", b""),
    ("POST", "/p", "1.1", b"hello"),
]


def taken(parser: RequestParser) -> list[IncomingRequest]:
    """Take whatever is whole."""
    found = []
    while (request := parser.take()) is not None:
        found.append(request)
    return found


@settings(deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=6))
def test_requests_do_not_depend_on_how_they_are_cut(cuts: list[int]) -> None:
    """Invariant: one request after the other, the same ones, for every way of cutting their bytes."""
    parser = RequestParser()
    found = []
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    for start, end in pairwise(edges):
        parser.feed(STREAM[start:end])
        found += taken(parser)
    assert [(one.method, one.target, one.version, one.body) for one in found] == SEEN
    assert all(one.whole and one.answered == 0 for one in found)
    assert parser.idle


def test_requests_come_byte_by_byte() -> None:
    """The smallest pieces give the same, and each request is there with its last byte."""
    parser = RequestParser()
    ends = []
    for place in range(len(STREAM)):
        parser.feed(STREAM[place : place + 1])
        ends += [place + 1] * len(taken(parser))
    sizes = [len(GET), len(POST), len(CHUNKED), len(OLD), len(POST)]
    assert ends == [sum(sizes[: number + 1]) for number in range(5)]


def test_a_request_is_seen_as_it_comes() -> None:
    """The head is there before the body, and what came of the body can be had."""
    parser = RequestParser()
    assert parser.idle
    with pytest.raises(HarnessError, match="no head yet"):
        parser.so_far()
    parser.feed(POST[:10])
    assert (parser.take(), parser.head, parser.idle) == (None, None, False)
    parser.feed(POST[10:-2])
    assert parser.take() is None
    assert parser.head is not None
    assert (parser.head.path, parser.head.body, parser.received) == ("/p", b"", 3)
    assert parser.so_far()._asdict() == {**parser.head._asdict(), "body": b"hel", "whole": False}


def test_a_body_can_be_forgotten() -> None:
    """Its end is still found, so that the next request begins where it does."""
    parser = RequestParser(most_body=10)
    parser.feed(POST[:-2])
    parser.take()
    parser.forget()
    parser.feed(POST[-2:] + GET)
    assert [one.body for one in taken(parser)] == [b"", b""]


@pytest.mark.parametrize(
    ("head", "body", "waits"),
    [
        (b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", b"", True),
        (b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", b"x", False),
        (b"Content-Length: 2\r\n\r\n", b"", False),
        (b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", b"", True),
    ],
)
def test_whether_a_client_waits_to_be_told(head: bytes, body: bytes, waits: bool) -> None:
    """It does if it says so and has not begun with its body; once told it waits no more."""
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nHost: t\r\n" + head + body)
    parser.take()
    assert parser.wants_continue is waits
    assert parser.continued() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not parser.wants_continue


@pytest.mark.parametrize("part", [b"", GET[:-1], POST[:-1], CHUNKED[:-1]])
def test_an_end_in_the_middle_is_no_request(part: bytes) -> None:
    """What is not whole when the peer has gone never will be; what is, is taken first."""
    parser = RequestParser()
    parser.feed(GET + part)
    parser.eof()
    assert parser.take() is not None
    with pytest.raises(PeerGone) as raised:
        parser.take()
    assert not raised.value.reset


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300, 431),
        (b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ],
)
def test_bounds(data: bytes, status: int) -> None:
    """Head and body are bounded, a declared length before its first byte came; a wrong request stays wrong."""
    parser = RequestParser(most_head=200, most_body=10)
    parser.feed(data)
    for _ in range(2):
        with pytest.raises(Malformed) as raised:
            parser.take()
        assert raised.value.status == status
        assert str(raised.value)


PIECES = st.lists(st.sampled_from([GET, POST, CHUNKED, b"\r\n", b"\x00", b"GET ", b": ", b"0\r\n\r\n"]), max_size=8)


@settings(deadline=None, max_examples=300)
@given(PIECES.map(b"".join), st.integers(0, 400), st.binary(max_size=3), st.integers(1, 50))
def test_whatever_comes_is_a_request_or_malformed(data: bytes, at: int, change: bytes, size: int) -> None:
    """Invariant: mutated bytes give requests, then at most one complaint in a sentence, and never another error."""
    parser = RequestParser(most_head=300, most_body=100)
    mutated = data[:at] + change + data[at + len(change) :]
    complaint = ""
    try:
        for place in range(0, len(mutated), size):
            parser.feed(mutated[place : place + size])
            taken(parser)
        parser.eof()
        taken(parser)
    except Malformed as malformed:
        complaint = f"{malformed.status} {malformed}"
    except PeerGone:
        return
    assert re.fullmatch("[45][0-9][0-9] .+", complaint)
