"""One run, laid out for the checks: who was given what, when, and under which uncertainty.

The law of this module: uncertainty is added here and nowhere else. Facts have times, but when a client *read* a byte
is not among them; so what it was given at its end is a main reading and some others, and what fits any of them is
accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

from testbed._values import Value
from testbed.oracle.client_view import ClientView, Shown, Window, client_view
from testbed.oracle.connections import Connection, Tier, connections, exchanges
from testbed.oracle.given import Given, look
from testbed.oracle.sealed import answer_begins, is_doubtful
from testbed.oracle.transports import End, Progress
from testbed.plan import ClientSettings, Keepalives, Plan
from testbed.script import DialectName
from testbed.timing import margin, taken
from testbed.trace import ClientProfile, Clock, Closed, Option, SawText, Trace

# The oracle counts in the trace's own integers; seconds appear only in margins and words.
SECOND = 1_000_000  # times are integer microseconds


# Why there are races at all: server, network and client are three clocks in one process, but a client *acts* on a
# byte some time after the network has let go of it, and we see only the acts.
class Races(Value):
    """How far two facts must lie apart before their order is believed, in microseconds.

    `back`: bytes that came less than this before the client's end may not have been read yet. `ahead`: an end of the
    connection that is recorded this much after the client's own end may have been what it saw. `bytes`: the same
    for bytes, which are recorded before they are handed on.
    """

    back: int
    ahead: int
    bytes: int


# On a real clock a loaded machine can let half a second pass between a byte and its reader; virtual time stands still
# until everybody has read.
# `bytes` is small because what is handed on is recorded first: the order of the two facts is certain, and only the
# reading of the clock is not. In virtual time it is exact.
RACES = {
    Clock.REAL: Races(back=SECOND // 2, ahead=SECOND // 10, bytes=2_000),
    Clock.VIRTUAL: Races(back=1_000, ahead=1_000, bytes=0),
}

# With a time-out that nobody told us, this long a silence can have been one.
_SOME_SILENCE = 1.0


class Timeouts(Value):
    """The read time-outs that the client was told, in seconds; None where it was not told any."""

    connecting: float | None
    before_token: float | None
    mid_stream: float | None


@final
@dataclass(frozen=True)
class Case:
    """A plan, its trace, and what both say together."""

    plan: Plan
    trace: Trace

    @property
    def profile(self) -> ClientProfile:
        """What the adapter says of its client."""
        return self.trace.header.client

    @property
    def clock(self) -> Clock:
        """Which clock the times were read from."""
        return self.trace.header.clock

    @property
    def races(self) -> Races:
        """The uncertainty of that clock."""
        return RACES[self.clock]

    @property
    def is_eventsource(self) -> bool:
        """Whether the dialect is the one without a terminal event."""
        return self.plan.dialect is DialectName.EVENTSOURCE

    @cached_property
    def view(self) -> ClientView:
        """What the caller saw."""
        return client_view(self.trace)

    @cached_property
    def end(self) -> int:
        """When the client ended."""
        if self.view.end is not None:
            return self.view.end.t
        return max((seen.t for seen in self.trace.observations), default=0)

    @cached_property
    def closed(self) -> int | None:
        """When the run was closed, the grace period included."""
        return next((seen.t for seen in self.trace.observations if isinstance(seen, Closed)), None)

    @cached_property
    def connections(self) -> tuple[Connection, ...]:
        """Every connection, whether or not anything was asked on it."""
        return connections(self.plan, self.trace)

    @cached_property
    def exchanges(self) -> tuple[Connection, ...]:
        """Every request with its answer, of each connection that was kept one after the other."""
        return exchanges(self.plan, self.trace)

    # --- attempts: an exchange is one if something was asked. The outcome is judged by the last, text by each.
    @cached_property
    def attempts(self) -> tuple[Connection, ...]:
        """The exchanges that the client began before its end; a request that met a stale connection is none."""
        return tuple(one for one in self.exchanges if one.used and not one.stale and one.opened <= self.end)

    @property
    def struck_stale(self) -> bool:
        """Whether the last thing that the client met was a stale connection."""
        begun = [one for one in self.exchanges if one.opened <= self.end]
        return bool(begun) and begun[-1].stale

    @property
    def last(self) -> Connection | None:
        """The connection that the outcome is judged by."""
        return self.attempts[-1] if self.attempts else None

    def until(self, number: int) -> int:
        """When attempt `number` (its place, not the connection's) was over: at the next one, or at the client's end."""
        return self.attempts[number + 1].opened if number + 1 < len(self.attempts) else self.end

    def shown(self, number: int) -> tuple[Shown, ...]:
        """What was shown while attempt `number` was the newest."""
        following = number + 1
        until = self.attempts[following].place if following < len(self.attempts) else None
        return self.view.between(self.attempts[number].place if number else 0, until)

    def window(self, number: int) -> Window:
        """The text of it."""
        return Window(tuple(seen for seen in self.shown(number) if isinstance(seen, SawText)))

    # --- what was given -----------------------------------------------------------------------------------------------

    def look(self, connection: Connection, at: int, received: int | None = None, tier: Tier = Tier.EVENT) -> Given:
        """What `connection` gave by time `at`."""
        got = connection.received(at) if received is None else received
        # A reconnect is a retry: a client that is told to make none may end where the stream ends.
        reconnects = self.profile.reconnects and self.plan.client.max_retries > 0
        return look(connection, at=at, received=got, tier=tier, reconnects=reconnects)

    @cached_property
    def given(self) -> Given | None:
        """The main reading: what the last connection had given when the client ended."""
        return self.look(self.last, self.end) if self.last is not None else None

    @cached_property
    def others(self) -> tuple[Given, ...]:
        """The other readings that the facts allow."""
        if self.last is None or self.given is None:
            return ()
        # A reading that is the same as the main one adds nothing to what is accepted.
        return tuple(one for one in self._others(self.last, self.given) if one != self.given)

    def _others(self, last: Connection, main: Given) -> Iterator[Given]:
        # In order: fewer bytes, more bytes, a later end, an earlier moment, a torn buffer. Each is a whole reading of
        # its own, so that what is accepted is always something that could have been, and never a mixture.
        ahead = self.end + self.races.bytes
        # A client that waits for the whole chunk around an event has less.
        yield self.look(last, self.end, tier=Tier.CHUNK)
        # One that acts on the data line has more. The EventSource standard does not allow that.
        yield self.look(last, self.end, tier=Tier.CR if self.is_eventsource else Tier.LINE)
        yield self.look(last, self.end + self.races.ahead, last.received(ahead))
        yield from self._behind(last)
        yield from self._torn(last, main)

    def _behind(self, last: Connection) -> Iterator[Given]:
        """What came last may not have been read, if the client could have run into its time-out instead."""
        # Only an open connection can be behind: whoever met an end has read all bytes before it.
        before = self.end - self.races.back
        behind = self.look(last, before)
        if behind.end is not End.OPEN or before < last.opened:
            return
        # And only a client whose time-out was due can prefer to have read nothing. Without this, any error would be
        # excused by the last half second of a fast stream.
        silence = (self.end - (last.last_byte(before) or last.opened)) / SECOND
        # Behind the first token its own time-out is over and done with.
        first = None if behind.progress >= Progress.TOKENS else self.timeouts.before_token
        told = [one for one in (first, self.timeouts.mid_stream) if one is not None]
        if silence >= min((one - self.margin(one) for one in told), default=_SOME_SILENCE):
            yield behind

    def _torn(self, last: Connection, main: Given) -> Iterator[Given]:
        """A reset can take with it what the client's own library had buffered but not handed over."""
        reset = last.reset
        if reset is None or reset.t > self.end + self.races.ahead:
            return
        # asyncio's StreamReader throws its buffer away when the connection is lost; the kernel and other libraries do
        # not. A buffer holds moments, so what came long before a drained reset was surely handed over.
        head = last.head.wire_end if last.head is not None else 0
        early = last.base if reset.immediate else last.received(reset.t - self.races.back)
        # Whatever is torn off, the answer had begun: nobody takes that for a failed connection attempt.
        sure = max(early, min(head, main.received))
        if sure < main.received:
            yield self.look(last, reset.t, sure)

    # --- time-outs ----------------------------------------------------------------------------------------------------

    @cached_property
    def timeouts(self) -> Timeouts:
        """What the client could be told of the plan's time-outs."""
        settings, options = self.plan.client, frozenset(self.profile.options)
        # A library with one read time-out takes it through whichever option its adapter offers.
        shared = self.profile.shared_read_timeout
        first, idle = Option.FIRST_BYTE_TIMEOUT in options, Option.IDLE_TIMEOUT in options
        return Timeouts(
            connecting=settings.connect_timeout if Option.CONNECT_TIMEOUT in options else None,
            before_token=settings.first_byte if first or (shared and idle) else None,
            mid_stream=settings.idle_timeout if idle or (shared and first) else None,
        )

    def told(self, given: Given) -> float | None:
        """The time-out that silence at this point is measured by."""
        if given.progress is Progress.HANDSHAKE:
            return self.timeouts.connecting
        return self.timeouts.mid_stream if given.progress >= Progress.TOKENS else self.timeouts.before_token

    @property
    def settings(self) -> ClientSettings:
        """What the plan tells the client."""
        return self.plan.client

    @property
    def taken(self) -> float:
        """Seconds that the caller itself may have taken over what it was shown."""
        # A client may cut the text finer than the server does, and the caller takes its time for each piece.
        shown = len(self.view.shown) + len(self.view.finishes) + 1
        return max(taken(self.plan), shown * (self.settings.pace or 0.0))

    def margin(self, timeout: float | None = None) -> float:
        """Seconds within which early and late are not told apart."""
        return margin(timeout or 0.0, self.clock)

    def deadline(self, connection: Connection, given: Given, at: int) -> Deadline | None:
        """When a right client gives this silent connection up; None if it was told no time-out for that.

        Libraries measure a silence from the last byte, from the last event, or from the request: the earliest of them
        decides what is early, the latest what is late.
        """
        # Mid-stream there is one rule. Before the first token there are two schools: a timer from the request to the
        # first token, and a timer that every byte re-arms. In between (the head has come) both may run.
        first, idle = self.timeouts.before_token, self.timeouts.mid_stream
        opened = connection.opened
        if given.progress is Progress.HANDSHAKE:
            return self._handshake_deadline(connection, at)
        if given.progress >= Progress.TOKENS:
            if idle is None:
                return None
            return Deadline(
                earliest=self._earliest(connection, at) + _us(idle), latest=self._latest(connection, at) + _us(idle)
            )
        if first is None:
            return None
        longest = max(first, idle or first)
        earliest = opened + _us(first)
        if given.progress is Progress.HEAD and idle is not None:
            earliest = min(earliest, self._earliest(connection, at) + _us(idle))
        if is_doubtful(connection) and self.timeouts.connecting is not None:
            earliest = min(earliest, opened + _us(self.timeouts.connecting))
        return Deadline(earliest=earliest, latest=self._latest(connection, at) + _us(longest))

    def _handshake_deadline(self, connection: Connection, at: int) -> Deadline | None:
        # Only the connect time-out is meant for this, but a library with one time-out for every wait is not wrong.
        if (connect := self.timeouts.connecting) is None:
            return None
        first = self.timeouts.before_token
        waits = (connect, connect if first is None else first)
        latest = connection.last_byte(at) or connection.asked or connection.opened
        return Deadline(earliest=connection.opened + _us(min(waits)), latest=latest + _us(max(waits)))

    def _earliest(self, connection: Connection, at: int) -> int:
        # Early: the reading in which the silence began longest ago. Where the plan leaves it open whether keep-alives
        # count, they do not.
        progress = self.settings.keepalives is Keepalives.PROGRESS
        started = connection.last_byte(at) if progress else connection.last_step(at)
        return connection.opened if started is None else started

    def _latest(self, connection: Connection, at: int) -> int:
        # Late: the reading in which it began last. There, every byte counts unless the plan says otherwise.
        strict = self.settings.keepalives is Keepalives.NO_PROGRESS
        last = connection.last_spoken(at) if strict else connection.last_byte(at)
        # Before the answer the clock starts when the request was written, at the latest.
        asked = max(connection.opened, connection.requested or 0, connection.asked or 0)
        # A handshake is no answer: what came of it says nothing about when the wait for one began.
        answered = last is not None and connection.received(at) > (answer_begins(connection) or 0)
        return last if answered and last is not None else max(asked, last or 0)


class Deadline(Value):
    """The span of time in which a time-out may be raised, margins not counted."""

    earliest: int
    latest: int


def _us(seconds: float) -> int:
    # Rounded, not cut: 0.1 s is 100 000 µs.
    return round(seconds * SECOND)
