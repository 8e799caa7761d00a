"""A mutant in a process of its own from the first import on, for what cannot be replaced in one that runs."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import subprocess
import sys
from types import ModuleType

from tests.mutation.mutants import ROOT, Mutant, mutate
from tests.mutation.plugin import KILLED, SURVIVED, TIMEOUT, pytest_with
from tests.mutation.swap import dotted

LONGEST = 600.0


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant, self.module = mutant, dotted(mutant.path)

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """The mutant's module, and no other."""
        if name != self.module:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(ROOT / self.mutant.path))

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed source."""
        module.__file__ = str(ROOT / self.mutant.path)
        exec(compile(mutate(self.mutant), module.__file__, "exec"), vars(module))


def be_alone(told: str) -> int:
    """Ask every test about the mutant that is `told`, until one fails."""
    mutant = json.loads(told)
    sys.meta_path.insert(0, Finder(Mutant(*mutant[:-1], tuple(mutant[-1]))))
    for name in [one for one in sys.modules if one.startswith("testbed")]:
        del sys.modules[name]
    return pytest_with(object(), "-x")


def ask_alone(mutant: Mutant) -> tuple[Mutant, str]:
    """What came of a mutant in a process of its own."""
    command = [sys.executable, "-m", "tests.mutation", "--alone", json.dumps(mutant)]
    try:
        code = subprocess.run(command, capture_output=True, timeout=LONGEST, check=False, cwd=ROOT).returncode
    except subprocess.TimeoutExpired:
        return mutant, TIMEOUT
    return mutant, KILLED if code else SURVIVED
