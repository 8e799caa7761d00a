"""What stands in one place of the matrix.

The law of this module: a cell is made of plain values, so that it can be sent between processes and printed; the plan
that it rests on is the text of a scenario file.
"""

from __future__ import annotations

from typing import NamedTuple

VIRTUAL = "simulated"

# In the place of a scenario: the plan beside a mutant that no scenario of the catalogue is about.
OWN = "(own plan)"


class Question(NamedTuple):
    """One client × scenario. `planted` is the slug that must be found, "" for a correct client."""

    client: str
    scenario: str
    planted: str
    seed: int


class Answer(NamedTuple):
    """What came of a question on one engine. `classes` are the slugs that were found, in the order of their finding.

    `plan` is the scenario file of a failure, `examples` how many plans were run.
    """

    question: Question
    engine: str
    verdict: str
    classes: tuple[str, ...] = ()
    reason: str = ""
    plan: str = ""
    examples: int = 0
    seconds: float = 0.0

    @property
    def asked(self) -> bool:
        """Whether there was anything to ask."""
        return self.verdict != "UNSUPPORTED"

    @property
    def right(self) -> bool:
        """Whether it is what a right oracle says: the planted class of a mutant, nothing of a correct client."""
        if not self.asked:
            return True
        if self.question.planted:
            return self.question.planted in self.classes
        return self.verdict in {"PASS", "LENIENT"}
