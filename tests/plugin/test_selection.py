"""What is collected: names, globs, paths, pasted ids; and what a wrong name gives."""

from __future__ import annotations

import os

import pytest

from tests.plugin.conftest import Run

pytestmark = pytest.mark.once

QUICK = ("--scenario-engine=simulated", "--scenario-examples=2")
RIGHT = ("--scenario-client=clients:right", *QUICK)


def collected(result: pytest.RunResult) -> list[str]:
    """The ids that --collect-only -q printed."""
    return [line for line in result.outlines if "::" in line]


def test_scenarios_alone_are_collected_unless_paths_are_given_too(run: Run) -> None:
    """--scenario stands in for the user's tests; a path brings them back beside it."""
    alone = run("--collect-only", "-q", "--scenario=abrupt-end", *RIGHT)
    assert collected(alone) == ["scenario/abrupt-end::clients:right-simulated"]
    both = run("--collect-only", "-q", "--scenario=abrupt-end", "test_user.py", *RIGHT)
    assert collected(both) == ["test_user.py::test_user", "scenario/abrupt-end::clients:right-simulated"]


def test_names_globs_and_repeats_multiply_and_each_is_asked_once(run: Run) -> None:
    """Two ways to name a scenario are one scenario; -k selects among the items as among any tests."""
    options = (
        "--scenario=abrupt-end",
        "--scenario=abrupt-*",
        "--scenario=missing-done",
        "-k",
        "missing-done or nothing",
    )
    result = run("--collect-only", "-q", *options, *RIGHT, "--scenario-client=reference")
    assert collected(result) == [
        "scenario/missing-done::clients:right-simulated",
        "scenario/missing-done::reference-simulated",
    ]


def test_without_clients_the_installed_sdks_and_the_reference_are_asked(run: Run) -> None:
    """The default clients and engines, in a fixed order."""
    result = run("--collect-only", "-q", "--scenario=vpn-latency")
    assert collected(result) == [
        f"scenario/vpn-latency::{client}-{engine}"
        for client in ("openai", "anthropic", "reference")
        for engine in ("simulated", "embedded")
    ]


def test_a_blocking_client_is_asked_where_it_can_run(run: Run) -> None:
    """A client without a trio runtime has no simulated item under auto."""
    result = run("--collect-only", "-q", "--scenario=vpn-latency", "--scenario-client=openai-sync")
    assert collected(result) == ["scenario/vpn-latency::openai-sync-embedded"]


def test_an_id_can_be_pasted_back(run: Run, pytester: pytest.Pytester) -> None:
    """What pytest prints is an argument that pytest takes, alone or beside a path, here or in a folder below."""
    pasted = "scenario/abrupt-end::clients:right-simulated"
    result = run(pasted, "test_user.py", "-v", "--scenario-examples=2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random([f"{pasted} PASSED*", "test_user.py::test_user PASSED*"])
    assert collected(run("--collect-only", "-q", pasted)) == [pasted]


def test_an_id_is_taken_as_it_is_printed_in_a_folder_below(run: Run, pytester: pytest.Pytester) -> None:
    """Pytest prints ids as seen from the current folder: below the rootdir they begin with two dots."""
    pytester.makeini("[pytest]")
    os.chdir(pytester.mkdir("below"))
    result = run("--scenario=abrupt-end", "--scenario-client=reference", "-v", *QUICK)
    pasted = "../scenario/abrupt-end::reference-simulated"
    result.stdout.fnmatch_lines([f"{pasted} PASSED*"])
    result = run(pasted, "--collect-only", "-q")
    assert collected(result) == ["scenario/abrupt-end::reference-simulated"]


def test_a_folder_that_is_called_scenario_stays_the_users_own(run: Run, pytester: pytest.Pytester) -> None:
    """A path that exists goes before an id of the same spelling."""
    pytester.mkdir("scenario").joinpath("test_own.py").write_text("def test_own():\n    pass\n")
    result = run("scenario/test_own.py", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["scenario/test_own.py::test_own PASSED*"])


def test_the_ini_file_gives_defaults_and_the_command_line_wins(run: Run, pytester: pytest.Pytester) -> None:
    """Every option but --scenario has an ini twin."""
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        scenario_clients = ["clients:right", "reference"]
        scenario_engines = ["embedded"]
        scenario_seed = "7"
        """
    )
    result = run("--collect-only", "-q", "--scenario=abrupt-end")
    assert collected(result) == [
        "scenario/abrupt-end::clients:right-embedded",
        "scenario/abrupt-end::reference-embedded",
    ]
    result = run("--collect-only", "--scenario=abrupt-end", "--scenario-client=reference", "--scenario-seed=8")
    result.stdout.fnmatch_lines(["testbed: seed 8; scenarios: abrupt-end; clients: reference; engines: embedded"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scenario=vpn-latencey"], "unknown scenario 'vpn-latencey'; did you mean 'vpn-latency'?*"),
        (["--scenario=all", "--scenario-client=opneai"], "unknown client 'opneai'; did you mean 'openai'?*"),
        (["--scenario=all", "--scenario-engine=embeded"], "unknown engine 'embeded'; did you mean 'embedded'?*"),
        (["--scenario=../vpn-latency"], "'../vpn-latency' is no scenario name*"),
        (["--scenario=all", "--scenario-seed=soon"], "--scenario-seed is 'soon'; it must be a whole number*"),
        (["--scenario=all", "--scenario-examples=0"], "--scenario-examples is '0'; it must be a whole number*"),
        (["scenario/vpn-latency::nothing"], "*is not the id of a scenario item*"),
    ],
)
def test_a_wrong_name_is_one_sentence_and_pytests_usage_error(
    pytester: pytest.Pytester, arguments: list[str], sentence: str
) -> None:
    """Nothing is run, nothing is traced, and the exit status is pytest's own for a usage error."""
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
