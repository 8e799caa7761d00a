"""How long plans take: nominal durations, silences, needs and patience."""

import math

import pytest

from testbed.faults.toxics import (
    Bandwidth,
    BandwidthAttributes,
    CloseAfter,
    CloseAfterAttributes,
    Latency,
    LatencyAttributes,
    LimitData,
    LimitDataAttributes,
    PacketLoss,
    PacketLossAttributes,
    ResetAfter,
    ResetAfterAttributes,
    ResetPeer,
    ResetPeerAttributes,
    Slicer,
    SlicerAttributes,
    SlowClose,
    SlowCloseAttributes,
    Stall,
    StallAttributes,
    Timeout,
    TimeoutAttributes,
)
from testbed.plan import Attempt, Certificate, ClientSettings, Handshake, Plan, Tls
from testbed.program import layout
from testbed.script import DialectName, Done, End, Ending, Finish, Head, Message, Open, Pause, Quirk, Script, Text
from testbed.timing import backoff, margin, needs, nominal, patience, silences
from testbed.trace import Clock, Option

WHOLE = (Head(), Open(), Text("a"), Text("b"), Finish(), Done())


def plan(*steps, toxics=(), dialect=DialectName.OPENAI_CHAT, then=None, **client):
    """Build a plan with one attempt, or with a second one that says `then`."""
    scripts = [Script(dialect, steps or WHOLE)] + ([Script(dialect, then)] if then else [])
    attempts = tuple(Attempt(script, tuple(toxics)) for script in scripts)
    return Plan("test", attempts, client=ClientSettings(**client))


def test_nothing_to_wait_for_takes_no_time():
    """A stream without pauses costs nothing."""
    assert nominal(plan()) == 0


def test_pauses_are_added_up():
    """Every pause of the script is waited for."""
    steps = (Pause(0.5), Head(), Pause(0.25), Open(), Text("a"), Pause(1.0), Finish(), Done())
    assert nominal(plan(*steps)) == pytest.approx(1.75)


def test_latency_and_jitter_count_once():
    """Latency moves the stream as a whole; it is not paid again for each token."""
    toxic = Latency(attributes=LatencyAttributes(latency=300, jitter=100))
    assert nominal(plan(toxics=[toxic])) == pytest.approx(0.4)


def test_a_rate_is_paid_for_every_byte():
    """Bandwidth costs the bytes of the answer divided by the rate."""
    wire = layout(Script(DialectName.OPENAI_CHAT, WHOLE)).wire
    toxic = Bandwidth(attributes=BandwidthAttributes(rate=1))
    assert nominal(plan(toxics=[toxic])) == pytest.approx(wire / 1000)


def test_a_rate_of_zero_never_ends():
    """Bandwidth 0 stalls for ever, so a right client without a time-out would wait for ever."""
    assert nominal(plan(toxics=[Bandwidth(attributes=BandwidthAttributes(rate=0))])) == math.inf


def test_a_slicer_is_paid_for_every_piece():
    """The slicer's delay, in microseconds, comes after each piece."""
    wire = layout(Script(DialectName.OPENAI_CHAT, WHOLE)).wire
    toxic = Slicer(attributes=SlicerAttributes(average_size=10, delay=1000))
    assert nominal(plan(toxics=[toxic])) == pytest.approx(wire / 10 * 0.001)


def test_a_slow_close_delays_the_end():
    """slow_close holds back the end of the connection."""
    assert nominal(plan(toxics=[SlowClose(attributes=SlowCloseAttributes(delay=700))])) == pytest.approx(0.7)


def test_lost_packets_cost_retransmission_timeouts():
    """More loss costs more, and none costs nothing."""
    costs = [
        nominal(plan(toxics=[PacketLoss(attributes=PacketLossAttributes(loss_rate=rate))])) for rate in (0.0, 0.05, 0.2)
    ]
    assert costs[0] == 0
    assert 0 < costs[1] < costs[2]


def test_silence_in_mid_stream_costs_the_timeout_once():
    """After the first token nothing is retried, so a stall costs one idle time-out."""
    steps = (Head(), Open(), Text("a"), Pause(3600.0), Finish(), Done())
    assert nominal(plan(*steps, idle_timeout=2.0, max_retries=2)) == pytest.approx(2.0)


def test_silence_before_the_first_token_costs_the_timeout_for_each_attempt():
    """Before the first token the request may be sent again: (retries + 1) time-outs and the back-off between them."""
    steps = (Pause(3600.0), *WHOLE)
    assert nominal(plan(*steps, idle_timeout=2.0, max_retries=2)) == pytest.approx(3 * 2.0 + 0.5 + 1.0)


