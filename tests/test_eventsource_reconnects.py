"""A plain EventSource has no end of its own: who must come back after a clean one, and who need not."""

from __future__ import annotations

import pytest

from testbed import adapters, explore, runner
from testbed.oracle import Verdict
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.script import DialectName, Head, Script, Text


@pytest.mark.parametrize("max_retries", [0, 1, 2])
@pytest.mark.parametrize("name", ["reference", "httpx-sse"])
def test_a_clean_end_is_no_accusation(name: str, max_retries: int):
    """The reference reconnects as often as it may, httpx-sse leaves that to its caller; both are right."""
    script = Script(dialect=DialectName.EVENTSOURCE, steps=(Head(), Text("one"), Text("two")))
    settings = ClientSettings(idle_timeout=10.0, max_retries=max_retries)
    plan = Plan(scenario="clean-end", attempts=(Attempt(script=script),), client=settings)
    judgement = explore.check(plan, runner.engine("simulated"), adapters.load(name))
    assert judgement.verdict is Verdict.PASS, judgement
