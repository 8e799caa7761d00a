"""What one run proves and disproves of the cures that clients claim.

The law of this module: a cure is disproven by what the checks found and by nothing else, except where no finding is as
small as the cure (chance in a back-off, a key that changes); it is proven only by a run that asked for it and in which
nothing speaks against it. Everything else is silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

from testbed.oracle.accept import stayed
from testbed.oracle.case import Case
from testbed.oracle.checks import finish, resources, tools
from testbed.oracle.checks.cancel import under_way
from testbed.oracle.checks.outcome import TIMEOUTS
from testbed.oracle.checks.retries import HASTY, final, idempotency_keys, listed, own_pauses, waited
from testbed.oracle.checks.waits import FEWEST, growth, lanes
from testbed.oracle.connections import Connection
from testbed.oracle.cures import CURES, Proof, Shown, together
from testbed.oracle.evidence import quoted, seconds
from testbed.oracle.findings import Finding
from testbed.oracle.rows import GivenKind
from testbed.oracle.transports import End as Over
from testbed.oracle.transports import Progress
from testbed.script import DialectName, Done, End, Ending, Finish, Message, Pause, Step, Text
from testbed.trace import FALLBACK, Cancelled, Clock, Cure, Ended, Failure, Option, Outcome, Raised, Request

Found = frozenset[Failure]
Says = Iterator[Shown]


def cures(case: Case, findings: Iterable[Finding]) -> tuple[Shown, ...]:
    """Say of each cure that this run asked for whether it was shown; `findings` are all that the checks found."""
    found = frozenset(finding.failure for finding in findings)
    return together(shown for rule in RULES for shown in rule(case, found))


def _says(cure: Cure, found: Found, evidence: str, variant: str = "") -> Shown:
    """Disproven if any of the cure's own failures was found, else proven."""
    proof = Proof.DISPROVEN if found.intersection(CURES[cure].failures) else Proof.PROVEN
    return Shown(cure, proof, evidence, variant)


def _judged(cure: Cure, evidence: str, variant: str = "", *, good: bool) -> Shown:
    return Shown(cure, Proof.PROVEN if good else Proof.DISPROVEN, evidence, variant)


# --- asking again -----------------------------------------------------------------------------------------------------


def _may_retry(case: Case) -> bool:
    """Whether the client was told that it may, and could be told so."""
    return case.plan.client.max_retries > 0 and Option.MAX_RETRIES in case.profile.options


def _bounded(case: Case, found: Found) -> Says:
    # There a new request is how the protocol goes on.
    if not _may_retry(case) or (case.is_eventsource and case.profile.reconnects):
        return
    allowed = case.plan.client.max_retries + 1
    most = max(map(len, lanes(case)), default=0)
    told = f"{most} requests, where max_retries allows {allowed}"
    if most > allowed:
        yield Shown(Cure.BOUNDED_RETRIES, Proof.DISPROVEN, told)
    elif most > 1 and isinstance(case.view.end, Raised) and not found & {Failure.FALSE_FAILURE, Failure.CRASH}:
        yield Shown(Cure.BOUNDED_RETRIES, Proof.PROVEN, f"{told}; then the trouble was reported")


def _backoff(case: Case, found: Found) -> Says:
    own = own_pauses(case)
    if len(own) < 2:
        return
    hasty, grown = max(pause.waited for pause in own) < HASTY, growth(own)
    if hasty or (not grown.grows and Failure.RETRY_STORM in found) or grown.grows is False:
        yield Shown(Cure.GROWING_BACKOFF, Proof.DISPROVEN, listed(own))
    elif grown.grows:
        yield Shown(Cure.GROWING_BACKOFF, Proof.PROVEN, listed(own))
    # On a real clock the machine itself puts chance into every pause.
    if not hasty and len(own) >= FEWEST and case.clock is Clock.VIRTUAL:
        yield _judged(Cure.JITTER, listed(own), good=not grown.exact)


def _retry_after(case: Case, _found: Found) -> Says:
    for lane in lanes(case):
        for number, following in pairwise(lane):
            connection = case.attempts[number]
            given = case.look(connection, case.until(number))
            one = waited(case, connection, given, case.attempts[following])
            if one is not None:
                evidence = f"asked to wait {one.told.seconds:g} s, the client waited {seconds(one.waited)}"
                yield _judged(Cure.RETRY_AFTER, evidence, one.told.form.value, good=one.enough)


def _keys(case: Case, _found: Found) -> Says:
    for keys in idempotency_keys(case):
        if len(keys) > 1:
            yield _judged(Cure.STABLE_KEY, "keys: " + ", ".join(map(quoted, keys[:5])), good=len(set(keys)) == 1)


