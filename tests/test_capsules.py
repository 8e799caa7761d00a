"""Capsules: what a file holds, how it is found again, and that nothing is lost when it is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

import testbed
from testbed import capsules, loader, selection
from testbed._capsule_sign import is_capsule, is_ours
from testbed._values import decode, digest, encode
from testbed.capsules import Capsule, Found, Standing
from testbed.errors import UsageError
from testbed.explore import Counterexample, Result
from testbed.oracle import Finding, Verdict
from testbed.plan import Attempt, Plan
from testbed.script import CutBody, DialectName, Done, Finish, Head, Open, Script, Text
from testbed.trace import Failure

pytestmark = pytest.mark.once

CUT = Plan(
    scenario="abrupt-end",
    attempts=(
        Attempt(Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("a"), Finish(), Done()), (CutBody(200),))),
    ),
    title="A title",
)
OTHER = structs.replace(
    CUT, attempts=(structs.replace(CUT.attempts[0], script=structs.replace(CUT.attempts[0].script, faults=())),)
)
LATE = Finding(Failure.LATE_DELIVERY, "Late.", "In time.", ("a source",))
FOUND = Counterexample(
    failure=Failure.SILENT_TRUNCATION,
    summary='Success, but "half"\nof it',
    requirement="Never.",
    sources=("one", "two"),
    evidence=("seen: 'x\\u2028y'",),
    plan=CUT,
    cause="clean-before-terminal",
    also=(LATE,),
    confirmed=("embedded",),
)


def result(*findings: Counterexample, verdict: Verdict = Verdict.FAIL, client: str = "openai") -> Result:
    return Result("abrupt-end", client, "simulated", verdict, 1, 0.0, findings=findings)


def saved(folder: Path, *findings: Counterexample, words: tuple[str, str] = ("--client", "openai")) -> list[Path]:
    kept = capsules.save(result(*findings), words, root=folder, seed=7)
    return [folder / ".testbed" / "failures" / Path(one.file).name for one in kept.findings]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that is the current one."""
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        yield tmp_path
    finally:
        os.chdir(before)


def test_a_capsule_holds_the_plan_and_all_that_is_known_of_the_finding(tmp_path: Path) -> None:
    """What is read back is the plan itself, and the finding with its client, engine, seed and versions."""
    (path,) = saved(tmp_path, FOUND)
    assert path.name == "silent-truncation-abrupt-end-openai.toml"
    capsule = capsules.read(str(path))
    assert capsule.plan == CUT
    found = capsule.found
    assert found is not None
    assert found.plan == digest(CUT)
    assert set(found.versions) >= {"testbed", "python", "openai"}
    for field in ("failure", "summary", "cause", "requirement", "sources", "evidence", "confirmed"):
        assert getattr(found, field) == getattr(FOUND, field)
    assert (found.client, found.command, found.engine, found.seed) == ("openai", "", "simulated", 7)
    assert found.also == (Failure.LATE_DELIVERY,)


def test_a_capsule_is_a_scenario_file(tmp_path: Path) -> None:
    """Whatever takes a scenario file takes a capsule, too."""
    (path,) = saved(tmp_path, FOUND)
    assert loader.load(str(path)).name == "abrupt-end"


def test_the_same_plan_is_the_same_file_and_another_gets_a_name_of_its_own(tmp_path: Path) -> None:
    """Nothing that was saved is written over; twice the same is once."""
    other = structs.replace(FOUND, plan=OTHER)
    first = saved(tmp_path, FOUND)
    before = first[0].read_bytes()
    again = saved(tmp_path, FOUND, other)
    assert again[0] == first[0]
    assert again[1].name == "silent-truncation-abrupt-end-openai-2.toml"
    assert first[0].read_bytes() == before
    assert saved(tmp_path, other, FOUND) == again[::-1]
    assert [path.name for path in sorted(first[0].parent.iterdir())] == [again[1].name, again[0].name]


def test_a_file_of_that_name_that_is_none_of_ours_stays_as_it_is(tmp_path: Path) -> None:
    """Someone's own file in the way is kept, and the capsule goes beside it."""
    folder = tmp_path / ".testbed" / "failures"
    folder.mkdir(parents=True)
    own = folder / "silent-truncation-abrupt-end-openai.toml"
    own.write_text("mine = true\n", encoding="utf-8")
    (path,) = saved(tmp_path, FOUND)
    assert path.name.endswith("-2.toml")
    assert own.read_text(encoding="utf-8") == "mine = true\n"


