"""Where one exchange on a connection ends and the next one begins.

The law of this module: an exchange is a request with its answer, and every observation of its connection belongs to
exactly one of them, in the order of the trace; nothing is judged here, and nothing is counted.

A connection that is kept carries several::

    client   ──request──▶             ──request──▶              ──request──▶
    server               ◀──answer──              ◀──answer──                ◀──RST
             └────── exchange 0 ─────┘└────── exchange 1 ──────┘└── stale: no answer ──┘

The last of them shows what a stale connection is: its answer had said that the connection is kept, and the first byte
of another request is answered by a reset. No server has read that request, and so no attempt of the plan was played.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from testbed.faults.toxics import Direction
from testbed.script import Ending
from testbed.trace import Delivered, LinkReset, Observation, Request, ServerEnd


def exchanges_of(mine: Sequence[Observation]) -> tuple[tuple[Observation, ...], ...]:
    """Cut the observations of one connection into its exchanges; of most connections there is one."""
    cuts = [0, *_beginnings(mine), len(mine)]
    return tuple(tuple(mine[first:last]) for first, last in pairwise(cuts))


def _beginnings(mine: Sequence[Observation]) -> Iterator[int]:
    """Where the second exchange and those behind it begin."""
    requests = [place for place, seen in enumerate(mine) if isinstance(seen, Request)]
    for before, request in pairwise(requests):
        yield _first_byte(mine, before, request)
    if requests and (stale := _struck(mine, requests[-1])) is not None:
        yield stale


def _first_byte(mine: Sequence[Observation], before: int, request: int) -> int:
    """The first byte of the request that was read at `request`, sent when the answer to the one `before` was over."""
    # What comes before the end of an answer can still be the body of its own request: a server may answer early.
    ended = next((place for place in range(before, request) if isinstance(mine[place], ServerEnd)), request)
    return next((place for place in range(ended, request) if _is_upstream(mine[place])), request)


def _struck(mine: Sequence[Observation], last: int) -> int | None:
    """Where a request began that met a stale connection; None if none did."""
    ended = next((place for place in range(last, len(mine)) if isinstance(mine[place], ServerEnd)), None)
    if ended is None or getattr(mine[ended], "how", None) is not Ending.STALE:
        return None
    # Bytes alone are no request: under TLS a client that leaves says goodbye. The reset is the server's answer to one.
    first = next((place for place in range(ended, len(mine)) if _is_upstream(mine[place])), None)
    if first is None or not any(_is_reset(seen) for seen in mine[first:]):
        return None
    return first


def _is_upstream(seen: Observation) -> bool:
    return isinstance(seen, Delivered) and seen.direction is Direction.UPSTREAM


def _is_reset(seen: Observation) -> bool:
    return isinstance(seen, LinkReset) and seen.direction is Direction.DOWNSTREAM
