"""The connection model: ends, back-pressure, live changes, and the laws that hold for any chain of toxics."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import HarnessError, UsageError
from testbed.faults import toxics as t
from testbed.faults.connection import Close, ConnectionModel, Eof, Extent, Forward, Reset, Semantics, toxic_name
from testbed.faults.stages import STAGES
from tests.faults.timeline import DOWN, FIN, MS, RST, UP, Player

TRANSPARENT, TOXIPROXY = Semantics.TRANSPARENT, Semantics.TOXIPROXY


def latency(delay: int, stream=DOWN, name: str | None = None) -> t.Latency:
    return t.Latency(attributes=t.LatencyAttributes(latency=delay), stream=stream, name=name)


def limit(size: int, stream=DOWN) -> t.LimitData:
    return t.LimitData(attributes=t.LimitDataAttributes(bytes=size), stream=stream)


STUCK_UP = t.Bandwidth(stream=UP)  # rate 0: a byte upstream is held for ever

# --- ends: (semantics, toxics, events, log) ---------------------------------------------------------------------------

ENDS = {
    "half-close passes as half-close": (
        TRANSPARENT,
        [],
        [(0, b"q", UP), (1, FIN, UP), (2, b"a"), (3, FIN)],
        [(0, "up b'q'"), (1, "up fin"), (2, b"a"), (3, "fin")],
    ),
    "a proxy knows no half-close": (
        TOXIPROXY,
        [],
        [(0, b"q", UP), (1, FIN, UP), (2, b"a")],
        [(0, "up b'q'"), (1, "close")],
    ),
    "the server's end closes the client's side too": (TOXIPROXY, [], [(0, b"a"), (1, FIN)], [(0, b"a"), (1, "close")]),
    "a proxy delivers what the other direction holds": (
        TOXIPROXY,
        [latency(50)],
        [(0, b"a"), (1, FIN, UP), (2, b"lost")],
        [(0, "fired latency"), (1, "up fin whole"), (50 * MS, b"a"), (50 * MS, "close")],
    ),
    "a reset passes as a reset": (TRANSPARENT, [], [(0, b"a"), (1, RST)], [(0, b"a"), (1, "rst drained")]),
    "a reset waits behind the bytes before it": (
        TRANSPARENT,
        [latency(50)],
        [(0, b"a"), (1, RST)],
        [(0, "fired latency"), (50 * MS, b"a"), (50 * MS, "rst drained")],
    ),
    "the client's reset": (TRANSPARENT, [], [(0, b"q", UP), (1, RST, UP)], [(0, "up b'q'"), (1, "rst drained")]),
    "a proxy turns a reset into an orderly end": (TOXIPROXY, [], [(0, b"a"), (1, RST)], [(0, b"a"), (1, "close")]),
    "a reset after the same source's FIN": (
        TRANSPARENT,
        [],
        [(1, FIN, UP), (2, RST, UP)],
        [(1, "up fin"), (2, "rst drained")],
    ),
    "a reset after a FIN that is still held": (
        TRANSPARENT,
        [latency(50)],
        [(0, b"a"), (1, FIN), (2, RST)],
        [(0, "fired latency"), (50 * MS, b"a"), (50 * MS, "rst drained")],
    ),
    "to a source that has reset nothing is delivered": (
        TOXIPROXY,
        [latency(50)],
        [(0, b"a"), (1, RST, UP)],
        [(0, "fired latency"), (1, "up fin whole"), (50 * MS, "close")],
    ),
    "a toxic's close ends both sockets, whatever its stream": (
        TRANSPARENT,
        [limit(1, UP)],
        [(0, b"a"), (1, b"qq", UP)],
        [(0, b"a"), (1, "fired limit_data"), (1, "up b'q'"), (1, "close")],
    ),
    "a toxic's close lets the other direction deliver what it holds": (
        TRANSPARENT,
        [limit(1, UP), latency(50)],
        [(0, b"a"), (1, b"qq", UP)],
        [
            (0, "fired latency"),
            (1, "fired limit_data"),
            (1, "up b'q'"),
            (1, "up fin whole"),
            (50 * MS, b"a"),
            (50 * MS, "close"),
        ],
    ),
    "a close where a FIN has gone one way already": (
        TRANSPARENT,
        [limit(1)],
        [(0, FIN, UP), (1, b"ab")],
        [(0, "up fin"), (1, "fired limit_data"), (1, b"a"), (1, "close")],
    ),
    "a direction that is stuck keeps its side open": (
        TOXIPROXY,
        [STUCK_UP],
        [(0, b"q", UP), (1, b"a"), (2, FIN)],
        [(0, "fired bandwidth"), (1, b"a"), (2, "fin whole")],
    ),
    "without the orderly end it is a reset for the one side first": (
        TOXIPROXY,
        [STUCK_UP, t.ResetPeer(toxicity=0.0)],
        [(0, b"q", UP), (1, FIN)],
        [(0, "fired bandwidth"), (1, "fired reset_peer"), (1, "rst whole")],
    ),
}


@pytest.mark.parametrize(("semantics", "toxics", "events", "expected"), ENDS.values(), ids=ENDS)
def test_ends(semantics, toxics, events, expected):
    """Every row of the table of ends holds, and nothing follows it."""
    assert expected == Player(toxics, semantics=semantics).play(events).log


def test_over_is_over():
    """After the connection is over every call is harmless and gives nothing."""
    model = ConnectionModel([], seed=0, semantics=TOXIPROXY)
    model.open(0)
    model.eof(DOWN, 0)
    assert [Close()] == model.wake(0)
    assert model.over
    model.feed(UP, 1, b"late")
    model.eof(UP, 1)
    model.reset(DOWN, 1)
    model.consumed(UP, 1, 3)
    assert model.wake(2) == []
    assert model.next_deadline() is None
    assert [model.capacity(direction) for direction in (UP, DOWN)] == [0, 0]


def test_two_half_closes_are_over():
    """On a transparent wire the second FIN ends the connection, with no Close of its own."""
    model = ConnectionModel([], seed=0, semantics=TRANSPARENT)
    model.open(0)
    model.eof(UP, 0)
    assert not model.over
    model.eof(DOWN, 0)
    assert [Eof(UP, Extent.HALF), Eof(DOWN)] == model.wake(0)
    assert model.over


def test_aborting_waits_for_bytes_the_destination_has_not_taken():
    """A drained reset comes only when the destination took what had been forwarded."""
    player = Player()
    player.stuck.add(DOWN)
    player.send(b"abc").send(RST)
    assert player.log == [(0, b"abc")]
    player.stuck.clear()
    player.settle()
    assert player.log[-1] == (0, "rst drained")


def test_what_fell_due_before_a_call_happens_before_it():
    """A driver that tells of the client's reset before it looks at a deadline gone by still delivers what was due."""
    model = ConnectionModel([latency(100)], seed=0, semantics=TRANSPARENT)
    model.open(0)
    model.feed(DOWN, 0, b"due")
    model.reset(UP, 150 * MS)
    assert model.wake(150 * MS)[1:] == [Forward(DOWN, b"due"), Reset(t.ResetMode.DRAINED)]


