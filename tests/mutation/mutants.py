"""Every mutant of the judge, and a sample of them.

The law of this module: the same source, size and seed give the same sample.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import parso
from parso.tree import NodeOrLeaf

from tests.mutation.operators import OPERATORS

ROOT = Path(__file__).parents[2]

# Sentences and addresses of standards: there is nothing in them that a run depends on.
WORDS = {"lessons.py", "sources.py", "requirements.py", "__init__.py"}
PLAN = ROOT / "testbed" / "plan.py"


class Mutant(NamedTuple):
    """One place, changed in one way. `owner` is the function that it lies in; empty: none, it is the module's own."""

    path: str
    operator: str
    occurrence: int
    line: int
    until: int
    owner: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What names it as long as the source stays."""
        return f"{self.path}:{self.line} {self.operator}#{self.occurrence}"


def modules() -> list[Path]:
    """What is mutated."""
    oracle = sorted((ROOT / "testbed" / "oracle").rglob("*.py"))
    return [PLAN, *(path for path in oracle if path.name not in WORDS)]


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a module."""
    counts = dict.fromkeys(OPERATORS, 0)
    found: list[Mutant] = []
    for node in _places(parso.parse(path.read_text())):
        for name, operator in OPERATORS.items():
            for _ in range(operator.count(node)):
                start, end = _statement(node)
                where = path.relative_to(ROOT).as_posix()
                found.append(Mutant(where, name, counts[name], start, end, _owner(node)))
                counts[name] += 1
    return found


def sample(size: int, seed: int) -> list[Mutant]:
    """All mutants of the plan and so many of the oracle's, each as likely as every other."""
    every = {path: mutants(path) for path in modules()}
    oracle = [one for path, found in every.items() if path != PLAN for one in found]
    drawn = Random(seed).sample(oracle, min(size, len(oracle)))
    return [*every[PLAN], *sorted(drawn)]


def mutate(mutant: Mutant) -> str:
    """The source of the module with the one change."""
    operator = OPERATORS[mutant.operator]
    tree = parso.parse((ROOT / mutant.path).read_text())
    left = mutant.occurrence
    for node in _places(tree):
        count = operator.count(node)
        if left < count:
            changed = operator.apply(node, left)
            if changed is not None and changed is not node:
                siblings = node.parent.children
                siblings[siblings.index(node)] = changed
            return str(tree.get_code())
        left -= count
    raise LookupError(mutant.name)


def difference(mutant: Mutant) -> str:
    """The changed lines, before and after."""
    before, after = (ROOT / mutant.path).read_text().splitlines(), mutate(mutant).splitlines()
    lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[3:]
    return "\n".join(lines)


# --- places -----------------------------------------------------------------------------------------------------------


def _places(node: NodeOrLeaf) -> Iterator[NodeOrLeaf]:
    """Every node but those of annotations, decorators and imports."""
    yield node
    for child in getattr(node, "children", ()):
        if child.type in {"decorator", "decorators", "import_from", "import_name", "string", "fstring"}:
            continue
        if node.type in {"annassign", "tfpdef", "param"} and _is_annotation(node, child):
            continue
        if node.type == "funcdef" and child is node.annotation:
            continue
        yield from _places(child)


def _is_annotation(node: NodeOrLeaf, child: NodeOrLeaf) -> bool:
    if node.type == "param":
        return child.type == "tfpdef"
    return bool(node.children[1] is child)


def _statement(node: NodeOrLeaf) -> tuple[int, int]:
    """The lines that run if this place does: its statement, or the head of one that has a body."""
    while node.parent is not None and node.parent.type not in {"file_input", "suite", "simple_stmt"}:
        node = node.parent
    if node.type == "simple_stmt":
        node = node.children[0]
    end = node.end_pos[0]
    suites: Sequence[NodeOrLeaf] = [one for one in getattr(node, "children", ()) if one.type == "suite"]
    if suites:
        end = max(node.start_pos[0], suites[0].start_pos[0])
    return node.start_pos[0], end


def _owner(node: NodeOrLeaf) -> tuple[str, ...]:
    """The outermost function around a place in its body, behind the class that it is in."""
    path: tuple[str, ...] = ()
    child = node
    while child.parent is not None:
        parent = child.parent
        if parent.type == "funcdef":
            path = (parent.name.value,) if child is parent.children[-1] else ()
        elif parent.type == "classdef":
            path = (parent.name.value, *path) if path else ()
        child = parent
    return path
