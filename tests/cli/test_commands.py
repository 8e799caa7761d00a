"""What the commands print, write and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Testbed

KEYS = ["scenario", "client", "engine", "verdict", "examples", "duration", "reason", "findings", "grids", "cures"]
FINDING_KEYS = [
    *("failure", "cause", "summary", "requirement", "sources", "evidence", "plan", "reproduce", "file"),
    *("also", "confirmed", "doubt"),
]


def test_run_of_a_right_client_exits_0(testbed: Testbed) -> None:
    """A table, the seed, and nothing on stderr: progress is for terminals."""
    result = testbed("run", "abrupt-end", "--engine", "simulated", "--examples", "5", "--seed", "4")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["scenario", "client", "engine", "verdict", "examples", "seconds", "reason"]
    assert lines[1].split()[:5] == ["abrupt-end", "reference", "simulated", "PASS", "5"]
    assert lines[-1] == "1 PASS · seed 4"


def test_json_on_stdout_is_the_document_and_nothing_else(testbed: Testbed) -> None:
    """A finding: exit status 1, every key of the document, and the cut in its smallest plan."""
    result = testbed("run", "abrupt-end", "--client", "openai", "--engine", "simulated", "--json", "-")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert list(document) == ["format", "seed", "results"]
    (row,) = document["results"]
    assert list(row) == KEYS
    assert row["verdict"] == "FAIL"
    (finding,) = (one for one in row["findings"] if one["failure"] == "silent-truncation")
    assert list(finding) == FINDING_KEYS
    assert "silent-truncation:" in result.stderr
    script = finding["plan"]["attempts"][0]["script"]
    assert script["faults"][0]["fault"] == "cut_body"


def test_a_saved_counterexample_is_found_again_by_the_printed_command(testbed: Testbed) -> None:
    """The command of a finding, as it is printed, finds the same class; a right client passes the same plan."""
    result = testbed("run", "abrupt-end", "--client", "openai", "--engine", "simulated", "--json", "out.json")
    assert "silent-truncation:" in result.stdout
    (row,) = json.loads(Path("out.json").read_text(encoding="utf-8"))["results"]
    command = next(one["reproduce"] for one in row["findings"] if one["failure"] == "silent-truncation").split()
    assert command[:2] == ["testbed", "replay"]
    again = testbed(*command[1:], "--json", "-")
    assert again.exit_code == 1
    (replayed,) = json.loads(again.stdout)["results"]
    assert [one["failure"] for one in replayed["findings"]] == ["silent-truncation"]
    assert replayed["findings"][0]["reproduce"].split() == command
    assert testbed("replay", command[2], "--client", "reference", "--engine", "simulated").exit_code == 0
    real = testbed("replay", command[2], "--client", "openai", "--engine", "embedded")
    assert (real.exit_code, "silent-truncation:" in real.stdout) == (1, True)


def test_a_run_in_which_nothing_could_be_asked_exits_2(testbed: Testbed) -> None:
    """UNSUPPORTED alone is no good news."""
    result = testbed("run", "missing-done", "--client", "httpx-sse", "--engine", "simulated")
    assert result.exit_code == 2
    assert "UNSUPPORTED" in result.stdout


def test_list_and_show_have_json_twins(testbed: Testbed) -> None:
    """What is printed for people is there for machines too."""
    listed = json.loads(testbed("list", "vpn-lat*", "--json").stdout)["scenarios"]
    assert [one["name"] for one in listed] == ["vpn-latency"]
    assert "vpn-latency" in testbed("list").stdout
    shown = json.loads(testbed("show", "vpn-latency", "--json").stdout)
    assert shown.pop("toml").startswith("#")
    assert shown == {"format": 1, **listed[0]}
    text = testbed("show", "vpn-latency").stdout
    assert all(source in text for source in shown["sources"])


def test_doctor_says_what_is_here(testbed: Testbed) -> None:
    """Versions, programs and engines, for people and for machines."""
    found = json.loads(testbed("doctor", "--json").stdout)["found"]
    assert {"simulated", "embedded"} <= set(found["engines"].split(", "))
    assert found["openai"] is not None
    assert found["openai"] in testbed("doctor").stdout


@pytest.mark.parametrize("command", ["list", "show", "run", "replay", "shrink", "serve", "doctor"])
def test_every_command_explains_itself(testbed: Testbed, command: str) -> None:
    """--help works everywhere and ends well."""
    result = testbed(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {command}" in result.stdout
