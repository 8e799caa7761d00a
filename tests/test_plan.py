"""A plan refuses what could not be run, in one sentence, and gives each connection its attempt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed.errors import UsageError
from testbed.plan import (
    Attempt,
    Certificate,
    ClientSettings,
    Handshake,
    Plan,
    Purpose,
    Quota,
    Tls,
    TlsVersion,
    Window,
)
from testbed.script import DialectName, Head, Script
from testbed.trace import FALLBACK

TIMES = ("connect_timeout", "first_byte_timeout", "idle_timeout", "cancel_at", "pace")
SEALED = Tls(version=TlsVersion.TLS_1_3)


def attempt(words: int = 0, dialect: DialectName = DialectName.OPENAI_CHAT, tls: Tls | None = None) -> Attempt:
    """An attempt that differs from others by its status."""
    return Attempt(Script(dialect, (Head(status=200 + words),)), tls=tls)


ONE, TWO, THREE, FOUR = (attempt(number) for number in range(4))
OTHER = attempt(dialect=DialectName.EVENTSOURCE)


def plan(*attempts: Attempt, **fields) -> Plan:  # type: ignore[no-untyped-def]
    """A plan of these attempts; of one without any."""
    return Plan("by-hand", attempts or (ONE,), **fields)


ALLOWED: list[Callable[[], object]] = [
    *(lambda field=field: ClientSettings(**{field: 86_400.0}) for field in TIMES),
    *(lambda field=field: ClientSettings(**{field: 0.000_001}) for field in TIMES),
    *(lambda retries=retries: ClientSettings(max_retries=retries) for retries in (0, 20)),
    lambda: ClientSettings(max_event_bytes=4096),
    lambda: ClientSettings(history=20_000, attachment=8_000_000),
    lambda: Tls(certificate=Certificate.EXPIRED),
    lambda: Tls(handshake=Handshake.RESET),
    lambda: Quota(requests=1),
    lambda: Quota(tokens=1),
    lambda: Quota(requests=1, tokens=1, seconds=0.001),
    lambda: Quota(requests=1, seconds=86_400.0),
    lambda: plan(body_limit=0),
    lambda: plan(OTHER),
    lambda: plan(client=ClientSettings(history=1, attachment=1)),
    lambda: plan(attempt(tls=SEALED), attempt(1, tls=Tls()), fallback=(attempt(2, tls=SEALED),)),
]

REFUSED: list[tuple[Callable[[], object], str]] = [
    *(
        (
            lambda field=field, value=value: ClientSettings(**{field: value}),
            f"client: {field} is {value}; it must be more than 0 and at most 86400 seconds",
        )
        for field in TIMES
        for value in (0.0, -0.5, 86_400.5)
    ),
    *(
        (
            lambda retries=retries: ClientSettings(max_retries=retries),
            f"client: max_retries is {retries}; it must lie between 0 and 20",
        )
        for retries in (-1, 21)
    ),
    (
        lambda: ClientSettings(max_event_bytes=4095),
        "client: max_event_bytes is 4095; it must be at least 4096",
    ),
    *(
        (
            lambda field=field, value=value: ClientSettings(**{field: value}),
            f"client: {field} is {value}; it must lie between 0 and {most}",
        )
        for field, most in (("history", 20_000), ("attachment", 8_000_000))
        for value in (-1, most + 1)
    ),
    (
        lambda: Tls(Certificate.EXPIRED, Handshake.ALERT),
        "tls: certificate is expired, but nobody sees it where handshake is alert; leave one of them out",
    ),
    (Quota, "quota: it limits nothing; it needs requests, tokens or both"),
    *(
        (lambda field=field: Quota(**{field: 0}), f"quota: {field} is 0; it must be at least 1")
        for field in ("requests", "tokens")
    ),
    *(
        (
            lambda value=value: Quota(requests=1, seconds=value),
            f"quota: seconds is {value}; it must lie between 0.001 and 86400 (a day)",
        )
        for value in (0.0009, 86_400.5)
    ),
    *(
        (lambda value=value: plan(format=value), f"plan: format is {value}; this version reads format 1")
        for value in (0, 2)
    ),
    (lambda: plan(body_limit=-1), "plan: body_limit is -1; it must be at least 0 bytes"),
    (lambda: Plan("by-hand", ()), "plan: it has no attempts; it needs at least one"),
    *(
        (make, "plan: its attempts speak different dialects; one client speaks one")
        for make in (lambda: plan(ONE, OTHER), lambda: plan(ONE, fallback=(OTHER,)))
    ),
    *(
        (
            lambda field=field: plan(OTHER, client=ClientSettings(**{field: 1})),
            "client: an eventsource is asked without a body; leave out history and attachment",
        )
        for field in ("history", "attachment")
    ),
    *(
        (make, "plan: only some of its attempts have tls; one address is https for all or for none")
        for make in (
            lambda: plan(ONE, attempt(tls=SEALED)),
            lambda: plan(ONE, fallback=(attempt(tls=SEALED),)),
        )
    ),
]


@pytest.mark.parametrize("make", ALLOWED)
def test_the_ends_of_every_range_are_allowed(make: Callable[[], object]):
    """What lies at a limit can still be asked."""
    make()


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_run_is_refused_in_one_sentence(make: Callable[[], object], said: str):
    """One step over a limit is the tester's mistake, and the message says what and where."""
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == said


