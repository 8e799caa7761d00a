"""Runs built by hand: what the server says, what the network delivers, what the client shows.

The builder knows the wire program of a script and nothing of the oracle. Times are seconds here, bytes are wire bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from testbed._values import digest
from testbed.dialects import DIALECTS, Asked
from testbed.faults.toxics import Direction
from testbed.plan import Attempt, ClientSettings, Expect, Plan, Tls
from testbed.program import Close, Wait, Write, compile_script
from testbed.script import DialectName, Done, Ending, Finish, Head, Message, Open, Script, Step, Text
from testbed.trace import (
    Cancelled,
    ClientLeft,
    ClientProfile,
    Clock,
    Closed,
    Delivered,
    Ended,
    Farewell,
    Fired,
    Header,
    LinkEof,
    LinkReset,
    Observation,
    Opened,
    Option,
    Outcome,
    PeerLeft,
    Presented,
    Raised,
    Request,
    SawEvent,
    SawFinish,
    SawText,
    Secured,
    Sent,
    ServerEnd,
    Started,
    Trace,
    Wrapping,
)

CHAT = DialectName.OPENAI_CHAT
ANTHROPIC = DialectName.ANTHROPIC_MESSAGES
EVENTSOURCE = DialectName.EVENTSOURCE

WORDS = ("One ", "fine ", "day", ".")
STEPS: tuple[Step, ...] = (Head(), Open(), *map(Text, WORDS), Finish(), Done())
EVENTS: tuple[Step, ...] = (Head(), *(Message(word) for word in WORDS))


def script(*steps: Step, dialect: DialectName = CHAT, faults: tuple = ()) -> Script:
    """A script; without steps, the usual answer of four words."""
    usual = EVENTS if dialect is EVENTSOURCE else STEPS
    return Script(dialect, steps or usual, faults)


def plan_of(
    *scripts: Script,
    expect: Iterable[Outcome] = (),
    may_miss: bool = False,
    toxics: tuple = (),
    tls: Tls | None = None,
    **client,
) -> Plan:  # type: ignore[no-untyped-def]
    """A plan with an attempt for each script, each with `toxics`, and under `tls`."""
    client.setdefault("idle_timeout", 10.0)
    return Plan(
        scenario="by-hand",
        attempts=tuple(Attempt(one, toxics, tls) for one in scripts),
        client=ClientSettings(**client),
        expect=Expect(outcome=tuple(expect), may_miss=may_miss),
    )


def profile(*, without: Iterable[Option] = (), **fields) -> ClientProfile:  # type: ignore[no-untyped-def]
    """A client that can be told everything but `without`."""
    fields.setdefault("name", "by-hand")
    fields.setdefault("dialects", tuple(DialectName))
    return ClientProfile(options=tuple(option for option in Option if option not in set(without)), **fields)


# What sealing adds: so many bytes before the answer, and to each write.
HANDSHAKE, RECORD = 1000, 22


def _payload(write: Write, start: int, end: int, *, sealed: bool) -> tuple[int, int]:
    """Where the body of a write stands on the wire: a sealed one is whole or nothing."""
    if not sealed:
        return start + write.payload[0], start + write.payload[1]
    return (start, end) if write.payload[0] < write.payload[1] else (end, end)


def answer_to(script: Script, resumes: str | None) -> Script:
    """What a server plays to a client that says it has this much: its dialect leaves out what is there already."""
    if not resumes:
        return script
    query = f"stream=true&starting_after={resumes}" if script.dialect is DialectName.OPENAI_RESPONSES else ""
    asked = Asked("GET", "/", query, {"last-event-id": resumes}, b"")
    return DIALECTS[script.dialect].resume(script, asked)


# These say nothing of the connection.
_NO_END = frozenset({Ending.OPEN, Ending.KEEP, Ending.STALE})


def us(seconds: float) -> int:
    """Microseconds."""
    return round(seconds * 1_000_000)


@dataclass
class Wire:
    """What one exchange carried: when each step was there, and when it ended."""

    conn: int = 0
    sent: int = 0  # wire bytes of its connection, the exchanges before it counted
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    steps: list[tuple[float, Step]] = field(default_factory=list)
    ended: float | None = None
    left: bool = False


class Run:
    """A trace in the making. Every method takes its time last, in seconds, and returns the run."""

    def __init__(self, plan: Plan, *, clock: Clock = Clock.VIRTUAL, client: ClientProfile | None = None) -> None:
        self.plan = plan
        self.clock = clock
        self.client = client or profile()
        self.seen: list[Observation] = [Started(0)]
        self.wires: list[Wire] = []

    def add(self, *observations: Observation) -> Run:
        """Add observations as they are."""
        self.seen += observations
        return self

    def play(
        self,
        *,
        at: float = 0.0,
        only: int | None = None,
        end: Ending | None = None,
        until: float | None = None,
        asks: bool = True,
        end_after: float = 0.0,
        on: int | None = None,
        **request: Any,
    ) -> Run:
        """The next exchange, begun `at`: its attempt is played, and `only` so many bytes arrive, which then `end`.

        `end` None with `only`: nothing more arrives. `until`: the client leaves then, and nothing happens after it.
        `end_after`: the connection's end arrives that much later than its last byte. `on`: the connection that was
        kept (None: a new one). `request`: more fields of the request.
        """
        number, now = len(self.wires), at
        conn, sent = self._begin(on, at)
        wire = Wire(conn)
        self.wires.append(wire)
        sealed = self.plan.attempt(conn).tls is not None
        if asks:
            self.add(Delivered(us(at), conn, Direction.UPSTREAM, 100 * (number + 1)))
            request = {"attempt": -1 if number == conn else number, "method": "POST", "path": "/", **request}
            self.add(Request(us(at), conn, **request))
        limit, cut = None if only is None else only + sent * (on is not None), False
        steps = self.plan.attempt(number).script.steps
        for operation in compile_script(answer_to(self.plan.attempt(number).script, request.get("resumes"))):
            if isinstance(operation, Wait):
                now += operation.seconds
            if until is not None and now > until:
                break
            if isinstance(operation, Write):
                start, sent = sent, sent + len(operation.data) + RECORD * sealed
                payload = _payload(operation, start, sent, sealed=sealed)
                told = (payload, operation.body, operation.ends_step, operation.missing)
                self.add(Sent(us(now), conn, operation.step, (start, sent), *told))
                total = sent if limit is None else min(sent, limit)
                if total > start:
                    self.add(Delivered(us(now), conn, Direction.DOWNSTREAM, total))
                    wire.arrivals.append((now, total))
                if operation.ends_step and total >= payload[1]:
                    wire.steps.append((now, steps[operation.step]))
                cut = limit is not None and sent >= limit
                if cut and end is not None:
                    break
            if isinstance(operation, Close):
                self.add(ServerEnd(us(now), conn, operation.how, operation.framed))
                if only is None:
                    self._say_farewell(conn, operation.how, now, sent)
                    end = operation.how if end is None else end
        if end is not None and (until is None or now + end_after <= until):
            self._end(conn, end, now + end_after)
            wire.ended = None if end in _NO_END else now + end_after
        wire.sent = sent
        if until is not None:
            self.leave(conn, until)
        return self

    def _begin(self, on: int | None, at: float) -> tuple[int, int]:
        """The connection of the next exchange, and how many bytes it has carried; a new one is opened and sealed."""
        if on is not None:
            return on, max(wire.sent for wire in self.wires if wire.conn == on)
        conn = 1 + max((wire.conn for wire in self.wires), default=-1)
        self.add(Opened(us(at), conn))
        if self.plan.attempt(conn).tls is None:
            return conn, 0
        self.shakes_hands(conn, at)
        return conn, HANDSHAKE

    def strikes_stale(self, conn: int, at: float) -> Run:
        """Another request comes over a connection that only looks kept: its first byte is answered by an RST."""
        return self.add(
            Delivered(us(at), conn, Direction.UPSTREAM, 1_000),
            LinkReset(us(at), conn, Direction.DOWNSTREAM, immediate=True),
            ClientLeft(us(at), conn, reset=False),
        )

    def _say_farewell(self, conn: int, how: Ending, now: float, sent: int) -> None:
        if self.plan.attempt(conn).tls is not None and how is Ending.CLEAN:
            self.add(Farewell(us(now), conn, (sent, sent + RECORD)))
            self.add(Delivered(us(now), conn, Direction.DOWNSTREAM, sent + RECORD))

    def shakes_hands(self, conn: int, at: float = 0.0, *, problem: str = "", presented: int = HANDSHAKE) -> Run:
        """The server answers a TLS handshake with so many bytes, which all arrive, and it ends well or badly."""
        self.add(Delivered(us(at), conn, Direction.UPSTREAM, 50), Presented(us(at), conn, presented))
        if presented:
            self.add(Delivered(us(at), conn, Direction.DOWNSTREAM, presented))
        return self.add(Secured(us(at), conn, presented, problem, refused=bool(problem)))

    def _end(self, conn: int, end: Ending, now: float) -> None:
        if end in (Ending.CLEAN, Ending.FIN):
            self.add(LinkEof(us(now), conn, Direction.DOWNSTREAM))
        elif end not in _NO_END:
            self.add(LinkReset(us(now), conn, Direction.DOWNSTREAM, immediate=end is Ending.ABORT))

    def leave(self, conn: int, at: float) -> Run:
        """The client closes its side."""
        for wire in self.wires:
            wire.left = wire.left or wire.conn == conn
        return self.add(ClientLeft(us(at), conn, reset=False), PeerLeft(us(at), conn, reset=False))

    def fired(self, conn: int, toxic: int, at: float = 0.0) -> Run:
        """A toxic strikes."""
        return self.add(Fired(us(at), conn, toxic, "any"))

    # --- the client
    # -------------------------------------------------------------------------------------------------------

    def shows(self, *texts: str, at: float = 0.0) -> Run:
        """The caller sees texts."""
        return self.add(*(SawText(us(at), text) for text in texts))

    def shows_event(self, data: str, *, type: str = "message", id: str = "", at: float = 0.0) -> Run:
        """The caller sees an event."""
        return self.add(SawEvent(us(at), type, data, id))

    def shows_finish(self, reason: str, at: float = 0.0) -> Run:
        """The caller sees a finish reason."""
        return self.add(SawFinish(us(at), reason))

    def ends(self, at: float = 0.0) -> Run:
        """The client reports success."""
        return self.add(Ended(us(at)))

    def raises(
        self,
        *classes: Outcome,
        at: float = 0.0,
        wrapping: Wrapping = Wrapping.DECLARED,
        status: int | None = None,
        code: str | None = None,
        name: str = "SomeError",
    ) -> Run:
        """The client raises an error."""
        return self.add(Raised(us(at), name, "it went wrong", classes, wrapping, status, code))

    def cancelled(self, at: float, *, planned: bool = False) -> Run:
        """We stop the client."""
        return self.add(Cancelled(us(at), planned))

    def closed(self, at: float) -> Run:
        """The run is over."""
        return self.add(Closed(us(at)))

    def trace(self) -> Trace:
        """The trace so far, sorted by time."""
        header = Header(plan=digest(self.plan), engine="by-hand", clock=self.clock, client=self.client)
        return Trace(header, tuple(sorted(self.seen, key=lambda seen: seen.t)))
