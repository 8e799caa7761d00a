"""One direction of a connection: the entrance, a slot for each toxic in creation order, the writer.

The law of this module: items move from left to right and never pass one another; an item moves only into a slot that
has room, so a destination that takes nothing stops the whole row and, by `capacity`, the source. Nothing is dropped
but by the stages that say so, and by an end that a toxic puts into the stream: what stands to the left of that end is
gone.

::

    feed ─► [entrance] ─► [toxic] ─► [toxic] ─► writer ─► Forward … consumed
             a slot without a toxic            holds one item until the destination has room

A live change follows the real server: it interrupts stages, and an interrupted stage lets the chunk in its hand go on
undelayed. Such chunks wait in the slot's outbox, ahead of everything that the slot's next stage will give.
"""

from __future__ import annotations

from collections import deque
from typing import final

from testbed.faults import stages
from testbed.faults.actions import Action, Fired, Forward
from testbed.faults.stages.base import CHUNK, WINDOW, Chunk, End, Item, Memory, Stage
from testbed.faults.stages.noop import NoopStage
from testbed.faults.toxics import Direction, Noop, Timeout, Toxic, type_name


# Two places can hold an item in a slot. The stage has what the toxic is working on; the outbox has what a stage had
# to let go, which is older and no longer the toxic's business. Hence the outbox empties first, and a slot with one
# takes nothing.
@final
class Slot:
    """A toxic's place in the row: its present stage, and what the stages before it had to let go."""

    def __init__(self, toxic: Toxic, memory: Memory) -> None:
        self.toxic = toxic
        self.memory = memory
        self.outbox: deque[Item] = deque()
        self.fired = False
        self.closed = False  # the end has passed: nothing more will
        self.stage: Stage = NoopStage(toxic, memory, 0)

    def start(self, now: int) -> None:
        """Begin a stage for the toxic as it is now; whether it strikes is drawn anew each time."""
        self.stage = stages.start(self.toxic, self.memory, now)

    def room(self) -> bool:
        """Say whether an item may be moved in here."""
        return not self.outbox and not self.closed and self.stage.ready()

    def emit(self, now: int) -> Item | None:
        """Give the next item that may move on."""
        return self.outbox.popleft() if self.outbox else self.stage.emit(now)

    def interrupt(self) -> None:
        """Let the chunk in hand go on undelayed."""
        self.outbox.extend(self.stage.interrupt())

    def restart(self, now: int) -> None:
        """Put a new stage in place of an interrupted one; it takes what the old one had not looked at."""
        # The end in particular must meet the new stage: a slow_close that is updated begins its wait again.
        rest = self.stage.leftover()
        self.start(now)
        # A noop has no queue: what a latency had queued goes on at once when the toxic now spares the connection.
        while rest and self.stage.ready():
            self.stage.take(rest.pop(0), now)
        if rest:
            self.outbox.extend([*self.stage.leftover(), *rest])

    def clear(self) -> None:
        """Forget everything, for good."""
        # A fresh noop has no deadline, so a cleared slot never asks to be woken.
        self.outbox.clear()
        self.stage = NoopStage(self.toxic, self.memory, 0)
        self.closed = True


