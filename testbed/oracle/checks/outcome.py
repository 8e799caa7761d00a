"""How the client says that it ended, against the accept set.

The law of this module: success needs the terminal event, an error needs trouble, and an error's class must hold the
true cause. Classes are judged as sets: a client that maps several causes to one exception is right if the true one is
among them.
"""

from __future__ import annotations

from testbed.oracle.accept import GOOD, Accept, accept, gave_up_early, stayed
from testbed.oracle.case import SECOND, Case
from testbed.oracle.checks.certificate import distrusts
from testbed.oracle.evidence import finding, seconds
from testbed.oracle.findings import NOTHING, Finding, Report
from testbed.oracle.rows import GivenKind
from testbed.oracle.spoken import broken_kind
from testbed.oracle.table import TABLE
from testbed.oracle.transports import End
from testbed.trace import ERROR_CLASSES, Cancelled, Ended, Failure, Outcome, Raised, Wrapping

# A set that names more than half of all causes tells its caller next to nothing.
WIDE = len(ERROR_CLASSES) // 2

# The two that the timing checks judge: whether they came at the right time is not asked here.
TIMEOUTS = frozenset({Outcome.FIRST_BYTE_TIMEOUT, Outcome.IDLE_TIMEOUT})


def check(case: Case) -> Report:
    """Judge the client's own word on how it ended; a client that was cancelled gave none."""
    # What a client that we stopped would have said, nobody knows: the hang checks look at it.
    end = case.view.end
    allowed = accept(case)
    if end is None or allowed is None or isinstance(end, Cancelled):
        return NOTHING
    if case.given is None:
        return _unconnected(case, end, allowed)
    if distrusts(case):
        return NOTHING  # it is no defect of the client, and the certificate checks say what it is
    return _success(case, end, allowed) if isinstance(end, Ended) else _error(case, end, allowed)


def _unconnected(case: Case, end: Ended | Raised, allowed: Accept) -> Report:
    """A client that asked nothing of us: only a plan that refuses connections can be about that."""
    if isinstance(end, Ended):
        return _report(
            finding(
                case, Failure.SILENT_TRUNCATION, "Success, but nothing was ever asked of the server.", row=allowed.row
            )
        )
    # A listener of ours that is dead would look like this, so it is no proof of anything.
    if end.wrapping is Wrapping.BUG or Outcome.CONNECT in case.plan.expect.outcome:
        return _error(case, end, allowed)
    return Report(inconclusive=(f"the client never used a connection and raised {end.type}",))


def _report(found: Finding) -> Report:
    return Report(findings=(found,))


# --- success ----------------------------------------------------------------------------------------------------------


def _success(case: Case, end: Ended, allowed: Accept) -> Report:
    # --- in this order: is it right at all, is it late, is it what the plan asked, is it preferred
    reported = {Outcome.COMPLETE}
    # That a reconnecting client came back is seen on the wire, it does not say so.
    if len(case.attempts) > 1:
        reported.add(Outcome.RECONNECT)
    if not reported & allowed.all:
        return _report(_false_success(case, allowed))
    report = _late_success(case, end)
    narrowed = allowed.narrowed(case.plan.expect.outcome)
    if not narrowed.all:
        return report + _not_asked(allowed, case)
    if not reported & narrowed.all:
        return report + _report(_false_success(case, narrowed))
    if reported & narrowed.preferred:
        return report
    return report + Report(lenient=(f"success is tolerated after {allowed.row.kind.value}",))


def _false_success(case: Case, allowed: Accept) -> Finding:
    # The same word, another defect: here the text is whole, and what is missing is the client's coming back.
    if allowed.row.kind is GivenKind.EVENTSOURCE_RECONNECT:
        return finding(
            case, Failure.NO_RESUME, "The client ended after a clean end instead of reconnecting.", row=allowed.row
        )
    summary = f"Success, but the client was given {_described(case)}."
    return finding(case, Failure.SILENT_TRUNCATION, summary, _expected(allowed), row=allowed.row)


def _late_success(case: Case, end: Ended) -> Report:
    """A client that waits for the connection to end although the terminal event was there is slow, but not wrong."""
    given = case.given
    if given is None or given.kind is not GivenKind.WHOLE or given.cause is None:
        return NOTHING
    waited = (end.t - given.cause) / SECOND
    # Servers that keep the connection open after the terminal event turn this into a wait for the time-out.
    if waited <= case.margin(case.timeouts.mid_stream):
        return NOTHING
    return Report(lenient=(f"success was reported {waited:.3f} s after the terminal event",))


# --- errors -----------------------------------------------------------------------------------------------------------


def _error(case: Case, end: Raised, allowed: Accept) -> Report:
    # A broken program first: no class that it might be mapped to would be true. Then an error where none is right. Only
    # then whose exception it is, and last what it says.
    if end.wrapping is Wrapping.BUG:
        return _report(finding(case, Failure.CRASH, f"The client broke down with {end.type}.", _expected(allowed)))
    if not allowed.all - GOOD or _nothing_wrong(case, end):
        return _report(_false_failure(case, end, allowed))
    if end.wrapping is Wrapping.FOREIGN:
        summary = f"{end.type} of a library below reached the caller."
        return _report(finding(case, Failure.UNWRAPPED_ERROR, summary, _expected(allowed)))
    return _classified(case, end, allowed)


def _classified(case: Case, end: Raised, allowed: Accept) -> Report:
    # Under the library's base class but mapped to nothing: any cause, so it is as wide as can be.
    classes = frozenset(end.classes) or ERROR_CLASSES
    if not classes & allowed.all:
        return _report((_false_failure if allowed.must_complete else _wrong)(case, end, allowed))
    if (mismatch := _wrong_detail(case, end)) is not None:
        return _report(mismatch)
    return _narrowed(case, end, allowed, classes)


