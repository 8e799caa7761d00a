"""One connection as the wire saw it, put together from the observations of server and link.

The law of this module: facts only, each with its time, none judged. Byte counts are wire bytes of the downstream
direction unless a name says otherwise; which of them belong to which step stands in the server's own annotations, so
nothing is encoded again. What is judged is one exchange, and a connection that is kept carries several: each of them is
a connection like any other here, with the byte numbers of the one that carries it and nothing of the other exchanges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile
from typing import NamedTuple, TypeVar, final

import msgspec

from testbed.dialects import DIALECTS
from testbed.faults.toxics import Direction
from testbed.oracle.exchanges import exchanges_of
from testbed.oracle.refusals import as_steps, by_quota, refusal
from testbed.oracle.spans import Span, Tier, span_of
from testbed.plan import Attempt, Plan
from testbed.script import Coding, Comment, DialectName, Head, Ping
from testbed.trace import (
    ClientLeft,
    Delivered,
    Farewell,
    LinkEof,
    LinkReset,
    Observation,
    Opened,
    PeerLeft,
    Presented,
    Request,
    Secured,
    Sent,
    ServerEnd,
    Trace,
)

# Where a step stands is defined next door, and read from here.
__all__ = ["Connection", "Span", "Tier", "connections", "exchanges"]

T = TypeVar("T", bound=Observation)


_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@final
@dataclass(frozen=True)
class Connection:
    """The facts of one connection, or of one exchange on it.

    `attempt` is what struck and sealed the connection, with the script that was played on it: toxics and TLS go by the
    number of the connection, scripts by that of the request.
    """

    number: int
    attempt: Attempt
    opened: int  # of a later exchange on it: when the first byte of its request was handed on
    place: int  # where in the trace that stands
    sent: tuple[Sent, ...]
    # Ascending in both, so that a bisection answers every question about time and bytes.
    arrivals: tuple[tuple[int, int], ...]  # (time, wire bytes so far) at the client's side of the network
    # How it ended, as the network handed it on to the client, and as the server meant it.
    eof: int | None
    reset: LinkReset | None
    left: int | None  # when the network saw the client go
    gone: int | None  # when the server saw it
    ended: ServerEnd | None
    requested: int | None
    problem: str
    # What the client itself did.
    asked: int | None  # when the last byte of the request was handed on
    method: str = ""
    resumes: str = ""  # what the client said it has already
    says: bool = False  # whether that is known: of a request that nobody read, and in an older trace, it is not
    wait: int = -1  # what a quota told the client to wait
    played: int = 0  # whose script answered, by its place in the plan
    # Which exchange this is of a connection that was kept, and the wire byte at which its answer begins.
    part: int = 0
    base: int = 0
    # Under TLS: the byte by which the client has the certificate, the server's word on the handshake, and its farewell.
    presented: int | None = None
    secured: Secured | None = None
    farewell: Farewell | None = None

    @property
    def name(self) -> str:
        """What a finding calls it."""
        return f"connection {self.number}" + (f" (request {self.part + 1} on it)" if self.part else "")

    @property
    def dialect(self) -> DialectName:
        """The dialect of its script."""
        return self.attempt.script.dialect

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Every step that put bytes on the wire, in order."""
        # A step may be many writes (a split, several events), and always contiguous ones.
        grouped: dict[int, list[Sent]] = {}
        for sent in self.sent:
            # Step -1 is framing that belongs to no step: the last chunk.
            if sent.step >= 0:
                grouped.setdefault(sent.step, []).append(sent)
        coded = self.attempt.script.head.coding is not Coding.IDENTITY
        return tuple(span_of(step, sent, self._line_ends(step), coded=coded) for step, sent in sorted(grouped.items()))

    def _line_ends(self, step: int) -> int:
        script = self.attempt.script
        return DIALECTS[script.dialect].line_ends_of(script.quirks, script.steps[step])

    @cached_property
    def head(self) -> Span | None:
        """Where the head stands, if the server wrote any of it."""
        # There is exactly one head in a script, and it may stand behind a pause.
        steps = self.attempt.script.steps
        return next((span for span in self.spans if isinstance(steps[span.step], Head)), None)

    @cached_property
    def body(self) -> tuple[Span, ...]:
        """The steps that are body."""
        # What stands before the head is an interim answer.
        head = next(index for index, step in enumerate(self.attempt.script.steps) if isinstance(step, Head))
        return tuple(span for span in self.spans if span.step > head)

    @cached_property
    def written(self) -> int:
        """Wire bytes that the server handed to the network."""
        return max((sent.wire[1] for sent in self.sent), default=self.base)

    def received(self, t: int) -> int:
        """Wire bytes that the client was given by time `t`."""
        # An arrival at `t` itself counts: it is recorded before it is handed on.
        place = bisect_right(self.arrivals, t, key=lambda arrival: arrival[0])
        return self.arrivals[place - 1][1] if place else self.base

    def arrival(self, wire: int) -> int | None:
        """When wire byte number `wire` (counted from 1) reached the client; None if it never did."""
        # The first arrival that includes the byte.
        place = bisect_left(self.arrivals, wire, key=lambda arrival: arrival[1])
        return self.arrivals[place][0] if place < len(self.arrivals) else None

    def last_byte(self, t: int) -> int | None:
        """When the last byte up to time `t` arrived."""
        place = bisect_right(self.arrivals, t, key=lambda arrival: arrival[0])
        return self.arrivals[place - 1][0] if place else None

    def last_step(self, t: int) -> int | None:
        """When the last whole step up to `t` arrived that is no keep-alive: progress in the strictest reading."""
        # The head is a step like the others here: it is progress.
        times = [self.arrival(span.end) for span in self.spans if span.whole and not self.is_keepalive(span)]
        return max((time for time in times if time is not None and time <= t), default=None)

    def last_spoken(self, t: int) -> int | None:
        """When the last byte up to `t` arrived that belongs to something else than a keep-alive."""
        quiet = [(span.wire_start, span.wire_end) for span in self.body if self.is_keepalive(span)]
        # An arrival is quiet only if all of its bytes lie in one keep-alive; a mixed one has news in it.
        before, found = self.base, None
        for time, total in self.arrivals:
            if time > t:
                break
            if not any(start <= before and total <= end for start, end in quiet):
                found = time
            before = total
        return found

    def is_keepalive(self, span: Span) -> bool:
        """Whether the step only says that the server is alive."""
        return isinstance(self.attempt.script.steps[span.step], (Ping, Comment))

    @property
    def over(self) -> int | None:
        """When the network told the client that the connection is over."""
        # Whichever came first is what the client met.
        times = [time for time in (self.eof, self.reset.t if self.reset else None) if time is not None]
        return min(times, default=None)

    @property
    def resumed(self) -> bool:
        """Whether it goes on with an answer that began elsewhere: such a request only fetches."""
        return self.method == "GET" and DIALECTS[self.dialect].method != "GET"

    @property
    def redirects(self) -> bool:
        """Whether its answer sends the client elsewhere (RFC 9110, section 15.4)."""
        head = self.attempt.script.head
        played = self.requested is not None
        return played and head.status in _REDIRECTS and any(name.lower() == "location" for name, _ in head.headers)

    @property
    def used(self) -> bool:
        """Whether the client asked something here, or was cut off before it could.

        Some clients open a connection ahead of need and close it again; that is no attempt.
        """
        return self.requested is not None or self.asked is not None or self.over is not None

    @property
    def stale(self) -> bool:
        """Whether it is a request that met a stale connection: reset before any server had read it.

        RFC 9112 (section 9.3.1) has the client send it again on a fresh connection; an attempt it is not.
        """
        return self.part > 0 and self.requested is None


