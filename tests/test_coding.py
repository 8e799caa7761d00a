"""Content codings: what is flushed can be read, what is held back is cut where a decoder has it, and nothing is claimed
before it is there.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import accumulate

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from testbed import coding as codings
from testbed.adapters import load
from testbed.oracle import Verdict, judge
from testbed.oracle.connections import Tier, connections
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.program import Write, compile_script, layout
from testbed.runner import engine, run
from testbed.script import (
    Coding,
    CutWire,
    DialectName,
    Done,
    Ending,
    Finish,
    Flush,
    Framing,
    Head,
    Message,
    Open,
    Script,
    Step,
    Text,
)
from testbed.trace import ClientProfile, Clock, Header, Opened, Raised, Request, Sent, Started, Trace, Wrapping
from tests.coding import decoded
from tests.net.support import plan_of

CODED = [coding for coding in Coding if coding is not Coding.IDENTITY]
PIECES = st.lists(st.binary(min_size=1, max_size=200) | st.sampled_from([b"data: token\n\n", bytes(5000)]), max_size=8)
HEADER = Header(plan="", engine="", clock=Clock.VIRTUAL, client=ClientProfile(name="raw", dialects=()))


@settings(deadline=None)
@given(st.sampled_from(CODED), PIECES)
def test_what_is_flushed_can_be_read(coding: Coding, pieces: list[bytes]) -> None:
    """Invariant: with the bytes of a piece its text is there, neither more nor less; the end is the coding's own."""
    *coded, tail = codings.flushed(coding, pieces)
    for number in range(1, len(pieces) + 1):
        assert decoded(coding, b"".join(coded[:number])) == b"".join(pieces[:number])
    assert tail
    assert decoded(coding, b"".join(coded) + tail) == b"".join(pieces)


@settings(deadline=None)
@given(st.sampled_from(CODED), PIECES)
def test_what_is_held_back_is_cut_where_a_decoder_has_it(coding: Coding, pieces: list[bytes]) -> None:
    """Invariant: the pieces lose no byte; each is there with its last one and not with one less."""
    *coded, tail = codings.held_back(coding, pieces)
    assert len(coded) == len(pieces)
    assert decoded(coding, b"".join(coded) + tail) == b"".join(pieces)
    for number, size in enumerate(accumulate(map(len, pieces)), 1):
        there = b"".join(coded[:number])
        assert len(decoded(coding, there)) >= size
        assert not coded[number - 1] or len(decoded(coding, there[:-1])) < size


@pytest.mark.parametrize("coding", CODED)
def test_equal_bodies_have_equal_codings(coding: Coding) -> None:
    """Nothing of the day or of the process is in them."""
    pieces = [b"data: a\n\n", b"data: b\n\n"]
    assert list(codings.flushed(coding, pieces)) == list(codings.flushed(coding, pieces))
    assert list(codings.held_back(coding, pieces)) == list(codings.held_back(coding, pieces))
    if coding is Coding.GZIP:
        assert b"".join(codings.flushed(coding, pieces))[4:8] == bytes(4)  # the time of modification (RFC 1952)


TEXTS = st.lists(st.text('ab{}":,é0123456789', max_size=30), min_size=1, max_size=5)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(CODED), st.sampled_from(Flush), TEXTS)
def test_the_oracle_gives_no_step_before_a_decoder_does(coding: Coding, flush: Flush, texts: list[str]) -> None:
    """Invariant: with a byte less than the tier LINE asks for, the data line is not there; with EVENT, all of it is."""
    steps: tuple[Step, ...] = (Head(coding=coding, flush=flush), *map(Message, texts))
    script = Script(DialectName.EVENTSOURCE, steps)
    writes = [one for one in compile_script(script) if isinstance(one, Write)]
    (connection,) = connections(plan_of(script), Trace(HEADER, (Opened(0, 0), *_sent(writes))))
    lines = list(accumulate(len(f"data: {text}\n\n".encode()) for text in texts))
    assert [span.step for span in connection.body] == list(range(1, len(steps)))
    for span, end in zip(connection.body, lines, strict=True):
        assert len(_text(coding, writes, span.needs(Tier.LINE) - 1)) < end - 2
        assert len(_text(coding, writes, span.needs(Tier.EVENT))) >= end
        assert span.needs(Tier.LINE) <= span.needs(Tier.EVENT) <= span.needs(Tier.CHUNK)