def test_what_is_left_out_asks_for_nothing():
    """A plan of attempts alone narrows nothing, limits nothing and tells the client nothing."""
    settings, least = ClientSettings(), plan()
    assert [getattr(settings, field) for field in (*TIMES, "max_event_bytes")] == [None] * 6
    assert (settings.max_retries, settings.history, settings.attachment) == (0, 0, 0)
    assert (least.expect.outcome, least.expect.may_miss, least.expect.cures) == ((), False, ())
    assert (least.seed, least.tested, least.quota, least.body_limit, least.fallback) == (
        0,
        Purpose.STREAM,
        None,
        None,
        (),
    )
    assert (least.format, least.sealed, least.second) == (1, False, None)
    assert (Quota(requests=1).seconds, Quota(requests=1).window) == (60.0, Window.BUCKET)


@pytest.mark.parametrize(
    ("first", "idle", "expected"), [(None, None, None), (None, 3.0, 3.0), (2.0, 3.0, 2.0), (2.0, None, 2.0)]
)
def test_one_read_timeout_serves_both(first: float | None, idle: float | None, expected: float | None):
    """Without a time-out of its own, the first byte has the idle time-out's."""
    assert ClientSettings(first_byte_timeout=first, idle_timeout=idle).first_byte == expected


@pytest.mark.parametrize("certificate", Certificate)
@pytest.mark.parametrize("handshake", Handshake)
def test_a_right_client_comes_through_only_where_nothing_is_wrong(certificate: Certificate, handshake: Handshake):
    """TLS works with a valid certificate and a complete handshake, and with nothing less."""
    right = certificate is Certificate.VALID, handshake is Handshake.COMPLETE
    if any(right):
        assert Tls(certificate, handshake).works is all(right)


def test_each_connection_has_its_attempt_and_the_last_one_repeats():
    """At either address connections are counted from their first; without a second address there is only one count."""
    asked = plan(ONE, TWO, fallback=(THREE, FOUR))
    assert [asked.attempt(number) for number in (0, 1, 2, FALLBACK - 1)] == [ONE, TWO, TWO, TWO]
    assert [asked.attempt(FALLBACK + number) for number in (0, 1, 2)] == [THREE, FOUR, FOUR]
    assert plan(ONE, TWO).attempt(FALLBACK) == TWO
    assert plan().attempt(0) == ONE


def test_a_second_address_is_a_plan_of_its_own():
    """It plays what the fallback says, keeps no quota of the first, and has no second address itself."""
    quota = Quota(requests=3)
    second = plan(ONE, fallback=(THREE, FOUR), quota=quota).second
    assert second == plan(THREE, FOUR)


def test_sealing_keeps_what_is_sealed_already():
    """Both addresses become https, and an attempt with TLS of its own keeps it."""
    sealed = plan(ONE, fallback=(THREE,)).sealed_by(SEALED)
    assert sealed.sealed
    assert [one.tls for one in (*sealed.attempts, *sealed.fallback)] == [SEALED, SEALED]
    own = Tls(Certificate.EXPIRED)
    kept = plan(attempt(tls=own), fallback=(attempt(tls=own),)).sealed_by(SEALED)
    assert [one.tls for one in (*kept.attempts, *kept.fallback)] == [own, own]
