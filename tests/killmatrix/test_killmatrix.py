"""The kill matrix: its tables are whole, each scenario catches a planted defect, and what is wrong is told."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed import explore, loader, runner
from testbed.catalogue import parse, single
from testbed.script import DialectName
from testbed.trace import Failure
from tests.killmatrix import detection, report, virtual
from tests.killmatrix.__main__ import main
from tests.killmatrix.cells import OWN, VIRTUAL, Answer, Question
from tests.killmatrix.clients import CORRECT, MUTANTS, by_name, on_virtual_time, scenarios_of
from tests.killmatrix.matrix import Options, questions
from tests.killmatrix.shows import SHOWS
from tests.toys.rows import LOOPS, THREAD

THERE = loader.names()
ENOUGH = Options().hunt

# Each is hard to find in its own way: one byte at the end of a region, one form of a field, one place between two
# lines, the second retry, one kind of character, one framing.
HARD = (
    "greps",
    "believes-name",
    "errors-only-later",
    "ignores-milliseconds",
    "ignores-second-wait",
    "takes-id-at-once",
    "shows-half",
    "normalises",
    "next-lines",
    "forgives-framing",
    "hasty-after-reset",
)


def question(mutant: str, scenario: str, seed: int = 0) -> Question:
    planted = MUTANTS[mutant].planted
    assert planted is not None
    return Question(mutant, scenario, planted.value, seed)


@functools.cache
def spoken(scenario: str) -> set[DialectName]:
    return set(loader.load(scenario).dialects)


def mutants_of(scenario: str) -> list[str]:
    return [name for name in MUTANTS if scenario in scenarios_of(name)]


# --- the tables -------------------------------------------------------------------------------------------------------


def test_the_tables_name_what_there_is():
    """No row names a toy or a scenario that does not exist."""
    assert {toy for toys in SHOWS.values() for toy in toys} <= set(MUTANTS)
    assert {scenario for name in MUTANTS for scenario in scenarios_of(name)} - {OWN} <= set(THERE)
    assert set(SHOWS) <= set(THERE)


@pytest.mark.once
@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_asked_somewhere(name: str):
    """Some scenario, or a plan of its own, is there to show each defect, in a dialect that the mutant speaks."""
    shown = scenarios_of(name)
    assert shown
    dialects = set(MUTANTS[name].dialects)
    assert all(one == OWN or dialects & spoken(one) for one in shown)


def test_the_mutants_are_many_and_of_every_class():
    """Each failure class is planted, on event loops and on blocking sockets, in every dialect."""
    rows = MUTANTS.values()
    planted = {row.planted for row in rows}
    assert not set(Failure) - planted
    assert len(rows) >= 40
    assert sum(row.runtimes == THREAD for row in rows) >= 6
    spoken = {dialect for row in rows if row.runtimes == LOOPS and len(row.dialects) < 7 for dialect in row.dialects}
    assert len(spoken) == 7


@pytest.mark.once
def test_every_client_is_asked():
    """The matrix asks every scenario of somebody, and every client something."""
    asked = questions(Options())
    assert {one.scenario for one in asked} - {OWN} == set(THERE)
    assert {one.client for one in asked} == {*CORRECT, *MUTANTS}
    assert questions(Options(times=3, clients=("reference",)))[0].seed == 0
    assert {one.seed for one in questions(Options(times=3, seed=5, clients=("reference",)))} == {5, 6, 7}


# --- catching ---------------------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("scenario", THERE)
def test_every_scenario_catches_a_mutant_by_its_class(scenario: str):
    """The default budget finds a client with a matching defect, and says which it is."""
    able = [name for name in mutants_of(scenario) if on_virtual_time(name) is not None]
    if not able:
        pytest.skip("who has this defect does not run on virtual time; the matrix asks it on real clocks")
    answers = (virtual.ask(question(name, scenario), ENOUGH) for name in able)
    assert any(answer.asked and answer.right for answer in answers)


@pytest.mark.once
@pytest.mark.parametrize("mutant", HARD)
def test_what_hides_is_found_with_any_seed(mutant: str):
    """A defect that shows in few plans is found by the default budget; the session `detection` asks more seeds."""
    found = detection.odds(mutant, seeds=2, first=100)
    assert found.enough, found
    assert found.examples > 0


def test_who_has_no_defect_is_not_caught():
    """A correct client in a mutant's place is told as a miss."""
    asked = Question("reference", "missing-done", Failure.LOST_EVENT.value, 0)
    answer = virtual.ask(asked, 3)
    assert (answer.verdict, answer.right) == ("PASS", False)
    assert any("must be lost-event, found nothing" in line for line in report.wrong([answer]))


def test_an_accusation_of_a_correct_client_is_wrong():
    """What counts for a mutant counts against a correct client, and so does a run that says nothing."""
    asked = Question("reference", "missing-done", "", 0)
    for verdict, right in {"PASS": True, "LENIENT": True, "UNSUPPORTED": True, "FAIL": False, "ERROR": False}.items():
        assert Answer(asked, VIRTUAL, verdict).right is right
    assert not Answer(asked, VIRTUAL, "INCONCLUSIVE").right


# --- telling ----------------------------------------------------------------------------------------------------------


def test_a_wrong_cell_comes_with_a_plan_that_replays(tmp_path: Path):
    """The file that is written is a scenario, and its one plan shows what was found."""
    caught = virtual.ask(question("raw-exception", "mid-stream-reset"), ENOUGH)
    accused = caught._replace(question=caught.question._replace(planted=""))
    *_, path = report.wrong([accused], tmp_path)
    plan = single(parse(Path(path.strip()).read_text(encoding="utf-8"), name="saved", where="saved.toml"))
    judgement = explore.check(plan, runner.engine(VIRTUAL), by_name("raw-exception"))
    assert judgement.findings[0].failure is Failure.UNWRAPPED_ERROR


@pytest.mark.once
def test_the_command_ends_with_a_line_of_totals():
    """The table has a line for what was asked, and the exit code says that all is well."""
    options = ["--client", "needs-done", "--client", "toy-per-read", "--scenario", "missing-done"]
    result = CliRunner().invoke(main, [*options, "--engine", "simulated", "--examples", "2", "--processes", "1"])
    assert result.exit_code == 0, result.output
    assert "needs-done" in result.output
    last = result.output.strip().splitlines()[-1]
    assert last.startswith("1 of 1 mutants caught, in 1 of 1 cells; correct clients clean in 1 of 1 cells")
