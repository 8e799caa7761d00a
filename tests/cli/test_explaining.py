"""``testbed explain`` and the filters of ``testbed list``: what they say is drawn from plans and tables."""

from __future__ import annotations

import json

import pytest

from testbed import loader
from testbed.causes import CAUSES
from testbed.oracle.lessons import LESSONS
from testbed.reports.timeline import timeline
from testbed.strategies import draw_many
from testbed.trace import Clock, Failure
from tests.cli.conftest import Testbed

pytestmark = pytest.mark.once


def test_every_failure_class_has_a_lesson():
    """What, why, sign, cause, example and cure are all there; an example ends with what the caller was told."""
    assert set(LESSONS) == set(Failure)
    for lesson in LESSONS.values():
        assert all(getattr(lesson, field) for field in lesson.__struct_fields__)
        assert all(line[:2] in {"> ", "< ", "= "} for line in lesson.wire)


@pytest.mark.parametrize("failure", Failure)
def test_a_failure_class_is_explained(testbed: Testbed, failure: Failure):
    """The page has its parts."""
    shown = testbed("explain", failure.value)
    assert shown.exit_code == 0
    for part in ("Why it hurts", "Requirement", "On the wire", "How to fix it"):
        assert f"**{part}" in shown.output


@pytest.mark.parametrize("name", ["mid-stream-reset", "rate-limited-then-ok", "mcp-stream-ends-without-response"])
def test_a_scenario_is_explained(testbed: Testbed, name: str):
    """Cause, time line, right behaviour, advice and sources, in a dialect that our own client does not speak too."""
    shown = testbed("explain", name)
    scenario = loader.load(name)
    assert shown.exit_code == 0
    assert CAUSES[scenario.cause] in shown.output
    assert scenario.requirement in shown.output
    for part in ("On the wire", "What a right client does", "What to look at in yours", *scenario.sources):
        assert part in shown.output


def test_what_a_right_client_does_is_taken_from_the_table(testbed: Testbed):
    """A reset is to be reported as one, and the JSON twin says the same."""
    shown = json.loads(testbed("explain", "mid-stream-reset", "--json").stdout)
    assert "It reports reset." in shown["right"]
    assert shown["cause_is"] == CAUSES[shown["cause"]]
    assert any("reset_after" in line for line in shown["timeline"])


def test_an_unknown_name_is_refused(testbed: Testbed):
    """One sentence, exit status 2."""
    shown = testbed("explain", "silent-truncaton")
    assert shown.exit_code == 2
    assert "unknown scenario or failure class 'silent-truncaton'; did you mean 'silent-truncation'?" in shown.stderr


@pytest.mark.parametrize("name", loader.names())
def test_a_time_line_can_be_drawn_for_every_scenario(name: str):
    """It names every attempt, and its moments never go back."""
    scenario = loader.load(name)
    for plan in draw_many(scenario, scenario.dialects, Clock.VIRTUAL, 3, 0):
        lines = timeline(plan)
        assert sum(line.startswith("request ") for line in lines) == len(plan.attempts)
        for one in "\n".join(lines).split("request ")[1:]:
            times = [float(line.split(" s ")[0]) for line in one.splitlines() if " s  " in line]
            assert times == sorted(times)


def test_many_tokens_are_one_line():
    """Between the first and the last of a kind only their number stands."""
    (plan,) = draw_many(loader.load("hour-long-stream"), loader.load("hour-long-stream").dialects, Clock.VIRTUAL, 1, 0)
    assert len(timeline(plan)) < 20


# --- list -------------------------------------------------------------------------------------------------------------


def listed(testbed: Testbed, *options: str) -> set[str]:
    """The names that ``testbed list --json`` gives with these options."""
    shown = testbed("list", "--json", *options)
    assert shown.exit_code == 0
    return {one["name"] for one in json.loads(shown.stdout)["scenarios"]}


def test_scenarios_are_listed_by_cause_dialect_and_source(testbed: Testbed):
    """Each filter keeps just what it names, and two keep what both name."""
    every = {name: loader.load(name) for name in loader.names()}
    assert listed(testbed) == set(every)
    of_cause = {name for name, one in every.items() if one.cause == "rate-limit"}
    assert listed(testbed, "--cause", "rate-limit") == of_cause
    in_mcp = {name for name, one in every.items() if "mcp" in {dialect.value for dialect in one.dialects}}
    assert listed(testbed, "--dialect", "mcp") == in_mcp
    assert listed(testbed, "--dialect", "mcp", "--cause", "rate-limit") == in_mcp & of_cause
    assert "eof-clean-no-terminal" in listed(testbed, "--source", "A01")
    assert listed(testbed, "--source", "rfc6585") == {
        name for name, one in every.items() if any("rfc6585" in source for source in one.sources)
    }


def test_an_engine_that_cannot_carry_a_scenario_leaves_it_out(testbed: Testbed):
    """Lost packets are beyond the real Toxiproxy."""
    carried = listed(testbed, "--engine", "toxiproxy")
    assert "packet-loss" not in carried
    assert "mid-stream-reset" in carried


@pytest.mark.parametrize("option", ["--cause", "--dialect", "--engine"])
def test_an_unknown_filter_is_refused(testbed: Testbed, option: str):
    """One sentence with what there is, exit status 2."""
    shown = testbed("list", option, "nonsense")
    assert shown.exit_code == 2
    assert "'nonsense'" in shown.stderr
    assert "Known: " in shown.stderr
