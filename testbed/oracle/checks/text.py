"""The text that was seen against the text that was given.

The law of this module: text is compared as one string. What is seen must be a prefix of what was given, and what was
given long enough ago must be seen; how a client cuts it into pieces is its own affair. When it is seen is judged only
if it is right.
"""

from __future__ import annotations

from itertools import accumulate, takewhile

from testbed._values import Value
from testbed.oracle.case import SECOND, Case
from testbed.oracle.client_view import Window
from testbed.oracle.connections import Connection, Tier
from testbed.oracle.contents import Meaning, meaning
from testbed.oracle.evidence import finding, quoted, seconds
from testbed.oracle.expected import Flavour, Piece, delivered, must_show_until, pieces
from testbed.oracle.findings import NOTHING, Finding, Report
from testbed.oracle.replaced import REPLACEMENT, is_close, read
from testbed.oracle.resuming import text_claimed
from testbed.oracle.sequences import common_prefix, diagnose
from testbed.oracle.transports import Progress
from testbed.script import Done, shown_text
from testbed.trace import Ended, Failure, Raised

SUMMARIES = {
    Failure.CORRUPTED_TEXT: "The text differs from what was sent.",
    Failure.DUPLICATED_TEXT: "Text was shown twice.",
    Failure.LOST_EVENT: "Text that was delivered was never shown.",
    Failure.REORDERED_EVENT: "Text was shown in another order than it was sent.",
    Failure.PHANTOM_EVENT: "Text was shown that was never delivered.",
    Failure.PARTIAL_EVENT_DELIVERED: "Text of an event that never arrived whole was shown.",
}


# Two halves: what is known to the character, and what a fault has made unsure. The first is compared, the second only
# as far as its bytes allow.
class GivenText(Value):
    """What of one attempt is known: the text that may have been seen, and the pieces it is made of."""

    known: tuple[Piece, ...]
    text: str
    rest: tuple[Piece, ...]  # from the first piece on whose bytes a fault has changed


def check(case: Case) -> Report:
    """Judge the text of every attempt, and how attempts follow each other."""
    if case.is_eventsource and not case.view.texts:
        return NOTHING
    # Attempt by attempt: what was shown while a connection was the newest came from that connection.
    report = _after_the_end(case)
    before = ""
    for number in range(len(case.attempts)):
        report += _attempt(case, number, before)
        before += case.window(number).text
    return report


def _after_the_end(case: Case) -> Report:
    if not case.view.after:
        return NOTHING
    late = case.view.after[0]
    summary = "Something was shown after the client had ended."
    return Report(findings=(finding(case, Failure.PHANTOM_EVENT, summary, f"shown at {seconds(late.t)}"),))


def _attempt(case: Case, number: int, before: str) -> Report:
    connection, window = case.attempts[number], case.window(number)
    given = given_text(case, connection, case.until(number))
    # Only vendors' answers: a stream that is resumed goes on, it does not begin anew.
    if before and window.text and not case.is_eventsource and not connection.resumed:
        whole = before + window.text
        if given.text.startswith(whole):
            # It goes on where the attempt before stopped; that there was a second one is not for this check.
            return NOTHING
        if _sent_text(connection).startswith(before) and given.text.startswith(window.text):
            return _report(case, Failure.DUPLICATED_TEXT, window.text, before)
    if _leaves_out(case, number, before, window.text, given.text):
        return NOTHING
    return _compared(case, number, window, given)


def _leaves_out(case: Case, number: int, before: str, seen: str, given: str) -> bool:
    """Whether what comes again of a stream that is resumed is left out: the client asked for more than it needed."""
    claimed = text_claimed(case, number)
    if not seen or claimed is None or not before.startswith(claimed):
        return False
    again = before[len(claimed) :]
    return bool(again) and given.startswith(again) and given[len(again) :].startswith(seen)


def given_text(case: Case, connection: Connection, at: int) -> GivenText:
    """The text that the client may have seen of `connection` by time `at`."""
    # The most that any right client can have: whoever shows more shows what was not there.
    tier = Tier.CR if case.is_eventsource else Tier.LINE
    received = connection.received(at + case.races.bytes)
    all_pieces = delivered(pieces(connection), received, tier)
    first = next((n for n, piece in enumerate(all_pieces) if piece.flavour is not Flavour.EXACT), len(all_pieces))
    known = all_pieces[:first]
    return GivenText(known=known, text="".join(piece.text for piece in known), rest=all_pieces[first:])


def _sent_text(connection: Connection) -> str:
    """The text of the script up to its hard terminal, delivered or not."""
    steps = connection.attempt.script.steps
    # Delivered or not, for telling a guess from a half event, and a repeated answer from another one.
    end = next((index for index, step in enumerate(steps) if isinstance(step, Done)), len(steps))
    return "".join(map(shown_text, steps[:end]))


def _compared(case: Case, number: int, window: Window, given: GivenText) -> Report:
    seen = window.text
    # From the exceptions to the rule: overwritten bytes, an event whose end was never written, more than there was;
    # then the comparison; and only if the text is right, what is missing of it and when it came.
    bounds = [0, *accumulate(len(piece.text) for piece in given.known)]
    if given.rest and seen.startswith(given.text):
        changed = _changed(case, seen[len(given.text) :], given)
        if changed is not None:
            return changed
    if _is_unwritten_end(case, number, seen, given):
        return Report(lenient=("the text of an event is shown whose last bytes the server never wrote",))
    wrong = _beyond(case, number, seen, given) or diagnose(seen, given.text, bounds)
    if wrong is not None:
        return _report(case, wrong, seen, given.text)
    missing = _missing(case, number, seen, given)
    return Report(findings=(missing,)) if missing is not None else _lateness(case, number, window, given)


