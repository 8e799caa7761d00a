"""Stages: many scenarios and dialects on one address, and which of them a request is for.

The laws of this module: a stage is one scenario in one dialect, with turns, a quota and keys of its own; a request is
for one stage or for none, and whom none is for is told what there is. It knows the names of things and no network.

A request is for the scenario that its path begins with (``/vpn-latency/v1/chat/completions``), or that its model names
(``testbed/vpn-latency``), or for the only one there is; and for the dialect that serves the rest of its path.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, final

from testbed.dialects import DIALECTS, Answer, Asked, Case, Dialect
from testbed.dialects._answers import to_json
from testbed.plan import Plan, Quota
from testbed.script import DialectName, Reading, Script
from testbed.server import uploads
from testbed.server.desk import Found, Memory, Reply
from testbed.server.glance import Seen

MODEL_PREFIX = "testbed/"


class Turn(NamedTuple):
    """What one connection gets: attempt number `conn` of `plan`."""

    plan: Plan
    conn: int


@final
class Stage:
    """One scenario in one dialect. Turns that were not used come back, and are the next to be given.

    `plan`: the one that all its turns are of, if there is but one.
    """

    def __init__(
        self,
        name: str,
        dialect: DialectName,
        turns: Iterator[Turn],
        quota: Quota | None = None,
        *,
        plan: Plan | None = None,
    ) -> None:
        self.name = name
        self.dialect = dialect
        self.plan = plan
        self.memory = Memory(quota)
        self._turns = turns
        self._back: deque[Turn] = deque()

    @property
    def ready(self) -> bool:
        """Whether a turn came back, which :meth:`take` gives at once; otherwise it has to be drawn."""
        return bool(self._back)

    def take(self) -> Turn:
        """The next turn."""
        return self._back.popleft() if self._back else next(self._turns)

    def give_back(self, turn: Turn) -> None:
        """Put back what was not used."""
        self._back.appendleft(turn)


@final
class TurnOfOne:
    """The order of one connection: its own turn, and if it is kept the next ones of its stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.turn = stage.take()
        self._held = True  # the turn is this connection's to use

    def next(self, _conn: int) -> tuple[int, Script]:
        """Look at the turn."""
        if not self._held:
            self.turn, self._held = self._stage.take(), True
        return self.turn.conn, self.turn.plan.attempt(self.turn.conn).script

    def take(self, _conn: int) -> None:
        """Use it."""
        self._held = False

    def skip(self, _conn: int) -> None:
        """Give it to whoever comes next, at once: the client may ask again before this connection is over."""
        self._release()

    def over(self, *, struck: bool) -> None:
        """The connection is over. `struck`: the network may have kept its request away, and that used the turn up."""
        if not struck:
            self._release()

    def _release(self) -> None:
        if self._held:
            self._stage.give_back(self.turn)
        self._held = False


@final
class TurnOfAny:
    """The order of connections that make one request each and have no network to them: a turn is chosen when it is
    used.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def next(self, _conn: int) -> tuple[int, Script]:
        """Look at the turn that is due."""
        turn = self._stage.take()
        self._stage.give_back(turn)
        return turn.conn, turn.plan.attempt(turn.conn).script

    def take(self, _conn: int) -> None:
        """Use it."""
        self._stage.take()

    def skip(self, _conn: int) -> None:
        """Leave it for later."""


class Place(NamedTuple):
    """Where a request belongs, and what of its path belongs to the address and not to the vendor."""

    stage: Stage
    prefix: str = ""


@final
class House:
    """All stages of one address."""

    def __init__(self, stages: Iterable[Stage], *, by_name: bool = False) -> None:
        self._stages: dict[str, dict[DialectName, Stage]] = {}
        for stage in stages:
            self._stages.setdefault(stage.name, {})[stage.dialect] = stage
        self.by_name = by_name

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All of them."""
        return tuple(itertools.chain.from_iterable(one.values() for one in self._stages.values()))

    @property
    def samples(self) -> tuple[Stage, ...]:
        """One for each dialect, the first that has it."""
        return tuple({stage.dialect: stage for stage in reversed(self.stages)}.values())[::-1]

    @property
    def only(self) -> Stage | None:
        """The stage that every request is for, if there is but one."""
        return self.stages[0] if len(self.stages) == 1 and not self.by_name else None

    @property
    def names(self) -> tuple[str, ...]:
        """The scenarios."""
        return tuple(self._stages)

    def place(self, seen: Seen) -> Place | None:
        """Say where a request belongs; None: nowhere."""
        name, rest = self._named(seen)
        if name not in self._stages:
            return None
        offered = self._stages[name]
        dialect = dialect_of(rest, seen.headers, tuple(offered))
        return Place(offered[dialect], seen.path[: len(seen.path) - len(rest)])

    def knows(self, path: str) -> bool:
        """Whether a path says by itself which scenario is meant."""
        return not self.by_name or path.split("/")[1:2] in [[name] for name in self._stages]

    def _named(self, seen: Seen) -> tuple[str, str]:
        if not self.by_name:
            return next(iter(self._stages)), seen.path
        first, slash, rest = seen.path.removeprefix("/").partition("/")
        if first in self._stages:
            return first, slash + rest
        return seen.model.removeprefix(MODEL_PREFIX) if seen.model.startswith(MODEL_PREFIX) else "", seen.path


# Fields that only one vendor's clients send, for the paths that several vendors have.
_MARKS: Mapping[str, DialectName] = {
    "anthropic-version": DialectName.ANTHROPIC_MESSAGES,
    "x-api-key": DialectName.ANTHROPIC_MESSAGES,
    "x-goog-api-key": DialectName.GEMINI,
    "mcp-protocol-version": DialectName.MCP,
    "mcp-session-id": DialectName.MCP,
}


def dialect_of(path: str, headers: Mapping[str, str], offered: Sequence[DialectName]) -> DialectName:
    """The dialect of a request: whoever serves its path, else whom its headers name, else the first that is offered."""
    marked = [dialect for field, dialect in _MARKS.items() if field in headers and dialect in offered]
    serving = [one for one in offered if DIALECTS[one].serves(path)]
    if not serving:
        serving = [one for one in offered if one in uploads.SERVICES and uploads.SERVICES[one].path == path]
    return next((one for one in marked if one in serving or not serving), (serving or offered)[0])


@final
class Porter:
    """Stands in for a desk where a request is for no stage: it says what there is."""

    def __init__(self, house: House, seen: Seen) -> None:
        self._dialect: Dialect = DIALECTS[dialect_of(seen.path, seen.headers, tuple(DIALECTS))]
        self._names = house.names

    def reading(self, _conn: int, _method: str, _path: str) -> Reading:
        """Nothing unusual."""
        return Reading()

    def explain(self, status: int, sentence: str) -> Answer:
        """The vendor's shape."""
        return self._dialect.answer(Case(status, sentence))

    def ask(self, asked: Asked, conn: int, now: int, *, whole: bool = True) -> Reply:
        """List the scenarios at the root; refuse anything else."""
        del conn, now, whole
        if asked.path == "/" and asked.method in {"GET", "HEAD"}:
            body = to_json({"scenarios": {name: f"/{name}" for name in self._names}})
            return Reply(Answer(200, body), None, Found(aside=True, status=200))
        sentence = (
            f"no scenario is named by the path {asked.path}; begin it with /NAME, or ask for the model"
            f" {MODEL_PREFIX}NAME; GET / lists the names"
        )
        answer = self._dialect.answer(Case(404, sentence))
        return Reply(answer, None, Found(problem=sentence, status=404))