# --- the driver's contract --------------------------------------------------------------------------------------------


def test_actions_wait_until_they_are_asked_for():
    """Before `wake` the deadline is now; after it there is nothing to do."""
    model = ConnectionModel([], seed=0, semantics=TRANSPARENT)
    model.open(0)
    model.feed(DOWN, 5, b"a")
    assert model.next_deadline() == 5
    assert [Forward(DOWN, b"a")] == model.wake(5)
    assert model.next_deadline() is None


def test_nothing_is_taken_before_the_connection_is_open():
    """A connection that is not open has no capacity, and feeding it is our own mistake."""
    model = ConnectionModel([], seed=0, semantics=TRANSPARENT)
    assert model.capacity(UP) == 0
    with pytest.raises(HarnessError, match="1 bytes fed upstream; it takes 0"):
        model.feed(UP, 0, b"a")


def test_feeding_beyond_the_capacity_is_our_mistake():
    """The bound on queued bytes holds because a driver that ignores it is told so."""
    model = ConnectionModel([], seed=0, semantics=TRANSPARENT)
    model.open(0)
    with pytest.raises(HarnessError, match="40000 bytes fed downstream; it takes 32768"):
        model.feed(DOWN, 0, b"x" * 40_000)


def test_ends_before_the_opening_come_after_it():
    """A source that leaves while the other side is being dialled is noticed once the connection is open."""
    model = ConnectionModel([], seed=0, semantics=TRANSPARENT)
    model.eof(UP, 1)
    model.open(2)
    assert [Eof(UP)] == model.wake(2)


