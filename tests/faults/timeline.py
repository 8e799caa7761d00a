"""Play a time line against a connection model, as a driver with perfect timing would; no test waits for anything.

Times are microseconds; a log line is (time, what), where what is the bytes forwarded downstream, or words: ``fin``,
``rst drained``, ``close``, ``fired latency``. What happens upstream is marked with ``up``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Union

from testbed.faults.connection import Action, Close, ConnectionModel, Eof, Extent, Fired, Forward, Reset, Semantics
from testbed.faults.toxics import Direction, Toxic

MS = 1000
UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM
FIN, RST = "fin", "rst"

What = Union[bytes, str]
Line = tuple[int, What]
Event = Union[tuple[int, What], tuple[int, What, Direction]]

_EXTENTS = {Extent.HALF: "fin", Extent.WHOLE: "fin whole", Extent.RESET: "rst whole"}


class Player:
    """A driver: it reads the sources as capacity allows, its destinations take everything at once unless `stuck`."""

    def __init__(
        self,
        toxics: Sequence[Toxic] = (),
        *,
        semantics: Semantics = Semantics.TRANSPARENT,
        seed: int = 0,
        start: int = 0,
    ) -> None:
        self.model = ConnectionModel(toxics, seed=seed, semantics=semantics)
        self.now = start
        self.log: list[Line] = []
        self.stuck: set[Direction] = set()
        self._forwarded: dict[Direction, list[bytes]] = {direction: [] for direction in Direction}
        self.untaken = dict.fromkeys(Direction, 0)
        self.sources: dict[Direction, deque[What]] = {direction: deque() for direction in Direction}
        self.model.open(start)
        self.settle()

    def settle(self) -> None:
        """Carry actions out and read on, until neither has anything left."""
        while True:
            for action in self.model.wake(self.now):
                self._carry_out(action)
            consumed = [self._consume(direction) for direction in Direction]
            read = [self._read(direction) for direction in Direction]
            if not any(consumed + read):
                return

    def to(self, time: int) -> Player:
        """Let time pass, waking at every deadline on the way, and hold the model to what its deadlines promise."""
        while (due := self.model.next_deadline()) is not None and due <= time:
            assert due > self.now, "the model asks to be woken at a time that has passed"
            self.now = due
            self.settle()
            after = self.model.next_deadline()
            assert after is None or after > due, "the model asks to be woken again at once"
        self.now = max(self.now, time)
        return self

    def send(self, what: What, direction: Direction = DOWN) -> Player:
        """Let the source send bytes, a FIN or an RST."""
        self.sources[direction].append(what)
        self.settle()
        return self

    def play(self, events: Iterable[Event], until: int = 10**15) -> Player:
        """Send each event at its time, then let time pass."""
        for time, what, *direction in events:
            self.to(time).send(what, *direction)
        return self.to(until)

    def bytes(self, direction: Direction = DOWN) -> bytes:
        """All that was forwarded so far in one direction."""
        return b"".join(self._forwarded[direction])

    @property
    def fired(self) -> list[What]:
        """The types of the toxics that fired, in order."""
        return [what for _, what in self.log if isinstance(what, str) and what.startswith("fired")]

    def _consume(self, direction: Direction) -> bool:
        size = 0 if direction in self.stuck else self.untaken[direction]
        if size:
            self.untaken[direction] = 0
            self.model.consumed(direction, self.now, size)
        return bool(size)

    def _read(self, direction: Direction) -> bool:
        source = self.sources[direction]
        if not source:
            return False
        what = source[0]
        if what == FIN:
            self.model.eof(direction, self.now)
        elif what == RST:
            self.model.reset(direction, self.now)
        elif not (room := self.model.capacity(direction)):
            # A driver stops reading a connection that is over; the rest must stay unread.
            return False
        else:
            assert isinstance(what, bytes)
            self.model.feed(direction, self.now, what[:room])
            if what[room:]:
                source[0] = what[room:]
                return True
        source.popleft()
        return True

    def _carry_out(self, action: Action) -> None:
        mark = "" if getattr(action, "direction", DOWN) is DOWN else "up "
        if isinstance(action, Forward):
            self.untaken[action.direction] += len(action.data)
            self._forwarded[action.direction].append(action.data)
            self._note(action.data if not mark else f"up {action.data!r}")
        elif isinstance(action, Eof):
            self._note(mark + _EXTENTS[action.extent])
        elif isinstance(action, Reset):
            self._note(f"rst {action.mode.value}")
        elif isinstance(action, Close):
            self._note("close")
        elif isinstance(action, Fired):
            self._note(f"fired {action.type}")

    def _note(self, what: What) -> None:
        self.log.append((self.now, what))


def play(toxics: Sequence[Toxic], events: Iterable[Event], *, seed: int = 0, until: int = 10**15) -> list[Line]:
    """Play events on a transparent connection and give the log."""
    return Player(toxics, seed=seed).play(events, until).log
