"""A crowd: one loop that plays schedules on any number of sockets at a time.

The law of this module: nothing here waits for one stream. All sockets are in one selector, all deadlines in one timer
queue; what is ready or due is done a slice at a time, and between the slices the others have their turn::

    listener ── accept in batches ─┐
    requests ── RequestParser ─────┼─ selector ─┐
    room to send ──────────────────┘            ├─ slices() ── sock.send
    deadlines ── one timer queue ───────────────┘

A stream costs a socket, a dozen fields, and its entries in selector and queue: no task, no buffer. Times are absolute,
counted from the stream's start, so lateness does not add up; what is late is sent at once, in order. What was chosen
for a request is a :class:`~testbed.net.schedule.Schedule`, compiled once and shared by all streams that play it. Its
bytes, ends and observations are those of :mod:`testbed.net.http_server`, which plays what a crowd cannot
(:func:`~testbed.net.schedule.plays`).

A crowd is driven by one trio task (:func:`testbed.net.crowd_task.run`), or by a program that does nothing else
(:func:`run_alone`): that one is ready to answer before trio would have been imported.
"""

from __future__ import annotations

import errno
import itertools
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn, final

from testbed.errors import HarnessError, TestbedError
from testbed.net.crowd_stream import USUAL, Host, Limits, Sleeper, Stream, Turn
from testbed.net.http_request import IncomingRequest, Malformed
from testbed.net.listening import EXHAUSTED, EXHAUSTED_PAUSE
from testbed.net.schedule import MICROSECONDS, Schedule, sentence
from testbed.net.timers import Timers
from testbed.ports import Recorder

# Who wants to know of a connection; None: nobody.
Watch = Callable[[int], "Recorder | None"]

_BUFFER = 64 * 1024
# Between two slices the timers are looked at, and the other tasks of the loop run.
_ACCEPTS, _READIES, _WAKES = 64, 32, 256

# What selectors count in, in seconds; and the shortest sleep, so that deadlines which are close together share a turn.
_TICK, _NAP = 0.001, 0.0002


def nobody(_conn: int) -> None:
    """Watch nothing: no observation is made."""


