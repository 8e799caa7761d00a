"""The quota: exact to the microsecond, shared by the connections of a key, and told in each vendor's fields."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.dialects import DIALECTS
from testbed.plan import Quota, Window
from testbed.script import DialectName
from testbed.server import quota_answers
from testbed.server.quota import MOST_KEYS, NEVER, Meter, key_of, tokens_of

SECOND = 1_000_000
NOON = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)

QUOTAS = st.builds(
    Quota,
    requests=st.integers(1, 5),
    tokens=st.integers(1, 1000),
    seconds=st.floats(0.001, 3600, allow_nan=False),
    window=st.sampled_from(Window),
)
# Requests of so many tokens, each so many microseconds after the one before.
ASKED = st.lists(st.tuples(st.integers(1, 1200), st.integers(0, 100 * SECOND)), min_size=1, max_size=20)


@settings(deadline=None)
@given(QUOTAS, ASKED)
def test_who_waits_as_told_is_admitted_and_who_comes_earlier_is_not(quota: Quota, asked: list[tuple[int, int]]) -> None:
    """At every refusal: a microsecond before the end of the wait is too early, and the end of it is not."""
    meter, now = Meter(quota), 0
    for tokens, later in asked:
        now += later
        ruling = meter.ask("key", tokens, now)
        if ruling.wait == NEVER:
            assert tokens > (quota.tokens or 0)
        elif not ruling.admitted:
            early = meter.ask("key", tokens, now + ruling.wait - 1)
            assert early.wait == 1
            now += ruling.wait
            assert meter.ask("key", tokens, now).admitted


@settings(deadline=None)
@given(QUOTAS, ASKED)
def test_never_is_more_admitted_than_the_quota_allows(quota: Quota, asked: list[tuple[int, int]]) -> None:
    """In any stretch as long as the window: at most the limit of a fixed window twice, of a bucket what it holds and
    what comes back.
    """
    meter, now, admitted = Meter(quota), 0, []
    for tokens, later in asked:
        now += later
        if meter.ask("key", tokens, now).admitted:
            admitted.append((now, tokens))
    period = round(quota.seconds * SECOND)
    for start, _ in admitted:
        within = [tokens for at, tokens in admitted if start <= at < start + period]
        assert len(within) <= 2 * (quota.requests or 0)
        assert sum(within) <= 2 * (quota.tokens or 0)


@settings(deadline=None)
@given(QUOTAS, st.lists(st.integers(1, 1200), max_size=10))
def test_what_is_refused_uses_nothing(quota: Quota, refused: list[int]) -> None:
    """Requests that are refused change nothing for the one that comes after them."""
    one, other = Meter(quota), Meter(quota)
    for meter in (one, other):
        while meter.ask("key", 1, 0).admitted:
            pass
    for tokens in refused:
        assert not one.ask("key", tokens, 0).admitted
    assert one.ask("key", 1, 0) == other.ask("key", 1, 0)


def test_a_fixed_window_gives_all_back_at_once_and_a_bucket_bit_by_bit() -> None:
    """Two requests in ten seconds, used up at once: a bucket has one more after five, a window two more after ten."""
    for window, after in ((Window.BUCKET, 5), (Window.FIXED, 10)):
        meter = Meter(Quota(requests=2, seconds=10.0, window=window))
        assert [meter.ask("key", 1, 0).wait for _ in range(3)] == [0, 0, after * SECOND]
        assert meter.ask("key", 1, after * SECOND).admitted
        assert meter.ask("key", 1, after * SECOND).admitted is (window is Window.FIXED)


def test_each_key_has_its_own_quota_and_old_keys_are_forgotten() -> None:
    """A second key is not touched by the first; inventing keys does not fill the memory."""
    meter = Meter(Quota(requests=1))
    assert meter.ask("one", 1, 0).admitted
    assert not meter.ask("one", 1, 0).admitted
    assert meter.ask("other", 1, 0).admitted
    for number in range(MOST_KEYS):
        meter.ask(f"invented {number}", 1, 0)
    assert len(meter._keys) == MOST_KEYS
    assert meter.ask("one", 1, 0).admitted


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer sk-1"}, "sk-1"),
        ({"authorization": "bearer  sk-1"}, "sk-1"),
        ({"x-api-key": "sk-2"}, "sk-2"),
        ({"x-goog-api-key": "sk-3"}, "sk-3"),
        ({"api-key": "sk-4"}, "sk-4"),
        ({"authorization": "Bearer "}, "Bearer "),
        ({}, ""),
    ],
)
def test_the_key_is_found_where_vendors_look_for_it(headers: dict[str, str], key: str) -> None:
    """Each vendor's field, with the scheme taken off."""
    assert key_of(headers) == key


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "x" * 40}]}, 10),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 41}]}], "max_tokens": 100}, 111),
        ({"input": "x", "max_output_tokens": 7}, 8),
        ({"contents": [{"parts": [{"text": "xxxx"}]}], "generationConfig": {"maxOutputTokens": 9}}, 10),
        ({"prompt": "", "options": {"num_predict": 5}}, 5),
        ({}, 1),
        ([], 1),
    ],
)
def test_tokens_are_estimated_from_the_prompt_and_the_bound_of_the_answer(body: object, tokens: int) -> None:
    """A quarter of the characters, rounded up, and the largest answer that is allowed; at least 1."""
    assert tokens_of(json.dumps(body).encode()) == tokens


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}"])
def test_the_tokens_of_what_is_no_request_are_one(body: bytes) -> None:
    """Whatever came, the estimate is a number."""
    assert tokens_of(body) == 1


def refused(dialect: DialectName, quota: Quota, tokens: int = 1) -> tuple[dict[str, str], str]:
    """The head and body of a 429 after one request was admitted."""
    meter = Meter(quota)
    meter.ask("key", 1, 0)
    answer = quota_answers.refusal(DIALECTS[dialect], meter.ask("key", tokens, 1_200_000), NOON)
    assert answer.status == 429
    return {name.lower(): value for name, value in answer.headers}, answer.body


def test_openai_is_told_in_seconds_milliseconds_and_its_own_fields() -> None:
    """Retry-After is rounded up to seconds; retry-after-ms and the reset fields are exact to the millisecond."""
    headers, body = refused(DialectName.OPENAI_CHAT, Quota(requests=1, tokens=100, seconds=90.0))
    assert headers["retry-after"] == "89"
    assert headers["retry-after-ms"] == "88800"
    assert headers["x-ratelimit-limit-requests"] == "1"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "1m28.8s"
    assert headers["x-ratelimit-limit-tokens"] == "100"
    assert headers["x-ratelimit-remaining-tokens"] == "100"
    assert "the limit of 1 requests is reached; try again in 1m28.8s" in json.loads(body)["error"]["message"]


def test_anthropic_is_told_the_moment_of_the_reset() -> None:
    """Its fields are dates, rounded up to the second like Retry-After."""
    headers, body = refused(DialectName.ANTHROPIC_MESSAGES, Quota(requests=1, seconds=90.0))
    assert headers["retry-after"] == "89"
    assert headers["anthropic-ratelimit-requests-limit"] == "1"
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert headers["anthropic-ratelimit-requests-reset"] == "2026-01-01T12:01:30Z"
    assert json.loads(body)["error"]["type"] == "rate_limit_error"


def test_a_request_larger_than_the_quota_is_not_told_to_wait() -> None:
    """There is no time after which it fits."""
    headers, body = refused(DialectName.OPENAI_CHAT, Quota(tokens=10), tokens=11)
    assert "retry-after" not in headers
    assert "larger than the limit of 10 tokens" in json.loads(body)["error"]["message"]
