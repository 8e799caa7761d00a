"""``testbed explain``: what a scenario or a failure class is about, for somebody who has just met it.

The law of this module: what is said of the wire is drawn from a plan of the scenario, and what a right client does is
taken from the oracle's table by what our own client was given; nothing is told that could not be looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from testbed import adapters, loader, runner
from testbed.catalogue import NAME, Scenario
from testbed.causes import CAUSES
from testbed.errors import Unsupported, unknown_name
from testbed.oracle import TABLE, Judgement, Row, given_of, judge
from testbed.oracle.lessons import LESSONS
from testbed.oracle.typical import typical
from testbed.plan import Plan
from testbed.reports.lesson import page
from testbed.reports.timeline import timeline
from testbed.strategies import simplest
from testbed.trace import Clock, Failure

_REFERENCE = "reference"


class _Shown(NamedTuple):
    """The simplest plan of a scenario, and what our own client made of it; None where it does not speak the dialect."""

    plan: Plan
    row: Row | None
    judgement: Judgement | None


@click.command
@click.argument("name", metavar="SCENARIO|CLASS")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def explain(name: str, *, as_json: bool) -> None:
    """Explain a scenario (cause, time line, what a right client does, what to change) or a failure class."""
    if name in {failure.value for failure in Failure}:
        _explain_class(Failure(name), as_json=as_json)
        return
    if NAME.fullmatch(name) and name not in loader.names():
        raise unknown_name("scenario or failure class", name, [*loader.names(), *(one.value for one in Failure)])
    scenario = loader.load(name)
    shown = _show(scenario)
    if as_json:
        click.echo(json.dumps({"format": 1, **_facts(scenario, shown)}, indent=2, ensure_ascii=False))
        return
    click.echo("\n".join(_lines(scenario, shown)))


def _explain_class(failure: Failure, *, as_json: bool) -> None:
    if as_json:
        lesson = LESSONS[failure]
        facts = {field: getattr(lesson, field) for field in lesson.__struct_fields__}
        click.echo(json.dumps({"format": 1, "name": failure.value, **facts}, indent=2, ensure_ascii=False))
        return
    click.echo(page(failure), nl=False)


def _show(scenario: Scenario) -> _Shown:
    """Draw the simplest plan, in a dialect of our own client's where there is one, and ask that client."""
    client = adapters.load(_REFERENCE)
    spoken = [dialect for dialect in scenario.dialects if dialect in client.profile.dialects]
    plan = simplest(scenario, spoken or scenario.dialects, clock=Clock.VIRTUAL)
    over = runner.engine("simulated")
    try:
        trace = runner.run(plan, over, client)
    except Unsupported:
        return _Shown(plan, None, None)
    kind = given_of(plan, trace)
    return _Shown(plan, TABLE[kind] if kind is not None else None, judge(plan, trace))


def _lines(scenario: Scenario, shown: _Shown) -> Iterator[str]:
    yield f"{scenario.name}: {scenario.title}"
    cause = CAUSES.get(scenario.cause)
    yield from _section("Cause", [f"{scenario.cause}: {cause}" if cause else scenario.cause or "none is named"])
    drawn = f"the simplest plan in {shown.plan.dialect.value}; the family varies what the file gives as ranges"
    yield from _section(f"On the wire ({drawn})", timeline(shown.plan))
    yield from _section("What a right client does", _right(scenario, shown))
    yield from _section("What to look at in yours", _advice(shown))
    yield from _section("Sources", [*scenario.sources, *_bugs(scenario)])
    yield ""
    yield f"Ask your client: testbed run {scenario.name} --client NAME|module:function"


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from (f"  {line}" for line in lines)


def _bugs(scenario: Scenario) -> list[str]:
    return [f"field bugs {', '.join(scenario.bugs)}"] if scenario.bugs else []


def _right(scenario: Scenario, shown: _Shown) -> list[str]:
    said = [scenario.requirement] if scenario.requirement else []
    if shown.row is None:
        return [*said, "Our own client does not speak this dialect; the table of outcomes says the rest."]
    told = scenario.expect.outcome
    preferred = [one.value for one in sorted(shown.row.preferred) if not told or one in told]
    said.append(f"Here it was given {shown.row.given}.")
    said.append(f"It reports {' or '.join(preferred) or ', '.join(one.value for one in told)}.")
    if lenient := sorted(one.value for one in shown.row.lenient - shown.row.preferred if not told or one in told):
        said.append(f"Tolerated: {', '.join(lenient)}.")
    return said


def _advice(shown: _Shown) -> list[str]:
    classes = typical(shown.plan, shown.row)
    return [f"{failure.value}: {LESSONS[failure].fix}" for failure in classes]


def _facts(scenario: Scenario, shown: _Shown) -> dict[str, object]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "cause": scenario.cause,
        "cause_is": CAUSES.get(scenario.cause, ""),
        "requirement": scenario.requirement,
        "dialect": shown.plan.dialect.value,
        "timeline": timeline(shown.plan),
        "right": _right(scenario, shown),
        "classes": [failure.value for failure in typical(shown.plan, shown.row)],
        "sources": list(scenario.sources),
        "bugs": list(scenario.bugs),
    }
