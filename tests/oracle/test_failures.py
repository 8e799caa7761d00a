"""Each failure class: a run that shows it and nothing else, and one that nearly does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed.dialects import DIALECTS
from testbed.oracle import Judgement, Verdict, judge
from testbed.plan import Certificate, Keepalives, Tls
from testbed.program import layout
from testbed.script import (
    Body,
    Comment,
    CutBody,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Pause,
    Ping,
    Replace,
    Script,
    Step,
    Text,
)
from testbed.trace import Clock, Opened, Outcome, Wrapping
from testbed.trace import Failure as F
from tests.oracle.runs import EVENTSOURCE, STEPS, WORDS, Run, Wire, plan_of, profile, script

ONE = (Head(), Open(), Text("One "))
SLOW: tuple[Step, ...] = (
    Head(),
    Open(),
    *(step for word in WORDS for step in (Pause(2), Text(word))),
    Finish(),
    Done(),
)
RESET_LATE = (*ONE, Text("fine "), Pause(2), End(Ending.RST))
LIMITED = (
    Head(status=429, headers=(("Retry-After", "3"),), content_type="application/json", framing=Framing.LENGTH),
    Body("{}"),
)
NOT_JUDGED = {F.UNBOUNDED_MEMORY}


def status(code: int, *headers: tuple[str, str]) -> Script:
    """An error answer."""
    return script(Head(status=code, headers=headers, content_type="text/plain", framing=Framing.LENGTH), Body("no"))


def run(*scripts: Script, client=None, **plan) -> Run:  # type: ignore[no-untyped-def]
    """A run of these scripts; the usual answer without any."""
    return Run(plan_of(*(scripts or (script(),)), **plan), client=client)


def whole(**fields) -> Run:  # type: ignore[no-untyped-def]
    """The usual answer, delivered at once."""
    return run(**fields).play()


def slow_words(*words: str, **fields) -> Run:  # type: ignore[no-untyped-def]
    """A slow answer of which the client shows `words`, each when it comes."""
    slow = run(script(*SLOW), **fields)
    for number, word in enumerate(words, 1):
        slow.shows(word, at=2.0 * number)
    return slow


def events(*steps: Step, client=None, max_retries: int = 0) -> Run:  # type: ignore[no-untyped-def]
    """A plain event stream."""
    return run(script(*steps, dialect=EVENTSOURCE), client=client, max_retries=max_retries).play()


def resumable(max_retries: int = 2) -> Run:
    """One event, shown, to a client that reconnects as often as it is told."""
    client = profile(reconnects=True)
    return events(Head(), Message("a"), client=client, max_retries=max_retries).shows_event("a")


def retried(*gaps: float, max_retries: int = 2, code: int = 503) -> Run:
    """An error answer for each attempt; the waits between them are given."""
    again = run(*[status(code)] * (len(gaps) + 1), max_retries=max_retries).play()
    at = 0.0
    for gap in gaps:
        at += gap
        again.play(at=at)
    return again.raises(Outcome.HTTP_STATUS, at=at + 0.01, status=code)


def cut_in(word: str, into: int) -> Script:
    """The usual answer, cut so many bytes into the text `word`, and then ended cleanly."""
    span = next(one for one in layout(script()).events if getattr(STEPS[one.step], "text", "") == word)
    body = span.body[1] + into if into <= 0 else span.body[0] + into
    return script(*STEPS, faults=(CutBody(body),))


Build = Callable[[], Run]


def badly_certified(*, asks: bool) -> Run:
    """A server with an expired certificate, to a client that asks it all the same or does not."""
    expired = run(tls=Tls(certificate=Certificate.EXPIRED))
    if asks:
        return expired.play().shows(*WORDS).ends(0.1)
    expired.wires.append(Wire())
    return expired.add(Opened(0, 0)).shakes_hands(0, problem="the client left").raises(Outcome.CONNECT, at=0.1)


def sealed_events(*, farewell: bool) -> Run:
    """A sealed event stream without a length, which ends with close_notify or without it."""
    end = End(Ending.CLEAN if farewell else Ending.FIN)
    steps = (Head(framing=Framing.CLOSE), Message("a"), end)
    return run(script(*steps, dialect=EVENTSOURCE), tls=Tls()).play().shows_event("a").ends(0.1)


# The class, a run that shows it, and a run that differs in one thing and shows nothing.
PAIRS: list[tuple[str, F, Build, Build]] = [
    (
        "a request in spite of an expired certificate",
        F.CERTIFICATE_IGNORED,
        lambda: badly_certified(asks=True),
        lambda: badly_certified(asks=False),
    ),
    (
        "success after a FIN that anybody can forge",
        F.SILENT_TRUNCATION,
        lambda: sealed_events(farewell=False),
        lambda: sealed_events(farewell=True),
    ),
    (
        "success without a terminal",
        F.SILENT_TRUNCATION,
        lambda: run(script(*ONE)).play().shows("One ").ends(0.1),
        lambda: run(script(*ONE)).play().shows("One ").raises(Outcome.INCOMPLETE, at=0.1),
    ),
    (
        "success with nothing but a head",
        F.SILENT_TRUNCATION,
        lambda: run(script(Head())).play().ends(0.1),
        lambda: run(script(Head())).play().raises(Outcome.INCOMPLETE, at=0.1),
    ),
    (
        "success after a provider's error",
        F.SILENT_TRUNCATION,
        lambda: run(script(*ONE, Failure("overloaded"))).play().shows("One ").ends(0.1),
        lambda: (
            run(script(*ONE, Failure("overloaded")))
            .play()
            .shows("One ")
            .raises(Outcome.PROVIDER, at=0.1, code="overloaded")
        ),
    ),
    (
        "success on a page of HTML",
        F.SILENT_TRUNCATION,
        lambda: run(script(Head(content_type="text/html"), Body("<p>"))).play().ends(0.1),
        lambda: run(script(Head(content_type="text/html"), Body("<p>"))).play().raises(Outcome.PROTOCOL, at=0.1),
    ),
    (
        "success on an error status",
        F.SILENT_TRUNCATION,
        lambda: run(status(500)).play().ends(0.1),
        lambda: run(status(500)).play().raises(Outcome.HTTP_STATUS, at=0.1, status=500),
    ),
    (
        "an error after a whole answer",
        F.FALSE_FAILURE,
        lambda: whole().shows(*WORDS).raises(Outcome.RESET, at=0.1),
        lambda: run(script(*STEPS, End(Ending.ABORT))).play().shows(*WORDS).raises(Outcome.RESET, at=0.1),
    ),
    (
        "a time-out after a whole answer whose connection stays open",
        F.FALSE_FAILURE,
        lambda: run(script(*STEPS, End(Ending.OPEN))).play(until=10).shows(*WORDS).raises(Outcome.IDLE_TIMEOUT, at=10),
        lambda: run(script(*STEPS, End(Ending.OPEN))).play(until=0.01).shows(*WORDS).ends(0.01),
    ),
    (
        "an error out of the blue",
        F.FALSE_FAILURE,
        lambda: slow_words("One ").play(until=3).raises(Outcome.PROTOCOL, at=3),
        lambda: late_reset().raises(Outcome.RESET, at=2.1),
    ),
    (
        "giving up at once where the plan expects a retry",
        F.FALSE_FAILURE,
        lambda: (
            run(script(*LIMITED), script(), max_retries=2, expect=[Outcome.COMPLETE])
            .play()
            .raises(Outcome.RATE_LIMITED, at=0.1, status=429)
        ),
        lambda: (
            run(script(*LIMITED), script(), max_retries=2, expect=[Outcome.COMPLETE])
            .play()
            .play(at=3.1)
            .shows(*WORDS, at=3.1)
            .ends(3.2)
        ),
    ),
    (
        "a character replaced",
        F.CORRUPTED_TEXT,
        lambda: whole().shows("One ", "f\ufffdne ", "day", ".").ends(0.1),
        lambda: whole().shows("One f", "ine day.").ends(0.1),
    ),
    (
        "half a word swallowed",
        F.CORRUPTED_TEXT,
        lambda: whole().shows("One ", "fi", "day", ".").ends(0.1),
        lambda: whole().shows("O", "n", "e fine ", "", "day.").ends(0.1),
    ),
    (
        "invalid UTF-8 dropped in silence",
        F.CORRUPTED_TEXT,
        lambda: broken(b"\xff").play().shows("One ", "fne ", "day", ".").ends(0.1),
        lambda: broken(b"\xff").play().shows("One ").raises(Outcome.DECODE, at=0.1),
    ),
    (
        "the prefix again after a retry",
        F.DUPLICATED_TEXT,
        lambda: (
            run(script(*RESET_LATE), script(), max_retries=1)
            .play()
            .shows("One ", "fine ")
            .play(at=3)
            .shows(*WORDS, at=3)
            .ends(3.1)
        ),
        lambda: second_try(Ending.RST, at=3),
    ),
    (
        "a word twice",
        F.DUPLICATED_TEXT,
        lambda: whole().shows("One ", "fine ", "fine ", "day", ".").ends(0.1),
        lambda: whole().shows(*WORDS).ends(0.1),
    ),
    (
        "an event twice",
        F.DUPLICATED_TEXT,
        lambda: events(Head(), Message("a"), Message("b")).shows_event("a").shows_event("a").shows_event("b").ends(0.1),
        lambda: events(Head(), Message("a"), Message("a")).shows_event("a").shows_event("a").ends(0.1),
    ),
    (
        "the last word never shown",
        F.LOST_EVENT,
        lambda: whole().shows(*WORDS[:-1]).ends(0.1),
        lambda: run(script(*RESET_LATE)).play().shows("One ", "fine ").raises(Outcome.RESET, at=2.1),
    ),
    (
        "a word in the middle never shown",
        F.LOST_EVENT,
        lambda: whole().shows("One ", "day", ".").ends(0.1),
        lambda: whole().shows("One ", "fine day", ".").ends(0.1),
    ),
    (
        "a word never shown before the stream ends too soon",
        F.LOST_EVENT,
        lambda: run(script(*ONE, Text("two"))).play().shows("One ").raises(Outcome.INCOMPLETE, at=0.1),
        lambda: run(script(*ONE, Text("two"))).play(only=0, end=Ending.RST).raises(Outcome.RESET, at=0.1),
    ),
    (
        "a finish reason that nobody sees",
        F.LOST_EVENT,
        lambda: limited_answer().play().shows("One ").ends(0.1),
        lambda: limited_answer().play().shows("One ").shows_finish("length").ends(0.1),
    ),
    (
        "an event of a plain stream never shown",
        F.LOST_EVENT,
        lambda: events(Head(), Message("a"), Message("b"), Message("c")).shows_event("a").shows_event("c").ends(0.1),
        lambda: events(Head(), Message("a"), Comment("b"), Message("c")).shows_event("a").shows_event("c").ends(0.1),
    ),
    (
        "two words swapped",
        F.REORDERED_EVENT,
        lambda: whole().shows("fine ", "One ", "day", ".").ends(0.1),
        lambda: whole().shows(*WORDS).ends(0.1),
    ),
    (
        "a word that was never sent",
        F.PHANTOM_EVENT,
        lambda: whole().shows(*WORDS, "XYZ").ends(0.1),
        lambda: whole().shows(*WORDS, "").ends(0.1),
    ),
    (
        "text after the end",
        F.PHANTOM_EVENT,
        lambda: whole().shows(*WORDS[:-1]).shows(".", at=0.0).ends(0.1).shows("more", at=0.2),
        lambda: whole().shows(*WORDS).ends(0.1).shows("", at=0.2),
    ),
    (
        "text behind the terminal event",
        F.PHANTOM_EVENT,
        lambda: run(script(*STEPS, Text("late"))).play().shows(*WORDS, "late").ends(0.1),
        lambda: run(script(*STEPS, Text("late"))).play().shows(*WORDS).ends(0.1),
    ),
    (
        "an empty event for a comment",
        F.PHANTOM_EVENT,
        lambda: (
            events(Head(), Message("a", id="1"), Comment()).shows_event("a", id="1").shows_event("", id="1").ends(0.1)
        ),
        lambda: events(Head(), Message("a", id="1"), Comment()).shows_event("a", id="1").ends(0.1),
    ),
    (
        "half a word of an event that is cut",
        F.PARTIAL_EVENT_DELIVERED,
        lambda: run(cut_in("fine ", 30)).play().shows("One ", "fi").raises(Outcome.INCOMPLETE, at=0.1),
        lambda: run(cut_in("fine ", -1)).play().shows("One ", "fine ").raises(Outcome.INCOMPLETE, at=0.1),
    ),
    (
        "an event without its blank line",
        F.PARTIAL_EVENT_DELIVERED,
        lambda: cut_events().shows_event("first").shows_event("second").ends(0.1),
        lambda: cut_events().shows_event("first").ends(0.1),
    ),
    (
        "a reset called a decoding error",
        F.WRONG_ERROR_CLASS,
        lambda: run(script(*RESET_LATE)).play().shows("One ", "fine ").raises(Outcome.DECODE, at=2.1),
        lambda: run(script(*RESET_LATE)).play().shows("One ", "fine ").raises(Outcome.RESET, Outcome.DECODE, at=2.1),
    ),
    (
        "another status than the one sent",
        F.WRONG_ERROR_CLASS,
        lambda: run(status(503)).play().raises(Outcome.HTTP_STATUS, at=0.1, status=500),
        lambda: run(status(503)).play().raises(Outcome.HTTP_STATUS, at=0.1),
    ),
    (
        "another code than the provider's",
        F.WRONG_ERROR_CLASS,
        lambda: (
            run(script(*ONE, Failure("overloaded"))).play().shows("One ").raises(Outcome.PROVIDER, at=0.1, code="x")
        ),
        lambda: run(script(*ONE, Failure("overloaded"))).play().shows("One ").raises(Outcome.PROVIDER, at=0.1),
    ),
    (
        "an idle time-out before the head",
        F.WRONG_ERROR_CLASS,
        lambda: run(script(Pause(50), *STEPS)).play(until=10).raises(Outcome.IDLE_TIMEOUT, at=10),
        lambda: run(script(Pause(50), *STEPS)).play(until=10).raises(Outcome.FIRST_BYTE_TIMEOUT, at=10),
    ),
    (
        "an exception of the library below",
        F.UNWRAPPED_ERROR,
        lambda: run(script(*ONE, End(Ending.RST))).play().shows("One ").raises(at=0.1, wrapping=Wrapping.FOREIGN),
        lambda: run(script(*ONE, End(Ending.RST))).play().shows("One ").raises(Outcome.RESET, at=0.1),
    ),
    (
        "a programming error",
        F.CRASH,
        lambda: whole().raises(at=0.1, wrapping=Wrapping.BUG, name="IndexError"),
        lambda: whole().shows(*WORDS).ends(0.1),
    ),
    (
        "waiting after a whole answer",
        F.HANG,
        lambda: run(script(*STEPS, End(Ending.OPEN))).play().shows(*WORDS).cancelled(30),
        lambda: run(script(*STEPS, End(Ending.OPEN))).play(until=0.1).shows(*WORDS).ends(0.1),
    ),
    (
        "waiting after the connection has ended",
        F.HANG,
        lambda: run(script(*ONE)).play().shows("One ").cancelled(30),
        lambda: run(script(*ONE)).play().shows("One ").raises(Outcome.INCOMPLETE, at=0.2),
    ),
    (
        "no idle time-out at all",
        F.HANG,
        lambda: run(script(*ONE, Pause(100))).play(until=60).shows("One ").cancelled(60),
        lambda: run(script(*ONE, Pause(100))).play(until=10).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=10),
    ),
    (
        "a time-out over the whole call instead of the silence",
        F.EARLY_TIMEOUT,
        lambda: slow_words("One ", "fine ", idle_timeout=5.0).play(until=5).raises(Outcome.IDLE_TIMEOUT, at=5),
        lambda: slow_words(*WORDS, idle_timeout=5.0).play().ends(8.01),
    ),
    (
        "giving up early before the first byte",
        F.EARLY_TIMEOUT,
        lambda: run(script(Pause(50), *STEPS)).play(until=5).raises(Outcome.FIRST_BYTE_TIMEOUT, at=5),
        lambda: run(script(Pause(50), *STEPS)).play(until=9.9).raises(Outcome.FIRST_BYTE_TIMEOUT, at=9.9),
    ),
    (
        "taking no keep-alive for progress where it must",
        F.EARLY_TIMEOUT,
        lambda: pinged(Keepalives.PROGRESS).play(until=10).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=10),
        lambda: pinged(Keepalives.EITHER).play(until=10).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=10),
    ),
    (
        "an early retry of a slow answer",
        F.EARLY_TIMEOUT,
        lambda: (
            run(script(Pause(50), *STEPS), script(), max_retries=1)
            .play(until=2)
            .play(at=3)
            .shows(*WORDS, at=3)
            .ends(3.1)
        ),
        lambda: (
            run(script(Pause(50), *STEPS), script(), max_retries=1)
            .play(until=10)
            .play(at=11)
            .shows(*WORDS, at=11)
            .ends(11.1)
        ),
    ),
    (
        "giving up long after the time-out",
        F.LATE_TIMEOUT,
        lambda: run(script(*ONE, Pause(100))).play(until=20).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=20),
        lambda: run(script(*ONE, Pause(100))).play(until=10.1).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=10.1),
    ),
    (
        "taking keep-alives for progress where it must not",
        F.LATE_TIMEOUT,
        lambda: pinged(Keepalives.NO_PROGRESS).play(until=18).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=18),
        lambda: pinged(Keepalives.EITHER).play(until=18).shows("One ").raises(Outcome.IDLE_TIMEOUT, at=18),
    ),
    (
        "sitting out a stall that is longer than the time-out",
        F.LATE_TIMEOUT,
        lambda: stalled(30).shows("One ").shows("fine ", at=30).ends(30.1),
        lambda: stalled(9).shows("One ").shows("fine ", at=9).ends(9.1),
    ),
    (
        "sitting out a stall that a reset ends",
        F.LATE_TIMEOUT,
        lambda: run(script(*ONE, Pause(30), End(Ending.RST))).play().shows("One ").raises(Outcome.RESET, at=30.1),
        lambda: run(script(*ONE, Pause(9), End(Ending.RST))).play().shows("One ").raises(Outcome.RESET, at=9.1),
    ),
    (
        "sitting out a silence before the head",
        F.LATE_TIMEOUT,
        lambda: run(script(Pause(30), *STEPS)).play().shows(*WORDS, at=30).ends(30.1),
        lambda: run(script(Pause(9), *STEPS)).play().shows(*WORDS, at=9).ends(9.1),
    ),
    (
        "sitting out a stall, and not the wait for what stands behind the end",
        F.LATE_TIMEOUT,
        lambda: run(script(*ONE, Pause(30), Finish(), Done())).play().shows("One ").ends(30.1),
        lambda: run(script(*ONE, Finish(), Pause(30), Done())).play().shows("One ").ends(30.1),
    ),
    (
        "everything at the end",
        F.LATE_DELIVERY,
        lambda: run(script(*SLOW), idle_timeout=5.0).play().shows(*WORDS, at=8).ends(8.01),
        lambda: slow_words(*WORDS, idle_timeout=5.0).play().ends(8.01),
    ),
    (
        "events at the end",
        F.LATE_DELIVERY,
        lambda: (
            events(Head(), Message("a"), Pause(9), Message("b")).shows_event("a", at=9).shows_event("b", at=9).ends(9.1)
        ),
        lambda: events(Head(), Message("a"), Pause(9), Message("b")).shows_event("a").shows_event("b", at=9).ends(9.1),
    ),
    (
        "text held back until a reset destroys it",
        F.LATE_DELIVERY,
        lambda: run(script(*ONE, Pause(9), End(Ending.RST))).play().raises(Outcome.RESET, at=9.1),
        lambda: run(script(*ONE, End(Ending.RST))).play().raises(Outcome.RESET, at=0.1),
    ),
    (
        "more retries than allowed",
        F.RETRY_STORM,
        lambda: retried(1, 2, 4),
        lambda: retried(1, 2),
    ),
    (
        "retries without back-off",
        F.RETRY_STORM,
        lambda: retried(0.01, 0.01),
        lambda: retried(0.01, 0.2),
    ),
    (
        "waits that shrink",
        F.RETRY_STORM,
        lambda: retried(8, 3, 1, max_retries=9),
        lambda: retried(8, 7, 6, max_retries=9),
    ),
    (
        "a Retry-After that is not waited for",
        F.RETRY_AFTER_IGNORED,
        lambda: run(script(*LIMITED), script(), max_retries=2).play().play(at=0.6).shows(*WORDS, at=0.6).ends(0.7),
        lambda: run(script(*LIMITED), script(), max_retries=2).play().play(at=3).shows(*WORDS, at=3).ends(3.1),
    ),
    (
        "a Retry-After in milliseconds that is not waited for",
        F.RETRY_AFTER_IGNORED,
        lambda: (
            run(status(429, ("retry-after-ms", "900")), script(), max_retries=2)
            .play()
            .play(at=0.5)
            .shows(*WORDS, at=0.5)
            .ends(0.7)
        ),
        lambda: (
            run(status(429, ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")), script(), max_retries=2)
            .play()
            .play(at=0.5)
            .shows(*WORDS, at=0.5)
            .ends(0.7)
        ),
    ),
    (
        "a request that is refused for good, sent again",
        F.RETRIED_NON_RETRYABLE,
        lambda: retried(1, 2, code=400),
        lambda: retried(1, 2, code=500),
    ),
    (
        "a whole answer asked for again",
        F.RETRIED_NON_RETRYABLE,
        lambda: run(script(), script(), max_retries=2).play().play(at=1).shows(*WORDS, at=1).ends(1.1),
        lambda: second_try(Ending.FIN, at=1),
    ),
    (
        "a connection left behind with half an answer on it",
        F.RESOURCE_LEAK,
        lambda: run(script(*STEPS, End(Ending.OPEN))).play().shows(*WORDS).ends(0.1).closed(1.1),
        lambda: run(script(*STEPS, End(Ending.OPEN))).play(until=0.1).shows(*WORDS).ends(0.1).closed(1.1),
    ),
    (
        "a retry after text was shown",
        F.RETRY_AFTER_PARTIAL_OUTPUT,
        lambda: (
            run(script(*RESET_LATE), script(), max_retries=1)
            .play()
            .shows("One ", "fine ")
            .play(at=3)
            .shows("day", ".", at=3)
            .ends(3.1)
        ),
        lambda: (
            run(script(Head(), Open(), Pause(2), End(Ending.RST)), script(), max_retries=1)
            .play()
            .play(at=3)
            .shows(*WORDS, at=3)
            .ends(3.1)
        ),
    ),
    (
        "an event stream that is not resumed",
        F.NO_RESUME,
        lambda: resumable().ends(0.1),
        # A reconnect is a retry, and this one was told to make none.
        lambda: resumable(max_retries=0).ends(0.1),
    ),
    (
        "an event stream that is not resumed and not ended",
        F.NO_RESUME,
        lambda: resumable().cancelled(30),
        lambda: reconnected().cancelled(30),
    ),
    (
        "a stream that goes on behind an event that never came",
        F.RESUME_GAP,
        lambda: came_back("2", "b"),
        lambda: came_back("1", "b"),
    ),
    (
        "a cancelled call that keeps its connection",
        F.CANCEL_IGNORED,
        lambda: (
            run(script(*SLOW), cancel_at=3.0).play(only=600).shows("One ", at=2).cancelled(3, planned=True).closed(4)
        ),
        lambda: (
            run(script(*SLOW), cancel_at=3.0).play(until=3.2).shows("One ", at=2).cancelled(3, planned=True).closed(4)
        ),
    ),
    (
        "a cancelled call that begins anew",
        F.CANCEL_IGNORED,
        lambda: (
            run(script(*SLOW), cancel_at=3.0)
            .play(until=3)
            .shows("One ", at=2)
            .cancelled(3, planned=True)
            .play(at=3.5, until=3.6)
            .closed(4)
        ),
        lambda: run(script(), cancel_at=3.0).play().shows(*WORDS).ends(0.1).closed(4),
    ),
]


def broken(data: bytes) -> Run:
    """The usual answer with one character of its second word overwritten."""
    answer = script()
    span = next(one for one in layout(answer).events if getattr(STEPS[one.step], "text", "") == "fine ")
    data_line = b"".join(DIALECTS[answer.dialect].encode(STEPS)[span.step])
    return run(script(*STEPS, faults=(Replace(span.body[0] + data_line.index(b"fine") + 1, data),)))


def limited_answer() -> Run:
    """An answer that stops for its length, to a client that shows why."""
    answer = script(*ONE, Finish("length"), Done())
    return Run(plan_of(answer), client=profile(shows_finish=True))


def cut_events() -> Run:
    """A plain event stream whose last blank line is missing."""
    steps = (Head(), Message("first"), Message("second"))
    size = layout(script(*steps, dialect=EVENTSOURCE)).body
    return run(script(*steps, dialect=EVENTSOURCE, faults=(CutBody(size - 1),))).play()


def late_reset() -> Run:
    """A token, and two seconds later a reset; the client shows the token when it comes."""
    return run(script(Head(), Open(), Pause(2), Text("One "), End(Ending.RST))).play().shows("One ", at=2)


def second_try(end: Ending, at: float) -> Run:
    """A first attempt that ends before any byte, and a second that is whole."""
    tried = run(script(), script(), max_retries=2).play(only=0, end=end)
    return tried.play(at=at).shows(*WORDS, at=at).ends(at + 0.1)


def pinged(keepalives: Keepalives) -> Run:
    """A token, and then keep-alives for ever."""
    return run(script(*ONE, *[Pause(4), Ping()] * 20, End(Ending.OPEN)), keepalives=keepalives)


def reconnected() -> Run:
    """A reconnecting client that is still at it."""
    again = resumable(max_retries=20)
    for at in (3, 6, 9, 12, 15, 18, 21, 24, 27):
        again.play(at=at).shows_event("a", at=at)
    return again


def stalled(seconds: float) -> Run:
    """An answer that is silent in its middle, and goes on."""
    return run(script(*ONE, Pause(seconds), Text("fine "), Finish(), Done())).play()


def came_back(has: str, *shows: str) -> Run:
    """One event of two, and a client that says what it has when it comes back."""
    both = script(Head(), Message("a", id="1"), Message("b", id="2"), dialect=EVENTSOURCE)
    rest = script(Head(), Message("b", id="2"), dialect=EVENTSOURCE)
    again = Run(plan_of(both, rest, max_retries=1), client=profile(reconnects=True))
    again.play(only=layout(both).events[0].wire[1], end=Ending.RST, resumes="").shows_event("a")
    again.play(at=1.0, resumes=has)
    for data in shows:
        again.shows_event(data, at=1.0)
    return again.ends(1.1)


def judged(build: Build, clock: Clock) -> Judgement:
    """The judgement of a run on that clock."""
    made = build()
    made.clock = clock
    return judge(made.plan, made.trace())


IDS = [f"{failure.value}: {name}" for name, failure, _, _ in PAIRS]


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(("name", "failure", "build", "_near"), PAIRS, ids=IDS)
def test_the_defect_is_named_and_nothing_else(name: str, failure: F, build: Build, _near: Build, clock: Clock) -> None:
    """A run with one planted defect gives a finding of just that class."""
    judgement = judged(build, clock)
    assert [finding.failure for finding in judgement.findings] == [failure], (name, judgement)
    assert judgement.verdict is Verdict.FAIL


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(("name", "_failure", "_build", "near"), PAIRS, ids=IDS)
def test_the_near_miss_is_no_finding(name: str, _failure: F, _build: Build, near: Build, clock: Clock) -> None:
    """The run beside it, right by a hair, is accused of nothing."""
    judgement = judged(near, clock)
    assert judgement.findings == (), (name, judgement)
    assert judgement.verdict in (Verdict.PASS, Verdict.LENIENT), (name, judgement)


def test_every_judged_class_has_a_pair() -> None:
    """No class is claimed that no run here shows."""
    assert {failure for _, failure, _, _ in PAIRS} == set(F) - NOT_JUDGED


@pytest.mark.parametrize(("name", "failure", "build", "_near"), PAIRS, ids=IDS)
def test_findings_can_be_read(name: str, failure: F, build: Build, _near: Build) -> None:
    """A finding is a sentence with its requirement, its sources and a few short lines of evidence."""
    (finding,) = judged(build, Clock.VIRTUAL).findings
    assert finding.summary.endswith(".")
    assert "\n" not in finding.summary
    assert finding.requirement.endswith(".")
    assert finding.sources
    assert finding.evidence
    assert len(finding.evidence) <= 12
    assert all(len(line) <= 300 and "\n" not in line for line in finding.evidence)
