"""The provider's code that an error shows, against the one that was sent."""

from __future__ import annotations

import pytest

from testbed.oracle import judge
from testbed.script import Failure, Head, Open, Quirk, Script, Text
from testbed.trace import Failure as Found
from testbed.trace import Outcome
from tests.oracle.runs import CHAT, Run, plan_of

STEPS = (Head(), Open(), Text("One "), Failure("invalid_request_error"))


@pytest.mark.parametrize(
    ("code", "accused"), [("invalid_request_error", False), ("500", False), ("-32603", False), ("overloaded", True)]
)
def test_a_number_beside_the_word_is_the_same_code(code: str, accused: bool) -> None:
    """Where an error has both, a client may show either (JSON-RPC's is below zero); another word is wrong."""
    plan = plan_of(Script(CHAT, STEPS, quirks=(Quirk.ERROR_FIELD,)))
    trace = Run(plan).play().shows("One ").raises(Outcome.PROVIDER, at=0.1, code=code).trace()
    wrong = [one.failure for one in judge(plan, trace).findings]
    assert wrong == ([Found.WRONG_ERROR_CLASS] if accused else [])
