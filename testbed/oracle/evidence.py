"""What a maintainer reads below a finding: what was sent, delivered and seen, with bytes and seconds.

The law of this module: facts of the trace in plain words, few and short; text of any size is cut, never the
sentence around it.
"""

from __future__ import annotations

from testbed.oracle.case import SECOND, Case
from testbed.oracle.client_view import ClientEnd
from testbed.oracle.connections import Connection
from testbed.oracle.findings import Finding
from testbed.oracle.requirements import REQUIREMENTS, Requirement
from testbed.oracle.rows import Row
from testbed.oracle.sources import ANTHROPIC, ANTHROPIC_ERRORS, MCP_RESUMING, OPENAI, OPENAI_BACKGROUND, OPENAI_ERRORS
from testbed.script import DialectName
from testbed.trace import Cancelled, Ended, Failure

# What fits a screen: a finding is read in a terminal, in a CI log and in a bug report.
MOST_QUOTED = 60
MOST_CONNECTIONS = 3
MOST_LINE = 300


# A row may rest on what several vendors say; a finding names the one whose wire format was spoken.
_VENDORS = frozenset({OPENAI, OPENAI_ERRORS, OPENAI_BACKGROUND, ANTHROPIC, ANTHROPIC_ERRORS, MCP_RESUMING})
_OWN_SOURCES = {
    DialectName.OPENAI_CHAT: frozenset({OPENAI, OPENAI_ERRORS}),
    DialectName.OPENAI_RESPONSES: frozenset({OPENAI, OPENAI_ERRORS, OPENAI_BACKGROUND}),
    DialectName.MCP: frozenset({MCP_RESUMING}),
    DialectName.ANTHROPIC_MESSAGES: frozenset({ANTHROPIC, ANTHROPIC_ERRORS}),
}


def seconds(t: int) -> str:
    """A time in seconds, to the millisecond.

    >>> seconds(1_234_567)
    '1.235 s'
    """
    return f"{t / SECOND:.3f} s"


def quoted(text: str) -> str:
    """Text in ASCII quotes, cut in the middle if it is long: both ends matter.

    >>> quoted("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa … aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
    """
    if len(text) > MOST_QUOTED:
        half = MOST_QUOTED // 2
        text = f"{text[:half]} … {text[-half:]}"
    return repr(text)


def finding(case: Case, failure: Failure, summary: str, *details: str, row: Row | Requirement | None = None) -> Finding:
    """A finding with the run's evidence below it; `row` takes the place of the class's own requirement."""
    # The row knows what the client was given, so its sentence is closer to the matter than the class's own.
    requirement = row or REQUIREMENTS[failure]
    sentence = requirement.requirement if isinstance(requirement, Row) else requirement.sentence
    lines = (*details, *evidence(case))
    foreign = _VENDORS - _OWN_SOURCES.get(case.plan.dialect, frozenset())
    return Finding(
        failure=failure,
        summary=summary,
        requirement=sentence,
        sources=tuple(source for source in requirement.sources if source not in foreign) or requirement.sources,
        evidence=tuple(line if len(line) <= MOST_LINE else line[: MOST_LINE - 1] + "…" for line in lines),
    )


def evidence(case: Case) -> tuple[str, ...]:
    """The run in a few lines: the last connections, and what the client saw."""
    # The last ones: the outcome was decided there, and a storm is told by its number.
    shown = case.attempts[-MOST_CONNECTIONS:]
    skipped = len(case.attempts) - len(shown)
    lines = [f"{skipped} earlier connections are left out"] if skipped else []
    for one in shown:
        lines += [_server(one), _link(one)]
    return (*lines, _client(case))


def _server(one: Connection) -> str:
    # Three lines for three vantage points, always in this order: what was said, what was carried, what was seen.
    steps = sum(span.whole for span in one.spans)
    said = f"{one.name}, server: wrote {one.written - one.base} bytes, {steps} steps whole"
    if one.attempt.tls is not None:
        said += f"; TLS: {_handshake(one)}"
    if one.ended is None:
        return said + ("" if one.gone is None else f"; saw the client leave at {seconds(one.gone)}")
    framing = "message complete" if one.ended.framed else "message not complete"
    return f"{said}; ended ({one.ended.how.value}, {framing}) at {seconds(one.ended.t)}"


def _handshake(one: Connection) -> str:
    if one.secured is None:
        return "the handshake was not over" if one.presented is None else "the client did not end the handshake"
    return one.secured.problem or f"shook hands in {one.secured.wire} bytes"


def _link(one: Connection) -> str:
    told = f"{one.name}, network: {'begun' if one.part else 'opened'} at {seconds(one.opened)}"
    if one.arrivals:
        # Totals are wire bytes, the head counted, as in the plan's addresses.
        last, total = one.arrivals[-1]
        told += f"; handed {total - one.base} bytes to the client, the last at {seconds(last)}"
    else:
        told += "; handed nothing to the client"
    if one.reset is not None:
        told += f"; {'immediate' if one.reset.immediate else 'drained'} RST at {seconds(one.reset.t)}"
    if one.eof is not None:
        told += f"; FIN at {seconds(one.eof)}"
    if one.left is not None:
        told += f"; the client left at {seconds(one.left)}"
    return told


def _client(case: Case) -> str:
    view = case.view
    # How much, and when the last of it; the text itself stands in the finding that is about text.
    text = "".join(seen.text for seen in view.texts)
    saw = f"{len(view.events)} events" if view.events else f"{len(text)} characters"
    last = f", the last at {seconds(view.shown[-1].t)}" if view.shown else ""
    return f"client: saw {saw}{last}; {_ended(view.end)}"


def _ended(end: ClientEnd | None) -> str:
    if end is None:
        return "never ended"
    if isinstance(end, Ended):
        return f"reported success at {seconds(end.t)}"
    if isinstance(end, Cancelled):
        return f"was {'cancelled as planned' if end.planned else 'stopped by us'} at {seconds(end.t)}"
    # What the adapter makes of the exception is part of the evidence: a wrong mapping is the first thing to look for.
    classes = ", ".join(outcome.value for outcome in end.classes) or "no declared class"
    return f"raised {end.type} ({classes}) at {seconds(end.t)}: {quoted(end.message)}"
