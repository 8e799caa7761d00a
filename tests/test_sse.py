"""The reference parser keeps the WHATWG standard in every cut, and what the encoder writes comes back from it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.sse import Event, Parser, as_received, comment, event


class Case(NamedTuple):
    """What is sent, what is dispatched, and the state that stays behind."""

    sent: bytes
    events: tuple[Event, ...] = ()
    last_event_id: str = ""
    retry: int | None = None
    invalid_at: int | None = None
    unfinished: bool = False


def message(data: str, id: str = "", *, type: str = "message", intact: bool = True) -> Event:
    return Event(type, data, id, intact)


# The names say which sentence of the standard a case stands for.
CASES = {
    "a blank line dispatches": Case(b"data: a\n\n", (message("a"),)),
    "lines end with LF": Case(b"data: a\ndata: b\n\n", (message("a\nb"),)),
    "lines end with CR": Case(b"data: a\rdata: b\r\r", (message("a\nb"),)),
    "lines end with CRLF": Case(b"data: a\r\ndata: b\r\n\r\n", (message("a\nb"),)),
    "line ends may be mixed": Case(b"data: a\rdata: b\r\ndata: c\n\r", (message("a\nb\nc"),)),
    "CR LF is one line end and CR CR LF are two": Case(b"data: a\r\r\ndata: b\n\n", (message("a"), message("b"))),
    "LF CR is two line ends": Case(b"data: a\n\rdata: b\n\n", (message("a"), message("b"))),
    "other separators of Unicode end no line": Case(
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(), (message("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"),)
    ),
    "one leading byte order mark is dropped": Case(b"\xef\xbb\xbfdata: a\n\n", (message("a"),)),
    "a second byte order mark is part of the name": Case(
        b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", (message("b"),)
    ),
    "a later byte order mark is text": Case(b"data: \xef\xbb\xbfa\n\n", (message("\ufeffa"),)),
    "a byte order mark in a later line is part of the name": Case(b"\n\xef\xbb\xbfdata: a\n\n"),
    "a byte order mark alone is an empty line": Case(b"\xef\xbb\xbf\ndata: a\n\n", (message("a"),)),
    "exactly one space is stripped": Case(b"data:  a \n\n", (message(" a "),)),
    "no space needs to be there": Case(b"data:a\n\n", (message("a"),)),
    "a tab is no space": Case(b"data:\ta\n\n", (message("\ta"),)),
    "only the first colon separates": Case(b"data: a:b: c\n\n", (message("a:b: c"),)),
    "a colon alone is a comment": Case(b":\n\ndata: a\n\n", (message("a"),)),
    "comments are ignored": Case(b": data: no\ndata: a\n:no\n\n", (message("a"),)),
    "a comment and a blank line dispatch nothing": Case(b"id: 1\n\n: ping\n\n", last_event_id="1"),
    "a field without colon has an empty value": Case(b"data\n\n", (message(""),)),
    "two empty data lines are one line end": Case(b"data\ndata\n\n", (message("\n"),)),
    "an empty data line counts": Case(b"data:\n\n", (message(""),)),
    "a data line after an empty one keeps the line end": Case(b"data:\ndata: a\n\n", (message("\na"),)),
    "no data dispatches nothing and forgets the name": Case(b"event: x\n\ndata: a\n\n", (message("a"),)),
    "an event name is used once": Case(b"event: x\ndata: a\n\ndata: b\n\n", (message("a", type="x"), message("b"))),
    "the last event name wins": Case(b"event: x\nevent: y\ndata: a\n\n", (message("a", type="y"),)),
    "an empty event name is message": Case(b"event: x\nevent\ndata: a\n\n", (message("a"),)),
    "the name may follow the data": Case(b"data: a\nevent: x\n\n", (message("a", type="x"),)),
    "names are compared with case": Case(b"Data: a\n\nDATA: b\n\n"),
    "names are compared with spaces": Case(b" data: a\n\ndata : b\n\n"),
    "unknown fields are ignored": Case(b"error: x\ndata: a\n{}\n\n", (message("a"),)),
    "an id is sticky": Case(b"id: 1\ndata: a\n\ndata: b\n\n", (message("a", "1"), message("b", "1")), "1"),
    "an id stands though no event is dispatched": Case(b"id: 1\n\ndata: a\n\n", (message("a", "1"),), "1"),
    "an empty id resets it": Case(b"id: 1\ndata: a\n\nid\ndata: b\n\n", (message("a", "1"), message("b"))),
    "an id with NUL is ignored": Case(b"id: 1\n\nid: 2\x003\ndata: a\n\n", (message("a", "1"),), "1"),
    "an id keeps its second space": Case(b"id:  1 \ndata: a\n\n", (message("a", " 1 "),), " 1 "),
    "an id of an unterminated block is not committed": Case(
        b"id: 1\ndata: a\n\nid: 2\n", (message("a", "1"),), "1", unfinished=True
    ),
    "NUL in data is data": Case(b"data: a\x00b\n\n", (message("a\0b"),)),
    "retry is digits": Case(b"retry: 1500\n\n", retry=1500),
    "retry counts at once": Case(b"retry: 1500\n", retry=1500),
    "the last valid retry wins": Case(b"retry: 1\nretry: 2\nretry: x\n\n", retry=2),
    "retry takes no sign": Case(b"retry: +1\nretry: -1\n\n"),
    "retry takes no fraction": Case(b"retry: 1.5\nretry: 1e3\n\n"),
    "retry takes no second space": Case(b"retry:  1\nretry: 1 \n\n"),
    "retry takes no digits of other scripts": Case("retry: ١٢\nretry: ²\n\n".encode()),
    "an empty retry is none": Case(b"retry\nretry:\n\n"),
    "zeros before a retry count for nothing": Case(b"retry: 000000000000000000007\n\n", retry=7),
    "a retry beyond all bounds is a long time": Case(b"retry: " + b"9" * 5000 + b"\n\n", retry=10**15),
    "an unterminated block is discarded": Case(b"data: a\n\ndata: b\n", (message("a"),), unfinished=True),
    "an unterminated line is discarded": Case(b"data: a\n\ndata: b", (message("a"),), unfinished=True),
    "an unterminated comment is unfinished too": Case(b": ping", unfinished=True),
    "invalid UTF-8 becomes U+FFFD": Case(b"data: \xff!\n\n", (message("\ufffd!", intact=False),), invalid_at=6),
    "a UTF-8 sequence cut short by a line end is replaced": Case(
        b"data: \xf0\x9f\x98\n\n", (message("\ufffd", intact=False),), invalid_at=6
    ),
    "one U+FFFD for each maximal part": Case(
        b"data: \xf0\x80\x80\x41\xe2\x82\n\n", (message("\ufffd\ufffd\ufffdA\ufffd", intact=False),), invalid_at=6
    ),
    "surrogates are invalid UTF-8": Case(
        b"data: \xed\xa0\x80\n\n", (message("\ufffd\ufffd\ufffd", intact=False),), invalid_at=6
    ),
    "only the event with the invalid bytes is not intact": Case(
        b"\xef\xbb\xbfdata: a\n\ndata: \xc0\n\ndata: b\xc1\n\ndata: c\n\n",
        (message("a"), message("\ufffd", intact=False), message("b\ufffd", intact=False), message("c")),
        invalid_at=18,
    ),
    "invalid UTF-8 in a comment is met too": Case(b"\r\n: \xfe\n\ndata: a\n\n", (message("a"),), invalid_at=4),
    "invalid UTF-8 in a comment taints its block": Case(
        b": \xfe\ndata: a\n\n", (message("a", intact=False),), invalid_at=2
    ),
    "characters of four bytes are whole": Case("data: 👩‍👩‍👧\n\n".encode(), (message("👩‍👩‍👧"),)),
    "an empty stream is empty": Case(b""),
    "blank lines are nothing": Case(b"\n\r\n\r\n\n\r"),
}


def run(pieces: Iterable[bytes]) -> Case:
    """Parse `pieces` and describe what came of it as a case without its bytes."""
    parser = Parser()
    events = tuple(dispatched for piece in pieces for dispatched in parser.feed(piece))
    return Case(b"", events, parser.last_event_id, parser.retry, parser.invalid_at, parser.unfinished)


def by_size(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_case_in_every_cut(case: Case) -> None:
    """A case gives its events whole, in pieces of 1 and 2 bytes, and split in two at every position."""
    expected = case._replace(sent=b"")
    assert expected == run([case.sent])
    assert expected == run(by_size(case.sent, 1))
    assert expected == run(by_size(case.sent, 2))
    for cut in range(len(case.sent) + 1):
        assert expected == run([case.sent[:cut], b"", case.sent[cut:]])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_trailing_bytes_change_nothing_before_them(case: Case) -> None:
    """What was dispatched stays dispatched, whatever follows it."""
    parsed = run([case.sent, b"\n\ndata: later\n\n"])
    assert case.events == parsed.events[: len(case.events)]
    assert parsed.events[-1].data == "later"


def test_a_complete_event_is_not_held_back() -> None:
    """A CR ends its line at once: the event is there before anyone knows whether an LF follows."""
    parser = Parser()
    assert parser.feed(b"data: a\r\r") == (message("a"),)
    assert parser.feed(b"\n") == ()
    assert parser.feed(b"data: b\r\n\r") == (message("b"),)
    assert not parser.unfinished


def test_end_of_stream_discards_the_block_and_keeps_the_id() -> None:
    """After eof the next bytes are a new stream: the byte order mark counts again, id and retry have survived."""
    parser = Parser()
    parser.feed(b"retry: 9\nid: 1\ndata: a\n\nid: 2\nevent: x\ndata: \xff\ndata: lost\r")
    assert (parser.last_event_id, parser.invalid_at, parser.unfinished) == ("1", 45, True)
    parser.eof()
    assert (parser.last_event_id, parser.retry, parser.invalid_at, parser.unfinished) == ("1", 9, None, False)
    assert parser.feed(b"\n\xef\xbb\xbf") == ()
    parser.eof()
    assert parser.feed(b"\xef\xbb\xbfdata: b\n\n") == (message("b", "1"),)


def test_a_reconnecting_reader_starts_with_its_id() -> None:
    """An event without an id carries the one that the client brought along."""
    parser = Parser(last_event_id="41")
    assert parser.feed(b"data: a\n\n") == (message("a", "41"),)


# --- against a naive reading of the standard --------------------------------------------------------------------------


def naive(data: bytes) -> tuple[Event, ...]:
    """Parse a whole stream as the standard's algorithm is written down, with no thought of pieces."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    events, buffer, type_buffer, id_buffer = [], "", "", ""
    for line in lines[:-1]:
        field, colon, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "":
            if buffer:
                events.append((type_buffer or "message", buffer[:-1], id_buffer))
            buffer = type_buffer = ""
        elif colon and not field:
            continue
        elif field == "data":
            buffer += value + "\n"
        elif field == "event":
            type_buffer = value
        elif field == "id" and "\0" not in value:
            id_buffer = value
    return tuple(Event(*fields) for fields in events)