def test_the_first_byte_timeout_stands_before_the_first_token():
    """A time-out of its own for the first token replaces the idle one there, and only there."""
    steps = (Pause(3600.0), *WHOLE)
    assert nominal(plan(*steps, first_byte_timeout=1.0, idle_timeout=9.0)) == pytest.approx(1.0)


def test_silence_without_a_timeout_never_ends():
    """A client that was told no time-out may wait for a connection that stays open."""
    steps = (Head(), Open(), Text("a"), End(Ending.OPEN))
    assert nominal(plan(*steps)) == math.inf
    assert patience(plan(*steps)) == 60.0


def test_after_the_terminal_an_open_connection_costs_nothing():
    """A client that has the whole answer leaves."""
    assert nominal(plan(*WHOLE, End(Ending.OPEN), idle_timeout=5.0)) == 0


def test_an_error_status_costs_the_back_off():
    """503 for ever costs each back-off that the retries allow."""
    steps = (Head(status=503),)
    assert nominal(plan(*steps, max_retries=2)) == pytest.approx(0.5 + 1.0)


@pytest.mark.parametrize(("asked", "waited"), [("2", 2.0), ("0", 0.5), ("61", 0.5), ("Wed, 21 Oct 2015", 0.5)])
def test_retry_after_is_waited_for(asked, waited):
    """Seconds up to a minute are waited for; less than the back-off, more, or a date leave the back-off."""
    limited = (Head(status=429, headers=(("Retry-After", asked),)),)
    assert nominal(plan(*limited, then=WHOLE, max_retries=1)) == pytest.approx(waited)


def test_a_final_status_is_not_retried():
    """400 is surfaced at once."""
    assert nominal(plan(Head(status=400), max_retries=2)) == 0


def test_back_off_doubles_up_to_eight_seconds():
    """Half a second, doubling, never more than eight."""
    assert [backoff(retry) for retry in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("dialect", "quirks", "attempts"),
    [
        (DialectName.MCP, (), 3),
        (DialectName.MCP, (Quirk.STATELESS,), 1),
        (DialectName.OPENAI_RESPONSES, (Quirk.BACKGROUND,), 3),
        (DialectName.OPENAI_RESPONSES, (), 1),
        (DialectName.ANTHROPIC_MESSAGES, (), 1),
    ],
)
def test_a_stream_that_can_be_resumed_is_asked_for_again_behind_its_first_token(dialect, quirks, attempts):
    """A client may go on where its stream broke off as often as it may ask again, but it need not be able to."""
    script = Script(dialect, (Head(), Open(), Text("a"), Pause(10.0), End(Ending.FIN)), quirks=quirks)
    cut = Plan("test", (Attempt(script),), client=ClientSettings(idle_timeout=60.0, max_retries=2))
    assert nominal(cut) == pytest.approx(10.0 * attempts + (0.5 + 1.0 if attempts > 1 else 0.0))
    assert Option.MAX_RETRIES not in needs(cut)


@pytest.mark.parametrize(
    "toxic",
    [
        ResetAfter(attributes=ResetAfterAttributes(bytes=500)),
        LimitData(attributes=LimitDataAttributes(bytes=500)),
        CloseAfter(attributes=CloseAfterAttributes(bytes=500)),
    ],
)
def test_what_comes_after_the_last_byte_is_not_waited_for(toxic):
    """A connection that ends at a byte spares the client the pauses behind it."""
    steps = (Head(), Open(), Text("a"), Text("b"), Pause(100.0), Finish(), Done())
    assert nominal(plan(*steps, toxics=[toxic])) == 0


def test_a_close_by_time_ends_the_waiting():
    """close_after with a time bounds the attempt."""
    steps = (Head(), Open(), Text("a"), *[Pause(0.4), Text("b")] * 5, Finish(), Done())
    toxic = CloseAfter(attributes=CloseAfterAttributes(after=1000))
    assert nominal(plan(*steps, toxics=[toxic])) == pytest.approx(1.2)


def test_a_stall_costs_its_duration_or_the_timeout():
    """A stall that ends is waited for; one that outlasts the time-out costs the time-out."""
    short = Stall(attributes=StallAttributes(bytes=500, duration=800))
    endless = Stall(attributes=StallAttributes(bytes=500))
    assert nominal(plan(toxics=[short], idle_timeout=5.0)) == pytest.approx(0.8)
    assert nominal(plan(toxics=[endless], idle_timeout=5.0)) == pytest.approx(5.0)


