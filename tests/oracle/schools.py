"""Right clients of several schools: what each would show and say of the same bytes.

They read the bytes themselves, with the readers of the reference client and an encoder of the dialect, and know nothing
of the oracle; where the rules leave a client room, one of them goes to either side.
"""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Iterator
from typing import NamedTuple

from testbed.adapters.items import Event
from testbed.adapters.reference_errors import ProviderError
from testbed.adapters.reference_readers import READERS, parser_for
from testbed.dialects import DIALECTS
from testbed.plan import Plan
from testbed.program import Write, compile_script, layout
from testbed.script import CutBody, Ending, Framing, Script, Terminal
from testbed.trace import Ended, Outcome, Raised
from tests.oracle.runs import ANTHROPIC, EVENTSOURCE, Run


class Reads(enum.Enum):
    """How much of an event a client needs to act on it."""

    LINE = "line"  # its data line, whatever follows
    EVENT = "event"  # its blank line
    CHUNK = "chunk"  # the chunk around it, too


class School(NamedTuple):
    """One way to be right."""

    reads: Reads
    insists: bool = False  # on the protocol's last event, where a finished answer without it may be taken
    tears: bool = False  # loses what it had not handed on yet when its connection is reset
    dawdles: bool = False  # waits for the end of the connection behind a whole answer


SCHOOLS = (
    School(Reads.EVENT),
    School(Reads.EVENT, insists=True),
    School(Reads.LINE),
    School(Reads.LINE, insists=True),
    School(Reads.CHUNK),
    School(Reads.CHUNK, insists=True, dawdles=True),
    School(Reads.EVENT, tears=True),
)


class Told(NamedTuple):
    """What one event tells a client."""

    start: int  # body bytes
    end: int
    line: int  # where its data line is over
    chunk: int  # wire bytes of the whole answer, up to the end of its chunk
    shown: tuple[Event | str, ...]
    terminal: Terminal  # behind it
    error: str | None


class _Rpc:
    """The reader of MCP that the reference client does not have."""

    terminal = Terminal.NONE

    def read(self, event: Event) -> Iterator[str]:
        """Yield what a notification tells; a response ends the stream."""
        message = json.loads(event.data) if event.data else {}
        if "error" in message:
            error = message["error"]
            raise ProviderError("no", code=error.get("data", {}).get("type", str(error["code"])))
        if "result" in message:
            self.terminal = Terminal.HARD
        elif message:
            yield message["params"].get("message", message["params"].get("data"))


@functools.lru_cache(maxsize=64)
def told(script: Script) -> tuple[Told, ...]:
    """What every event of a script tells, in order, up to the one that ends the answer; faults are not looked at."""
    plain = Script(script.dialect, script.steps, (), script.quirks)
    parser = parser_for(script.dialect)
    reader = READERS[script.dialect]() if script.dialect in READERS else _Rpc()
    chunks = _chunks(plain)
    found: list[Told] = []
    start = 0
    for event in (one for events in DIALECTS[script.dialect].encode(script.steps, script.quirks) for one in events):
        end, shown, error = start + len(event), [], None
        try:
            for dispatched in parser.feed(event):
                shown += (
                    one for one in reader.read(dispatched) if isinstance(one, Event) or (one and type(one) is str)
                )
        except ProviderError as failed:
            error = failed.code or ""
        line = start + len(event.rstrip(b",\r\n"))
        found.append(Told(start, end, line, chunks[end], tuple(shown), reader.terminal, error))
        start = end
        if reader.terminal is Terminal.HARD or error is not None:
            break
    return tuple(found)


def _chunks(plain: Script) -> dict[int, int]:
    """Where on the wire the write that ends at each body byte is over."""
    wire, found = 0, {}
    for one in compile_script(plain):
        if isinstance(one, Write):
            wire += len(one.data)
            found[one.body[1]] = wire if one.body[0] < one.body[1] else found.get(one.body[1], wire)
    return found


class Cut(NamedTuple):
    """Where the answer breaks off and how: by the server, at a body byte, or by the network, at a wire byte."""

    at: int
    how: Ending
    by_server: bool


def cut(plan: Plan, where: Cut) -> Plan:
    """The plan with the server's cut in it."""
    (attempt,) = plan.attempts
    if not where.by_server:
        return plan
    script = Script(
        attempt.script.dialect, attempt.script.steps, (CutBody(where.at, where.how),), attempt.script.quirks
    )
    return Plan(plan.scenario, (attempt.__class__(script),), plan.client)