HELD = {  # KiB: the writer's window and hand, the entrance, one chunk a toxic
    "none": ([], 128),
    "noop": ([t.Noop()], 160),
    "slicer": ([t.Slicer(attributes=t.SlicerAttributes(average_size=9))], 160),
    "latency": ([latency(0)], 160 + 1024 * 32),
    "packet_loss": ([t.PacketLoss()], 224),
}


@pytest.mark.parametrize(("toxics", "held"), HELD.values(), ids=HELD)
def test_slow_destination_stops_the_source(toxics, held):
    """A destination that takes nothing stops the source after a bounded number of KiB; what it then takes frees it."""
    player = Player(toxics)
    player.stuck.add(DOWN)
    fed = 0
    while room := player.model.capacity(DOWN):
        player.send(b"x" * room)
        fed += room
    assert fed <= held * 1024
    assert fed >= 64 * 1024
    player.stuck.clear()
    player.settle()
    assert fed == len(player.bytes())
    assert player.model.capacity(DOWN) == 32 * 1024


def test_directions_do_not_hold_each_other_up():
    """A downstream that is stuck leaves upstream at full capacity."""
    player = Player()
    player.stuck.add(DOWN)
    player.send(b"x" * 10**6)
    assert player.model.capacity(DOWN) == 0
    player.send(b"q" * 10**6, UP)
    assert len(player.bytes(UP)) == 10**6


def test_model_runs_late_without_harm():
    """A driver that wakes far too late gets everything at once, in order."""
    model = ConnectionModel(
        [latency(10), t.Stall(attributes=t.StallAttributes(bytes=1, duration=5))], seed=0, semantics=TRANSPARENT
    )
    model.open(0)
    for number in range(5):
        model.feed(DOWN, number, bytes([number]))
    first = [action.data for action in model.wake(10**9) if isinstance(action, Forward)]
    rest = [action.data for action in model.wake(2 * 10**9) if isinstance(action, Forward)]
    assert bytes(range(5)) == b"".join(first + rest)


# --- toxicity and seeds -----------------------------------------------------------------------------------------------


def test_every_toxic_has_a_stage():
    """The table of stages and the union of toxics name the same types."""
    assert set(typing.get_args(t.Toxic)) == set(STAGES)


def test_toxicity_is_drawn_for_each_connection():
    """A toxicity of 0.3 strikes about three connections in ten; 0 and 1 leave nothing to chance."""
    shares = {}
    for toxicity in (0.0, 0.3, 1.0):
        toxic = t.Latency(attributes=t.LatencyAttributes(latency=1), toxicity=toxicity)
        shares[toxicity] = sum(bool(Player([toxic], seed=seed).send(b"x").fired) for seed in range(500)) / 500
    assert {key: shares[key] for key in (0.0, 1.0)} == {0.0: 0.0, 1.0: 1.0}
    assert 0.23 < shares[0.3] < 0.37


