"""A right client as a pure function: from what a wire carries to what its caller sees.

It knows scripts and HTTP endings and nothing of the oracle: two independent readings of the same decisions must agree.
"""

from __future__ import annotations

from typing import NamedTuple

from testbed.plan import Plan
from testbed.program import layout
from testbed.script import Done, End, Ending, Failure, Finish, Framing, Head, Message, Step, Text
from testbed.trace import ClientProfile, Clock, LinkReset, Outcome
from tests.oracle.runs import EVENTSOURCE, Run, Wire

STATUSES = {401: Outcome.UNAUTHORIZED, 429: Outcome.RATE_LIMITED, 500: Outcome.SERVER_ERROR, 503: Outcome.OVERLOADED}
RETRYABLE = {429, 500, 503}
BACKOFF = (0.5, 1.0, 2.0)


class Cut(NamedTuple):
    """What the network does to a connection: only so many bytes arrive, and then the connection ends, or does not."""

    only: int
    end: Ending | None


class Told(NamedTuple):
    """How one connection looked to the client: what it shows, how it ends, and when."""

    shown: tuple[tuple[float, Step], ...]
    outcome: Outcome
    at: float
    step: Step | None = None


def live(plan: Plan, cuts: list[Cut | None], clock: Clock, client: ClientProfile | None = None) -> Run:
    """Let a right client live through `plan`; `cuts` are what the network does to each connection."""
    run = Run(plan, clock=clock, client=client)
    at = 0.0
    for attempt in range(plan.client.max_retries + 1):
        told = connection(run, cuts[attempt] if attempt < len(cuts) else None, at)
        for t, step in told.shown:
            show(run, step, t)
        status = plan.attempt(attempt).script.head.status
        early = not run.wires[-1].arrivals
        again = early or (told.outcome in STATUSES.values() and status in RETRYABLE)
        if told.outcome is Outcome.COMPLETE or not again or attempt == plan.client.max_retries:
            return finish(run, told, status)
        at = told.at + max(BACKOFF[attempt], asked_wait(plan, attempt))
    raise AssertionError("unreachable")


def asked_wait(plan: Plan, attempt: int) -> float:
    """What the answer asks the client to wait."""
    return float(dict(plan.attempt(attempt).script.head.headers).get("Retry-After", "0"))


def connection(run: Run, cut: Cut | None, at: float) -> Told:
    """Play the next connection up to where the client leaves it."""
    play = {"at": at} if cut is None else {"at": at, "only": cut.only, "end": cut.end}
    rehearsal = Run(run.plan, clock=run.clock)
    rehearsal.wires = [Wire(wire.conn, wire.sent) for wire in run.wires]
    rehearsal.play(**play)  # type: ignore[arg-type]
    told = read(run.plan, rehearsal.wires[-1], len(run.wires), at, rehearsal)
    run.play(**play, until=told.at)  # type: ignore[arg-type]
    return told


def read(plan: Plan, wire: Wire, conn: int, opened: float, rehearsal: Run) -> Told:
    """Read a wire from its first byte on."""
    timeout = plan.client.idle_timeout
    assert timeout is not None
    shown: list[tuple[float, Step]] = []
    last, finished, token = opened, False, False
    steps = list(wire.steps)
    head = next((t for t, step in steps if isinstance(step, Head)), None)
    status = plan.attempt(conn).script.head.status
    for t, _ in wire.arrivals:
        if t - last > timeout:
            break
        last = t
        while steps and steps[0][0] <= t:
            _, step = steps.pop(0)
            if isinstance(step, Head) and status >= 400:
                return Told((), STATUSES[status], t)
            if isinstance(step, (Text, Message)):
                shown.append((t, step))
                token = token or isinstance(step, Message) or bool(step.text) or plan.dialect is EVENTSOURCE
            if isinstance(step, Done):
                return Told(tuple(shown), Outcome.COMPLETE, t)
            if isinstance(step, Failure):
                return Told(tuple(shown), Outcome.PROVIDER, t, step)
            finished = finished or isinstance(step, Finish)
    ended, how = wire.ended, how_it_ended(rehearsal, conn)
    if is_message(plan, wire, conn):
        # The message says itself that it is over; what the connection does then is of no interest.
        ended, how = wire.arrivals[-1][0], Ending.CLEAN
    if ended is None or ended - last > timeout:
        silent = Outcome.IDLE_TIMEOUT if token else Outcome.FIRST_BYTE_TIMEOUT
        return Told(tuple(shown), Outcome.COMPLETE if finished else silent, last + timeout)
    if not wire.arrivals:
        outcome = Outcome.RESET if how in (Ending.RST, Ending.ABORT) else Outcome.CONNECT
    elif finished or (plan.dialect is EVENTSOURCE and how is Ending.CLEAN and head is not None):
        outcome = Outcome.COMPLETE
    else:
        outcome = Outcome.RESET if how in (Ending.RST, Ending.ABORT) else Outcome.INCOMPLETE
    return Told(tuple(shown), outcome, ended)


def is_message(plan: Plan, wire: Wire, conn: int) -> bool:
    """Whether all bytes arrived of a message that says where it ends."""
    answer = plan.attempt(conn).script
    last = answer.steps[-1]
    clean = not isinstance(last, End) or last.how is Ending.CLEAN
    arrived = wire.arrivals[-1][1] if wire.arrivals else 0
    framed = answer.head.framing is Framing.LENGTH or (answer.head.framing is Framing.CHUNKED and clean)
    return framed and arrived == layout(answer).wire


def how_it_ended(rehearsal: Run, conn: int) -> Ending:
    """How the connection ended before its message did; where the FIN is the framing, that is a clean end."""
    mine = [seen for seen in rehearsal.seen if getattr(seen, "conn", None) == conn]
    resets = [seen for seen in mine if isinstance(seen, LinkReset)]
    if resets:
        return Ending.ABORT if resets[0].immediate else Ending.RST
    closes = rehearsal.plan.attempt(conn).script.head.framing is Framing.CLOSE
    return Ending.CLEAN if closes else Ending.FIN


def show(run: Run, step: Step, t: float) -> None:
    """What the caller sees of a step."""
    if run.plan.dialect is EVENTSOURCE:
        data = step.text if isinstance(step, Text) else step.data  # type: ignore[union-attr]
        run.shows_event(data.replace("\r\n", "\n").replace("\r", "\n"), at=t)
    elif isinstance(step, Text):
        run.shows(step.text, at=t)


def finish(run: Run, told: Told, status: int) -> Run:
    """What the client says at the end."""
    if told.outcome is Outcome.COMPLETE:
        return run.ends(told.at)
    code = told.step.kind if isinstance(told.step, Failure) else None
    return run.raises(told.outcome, at=told.at, status=status if status >= 400 else None, code=code)
