"""`timeout`: drop everything, close after silence."""

from __future__ import annotations

import pytest

from testbed.faults.connection import Close, ConnectionModel, Fired, Semantics
from testbed.faults.toxics import Timeout, TimeoutAttributes
from tests.faults.timeline import DOWN, FIN, MS, UP, Player, play


def timeout(delay: int) -> Timeout:
    return Timeout(attributes=TimeoutAttributes(timeout=delay))


TABLE = {
    "silence from the start": (timeout(100), [], [(100 * MS, "fired timeout"), (100 * MS, "close")]),
    "each chunk winds the clock up": (
        timeout(100),
        [(50 * MS, b"a"), (120 * MS, b"b")],
        [(50 * MS, "fired timeout"), (220 * MS, "close")],
    ),
    "a chunk at the very moment is too late": (
        timeout(100),
        [(100 * MS, b"a")],
        [(100 * MS, "fired timeout"), (100 * MS, "close")],
    ),
    "0 never closes": (timeout(0), [(0, b"a"), (10**12, b"b")], [(0, "fired timeout")]),
    "the source's end passes at once": (timeout(100), [(MS, FIN)], [(MS, "fin")]),
    "0 lets the source's end pass": (timeout(0), [(0, b"a"), (MS, FIN)], [(0, "fired timeout"), (MS, "fin")]),
}


@pytest.mark.parametrize(("toxic", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxic, events, expected):
    """Every row of the table of time lines holds."""
    assert expected == play([toxic], events)


def test_late_chunk_does_not_wind_up_a_spent_clock():
    """A driver that brings a chunk before it looks at the deadline that has passed gets the close all the same."""
    model = ConnectionModel([timeout(100)], seed=0, semantics=Semantics.TRANSPARENT)
    model.open(0)
    model.feed(DOWN, 150 * MS, b"late")
    assert model.wake(150 * MS) == [Fired(0, "timeout"), Close()]


def test_other_direction_flows_until_the_close():
    """A downstream timeout leaves upstream alone until it closes both."""
    player = Player([timeout(100)]).play([(10, b"hello", UP)])
    assert player.bytes(UP) == b"hello"
    assert player.log[-1] == (100 * MS, "close")


def test_removal_closes_the_link():
    """Taking a timeout away closes the connection, for its stream has a hole."""
    player = Player([timeout(0)]).play([(0, b"a")], until=5)
    player.model.remove("timeout_downstream", 5)
    player.settle()
    assert player.log[-1] == (5, "close")


def test_removal_closes_even_a_spared_link():
    """The close comes with the removal, not with the drops: toxicity 0 changes nothing about it."""
    spared = Timeout(toxicity=0.0)
    player = Player([spared]).play([(0, b"a")], until=5)
    assert player.log == [(0, b"a")]
    player.model.remove("timeout_downstream", 5)
    player.settle()
    assert player.log[-1] == (5, "close")
