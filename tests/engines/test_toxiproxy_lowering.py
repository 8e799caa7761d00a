"""Which plans the real server can carry exactly, and what it is told for them."""

from __future__ import annotations

import pytest

from testbed.engines.toxiproxy_lowering import lower, why_not
from testbed.errors import Unsupported
from testbed.faults.toxics import (
    NATIVE,
    Bandwidth,
    CloseAfter,
    CloseAfterAttributes,
    Direction,
    Latency,
    LatencyAttributes,
    LimitData,
    LimitDataAttributes,
    PacketLoss,
    ResetAfter,
    ResetAfterAttributes,
    ResetMode,
    ResetPeer,
    Slicer,
    SlicerAttributes,
    SlowClose,
    SlowCloseAttributes,
    Stall,
    StallAttributes,
    Timeout,
    Toxic,
    type_name,
)
from testbed.plan import Attempt
from testbed.program import layout
from testbed.script import CutBody, DialectName, Done, Ending, Finish, Head, Open, Script, Text
from tests.net.support import HELLO, chat, plan_of

WIRE = layout(HELLO).wire
SLICED = Slicer(attributes=SlicerAttributes(average_size=10, size_variation=9))


def reset_after(count: int, **changes: object) -> ResetAfter:
    """The toxic, drained unless told otherwise."""
    mode = changes.pop("mode", ResetMode.DRAINED)
    return ResetAfter(attributes=ResetAfterAttributes(count, mode), **changes)  # type: ignore[arg-type]


def told(*toxics: Toxic) -> list[tuple[str, str, float, dict[str, int]]]:
    """What the server is told for these toxics, names left out."""
    return [(spec.type, spec.stream, spec.toxicity, spec.attributes) for spec in lower(Attempt(HELLO, toxics))]


@pytest.mark.parametrize("kind", NATIVE)
def test_native_toxics_go_over_as_they_are(kind: type) -> None:
    """Whatever Toxiproxy knows by itself keeps type, stream, toxicity and attributes."""
    native = SLICED if kind is Slicer else kind(stream=Direction.UPSTREAM, toxicity=0.0)
    attributes = {name: getattr(native.attributes, name) for name in native.attributes.__struct_fields__}
    assert told(native) == [(type_name(native), native.stream.value, native.toxicity, attributes)]


def test_order_is_kept_and_names_are_unique() -> None:
    """A chain keeps its order, also where two toxics have the same name in the plan, or a lowered one needs two."""
    toxics = (Latency(), reset_after(5), Latency(attributes=LatencyAttributes(latency=1)))
    specs = lower(Attempt(HELLO, toxics))
    assert [spec.type for spec in specs] == ["latency", "reset_peer", "limit_data", "latency"]
    assert len({spec.name for spec in specs}) == 4


def test_an_exact_reset_is_a_limit_beside_a_reset_that_never_strikes() -> None:
    """The measured recipe."""
    assert told(reset_after(7)) == [
        ("reset_peer", "downstream", 0.0, {"timeout": 0}),
        ("limit_data", "downstream", 1.0, {"bytes": 7}),
    ]


def test_a_spared_reset_leaves_nothing_behind() -> None:
    """With toxicity 0 not even the option may be set, which would turn the answer's own end into a reset."""
    assert told(reset_after(7, toxicity=0.0)) == []


def test_an_exact_close_is_a_limit() -> None:
    """close_after by bytes is limit_data under another name."""
    close = CloseAfter(stream=Direction.UPSTREAM, attributes=CloseAfterAttributes(bytes=7))
    assert told(close) == [("limit_data", "upstream", 1.0, {"bytes": 7})]


LIMIT = LimitData(attributes=LimitDataAttributes(5))

UNSUPPORTED: list[tuple[str, tuple[Toxic, ...]]] = [
    ("packet_loss: real Toxiproxy 2.12 does not model", (PacketLoss(),)),
    ("stall: real Toxiproxy cannot fall silent", (Stall(attributes=StallAttributes(5)),)),
    ("close_after: real Toxiproxy cannot cut a stream", (CloseAfter(attributes=CloseAfterAttributes(after=5)),)),
    ("reset_after: real Toxiproxy cannot destroy bytes", (reset_after(5, mode=ResetMode.IMMEDIATE),)),
    ("reset_after: real Toxiproxy resets at an exact byte only", (reset_after(5, stream=Direction.UPSTREAM),)),
    (f"reset_after: bytes is {WIRE + 1}, but the answer has {WIRE}", (reset_after(WIRE + 1),)),
    ("reset_after: bytes is -1", (reset_after(-1),)),
    ("reset_after with limit_data", (reset_after(5), LIMIT)),
    ("reset_after with timeout", (Timeout(stream=Direction.UPSTREAM), reset_after(5))),
    ("slow_close behind reset_after", (reset_after(5), SlowClose(attributes=SlowCloseAttributes(9)))),
    ("latency: toxicity is 0.5", (Latency(toxicity=0.5),)),
    ("latency: latency is -1", (Latency(attributes=LatencyAttributes(latency=-1)),)),
    ("slow_close: delay is 3000000000", (SlowClose(attributes=SlowCloseAttributes(3_000_000_000)),)),
    ("slicer: average_size 0", (Slicer(),)),
    ("slicer: average_size 5", (Slicer(attributes=SlicerAttributes(average_size=5, size_variation=5)),)),
]


@pytest.mark.parametrize(("reason", "toxics"), UNSUPPORTED, ids=[reason for reason, _ in UNSUPPORTED])
def test_what_would_not_be_exact_is_unsupported(reason: str, toxics: tuple[Toxic, ...]) -> None:
    """The sentence names the toxic and says what the real server would do."""
    attempt = Attempt(HELLO, toxics)
    assert (why_not(plan_of(attempt)) or "").startswith(reason)
    with pytest.raises(Unsupported):
        lower(attempt)


@pytest.mark.parametrize(
    "toxics",
    [
        (reset_after(WIRE),),
        (reset_after(0),),
        (Bandwidth(), reset_after(5), SLICED),
        (SlowClose(), reset_after(5)),
        (reset_after(5), SlowClose(stream=Direction.UPSTREAM)),
        (reset_after(5), LimitData(toxicity=0.0)),
        (ResetPeer(), LIMIT),
        (reset_after(5), reset_after(9)),
    ],
)
def test_what_is_exact_together_is_carried(toxics: tuple[Toxic, ...]) -> None:
    """A reset at a byte goes together with everything that does not end the connection by itself."""
    assert why_not(plan_of(Attempt(HELLO, toxics))) is None


@pytest.mark.parametrize("how", [Ending.RST, Ending.ABORT])
def test_a_reset_of_the_servers_own_is_unsupported(how: Ending) -> None:
    """Toxiproxy turns an RST into FIN, whether the script or a cut of its body ends with it."""
    cut = Script(DialectName.OPENAI_CHAT, (Head(), Open(), Finish(), Done()), (CutBody(at=5, how=how),))
    for script in (chat(how=how), cut):
        assert why_not(plan_of(script)) == (
            f"the script ends with {how.value}, and real Toxiproxy hands a reset on as an orderly end"
        )


def test_a_plan_with_several_attempts_says_which() -> None:
    """The attempt is named where there is more than one."""
    plan = plan_of(HELLO, Attempt(chat(Text("x")), (PacketLoss(),)))
    assert (why_not(plan) or "").startswith("attempt 1: packet_loss")
    assert why_not(plan_of(HELLO)) is None
