"""Toy clients with known defects: the oracle's oracle.

`TOYS` maps a name to its row: the client, the failure that was planted in it (None: it is correct), the plan and the
scenarios that show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from testbed.plan import Plan
from tests.toys import (
    defects,
    defects_a,
    defects_answers,
    defects_b,
    defects_blocking,
    defects_c,
    defects_parsing,
    defects_process,
    defects_retrying,
    falling_back,
    plans,
)
from tests.toys.correct import Correct, PerRead
from tests.toys.rows import THREAD, Toy, table
from tests.toys.rules import Rules

__all__ = ["PLANS", "TOYS", "Toy"]

_CORRECT = (
    Toy("per-character", Correct, plan=plans.whole),
    Toy("per-read", PerRead, plan=plans.whole),
    Toy("blocking", Rules, runtimes=THREAD, plan=plans.whole),
)

_TABLES = (
    defects,
    defects_parsing,
    defects_answers,
    defects_retrying,
    defects_blocking,
    defects_a,
    defects_b,
    defects_c,
    defects_process,
    falling_back,
)

TOYS: Mapping[str, Toy] = table(
    (*_CORRECT, *falling_back.RIGHT, *defects_process.CORRECT, *(row for one in _TABLES for row in one.DEFECTS))
)

# A correct client is asked every plan that shows somebody else's defect: `PLANS`. The one beside it here is just one
# of them.
PLANS: tuple[Callable[[], Plan], ...] = tuple(
    dict.fromkeys(
        [
            plans.whole,
            plans.sealed,
            plans.sealed_and_cut,
            *(row.plan for row in defects.DEFECTS if row.plan is not None),
        ]
    )
)
