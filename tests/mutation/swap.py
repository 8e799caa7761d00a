"""A mutant put into a process that has everything loaded: the code of one function is replaced.

The law of this module: whoever holds the function calls the mutant from then on; what was computed before is forgotten.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from tests.mutation.mutants import ROOT, Mutant, mutate


def put_in(mutant: Mutant) -> bool:
    """Replace the function of a mutant; False if it has none, or none that can be replaced."""
    if not mutant.owner:
        return _put_in_table(mutant)
    code = _code(compile(mutate(mutant), str(ROOT / mutant.path), "exec"), mutant.owner)
    function = _function(mutant)
    if code is None or function is None or code.co_freevars != function.__code__.co_freevars:
        return False
    function.__code__ = code
    _forget()
    return True


def _put_in_table(mutant: Mutant) -> bool:
    """Replace a module's constant, and those below it that are made of it, wherever they are known by their name."""
    module = importlib.import_module(dotted(mutant.path))
    body = ast.parse(mutate(mutant)).body
    first = next(place for place, one in enumerate(body) if one.lineno <= mutant.line <= (one.end_lineno or 0))
    if not isinstance(body[first], (ast.Assign, ast.AnnAssign)):
        return False
    before = dict(vars(module))
    constants = [one for one in body[first:] if isinstance(one, (ast.Assign, ast.AnnAssign))]
    exec(compile(ast.Module(constants, []), str(ROOT / mutant.path), "exec"), vars(module))
    changed = {name: value for name, value in vars(module).items() if before.get(name) is not value}
    for name, other in list(sys.modules.items()):
        if name.startswith(("testbed", "tests")):
            for constant, value in changed.items():
                if vars(other).get(constant) is before.get(constant) and constant in vars(other):
                    setattr(other, constant, value)
    _forget()
    return True


def dotted(path: str) -> str:
    """The name of the module in a file."""
    return ".".join(Path(path).with_suffix("").parts)


def _code(code: CodeType, owner: tuple[str, ...]) -> CodeType | None:
    for name in owner:
        inner = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name]
        if len(inner) != 1:  # defined twice, as overloads are
            return None
        code = inner[0]
    return code


def _function(mutant: Mutant) -> FunctionType | None:
    found: Any = importlib.import_module(dotted(mutant.path))
    for name in mutant.owner:
        found = vars(found)[name]
    return next((one for one in _unwrapped(found) if isinstance(one, FunctionType)), None)


def _unwrapped(found: Any) -> Iterator[Any]:
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, cached_property):
        found = found.func
    elif isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    yield found


def _forget() -> None:
    """Empty every cache of the project."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("testbed", "tests")):
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear):
                    clear()
