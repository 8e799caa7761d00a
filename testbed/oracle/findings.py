"""What judging produces: verdicts, findings, and which finding is the root of which.

The law of this module: a finding is a value about the client alone; our own mistakes are a verdict (ERROR) with a
reason and never a finding. Which consequence is left out for which root is a table, :data:`CONSEQUENCES`, and nothing
else removes a finding.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from testbed._values import Value
from testbed.oracle.cures import Shown
from testbed.trace import Failure


class Verdict(str, enum.Enum):
    """What a run says of the client. INCONCLUSIVE and ERROR say nothing of it."""

    PASS = "pass"
    LENIENT = "lenient"  # accepted, but not what is preferred
    FAIL = "fail"
    UNSUPPORTED = "unsupported"  # the client or its adapter cannot be asked this
    INCONCLUSIVE = "inconclusive"  # the run did not ask what its plan asks
    ERROR = "error"  # ours


class Finding(Value):
    """One defect: a plain sentence, the requirement that it breaks with its sources, and what was seen on the wire.

    `cause` is the word by which it is told apart from another finding of its class: :mod:`testbed.oracle.causes`.
    """

    failure: Failure
    summary: str
    requirement: str
    sources: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    cause: str = ""


class Judgement(Value):
    """The verdict of one run. Findings stand root first; `unchecked` names what this client cannot show or be told.

    `cures` is what the run proved and disproved of what clients claim to do about trouble.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    unchecked: tuple[str, ...] = ()
    cures: tuple[Shown, ...] = ()


class Report(Value):
    """What one check says. The last three are reasons, each a sentence."""

    findings: tuple[Finding, ...] = ()
    lenient: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    inconclusive: tuple[str, ...] = ()

    def __add__(self, other: Report) -> Report:
        """Both reports, this one first."""
        return Report(
            findings=self.findings + other.findings,
            lenient=self.lenient + other.lenient,
            unchecked=self.unchecked + other.unchecked,
            unsupported=self.unsupported + other.unsupported,
            inconclusive=self.inconclusive + other.inconclusive,
        )


NOTHING = Report()

# The order in which findings are listed: what explains other findings stands before what it explains. A class that is
# missing here could not be ranked, so a test compares this tuple with the enum.
ROOT_FIRST: tuple[Failure, ...] = (
    Failure.CRASH,
    Failure.CERTIFICATE_IGNORED,
    Failure.HANG,
    Failure.RETRIED_NON_RETRYABLE,
    Failure.RETRY_AFTER_IGNORED,
    Failure.NO_RESUME,
    Failure.RESUME_GAP,
    Failure.DUPLICATED_TEXT,
    Failure.RETRY_AFTER_PARTIAL_OUTPUT,
    Failure.RETRY_STORM,
    Failure.EARLY_TIMEOUT,
    Failure.LATE_TIMEOUT,
    Failure.CORRUPTED_TEXT,
    Failure.REORDERED_EVENT,
    Failure.PARTIAL_EVENT_DELIVERED,
    Failure.PHANTOM_EVENT,
    Failure.LOST_EVENT,
    Failure.SILENT_TRUNCATION,
    Failure.FALSE_FAILURE,
    Failure.UNWRAPPED_ERROR,
    Failure.WRONG_ERROR_CLASS,
    Failure.LATE_DELIVERY,
    Failure.CANCEL_IGNORED,
    Failure.RESOURCE_LEAK,
    Failure.UNBOUNDED_MEMORY,
)

_ERRORS = frozenset({Failure.FALSE_FAILURE, Failure.UNWRAPPED_ERROR, Failure.WRONG_ERROR_CLASS})
_TEXT = frozenset(
    {
        Failure.CORRUPTED_TEXT,
        Failure.REORDERED_EVENT,
        Failure.PARTIAL_EVENT_DELIVERED,
        Failure.PHANTOM_EVENT,
        Failure.LOST_EVENT,
    }
)

