"""Importing the package, and loading its pytest plugin, must cost the user nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("hypothesis", "openai", "anthropic", "httpx", "trio", "msgspec", "starlette", "faker", "rich", "click", "h11")


def loaded_after(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("module", ["testbed", "testbed.pytest_plugin"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    """Neither the façade nor the plugin brings in Hypothesis, an SDK, or one of our own dependencies."""
    assert loaded_after(f"import {module}").isdisjoint(HEAVY)


def test_the_plugin_module_loads_pytest_and_itself_only() -> None:
    """Of our own package the plugin loads two modules: the package and itself."""
    code = (
        "import testbed.pytest_plugin, sys\nprint(*[name for name in sys.modules if name.split('.')[0] == 'testbed'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["testbed", "testbed.pytest_plugin"]


def test_a_pytest_run_without_scenarios_stays_light(tmp_path: Path) -> None:
    """A user's suite that has the package installed and does not use it never loads what it is made of."""
    (tmp_path / "test_user.py").write_text(
        f"import sys\ndef test_light():\n    loaded = set(sys.modules) & {set(HEAVY)!r}\n    assert not loaded\n"
    )
    # Other packages' plugins load what they like: only ours is under test.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "testbed.pytest_plugin", str(tmp_path)]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