def test_second_toxic_draws_on_its_own():
    """Two jitters of one connection are not the same numbers."""
    jitter = t.LatencyAttributes(latency=100, jitter=100)
    down, up = t.Latency(attributes=jitter), t.Latency(attributes=jitter, stream=UP)
    player = Player([down, up])
    for number in range(10):
        player.play([(number * 10**6, b"x"), (number * 10**6, b"x", UP)], until=number * 10**6 + 900 * MS)
    delays = [time for time, what in player.log if what == b"x"]
    assert delays != [time for time, what in player.log if what == "up b'x'"]


# --- live changes -----------------------------------------------------------------------------------------------------


def test_added_toxic_meets_only_what_comes_after_it():
    """What the neighbour must let go when a toxic is added behind it was never meant for that toxic."""
    player = Player([latency(100)]).send(b"old")
    player.model.add(t.Timeout(), 10)
    player.now = 10
    player.settle()
    assert player.log[-1] == (10, b"old")
    player.send(b"new")
    assert player.to(10**9).bytes() == b"old"


def test_update_lets_the_chunk_in_hand_go_and_keeps_the_rest_waiting():
    """An updated latency releases one chunk at once; those queued behind it wait by the new attributes."""
    player = Player([latency(100)]).play([(0, b"a"), (0, b"b")], until=10 * MS)
    player.model.update("latency_downstream", latency(50), 10 * MS)
    player.settle()
    assert player.to(10**9).log == [(0, "fired latency"), (10 * MS, b"a"), (50 * MS, b"b")]


def test_update_restarts_a_slow_close():
    """An end that waits goes on waiting, from the update on."""
    slow = t.SlowClose(attributes=t.SlowCloseAttributes(delay=100))
    player = Player([slow]).play([(0, FIN)], until=60 * MS)
    player.model.update(0, slow, 60 * MS)
    player.settle()
    assert player.to(10**9).log == [(0, "fired slow_close"), (160 * MS, "fin")]


def test_removing_a_slow_close_ends_at_once():
    """An end that waits goes at once when its toxic is taken away."""
    player = Player([t.SlowClose(attributes=t.SlowCloseAttributes(delay=100))]).play([(0, FIN)], until=60 * MS)
    player.model.remove("slow_close_downstream", 60 * MS)
    player.settle()
    assert player.log[-1] == (60 * MS, "fin")


def test_removal_forwards_the_queue_in_order():
    """A removed toxic's queue goes on undelayed and ahead of what its neighbour lets go."""
    player = Player([latency(200, name="first"), latency(100, name="second")])
    player.play([(0, b"a"), (0, b"b"), (50 * MS, b"c")], until=210 * MS)
    player.model.remove("second", 210 * MS)
    player.settle()
    assert player.bytes() == b"abc"
    assert player.log[-1][0] == 210 * MS
    player.send(b"d").to(10**9)
    assert player.log[-1] == (410 * MS, b"d")


def test_removal_at_the_front_goes_through_what_is_behind():
    """Chunks that the first toxic lets go still meet the second one."""
    player = Player([latency(1000, name="first"), limit(2)]).play([(0, b"a"), (0, b"bcd")], until=5)
    player.model.remove("first", 5)
    player.settle()
    assert player.bytes() == b"ab"
    assert player.log[-1] == (5, "close")


def test_removing_a_stalled_bandwidth_releases_its_chunk():
    """Rate 0 holds a chunk and its end until it is taken away."""
    player = Player([t.Bandwidth()]).play([(0, b"abc"), (1, FIN)], until=5)
    player.model.remove(0, 5)
    player.settle()
    assert player.log[-2:] == [(5, b"abc"), (5, "fin")]


