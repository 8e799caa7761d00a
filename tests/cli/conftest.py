"""The command line, run in this process and in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from click.testing import CliRunner, Result

from testbed.cli import main


class Testbed(Protocol):
    """Run ``testbed`` with these arguments."""

    __test__ = False

    def __call__(self, *arguments: str) -> Result:
        """Return what it printed and its exit status."""
        ...


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[Testbed]:
    """The command, with an empty folder as the current one."""
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        yield lambda *arguments: CliRunner().invoke(main, arguments, catch_exceptions=False)
    finally:
        os.chdir(before)
