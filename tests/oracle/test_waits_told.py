"""What an answer asks a client to wait, where it says it in several forms."""

from __future__ import annotations

import pytest

from testbed.retrying import Form, Wait, waits
from testbed.script import DialectName, Head, Script

FINE, ROUGH = ("retry-after-ms", "500"), ("Retry-After", "60")


@pytest.mark.parametrize("dialect", [DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES, DialectName.OLLAMA])
def test_a_client_that_knows_the_finer_field_may_go_by_it_anywhere(dialect: DialectName) -> None:
    """The kindest reading comes first: SDKs of several vendors read the milliseconds before the seconds."""
    told = waits(Script(dialect, (Head(status=429, headers=(ROUGH, FINE)),)))
    assert told == (Wait(0.5, Form.MILLISECONDS), Wait(60.0, Form.SECONDS))


def test_a_client_need_not_know_a_field_that_its_vendor_does_not_have() -> None:
    """Alone, the milliseconds ask something only of OpenAI's clients."""
    assert waits(Script(DialectName.OLLAMA, (Head(status=429, headers=(FINE,)),))) == ()
    assert waits(Script(DialectName.OPENAI_CHAT, (Head(status=429, headers=(FINE,)),))) != ()
