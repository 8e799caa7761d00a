"""What a call leaves behind in its process, and what it holds while it runs.

The law of this module: only a process that was looked at is judged, against a look at the same process just before the
call; what the machine, the runtime or a library's first use may account for is allowed in full. A connection whose
answer was whole may be kept; one that is still open is judged by :mod:`testbed.oracle.checks.cancel`.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed._values import Value
from testbed.oracle.case import SECOND, Case
from testbed.oracle.connections import Connection
from testbed.oracle.evidence import finding
from testbed.oracle.findings import NOTHING, Report
from testbed.oracle.given import is_framed
from testbed.oracle.process import Held, first_byte, held
from testbed.oracle.requirements import LEFTOVERS
from testbed.script import Message, Raw, Step, shown_text
from testbed.trace import Cancelled, Failure, Resources

MEGABYTE = 1 << 20

# Whoever holds less than this too much is not accused: parsers, late imports, a fragmented heap and the garbage between
# two collections take some megabytes of any process, and none of them takes this much.
SLACK = 32 * MEGABYTE
# A program in another language was looked at from outside and before its first byte only: its heap may grow by itself.
SLACK_OUTSIDE = 96 * MEGABYTE
# An event is held as bytes, as text, and parsed; so a right client needs its limit several times over.
COPIES = 4

# Descriptors beside sockets: logs, certificates, an event loop of its own that a library opens once.
_OTHERS = 8
# Warnings that are quoted below a finding.
_QUOTED = 3
# What winds down has this long for it; less says nothing.
_LEAST_GRACE = 9 * SECOND // 10


def check(case: Case) -> Report:
    """Judge what the process held, if the client has one of its own."""
    looks = held(case)
    if looks is None:
        asked = case.settings.pace is not None or case.settings.max_event_bytes is not None
        return Report(unchecked=("how much memory it needs: it has no process of its own",)) if asked else NOTHING
    return _leaks(case, looks) + _growth(case)


# --- what is left -----------------------------------------------------------------------------------------------------


def _leaks(case: Case, looks: Held) -> Report:
    before, after, end = looks.before, looks.after, case.view.end
    if before is None or after is None or end is None or (isinstance(end, Cancelled) and not end.planned):
        return NOTHING
    found = list(_more(case, before, after)) if after.t - end.t >= _LEAST_GRACE else []
    found += [_counted(len(after.warnings), "warning") + " of what nobody closed"] if after.warnings else []
    if not found:
        return NOTHING
    summary = f"When the call was over, something was left of it: {', '.join(found)}."
    detail = f"process: {_listed(before)} before the call; {_listed(after)} after it"
    said = [f"ResourceWarning: {text}" for text in after.warnings[:_QUOTED]]
    return Report(findings=(finding(case, Failure.RESOURCE_LEAK, summary, detail, *said, row=LEFTOVERS),))


def _more(case: Case, before: Resources, after: Resources) -> Iterator[str]:
    sockets = _grown(before.sockets, after.sockets)
    over = sockets - _may_stay(case, after.t)
    if over > 0:
        yield _counted(over, "socket")
    if (others := _grown(before.descriptors, after.descriptors) - max(0, sockets)) > _OTHERS:
        yield _counted(others, "descriptor")
    if (threads := _grown(before.threads, after.threads)) > 0:
        yield _counted(threads, "thread")
    if (tasks := _grown(before.tasks, after.tasks)) > 0:
        yield _counted(tasks, "task")


def _grown(before: int, after: int) -> int:
    # What one of the two looks could not tell has not grown.
    return after - before if before >= 0 and after >= 0 else 0


def _may_stay(case: Case, at: int) -> int:
    """How many connections may be held: fit for the next request, or open, which is for another check to judge."""
    last = {one.number: one for one in case.exchanges}
    return sum(_is_fit(one, case.end) or _is_open(one, at) for one in last.values())


def _is_fit(one: Connection, end: int) -> bool:
    return one.used and is_framed(one, one.received(end))


def _is_open(one: Connection, at: int) -> bool:
    return all(when is None or when > at for when in (one.left, one.gone, one.over))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(look: Resources) -> str:
    held = (("descriptor", look.descriptors), ("socket", look.sockets), ("thread", look.threads), ("task", look.tasks))
    return ", ".join(_counted(number, what) for what, number in held if number >= 0)


# --- what is held -----------------------------------------------------------------------------------------------------


class Flood(Value):
    """A stream of more than a client may hold, and what came of it."""

    offered: int  # bytes of text that the server has to say
    unshown: int  # the most bytes of the wire that were with the client and not with its caller
    grown: int  # the most that its memory was above what it was before
    allowed: int

    @property
    def asked(self) -> bool:
        """Whether a client without a bound would have shown it."""
        return 2 * self.offered > 3 * self.allowed

    @property
    def exceeded(self) -> bool:
        """Whether the growth is too much and is explained by what the caller did not get."""
        return self.grown > self.allowed and self.unshown > self.allowed and 2 * self.grown > self.unshown

    @property
    def in_words(self) -> str:
        """What was seen, in a sentence without its dot."""
        return (
            f"memory grew by {_megabytes(self.grown)} while {_megabytes(self.unshown)} of the stream were with the"
            " client and not with its caller"
        )


def _growth(case: Case) -> Report:
    seen = flood(case)
    if seen is None or not seen.exceeded:
        return NOTHING
    words = seen.in_words
    summary = f"{words[0].upper()}{words[1:]}."
    detail = f"allowed: {_megabytes(seen.allowed)}; the server had {_megabytes(seen.offered)} to say"
    return Report(findings=(finding(case, Failure.UNBOUNDED_MEMORY, summary, detail),))


def flood(case: Case) -> Flood | None:
    """What is known of the client's memory under a slow reader or with a limit for its events; None if nothing is.

    Without either, nobody has told the client that it is to hold less than all.
    """
    looks, settings, last = held(case), case.settings, case.last
    if looks is None or last is None or (settings.pace is None and settings.max_event_bytes is None):
        return None
    base = looks.memory_before(first_byte(case))
    if base is None:
        return None
    slack = SLACK if looks.before is not None else SLACK_OUTSIDE
    return Flood(
        offered=sum(map(_size, last.attempt.script.steps)),
        unshown=_unshown(case, last),
        grown=max(0, looks.memory_most - base),
        allowed=slack + COPIES * (settings.max_event_bytes or 0),
    )


def _size(step: Step) -> int:
    if isinstance(step, Raw):
        return len(step.data) * step.times
    return len(step.data) if isinstance(step, Message) else len(shown_text(step))


def _unshown(case: Case, last: Connection) -> int:
    """The most bytes that had been handed on when an item was shown, less those up to the item before it."""
    # Backpressure is visible here: with a client that stops reading the network stops handing on, and what its kernel
    # holds for it is no memory of its own.
    ends = _item_ends(last)
    places = [ends[min(number, len(ends) - 1)] for number in _items_shown(case, last)] if ends else []
    times = [seen.t for seen in case.view.shown]
    most, shown = 0, last.base
    for t, place in zip(times, places, strict=False):
        most, shown = max(most, last.received(t) - shown), place
    return max(most, last.received(case.end) - shown)


def _item_ends(last: Connection) -> list[int]:
    """The wire byte with which each piece of text or event is there."""
    steps = last.attempt.script.steps
    return [span.end for span in last.body if isinstance(steps[span.step], Message) or shown_text(steps[span.step])]


def _items_shown(case: Case, last: Connection) -> Iterator[int]:
    """The number of the item with which each thing that the caller saw was whole: a client may cut text anew."""
    if case.view.events:
        yield from range(len(case.view.events))
        return
    steps = last.attempt.script.steps
    lengths = [len(shown_text(step)) for step in steps if shown_text(step)]
    total, item, reached = 0, -1, 0
    for seen in case.view.texts:
        total += len(seen.text)
        while item + 1 < len(lengths) and reached < total:
            item += 1
            reached += lengths[item]
        yield max(item, 0)


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MiB"