def _report(case: Case, failure: Failure, seen: str, given: str) -> Report:
    # Both texts are quoted by their ends, and the place where they part by what stands there.
    differ = common_prefix(seen, given)
    details = (
        f"seen: {quoted(seen)} ({len(seen)} characters)",
        f"given: {quoted(given)} ({len(given)} characters)",
        f"they differ from character {differ} on: {quoted(seen[differ:][:40])}, not {quoted(given[differ:][:40])}",
    )
    return Report(findings=(finding(case, failure, SUMMARIES[failure], *details),))


def _is_unwritten_end(case: Case, number: int, seen: str, given: GivenText) -> bool:
    """Whether all text of an event is shown whose end was never written, no more, and nobody knows how much that is.

    In older traces it does not stand how many of its bytes a fault has cut off; that all of the text is there says that
    it may be no more than its last line end. The EventSource standard leaves no such freedom.
    """
    if case.is_eventsource or not seen.startswith(given.text) or given.rest:
        return False
    received = case.attempts[number].received(case.until(number) + case.races.bytes)
    cut = [piece for piece in pieces(case.attempts[number]) if not piece.span.whole and piece.span.end <= received]
    unknown = bool(cut) and not cut[0].span.missing
    return unknown and len(cut[0].text) > 0 and seen == given.text + cut[0].text


def _beyond(case: Case, number: int, seen: str, given: GivenText) -> Failure | None:
    """Text that was sent but had not been delivered: half an event, or a guess."""
    connection, at = case.attempts[number], case.until(number)
    if len(seen) <= len(given.text) or given.rest or not _sent_text(connection).startswith(seen):
        return None
    # A part of the event's own bytes must have come, or else the client cannot have it from here.
    received = connection.received(at + case.races.bytes)
    shown = {piece.span.step for piece in given.known}
    cut = any(
        piece.text and piece.span.step not in shown and piece.span.start < received for piece in pieces(connection)
    )
    return Failure.PARTIAL_EVENT_DELIVERED if cut else Failure.PHANTOM_EVENT


# --- what must be there, and when -------------------------------------------------------------------------------------


def _missing(case: Case, number: int, seen: str, given: GivenText) -> Finding | None:
    limit = must_show_until(case, number)
    if limit is None:
        return None
    connection = case.attempts[number]
    refused = isinstance(case.view.end, Raised) and number + 1 == len(case.attempts)
    length = 0
    for piece in given.known:
        # Whoever refuses what may be refused has stopped reading there, however long it then takes to say so.
        if refused and meaning(connection, piece.span) is Meaning.DOUBTFUL:
            return None
        there = connection.arrival(piece.span.needs(Tier.CHUNK))
        length += len(piece.text)
        # Pieces arrive in order: behind the first that may be missing, all may. What has no end may always be.
        if there is None or there > limit or not piece.span.whole:
            return None
        if length > len(seen):
            details = (
                f"step {piece.span.step} {quoted(piece.text)} was delivered at {seconds(there)}",
                f"seen: {quoted(seen)} ({len(seen)} characters)",
            )
            return finding(case, Failure.LOST_EVENT, SUMMARIES[Failure.LOST_EVENT], *details)
    return None


def _lateness(case: Case, number: int, window: Window, given: GivenText) -> Report:
    """The longest time for which delivered text was held back."""
    connection, until = case.attempts[number], case.until(number)
    # After a reset text may stay unseen; until then it was held back.
    # A client that saves nothing at a reset is right, unless it had sat on the text for longer than it may.
    stop = min(until, connection.reset.t) if connection.reset is not None else None
    worst: tuple[int, Piece, int] | None = None
    length = 0
    for piece in (one for one in given.known if one.span.whole):
        length += len(piece.text)
        there = connection.arrival(piece.span.needs(Tier.CHUNK))
        shown = window.seen_at(length) if piece.text else None
        shown = stop if shown is None and piece.text else shown
        if there is not None and shown is not None and (worst is None or shown - there > worst[0]):
            worst = (shown - there, piece, there)
    if worst is None or worst[0] / SECOND <= case.margin(case.timeouts.mid_stream) + case.taken:
        return NOTHING
    held, piece, there = worst
    summary = f"Text was held back for {seconds(held)}."
    detail = f"step {piece.span.step} {quoted(piece.text)} was delivered at {seconds(there)}"
    return Report(findings=(finding(case, Failure.LATE_DELIVERY, summary, detail),))


# --- content faults ---------------------------------------------------------------------------------------------------


def _changed(case: Case, rest: str, given: GivenText) -> Report | None:
    """Text from a piece on whose bytes a content fault has overwritten; None if that piece may stay unseen and is."""
    whole = isinstance(case.view.end, Ended) and case.given is not None and case.given.progress >= Progress.FINISHED
    if not rest and not whole:
        return None
    # Up to the first piece of which nothing can be known, each is looked at by itself.
    close = tuple(takewhile(is_close, given.rest))
    sure, sent = len(close) == len(given.rest), "".join(piece.text for piece in close)
    reading = read(rest, close)
    # Success promises the whole answer, so the text behind the overwritten bytes must be there, too.
    right = reading.begins or (reading.leads and not sure)
    if not right or (whole and sure and not reading.ends):
        return _report(case, Failure.CORRUPTED_TEXT, rest, sent)
    if not sure:
        return Report(unchecked=("the text from the overwritten bytes on",))
    if case.is_eventsource or REPLACEMENT not in rest:
        return NOTHING
    return Report(lenient=("U+FFFD is shown in the place of invalid UTF-8",))
