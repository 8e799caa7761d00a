"""``testbed replay`` and ``testbed shrink``: files and folders of findings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from testbed import capsules, catalogue
from testbed.explore import Counterexample, Result
from testbed.oracle import Verdict
from testbed.plan import Attempt, Plan
from testbed.script import CutBody, DialectName, Done, Finish, Head, Open, Script, Text
from testbed.trace import Failure
from tests.cli.conftest import Testbed

pytestmark = pytest.mark.once

STEPS = (Head(), Open(), Text("Größe "), Text("two "), Finish(), Done())
CUT = Plan(scenario="of-a-test", attempts=(Attempt(Script(DialectName.OPENAI_CHAT, STEPS, (CutBody(350),))),))
WHOLE = structs.replace(CUT, attempts=(Attempt(Script(DialectName.OPENAI_CHAT, STEPS)),))
FINDING = Counterexample(Failure.SILENT_TRUNCATION, "Success.", "Never.", ("a source",), (), CUT)


def save(folder: Path, plan: Plan, about: Failure = Failure.SILENT_TRUNCATION, client: str = "openai") -> Path:
    """Save a capsule below a folder."""
    finding = structs.replace(FINDING, failure=about, plan=plan)
    found = Result("of-a-test", client, "simulated", Verdict.FAIL, 1, 0.0, findings=(finding,))
    (kept,) = capsules.save(found, ("--client", client), root=folder).findings
    return folder / ".testbed" / "failures" / Path(kept.file).name


def test_a_folder_is_replayed_file_by_file(testbed: Testbed) -> None:
    """Each file is asked of the client that it names, and each is told: reproduced, gone, another, found."""
    here = Path("failures")
    save(here, CUT)
    save(here, CUT, Failure.HANG)
    save(here, WHOLE, Failure.CRASH)
    (here / "plain.toml").write_text(catalogue.to_toml(CUT), encoding="utf-8")
    (here / "other.toml").write_text("[tool]\nname = 1\n", encoding="utf-8")
    result = testbed("replay", "failures")
    assert result.exit_code == 1
    told = [line.partition(": ")[2] for line in result.stdout.splitlines() if line.startswith("failures/")]
    assert told == [
        "gone (crash): PASS with openai on simulated",
        "another finding (hang): FAIL with openai on simulated",
        "reproduced (silent-truncation): FAIL with openai on simulated",
        "nothing found: PASS with reference on simulated",
        "nothing found: PASS with reference on embedded",
    ]


def test_the_json_twin_says_the_same(testbed: Testbed) -> None:
    """Standing, file and what it is about stand beside each result; stdout is the document alone."""
    path = save(Path(), CUT)
    result = testbed("replay", str(path), "--json", "-")
    (row,) = json.loads(result.stdout)["results"]
    assert (row["file"], row["about"], row["standing"]) == (str(path), "silent-truncation", "reproduced")
    assert "reproduced" in result.stderr


def test_a_client_that_is_right_makes_it_gone_and_the_exit_status_0(testbed: Testbed) -> None:
    """--client and --engine go before what the capsule says."""
    path = save(Path(), CUT)
    result = testbed("replay", str(path), "--client", "reference", "--engine", "simulated", "--engine", "embedded")
    assert (result.exit_code, result.stdout.count(": gone (silent-truncation): PASS with reference on")) == (0, 2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("replay empty", "there is no capsule and no scenario file"),
        ("replay", "Missing argument"),
        ("replay family.toml", "it describes many plans, not one"),
        ("shrink capsule.toml --budget 0", "both must be more than 0"),
        ("shrink capsule.toml --client openai --client reference", "name one of each"),
        ("shrink capsule.toml --client ollama", "ollama does not speak openai-chat"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(testbed: Testbed, words: str, sentence: str) -> None:
    """Nothing is run, and the sentence says what instead."""
    Path("empty").mkdir()
    save(Path(), CUT).rename("capsule.toml")
    family = 'format = 1\n[scenario]\n[script]\ndialect = "openai-chat"\ntokens = { min = 1, max = 2 }\n'
    Path("family.toml").write_text(family, encoding="utf-8")
    result = testbed(*words.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_shrink_writes_a_smaller_plan_back(testbed: Testbed) -> None:
    """The file shows the same failure with less; a second time there is nothing left, and it is not touched."""
    path = save(Path(), CUT)
    result = testbed("shrink", str(path))
    assert result.exit_code == 1
    assert "smaller after" in result.stderr
    again = capsules.read(str(path))
    assert again.plan.attempts[0].script.text == ""
    assert again.plan.attempts[0].script.faults == (CutBody(0),)
    assert again.found is not None
    assert (again.found.failure, again.found.client, again.found.confirmed) == (
        Failure.SILENT_TRUNCATION, "openai", ("embedded",),
    )  # fmt: skip
    before = path.read_bytes()
    assert "as small as before" in testbed("shrink", str(path)).stderr
    assert path.read_bytes() == before


def test_shrink_leaves_alone_what_is_gone_or_another(testbed: Testbed) -> None:
    """A finding that is not there cannot be kept, so nothing is written."""
    path = save(Path(), CUT)
    before = path.read_bytes()
    assert testbed("shrink", str(path), "--client", "reference").exit_code == 0
    assert path.read_bytes() == before
    other = save(Path(), CUT, Failure.HANG)
    result = testbed("shrink", str(other))
    assert (result.exit_code, "another finding (hang)" in result.stdout) == (1, True)
    assert capsules.read(str(other)).plan == CUT


def test_shrink_makes_a_capsule_of_a_scenario_file_and_leaves_the_file(testbed: Testbed) -> None:
    """A file that somebody wrote by hand is theirs."""
    text = "# mine\n" + catalogue.to_toml(CUT)
    Path("mine.toml").write_text(text, encoding="utf-8")
    result = testbed("shrink", "mine.toml", "--client", "openai", "--engine", "simulated", "--budget", "40")
    assert result.exit_code == 1
    assert Path("mine.toml").read_text(encoding="utf-8") == text
    (made,) = Path(".testbed/failures").iterdir()
    assert made.name == "silent-truncation-of-a-test-openai.toml"
