"""The log of ``testbed serve``: one line a request, for people or as JSON.

The law of this module: a line says what became of a request and who did it, the script, the network or the client; it
is written when that is known, and nothing is judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple, final

from testbed.faults.toxics import Direction
from testbed.script import Ending, Step, Text
from testbed.server.stages import Turn
from testbed.trace import Delivered, Fired, LinkEof, LinkReset, Observation, PeerLeft, Request, Sent, ServerEnd


class Line(NamedTuple):
    """What is said of one request; `outcome` is a word for machines, `said` the same in words for people."""

    time: str
    connection: int
    dialect: str
    scenario: str
    attempt: int
    method: str
    path: str
    outcome: str
    said: str
    status: int
    bytes: int
    tokens: int
    seconds: float
    faults: tuple[str, ...]


def as_text(line: Line) -> str:
    """One line for people."""
    where = " ".join(word for word in (line.dialect, line.scenario) if word) or f"{line.method} {line.path}".strip()
    attempt = f" attempt {line.attempt + 1}" if line.scenario else ""
    faults = f" [{', '.join(line.faults)}]" if line.faults else ""
    # What a client wrote into its request must not write into the terminal.
    said = "".join(sign if sign.isprintable() else "�" for sign in line.said)
    return f"{line.time.partition('T')[2]} #{line.connection} {where}{attempt}: {said}{faults}"


def as_json(line: Line) -> str:
    """One line of JSON, with the same content."""
    return json.dumps(line._asdict())


# The endings that a script chooses, in words; those of a whole answer are told apart before.
_ENDINGS = {
    Ending.CLEAN: "ended",
    Ending.FIN: "cut by plan with a FIN",
    Ending.RST: "reset by plan",
    Ending.ABORT: "reset by plan at once",
    Ending.OPEN: "left open by plan",
    Ending.KEEP: "ended, and kept",
    Ending.STALE: "ended, and gone stale",
}
_WHOLE = frozenset({Ending.CLEAN, Ending.KEEP, Ending.STALE})


class _Exchange:
    """One request of a connection, as far as it is known."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.body = 0
        self.wire = 0
        self.tokens = 0
        self.last = request.t
        self.end: ServerEnd | None = None
        self.left: PeerLeft | None = None


class _Connection:
    """One connection, as far as it is known."""

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self.exchange: _Exchange | None = None
        self.faults: list[str] = []
        self.delivered = 0
        self.cut: LinkReset | LinkEof | None = None


@final
class Log:
    """Watches a serving and writes its lines through `write`."""

    def __init__(self, write: Callable[[Line], None]) -> None:
        self._write = write
        self._open: dict[int, _Connection] = {}

    def turn(self, number: int, turn: Turn) -> None:
        """Remember what the connection plays."""
        self._at(number).turn = turn

    def seen(self, number: int, observation: Observation) -> None:
        """Take in one fact; a line is written as soon as nothing more can change it."""
        connection = self._at(number)
        if isinstance(observation, Request):
            self._flush(number, connection)
            connection.exchange = _Exchange(observation)
        elif isinstance(observation, Fired):
            connection.faults.append(observation.type)
        elif isinstance(observation, Delivered) and observation.direction is Direction.DOWNSTREAM:
            connection.delivered = observation.total
        elif isinstance(observation, (LinkReset, LinkEof)) and observation.direction is Direction.DOWNSTREAM:
            connection.cut = connection.cut or observation
        elif connection.exchange is not None:
            _take(connection.exchange, connection.turn, observation)
        if connection.exchange is not None and connection.exchange.end and not _may_be_struck(connection.turn):
            self._flush(number, connection)

    def over(self, number: int, trouble: str) -> None:
        """Write what is left to be said of the connection."""
        connection = self._open.pop(number, _Connection())
        if trouble:
            self._write(_line(number, connection, "error", f"our own error: {trouble}"))
        else:
            self._flush(number, connection)

    def _at(self, number: int) -> _Connection:
        return self._open.setdefault(number, _Connection())

    def _flush(self, number: int, connection: _Connection) -> None:
        if (exchange := connection.exchange) is not None:
            outcome, said = _outcome(connection, exchange)
            self._write(_line(number, connection, outcome, said))
            connection.exchange = None


