"""What each step means to a client, its content faults counted.

The law of this module: a step's meaning is read from the script, from where the server put its bytes, and for raw bytes
from what the reference parser makes of them; nothing is encoded. Where the bytes cannot be known without encoding, the
meaning is UNSURE or BAD, and what is shown of that step is not judged.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from testbed.dialects import DIALECTS
from testbed.oracle.connections import Connection, Span
from testbed.script import (
    Body,
    DialectName,
    Failure,
    Finish,
    Head,
    Interim,
    Message,
    Open,
    Pause,
    Ping,
    Quirk,
    Raw,
    Replace,
    Script,
    Step,
    Terminal,
    Text,
    shown_text,
)
from testbed.sse import Event, Parser


class Meaning(enum.Enum):
    """What a client learns from one step."""

    NOTHING = "nothing"  # an opening, a keep-alive, a comment
    TOKEN = "token"
    FINISH = "finish"  # SOFT
    DONE = "done"  # HARD
    FAILURE = "failure"
    BODY = "body"  # text that is no event
    BAD_UTF8 = "bad-utf8"
    BAD = "bad"  # an event that cannot be read, or cannot be read surely
    UNSURE = "unsure"  # raw bytes that may be a good event
    DOUBTFUL = "doubtful"  # no token for sure, and nothing that a client must put up with


# The dialect says which steps end an answer; nothing here knows a vendor's words, but for the one below.
_BY_TERMINAL: Mapping[Terminal, Meaning] = MappingProxyType(
    {Terminal.NONE: Meaning.NOTHING, Terminal.SOFT: Meaning.FINISH, Terminal.HARD: Meaning.DONE}
)
_BY_STEP: Mapping[type, Meaning] = MappingProxyType(
    {Message: Meaning.TOKEN, Failure: Meaning.FAILURE, Body: Meaning.BODY}
)
# Raw bytes can hold the sentinel in spellings that no encoder of ours writes: `data:[DONE]`, without the space.
_SENTINEL = "[DONE]"


def meaning(connection: Connection, span: Span) -> Meaning:
    """What the step at `span` means, content faults counted."""
    script = connection.attempt.script
    faults = hits(script, span)
    # An overwritten event can be anything, so its step no longer counts. Bytes that are no UTF-8 are told apart because
    # there the standards say exactly what must happen.
    if faults:
        return Meaning.BAD_UTF8 if any(not _is_utf8(fault.data) for fault in faults) else Meaning.BAD
    return _plain_meaning(script, span.step)


def hits(script: Script, span: Span) -> tuple[Replace, ...]:
    """The faults that overwrite bytes of this step."""
    overwriting = _overwriting(script)
    if not overwriting:
        return ()
    # Half-open ranges on both sides; a fault of no bytes hits nothing.
    first, last = span.body
    return tuple(fault for fault in overwriting if fault.at < last and first < fault.at + len(fault.data))


# Every step is asked about many times a run, and the answer does not change.
@functools.lru_cache(maxsize=64)
def _overwriting(script: Script) -> tuple[Replace, ...]:
    return tuple(fault for fault in script.faults if isinstance(fault, Replace))


@functools.lru_cache(maxsize=4096)
def _plain_meaning(script: Script, index: int) -> Meaning:
    step = script.steps[index]
    if isinstance(step, Text):
        # An empty text shows nothing, so a client that has only that still waits for its first token.
        return Meaning.TOKEN if shown_text(step) or script.dialect is DialectName.EVENTSOURCE else Meaning.NOTHING
    if isinstance(step, Raw):
        return _raw_meaning(script, index)
    if type(step) in _BY_STEP:
        return _BY_STEP[type(step)]
    if _is_doubtful(script, index):
        return Meaning.DOUBTFUL
    # Of several choices the first is the answer; where another one ends says nothing of it.
    if isinstance(step, Finish) and step.choice != 0:
        return Meaning.NOTHING
    return _BY_TERMINAL[DIALECTS[script.dialect].terminal(step)]


def _is_doubtful(script: Script, index: int) -> bool:
    """Whether a client may refuse this step: a keep-alive that is an event and no JSON, or a second opening.

    Patient clients leave it out, and then everything else must be there.
    """
    step = script.steps[index]
    if isinstance(step, Ping):
        return Quirk.COLON_KEEPALIVE in script.quirks and script.dialect is not DialectName.EVENTSOURCE
    return isinstance(step, Open) and any(isinstance(one, Open) for one in script.steps[:index])


def _raw_meaning(script: Script, index: int) -> Meaning:
    # Raw bytes are the one place where the oracle parses: with the reference parser, which has its own tests. What is
    # no event stream, or too long to be read for each question, nobody can call good or bad here.
    events, unfinished = parsed(script, index)
    if unfinished:
        # What is not ended merges with the next step.
        return Meaning.UNSURE
    if script.dialect is DialectName.EVENTSOURCE and events:
        # There every event is just its fields: the parser says all.
        return Meaning.TOKEN if all(event.intact for event in events) else Meaning.BAD_UTF8
    # Comments, a lone `retry:`, blank lines.
    if not events:
        return Meaning.NOTHING
    if script.dialect is DialectName.OPENAI_CHAT and [event.data for event in events] == [_SENTINEL]:
        return Meaning.DONE
    # JSON that came as raw bytes may be a chunk with text in it, or nonsense that a client should refuse. What is no
    # JSON cannot be a chunk of any vendor.
    return Meaning.UNSURE if all(_is_json(event.data) for event in events) else Meaning.BAD


# Asked several times a run by every check, and a long run of events takes its time.
@functools.lru_cache(maxsize=8)
def parsed(script: Script, index: int) -> tuple[tuple[Event, ...], bool]:
    """What the parser dispatches at raw step `index`, and whether bytes are left that merge with the next step.

    Raw steps side by side are read as one, for an event may be spread over them; all steps but raw ones are whole
    events. Of a run that is too long to be read nothing is known.
    """
    if not _is_readable(script, index):
        return (), True
    run = _raw_run(script, index)
    parser = Parser()
    # A byte order mark is one only where the body begins; anywhere else the parser must have seen a line.
    if any(not isinstance(step, (Interim, Head, Pause)) for step in script.steps[: min(run)]):
        parser.feed(b"\n")
    dispatched = {place: parser.feed(step.data * step.times) for place, step in run.items()}
    return dispatched[index], parser.unfinished and index == max(run)


def last_id_behind(script: Script, index: int, before: str) -> str:
    """The last event id behind raw step `index`, which may set one without an event."""
    if not _is_readable(script, index):
        return before
    parser = Parser(last_event_id=before)
    for place, step in _raw_run(script, index).items():
        if place <= index:
            parser.feed(step.data * step.times)
    return parser.last_event_id


def _raw_run(script: Script, index: int) -> dict[int, Raw]:
    """The raw steps around `index` with nothing but silence between them, by their place."""
    # A pause between two raw steps is no byte, so it does not part them.
    first = last = index
    steps: tuple[Step, ...] = script.steps
    while first > 0 and isinstance(steps[first - 1], (Raw, Pause)):
        first -= 1
    while last + 1 < len(steps) and isinstance(steps[last + 1], (Raw, Pause)):
        last += 1
    run = enumerate(steps[first : last + 1], first)
    return {place: step for place, step in run if isinstance(step, Raw)}


# Bytes of one run of raw steps that are still parsed.
_MOST_PARSED = 4 * 1024 * 1024


def _is_readable(script: Script, index: int) -> bool:
    small = sum(len(step.data) * step.times for step in _raw_run(script, index).values()) <= _MOST_PARSED
    return small and DIALECTS[script.dialect].is_event_stream(script.quirks)


def _is_utf8(data: bytes) -> bool:
    # Judged by itself: a fault may also complete a character that stands around it, and then the text says so.
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True
