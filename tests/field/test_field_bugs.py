"""Every bug of the field corpus that needs only the server has a script that makes its wire trigger.

The corpus is ``tests/data/field_bugs.json``: number, title, and what it takes to make the bug happen.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.program import Write, compile_script
from testbed.script import Coding, Script
from tests.field.told import TOLD, UNTOLD

CORPUS = json.loads((Path(__file__).parent.parent / "data" / "field_bugs.json").read_text())
SERVER_ONLY = {bug["id"] for bug in CORPUS if bug["localhost"].partition("(")[0].strip() == "server"}


def wire(script: Script) -> bytes:
    """What the server writes; a body in one piece, so that a chunk's size stands in no one's way."""
    writes = [operation for operation in compile_script(script) if isinstance(operation, Write)]
    coded = script.head.coding is not Coding.IDENTITY
    if coded:
        return b"".join(write.data for write in writes)
    # The head and the last chunk have no payload; of all others only that is read.
    pieces = (write.data[slice(*write.payload)] if range(*write.payload) else write.data for write in writes)
    return b"".join(pieces)


def test_every_bug_of_the_server_is_told_or_named_with_its_reason():
    """No number is left out, none stands in both lists, none is made up."""
    assert set(TOLD).isdisjoint(UNTOLD)
    assert set(TOLD) | set(UNTOLD) == SERVER_ONLY
    assert all(len(reason) > 40 for reason in UNTOLD.values())


@pytest.mark.parametrize("number", sorted(TOLD))
def test_the_script_makes_the_wire_trigger(number: str):
    """Every attempt can be said; what the bug is known by stands on the wire, and what must be missing does not."""
    told = TOLD[number]
    sent = [wire(script) for script in told.scripts]
    assert sent
    for fragment in told.has:
        assert any(fragment in one for one in sent), fragment
    for fragment in told.lacks:
        assert all(fragment not in one for one in sent), fragment
