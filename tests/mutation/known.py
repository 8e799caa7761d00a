"""Which tests a mutant is asked by.

The law of this module: only tests that run the mutant's lines, in an order that depends on nothing but its name.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from random import Random
from typing import NamedTuple

from tests.mutation.mutants import Mutant

# Lines before and behind a mutant that say what a test is about; a test that takes longer than so many seconds is asked
# after the others.
NEAR, SLOW = 12, 0.2


class Known(NamedTuple):
    """The tests with their seconds; file, line, and the numbers of the tests that run it; how many lines each runs."""

    tests: list[tuple[str, float]]
    lines: dict[str, dict[str, list[int]]]
    sizes: Counter[int]  # how many lines each runs

    def of(self, mutant: Mutant, longest: float) -> list[str]:
        """The tests that run a mutant's lines, as many as fit into so many seconds.

        In turn: those that run most of what stands around it, for what is asked of a line's neighbours is asked of it,
        too; those that run little else; and those that chance draws.
        """
        found = sorted(self._running(mutant))
        near = self._running(mutant, NEAR) if mutant.owner else Counter(found)
        by_chance = Random(mutant.name).sample(found, len(found))
        by_place = sorted(by_chance, key=lambda test: -near[test])
        by_focus = sorted(by_chance, key=lambda test: -near[test] / self.sizes[test])
        chosen: dict[str, float] = {}
        for test in chain.from_iterable(zip(by_place, by_focus, by_chance, strict=True)):
            name, seconds = self.tests[test]
            if name not in chosen and seconds <= longest:
                longest -= seconds
                chosen[name] = seconds
        return sorted(chosen, key=lambda name: chosen[name] > SLOW)

    def _running(self, mutant: Mutant, around: int = 0) -> Counter[int]:
        lines = self.lines.get(mutant.path, {})
        if not mutant.owner:
            # What stands outside of every function runs before any test; whoever runs the module may be asked.
            return Counter(test for tests in lines.values() for test in tests) or Counter(range(len(self.tests)))
        run = range(mutant.line - around, mutant.until + around + 1)
        return Counter(test for line in run for test in lines.get(str(line), ()))
