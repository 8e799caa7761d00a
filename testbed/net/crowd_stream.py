"""One stream of a crowd: a socket, how far its request was read, and how far its schedule was played.

The laws of this module: no method waits, so no stream can hold up another; a stream keeps nothing of its answer but two
numbers (which part, and how much of it), so what the network does not take waits where it is, in the schedule that all
streams share, and what comes later waits behind it; and a stream whose peer is gone is freed in the same call.
"""

from __future__ import annotations

import enum
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple, Protocol, final

from testbed.net.http_request import MOST_BODY, MOST_HEAD, IncomingRequest, Malformed, RequestParser
from testbed.net.schedule import MICROSECONDS, Part, Schedule
from testbed.net.timers import Timer, Timers
from testbed.ports import Recorder
from testbed.script import Ending
from testbed.trace import PeerLeft, Request, Sent, ServerEnd

if sys.platform == "linux":
    import fcntl
    import termios

# In seconds, from the first byte of a request, or of the connection, as in net.http_inbox.
MOST_TIME = 600.0
# After our FIN: how long the peer has for its own. For a drained reset: how long it has to take what was sent.
LINGER = 5 * MICROSECONDS
DRAIN_LIMIT = 10 * MICROSECONDS
_FIRST_LOOK, _LAST_LOOK = 200, 20_000  # between two looks at what is unacknowledged: doubled from one to the other
_BLIND_DRAIN = 50_000  # on a kernel that does not say

# So often a stream may send before it goes to the end of the queue: a fast reader of a long answer must not hold all.
_MOST_SENDS = 16

_READ, _BOTH = selectors.EVENT_READ, selectors.EVENT_READ | selectors.EVENT_WRITE
_LINGER_ZERO = struct.pack("ii", 1, 0)
_TCP_CLOSE = 7  # the state in which the kernel keeps a connection that was reset (net/tcp_states.h)
_BLOCKED = (BlockingIOError, InterruptedError)


class Turn(NamedTuple):
    """What a request gets: a schedule. The rest is for the trace, by the names of :class:`testbed.trace.Request`."""

    schedule: Schedule
    problem: str = ""
    aside: bool = False
    attempt: int = -1
    status: int = 0
    wait: int = -1
    key: str = ""
    resumes: str | None = None


class Limits(NamedTuple):
    """What a crowd puts up with: streams at a time, bytes of a request's head and body, seconds until it is whole."""

    streams: int = 20_000
    head: int = MOST_HEAD
    body: int = MOST_BODY
    seconds: float = MOST_TIME


USUAL = Limits()


class Host(Protocol):
    """Who says what is played. Nothing here may wait."""

    def choose(self, request: IncomingRequest, conn: int) -> Turn:
        """Say what this request gets; `conn` counts the connections from 0, in the order of accepting."""
        ...

    def refuse(self, malformed: Malformed, conn: int) -> Turn:
        """Say what they get who send no request."""
        ...


class Loop(Protocol):
    """What a stream needs of the loop that it is in."""

    selector: selectors.BaseSelector
    timers: Timers[Sleeper]
    now: int  # microseconds, as the clock was last read: at the beginning of a turn or later
    buffer: bytearray  # to read into; nobody keeps it
    limits: Limits

    def look(self) -> int:
        """Read the clock."""
        ...

    def choose(self, request: IncomingRequest | Malformed, conn: int) -> Turn:
        """Say what is played."""
        ...

    def forget(self, stream: Stream) -> None:
        """Take notice that a stream has freed itself."""
        ...


class Sleeper(Protocol):
    """Who can be in the loop's timer queue."""

    def wake(self) -> None:
        """Do what was due."""
        ...


class Phase(enum.Enum):
    """How far a stream is."""

    READING = "reading"  # its request is not whole
    PLAYING = "playing"
    LINGERING = "lingering"  # our FIN is sent
    DRAINING = "draining"  # the peer has not acknowledged all that came before the RST
    OPEN = "open"  # all is said, and the peer is to leave
    GONE = "gone"


# While the peer is waited for, its leaving is news; after our own end it is what we waited for.
_NEWS = frozenset({Phase.READING, Phase.PLAYING, Phase.OPEN})


