"""Everything that a run says of cures, in plain letters: what it asks for besides is said, and nothing else.

The copy is on purpose: a rule that begins or ceases to speak without being meant to differs from it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from testbed.oracle import Proof, judge
from tests.oracle import test_cures, test_failures
from tests.oracle.runs import Run

# By the name of the pair in its table: what the right run says, and what the wrong one says.
OF_CURES: Mapping[str, tuple[str, str]] = {
    "retries that end": ("bounded-retries, growing-backoff", "not bounded-retries, growing-backoff, jitter"),
    "pauses that grow": ("bounded-retries, growing-backoff", "bounded-retries, not growing-backoff, jitter"),
    "pauses at all": ("bounded-retries, growing-backoff", "bounded-retries, not growing-backoff"),
    "pauses with chance in them": (
        "bounded-retries, growing-backoff, jitter",
        "bounded-retries, growing-backoff, not jitter",
    ),
    "pauses up to a longest": (
        "bounded-retries, growing-backoff, jitter",
        "bounded-retries, growing-backoff, not jitter",
    ),
    "a constant pause": ("bounded-retries, jitter", "bounded-retries, not growing-backoff, not jitter"),
    "seconds": ("retry-after (seconds)", "not retry-after (seconds)"),
    "milliseconds": ("retry-after (ms)", "not retry-after (ms)"),
    "a date": ("retry-after (date)", "not retry-after (date)"),
    "a quota": ("retry-after (quota)", "not retry-after (quota)"),
    "the same key": ("stable-key", "not stable-key"),
    "a bad request": ("nothing-final-retried", "bounded-retries, not nothing-final-retried"),
    "a quota that is used up": ("nothing-final-retried", "bounded-retries, not nothing-final-retried"),
    "the server's own no": ("nothing-final-retried", "bounded-retries, not nothing-final-retried"),
    "text once": ("no-text-twice", "not no-text-twice"),
    "the rest": ("resume", "not resume"),
    "before the head": (
        "timeout-per-phase (first byte), connection-closed",
        "not timeout-per-phase (first byte), connection-closed",
    ),
    "in mid-stream": ("timeout-per-phase (idle), connection-closed", "not timeout-per-phase (idle), connection-closed"),
    "the second address": ("fallback", "not fallback"),
    "text that the first has shown": ("fallback", "not no-text-twice, not fallback"),
    "stop": ("cancel", "not cancel"),
    "nothing left behind": ("connection-closed, sentinel (an open socket)", "not connection-closed"),
    "a whole call": ("whole-tool-calls", "not whole-tool-calls"),
    "a call once": ("whole-tool-calls", "not whole-tool-calls"),
    "a call at all": ("whole-tool-calls", "not whole-tool-calls"),
    "the call that was sent": ("whole-tool-calls", "not whole-tool-calls"),
    "a call that was cut": ("whole-tool-calls, sentinel (neither)", "not whole-tool-calls"),
    "why it stopped": ("finish-visible (length)", "not finish-visible (length)"),
    "half an event": ("partial-chunks", "not partial-chunks"),
    "no sentinel": ("sentinel (no sentinel)", "not sentinel (no sentinel)"),
    "neither": ("sentinel (neither)", "not sentinel (neither)"),
    "an open socket": ("connection-closed, sentinel (an open socket)", "not sentinel (an open socket)"),
}

# By the name of the pair: what the run with the defect says, and what the one that nearly has it says. The others say
# nothing.
OF_FAILURES: Mapping[str, tuple[str, str]] = {
    "success without a terminal": ("not sentinel (neither)", "sentinel (neither)"),
    "success with nothing but a head": ("not sentinel (neither)", "sentinel (neither)"),
    "a time-out after a whole answer whose connection stays open": (
        "connection-closed, not sentinel (an open socket)",
        "connection-closed, sentinel (an open socket)",
    ),
    "an error out of the blue": ("connection-closed", ""),
    "giving up at once where the plan expects a retry": ("", "retry-after (seconds)"),
    "the prefix again after a retry": ("not no-text-twice", ""),
    "a finish reason that nobody sees": ("not finish-visible (length)", "finish-visible (length)"),
    "text behind the terminal event": ("not sentinel (data behind it)", "sentinel (data behind it)"),
    "half a word of an event that is cut": ("", "sentinel (neither)"),
    "an idle time-out before the head": (
        "timeout-per-phase (first byte), connection-closed",
        "timeout-per-phase (first byte), connection-closed",
    ),
    "waiting after a whole answer": ("not sentinel (an open socket)", "connection-closed, sentinel (an open socket)"),
    "waiting after the connection has ended": ("not sentinel (neither)", "sentinel (neither)"),
    "no idle time-out at all": ("not timeout-per-phase (idle)", "timeout-per-phase (idle), connection-closed"),
    "a time-out over the whole call instead of the silence": ("not timeout-per-phase (idle), connection-closed", ""),
    "giving up early before the first byte": (
        "not timeout-per-phase (first byte), connection-closed",
        "timeout-per-phase (first byte), connection-closed",
    ),
    "taking no keep-alive for progress where it must": (
        "not timeout-per-phase (idle), connection-closed",
        "timeout-per-phase (idle), connection-closed",
    ),
    "an early retry of a slow answer": (
        "not timeout-per-phase (first byte), connection-closed",
        "timeout-per-phase (first byte), connection-closed",
    ),
    "giving up long after the time-out": (
        "not timeout-per-phase (idle), connection-closed",
        "timeout-per-phase (idle), connection-closed",
    ),
    "taking keep-alives for progress where it must not": (
        "not timeout-per-phase (idle), connection-closed",
        "timeout-per-phase (idle), connection-closed",
    ),
    "more retries than allowed": (
        "not bounded-retries, growing-backoff, not jitter",
        "bounded-retries, growing-backoff",
    ),
    "retries without back-off": ("bounded-retries, not growing-backoff", "bounded-retries, growing-backoff"),
    "waits that shrink": ("bounded-retries, not growing-backoff, jitter", "bounded-retries, jitter"),
    "a Retry-After that is not waited for": ("not retry-after (seconds)", "retry-after (seconds)"),
    "a Retry-After in milliseconds that is not waited for": ("not retry-after (ms)", ""),
    "a request that is refused for good, sent again": (
        "bounded-retries, growing-backoff, not nothing-final-retried",
        "bounded-retries, growing-backoff",
    ),
    "a whole answer asked for again": ("not nothing-final-retried", ""),
    "a connection left behind with half an answer on it": (
        "not connection-closed",
        "connection-closed, sentinel (an open socket)",
    ),
    "a retry after text was shown": ("not no-text-twice", ""),
    "an event stream that is not resumed": ("not resume", ""),
    "an event stream that is not resumed and not ended": ("not resume", ""),
    "a stream that goes on behind an event that never came": ("not resume", "resume"),
    "a cancelled call that keeps its connection": ("not cancel", "cancel"),
    "a cancelled call that begins anew": ("not cancel", ""),
}


def said(run: Run) -> str:
    """The cures that a run shows, each with its form, "not" before those that it disproves."""
    shown = judge(run.plan, run.trace()).cures
    negated = {Proof.PROVEN: "", Proof.DISPROVEN: "not "}
    return ", ".join(
        f"{negated[one.proof]}{one.cure.value}" + (f" ({one.variant})" if one.variant else "") for one in shown
    )


@pytest.mark.parametrize("pair", test_cures.PAIRS, ids=lambda pair: pair.title)
def test_a_run_of_a_cure_says_this_of_all_cures(pair: test_cures.Pair) -> None:
    """Beside the cure that a run is about, it shows just those that it asks for."""
    assert (said(pair.proves()), said(pair.disproves())) == OF_CURES[pair.title]


@pytest.mark.parametrize(("name", "_failure", "build", "near"), test_failures.PAIRS, ids=test_failures.IDS)
def test_a_run_of_a_failure_says_this_of_all_cures(
    name: str, _failure: object, build: test_failures.Build, near: test_failures.Build
) -> None:
    """A defect disproves the cures that would have helped, and a run without trouble speaks of none."""
    assert (said(build()), said(near())) == OF_FAILURES.get(name, ("", ""))
