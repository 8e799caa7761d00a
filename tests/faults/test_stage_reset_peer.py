"""`reset_peer`: swallow, sleep, close; and what it does to every close of its connection."""

from __future__ import annotations

import pytest

from testbed.faults.connection import Semantics
from testbed.faults.toxics import LimitData, LimitDataAttributes, ResetPeer, ResetPeerAttributes
from tests.faults.timeline import DOWN, FIN, MS, UP, Player, play


def reset_peer(delay: int = 0, *, toxicity: float = 1.0, stream=DOWN) -> ResetPeer:
    return ResetPeer(attributes=ResetPeerAttributes(timeout=delay), toxicity=toxicity, stream=stream)


LIMIT = LimitData(attributes=LimitDataAttributes(bytes=3))

TABLE = {
    "there from the start: a reset and not a byte": (
        [reset_peer()],
        [(5, b"abc")],
        [(5, "fired reset_peer"), (5, "rst immediate")],
    ),
    "it sleeps first": (
        [reset_peer(20)],
        [(0, b"abc"), (MS, b"def")],
        [(0, "fired reset_peer"), (20 * MS, "rst immediate")],
    ),
    "a negative time is none": ([reset_peer(-5)], [(0, b"a")], [(0, "fired reset_peer"), (0, "rst immediate")]),
    "the end wakes it too": ([reset_peer(10)], [(0, FIN)], [(0, "fired reset_peer"), (10 * MS, "rst immediate")]),
    "without traffic nothing happens": ([reset_peer()], [], []),
    "toxicity 0 and a limit: exactly the limit, then a reset": (
        [reset_peer(toxicity=0.0), LIMIT],
        [(0, b"abcdef")],
        [(0, "fired limit_data"), (0, b"abc"), (0, "fired reset_peer"), (0, "rst immediate")],
    ),
    "toxicity 0: the server's own end becomes a reset": (
        [reset_peer(toxicity=0.0)],
        [(0, b"abc"), (1, FIN)],
        [(0, b"abc"), (1, "fired reset_peer"), (1, "rst immediate")],
    ),
    "in the other direction, spared": (
        [reset_peer(toxicity=0.0, stream=UP)],
        [(0, b"abc"), (1, FIN)],
        [(0, b"abc"), (1, "fired reset_peer"), (1, "rst immediate")],
    ),
}


@pytest.mark.parametrize("semantics", Semantics)
@pytest.mark.parametrize(("toxics", "events", "expected"), TABLE.values(), ids=TABLE)
def test_time_lines(toxics, events, expected, semantics):
    """Every row of the table of time lines holds, whatever the network does with ends otherwise."""
    assert expected == Player(toxics, semantics=semantics).play(events).log


def test_added_later_it_closes_in_order():
    """Added to a live connection it closes with FIN, for its option is set only when a connection opens."""
    player = Player().play([(0, b"a")], until=5)
    player.model.add(reset_peer(), 5)
    player.play([(10, b"b")])
    assert player.log == [(0, b"a"), (10, "fired reset_peer"), (10, "close")]


def test_its_sleep_cannot_be_called_off():
    """Updating or removing it while it sleeps changes nothing."""
    player = Player([reset_peer(100)]).play([(0, b"a")], until=5)
    player.model.update(0, reset_peer(1), 5)
    player.settle()
    player.model.remove(0, 6)
    player.settle()
    assert player.to(10**9).log == [(0, "fired reset_peer"), (100 * MS, "rst immediate")]


def test_spared_connection_carries_everything():
    """With toxicity 0 not a byte is lost before the reset."""
    assert (0, b"abc") in play([reset_peer(toxicity=0.0)], [(0, b"abc"), (0, FIN)])