# Root: the findings that are left out beside it, because mending the root mends them, or because they cannot be
# told apart from it. Read as "if the left one is found, the right ones say nothing new".
CONSEQUENCES: Mapping[Failure, frozenset[Failure]] = MappingProxyType(
    {
        # A client that broke down neither shows the rest nor names a cause.
        Failure.CRASH: _ERRORS | {Failure.LOST_EVENT, Failure.LATE_DELIVERY, Failure.LATE_TIMEOUT},
        # A client that should not have asked cannot name the right trouble with what it got.
        Failure.CERTIFICATE_IGNORED: _ERRORS | {Failure.SILENT_TRUNCATION},
        # A client that waits for ever is also late with everything that it still holds.
        Failure.HANG: frozenset(
            {Failure.LATE_TIMEOUT, Failure.LATE_DELIVERY, Failure.LOST_EVENT, Failure.NO_RESUME, Failure.CANCEL_IGNORED}
        ),
        # One request too many is one too many however soon it came and whatever it brought.
        Failure.RETRIED_NON_RETRYABLE: frozenset(
            {Failure.RETRY_STORM, Failure.RETRY_AFTER_IGNORED, Failure.RETRY_AFTER_PARTIAL_OUTPUT}
            | {Failure.DUPLICATED_TEXT}
        ),
        # Retries that come before the time that the server named come quickly, too.
        Failure.RETRY_AFTER_IGNORED: frozenset({Failure.RETRY_STORM}),
        # Text twice after a retry: the retry is how it came about, the text is what the user sees.
        Failure.DUPLICATED_TEXT: _TEXT
        | {Failure.RETRY_AFTER_PARTIAL_OUTPUT, Failure.RETRY_STORM, Failure.LATE_DELIVERY},
        Failure.RETRY_AFTER_PARTIAL_OUTPUT: _TEXT | {Failure.RETRY_STORM},
        # An error that comes too soon is an error that should not have come, of whatever class.
        Failure.EARLY_TIMEOUT: _ERRORS | {Failure.LOST_EVENT},
        Failure.LATE_TIMEOUT: frozenset({Failure.LATE_DELIVERY}),
        # Each way of showing wrong text is named once, by the first class of ROOT_FIRST that fits.
        Failure.CORRUPTED_TEXT: _TEXT | {Failure.LATE_DELIVERY},
        Failure.REORDERED_EVENT: _TEXT | {Failure.LATE_DELIVERY},
        Failure.PARTIAL_EVENT_DELIVERED: _TEXT | {Failure.LATE_DELIVERY},
        Failure.PHANTOM_EVENT: _TEXT | {Failure.LATE_DELIVERY},
        # A text that never came is not late as well.
        Failure.LOST_EVENT: frozenset({Failure.LATE_DELIVERY}),
        # A stream that is begun anew comes twice; one that goes on too far ahead has lost what lies between.
        Failure.NO_RESUME: frozenset(
            {Failure.SILENT_TRUNCATION, Failure.FALSE_FAILURE, Failure.DUPLICATED_TEXT, Failure.REORDERED_EVENT}
        ),
        Failure.RESUME_GAP: frozenset({Failure.LOST_EVENT}),
        # The raw exception is the defect; that nobody mapped it follows.
        Failure.FALSE_FAILURE: frozenset({Failure.UNWRAPPED_ERROR, Failure.WRONG_ERROR_CLASS}),
        Failure.UNWRAPPED_ERROR: frozenset({Failure.WRONG_ERROR_CLASS}),
    }
)


def roots(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding a class, root first, without pure consequences.

    A finding that is itself left out no longer hides others: only a class that stays can explain one.
    """
    first: dict[Failure, Finding] = {}
    for finding in findings:
        first.setdefault(finding.failure, finding)
    kept: list[Finding] = []
    explained: set[Failure] = set()
    for failure in ROOT_FIRST:
        if failure in first and failure not in explained:
            kept.append(first[failure])
            explained |= CONSEQUENCES.get(failure, frozenset()) - {failure}
    return tuple(kept)
