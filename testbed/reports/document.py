"""The JSON document of a run: one shape for the command line, the pytest plugin and whatever reads them.

The law of this module: every key is always there, in this order, so that a reader needs no defaults; a plan stands in
it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from testbed.oracle import Shown

if TYPE_CHECKING:
    from testbed.explore import Counterexample, Result

FORMAT = 1

_RESULT = ("scenario", "client", "engine", "verdict", "examples", "duration", "reason")
_FINDING = (
    *("failure", "cause", "summary", "requirement", "sources", "evidence", "plan", "reproduce", "file"),
    *("also", "confirmed", "doubt"),
)
_CURE = ("cure", "variant", "proof", "evidence")


# What a command adds to a result, by the key under which it stands there.
Beside = Mapping[str, object]


def document(results: Iterable[Result], seed: int, beside: Sequence[Beside] = ()) -> dict[str, object]:
    """Build the document as plain JSON types; `beside` has what else there is to say of each result, in their order."""
    rows = [_result(result) for result in results]
    for row, more in zip(rows, beside, strict=False):
        row.update(more)
    return {"format": FORMAT, "seed": seed, "results": rows}


def to_json(results: Iterable[Result], seed: int, beside: Sequence[Beside] = ()) -> str:
    """Write the document, indented for people, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document(results, seed, beside)), indent=2).decode() + "\n"


def _result(result: Result) -> dict[str, object]:
    row: dict[str, object] = {key: msgspec.to_builtins(getattr(result, key)) for key in _RESULT}
    # The verdict as people write it, everywhere the same: FAIL.
    more = {"findings": [*map(_finding, result.findings)], "grids": msgspec.to_builtins(result.grids)}
    return {**row, "verdict": result.verdict.name, **more, "cures": [*map(_cure, result.cures)]}


def _cure(shown: Shown) -> dict[str, object]:
    return {key: msgspec.to_builtins(getattr(shown, key)) for key in _CURE}


def _finding(finding: Counterexample) -> dict[str, object]:
    return {key: msgspec.to_builtins(getattr(finding, key)) for key in _FINDING}