def test_interrupted_slicer_leaves_the_rest_whole():
    """What a slicer has not sent yet goes as one piece."""
    slicer = t.Slicer(attributes=t.SlicerAttributes(average_size=1, delay=1000))
    player = Player([slicer]).play([(0, b"abcd")], until=1500)
    player.model.update(0, slicer, 1500)
    player.settle()
    assert [what for _, what in player.log if isinstance(what, bytes)] == [b"a", b"b", b"cd"]


def test_interrupted_cut_stays_exact():
    """A change beside a limit, while its destination is stuck, lets no byte past it."""
    player = Player([limit(100_000)])
    player.stuck.add(DOWN)
    player.send(b"x" * 300_000)
    player.model.add(t.Noop(), 0)
    player.stuck.clear()
    player.settle()
    assert len(player.bytes()) == 100_000
    assert player.log[-1] == (0, "close")


def test_spared_by_an_update_the_queue_goes_at_once():
    """A latency whose toxicity falls to 0 holds nothing any more."""
    player = Player([latency(1000)]).play([(0, bytes([n])) for n in range(5)] + [(0, FIN)], until=5)
    player.model.update(0, t.Latency(attributes=t.LatencyAttributes(latency=1000), toxicity=0.0), 5)
    player.settle()
    assert bytes(range(5)) == player.bytes()
    assert player.log[-1] == (5, "fin")


def test_neighbours_change_draws_the_toxicity_anew():
    """Adding or removing the toxic behind it gives a toxic a new draw, as on the real server."""
    toxic = t.Latency(attributes=t.LatencyAttributes(latency=1), toxicity=0.5)
    changed = 0
    for seed in range(60):
        player = Player([toxic], seed=seed)
        before = bool(player.send(b"x").to(10 * MS).fired)
        player.model.add(t.Noop(), 10 * MS)
        delayed = player.send(b"y").log[-1] != (10 * MS, b"y")
        changed += before != delayed
    assert 10 < changed < 50


def test_changes_after_the_end_change_nothing():
    """On a connection that is over, or whose direction has ended, changes are accepted and idle."""
    player = Player([limit(1), t.Noop()], semantics=TOXIPROXY).send(b"ab")
    assert player.log[-1][1] == "close"
    before = list(player.log)
    player.model.add(latency(5), 1)
    player.model.update("limit_data_downstream", limit(9), 2)
    player.model.remove("limit_data_downstream", 3)
    player.model.remove("noop_downstream", 4)
    assert before == player.to(10**9).log


def test_changes_before_the_opening():
    """Toxics added, changed or removed before the connection opens are as if they had been given at once."""
    model = ConnectionModel([latency(5, name="gone")], seed=0, semantics=TRANSPARENT)
    assert model.add(limit(2), 0) == 1
    model.add(t.ResetPeer(toxicity=0.0), 0)
    model.update(1, limit(3), 0)
    model.remove("gone", 0)
    model.open(0)
    model.feed(DOWN, 0, b"abcdef")
    model.wake(0)
    model.consumed(DOWN, 0, 3)
    assert Reset(t.ResetMode.IMMEDIATE) == model.wake(0)[-1]


def test_numbers_are_never_used_again():
    """A toxic added after a removal gets a number of its own, so that `Fired` stays unambiguous."""
    model = ConnectionModel([latency(1), t.Noop()], seed=0, semantics=TRANSPARENT)
    model.open(0)
    model.remove(1, 0)
    assert model.add(t.Noop(), 0) == 2