def _may_be_struck(turn: Turn | None) -> bool:
    return turn is not None and bool(turn.plan.attempt(turn.conn).toxics)


def _take(exchange: _Exchange, turn: Turn | None, observation: Observation) -> None:
    if isinstance(observation, Sent):
        exchange.wire = observation.wire[1]
        exchange.body = observation.body[1]
        exchange.tokens += observation.ends_step and isinstance(_step(exchange, turn, observation.step), Text)
    elif isinstance(observation, ServerEnd):
        exchange.end = observation
    elif isinstance(observation, PeerLeft):
        exchange.left = observation
    exchange.last = getattr(observation, "t", exchange.last)


def _step(exchange: _Exchange, turn: Turn | None, index: int) -> Step | None:
    if turn is None or index < 0:
        return None
    number = turn.conn if exchange.request.attempt == -1 else exchange.request.attempt
    steps = turn.plan.attempt(number).script.steps
    return steps[index] if index < len(steps) else None


def _outcome(connection: _Connection, exchange: _Exchange) -> tuple[str, str]:
    """What became of a request: the word and the words."""
    request = exchange.request
    if request.problem:
        return "refused", f"refused {request.status or ''}".rstrip() + f": {request.problem}"
    if request.wait >= 0:
        return "quota", f"answered {request.status}: the quota is used up for {request.wait / 1e6:.3g} s"
    if request.aside:
        return "aside", f"answered {request.status} to {request.method} {request.path}"
    return _played(connection, exchange)


def _played(connection: _Connection, exchange: _Exchange) -> tuple[str, str]:
    """What became of a request that played an attempt."""
    end = exchange.end
    undelivered = end is None or connection.delivered < exchange.wire
    if connection.cut is not None and connection.faults and undelivered:
        how = "reset" if isinstance(connection.cut, LinkReset) else "cut"
        return how, f"{how} by the network at byte {connection.delivered}"
    if end is None or exchange.left is not None:
        tokens = f"{exchange.tokens} token{'' if exchange.tokens == 1 else 's'}"
        return "left", f"client left after {tokens}"
    if end.how in _WHOLE and end.framed:
        seconds = (exchange.last - exchange.request.t) / 1e6
        return "complete", f"complete {exchange.body} B in {seconds:.2g} s"
    return end.how.value, f"{_ENDINGS[end.how]} at byte {exchange.wire}"


def _line(number: int, connection: _Connection, outcome: str, said: str) -> Line:
    exchange, turn = connection.exchange, connection.turn
    request = exchange.request if exchange is not None else None
    at = (turn.conn if request is None or request.attempt == -1 else request.attempt) if turn is not None else 0
    known: dict[str, Any] = {}
    if exchange is not None:
        seconds = round((exchange.last - exchange.request.t) / 1e6, 6)
        known = {"bytes": exchange.body, "tokens": exchange.tokens, "seconds": seconds}
    return Line(
        time=datetime.now(timezone.utc).astimezone().strftime("%Y-%m-%dT%H:%M:%S"),
        connection=number,
        dialect=turn.plan.dialect.value if turn is not None else "",
        scenario=turn.plan.scenario if turn is not None else "",
        attempt=at,
        method=request.method if request is not None else "",
        path=request.path if request is not None else "",
        outcome=outcome,
        said=said,
        status=_status(connection, request),
        faults=tuple(connection.faults),
        **{"bytes": 0, "tokens": 0, "seconds": 0.0, **known},
    )


def _status(connection: _Connection, request: Request | None) -> int:
    if request is None or request.status:
        return 0 if request is None else request.status
    turn = connection.turn
    if turn is None or request.problem:
        return 0
    number = turn.conn if request.attempt == -1 else request.attempt
    return turn.plan.attempt(number).script.head.status
