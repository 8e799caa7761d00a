"""What was shown of the cures that clients claim, in a line for each client.

The law of this module: nothing is said of a cure that no run asked for, and one disproof outweighs every proof.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from testbed.oracle.cures import Shown, in_words

if TYPE_CHECKING:
    from testbed.explore import Result


def cure_lines(results: Iterable[Result]) -> tuple[str, ...]:
    """A line for each client of which a run asked for a cure, all its results together."""
    found: dict[str, list[Shown]] = {}
    for result in results:
        found.setdefault(result.client, []).extend(result.cures)
    return tuple(f"{client}: {words}" for client, shown in found.items() if (words := in_words(shown)))