def connections(plan: Plan, trace: Trace) -> tuple[Connection, ...]:
    """Every connection that the client opened, in order, each as a whole."""
    # A connection on which nothing was asked but what is asked around a stream is nobody's attempt.
    wholes = [_facts(plan, mine, _Part(mine)) for mine in _observed(trace) if not all(map(_is_aside, _parts(mine)))]
    return _without_redirects(wholes)


def exchanges(plan: Plan, trace: Trace) -> tuple[Connection, ...]:
    """Every exchange on every connection, in the order in which they began."""
    # What was asked around a stream (a list of models, a handshake) is no attempt, and nothing is judged by it.
    found = [_facts(plan, mine, part) for mine in _observed(trace) for part in _parts(mine) if not _is_aside(part)]
    return _without_redirects(sorted(found, key=lambda one: one.place))


def _without_redirects(found: Sequence[Connection]) -> tuple[Connection, ...]:
    # A redirect that was followed is no attempt either: asking again was what the answer asked for.
    last = next((one for one in reversed(found) if not one.stale), None)
    return tuple(one for one in found if one is last or not one.redirects)


# --- from observations to facts ---------------------------------------------------------------------------------------


class _Placed(NamedTuple):
    """An observation and where in the trace it stands."""

    place: int
    seen: Observation


class _Part(NamedTuple):
    """An exchange of a connection: what was seen of it, and which wire bytes of the connection its answer has."""

    mine: Sequence[_Placed]
    number: int = 0
    base: int = 0
    end: int | None = None  # None: whatever comes


