"""The connection model: what a network with toxics does to one connection, as a synchronous state machine.

The law of this module: no input or output, no clock, no global chance. Times are integer microseconds that the caller
passes in; the same calls with the same seed give the same actions. Interior bytes of a stream are never dropped,
changed or reordered, except by the toxics whose business that is. `next_deadline` is honest: waking then does
something, or moves it.

::

    driver                               model
    feed(direction, now, data)  ──────►  pipeline of that direction (testbed.faults.pipeline)
    eof, reset, consumed        ──────►
    wake(now)                   ◄──────  Forward | Eof | Reset | Close | Fired, in order
    capacity(direction) == 0             do not read that source: the row is full
    next_deadline()                      call wake again no later than then

After every call the driver calls `wake` and carries the actions out. Both directions are one model because a reset,
`reset_peer`'s option and the end of a connection belong to the connection and not to a direction.

How an end at the writer becomes an action
    =====================  ================================  ==============================================
    end                    TRANSPARENT                       TOXIPROXY
    =====================  ================================  ==============================================
    the source's FIN       Eof, the other direction goes on  as a toxic's close
    the source's RST       Reset (drained), behind its data  as its FIN
    a toxic's close        the destination is closed, the other direction delivers what it holds, Close
    a toxic's reset        Reset
    =====================  ================================  ==============================================

If a `reset_peer` was there when the connection opened, a FIN counts as a close and every close is an immediate reset:
it has taken the orderly end from both sockets, even where its toxicity spared the connection.

How much is held. A direction holds at most 64 KiB forwarded and not consumed, one chunk (32 KiB) in the writer's
hand, one at the entrance and one in each toxic; `packet_loss` 64 KiB more, `latency` up to 1024 chunks.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, final

from testbed.errors import HarnessError, UsageError, unknown_name
from testbed.faults.actions import Action, Close, Eof, Extent, Fired, Forward, Reset
from testbed.faults.pipeline import Pipeline, Slot
from testbed.faults.stages.base import End, Memory
from testbed.faults.toxics import Direction, ResetMode, ResetPeer, Toxic, type_name

__all__ = [
    "Action",
    "Close",
    "ConnectionModel",
    "Eof",
    "Extent",
    "Fired",
    "Forward",
    "Reset",
    "Semantics",
    "toxic_name",
]


class Semantics(str, enum.Enum):
    """What the network does with the ends that it did not cause."""

    TRANSPARENT = "transparent"  # as a wire: FIN is FIN, RST is RST
    TOXIPROXY = "toxiproxy"  # as the real proxy: any end closes the whole connection, orderly


# Tables that `_settle` reads; the third one, which end means what, is in the docstring above and in `_meaning`.
_OTHER: Final = {Direction.UPSTREAM: Direction.DOWNSTREAM, Direction.DOWNSTREAM: Direction.UPSTREAM}
_RESETS: Final = {End.RESET_DRAINED: ResetMode.DRAINED, End.RESET_IMMEDIATE: ResetMode.IMMEDIATE}


def toxic_name(toxic: Toxic) -> str:
    """Give the name by which a toxic is addressed: its own, or Toxiproxy's default."""
    return toxic.name or f"{type_name(toxic)}_{toxic.stream.value}"


