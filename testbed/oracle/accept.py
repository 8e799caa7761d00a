"""The accept set of a run: the table's rows for what the client was given, narrowed by what the plan expects.

The law of this module: a set is only ever widened by uncertainty (other readings, an earlier attempt's own error) and
only ever narrowed by the plan; the client's behaviour changes neither.
"""

from __future__ import annotations

from collections.abc import Iterable

from testbed._values import Value
from testbed.oracle.case import Case
from testbed.oracle.given import Given
from testbed.oracle.rows import GivenKind, Row
from testbed.oracle.table import TABLE
from testbed.retrying import says_no
from testbed.timing import retry_after
from testbed.trace import FALLBACK, Option, Outcome

# The two outcomes that are no error.
GOOD = frozenset({Outcome.COMPLETE, Outcome.RECONNECT})

_K = GivenKind

# Trouble after which the same request may well succeed, and nothing can have been shown yet. Trouble behind the head is
# left out: that clients do not repeat a request there is their documented choice.
RETRY_WELCOME = frozenset(
    {_K.REFUSED, _K.SILENT_BEFORE_HEAD, _K.RESET_BEFORE_ANSWER, _K.FIN_BEFORE_ANSWER, _K.FIN_IN_HEAD}
    # A handshake that failed sent nothing. A bad certificate stays bad, so it is no reason to ask again.
    | {_K.SILENT_HANDSHAKE, _K.HANDSHAKE_FAILED}
)


# Preferred and lenient stay two sets to the end: a verdict is PASS or LENIENT by where the client's word is found,
# and a finding quotes both.
class Accept(Value):
    """What the client may report, and the row that says so."""

    row: Row
    preferred: frozenset[Outcome]
    lenient: frozenset[Outcome]

    @property
    def all(self) -> frozenset[Outcome]:
        """Everything that is no finding."""
        return self.preferred | self.lenient

    @property
    def must_complete(self) -> bool:
        """Whether success is what a right client reports."""
        return Outcome.COMPLETE in self.preferred

    def narrowed(self, expected: Iterable[Outcome]) -> Accept:
        """Only what the plan expects. What it names by itself is preferred, whatever the table thinks of it."""
        # An empty expectation is the usual case: whatever the table derives is right.
        wanted = frozenset(expected)
        if not wanted:
            return self
        preferred = self.preferred & wanted or self.lenient & wanted
        return Accept(self.row, preferred, (self.lenient & wanted) - preferred)


def accept(case: Case) -> Accept | None:
    """The accept set before the plan narrows it; None if the client never had a connection and none was refused."""
    # No connection at all can only be judged as a refusal; whether it was one is asked before this is used.
    if case.given is None:
        row = TABLE[GivenKind.REFUSED]
        return Accept(row, row.preferred, row.lenient)
    row = TABLE[case.given.kind]
    # The main reading decides what is preferred. Everything else that may have been is tolerated.
    lenient = row.lenient | _all(case.given.also)
    for other in case.others:
        lenient |= _all((other.kind, *other.also))
    # But an answer that came whole in the end leaves no trouble to report.
    if Outcome.COMPLETE not in row.preferred:
        lenient |= _earlier_troubles(case)
        # Sending the request again elsewhere is what RFC 9112 has in mind; that it must be done it does not say.
        lenient |= _all([GivenKind.RESET_BEFORE_ANSWER] if case.struck_stale else [])
    return Accept(row, row.preferred, lenient - row.preferred)


def _all(kinds: Iterable[GivenKind]) -> frozenset[Outcome]:
    rows = [TABLE[kind] for kind in kinds]
    return frozenset().union(*(row.preferred | row.lenient for row in rows))


def _earlier_troubles(case: Case) -> frozenset[Outcome]:
    """A client that gives up may report the trouble of any attempt: the first is the one that it set out to cure."""
    # Each attempt is read at the moment when the next one began, for that is when the client had given it up.
    kinds = [case.look(one, case.until(number)).kind for number, one in enumerate(case.attempts[:-1])]
    return _all(kinds) - GOOD


def gave_up_early(case: Case) -> bool:
    """Whether a client that was told to retry met trouble worth a retry, and did not retry at all.

    To have asked everywhere but at the second address that it was told of is giving up, too.
    """
    # Only a client that was told to retry, and can be told so, has anything to give up.
    given = case.given
    if stayed(case):
        return True
    if given is None or len(case.attempts) != 1 or not case.plan.client.max_retries:
        return False
    return Option.MAX_RETRIES in case.profile.options and retry_is_welcome(given)


# A key, a model or a quota of the one provider may be none of the other's concern.
_ELSEWHERE = frozenset({401, 402, 403, 404, 429})


def stayed(case: Case) -> bool:
    """Whether a client that was told of a second address never asked there, although the first had failed it."""
    given, told = case.given, case.plan.fallback and Option.FALLBACK in case.profile.options
    if not told or given is None or any(one.number >= FALLBACK for one in case.attempts):
        return False
    # Behind text that was shown another answer would begin anew.
    shown = any(case.window(number).text for number in range(len(case.attempts)))
    return not shown and (retry_is_welcome(given) or given.status in _ELSEWHERE)


def retry_is_welcome(given: Given) -> bool:
    """Whether the same request may succeed after what was given."""
    # A status speaks for itself, so the transport below it is asked only where there is none.
    if given.status < 400:
        return given.kind in RETRY_WELCOME
    asked = any(name.lower() == "retry-after" for name, _ in given.attempt.script.head.headers)
    # A Retry-After that is longer than clients wait, or that names no moment of this run, may be surfaced at once.
    return not says_no(given.attempt.script) and (not asked or retry_after(given.attempt) > 0)
