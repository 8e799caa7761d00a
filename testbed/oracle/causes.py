"""What lies behind a finding: the word by which two findings of the same class are told apart.

The law of this module: one defect has one cause wherever it is seen, as far as a run can tell; so a cause is no
coarser than what the table tells apart, and no finer than what one mistake in a client brings about. Two findings with
the same class and the same cause are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed.oracle.case import Case
from testbed.oracle.findings import Finding
from testbed.oracle.rows import GivenKind
from testbed.trace import Failure, Raised

_K, _F = GivenKind, Failure

# Kinds that differ by where a byte falls, and by nothing that a client would treat differently. Each stands for its
# first; what is not here stands for itself.
KIN: tuple[tuple[GivenKind, ...], ...] = (
    (_K.CLEAN_BEFORE_TERMINAL, _K.CLEAN_INSIDE_EVENT),
    (_K.CLEAN_AFTER_FINISH, _K.CLEAN_BEFORE_MESSAGE_STOP, _K.CLEAN_INSIDE_DONE),
    (_K.SILENT_BEFORE_HEAD, _K.SILENT_BEFORE_TOKEN),
    (_K.FIN_BEFORE_ANSWER, _K.FIN_IN_HEAD),
    (_K.RESET, _K.ENDING_MAYBE_LOST),
)
_FIRST: Mapping[GivenKind, GivenKind] = MappingProxyType({kind: kin[0] for kin in KIN for kind in kin})

# What the client made of the end of the answer: the end that it was given is the cause.
BY_END = frozenset(
    {_F.SILENT_TRUNCATION, _F.FALSE_FAILURE, _F.WRONG_ERROR_CLASS, _F.HANG, _F.EARLY_TIMEOUT, _F.LATE_TIMEOUT}
)
# The exception that came out names the line in the client better than what was given to it.
BY_EXCEPTION = frozenset({_F.CRASH, _F.UNWRAPPED_ERROR})
# What the client asked again after: the first attempt, whatever came of the last.
BY_FIRST_TROUBLE = frozenset({_F.RETRIED_NON_RETRYABLE, _F.RETRY_STORM, _F.RETRY_AFTER_IGNORED})


def cause(case: Case, finding: Finding) -> str:
    """Name what lies behind a finding of this run, or return the empty string where its class says it all."""
    failure, end = finding.failure, case.view.end
    # A dead process has no exception of its own; then the end that it was given must do.
    if failure in BY_EXCEPTION and isinstance(end, Raised) and end.type:
        return end.type
    if failure in BY_FIRST_TROUBLE and case.attempts:
        return _kin(case.look(case.attempts[0], case.until(0)).kind)
    # Text that is wrong is wrong however the stream ended, so the end would only make many out of one.
    if failure in BY_END | BY_EXCEPTION and case.given is not None:
        return _kin(case.given.kind)
    return ""


def _kin(kind: GivenKind) -> str:
    return _FIRST.get(kind, kind).value
