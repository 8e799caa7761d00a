"""Saved findings as tests: ``pytest path/to/failures/``."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from testbed import capsules
from testbed.explore import Counterexample, Result
from testbed.oracle import Verdict
from testbed.plan import Attempt, Plan
from testbed.program import layout
from testbed.script import CutBody, DialectName, Done, Finish, Head, Open, Script, Text
from testbed.trace import Failure
from tests.plugin.conftest import Run

pytestmark = pytest.mark.once

NAME = "silent-truncation-abrupt-end-clients-truncates.toml"


WHOLE = Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("a"), Finish(), Done()))
# Behind the first token no client may ask again, so it need not be one that can be told how often.
CUT = Plan(
    scenario="abrupt-end",
    attempts=(Attempt(structs.replace(WHOLE, faults=(CutBody(layout(WHOLE).events[2].body[0]),))),),
)
FOUND = Counterexample(Failure.SILENT_TRUNCATION, "Success.", "Never.", ("a source",), ("seen",), CUT)


@pytest.fixture
def failures(pytester: pytest.Pytester) -> Path:
    """A folder of the user's project with one capsule in it, and TOML that is none."""
    folder = pytester.mkdir("failures")
    capsule(folder, NAME, "clients:truncates")
    (folder / "notes.toml").write_text("[notes]\nformat = 1\n", encoding="utf-8")
    return folder


def capsule(folder: Path, name: str, client: str, about: str = "silent-truncation") -> None:
    """Write a capsule that is about this client and this class of failure."""
    result = Result("abrupt-end", client, "simulated", Verdict.FAIL, 1, 0.0, findings=(FOUND,))
    (saved,) = capsules.save(result, ("--client", client), root=folder.parent).findings
    path = folder.parent / ".testbed" / "failures" / Path(saved.file).name
    text = path.read_text(encoding="utf-8").replace('failure = "silent-truncation"', f'failure = "{about}"')
    path.unlink()
    (folder / name).write_text(text, encoding="utf-8")


def test_every_verdict_has_its_place(run: Run, failures: Path, pytester: pytest.Pytester) -> None:
    """Red while the finding is there, or another; skipped or an error where nothing was said of the client."""
    capsule(failures, "another.toml", "clients:truncates", about="hang")
    capsule(failures, "right.toml", "clients:right")
    capsule(failures, "spoken.toml", "httpx-sse")
    capsule(failures, "troubled.toml", "clients:broken")
    result = run("failures", "--scenario-report=out", "--junitxml=out.xml")
    result.assert_outcomes(passed=1, failed=2, skipped=1, errors=1)
    result.stdout.fnmatch_lines_random(
        [
            "silent-truncation: *",
            "This is another finding: the capsule is about hang.",
            "ERROR: the adapter lost its way",
            f"Reproduce with: testbed replay failures/{NAME} --client clients:truncates --engine simulated",
            f"FAILED failures/{NAME}::clients:truncates-simulated*",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    report = (pytester.path / "out" / "report.json").read_text(encoding="utf-8")
    assert (report.count('"verdict": "FAIL"'), report.count('"verdict": "PASS"')) == (2, 1)
    traces = {trace.name for trace in (pytester.path / "out" / "traces").iterdir()}
    assert traces == {f"{Path(NAME).stem}-simulated.jsonl", "another-simulated.jsonl"}
    xml = (pytester.path / "out.xml").read_text(encoding="utf-8")
    assert xml.count("<testcase ") == 5


def test_a_client_that_was_mended_is_green(run: Run, failures: Path, pytester: pytest.Pytester) -> None:
    """The same name, a better client: the capsule passes."""
    clients = pytester.path / "clients.py"
    better = clients.read_text(encoding="utf-8").replace("text(target, forgive)", "text(target, complain)")
    mended = better.replace(
        "errors=TRANSPORT)\nasync def truncates",
        "errors={**TRANSPORT, Incomplete: {'incomplete'}})\nasync def truncates",
    )
    assert mended != better
    clients.write_text(mended, encoding="utf-8")
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
    run(*ids[:2], *named, "-k", "simulated").assert_outcomes(passed=1, deselected=1)


def test_a_plain_run_collects_capsules_beside_the_users_tests_and_nothing_else(run: Run, failures: Path) -> None:
    """A capsule that is committed is a regression test; other TOML files are nobody's business."""
    run("-q").assert_outcomes(passed=1, failed=1)
    run("-q", "--lf").assert_outcomes(failed=1)


def test_with_workers_a_capsule_is_a_test_like_any_other(run: Run, failures: Path) -> None:
    """The worker's finding reaches the report; leniency is listed by the process that prints."""
    capsule(failures, "vague.toml", "clients:vague")
    result = run("failures", "-n", "2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*lenient scenarios*", "LENIENT failures/vague.toml::clients:vague-simulated - ?*"])


def test_a_broken_capsule_is_one_sentence(run: Run, failures: Path) -> None:
    """What cannot be read is an error of that file; so is a client that is not there. No traceback."""
    path = failures / NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("steps = [", "stepps = ["), encoding="utf-8")
    capsule(failures, "nobody.toml", "clients:nobody")
    result = run("failures")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines_random(["*unknown key 'stepps'*", "*nobody*"])
    assert "Traceback" not in result.stdout.str()
