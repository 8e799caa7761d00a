"""Counterexamples as files: each is a scenario with constants only, so it can be replayed, shared and committed.

The law of this module: the file's name is made of what it shows and of the plan's digest, so the same counterexample
found twice is the same file; and the command that is printed beside it is the command that finds it again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from testbed._values import digest
from testbed.catalogue import to_toml

if TYPE_CHECKING:
    from testbed.explore import Counterexample, Result

FOLDER = Path(".testbed") / "failures"


def remember(result: Result, client: Sequence[str], file: str) -> Result:
    """Fill in the commands of a result that came from a file: replaying that same file."""
    command = _command(file, client, result.engine)
    return _with(result, tuple(msgspec.structs.replace(finding, reproduce=command) for finding in result.findings))


def save(result: Result, client: Sequence[str], *, root: Path | None = None) -> Result:
    """Write every counterexample below `root` (the current folder) and return the result with its commands filled in.

    `client` is how the tester named the client: ``("--client", "openai")`` or ``("--command", "node client.mjs")``.
    """
    folder = (root or Path.cwd()) / FOLDER
    findings = tuple(_save_one(result, finding, client, folder) for finding in result.findings)
    return _with(result, findings)


def _with(result: Result, findings: tuple[Counterexample, ...]) -> Result:
    return msgspec.structs.replace(result, findings=findings)


def _command(file: str, client: Sequence[str], engine: str) -> str:
    return shlex.join(["testbed", "replay", file, *client, "--engine", engine])


def _save_one(result: Result, finding: Counterexample, client: Sequence[str], folder: Path) -> Counterexample:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug(result, finding)}.toml"
    path.write_text(_preface(result, finding) + to_toml(finding.plan), encoding="utf-8")
    return msgspec.structs.replace(finding, reproduce=_command(_shown(path), client, result.engine))


def slug(result: Result, finding: Counterexample) -> str:
    """Name a counterexample by what it shows: ``abrupt-end-openai-silent-truncation-<digest of the plan>``."""
    client = re.sub(r"[^a-z0-9]+", "-", result.client.lower()).strip("-")
    return f"{result.scenario}-{client}-{finding.failure.value}-{digest(finding.plan)}"


def _preface(result: Result, finding: Counterexample) -> str:
    """Comment lines that tell a reader of the file what it shows; a summary is one line, whatever the client put into
    it.
    """
    summary = " ".join(finding.summary.split())
    return f"# {finding.failure.value}: {summary}\n# found with {result.client} on {result.engine}\n\n"


def _shown(path: Path) -> str:
    """The path as a person would type it here: relative where it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