def attend(plan: Plan, where: Cut, school: School) -> tuple[Run, Outcome]:
    """A client of this school lives through the plan; returns its run and what it says."""
    script = plan.attempts[0].script
    run = Run(cut(plan, where))
    timeout = plan.client.idle_timeout
    assert timeout is not None
    body, wire, end = _arrived(script, where)
    had = [one for one in told(script) if _has(one, body, wire, _way(script, school))]
    terminal = had[-1].terminal if had else Terminal.NONE
    error = had[-1].error if had else None
    # What is thrown away with a reset is what came last, and nobody knows how much that was.
    torn = school.tears and end in (Ending.RST, Ending.ABORT) and bool(had)
    if torn:
        had, terminal, error = had[:-1], Terminal.NONE if len(had) < 2 else had[-2].terminal, None
    tokens = any(item != "" for one in had for item in one.shown)
    over = terminal is Terminal.HARD or error is not None
    outcome = Outcome.COMPLETE if terminal is Terminal.HARD else Outcome.PROVIDER
    if not over:
        outcome = _said(script, school, terminal, end, wire, tokens=tokens)
    silent = end is Ending.OPEN
    at = timeout if silent and not over else 0.05 if school.dawdles and not silent else 0.0
    play = {} if where.by_server else {"only": where.at, "end": None if silent else where.how}
    run.play(until=at if silent else None, **play)  # type: ignore[arg-type]
    for item in (item for one in had for item in one.shown):
        if isinstance(item, Event):
            run.shows_event(item.data, type=item.type, id=item.id)
        else:
            run.shows(item)
    if outcome is Outcome.COMPLETE:
        return run.ends(at), outcome
    return run.raises(outcome, at=at, code=error), outcome


def _arrived(script: Script, where: Cut) -> tuple[int, int, Ending]:
    """The body bytes and wire bytes that arrived, and how HTTP sees the end."""
    framing, whole = script.head.framing, layout(script)
    if where.by_server:
        body = where.at
        shorter = layout(Script(script.dialect, script.steps, (CutBody(where.at, where.how),), script.quirks))
        wire = shorter.wire
    else:
        wire, body = where.at, _body_at(script, where.at)
    complete = body == whole.body and wire >= whole.head and framing is Framing.LENGTH
    complete = complete or (framing is Framing.CHUNKED and not where.by_server and wire == whole.wire)
    how = where.how
    if how is Ending.CLEAN or (complete and how is not Ending.ABORT):
        return body, wire, Ending.CLEAN
    if how is Ending.FIN and framing is Framing.CLOSE and wire >= whole.head:
        return body, wire, Ending.CLEAN
    return body, wire, how


def _body_at(script: Script, wire: int) -> int:
    """The body bytes among the first `wire` bytes."""
    start = body = 0
    for one in compile_script(script):
        if isinstance(one, Write):
            first, last = start + one.payload[0], start + one.payload[1]
            body += max(0, min(wire, last) - first)
            start += len(one.data)
    return body


def _way(script: Script, school: School) -> Reads:
    # The standard of event sources allows only one: the blank line dispatches the event.
    return Reads.EVENT if script.dialect is EVENTSOURCE else school.reads


def _has(one: Told, body: int, wire: int, reads: Reads) -> bool:
    if reads is Reads.LINE:
        return one.line <= body
    return one.end <= body and (reads is Reads.EVENT or one.chunk <= wire)


def _said(
    script: Script,
    school: School,
    terminal: Terminal,
    end: Ending,
    wire: int,
    *,
    tokens: bool,
) -> Outcome:
    """What a client says whose answer did not come to its last event."""
    if terminal is Terminal.SOFT and not school.insists:
        return Outcome.COMPLETE
    if end is Ending.OPEN:
        return Outcome.IDLE_TIMEOUT if tokens else Outcome.FIRST_BYTE_TIMEOUT
    if end in (Ending.RST, Ending.ABORT):
        return Outcome.RESET
    if not wire:
        return Outcome.CONNECT
    if end is Ending.FIN:
        return Outcome.PROTOCOL if school.insists else Outcome.INCOMPLETE
    # A stream that ends well behind its finish reason is whole everywhere but where another event must follow.
    ends_well = script.dialect is EVENTSOURCE or (terminal is Terminal.SOFT and script.dialect is not ANTHROPIC)
    return Outcome.COMPLETE if ends_well else Outcome.INCOMPLETE


def naive(plan: Plan, where: Cut) -> Run:
    """A client that shows what it is given and calls every end a success."""
    run, _ = attend(plan, where, SCHOOLS[0])
    at = next(seen.t for seen in run.seen if isinstance(seen, (Ended, Raised)))
    run.seen = [seen for seen in run.seen if not isinstance(seen, (Ended, Raised))]
    return run.ends(at / 1e6)
