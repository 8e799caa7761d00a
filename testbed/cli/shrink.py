"""``testbed shrink``: go on shrinking what was found.

The law of this module: a file is changed only for a plan that is smaller and was seen to show the same failure; a
scenario file that somebody wrote by hand is never changed.
"""

from __future__ import annotations

import click
from msgspec import structs

from testbed import capsules, runner, selection
from testbed._confirm import confirm
from testbed.capsules import Capsule
from testbed.cli._options import check_writable, shared
from testbed.cli._output import status
from testbed.cli.replay import tell
from testbed.errors import Unsupported, UsageError
from testbed.explore import Result, check, counterexample
from testbed.oracle import Judgement
from testbed.plan import Plan
from testbed.selection import Named
from testbed.shrink import Budget, Shrunk, shrink_for
from testbed.trace import Clock


@click.command
@click.argument("file", metavar="FILE")
@shared
@click.option("--budget", default=1000, show_default=True, metavar="N", help="Runs that it may take, at the most.")
@click.option("--seconds", default=120.0, show_default=True, metavar="S", help="Seconds that it may take, at the most.")
def shrink(  # noqa: PLR0917  # one parameter for each option; click passes them by name
    file: str,
    clients: tuple[str, ...],
    commands: tuple[str, ...],
    isolated: tuple[str, ...],
    engines: tuple[str, ...],
    json_to: str | None,
    budget: int,
    seconds: float,
) -> int:
    """Make the plan of a capsule smaller, as long as it shows the same failure, and write it back.

    Of a scenario file with constants only, a capsule is made under .testbed/failures.
    """
    check_writable(json_to)
    if budget < 1 or not seconds > 0:
        raise UsageError(f"--budget is {budget} and --seconds {seconds:g}; both must be more than 0")
    capsule = capsules.read(file)
    named, engine = _one(capsule, selection.clients(clients, commands, isolated), engines)
    before = _judged(capsule.plan, engine, named)
    about = capsule.found.failure if capsule.found is not None else None
    if not before.findings or about not in (None, before.findings[0].failure):
        # Gone, or another: the file stays as it is.
        result = selection.replay(capsule.plan, engine, named)
        tell([(capsule, capsules.remember(result, named.words, file))], json_to)
        return status([result])
    found = shrink_for(capsule.plan, before, runner.engine(engine), named.client, Budget(runs=budget, seconds=seconds))
    result = _written(capsule, found, named, engine)
    tell([(capsule, result)], json_to)
    click.echo(_said(capsule, found, result), err=True)
    return status([result])


def _one(capsule: Capsule, named: tuple[Named, ...], engines: tuple[str, ...]) -> tuple[Named, str]:
    """The one client and the one engine with which the plan is run; the first engine where there is a choice."""
    if len(named) > 1 or len(engines) > 1:
        raise UsageError(f"{capsule.path}: a plan is shrunk for one client on one engine; name one of each")
    return next(capsules.asked(capsule, named, engines))


def _judged(plan: Plan, engine: str, named: Named) -> Judgement:
    over = runner.engine(engine)
    if (reason := runner.unsupported(plan, over, named.client)) is not None:
        raise Unsupported(reason)
    return check(plan, over, named.client)


def _written(capsule: Capsule, found: Shrunk, named: Named, engine: str) -> Result:
    """The result with the smaller plan, written to the file, or to a new one."""
    finding = counterexample(found.plan, found.judgement.findings)
    engines, doubt = _confirmed(found, named, engine)
    result = Result(
        scenario=found.plan.scenario,
        client=named.client.profile.name,
        engine=engine,
        verdict=found.judgement.verdict,
        examples=found.runs,
        duration=0.0,
        reason=", ".join(failure.value for failure in finding.classes),
        findings=(structs.replace(finding, confirmed=engines, doubt=doubt),),
    )
    if capsule.found is None:
        return capsules.save(result, named.words)
    if found.plan != capsule.plan:
        capsules.rewrite(capsule, result, named.words)
    return capsules.remember(result, named.words, capsule.path)


def _confirmed(found: Shrunk, named: Named, engine: str) -> tuple[tuple[str, ...], str]:
    if runner.engine(engine).clock is Clock.REAL:
        return (engine,), ""
    (said,) = confirm([(found.plan, found.judgement.findings[0].failure)], named.client)
    return said


def _said(capsule: Capsule, found: Shrunk, result: Result) -> str:
    changed = "smaller" if found.plan != capsule.plan else "as small as before"
    end = "nothing is left to try" if found.done else "the budget is used up"
    return f"{result.findings[0].file}: {changed} after {found.runs} runs; {end}"
