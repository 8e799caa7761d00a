"""Every verdict has its place in pytest's own words."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Run

QUICK = ("--scenario-engine=simulated", "--scenario-examples=5")


def test_a_finding_fails_and_says_how_to_see_it_again(run: Run, pytester: pytest.Pytester) -> None:
    """FAIL is a failure whose report has the class, the requirement, its source, the evidence and one command."""
    result = run("--scenario=abrupt-end", "--scenario-client=clients:truncates", *QUICK)
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "silent-truncation: *",
            "  requirement  A stream that ends before its terminal event is incomplete*",
            "  source       *",
            "  evidence     *",
            "Reproduce with: testbed replay .testbed/failures/silent-truncation-abrupt-end-clients-truncates.toml *",
            "FAILED scenario/abrupt-end::clients:truncates-simulated - silent-truncation:*",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    (saved,) = pytester.path.glob(".testbed/failures/*.toml")
    assert f"replay .testbed/failures/{saved.name} --client clients:truncates --engine simulated" in result.stdout.str()


def test_a_client_that_is_right_passes(run: Run) -> None:
    """PASS is a pass, over the engines of auto."""
    result = run("--scenario=abrupt-end", "--scenario-client=clients:right", "--scenario-examples=5", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "testbed: seed 0; scenarios: abrupt-end; clients: clients:right; engines: simulated, embedded",
            "scenario/abrupt-end::clients:right-simulated PASSED*",
            "scenario/abrupt-end::clients:right-embedded PASSED*",
        ]
    )


def test_leniency_passes_and_is_listed(run: Run) -> None:
    """LENIENT passes, and the summary names it with its reason."""
    result = run("--scenario=abrupt-end", "--scenario-client=clients:vague", *QUICK)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*lenient scenarios*", "LENIENT scenario/abrupt-end::clients:vague-simulated - ?*"])


def test_what_cannot_be_asked_is_skipped_and_all_skipped_is_not_good(run: Run) -> None:
    """UNSUPPORTED skips with its reason; a run in which nothing was asked does not end with 0."""
    result = run("--scenario=missing-done", "--scenario-client=httpx-sse", "-rs", *QUICK)
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines_random(
        [
            "every scenario item was skipped: nothing was asked of any client",
            "SKIPPED [[]1] scenario/missing-done::httpx-sse-simulated: * does not speak*",
        ]
    )


def test_our_own_failure_is_an_error_and_not_the_clients(run: Run) -> None:
    """ERROR is an error at setup: nothing failed, because nothing was said of the client."""
    result = run("--scenario=abrupt-end", "--scenario-client=clients:broken", *QUICK)
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR: the adapter lost its way", "ERROR scenario/abrupt-end::*"])
    assert "Traceback" not in result.stdout.str()
