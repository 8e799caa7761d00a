"""The cures that clients claim, and what one run says of each: proven, disproven, or not asked.

The law of this module: words and values only. Which facts of a run prove a cure is decided by
:mod:`testbed.oracle.checks.showing`; several runs are put together here, where one disproof outweighs any number of
proofs.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from testbed._values import Value
from testbed.trace import Cure, Failure


class Proof(str, enum.Enum):
    """What a run says of a cure that it asked for. Of one that it did not ask for it says nothing."""

    PROVEN = "proven"
    DISPROVEN = "disproven"


class Shown(Value):
    """A cure that a run proved or disproved, with one sentence of evidence. `variant`: which form of it, if any."""

    cure: Cure
    proof: Proof
    evidence: str
    variant: str = ""


class Note(Value):
    """A cure in words. `failures`: what a run that disproves it finds; none where that is a remark at most."""

    name: str  # as it stands in a list
    claim: str
    asked: str  # ends the sentence "a run asks for it if …"
    disproven: str  # ends the sentence "it is disproven if …"
    failures: tuple[Failure, ...] = ()


_F = Failure
_WRONG_TEXT = (
    _F.CORRUPTED_TEXT,
    _F.LOST_EVENT,
    _F.PHANTOM_EVENT,
    _F.PARTIAL_EVENT_DELIVERED,
    _F.REORDERED_EVENT,
)

CURES: Mapping[Cure, Note] = MappingProxyType(
    {
        Cure.BOUNDED_RETRIES: Note(
            "bounded retries",
            "The client gives up after the retries that it was told.",
            "the trouble outlasts the retries of a client that was told their number",
            "one request more is made",
            (_F.RETRY_STORM,),
        ),
        Cure.GROWING_BACKOFF: Note(
            "growing back-off",
            "Each pause before a retry is longer than the one before, up to a longest.",
            "the client chooses two pauses or more by itself, at one address",
            "it asks again at once, its pauses shrink, or three are the same",
            (_F.RETRY_STORM,),
        ),
        Cure.JITTER: Note(
            "jitter",
            "Chance has a part in the pauses, so that clients which failed together do not come back together.",
            "the client chooses three pauses or more by itself, on virtual time, which is exact",
            "each of them is the one before times a constant",
        ),
        Cure.RETRY_AFTER: Note(
            "Retry-After",
            "The client waits as long as the server asked, in whichever form it was told.",
            "an error names a time (seconds, a date, OpenAI's milliseconds, or a quota) and the client asks again",
            "the next request comes before that time",
            (_F.RETRY_AFTER_IGNORED,),
        ),
        Cure.STABLE_KEY: Note(
            "stable Idempotency-Key",
            "A retry has the key of the request that it repeats.",
            "the client sends a key and asks again",
            "the key changes",
        ),
        Cure.NOTHING_FINAL_RETRIED: Note(
            "nothing final retried",
            "What cannot succeed is not asked again: a refused request, a quota that is used up, a server's own no.",
            "an answer is final and the client may retry",
            "the request is sent again all the same",
            (_F.RETRIED_NON_RETRYABLE,),
        ),
        Cure.NO_TEXT_TWICE: Note(
            "no text twice",
            "Text that was shown is not shown again by a retry, at whichever address.",
            "a stream breaks off after text was shown, and the client may retry",
            "text is shown twice, or the answer is begun anew behind what was shown",
            (_F.DUPLICATED_TEXT, _F.RETRY_AFTER_PARTIAL_OUTPUT),
        ),
        Cure.RESUME: Note(
            "resume",
            "Where the protocol can resume a stream, it goes on without gap or overlap.",
            "a stream breaks off that can be resumed, and the client asks for the rest",
            "it does not come back, or events are missing or shown twice",
            (_F.NO_RESUME, _F.RESUME_GAP),
        ),
        Cure.TIMEOUT_PER_PHASE: Note(
            "time-outs",
            "Each phase has a time-out of its own: connecting, the first byte, silence in mid-stream.",
            "a phase is silent for longer than the time-out that the client was told for it",
            "the client gives up too early, too late or never",
            (_F.EARLY_TIMEOUT, _F.LATE_TIMEOUT, _F.HANG),
        ),
        Cure.FALLBACK: Note(
            "fallback",
            "Where the first address fails, the second one, and the model that is there, is asked.",
            "the first address fails a client that was told of a second, before anything was shown",
            "the second is never asked, or what it says is not the answer",
            (_F.FALSE_FAILURE,),
        ),
        Cure.CANCEL: Note(
            "cancel",
            "Stop means stop: the server sees the connection closed.",
            "the caller loses interest while a connection is open",
            "it is still open a second later, or another one is opened",
            (_F.CANCEL_IGNORED,),
        ),
        Cure.CONNECTION_CLOSED: Note(
            "connection closed",
            "When the call is over its connection is closed, or fit for the next request.",
            "the call ends while an unfinished answer is still under way",
            "its connection is still open a second later",
            (_F.RESOURCE_LEAK,),
        ),
        Cure.MEMORY_BOUNDED: Note(
            "bounded memory",
            "A fast server and a slow reader do not fill the memory.",
            "the client runs in a process of its own, whose memory is measured",
            "its memory grows with what the server sends",
            (_F.UNBOUNDED_MEMORY,),
        ),
        Cure.WHOLE_TOOL_CALLS: Note(
            "whole tool calls",
            "A tool is run on all of its arguments or not at all.",
            "the answer holds a tool call, and the adapter shows calls",
            "a call is handed over with a part of its arguments, with other ones, twice, or not at all",
            (_F.PARTIAL_EVENT_DELIVERED, _F.LOST_EVENT, _F.CORRUPTED_TEXT, _F.DUPLICATED_TEXT, _F.PHANTOM_EVENT),
        ),
        Cure.FINISH_VISIBLE: Note(
            "finish reason",
            "The caller can tell an answer that was cut by a limit or a filter from a whole one.",
            "the answer names its reason, and the adapter shows reasons",
            "another reason is shown, or none",
            (_F.LOST_EVENT, _F.CORRUPTED_TEXT),
        ),
        Cure.PARTIAL_CHUNKS: Note(
            "partial chunks",
            "Events that arrive in pieces are put together again.",
            "an event arrives in two deliveries or more",
            "its text is wrong or missing, or the client breaks down on it",
            (*_WRONG_TEXT, _F.CRASH, _F.FALSE_FAILURE),
        ),
        Cure.SENTINEL: Note(
            "sentinel",
            "``[DONE]`` ends an answer, a finish reason without it is enough, and neither of them is never success.",
            "one of the two is missing, or something follows the sentinel, or the connection stays open behind it",
            "the client takes half an answer for a whole one, a whole one for a failure, or waits on",
            (_F.SILENT_TRUNCATION, _F.FALSE_FAILURE, _F.HANG, _F.PHANTOM_EVENT),
        ),
    }
)


def together(shown: Iterable[Shown]) -> tuple[Shown, ...]:
    """What many runs say: one entry a cure and form, in the order of the enum; one disproof outweighs any proof."""
    found: dict[tuple[Cure, str], Shown] = {}
    for one in shown:
        before = found.get((one.cure, one.variant))
        if before is None or (before.proof, one.proof) == (Proof.PROVEN, Proof.DISPROVEN):
            found[one.cure, one.variant] = one
    order = list(Cure)
    return tuple(sorted(found.values(), key=lambda one: (order.index(one.cure), one.variant)))


def in_words(shown: Iterable[Shown]) -> str:
    """Say in a line what was shown and what was disproven; empty if nothing was asked.

    >>> in_words([Shown(Cure.JITTER, Proof.DISPROVEN, ""), Shown(Cure.RETRY_AFTER, Proof.PROVEN, "", "seconds")])
    'cures shown: Retry-After (seconds); not shown: jitter'
    """
    found = together(shown)
    parts = []
    for title, proof in (("cures shown", Proof.PROVEN), ("not shown", Proof.DISPROVEN)):
        names: dict[Cure, list[str]] = {}
        for one in found:
            if one.proof is proof:
                names.setdefault(one.cure, []).extend([one.variant] if one.variant else [])
        if names:
            parts.append(f"{title}: " + ", ".join(_named(cure, forms) for cure, forms in names.items()))
    return "; ".join(parts)


def _named(cure: Cure, forms: list[str]) -> str:
    return CURES[cure].name + (f" ({', '.join(forms)})" if forms else "")