@final
class ConnectionModel:
    """One connection with both its directions. `seed` must differ between the connections of a plan."""

    def __init__(self, toxics: Sequence[Toxic], *, seed: int, semantics: Semantics) -> None:
        self._seed = seed
        self._semantics = semantics
        self._actions: list[Action] = []
        self._pipelines = {direction: Pipeline(direction, self._actions) for direction in Direction}
        self._both = tuple(self._pipelines.values())
        # Numbers and not names are the identity of a toxic: an API may remove one and add another by the same name, and
        # a trace that says "toxic 1 fired" must mean the one that was there.
        self._slots: dict[int, Slot] = {}  # by number; numbers are never used again
        self._count = 0
        self._now = 0
        self._opened = 0
        self._due: int | None = None  # when a stage next does something by itself
        self._is_open = False
        self._over = False
        self._settled: set[Direction] = set()  # directions whose end has been dealt with
        self._aborted: set[Direction] = set()  # the source sent an RST after its FIN
        self._closing = False  # the whole connection is being closed
        self._lingerless: list[Slot] = []  # the reset_peers that were there when the connection opened
        for toxic in toxics:
            self._pipelines[toxic.stream].append(self._new_slot(toxic))

    @property
    def over(self) -> bool:
        """Whether nothing more will come: a Reset, a Close, or an Eof in each direction was given."""
        return self._over

    # --- what the driver tells ----------------------------------------------------------------------------------------

    def open(self, now: int) -> None:
        """Begin: both sides are connected."""
        # The real server puts linger 0 on both sockets when a link with a reset_peer starts, and never takes it off
        # again. So this is decided here, once, and neither toxicity nor removal changes it.
        self._now = self._opened = now
        self._is_open = True
        self._lingerless = [slot for slot in self._slots.values() if isinstance(slot.toxic, ResetPeer)]
        for pipeline in self._pipelines.values():
            pipeline.start(now)
        self._pump()

    def feed(self, direction: Direction, now: int, data: bytes) -> None:
        """Take what one read from the source of `direction` brought: no more than `capacity`.

        Bytes for a direction that has ended are dropped, as they are by a socket that was closed while they
        travelled.
        """
        pipeline = self._at(direction, now)
        # A driver may have been waiting in its read while the direction ended: what it brings then is nobody's mistake.
        if not data or self._over or not pipeline.accepting:
            return
        if len(data) > (room := self.capacity(direction)):
            raise HarnessError(f"connection: {len(data)} bytes fed {direction.value}; it takes {room}")
        pipeline.feed(data, now)
        self._pump()

    def eof(self, direction: Direction, now: int) -> None:
        """Take the FIN of the source of `direction`."""
        self._at(direction, now).shut(End.FIN)
        self._pump()

    def reset(self, direction: Direction, now: int) -> None:
        """Take the RST of the source of `direction`: it is gone, so nothing can be delivered to it either."""
        # After an RST the kernel has forgotten the connection: writing to that side fails. What the other direction
        # still holds for it must run off somewhere, or its end would never be reached and the connection never be
        # over.
        pipeline = self._at(direction, now)
        self._pipelines[_OTHER[direction]].break_off()
        if self._semantics is Semantics.TOXIPROXY:
            pipeline.shut(End.FIN)
        elif pipeline.accepting:
            pipeline.shut(End.RESET_DRAINED)
        else:
            self._abort(direction)
        self._pump()

    def consumed(self, direction: Direction, now: int, n: int) -> None:
        """Take note that `n` forwarded bytes were written to the destination of `direction`."""
        # Only a writer with something in hand can use the room, and everything else that could move has moved before.
        if self._at(direction, now).consumed(n):
            self._pump()

    # --- what the driver asks -----------------------------------------------------------------------------------------

    def capacity(self, direction: Direction) -> int:
        """Bytes that may be fed now. 0: do not read the source, which is how back-pressure reaches it."""
        return 0 if self._over or not self._is_open else self._pipelines[direction].capacity()

    def next_deadline(self) -> int | None:
        """When to call `wake` at the latest, or None if only a call can change anything."""
        # Actions that nobody has fetched are overdue by definition.
        if self._actions:
            return self._now
        return self._due

    def wake(self, now: int) -> list[Action]:
        """Do everything that is due, and give what the driver must do, in order."""
        self._advance(now)
        actions = self._actions[:]
        self._actions.clear()
        return actions

    # --- live changes -------------------------------------------------------------------------------------------------

    def add(self, toxic: Toxic, now: int) -> int:
        """Put a toxic behind the others of its direction; gives the number by which `Fired` and `update` know it."""
        if toxic_name(toxic) in self._names():
            raise UsageError(f"connection: a toxic named {toxic_name(toxic)!r} is there already")
        pipeline = self._at(toxic.stream, now)
        slot = self._new_slot(toxic)
        if self._is_open:
            slot.memory.opened = self._opened
            pipeline.add(slot, self._now)
        else:
            pipeline.append(slot)
        self._pump()
        return slot.memory.index

    def update(self, which: int | str, toxic: Toxic, now: int) -> None:
        """Give the toxic with that number or name the attributes and the toxicity of `toxic`, which is drawn anew."""
        slot = self._find(which)
        if type(toxic) is not type(slot.toxic) or toxic.stream is not slot.toxic.stream:
            raise UsageError(f"connection: toxic {which!r} cannot change its type or its stream")
        pipeline = self._at(toxic.stream, now)
        slot.toxic = toxic
        if self._is_open:
            pipeline.update(slot, self._now)
        self._pump()

    def remove(self, name: int | str, now: int) -> None:
        """Take the toxic with that name or number out of the connection."""
        slot = self._find(name)
        pipeline = self._at(slot.toxic.stream, now)
        del self._slots[slot.memory.index]
        if self._is_open:
            pipeline.remove(slot, self._now)
        else:
            pipeline.withdraw(slot)
        self._pump()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _new_slot(self, toxic: Toxic) -> Slot:
        slot = Slot(toxic, Memory(self._seed, self._count))
        self._slots[self._count] = slot
        self._count += 1
        return slot

    def _names(self) -> list[str]:
        return [toxic_name(slot.toxic) for slot in self._slots.values()]

    def _find(self, which: int | str) -> Slot:
        for number, slot in self._slots.items():
            if which in (number, toxic_name(slot.toxic)):
                return slot
        raise unknown_name("toxic", str(which), self._names())

    def _at(self, direction: Direction, now: int) -> Pipeline:
        """Go to `now`. What fell due before the call happens before it: a late chunk cannot wind up a spent clock."""
        self._advance(now)
        return self._pipelines[direction]

    def _advance(self, now: int) -> None:
        # Between two pumps nothing can move, so an early call costs a comparison. That is the whole cost of a quiet
        # connection, of which a run may have thousands.
        self._now = max(self._now, now)
        if self._due is not None and self._due <= now:
            self._pump()

    def _pump(self) -> None:
        """Move everything as far as it goes; whatever changes the model ends in this."""
        if self._is_open and not self._over:
            for pipeline in self._both:
                pipeline.pump(self._now)
            # Dealing with one direction's end can bring about the other's.
            while (ended := self._unsettled()) is not None:
                self._settle(ended)
        self._due = None if self._over or not self._is_open else self._next_due()

    def _unsettled(self) -> Pipeline | None:
        for pipeline in self._both:
            if pipeline.ended is not None and not self._over and pipeline.direction not in self._settled:
                return pipeline
        return None

    def _next_due(self) -> int | None:
        # A pump leaves nothing due behind, so the pipelines only report times after now.
        first, second = (pipeline.deadline(self._now) for pipeline in self._both)
        return second if first is None else first if second is None else min(first, second)

    def _settle(self, pipeline: Pipeline) -> None:
        """Turn the end that a direction has come to into actions: the table at the top of this module."""
        # "Both" is what tells a close that must still wait for the other direction from one that completes it.
        self._settled.add(pipeline.direction)
        both = len(self._settled) == len(Direction)
        end = self._meaning(pipeline)
        if end in _RESETS:
            self._finish(Reset(_RESETS[end]))
        elif end is End.FIN:
            self._actions.append(Eof(pipeline.direction))
            self._over = both
        elif both:
            self._finish(Reset(ResetMode.IMMEDIATE) if self._strike_linger() else Close())
        else:
            self._close_whole(pipeline)

    def _meaning(self, pipeline: Pipeline) -> End:
        # Toxics' own ends mean what they say. A FIN means what the network makes of it.
        end = pipeline.ended or End.FIN
        if end is not End.FIN:
            return end
        if pipeline.direction in self._aborted:
            return End.RESET_DRAINED
        whole = self._closing or self._lingerless or self._semantics is Semantics.TOXIPROXY
        return End.CLOSE if whole else End.FIN

    def _close_whole(self, pipeline: Pipeline) -> None:
        """Close the destination's socket. Reading from it then fails, so the other direction ends with what is left."""
        # Not both sockets at once: the real server's reverse link flushes what it holds before it closes the first
        # socket, and a client behind a latency does get the tail of its answer.
        self._closing = True
        other = self._pipelines[_OTHER[pipeline.direction]]
        other.shut(End.FIN)
        other.pump(self._now)
        if other.ended is None:
            extent = Extent.RESET if self._strike_linger() else Extent.WHOLE
            self._actions.append(Eof(pipeline.direction, extent))

    def _strike_linger(self) -> bool:
        """Say whether closes are resets on this connection; the `reset_peer` that made them so has then struck."""
        for slot in self._lingerless:
            if not slot.fired:
                slot.fired = True
                self._actions.append(Fired(slot.memory.index, "reset_peer"))
        return bool(self._lingerless)

    def _abort(self, direction: Direction) -> None:
        """Take an RST that came after the same source's FIN: it follows the FIN, and overtakes nothing."""
        if self._pipelines[direction].ended is End.FIN and not self._closing and not self._over:
            self._finish(Reset(ResetMode.DRAINED))
        else:
            self._aborted.add(direction)

    def _finish(self, action: Reset | Close) -> None:
        self._actions.append(action)
        self._over = True