@final
class _Door:
    """The listening socket of a crowd, closed for a while when there are no more files to be had."""

    def __init__(self, loop: Crowd, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        self.wake()

    def wake(self) -> None:
        """Open, again."""
        self._loop.selector.register(self._sock, selectors.EVENT_READ, self)

    def ready(self, _mask: int) -> None:
        """Let in who waits, so many at a time."""
        try:
            for _ in range(_ACCEPTS):
                sock, _ = self._sock.accept()
                self._loop.admit(sock)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            if error.errno == errno.EBADF:
                raise
            # Anything but exhaustion befell one connection that was never made: the next one is due in the next turn.
            if error.errno in EXHAUSTED:
                self._loop.selector.unregister(self._sock)
                self._loop.timers.set(self._loop.now + round(EXHAUSTED_PAUSE * MICROSECONDS), self)


@final
class Crowd:
    """Plays what its host says to whoever connects. `watch` names the recorder of a connection."""

    def __init__(
        self,
        host: Host,
        *,
        watch: Watch = nobody,
        limits: Limits = USUAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._watch = watch
        self._clock = clock
        self._numbers = itertools.count()
        self._open: set[Stream] = set()
        self._door: socket.socket | None = None
        self.limits = limits
        selector = selectors.DefaultSelector()
        self.readiness = selector.fileno()  # readable when any of the sockets is ready
        self.selector: selectors.BaseSelector = selector
        self.timers: Timers[Sleeper] = Timers()
        self.buffer = bytearray(_BUFFER)
        self.now = 0

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._open)

    # --- what drives it calls -----------------------------------------------------------------------------------------

    def open(self, fileno: int, family: int) -> None:
        """Begin to accept on a listening socket, which stays its owner's."""
        self.look()
        self._door = socket.fromfd(fileno, family, socket.SOCK_STREAM)
        self._door.settimeout(0)
        _Door(self, self._door)

    def deadline(self) -> float | None:
        """When somebody is due, in seconds of the clock; None: nobody is waiting for a time."""
        deadline = self.timers.next()
        return None if deadline is None else deadline / MICROSECONDS

    def slices(self) -> Iterator[None]:
        """Do all that is ready, and what is due by now: one turn. Between two slices whoever drives it may do more.

        Raises :class:`~testbed.errors.TestbedError` if the host fails; what clients do is never an error here.
        """
        self.look()
        events = iter(self.selector.select(0))
        while batch := list(itertools.islice(events, _READIES)):
            for key, mask in batch:
                key.data.ready(mask)
            self._wake_the_due()
            yield
            self.look()
        self._wake_the_due()

    def close(self) -> None:
        """Close every stream, and stop accepting."""
        if self._door is not None:
            self._door.close()
        for stream in tuple(self._open):
            stream.free()
        self.selector.close()

    # --- one turn -----------------------------------------------------------------------------------------------------

    def _wake_the_due(self) -> None:
        for _ in range(_WAKES):
            if (sleeper := self.timers.take(self.now)) is None:
                return
            sleeper.wake()

    def look(self) -> int:
        """Read the clock, and keep what it says."""
        self.now = round(self._clock() * MICROSECONDS)
        return self.now

    # --- what streams and door call -----------------------------------------------------------------------------------

    def admit(self, sock: socket.socket) -> None:
        """Take in a connected socket, and own it; one too many is closed at once."""
        if len(self._open) >= self.limits.streams:
            sock.close()
            return
        sock.settimeout(0)
        # Small writes are the point of a stream: Nagle's algorithm would glue them together. A peer that is gone
        # already makes some kernels refuse the option.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = next(self._numbers)
        try:
            self._open.add(Stream(self, sock, conn, self._watch(conn)))
        except OSError:  # the selector takes no more; the door looks at why
            sock.close()
            raise

    def forget(self, stream: Stream) -> None:
        """Take notice that a stream has freed itself."""
        self._open.discard(stream)

    def choose(self, request: IncomingRequest | Malformed, conn: int) -> Turn:
        """Ask the host what is played; a failure of its is ours, and ends the crowd."""
        try:
            if isinstance(request, Malformed):
                return self._host.refuse(request, conn)
            return self._host.choose(request, conn)
        except TestbedError:
            raise
        except Exception as error:  # whatever it is, it is ours
            raise HarnessError(f"the host of the crowd failed: {type(error).__name__}: {error}") from error


@final
class OneForAll:
    """The host that plays the same to every request, whatever it asks."""

    def __init__(self, schedule: Schedule) -> None:
        self._turn = Turn(schedule)

    def choose(self, _request: IncomingRequest, _conn: int) -> Turn:
        """Play it."""
        return self._turn

    def refuse(self, malformed: Malformed, _conn: int) -> Turn:
        """Say in plain text what is wrong."""
        return Turn(sentence(malformed.status, str(malformed)), str(malformed))


def run_alone(crowd: Crowd, listener: socket.socket) -> NoReturn:
    """Play in a program that does nothing else, until it is interrupted."""
    try:
        crowd.open(listener.fileno(), listener.family)
        while True:
            _wait(crowd)
            for _ in crowd.slices():
                pass
    finally:
        crowd.close()


def _wait(crowd: Crowd) -> None:
    """Wait until a socket is ready or somebody is due.

    Selectors count in milliseconds and round up, so the last one before a deadline is slept through: whoever is ready
    then waits for less than that, and pauses are exact to a fraction of it.
    """
    deadline = crowd.deadline()
    if deadline is None:
        crowd.selector.select()
    elif not crowd.selector.select(max(deadline - time.monotonic() - _TICK, 0)):
        rest = deadline - time.monotonic()
        if rest > 0:
            time.sleep(max(rest, _NAP))