BAD_CHANGES = {
    "same name": (
        lambda model: model.add(latency(2), 0),
        "connection: a toxic named 'latency_downstream' is there already",
    ),
    "other type": (
        lambda model: model.update(0, limit(1), 0),
        "connection: toxic 0 cannot change its type or its stream",
    ),
    "other stream": (
        lambda model: model.update(0, latency(1, UP), 0),
        "connection: toxic 0 cannot change its type or its stream",
    ),
    "unknown": (
        lambda model: model.remove("latency_upstream", 0),
        "unknown toxic 'latency_upstream'; did you mean 'latency_downstream'? Known: latency_downstream",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_CHANGES.values(), ids=BAD_CHANGES)
def test_bad_changes(change, message):
    """A change that cannot be made says why in a sentence."""
    model = ConnectionModel([latency(1)], seed=0, semantics=TRANSPARENT)
    model.open(0)
    with pytest.raises(UsageError) as error:
        change(model)
    assert message == str(error.value)


# --- laws for any chain -----------------------------------------------------------------------------------------------

small = st.integers(0, 300)
shares = st.floats(0, 1)
streams = st.sampled_from(t.Direction)
# Toxics that delay and cut but lose nothing and end: everything must come out.
FAITHFUL = {
    t.Latency: st.builds(t.LatencyAttributes, latency=small, jitter=st.integers(0, 50)),
    t.Bandwidth: st.builds(t.BandwidthAttributes, rate=st.integers(1, 100)),
    t.SlowClose: st.builds(t.SlowCloseAttributes, delay=small),
    t.Slicer: st.builds(t.SlicerAttributes, average_size=st.integers(0, 40), size_variation=small, delay=small),
    t.Noop: st.just(t.NoAttributes()),
    t.PacketLoss: st.builds(
        t.PacketLossAttributes, loss_rate=st.floats(0, 0.6), correlation=st.floats(0, 0.9), mss=st.integers(1, 100)
    ),
    t.Stall: st.builds(t.StallAttributes, bytes=small, duration=small),
}
ENDING = {
    t.Timeout: st.builds(t.TimeoutAttributes, timeout=small),
    t.ResetPeer: st.builds(t.ResetPeerAttributes, timeout=small),
    t.LimitData: st.builds(t.LimitDataAttributes, bytes=small),
    t.ResetAfter: st.builds(t.ResetAfterAttributes, bytes=small, mode=st.sampled_from(t.ResetMode)),
    t.CloseAfter: st.builds(t.CloseAfterAttributes, after=small),
}


def chains(kinds):
    """Draw chains of up to four toxics in both directions, with names of their own."""
    one = st.one_of(
        [st.builds(kind, attributes=attributes, stream=streams, toxicity=shares) for kind, attributes in kinds.items()]
    )
    return st.lists(one, max_size=4).map(
        lambda chain: [_named(toxic, f"n{number}") for number, toxic in enumerate(chain)]
    )


def _named(toxic: t.Toxic, name: str) -> t.Toxic:
    return type(toxic)(name=name, stream=toxic.stream, toxicity=toxic.toxicity, attributes=toxic.attributes)  # type: ignore[arg-type]


traffic = st.lists(st.tuples(st.integers(0, 400 * MS), st.binary(min_size=1, max_size=120), streams), max_size=12).map(
    lambda events: sorted(events, key=lambda event: event[0])
)
ends = st.sampled_from(
    [[], [(500 * MS, FIN)], [(500 * MS, FIN), (600 * MS, FIN, UP)], [(500 * MS, RST)], [(500 * MS, RST, UP)]]
)


def sent(events, direction) -> bytes:
    """All bytes that were sent in one direction."""
    return b"".join(what for _, what, stream in events if stream is direction)


@given(chain=chains({**FAITHFUL, **ENDING}), events=traffic, end=ends, semantics=st.sampled_from(Semantics), seed=small)
@settings(max_examples=300)
def test_what_comes_out_is_what_went_in(chain, events, end, semantics, seed):
    """Bytes out are bytes in, in order and with nothing made up; each toxic fires at most once; nothing follows an end.

    Only `timeout` and `reset_peer` may take something from the middle; without them, what comes out is a prefix.
    """
    player = Player(chain, semantics=semantics, seed=seed).play([*events, *end])
    for direction in t.Direction:
        out, whole = player.bytes(direction), sent(events, direction)
        if not any(isinstance(toxic, (t.Timeout, t.ResetPeer)) for toxic in chain):
            assert whole.startswith(out)
        remaining = iter(whole)
        assert all(byte in remaining for byte in out)
    assert len(player.fired) <= len(chain)
    final = [n for n, (_, what) in enumerate(player.log) if what in {"close", "rst drained", "rst immediate"}]
    assert final in ([], [len(player.log) - 1])


@given(chain=chains(FAITHFUL), events=traffic, seed=small)
@settings(max_examples=200)
def test_finite_faults_deliver_everything(chain, events, seed):
    """Where no toxic ends the stream or holds it for ever, every byte and both ends arrive and the model rests."""
    player = Player(chain, seed=seed).play([*events, (500 * MS, FIN), (500 * MS, FIN, UP)])
    for direction in t.Direction:
        assert sent(events, direction) == player.bytes(direction)
    assert {"fin", "up fin"} <= {what for _, what in player.log if isinstance(what, str)}
    assert player.model.over


@given(chain=chains({**FAITHFUL, **ENDING}), events=traffic, end=ends, seed=small)
def test_same_seed_gives_the_same_actions(chain, events, end, seed):
    """The same calls with the same seed give the same actions at the same times."""
    first, second = (Player(chain, seed=seed).play([*events, *end]).log for _ in range(2))
    assert first == second


changes = st.lists(
    st.tuples(
        st.integers(0, 600 * MS), st.sampled_from(["add", "update", "remove"]), st.integers(0, 5), chains(FAITHFUL)
    ),
    max_size=5,
).map(lambda drawn: sorted(drawn, key=lambda change: change[0]))


def apply(model: ConnectionModel, names: dict[str, t.Toxic], change, now: int) -> None:
    """Make one live change, if there is something to change; `names` follows."""
    _, verb, number, chain = change
    if verb == "add" and chain:
        toxic = _named(chain[0], f"live{len(names)}-{now}")
        if toxic_name(toxic) not in names:
            model.add(toxic, now)
            names[toxic_name(toxic)] = toxic
    elif verb != "add" and names:
        name = sorted(names)[number % len(names)]
        if verb == "update":
            model.update(name, names[name], now)
        else:
            model.remove(name, now)
            del names[name]


@given(chain=chains(FAITHFUL), events=traffic, changed=changes, seed=small)
@settings(max_examples=300)
def test_live_changes_lose_and_reorder_nothing(chain, events, changed, seed):
    """Whatever is added, updated and removed while bytes are under way, all of them arrive in order."""
    player = Player(chain, seed=seed)
    names = {toxic_name(toxic): toxic for toxic in chain}
    timeline = sorted([*events, *changed], key=lambda entry: entry[0])
    for entry in timeline:
        player.to(entry[0])
        if len(entry) == 3:
            player.send(*entry[1:])
        else:
            apply(player.model, names, entry, player.now)
            player.settle()
    player.play([(700 * MS, FIN), (700 * MS, FIN, UP)])
    for direction in t.Direction:
        assert sent(events, direction) == player.bytes(direction)
    assert player.model.over


@given(
    chain=chains(FAITHFUL), data=st.binary(max_size=300), takes=st.lists(st.integers(0, 40), max_size=40), seed=small
)
def test_slow_destination_gets_everything(chain, data, takes, seed):
    """A destination that takes a little now and then gets the whole stream, in the end."""
    player = Player(chain, seed=seed)
    player.stuck.add(DOWN)
    for position in range(0, len(data), 50):
        player.send(data[position : position + 50])
    player.send(FIN)
    for size in takes:
        player.to(player.now + 20 * MS)
        taken = min(size, player.untaken[DOWN])
        player.untaken[DOWN] -= taken
        player.model.consumed(DOWN, player.now, taken)
        player.settle()
        assert data.startswith(player.bytes())
    player.stuck.clear()
    player.settle()
    player.to(10**15)
    assert data == player.bytes()
    assert player.log[-1][1] == "fin"