def _nothing_final(case: Case, _found: Found) -> Says:
    for lane in lanes(case):
        for place, number in enumerate(lane):
            given = case.look(case.attempts[number], case.until(number))
            what, again = final(case, number, given), place + 1 < len(lane)
            # That a whole answer is not asked for again goes without saying; that it is does not.
            if what and (again or (given.status >= 400 and _may_retry(case))):
                evidence = f"the request was {'sent again' if again else 'not sent again'} after {what}"
                yield _judged(Cure.NOTHING_FINAL_RETRIED, evidence, good=not again)


def _no_text_twice(case: Case, found: Found) -> Says:
    broken = _broken_after_text(case)
    if broken is None or case.is_eventsource or not (_may_retry(case) or case.plan.fallback):
        return
    number, shown = broken
    more = len(case.attempts) - number - 1
    evidence = f"{shown} characters were shown when the stream broke off; {more} requests came behind it"
    yield _says(Cure.NO_TEXT_TWICE, found, evidence)


def _broken_after_text(case: Case) -> tuple[int, int] | None:
    """The first attempt that ended in trouble after text was shown, and how much of it."""
    for number, connection in enumerate(case.attempts):
        given, shown = case.look(connection, case.until(number)), len(case.window(number).text)
        left = number + 1 < len(case.attempts) or isinstance(case.view.end, Raised)
        if shown and left and given.progress < Progress.FINISHED:
            return number, shown
    return None


def _resume(case: Case, found: Found) -> Says:
    asked = [one.resumes for one in case.trace.observations if isinstance(one, Request) and one.resumes]
    fetched = any(one.resumed for one in case.attempts[1:])
    if found & {Failure.NO_RESUME, Failure.RESUME_GAP}:
        yield Shown(Cure.RESUME, Proof.DISPROVEN, "the stream was not taken up where it had broken off")
    elif (asked or fetched) and case.given is not None and case.given.status and not found:
        evidence = f"the rest was asked for behind {quoted(asked[-1])}" if asked else "the rest was asked for"
        yield Shown(Cure.RESUME, Proof.PROVEN, f"{evidence}; nothing is missing and nothing came twice")


# --- time -------------------------------------------------------------------------------------------------------------

_PHASES: Mapping[GivenKind, str] = {
    GivenKind.SILENT_HANDSHAKE: "connect",
    GivenKind.SILENT_BEFORE_HEAD: "first byte",
    GivenKind.SILENT_BEFORE_TOKEN: "first byte",
    GivenKind.SILENT_MID_STREAM: "idle",
}
# What an error of a silent attempt is called.
_SILENCES = TIMEOUTS | {Outcome.CONNECT}


def _timeouts(case: Case, found: Found) -> Says:
    end = case.view.end
    for number, connection in enumerate(case.attempts):
        last = number + 1 == len(case.attempts)
        # What was cancelled as planned was given up by its caller and not by its time-out.
        at = case.until(number) if last or connection.left is None else min(case.until(number), connection.left)
        given = case.look(connection, at)
        phase = _PHASES.get(given.kind)
        if phase is None or given.end is not Over.OPEN or case.deadline(connection, given, at) is None:
            continue
        named = isinstance(end, Raised) and frozenset(end.classes) & _SILENCES
        if not last or named or Failure.HANG in found:
            evidence = f"given up at {seconds(at)}, the time-out is {case.told(given):g} s"
            yield _says(Cure.TIMEOUT_PER_PHASE, found, evidence, phase)


# --- elsewhere, and the end of a call ---------------------------------------------------------------------------------


def _fallback(case: Case, found: Found) -> Says:
    if not case.plan.fallback or Option.FALLBACK not in case.profile.options:
        return
    by_lane = lanes(case)
    second = [lane for lane in by_lane if case.attempts[lane[0]].number >= FALLBACK]
    if second:
        at = seconds(case.attempts[second[0][0]].opened)
        good = not found & {Failure.FALSE_FAILURE, Failure.DUPLICATED_TEXT, Failure.RETRY_AFTER_PARTIAL_OUTPUT}
        yield _judged(Cure.FALLBACK, f"the second address was asked at {at}", good=good)
    elif isinstance(case.view.end, Raised) and stayed(case):
        yield Shown(Cure.FALLBACK, Proof.DISPROVEN, "the second address was never asked")


def _cancel(case: Case, found: Found) -> Says:
    end = case.view.end
    if not isinstance(end, Cancelled) or not end.planned:
        return
    if Failure.CANCEL_IGNORED in found:
        yield Shown(Cure.CANCEL, Proof.DISPROVEN, "the connection outlived the call")
    for one in under_way(case)[-1:]:
        gone = _gone(one)
        if gone is not None and Failure.CANCEL_IGNORED not in found:
            evidence = f"closed {seconds(max(0, gone - end.t))} after the call was cancelled"
            yield Shown(Cure.CANCEL, Proof.PROVEN, evidence)


