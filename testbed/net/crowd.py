"""A crowd: one task that plays schedules on any number of sockets at a time.

The law of this module: nothing here waits for one stream. One trio task waits on a selector of its own that has all
sockets in it, and on the earliest deadline of one timer queue; what is ready or due is done a slice at a time, and
between the slices the others have their turn::

    listener ── accept in batches ─┐
    requests ── RequestParser ─────┼─ selector ─┐
    room to send ──────────────────┘            ├─ one trio task ── sock.send
    deadlines ── one timer queue ───────────────┘

A stream costs a socket, a dozen fields, and its entries in selector and queue: no task, no buffer. Times are absolute,
counted from the stream's start, so lateness does not add up; what is late is sent at once, in order. What was chosen
for a request is a :class:`~testbed.net.schedule.Schedule`, compiled once and shared by all streams that play it. Its
bytes, ends and observations are those of :mod:`testbed.net.http_server`, which plays what a crowd cannot
(:func:`~testbed.net.schedule.plays`).
"""

from __future__ import annotations

import errno
import itertools
import math
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, final

import trio

from testbed.errors import HarnessError, TestbedError
from testbed.net.crowd_stream import USUAL, Limits, Sleeper, Stream, Turn
from testbed.net.http_request import IncomingRequest
from testbed.net.listener import EXHAUSTED, EXHAUSTED_PAUSE
from testbed.net.schedule import MICROSECONDS
from testbed.net.timers import Timers
from testbed.ports import Recorder

# What is played to a request, by the number of its connection (from 0, in the order of accepting). It must not wait.
Choose = Callable[[IncomingRequest, int], Turn]
# Who wants to know of a connection; None: nobody.
Watch = Callable[[int], "Recorder | None"]

_BUFFER = 64 * 1024
# Between two slices the timers are looked at, and the other tasks of the loop run.
_ACCEPTS, _READIES, _WAKES = 64, 32, 256

# A selector that cannot be waited on by another one (Windows) cannot be in a trio task.
AVAILABLE = hasattr(selectors.DefaultSelector, "fileno")


def _nobody(_conn: int) -> None:
    return None


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
    """Plays what `choose` says to whoever connects. `watch` names the recorder of a connection."""

    def __init__(self, choose: Choose, *, watch: Watch = _nobody, limits: Limits = USUAL) -> None:
        self._choose = choose
        self._watch = watch
        self._numbers = itertools.count()
        self.limits = limits
        selector = selectors.DefaultSelector()
        self._readiness = selector.fileno()  # readable when any of the sockets is ready
        self.selector: selectors.BaseSelector = selector
        self.timers: Timers[Sleeper] = Timers()
        self.buffer = bytearray(_BUFFER)
        self.now = 0
        self._open: set[Stream] = set()

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._open)

    async def run(self, listener: trio.socket.SocketType) -> NoReturn:
        """Accept and play until cancelled; then every stream is closed. The listener stays open.

        Raises :class:`~testbed.errors.TestbedError` if `choose` fails; what clients do is never an error here.
        """
        self._look_at_the_clock()
        # A socket object of the standard library for the same listener, which accepts without a trip through trio.
        door = socket.fromfd(listener.fileno(), listener.family, listener.type)
        try:
            door.settimeout(0)
            _Door(self, door)
            while True:
                await self._wait()
                await self._turn()
        finally:
            door.close()
            for stream in tuple(self._open):
                stream.free()
            self.selector.close()

    # --- one turn -----------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait until a socket is ready or somebody is due."""
        deadline = self.timers.next()
        if deadline is not None and deadline <= self.now:
            await trio.lowlevel.checkpoint()
        else:
            with trio.move_on_at(math.inf if deadline is None else deadline / MICROSECONDS):
                await trio.lowlevel.wait_readable(self._readiness)
        self._look_at_the_clock()

    async def _turn(self) -> None:
        """Do all that is ready, in slices, and what is due between them."""
        events = iter(self.selector.select(0))
        while batch := list(itertools.islice(events, _READIES)):
            for key, mask in batch:
                key.data.ready(mask)
            self._wake_the_due()
            if len(batch) == _READIES:
                await trio.lowlevel.checkpoint()
                self._look_at_the_clock()
        self._wake_the_due()

    def _wake_the_due(self) -> None:
        for _ in range(_WAKES):
            if (sleeper := self.timers.take(self.now)) is None:
                return
            sleeper.wake()

    def _look_at_the_clock(self) -> None:
        self.now = round(trio.current_time() * MICROSECONDS)

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
        self._open.add(Stream(self, sock, conn, self._watch(conn)))

    def forget(self, stream: Stream) -> None:
        """Take notice that a stream has freed itself."""
        self._open.discard(stream)

    def choose(self, request: IncomingRequest, conn: int) -> Turn:
        """Ask the owner what is played; a failure of its is ours, and ends the crowd."""
        try:
            return self._choose(request, conn)
        except TestbedError:
            raise
        except Exception as error:
            raise HarnessError(f"choosing an answer failed: {type(error).__name__}: {error}") from error
