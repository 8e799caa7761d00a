"""The items live with pytest's own options and with its plugins."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from tests.plugin.conftest import Run

pytestmark = pytest.mark.once

QUICK = ("--scenario-engine=simulated", "--scenario-examples=3")
TWO = ("--scenario=abrupt-end", "--scenario-client=clients:truncates", "--scenario-client=clients:right", *QUICK)


def test_last_failed_and_stepwise_know_the_items(run: Run) -> None:
    """--lf runs the failed one again and --sw stops at it."""
    run(*TWO).assert_outcomes(passed=1, failed=1)
    again = run(*TWO, "--lf")
    again.assert_outcomes(failed=1, deselected=1)
    run(*TWO, "--sw").assert_outcomes(failed=1)


def test_xdist_workers_ask_the_same_questions_with_the_same_seed(run: Run, pytester: pytest.Pytester) -> None:
    """A random seed is drawn once for all workers; findings, report and exit status are those of one process."""
    result = run(
        *TWO, "test_user.py", "-n", "2", "--scenario-seed=random", "--scenario-report=out", "--junitxml=out.xml"
    )
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    seed = int(re.search(r"testbed: seed (\d+)", result.stdout.str())[1])
    document = json.loads((pytester.path / "out" / "report.json").read_text())
    assert document["seed"] == seed
    assert [(row["client"], row["verdict"]) for row in document["results"]] == [
        ("clients:truncates", "FAIL"),
        ("clients:right", "PASS"),
    ]
    assert len(list(pytester.path.glob("out/traces/*.jsonl"))) == len(document["results"][0]["findings"]) > 0
    cases = ElementTree.parse(pytester.path / "out.xml").getroot().iter("testcase")
    assert {(case.get("classname"), case.get("name")) for case in cases} == {
        ("test_user", "test_user"),
        ("scenario.abrupt-end", "clients:truncates-simulated"),
        ("scenario.abrupt-end", "clients:right-simulated"),
    }


def test_the_seed_decides_what_is_found(run: Run, pytester: pytest.Pytester) -> None:
    """Two runs with one seed save the very same counterexample."""
    only = (*TWO, "-k", "truncates", "--scenario-seed=3")
    run(*only)
    first = sorted(path.name for path in pytester.path.glob(".testbed/failures/*"))
    run(*only)
    assert sorted(path.name for path in pytester.path.glob(".testbed/failures/*")) == first != []