FRAGMENTS = st.sampled_from(
    (b"data", b"event", b"id", b"retry", b"a", b"7", b"\0", b" ", b":", b": ", b"\n", b"\r", b"\r\n", b"\n\n")
) | st.sampled_from((b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xe2\x80\xa8", b"\xff", b"\xe2\x82", b"data: x\n\n"))
STREAMS = st.lists(FRAGMENTS | st.binary(max_size=3), max_size=40).map(b"".join)


@settings(deadline=None)
@given(STREAMS, st.lists(st.integers(0, 120), max_size=8))
@example(b"data: a\r\n\r\ndata: b\r", [9, 10])
def test_any_bytes_in_any_cut_agree_with_the_naive_parser(stream: bytes, cuts: list[int]) -> None:
    """Invariant: for any bytes in any cut, the events are those of the naive parser (and nothing is ever raised)."""
    bounds = sorted({0, *(min(cut, len(stream)) for cut in cuts), len(stream)})
    parser = Parser()
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    events = [dispatched for piece in pieces for dispatched in parser.feed(piece)]
    assert naive(stream) == tuple(Event(e.type, e.data, e.id) for e in events)


@settings(deadline=None)
@given(STREAMS)
def test_intact_means_valid_utf8(stream: bytes) -> None:
    """Invariant: `invalid_at` is the first invalid byte of the complete lines, or None if there is none."""
    parser = Parser()
    parser.feed(stream)
    complete = stream[: max(stream.rfind(b"\n"), stream.rfind(b"\r")) + 1]
    try:
        complete.decode()
        invalid_at = None
    except UnicodeDecodeError as error:
        invalid_at = error.start
    assert invalid_at == parser.invalid_at


# --- linear time ------------------------------------------------------------------------------------------------------


def seconds_for(stream: bytes) -> float:
    parser = Parser()
    begin = time.process_time()
    for piece in by_size(stream, 1460):
        parser.feed(piece)
    dispatched = parser.feed(b"\ndata: end\n\n")
    assert dispatched[-1].data.endswith("end")
    return time.process_time() - begin


@pytest.mark.parametrize(
    "unit", [b"x", b"a\ndata: ", b"data: x\n\n", b"\xff"], ids=["line", "lines", "events", "invalid"]
)
def test_time_is_linear_in_the_bytes(unit: bytes) -> None:
    """8 MiB in pieces of 1460 bytes take some eight times as long as 1 MiB; a quadratic parser takes 64 times."""
    small, large = (b"data: " + unit * (size // len(unit)) for size in (2**20, 2**23))
    # A floor under the small time: at a millisecond, the clock's own grain would decide.
    fast = max(min(seconds_for(small) for _ in range(3)), 0.005)
    assert seconds_for(large) < 30 * fast


# --- encoder ----------------------------------------------------------------------------------------------------------

LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=10)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n \u2028:"), max_size=30)


@settings(deadline=None)
@given(
    TEXTS,
    st.none() | LINES,
    st.none() | LINES.filter(lambda value: "\0" not in value),
    st.none() | st.integers(0, 10**9),
)
def test_an_encoded_event_comes_back(data: str, type: str | None, id: str | None, retry: int | None) -> None:
    """Invariant: what the encoder writes, the parser dispatches as one event, with every line end turned into LF."""
    parser = Parser()
    assert parser.feed(event(data, type, id, retry)) == (Event(type or "message", as_received(data), id or ""),)
    assert (parser.retry, parser.unfinished) == (retry, False)


@settings(deadline=None)
@given(TEXTS)
def test_a_comment_is_never_an_event(text: str) -> None:
    """Invariant: a comment dispatches nothing and leaves nothing behind, whatever its text."""
    parser = Parser()
    assert parser.feed(comment(text)) == ()
    assert not parser.unfinished
    assert parser.feed(event("a")) == (message("a"),)


def test_the_bytes_of_an_event() -> None:
    """Fields stand in a fixed order, each value behind one space."""
    assert event("a\r\nb\rc\n", "tick", "7", 100) == (
        b"event: tick\nid: 7\nretry: 100\ndata: a\ndata: b\ndata: c\ndata: \n\n"
    )
    assert event("") == b"data: \n\n"
    assert comment() == b": \n\n"
    assert comment("a\nb") == b": a\n: b\n\n"


@pytest.mark.parametrize("text", ["a", " a", "  a", " ", "\ta", "a\n b", ""])
def test_without_the_space_behind_the_colon_the_text_stays_whole(text: str) -> None:
    """The one space that a receiver takes away is there where the text itself begins with one."""
    assert Parser().feed(event(text, id=" 7", space="")) == (message(text, " 7"),)


@pytest.mark.parametrize("name", ["event", "id"])
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_end_cannot_smuggle_a_field_in(name: str, end: str) -> None:
    """An event name or id with a line end is refused, and the message shows it."""
    with pytest.raises(UsageError) as raised:
        event("a", **{name: f"x{end}data: y"})  # type: ignore[arg-type]
    assert str(raised.value) == f"event: {name} is {f'x{end}data: y'!r}; it must not hold a line end"


def test_half_a_surrogate_pair_is_refused() -> None:
    """Text that has no UTF-8 is the tester's mistake, and the message says what to use instead."""
    with pytest.raises(UsageError) as raised:
        event("ab\ud83d")
    assert str(raised.value) == (
        "text: character 8 is the lone surrogate '\\ud83d', which UTF-8 cannot carry; "
        "to send broken UTF-8, use a raw step or a replace fault"
    )