@final
class Stream:
    """One connection of the crowd, from its first byte to its last. It owns the socket, which must not block."""

    __slots__ = (
        "_blocked",
        "_conn",
        "_index",
        "_loop",
        "_offset",
        "_parser",
        "_phase",
        "_recorder",
        "_schedule",
        "_since",
        "_sock",
        "_timer",
        "_wire",
    )

    def __init__(self, loop: Loop, sock: socket.socket, conn: int, recorder: Recorder | None) -> None:
        self._loop = loop
        self._sock = sock
        self._conn = conn
        self._recorder = recorder
        self._phase = Phase.READING
        self._parser: RequestParser | None = None  # made for the first byte, dropped behind the last
        self._schedule: Schedule | None = None
        self._index = 0  # the part that is next
        self._offset = 0  # how much of it has been sent
        self._blocked = False  # the rest of it waits for room
        self._since = loop.now  # of the phase; while playing, what the schedule counts from
        self._wire = 0  # kept only for a recorder
        self._timer: Timer | None = None
        loop.selector.register(sock, _READ, self)
        self._sleep(loop.now + round(loop.limits.seconds * MICROSECONDS))

    # --- what the loop calls ------------------------------------------------------------------------------------------

    def ready(self, mask: int) -> None:
        """Do what the socket is ready for."""
        if mask & selectors.EVENT_READ and self._phase is not Phase.GONE:
            self._receive()
        if self._blocked and mask & selectors.EVENT_WRITE and self._phase is Phase.PLAYING:
            self._play()

    def wake(self) -> None:
        """Do what is due."""
        self._timer = None
        _DUE[self._phase](self)

    def free(self) -> None:
        """Close the socket and leave the loop; once is enough."""
        if self._phase is not Phase.GONE:
            self._phase = Phase.GONE
            self._rest()
            self._parser = self._schedule = None
            self._loop.selector.unregister(self._sock)
            self._sock.close()
            self._loop.forget(self)

    # --- the request --------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            count = self._sock.recv_into(self._loop.buffer)
        except _BLOCKED:
            return
        except OSError:  # the peer has reset the connection, or cannot be reached any more
            self._peer_left(reset=True)
            return
        if not count:
            self._peer_left(reset=False)
        elif self._phase is Phase.READING:
            self._read(bytes(memoryview(self._loop.buffer)[:count]))
        # Whatever else the peer says is read and forgotten: one request a connection.

    def _read(self, data: bytes) -> None:
        limits = self._loop.limits
        parser = self._parser = self._parser or RequestParser(most_head=limits.head, most_body=limits.body)
        parser.feed(data)
        try:
            request = parser.take()
        except Malformed as malformed:
            self._begin(malformed)
            return
        if request is not None:
            self._begin(request)
        elif parser.wants_continue:
            self._go_on(parser.continued())

    def _go_on(self, interim: bytes) -> None:
        try:
            self._sock.send(interim)  # the first bytes on this socket: the kernel has room for them
        except OSError:
            self._peer_left(reset=True)
        else:
            self._wire += len(interim)

    def _too_late(self) -> None:
        if self._parser is None:  # not a word was said, and nobody left either
            self.free()
        else:
            self._begin(Malformed(408, f"the request was not whole after {self._loop.limits.seconds:g} seconds"))

    def _begin(self, request: IncomingRequest | Malformed) -> None:
        turn = self._loop.choose(request, self._conn)
        self._parser = None
        self._rest()
        self._phase = Phase.PLAYING
        self._since = self._loop.now
        self._schedule = turn.schedule
        if self._recorder is not None:
            method, path = ("", "") if isinstance(request, Malformed) else (request.method, request.path)
            found = turn._asdict()
            del found["schedule"]
            self._recorder.record(Request(self._recorder.now(), self._conn, method, path, **found))
        self._play()

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        """Send what is due and fits; then sleep until the next part is due, or wait for room, or end."""
        schedule = self._schedule
        if schedule is None:
            return
        parts, now = schedule.parts, self._loop.now
        for _ in range(_MOST_SENDS):
            part = parts[self._index] if self._index < len(parts) else None
            due = self._since + (schedule.at if part is None else part.at)
            if due > now:
                self._sleep(due)
                return
            if part is None:
                self._end(schedule)
                return
            if not self._send(part):
                return
        self._sleep(now + 1)  # with the next turn, behind all that is due now

    def _send(self, part: Part) -> bool:
        """Send a part, or its rest; whether all of it is on its way."""
        if self._recorder is not None and not self._blocked:
            self._tell(part, self._recorder)
        data = part.data
        try:
            sent = self._sock.send(memoryview(data)[self._offset :] if self._offset else data) if data else 0
        except _BLOCKED:
            sent = 0
        except OSError:  # EPIPE, ECONNRESET and their like
            self._peer_left(reset=True)
            return False
        self._offset += sent
        whole = self._offset == len(data)
        if whole:
            self._index += 1
            self._offset = 0
        if self._blocked is whole:
            self._blocked = not whole
            self._loop.selector.modify(self._sock, _READ if whole else _BOTH, self)
        return whole

    def _tell(self, part: Part, recorder: Recorder) -> None:
        now = recorder.now()
        for write in part.writes:
            start, self._wire = self._wire, self._wire + len(write.data)
            payload = (start + write.payload[0], start + write.payload[1])
            recorder.record(
                Sent(
                    now,
                    self._conn,
                    write.step,
                    (start, self._wire),
                    payload,
                    write.body,
                    write.ends_step,
                    write.missing,
                )
            )

    # --- the end ------------------------------------------------------------------------------------------------------

    def _end(self, schedule: Schedule) -> None:
        self._schedule = None
        how, framed = schedule.close.how, schedule.close.framed
        if self._recorder is not None:
            self._recorder.record(ServerEnd(self._recorder.now(), self._conn, how, framed))
        # Anew, and after it was recorded: what the peer is given now it is given from here on, and not from the
        # beginning of a turn that may have been long.
        self._since = self._loop.look()
        _ENDINGS[how](self)

    def _end_with_fin(self) -> None:
        # Closing at once would answer late input with an RST, and that would destroy what the peer has not read yet.
        self._phase = Phase.LINGERING
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._sleep(self._loop.now + LINGER)

    def _end_drained(self) -> None:
        """Wait until the peer has acknowledged every byte, then reset. The kernel tells nobody of that: it is asked."""
        self._phase = Phase.DRAINING
        waited = self._loop.now - self._since
        if waited >= DRAIN_LIMIT or not self._unacknowledged(waited):
            self._reset()
        else:
            self._sleep(self._loop.now + min(max(waited, _FIRST_LOOK), _LAST_LOOK))

    def _end_open(self) -> None:
        self._phase = Phase.OPEN

    def _reset(self) -> None:
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.free()

    def _unacknowledged(self, waited: int) -> bool:
        if sys.platform != "linux":
            return waited < _BLIND_DRAIN
        # A connection that was reset keeps its last count for ever, so the state is asked first.
        if self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
            return False
        return fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4)) != bytes(4)

    def _peer_left(self, *, reset: bool) -> None:
        if self._recorder is not None and self._phase in _NEWS:
            self._recorder.record(PeerLeft(self._recorder.now(), self._conn, reset))
        if self._phase is Phase.DRAINING:
            self._reset()
        else:
            self.free()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _sleep(self, deadline: int) -> None:
        self._timer = self._loop.timers.set(deadline, self)

    def _rest(self) -> None:
        if self._timer is not None:
            self._loop.timers.cancel(self._timer)
            self._timer = None


_ENDINGS: Mapping[Ending, Callable[[Stream], None]] = MappingProxyType(
    {
        Ending.CLEAN: Stream._end_with_fin,
        Ending.FIN: Stream._end_with_fin,
        Ending.RST: Stream._end_drained,
        Ending.ABORT: Stream._reset,
        Ending.OPEN: Stream._end_open,
    }
)

# What it means that a stream's time has come.
_DUE: Mapping[Phase, Callable[[Stream], None]] = MappingProxyType(
    {
        Phase.READING: Stream._too_late,
        Phase.PLAYING: Stream._play,
        Phase.LINGERING: Stream.free,
        Phase.DRAINING: Stream._end_drained,
    }
)