def test_toxics_that_pass_nothing_cost_until_they_close():
    """reset_peer and timeout keep the client waiting for their own time, or for its time-out."""
    reset = ResetPeer(attributes=ResetPeerAttributes(timeout=300))
    assert nominal(plan(toxics=[reset])) == pytest.approx(0.3)
    held = Timeout(attributes=TimeoutAttributes(timeout=0))
    assert nominal(plan(toxics=[held], idle_timeout=2.0)) == pytest.approx(2.0)


def test_a_reset_peer_that_never_strikes_passes_everything():
    """With toxicity 0 it only turns an end into a reset."""
    reset = ResetPeer(attributes=ResetPeerAttributes(timeout=300), toxicity=0.0)
    assert nominal(plan(toxics=[reset])) == 0


def test_an_eventsource_reconnects_after_its_clean_end():
    """A stream without a terminal is asked for again, as often as the client may."""
    steps = (Head(), Message("a"), Pause(0.2), Message("b"))
    told = {"dialect": DialectName.EVENTSOURCE, "max_retries": 2}
    assert nominal(plan(*steps, **told)) == pytest.approx(3 * 0.2 + 0.5 + 1.0)


@pytest.mark.parametrize(
    ("steps", "client", "wanted"),
    [
        (WHOLE, {"idle_timeout": 30.0, "max_retries": 2}, set()),
        ((Head(), Open(), Text("a"), Pause(90.0), Done()), {"idle_timeout": 2.0}, {Option.IDLE_TIMEOUT}),
        ((Head(), Open(), Text("a"), Pause(20.0), Done()), {"idle_timeout": 60.0}, {Option.IDLE_TIMEOUT}),
        (
            (Pause(90.0), *WHOLE),
            {"first_byte_timeout": 1.0, "idle_timeout": 120.0},
            {Option.FIRST_BYTE_TIMEOUT, Option.IDLE_TIMEOUT, Option.MAX_RETRIES},
        ),
        ((Head(status=503),), {"max_retries": 1}, {Option.MAX_RETRIES}),
        (WHOLE, {"cancel_at": 0.5}, {Option.CANCEL}),
    ],
)
def test_needs_names_what_the_outcome_depends_on(steps, client, wanted):
    """A client needs an option only where the right outcome depends on it."""
    assert needs(plan(*steps, **client)) == wanted


def test_patience_is_longer_than_any_right_client_takes():
    """A client is stopped only well after the longest time that a right one takes."""
    steps = (Pause(3600.0), *WHOLE)
    asked = plan(*steps, idle_timeout=4.0, max_retries=2)
    assert patience(asked) > nominal(asked) + 5.0


def test_margins_are_wide_on_real_clocks_and_narrow_on_virtual_ones():
    """Half a second or a quarter of the time-out, whichever is more; far less where time is exact."""
    assert [margin(timeout, Clock.REAL) for timeout in (0.8, 2.0, 30.0)] == [0.5, 0.5, 7.5]
    assert margin(30.0, Clock.VIRTUAL) < 0.5


def test_silences_count_the_jitter_around_a_pause():
    """Jitter makes a silence longer or shorter by both of its ends."""
    script = Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("a"), Pause(2.0), Text("b"), Finish(), Done()))
    toxic = Latency(attributes=LatencyAttributes(latency=500, jitter=100))
    longest = max(silences(Attempt(script, (toxic,))), key=lambda silence: silence.longest)
    assert (longest.shortest, longest.longest, longest.before_token) == (pytest.approx(1.8), pytest.approx(2.2), False)


def test_silences_end_where_the_connection_does():
    """What a reset cuts off is no silence."""
    script = Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("a"), Pause(50.0), Finish(), Done()))
    toxic = ResetAfter(attributes=ResetAfterAttributes(bytes=layout(script).events[1].wire[1]))
    assert max(silence.longest for silence in silences(Attempt(script, (toxic,)))) == 0


@pytest.mark.parametrize(
    ("tls", "seconds", "wanted"),
    [
        (Tls(), 0, set()),
        (Tls(handshake=Handshake.SILENCE), 3 * 3.0 + 0.5 + 1.0, {Option.CONNECT_TIMEOUT, Option.MAX_RETRIES}),
        (Tls(handshake=Handshake.ALERT), 0.5 + 1.0, {Option.MAX_RETRIES}),
        # Retries that are of no use take their time all the same, and nobody needs to be able to make them.
        (Tls(certificate=Certificate.EXPIRED), 0.5 + 1.0, set()),
    ],
)
def test_a_handshake_costs_what_the_client_spends_on_it(tls, seconds, wanted):
    """A silent one the connect time-out; and whatever is sealed needs an authority to trust."""
    sealed = plan(*WHOLE, connect_timeout=3.0, max_retries=2).sealed_by(tls)
    assert nominal(sealed) == pytest.approx(seconds)
    assert needs(sealed) == wanted | {Option.CA}
