"""A finding in words, for terminals and for pytest's failure report.

The law of this module: plain text and no colour, one fact a line, and the last line is the command that shows it again.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.explore import Counterexample, Result
    from testbed.trace import Failure

_LABEL = 13


def headline(finding: Counterexample) -> str:
    """The failure class and what happened, in one line."""
    return f"{finding.failure.value}: {finding.summary}"


def describe_one(finding: Counterexample) -> str:
    """The whole finding: what, why it is wrong and who says so, what was seen, how to see it again."""
    facts = [("requirement", finding.requirement)]
    facts += [("source", source) for source in finding.sources]
    facts += [("evidence", line) for line in finding.evidence]
    facts += [("also", f"{one.failure.value}: {one.summary}") for one in finding.also]
    facts += [("confirmed", f"on {engine}") for engine in finding.confirmed]
    facts += [("doubt", finding.doubt)] if finding.doubt else []
    facts += [("see", see(finding.failure))]
    lines = [headline(finding), *(_line(label, text) for label, text in _unrepeated(facts))]
    if finding.reproduce:
        lines.append(f"Reproduce with: {finding.reproduce}")
    return "\n".join(lines)


def see(failure: Failure) -> str:
    """Where the page of a failure class stands, and the command that prints it."""
    return f"docs/reference/failures/{failure.value}.md, or: testbed explain {failure.value}"


def describe(result: Result) -> str:
    """Every finding of a result, a blank line between two."""
    return "\n\n".join(describe_one(finding) for finding in result.findings)


def _unrepeated(facts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Blank a label that the line above already has."""
    return [
        (label if index == 0 or facts[index - 1][0] != label else "", text) for index, (label, text) in enumerate(facts)
    ]


def _line(label: str, text: str) -> str:
    indent = " " * (_LABEL + 2)
    return textwrap.indent(text, indent).replace(indent, f"  {label:<{_LABEL}}", 1)
