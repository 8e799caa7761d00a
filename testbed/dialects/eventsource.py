"""Plain server-sent events, as a browser's ``EventSource`` reads them.

The law of this module: the protocol has no opening, no terminal and no error, so the steps that say them are refused; a
text step is a message event whose data is the text. What a right client dispatches is :func:`events`. A script that
resumes leaves out what it says up to and including the id that the client names; an id that it does not have resumes
nothing, as on a server that has forgotten it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from testbed import sse
from testbed.dialects._addressed import without
from testbed.dialects._dialect import (
    ANYWHERE,
    CHAT_ONLY_REFUSED,
    FOREIGN_RULES,
    SHARED_SPELLING,
    WORDLESS,
    Asked,
    Case,
    Dialect,
    Rule,
)
from testbed.script import DialectName, Done, Failure, Finish, Message, Open, Ping, Script, Step, Text

REFUSED: Mapping[type, str] = MappingProxyType(
    {
        **CHAT_ONLY_REFUSED,
        Finish: "eventsource has no soft terminal: the protocol never says that the model has finished",
        Done: "eventsource has no terminal: the protocol never says that the stream is over",
        Failure: "eventsource has no error inside the stream: send a message with an event name of your own",
    }
)

ORDER = MappingProxyType(
    {
        **FOREIGN_RULES,
        Text: Rule(ANYWHERE, None, "an event may stand anywhere"),
        Message: Rule(ANYWHERE, None, "an event may stand anywhere"),
        Ping: Rule(ANYWHERE, None, "a comment may stand anywhere"),
    }
)

# What one client sees of one event.
Dispatched = tuple[str, str, str]


def events(steps: Sequence[Step], *, last_event_id: str = "") -> tuple[Dispatched, ...]:
    """Derive what a right client dispatches: (type, data, id) of each event, from the steps and without their bytes.

    `last_event_id` is the id that the client already has when the stream begins. A CR in a text arrives as LF, so this,
    not the script's text, is what to compare with.
    """
    dispatched = []
    for step in steps:
        if isinstance(step, Text):
            dispatched.append(("message", sse.as_received(step.said), last_event_id))
        elif isinstance(step, Message):
            # An id with NUL in it is ignored, and an id stays until another one comes.
            if step.id is not None and "\0" not in step.id:
                last_event_id = step.id
            dispatched.append((step.event or "message", sse.as_received(step.data), last_event_id))
    return tuple(dispatched)


def _resume(script: Script, asked: Asked) -> Script:
    known = asked.headers.get("last-event-id", "")
    if not (script.resumes and known):
        return script
    # A client sends the id in UTF-8, and a server hands on a header's bytes as Latin-1.
    names = {known, known.encode("latin-1", "replace").decode("utf-8", "replace")}
    # The last of them, should the script use an id twice: nothing that the client may have is sent again.
    has = [index for index, step in enumerate(script.steps) if isinstance(step, Message) and step.id in names]
    return without(script, has[-1], EVENTSOURCE.encode(script.steps, script.quirks)) if has else script


def _resumes(asked: Asked) -> str:
    # The standard has the id sent in UTF-8; a client that sends it otherwise is read as it was sent.
    known = asked.headers.get("last-event-id", "")
    try:
        return known.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return known


def _no_request(_model: str) -> dict[str, object]:
    return {}


def _error(case: Case) -> object:
    return {"error": {"status": case.status, "type": case.kind or "error", "message": case.message}}


EVENTSOURCE = Dialect(
    name=DialectName.EVENTSOURCE,
    method="GET",
    path="/events",
    base_path="/events",
    content_type="text/event-stream",
    spelling=MappingProxyType(
        {
            **SHARED_SPELLING,
            Open: lambda _step, _said: (),
            Text: lambda step, said: (said.event(step.text),),
            Ping: lambda _step, said: (said.keepalive(),),
        }
    ),
    refused=REFUSED,
    order=ORDER,
    terminals=MappingProxyType({}),
    wordless=WORDLESS | {Open},
    make_request=_no_request,
    make_error=_error,
    resume=_resume,
    resumes=_resumes,
)