def _sent(writes: list[Write]) -> list[Sent]:
    starts = accumulate((len(write.data) for write in writes), initial=0)
    return [
        Sent(
            t=0, conn=0, step=write.step, wire=(start, start + len(write.data)),
            payload=(start + write.payload[0], start + write.payload[1]), body=write.body, ends_step=write.ends_step,
        )
        for write, start in zip(writes, starts, strict=False)
    ]  # fmt: skip


def _text(coding: Coding, writes: list[Write], wire: int) -> bytes:
    """What a decoder has with so many bytes of the wire."""
    body = b""
    for write in writes:
        there = write.data[: max(wire, 0)]
        body += there[slice(*write.payload)]
        wire -= len(write.data)
    return decoded(coding, body)


STREAM: tuple[Step, ...] = (Open(), Text("Hello"), Text(", wörld"), Finish(), Done())
HOW = st.sampled_from((Ending.FIN, Ending.RST, Ending.ABORT))


# Anywhere, and often near the end, where a byte decides whether the last event can be read.
PLACE = st.floats(0, 1) | st.floats(0.75, 0.98)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(CODED), st.sampled_from(Flush), st.sampled_from(Framing), HOW, PLACE)
@example(Coding.GZIP, Flush.EVENT, Framing.CLOSE, Ending.FIN, 0.86)
@example(Coding.ZSTD, Flush.END, Framing.CHUNKED, Ending.RST, 0.97)
def test_no_cut_of_a_coded_stream_accuses_a_right_client(
    coding: Coding, flush: Flush, framing: Framing, how: Ending, place: float
) -> None:
    """Invariant: wherever the bytes end, the oracle expects of a decoding client what its decoder can have."""
    whole = Script(DialectName.OPENAI_CHAT, (Head(coding=coding, flush=flush, framing=framing), *STREAM))
    found = layout(whole)
    at = found.head + round(place * (found.wire - found.head))
    cut = msgspec.structs.replace(whole, faults=(CutWire(at, how),))
    plan = Plan("cut", (Attempt(cut),), ClientSettings(idle_timeout=5.0))
    judged = judge(plan, run(plan, engine("simulated"), load("reference")))
    assert judged.findings == ()
    assert judged.verdict in {Verdict.PASS, Verdict.LENIENT}


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("gzip, deflate", False),
        ("gzip, deflate, zstd", True),
        ("gzip;q=0.5, ZSTD; q=1.0", True),
        ("zstd;q=0", False),
        ("zstd; q=0.0, gzip", False),
        ("*", True),
        ("gzip, *;q=0", False),
        ("", False),
    ],
)
def test_a_client_is_asked_nothing_in_a_coding_that_it_does_not_accept(field: str, accepted: bool) -> None:
    """What it makes of such an answer is no mistake of its own: the run is UNSUPPORTED, and says why."""
    script = Script(DialectName.OPENAI_CHAT, (Head(coding=Coding.ZSTD), *STREAM))
    request = Request(0, 0, "POST", "/v1/chat/completions", accepts=field)
    facts = (Started(0), Opened(0, 0), request, Raised(1, "x", "", (), Wrapping.BUG))
    judged = judge(plan_of(script), Trace(HEADER, facts))
    assert (judged.verdict is not Verdict.UNSUPPORTED) is accepted
    if not accepted:
        assert judged.reason == "raw does not accept zstd, in which attempt 0 is compressed"


def test_a_library_that_is_missing_is_named() -> None:
    """Whoever asks for br without its package is told how to get it."""
    code = (
        "import sys; sys.modules['brotli'] = None\n"
        "from testbed.coding import make_coder\nfrom testbed.script import Coding\nmake_coder(Coding.BR)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert answer.stderr.strip().endswith(
        "UsageError: head: coding br needs the package brotli: pip install 'stream-testbed[codings]'"
    )