def _narrowed(case: Case, end: Raised, allowed: Accept, classes: frozenset[Outcome]) -> Report:
    narrowed = allowed.narrowed(case.plan.expect.outcome)
    # The table is satisfied here; what follows is the plan's wish, and the grade.
    if not classes & narrowed.all:
        return _unexpected(case, end, allowed, narrowed)
    if gave_up_early(case):
        return Report(lenient=("the client was told to retry and surfaced the first trouble instead",))
    if not classes & narrowed.preferred:
        tolerated = ", ".join(sorted(outcome.value for outcome in classes & narrowed.lenient))
        return Report(lenient=(f"{tolerated} is tolerated after {allowed.row.kind.value}",))
    if len(classes) > WIDE:
        return Report(lenient=(f"{end.type} stands for {len(classes)} different causes",))
    return NOTHING


def _unexpected(case: Case, end: Raised, allowed: Accept, narrowed: Accept) -> Report:
    """The error is a right one for what the client was given, but not what the plan expects."""
    # The plan can wish for something that this attempt could not give, but another would have.
    if gave_up_early(case) and Outcome.COMPLETE in case.plan.expect.outcome:
        return _report(_no_retry(case, end, allowed))
    if not narrowed.all:
        return _not_asked(allowed, case)
    return _report((_false_failure if narrowed.must_complete else _wrong)(case, end, narrowed))


def _nothing_wrong(case: Case, end: Raised) -> bool:
    """Whether the stream still flowed and the error is not even a time-out."""
    # Time-outs are left to the timing checks: they know what the client was told.
    given = case.given
    if given is None or given.end is not End.OPEN or frozenset(end.classes) & TIMEOUTS:
        return False
    # What may be refused is refused as soon as it is met.
    if GivenKind.BROKEN_CONTENT in given.also:
        return False
    # Another reading may know of trouble, and an unmapped error may be a time-out.
    if given.kind not in _QUIET or any(other.end is not End.OPEN or other.kind not in _QUIET for other in case.others):
        return False
    # What a parser may refuse it refuses as soon as it meets it.
    if broken_kind(case.attempts[-1].attempt.script) is not None:
        return False
    # Without a known time-out a silent stream may be trouble to the client, of a kind that we do not see.
    deadline = case.deadline(case.attempts[-1], given, case.end)
    margin = case.margin(case.timeouts.mid_stream) * SECOND
    return deadline is not None and end.t < deadline.earliest - margin


_QUIET = frozenset({GivenKind.SILENT_BEFORE_HEAD, GivenKind.SILENT_BEFORE_TOKEN, GivenKind.SILENT_MID_STREAM})


def _false_failure(case: Case, end: Raised, allowed: Accept) -> Finding:
    summary = f"{end.type}, although nothing was wrong: the client was given {_described(case)}."
    return finding(case, Failure.FALSE_FAILURE, summary, _expected(allowed), row=allowed.row)


def _no_retry(case: Case, end: Raised, allowed: Accept) -> Finding:
    retries = case.plan.client.max_retries
    summary = f"{end.type} at the first trouble, although up to {retries} retries were allowed."
    if stayed(case):
        summary = f"{end.type}, although there was a second address to ask."
    return finding(case, Failure.FALSE_FAILURE, summary, "expected: complete, after a retry", row=allowed.row)


def _wrong(case: Case, end: Raised, allowed: Accept) -> Finding:
    named = ", ".join(sorted(outcome.value for outcome in end.classes)) or "no class"
    summary = f"{end.type} says {named}, but the client was given {_described(case)}."
    return finding(case, Failure.WRONG_ERROR_CLASS, summary, _expected(allowed), row=allowed.row)


def _wrong_detail(case: Case, end: Raised) -> Finding | None:
    """A status or a provider's code that is shown must be the one that was sent."""
    given = case.given
    if given is None:
        return None
    # What an adapter does not show (None, an empty code) is not judged.
    row = TABLE[given.kind]
    # A client that gives up may show the first attempt's status.
    sent = {case.look(one, case.until(number)).status for number, one in enumerate(case.attempts)}
    if given.status >= 300 and end.status is not None and end.status not in sent:
        summary = f"{end.type} shows status {end.status}; the server sent {given.status}."
        return finding(case, Failure.WRONG_ERROR_CLASS, summary, row=row)
    # Where a vendor's error has a word and a number, both are its code; only the word is known here.
    numbered = end.code is not None and end.code.removeprefix("-").isdigit() and not given.code.isdigit()
    if given.code and end.code and end.code != given.code and not numbered:
        summary = f"{end.type} shows the code {end.code!r}; the server sent {given.code!r}."
        return finding(case, Failure.WRONG_ERROR_CLASS, summary, row=row)
    return None


# --- words ------------------------------------------------------------------------------------------------------------


def _not_asked(allowed: Accept, case: Case) -> Report:
    expected = ", ".join(outcome.value for outcome in case.plan.expect.outcome)
    return Report(inconclusive=(f"the plan expects {expected}, but the client was given {allowed.row.kind.value}",))


def _described(case: Case) -> str:
    given = case.given
    if given is None:
        return "no connection"
    what = f"status {given.status}" if given.status >= 300 else TABLE[given.kind].given
    at = f", at {seconds(given.cause)}" if given.cause is not None else ""
    return f"{what} ({given.received} bytes{at})"


def _expected(allowed: Accept) -> str:
    preferred = ", ".join(sorted(outcome.value for outcome in allowed.preferred)) or "nothing"
    lenient = ", ".join(sorted(outcome.value for outcome in allowed.lenient))
    return f"expected: {preferred}" + (f"; tolerated: {lenient}" if lenient else "")
