"""A link: the driver that carries one connection between two ends as a :class:`ConnectionModel` says.

The law of this module: *what* happens to the bytes, and when, is decided by the model alone; here is only reading,
writing and waiting. Time is the recorder's, sleeping is trio's, so the same driver runs on loopback sockets in real
time and on memory in virtual time.

::

              read                 wake                  write
    source ─────────► model.feed ─────────► lane.queue ─────────► destination      (one lane a direction)
             stops while                      model.consumed after each write
          capacity is 0

Everything that the model is told happens in :meth:`Link.poke` and the methods that end in it, none of which waits: two
tasks can never be between a call to the model and the actions that it asked for.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Union, final

import trio

from testbed import trace
from testbed.faults.connection import Action, Close, ConnectionModel, Eof, Extent, Fired, Forward, Reset
from testbed.faults.toxics import Direction, ResetMode
from testbed.net.connections import DRAIN_LIMIT
from testbed.ports import ByteConnection, Recorder

# One read is at most one chunk of the real server.
CHUNK = 32 * 1024
# After the link's own FIN: how long the two ends have for theirs before the sockets are closed on them, in seconds.
# Long, because a client that keeps a finished connection open is something to be seen.
LINGER = 60.0

_Item = Union[Forward, Eof]


@final
class _Lane:
    """One direction: where its bytes come from, what waits to be written, and where that goes."""

    __slots__ = (
        "deaf",
        "destination",
        "direction",
        "finished",
        "queue",
        "reading",
        "room",
        "source",
        "source_over",
        "source_reset",
        "torn",
        "total",
        "work",
    )

    def __init__(self, direction: Direction, source: ByteConnection, destination: ByteConnection) -> None:
        self.direction = direction
        self.source = source
        self.destination = destination
        self.queue: deque[_Item] = deque()
        self.work = trio.lowlevel.ParkingLot()  # the writer, while the queue is empty
        self.room = trio.lowlevel.ParkingLot()  # the reader, while the model takes nothing
        self.reading = trio.CancelScope()
        self.total = 0
        self.finished = False  # the FIN was handed on: no bytes can follow
        self.torn = False  # the RST was handed on: nothing can follow
        self.deaf = False  # the model takes no more: what the source says is read and forgotten
        self.source_over = False  # FIN or RST came from the source
        self.source_reset = False


@final
class Link:
    """One connection under way. Whoever changes its model from outside calls :meth:`poke` afterwards."""

    def __init__(
        self, model: ConnectionModel, client: ByteConnection, server: ByteConnection, conn: int, recorder: Recorder
    ) -> None:
        self._model = model
        self._client = client
        self._server = server
        self._conn = conn
        self._recorder = recorder
        self._up = _Lane(Direction.UPSTREAM, client, server)
        self._down = _Lane(Direction.DOWNSTREAM, server, client)
        self._lanes = {lane.direction: lane for lane in (self._up, self._down)}
        self._alarm = trio.CancelScope()
        self._due: int | None = None
        self._over: Reset | Close | None = None

    async def run(self) -> None:
        """Carry the connection until it is over on both sides; both ends are then closed."""
        try:
            self._model.open(self._recorder.now())
            async with trio.open_nursery() as nursery:
                for lane in self._lanes.values():
                    nursery.start_soon(self._read, lane)
                    nursery.start_soon(self._write, lane)
                await self._keep_time()
                self._wind_up(nursery.cancel_scope)
            await self._finish()
        finally:
            self._client.close()
            self._server.close()

    def poke(self) -> None:
        """Ask the model what is to happen now, and see to it. To be called after every change of the model."""
        if self._over is not None:
            return
        now = self._recorder.now()
        for action in self._model.wake(now):
            self._carry_out(action, now)
        for lane in self._lanes.values():
            if lane.room and (lane.deaf or self._model.capacity(lane.direction) > 0):
                lane.room.unpark_all()
        self._arm(now)

    # --- time ---------------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Wake the model at its deadlines until the connection is over."""
        self.poke()
        while not self._is_over():
            with trio.CancelScope() as self._alarm:
                self._due = None
                self._arm(self._recorder.now())
                await trio.sleep_forever()
            self.poke()

    def _arm(self, now: int) -> None:
        due = self._model.next_deadline()
        if due != self._due:
            self._due = due
            # At least a microsecond ahead: a deadline that rounding left in the past must not spin.
            wait = math.inf if due is None else max(due - now, 1) / 1_000_000
            self._alarm.deadline = trio.current_time() + wait

    def _is_over(self) -> bool:
        return self._over is not None or (self._up.finished and self._down.finished)

    # --- what the model asks for --------------------------------------------------------------------------------------

    def _carry_out(self, action: Action, now: int) -> None:
        if isinstance(action, (Forward, Eof)):
            lane = self._lanes[action.direction]
            lane.queue.append(action)
            lane.work.unpark_all()
        elif isinstance(action, Fired):
            self._recorder.record(trace.Fired(t=now, conn=self._conn, toxic=action.toxic, type=action.type))
        else:
            self._over = action
            self._alarm.cancel()

    def _wind_up(self, tasks: trio.CancelScope) -> None:
        """Stop reading; let the writers finish what is queued, unless an RST is to overtake it."""
        if isinstance(self._over, Reset) and self._over.mode is ResetMode.IMMEDIATE:
            tasks.cancel()
            return
        tasks.deadline = trio.current_time() + DRAIN_LIMIT
        for lane in self._lanes.values():
            lane.reading.cancel()
            lane.work.unpark_all()

    async def _finish(self) -> None:
        if isinstance(self._over, Reset):
            await self._reset(self._over.mode)
        else:
            await self._close()

    async def _reset(self, mode: ResetMode) -> None:
        if mode is ResetMode.DRAINED:
            await self._client.drain()
        for lane in (self._down, self._up):
            # Whoever sent the RST itself gets none, and nobody gets two.
            if not (self._opposite(lane).source_reset or lane.torn):
                self._hand_reset(lane, mode)

    async def _close(self) -> None:
        """FIN to both sides. Closing at once could answer input that is still on its way with an RST, which would
        destroy bytes before the FIN; so both ends get a while to say FIN themselves.
        """
        for lane in self._lanes.values():
            if not lane.finished:
                await self._hand_eof(lane, Extent.HALF)
        with trio.move_on_after(LINGER):
            async with trio.open_nursery() as nursery:
                for lane in self._lanes.values():
                    if not lane.source_over:
                        nursery.start_soon(self._discard, lane)

    async def _discard(self, lane: _Lane) -> None:
        """Read and forget up to the end of the stream, whichever end it is."""
        try:
            while await lane.source.receive():
                pass
        except ConnectionError:
            lane.source_reset = True
        self._note_over(lane)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self, lane: _Lane) -> None:
        with lane.reading:
            try:
                while data := await lane.source.receive(await self._wait_for_room(lane)):
                    if not lane.deaf:
                        self._model.feed(lane.direction, self._recorder.now(), data)
                        self.poke()
            except ConnectionError:
                self._source_reset(lane)
            else:
                self._source_eof(lane)

    async def _wait_for_room(self, lane: _Lane) -> int:
        while not lane.deaf:
            if (room := self._model.capacity(lane.direction)) > 0:
                return min(room, CHUNK)
            await lane.room.park()
        return CHUNK

    def _source_eof(self, lane: _Lane) -> None:
        self._note_over(lane)
        self._model.eof(lane.direction, self._recorder.now())
        self.poke()

    def _source_reset(self, lane: _Lane) -> None:
        """Tell of an RST once, whether reading or writing met it first."""
        if lane.source_reset or self._is_over():
            return
        lane.source_reset = True
        self._note_over(lane)
        self._model.reset(lane.direction, self._recorder.now())
        self.poke()

    def _note_over(self, lane: _Lane) -> None:
        lane.source_over = True
        if lane is self._up:
            self._recorder.record(trace.ClientLeft(t=self._recorder.now(), conn=self._conn, reset=lane.source_reset))

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _write(self, lane: _Lane) -> None:
        while not lane.finished:
            while not lane.queue:
                if self._is_over():
                    return
                await lane.work.park()
            item = lane.queue.popleft()
            if isinstance(item, Eof):
                await self._hand_eof(lane, item.extent)
            else:
                await self._hand(lane, item.data)

    async def _hand(self, lane: _Lane, data: bytes) -> None:
        opposite = self._opposite(lane)
        # To a side that is gone nothing is delivered; the model's bytes go nowhere.
        if not opposite.source_reset:
            lane.total += len(data)
            self._recorder.record(
                trace.Delivered(t=self._recorder.now(), conn=self._conn, direction=lane.direction, total=lane.total)
            )
            try:
                await lane.destination.send(data)
            except ConnectionError:
                self._source_reset(opposite)
        self._model.consumed(lane.direction, self._recorder.now(), len(data))
        self.poke()

    async def _hand_eof(self, lane: _Lane, extent: Extent) -> None:
        lane.finished = True
        if extent is Extent.RESET:
            self._hand_reset(lane, ResetMode.IMMEDIATE)
        else:
            if extent is Extent.WHOLE:
                # The destination's socket counts as closed, yet its input is read on: a real close would answer that
                # input with an RST, which could destroy bytes before the FIN.
                self._opposite(lane).deaf = True
                self._opposite(lane).room.unpark_all()
            self._recorder.record(trace.LinkEof(t=self._recorder.now(), conn=self._conn, direction=lane.direction))
            await lane.destination.send_eof()
        if self._is_over():
            self._alarm.cancel()

    def _hand_reset(self, lane: _Lane, mode: ResetMode) -> None:
        lane.torn = lane.finished = True
        back = self._opposite(lane)
        back.source_over = True
        back.reading.cancel()
        immediate = mode is ResetMode.IMMEDIATE
        self._recorder.record(
            trace.LinkReset(t=self._recorder.now(), conn=self._conn, direction=lane.direction, immediate=immediate)
        )
        lane.destination.reset()

    def _opposite(self, lane: _Lane) -> _Lane:
        return self._down if lane is self._up else self._up


async def run_link(
    model: ConnectionModel, client: ByteConnection, server: ByteConnection, conn: int, recorder: Recorder
) -> None:
    """Carry connection number `conn` between `client` and `server` through `model` until both sides are over.

    Records Delivered, LinkEof, LinkReset, ClientLeft and Fired. Both ends are closed when it returns or is cancelled.
    """
    await Link(model, client, server, conn, recorder).run()