@final
class Pipeline:
    """The row of slots of one direction."""

    def __init__(self, direction: Direction, actions: list[Action]) -> None:
        self.direction = direction
        self.ended: End | None = None  # how the stream ended at the writer, once it has
        self.accepting = True  # the entrance still takes items
        # The entrance is a slot like the others, so that moving on from it is no special case. Its outbox is the queue.
        self._slots = [Slot(Noop(stream=direction), Memory(0, -1))]
        self._actions = actions
        self._waiting = 0  # bytes at the entrance
        self._last: Item | None = None  # in the writer's hand
        self._outstanding = 0  # bytes forwarded, not yet consumed
        self._broken = False  # the destination is gone: what arrives there vanishes

    # --- the stream ---------------------------------------------------------------------------------------------------

    def capacity(self) -> int:
        """Bytes that the entrance takes now."""
        return max(0, CHUNK - self._waiting) if self.accepting else 0

    def feed(self, data: bytes, now: int) -> None:
        """Put what one read brought at the entrance."""
        self._slots[0].outbox.append(Chunk(data, now))
        self._waiting += len(data)

    def shut(self, end: End) -> None:
        """Put the end behind everything that was fed; from now on nothing is taken."""
        if self.accepting:
            self.accepting = False
            self._slots[0].outbox.append(end)

    def consumed(self, size: int) -> bool:
        """Note that the destination has taken so many bytes; say whether something was waiting for that."""
        self._outstanding = max(0, self._outstanding - size)
        return self._last is not None

    def break_off(self) -> None:
        """Note that the destination is gone. The stream runs on into nothing, so that its end is reached."""
        self._broken = True
        self._outstanding = 0

    def deadline(self, now: int) -> int | None:
        """When some stage next does something by itself. One that was due by `now` is blocked and waits for room."""
        # Times that have gone by are left out: such a stage is blocked from behind, and waking it would be a busy loop.
        # What unblocks it is room, and room comes from a later stage's own deadline or from `consumed`.
        soonest = None
        for slot in self._slots[1:]:
            due = slot.stage.deadline()
            if due is not None and due > now and (soonest is None or due < soonest):
                soonest = due
        return soonest

    def pump(self, now: int) -> None:
        """Move everything as far as it goes."""
        self._write()
        moving = True
        while moving:
            moving = False
            # From right to left: a slot that empties makes room for its neighbour within the same round.
            for place in range(len(self._slots) - 1, -1, -1):
                moving |= self._shift(place, now)

    def _shift(self, place: int, now: int) -> bool:
        here, moved = self._slots[place], False
        while self._room_behind(place):
            item = here.emit(now)
            self._notice(here)
            if item is None:
                break
            # Each item that moves is one step nearer to the writer, so the loops end: nothing ever moves to the left.
            moved = True
            if place == 0 and isinstance(item, Chunk):
                self._waiting -= len(item.data)
            # A source's own end has nothing behind it; a toxic's may, and that can no longer be delivered.
            if isinstance(item, End):
                self._cut(place + 1)
            self._hand_on(place + 1, item, now)
        return moved

    def _room_behind(self, place: int) -> bool:
        return self._last is None if place + 1 == len(self._slots) else self._slots[place + 1].room()

    def _hand_on(self, place: int, item: Item, now: int) -> None:
        if place < len(self._slots):
            self._slots[place].stage.take(item, now)
            self._notice(self._slots[place])
        else:
            self._last = item
            self._write()

    def _write(self) -> None:
        item = self._last
        # A window and not one write at a time: a destination that reads normally costs no extra rounds, and one that
        # does not is felt after 64 KiB, about what a socket buffer holds.
        if isinstance(item, Chunk) and self._outstanding < WINDOW:
            self._last = None
            if not self._broken:
                self._outstanding += len(item.data)
                self._actions.append(Forward(self.direction, item.data))
        # An end is told only when its destination has taken all that went before, so that the driver's queues are
        # empty and an exact byte stays exact whatever kind of end it is.
        elif isinstance(item, End) and self._outstanding == 0:
            self._last = None
            self.ended = item

    def _notice(self, slot: Slot) -> None:
        # Asked after every take and emit, before the item moves on: so `Fired` precedes the Forward that it changed.
        if slot.stage.struck and not slot.fired:
            slot.fired = True
            self._actions.append(Fired(slot.memory.index, type_name(slot.toxic)))

    def _cut(self, stop: int) -> None:
        """Forget everything to the left of place `stop`: an end has left there."""
        self.accepting = False
        self._waiting = 0
        for slot in self._slots[:stop]:
            slot.clear()

    # --- live changes -------------------------------------------------------------------------------------------------

    def start(self, now: int) -> None:
        """Begin all stages: the connection is open."""
        for slot in self._slots[1:]:
            slot.memory.opened = now
            slot.start(now)

    def append(self, slot: Slot) -> None:
        """Put a slot at the end of a connection that is not open yet."""
        self._slots.append(slot)

    def withdraw(self, slot: Slot) -> None:
        """Take a slot out of a connection that is not open yet."""
        self._slots.remove(slot)

    def add(self, slot: Slot, now: int) -> None:
        """Put a toxic at the end of a live connection. What its neighbour has to let go was never meant for it."""
        # The interrupted neighbour still writes to where it wrote before, past the toxic that is being put there. The
        # entrance is not interrupted: what waits there has not been let go by anybody.
        before = self._slots[-1]
        self._slots.append(slot)
        if len(self._slots) > 2 and self._may_interrupt(before):
            before.interrupt()
            slot.outbox.extend(before.outbox)
            before.outbox.clear()
            before.restart(now)
        slot.start(now)

    def update(self, slot: Slot, now: int) -> None:
        """Let a slot whose toxic has changed begin anew."""
        if self._may_interrupt(slot):
            slot.interrupt()
            slot.restart(now)

    def remove(self, slot: Slot, now: int) -> None:
        """Take a toxic out: what it holds goes on undelayed, in order, and ahead of what its neighbour lets go."""
        if not slot.closed and not slot.stage.interruptible:
            return  # asleep: the close that is coming cannot be called off
        # What goes on passes the toxics behind this one as ever; only this one's hold on it ends.
        place = self._slots.index(slot)
        held = self._take_out(slot)
        # By the toxic and not by its stage: the real server's clean-up does not ask whether this link had been spared.
        if isinstance(slot.toxic, Timeout) and not slot.closed:
            self._cut(place)
            held = [End.CLOSE]
        del self._slots[place]
        self._insert(place - 1, held, now)

    def _take_out(self, slot: Slot) -> list[Item]:
        slot.interrupt()
        return [*slot.outbox, *slot.stage.leftover()]

    def _insert(self, place: int, held: list[Item], now: int) -> None:
        """Put items ahead of all that the slot at `place` has, and interrupt that slot as the real server does."""
        # The neighbour is interrupted first, so that what it lets go is already in line when the older items are put
        # ahead.
        slot = self._slots[place]
        if place > 0 and self._may_interrupt(slot):
            slot.interrupt()
            slot.restart(now)
        slot.outbox.extendleft(reversed(held))
        if place == 0:
            self._waiting += sum(len(item.data) for item in held if isinstance(item, Chunk))

    @staticmethod
    def _may_interrupt(slot: Slot) -> bool:
        return not slot.closed and slot.stage.interruptible
