"""The reference parser agrees with the web platform's own tests of EventSource parsing.

What each of those tests sends and expects is collected in ``data/wpt_eventsource.json``, with the file that it is from.
The stream is what their server writes, trailing newlines included.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.sse import Event, Parser

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "wpt_eventsource.json").read_text())["cases"]


def named(case: dict[str, Any]) -> str:
    return f"{case['source'].rpartition('/')[2]}: {case['about']}"


def parsed(*pieces: bytes) -> tuple[list[Event], Parser]:
    parser = Parser()
    return [event for piece in pieces for event in parser.feed(piece)], parser


def check(case: dict[str, Any], *pieces: bytes) -> None:
    seen, parser = parsed(*pieces)
    assert [[event.type, event.data, event.id] for event in seen] == case["events"]
    assert parser.last_event_id == case.get("last_event_id", "")
    assert parser.retry == case.get("retry")
    assert parser.unfinished is case.get("unfinished", False)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_whole(case: dict[str, Any]) -> None:
    """In one piece."""
    check(case, case["stream"].encode())


@pytest.mark.parametrize("case", CASES, ids=named)
def test_byte_by_byte(case: dict[str, Any]) -> None:
    """Every byte a piece of its own."""
    stream = case["stream"].encode()
    check(case, *(stream[index : index + 1] for index in range(len(stream))))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_cut_in_two_at_every_position(case: dict[str, Any]) -> None:
    """Two pieces, wherever the cut is."""
    stream = case["stream"].encode()
    for cut in range(len(stream) + 1):
        check(case, stream[:cut], stream[cut:])
