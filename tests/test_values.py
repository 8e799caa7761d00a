"""Values: what identifies one."""

from __future__ import annotations

import pytest

from testbed._values import Value, decode, digest, encode
from testbed.faults.toxics import Latency, LatencyAttributes
from testbed.script import DialectName, Head, Reading, Script


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Script(DialectName.OLLAMA, (Head(),)), Script(DialectName.OLLAMA, (Head(),), reading=Reading())),
        (Latency(), Latency(attributes=LatencyAttributes())),
    ],
)
def test_equal_values_have_equal_digests(one: Value, other: Value) -> None:
    """Whether a default was written or left out, and whether the value has been a file meanwhile, is not to be seen."""
    assert one == other
    assert digest(one) == digest(other) == digest(decode(encode(other), type(other)))


def test_a_digest_tells_values_apart() -> None:
    """A number that is another makes another digest, deep inside as well."""
    assert digest(Latency()) != digest(Latency(attributes=LatencyAttributes(latency=1)))
    assert digest((Reading(),)) != digest((Reading(most=0),))
