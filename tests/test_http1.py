"""The response writers are byte-exact, and h11 reads back what they say."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed import http1
from testbed.errors import HarnessError, UsageError

TOKENS = st.text("!#$%&'*+-.^_`|~abcXYZ019", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


def read_back(data: bytes) -> tuple[h11.Response, bytes]:
    """Let h11 parse a whole response to a GET."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "testbed")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    reader.receive_data(b"")
    head = reader.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += event.data
    return head, body


def test_a_head_is_byte_exact() -> None:
    """Status line, fields in the order given, empty line; nothing is added."""
    assert http1.head(200, [("B", "2"), http1.CHUNKED, ("A", "1"), http1.CLOSE]) == (
        b"HTTP/1.1 200 OK\r\nB: 2\r\nTransfer-Encoding: chunked\r\nA: 1\r\nConnection: close\r\n\r\n"
    )
    assert http1.head(204, []) == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(("status", "reason"), [(529, "Overloaded"), (413, "Content Too Large"), (299, "Unknown")])
def test_reasons_depend_on_no_python_version(status: int, reason: str) -> None:
    """Reason phrases come from our own table; a status that it lacks still has a phrase."""
    assert http1.head(status, []).startswith(f"HTTP/1.1 {status} {reason}\r\n".encode())


@pytest.mark.parametrize("size", [1, 9, 15, 16, 17, 255, 256, 4096, 65536])
def test_a_chunk_declares_its_size_in_hexadecimal(size: int) -> None:
    """A chunk is its size in lower-case hexadecimal, CRLF, the payload, CRLF."""
    assert http1.chunk(b"x" * size) == f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"


def test_an_empty_chunk_is_our_own_mistake() -> None:
    """An empty payload would end the message, so it is refused."""
    with pytest.raises(HarnessError, match="the payload is empty, and an empty chunk would end the message"):
        http1.chunk(b"")


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "é", "a\0"])
def test_a_header_name_is_a_token(name: str) -> None:
    """What is no token of HTTP cannot be a header name."""
    with pytest.raises(UsageError) as raised:
        http1.head(200, [(name, "x")])
    assert str(raised.value) == f"head: header name {name!r} is not a token of HTTP"


@pytest.mark.parametrize("value", ["a\r\nB: b", "a\n", "a\r", "\0", "é", "\x7f"])
def test_a_header_value_is_one_printable_line(value: str) -> None:
    """A value cannot smuggle in another field, and is ASCII."""
    with pytest.raises(UsageError) as raised:
        http1.head(200, [("A", value)])
    assert str(raised.value) == f"head: header A is {value!r}; a value must be printable ASCII on one line"


@settings(deadline=None)
@given(
    st.sampled_from(sorted(set(http1.REASONS) - http1.BODYLESS)),
    st.lists(st.tuples(TOKENS.map("x-{}".format), VALUES), max_size=5),
    st.lists(st.binary(min_size=1, max_size=300), max_size=5),
)
def test_h11_reads_a_chunked_message_back(status: int, fields: list[tuple[str, str]], payloads: list[bytes]) -> None:
    """Invariant: h11 finds the status, the fields in order and the body that were written."""
    head = http1.head(status, [http1.CHUNKED, *fields])
    response, body = read_back(head + b"".join(map(http1.chunk, payloads)) + http1.LAST_CHUNK)
    read = [(name.decode(), value.decode()) for name, value in response.headers.raw_items()]
    assert status == response.status_code
    assert [("Transfer-Encoding", "chunked"), *((name, value.strip(" ")) for name, value in fields)] == read
    assert b"".join(payloads) == body


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_h11_reads_a_declared_length_back(payload: bytes) -> None:
    """Invariant: a body of the declared length is read back whole."""
    _, body = read_back(http1.head(200, [http1.content_length(len(payload))]) + payload)
    assert payload == body


# --- illegal forms ----------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\n"


@pytest.mark.parametrize(
    ("at", "drop", "lines", "expected"),
    [
        (0, 0, b"x\n", b"x\n" + HEAD),
        (0, 1, b"", b"A: 1\r\nB: 2\r\na: 3\r\n\r\n"),
        (2, 1, b"C: 4\r\n", b"HTTP/1.1 200 OK\r\nA: 1\r\nC: 4\r\na: 3\r\n\r\n"),
        (-1, 1, b"", b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\na: 3\r\n"),
        (5, 0, b"x", HEAD + b"x"),
        (-5, 5, b"", b""),
    ],
)
def test_lines_of_a_head_are_put_in_and_left_out(at: int, drop: int, lines: bytes, expected: bytes) -> None:
    """Lines count from 0 at the status line and from -1 at the empty one; the place behind it is one, too."""
    assert http1.head_with_lines(HEAD, at, drop, lines) == expected


def test_lines_end_where_the_head_as_it_is_says() -> None:
    """A head whose lines end with LF alone still has lines; one that ends in the middle of a line has that one too."""
    assert http1.head_with_lines(b"S\nA: 1\n\n", 1, 1, b"B\n") == b"S\nB\n\n"
    assert http1.head_with_lines(b"S\r\nA", 1, 1, b"") == b"S\r\n"


def test_a_field_replaces_all_of_its_name() -> None:
    """Its values stand where the first one stood, or before the empty line if there was none."""
    assert http1.head_with_field(HEAD, "A", ["x", "y"]) == b"HTTP/1.1 200 OK\r\nA: x\r\nA: y\r\nB: 2\r\n\r\n"
    assert http1.head_with_field(HEAD, "A", []) == b"HTTP/1.1 200 OK\r\nB: 2\r\n\r\n"
    assert http1.head_with_field(HEAD, "C", ["\xff"]) == HEAD[:-2] + b"C: \xff\r\n\r\n"
    assert http1.head_with_field(b"", "C", ["x"]) == b"C: x\r\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("{size}", b"ff"),
        ("{size+1}", b"100"),
        ("{size-256}", b"-1"),
        ("{size:6}", b"0000ff"),
        ("{size+1:6};{size}", b"000100;ff"),
        ("{} {size", b"{} {size"),
    ],
)
def test_a_size_line_is_filled_in(text: str, written: bytes) -> None:
    """The size stands in hexadecimal, changed and padded as its placeholder says; anything else stays as it is."""
    assert http1.size_line(text, 255, "\n") == written + b"\n"


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        *((text, True) for text in ("a", "A", "000a", "a;x", "a;x=y", 'a;x="y;z"', "a ; x = y", "a;x;y=1")),
        *((text, False) for text in ("", "b", "-a", "0xa", "a ", " a", "a;", "a;=y", 'a;x="', "a;x=\x7f", "a\n", "a_")),
    ],
)
def test_what_a_legal_size_line_is(text: str, legal: bool) -> None:
    """Hexadecimal digits of the right value, and extensions as the grammar has them (RFC 9112, section 7.1)."""
    assert http1.is_size_line(text, 10) is legal


@settings(deadline=None)
@given(st.lists(st.tuples(TOKENS, VALUES), max_size=5))
def test_what_the_legal_writer_writes_is_legal(fields: list[tuple[str, str]]) -> None:
    """Invariant: the field lines of a legal head are judged legal."""
    assert http1.are_field_lines(http1.head(200, fields).partition(b"\r\n")[2].removesuffix(b"\r\n"))
