"""Streams that are resumed: whether the client comes back, and whether it goes on where it had stopped.

The law of this module: what the client says it has is compared with what it was given and with what it showed. To say
more than that is a gap, for what lies between is never sent again; to say nothing makes all of it come again; to say
less is harmless until something is shown twice, which is where the finding is then.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.oracle.case import Case
from testbed.oracle.checks.text import given_text
from testbed.oracle.client_view import Shown
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding, quoted, seconds
from testbed.oracle.expected import Dispatched
from testbed.oracle.findings import Finding, Report
from testbed.oracle.resuming import Marked, last_given, marked, said, same_id, text_claimed
from testbed.oracle.rows import GivenKind
from testbed.oracle.sequences import Items
from testbed.trace import Failure, Option, Raised, SawEvent, SawText, Wrapping

# Trouble that a client which resumes sets out to cure. A time-out is its own decision, and a status is an answer.
_TROUBLE = frozenset({GivenKind.RESET, GivenKind.FIN_IN_BODY, GivenKind.SEALED_TRUNCATION})


def check(case: Case) -> Report:
    """Judge where each attempt behind the first goes on, and whether there is one at all."""
    found = [*_by_ids(case), *_by_numbers(case), *_never_came_back(case)]
    # The first is where the stream went wrong; what follows it goes on from there.
    return Report(findings=tuple(found[:1]))


# --- EventSource ------------------------------------------------------------------------------------------------------


def _by_ids(case: Case) -> Iterator[Finding]:
    if not case.is_eventsource:
        return
    older: set[str] = set()  # ids of attempts before the last one
    for number, following in enumerate(case.attempts[1:]):
        given = marked(case, number)
        if given is not None and following.says:
            yield from _from_ids(case, number, given, older)
        older |= {mark.id for mark in given.marks} if given is not None else set()


def _from_ids(case: Case, number: int, given: Marked, older: set[str]) -> Iterator[Finding]:
    following, places = case.attempts[number + 1], _places(case, number, given)
    if not places:
        return  # what it showed is wrong, and that is another finding
    right = [mark.id for mark in given.marks if mark.events in places]
    has = following.resumes
    if any(same_id(has, one) for one in right):
        return
    if not has:
        yield _says_nothing(case, following, f"the id of the last event is {quoted(right[-1])}")
        return
    ahead = [mark for mark in given.marks if mark.events > max(places) and same_id(has, mark.id)]
    if ahead:
        skipped = [data for _, data, _ in given.events[max(places) : ahead[0].events]]
        if not _shown_later(case, number + 1, skipped):
            yield _gap(case, following, f"{quoted(skipped[0])} was given to it and never shown")
        return
    behind = [mark.events for mark in given.marks if same_id(has, mark.id)]
    if behind:
        yield from _events_again(case, number + 1, given.events[max(behind) : max(places)])
    elif not any(same_id(has, one) for one in older):
        yield _gap(case, following, f"it was given no event with that id; its last one is {quoted(right[-1])}")


def _events_again(case: Case, number: int, repeated: tuple[Dispatched, ...]) -> Iterator[Finding]:
    given = marked(case, number)
    if given is None or not case.attempts[number].attempt.script.resumes:
        return  # the server would have sent them to anybody
    seen = [(one.type, one.data) for one in case.shown(number) if isinstance(one, SawEvent)]
    if _is_again(seen, [event[:2] for event in given.events], [event[:2] for event in repeated]):
        yield _again(case, case.attempts[number], f"{len(repeated)} events were shown before")


def _is_again(seen: Items, given: Items, repeated: Items) -> bool:
    """Whether a client shows what comes again. One that leaves it out, and that may be all that it does, is right."""
    if not seen or given[: len(repeated)] != repeated[: len(given)]:
        return False
    return seen == given[: len(seen)] and seen != given[len(repeated) :][: len(seen)]


def _places(case: Case, number: int, given: Marked) -> frozenset[int]:
    """How many of the events of an attempt the client had shown when it was over; none if it showed others.

    Several, where it shows text and some events have none; and a client may have left out what it had shown before.
    """
    shown = case.shown(number)
    if any(isinstance(seen, SawText) for seen in shown):
        text = case.window(number).text
        counts = range(len(given.events) + 1)
        return frozenset(count for count in counts if "".join(data for _, data, _ in given.events[:count]) == text)
    seen = [(one.type, one.data) for one in shown if isinstance(one, SawEvent)]
    before = {one.id for one in _shown_before(case, number) if isinstance(one, SawEvent) and one.id}
    fresh = [place for place, event in enumerate(given.events, 1) if event[2] not in before]
    for places in (range(1, len(given.events) + 1), fresh):
        if [given.events[place - 1][:2] for place in places][: len(seen)] == seen:
            return frozenset([places[len(seen) - 1] if seen else 0])
    return frozenset()


def _shown_before(case: Case, number: int) -> list[Shown]:
    return [seen for earlier in range(number) for seen in case.shown(earlier)]


def _shown_later(case: Case, number: int, skipped: list[str]) -> bool:
    """Whether what seems skipped was only shown late, as by a caller who reads from a queue."""
    later = [seen for place in range(number, len(case.attempts)) for seen in case.shown(place)]
    texts = [seen.data if isinstance(seen, SawEvent) else seen.text for seen in later]
    return "".join(texts).startswith("".join(skipped)) and bool(texts)


# --- MCP and the Responses API ----------------------------------------------------------------------------------------


def _by_numbers(case: Case) -> Iterator[Finding]:
    for number, following in enumerate(case.attempts):
        claimed = text_claimed(case, number)
        if claimed is None:
            continue
        shown = "".join(case.window(earlier).text for earlier in range(number))
        has, given = said(following), last_given(case, number)
        if has is None:
            # Text is the proof that it had been given something.
            if shown:
                yield _says_nothing(case, following, f"it had shown {len(shown)} characters")
        elif has > given:
            yield _gap(
                case, following, f"it was given event {given} at the last" if given >= 0 else "it was given none"
            )
        elif claimed.startswith(shown):
            skipped = claimed[len(shown) :]
            if skipped and not _shown_later(case, number, [skipped]):
                yield _gap(case, following, f"{quoted(skipped)} was given to it and never shown")
        elif shown.startswith(claimed) and following.attempt.script.resumes:
            given_again = given_text(case, following, case.until(number)).text
            if _is_again(case.window(number).text, given_again, shown[len(claimed) :]):
                yield _again(case, following, f"{len(shown) - len(claimed)} characters were shown before")


# --- those who stay away ----------------------------------------------------------------------------------------------


def _never_came_back(case: Case) -> Iterator[Finding]:
    """An EventSource client that reconnects, by its own account, and did not even try."""
    end, given = case.view.end, case.given
    # Where a protocol can be resumed but need not be, to raise the trouble is as right.
    if not case.is_eventsource or not case.profile.reconnects or not isinstance(end, Raised):
        return
    if end.wrapping is Wrapping.BUG or given is None or given.kind not in _TROUBLE or len(case.attempts) > 1:
        return
    if case.plan.client.max_retries and Option.MAX_RETRIES in case.profile.options:
        summary = f"The client raised {end.type} when its stream broke off, and never asked for the rest."
        yield finding(case, Failure.NO_RESUME, summary)


# --- words ------------------------------------------------------------------------------------------------------------


def _says_nothing(case: Case, following: Connection, why: str) -> Finding:
    summary = "The stream was asked for again without saying what of it was there."
    return finding(case, Failure.NO_RESUME, summary, f"{why}; {_asked(following)} nothing")


def _gap(case: Case, following: Connection, why: str) -> Finding:
    summary = f"The stream was asked for behind {quoted(following.resumes)}, which leaves a gap."
    return finding(case, Failure.RESUME_GAP, summary, f"{why}; {_asked(following)} {quoted(following.resumes)}")


def _again(case: Case, following: Connection, why: str) -> Finding:
    summary = f"The stream was asked for behind {quoted(following.resumes)}, and what had been shown came again."
    return finding(case, Failure.DUPLICATED_TEXT, summary, f"{why}; {_asked(following)} {quoted(following.resumes)}")


def _asked(following: Connection) -> str:
    at = following.opened if following.requested is None else following.requested
    return f"{following.name}, asked at {seconds(at)}, says that it has"