def test_a_name_is_made_of_plain_letters_whatever_the_client_is_called() -> None:
    """Slashes, spaces and length of a client's name make no trouble for a file system."""
    name = capsules.slug("abrupt-end", "../../Mine & Co: " + "x" * 500, Failure.HANG)
    assert name.startswith("hang-abrupt-end-mine-co-xxx")
    assert len(name) <= 120


def test_the_sign_of_a_capsule_is_at_its_beginning(tmp_path: Path) -> None:
    """Capsules are known by their first lines; neither scenario files nor anybody's TOML are taken for one."""
    (path,) = saved(tmp_path, FOUND)
    assert is_capsule(str(path))
    plain = loader.folder() / "abrupt-end.toml"
    assert (is_capsule(str(plain)), is_ours(str(plain))) == (False, True)
    foreign = tmp_path / "pyproject.toml"
    foreign.write_text('[tool.x]\nformat = 1\n[finding.x]\ny = "[finding]"\n[scenarios]\n', encoding="utf-8")
    assert (is_capsule(str(foreign)), is_ours(str(foreign))) == (False, False)
    assert not is_capsule(str(tmp_path))
    assert not is_ours(str(tmp_path / "nothing"))


def test_rewriting_keeps_the_file_its_comments_and_where_it_came_from(tmp_path: Path) -> None:
    """The plan is new; the seed, the mode and what somebody wrote at the top are as before, and no scrap is left."""
    (path,) = saved(tmp_path, FOUND)
    path.write_text("# seen at a customer's\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    path.chmod(0o640)
    capsule = capsules.read(str(path))
    capsules.rewrite(capsule, result(structs.replace(FOUND, plan=OTHER)), ("--client", "openai"))
    again = capsules.read(str(path))
    assert again.plan == OTHER
    assert again.found is not None
    assert (again.found.seed, again.found.plan) == (7, digest(OTHER))
    text = path.read_text(encoding="utf-8")
    assert text.count("# seen at a customer's\n") == 1
    assert text.count("# silent-truncation: ") == text.count("# found with ") == 1
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_rewrite_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    """Where the new text cannot take the old one's place, the old one stands and nothing lies about."""
    (path,) = saved(tmp_path, FOUND)
    capsule = capsules.read(str(path))
    before = path.read_bytes()
    moved = path.with_name("moved.toml")
    path.rename(moved)
    path.mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(IsADirectoryError):
        capsules.rewrite(capsule, result(structs.replace(FOUND, plan=OTHER)), ("--client", "openai"))
    assert moved.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [moved, path]


def test_a_folder_is_gathered_with_what_is_below_it(tmp_path: Path) -> None:
    """Capsules and plain files of ours, in the order of their names; what is clearly not ours is passed over."""
    (path,) = saved(tmp_path, FOUND)
    below = tmp_path / "below"
    below.mkdir()
    plain = below / "plain.toml"
    shutil.copy(path, below / "a.toml")
    text = path.read_text(encoding="utf-8")
    plain.write_text("format = 1\n\n" + text[text.index("[scenario]") :], encoding="utf-8")
    (below / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    gathered = capsules.gather([str(tmp_path)])
    assert [Path(one.path).name for one in gathered] == [path.name, "a.toml", "plain.toml"]
    assert [one.found is None for one in gathered] == [False, False, True]
    assert {one.plan for one in gathered} == {CUT}


def test_what_cannot_be_replayed_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """A family, an empty folder, a finding of an unknown class, a file of somebody else's."""
    (path,) = saved(tmp_path, FOUND)
    with pytest.raises(UsageError, match="it describes many plans, not one"):
        capsules.gather(["vpn-latency"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no capsule and no scenario file"):
        capsules.gather([str(tmp_path / "empty")])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('failure = "silent-truncation"', 'failure = "bad-luck"'), encoding="utf-8")
    with pytest.raises(UsageError, match="finding: Invalid enum value 'bad-luck'"):
        capsules.read(str(path))
    foreign = tmp_path / "pyproject.toml"
    foreign.write_text("[project]\nname = 'x'\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        capsules.read(str(foreign))


def test_a_command_is_not_taken_from_a_file(tmp_path: Path) -> None:
    """A file of somebody else's must not run programs here: the tester names the command."""
    (path,) = saved(tmp_path, FOUND, words=("--command", "rm -rf x"))
    capsule = capsules.read(str(path))
    with pytest.raises(UsageError, match=r"its client was the command 'rm -rf x'.*--command"):
        list(capsules.asked(capsule, (), ()))


def test_a_capsule_is_asked_of_its_own_client_over_its_own_engine(tmp_path: Path) -> None:
    """Unless something else is named; an engine on which the named client cannot run is not insisted on."""
    (path,) = saved(tmp_path, FOUND)
    capsule = capsules.read(str(path))

    def whom(named: list[str], engines: list[str]) -> list[tuple[str, str]]:
        asked = capsules.asked(capsule, selection.clients(named), engines)
        return [(one.words[1], engine) for one, engine in asked]

    assert whom([], []) == [("openai", "simulated")]
    assert whom(["reference"], []) == [("reference", "simulated")]
    assert whom(["openai-sync"], []) == [("openai-sync", "embedded")]
    assert whom([], ["embedded", "simulated"]) == [("openai", "embedded"), ("openai", "simulated")]
    assert [one.words[1] for one, _ in capsules.asked(Capsule("x", CUT), (), ("simulated",))] == ["reference"]


@pytest.mark.parametrize(
    ("about", "verdict", "shown", "standing"),
    [
        (Failure.HANG, Verdict.FAIL, Failure.HANG, Standing.REPRODUCED),
        (Failure.LATE_DELIVERY, Verdict.FAIL, Failure.HANG, Standing.REPRODUCED),  # beside the root
        (Failure.CRASH, Verdict.FAIL, Failure.HANG, Standing.ANOTHER),
        (Failure.HANG, Verdict.PASS, None, Standing.GONE),
        (Failure.HANG, Verdict.LENIENT, None, Standing.GONE),
        (Failure.HANG, Verdict.INCONCLUSIVE, None, Standing.UNKNOWN),
        (Failure.HANG, Verdict.UNSUPPORTED, None, Standing.UNKNOWN),
        (None, Verdict.FAIL, Failure.HANG, Standing.FOUND),
        (None, Verdict.PASS, None, Standing.NOTHING),
    ],
)
def test_what_a_replay_says_of_the_finding(
    about: Failure | None, verdict: Verdict, shown: Failure | None, standing: Standing
) -> None:
    """The class that the file is about is looked for among all that the run showed."""
    findings = () if shown is None else (structs.replace(FOUND, failure=shown),)
    capsule = Capsule("x.toml", CUT, None if about is None else Found(about))
    assert capsules.standing(capsule, result(*findings, verdict=verdict)) is standing


def other_machine(folder: Path) -> Path:
    """A Python that has a copy of this package and of what it needs, and knows nothing of this folder of sources."""
    home = folder / "machine"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    python = home / "bin" / "python"
    said = subprocess.run(
        [python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    site = Path(said.stdout.strip())
    package = Path(testbed.__file__).parent
    shutil.copytree(package, site / "testbed", ignore=shutil.ignore_patterns("__pycache__", "_scenarios"))
    shutil.copytree(loader.folder(), site / "testbed" / "_scenarios")
    # What is named in such a file is searched behind the copy, and .pth files that lie there are not read.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    code = "import testbed; print(testbed.__file__)"
    found = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert Path(found.stdout.strip()).is_relative_to(home)
    return python


def test_a_capsule_replays_to_the_same_finding_on_another_machine(
    here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A fresh environment, an empty folder, and the one file: same plan, same class, same evidence."""
    (openai,) = selection.clients(["openai"])
    first = selection.replay(CUT, "simulated", openai)
    kept = capsules.save(first, openai.words, root=tmp_path_factory.mktemp("first"))
    original = Path(kept.findings[0].file)
    python = other_machine(tmp_path_factory.mktemp("other"))
    shutil.copy(original, here / "bug.toml")
    ran = subprocess.run(
        [python, "-I", "-c", "from testbed.cli import main; main()", "replay", "bug.toml", "--json", "-"],
        cwd=here,
        env={"PATH": "/usr/bin:/bin", "HOME": str(here)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 1, ran.stderr
    (row,) = json.loads(ran.stdout)["results"]
    (finding,) = row["findings"]
    about = capsules.read(str(original)).found
    assert about is not None
    assert (row["standing"], row["client"], row["engine"]) == ("reproduced", "openai", "simulated")
    for field in ("failure", "cause", "summary", "evidence"):
        assert finding[field] == json.loads(msgspec.json.encode(getattr(about, field)))
    assert digest(decode(encode(finding["plan"]), Plan)) == about.plan
    assert [path.name for path in here.iterdir()] == ["bug.toml"]
