"""Saved findings as tests: ``pytest path/to/failures/``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.conftest import Run

pytestmark = pytest.mark.once

NAME = "silent-truncation-abrupt-end-clients-truncates.toml"


@pytest.fixture
def failures(run: Run, pytester: pytest.Pytester) -> Path:
    """A folder of the user's project with one capsule in it, and TOML that is none."""
    run(
        "--scenario=abrupt-end",
        "--scenario-client=clients:truncates",
        "--scenario-engine=simulated",
        "--scenario-examples=5",
    )
    folder = pytester.mkdir("failures")
    (pytester.path / ".testbed" / "failures" / NAME).rename(folder / NAME)
    (folder / "notes.toml").write_text("[notes]\nformat = 1\n", encoding="utf-8")
    return folder


def test_a_capsule_is_red_until_the_client_is_mended(run: Run, failures: Path, pytester: pytest.Pytester) -> None:
    """The client of the capsule fails, with the finding in words; the same client, mended, passes."""
    result = run("failures")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "silent-truncation: *",
            f"Reproduce with: testbed replay failures/{NAME} --client clients:truncates --engine simulated",
            f"FAILED failures/{NAME}::clients:truncates-simulated*",
        ]
    )
    clients = pytester.path / "clients.py"
    clients.write_text(clients.read_text().replace("text(target, forgive)", "text(target, complain)").replace(
        "@client(base=httpx.HTTPError, errors=TRANSPORT)\nasync def truncates",
        "@client(base=httpx.HTTPError, errors={**TRANSPORT, Incomplete: {'incomplete'}})\nasync def truncates",
    ))  # fmt: skip
    run("failures").assert_outcomes(passed=1)


def test_the_command_line_says_who_is_asked_and_over_what(run: Run, failures: Path) -> None:
    """One item for each client and engine that is named; ids can be pasted back, and -k selects."""
    named = ("--scenario-client=clients:right", "--scenario-client=clients:truncates", "--scenario-engine=auto")
    result = run("--collect-only", "-q", "failures", *named)
    ids = [line for line in result.outlines if "::" in line]
    assert ids == [
        f"failures/{NAME}::clients:{client}-{engine}"
        for client in ("right", "truncates")
        for engine in ("simulated", "embedded")
    ]
    run("failures", *named, "-k", "right and simulated").assert_outcomes(passed=1, deselected=3)
    run(ids[0], *named).assert_outcomes(passed=1)


def test_a_plain_run_collects_capsules_beside_the_users_tests_and_nothing_else(run: Run, failures: Path) -> None:
    """A capsule that is committed is a regression test; other TOML files are nobody's business."""
    result = run("-q")
    result.assert_outcomes(passed=1, failed=1)
    run("-q", "--lf").assert_outcomes(failed=1)
    run("failures/notes.toml").assert_outcomes()


def test_with_workers_and_in_junit_a_capsule_is_a_test_like_any_other(
    run: Run, failures: Path, pytester: pytest.Pytester
) -> None:
    """The worker's finding reaches the report, the summary and the XML; leniency is listed by the one that prints."""
    result = run(
        "failures",
        "-n",
        "2",
        "--junitxml=out.xml",
        "--scenario-client=clients:vague",
        "--scenario-client=clients:truncates",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*lenient scenarios*", f"LENIENT failures/{NAME}::clients:vague-simulated - ?*"])
    xml = (pytester.path / "out.xml").read_text(encoding="utf-8")
    assert "silent-truncation" in xml
    assert xml.count("<testcase ") == 2


def test_a_broken_capsule_is_one_sentence(run: Run, failures: Path) -> None:
    """What cannot be read is an error of that file; so is a client that is not there. No traceback."""
    path = failures / NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("steps = [", "stepps = ["), encoding="utf-8")
    result = run("failures")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unknown key 'stepps'*"])
    assert "Traceback" not in result.stdout.str()
    path.write_text(text.replace("clients:truncates", "clients:nobody"), encoding="utf-8")
    result = run("failures")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*nobody*"])


def test_another_finding_is_said_to_be_another(run: Run, failures: Path) -> None:
    """A client that gets the plan wrong in another way fails too, and is not taken for the old finding."""
    path = failures / NAME
    path.write_text(
        path.read_text(encoding="utf-8").replace('failure = "silent-truncation"', 'failure = "hang"'), encoding="utf-8"
    )
    result = run("failures")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["This is another finding: the capsule is about hang."])


def test_what_cannot_be_judged_is_no_failure_of_the_client(run: Run, failures: Path) -> None:
    """A client that does not speak the dialect is skipped, our own trouble is an error."""
    run("failures", "--scenario-client=httpx-sse").assert_outcomes(skipped=1)
    run("failures", "--scenario-client=clients:broken", "--scenario-engine=simulated").assert_outcomes(errors=1)


def test_a_report_has_the_capsules_in_it(run: Run, failures: Path, pytester: pytest.Pytester) -> None:
    """--scenario-report writes results and a trace for every finding, as for scenarios."""
    run("failures", "--scenario-report=out")
    assert '"verdict": "FAIL"' in (pytester.path / "out" / "report.json").read_text(encoding="utf-8")
    (trace,) = (pytester.path / "out" / "traces").iterdir()
    assert trace.name == f"{Path(NAME).stem}-simulated.jsonl"