def _observed(trace: Trace) -> list[list[_Placed]]:
    """What was seen of each connection, by its number."""
    found: dict[int, list[_Placed]] = {}
    for place, seen in enumerate(trace.observations):
        conn = getattr(seen, "conn", None)
        if conn is not None:
            found.setdefault(conn, []).append(_Placed(place, seen))
    return [mine for _, mine in sorted(found.items()) if _first(_seen(mine), Opened) is not None]


def _seen(mine: Iterable[_Placed]) -> list[Observation]:
    return [one.seen for one in mine]


def _parts(mine: Sequence[_Placed]) -> Iterator[_Part]:
    """The exchanges of a connection. Its bytes go on counting, so each answer begins where the one before it ended."""
    parts = exchanges_of(_seen(mine))
    firsts = [0, *accumulate(map(len, parts))]
    ends = [max((sent.wire[1] for sent in _all(part, Sent)), default=0) for part in parts]
    bases = [0, *accumulate(ends, max)]
    for number in range(len(parts)):
        last = number + 1 == len(parts)
        placed = mine[firsts[number] : firsts[number + 1]]
        yield _Part(placed, number, bases[number], None if last else bases[number + 1])


def _is_aside(part: _Part) -> bool:
    request = _first(_seen(part.mine), Request)
    return request is not None and request.aside and not by_quota(request)


def _facts(plan: Plan, whole: Sequence[_Placed], part: _Part) -> Connection:
    """The facts of a part of a connection; the whole is a part, too."""
    everything, mine = _seen(whole), _seen(part.mine)
    opened, beginning = _first(everything, Opened), part.mine[0]
    # The network records what it hands on before it does so. What is recorded after the client's leaving was therefore
    # never seen by it; most of all the end of the connection, which is then the server's answer to the leaving.
    down = _before_leaving(mine)
    # The request counts even if it was still on its way when the client gave up.
    upstream = [seen for seen in _all(mine, Delivered) if seen.direction is Direction.UPSTREAM]
    request, eof = _first(mine, Request), _first(down, LinkEof)
    left, gone = _first(everything, ClientLeft), _first(everything, PeerLeft)
    conn: int = getattr(opened, "conn", 0)
    played = conn if request is None or request.attempt < 0 else request.attempt
    attempt = msgspec.structs.replace(plan.attempt(conn), script=plan.attempt(played).script)
    sent = tuple(_all(mine, Sent))
    if request is not None and by_quota(request):
        attempt, sent = refusal(attempt, plan.dialect, request), as_steps(sent)
    return Connection(
        number=conn,
        attempt=attempt,
        opened=beginning.seen.t if part.number or opened is None else opened.t,
        place=beginning.place,
        sent=sent,
        arrivals=_arrivals(_all(_before_leaving(everything), Delivered), part),
        eof=eof.t if eof else None,
        reset=_first(down, LinkReset),
        left=left.t if left else None,
        gone=gone.t if gone else None,
        ended=_first(mine, ServerEnd),
        requested=request.t if request else None,
        problem=request.problem if request else "",
        asked=upstream[-1].t if upstream else None,
        method=request.method if request else "",
        resumes=(request.resumes or "") if request else "",
        says=request is not None and request.resumes is not None,
        wait=request.wait if request else -1,
        played=played,
        part=part.number,
        base=part.base,
        # A client that asks for other parameters gets two answers; the certificate stands in the last.
        presented=max((seen.wire for seen in _all(everything, Presented)), default=None),
        secured=_first(everything, Secured),
        farewell=_first(mine, Farewell),
    )


def _before_leaving(mine: Iterable[Observation]) -> list[Observation]:
    """What was handed on towards the client while it was there."""
    there = takewhile(lambda seen: not isinstance(seen, ClientLeft), mine)
    return [seen for seen in there if getattr(seen, "direction", Direction.DOWNSTREAM) is Direction.DOWNSTREAM]


def _arrivals(delivered: Iterable[Delivered], part: _Part) -> tuple[tuple[int, int], ...]:
    """When bytes of this part reached the client. A delivery may hold the end of one answer and the next one's head."""
    found, before = [], part.base
    for seen in delivered:
        total = seen.total if part.end is None else min(seen.total, part.end)
        if total > before:
            found.append((seen.t, total))
            before = total
    return tuple(found)


def _all(seen: Iterable[Observation], kind: type[T]) -> list[T]:
    return [one for one in seen if isinstance(one, kind)]


def _first(seen: Iterable[Observation], kind: type[T]) -> T | None:
    return next((one for one in seen if isinstance(one, kind)), None)