def _closed(case: Case, found: Found) -> Says:
    if not isinstance(case.view.end, (Ended, Raised)):
        return
    # The one that was left behind, if there is one, else the last.
    for one in sorted(under_way(case), key=lambda one: _gone(one) is None)[-1:]:
        gone = _gone(one)
        if gone is not None or Failure.RESOURCE_LEAK in found:
            when = "still open" if gone is None else f"closed {seconds(max(0, gone - case.end))} after its end"
            yield _says(Cure.CONNECTION_CLOSED, found, f"{one.name}, whose answer was unfinished: {when}")


def _gone(one: Connection) -> int | None:
    """When the client left, by whichever side's word came first. At the end of its process counts, too: there is no
    difference to the server.
    """
    return min((when for when in (one.left, one.gone) if when is not None), default=None)


def _memory(case: Case, found: Found) -> Says:
    flood = resources.flood(case)
    if Failure.UNBOUNDED_MEMORY in found:
        yield Shown(Cure.MEMORY_BOUNDED, Proof.DISPROVEN, "memory grew with what was sent")
    elif flood is not None and flood.asked:
        yield Shown(Cure.MEMORY_BOUNDED, Proof.PROVEN, flood.in_words)


# --- what is seen -----------------------------------------------------------------------------------------------------


def _tools(case: Case, _found: Found) -> Says:
    # Nothing is asked where no word of a call arrived.
    every = [(one.received(case.end), call) for one in case.attempts for call in tools.called(one)]
    sent = [call for received, call in every if call.begins is not None and call.begins <= received]
    if not sent or not case.profile.shows_tools or tools.check(case).unchecked:
        return
    shown = tools.shown_calls(case)
    evidence = f"{len(sent)} calls sent, {len(shown)} handed over"
    yield _judged(Cure.WHOLE_TOOL_CALLS, evidence, good=not tools.check(case).findings)


def _finish(case: Case, _found: Found) -> Says:
    reason = finish.given_reason(case)
    if reason and case.profile.shows_finish and isinstance(case.view.end, Ended):
        evidence = f"the answer stopped for {quoted(reason)}"
        yield _judged(Cure.FINISH_VISIBLE, evidence, reason, good=not finish.check(case).findings)


def _partial_chunks(case: Case, found: Found) -> Says:
    last = case.last
    if last is None or case.given is None or case.given.progress < Progress.TOKENS:
        return
    whole = case.given.kind in (GivenKind.WHOLE, GivenKind.CLEAN_AFTER_FINISH) and isinstance(case.view.end, Ended)
    steps, torn = last.attempt.script.steps, 0
    totals = [total for _, total in last.arrivals]
    for span in last.body:
        if isinstance(steps[span.step], (Text, Message)) and span.whole:
            torn += any(span.start < total < span.end for total in totals)
    bad = found.intersection(CURES[Cure.PARTIAL_CHUNKS].failures)
    if torn and (whole or bad):
        yield _says(Cure.PARTIAL_CHUNKS, found, f"{torn} events arrived in pieces")


def _sentinel(case: Case, found: Found) -> Says:
    if case.plan.dialect is not DialectName.OPENAI_CHAT or case.last is None or case.given is None:
        return
    form = _odd_end(case, case.last)
    if form and (not found or found.intersection(CURES[Cure.SENTINEL].failures)):
        yield _says(Cure.SENTINEL, found, f"the answer ended with {form}", form)


def _odd_end(case: Case, last: Connection) -> str:
    """What is unusual about how this answer ends; empty if nothing is."""
    given, steps = case.given, last.attempt.script.steps
    if given is None or given.status != 200:
        return ""
    if given.progress is Progress.DONE:
        return _odd_done(steps)
    if given.kind in (GivenKind.CLEAN_BEFORE_TERMINAL, GivenKind.CLEAN_INSIDE_EVENT):
        return "neither"
    return "no sentinel" if given.kind is GivenKind.CLEAN_AFTER_FINISH else ""


def _odd_done(steps: tuple[Step, ...]) -> str:
    done = next((place for place, step in enumerate(steps) if isinstance(step, Done)), len(steps))
    if not any(isinstance(step, Finish) for step in steps[:done]):
        return "no finish reason"
    if any(isinstance(step, (Text, Message)) for step in steps[done:]):
        return "data behind it"
    waits = any(isinstance(step, Pause) or (isinstance(step, End) and step.how is Ending.OPEN) for step in steps[done:])
    return "an open socket" if waits else ""


Rule = Callable[[Case, Found], Says]

# In the order of the enum.
RULES: tuple[Rule, ...] = (
    _bounded,
    _backoff,
    _retry_after,
    _keys,
    _nothing_final,
    _no_text_twice,
    _resume,
    _timeouts,
    _fallback,
    _cancel,
    _closed,
    _memory,
    _tools,
    _finish,
    _partial_chunks,
    _sentinel,
)
