"""The words in which field bugs are told: short names for the scripts that most of them begin or end with.

The law of this module: nothing here is about one bug.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from testbed.dialects import DIALECTS
from testbed.script import (
    Body,
    Comment,
    ContentFault,
    DialectName,
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
    Quirk,
    Raw,
    Script,
    Step,
    Text,
)

CHAT = DialectName.OPENAI_CHAT
RESPONSES = DialectName.OPENAI_RESPONSES
ANTHROPIC = DialectName.ANTHROPIC_MESSAGES
GEMINI = DialectName.GEMINI
OLLAMA = DialectName.OLLAMA
EVENTS = DialectName.EVENTSOURCE
MCP = DialectName.MCP

WORDS = (Text("One "), Text("two "), Text("three."))
FOR_EVER = End(Ending.OPEN)
CUT = End(Ending.FIN)


class Told(NamedTuple):
    """One field bug as scripts: an attempt each, and what their bytes must hold and must not."""

    scripts: tuple[Script, ...]
    has: tuple[bytes, ...] = ()
    lacks: tuple[bytes, ...] = ()


def script(
    dialect: DialectName,
    *steps: Step,
    head: Head | None = None,
    quirks: Sequence[Quirk] = (),
    faults: Sequence[ContentFault] = (),
) -> Script:
    """A script with a plain head in front of its steps."""
    return Script(dialect, (head or Head(), *steps), tuple(faults), tuple(quirks))


def told(*scripts: Script, has: Sequence[bytes] = (), lacks: Sequence[bytes] = ()) -> Told:
    """The scripts of a bug, with the bytes by which it is known."""
    return Told(scripts, tuple(has), tuple(lacks))


def stream(dialect: DialectName, *steps: Step, **options: object) -> Script:
    """The opening and three tokens, then `steps`."""
    return script(dialect, Open(), *WORDS, *steps, **options)  # type: ignore[arg-type]


def whole(dialect: DialectName, *, quirks: Sequence[Quirk] = ()) -> Script:
    """A clean stream to its end, in any dialect."""
    ends = {EVENTS: (), GEMINI: (Finish(),), MCP: (Done(),)}.get(dialect, (Finish(), Done()))
    opening = () if dialect is EVENTS else (Open(),)
    return script(dialect, *opening, *WORDS, *ends, quirks=quirks)


def data(value: object, event: str = "") -> Raw:
    """One event with JSON as its data, as raw bytes: what no encoder of ours would write."""
    name = f"event: {event}\n" if event else ""
    return Raw(f"{name}data: {json.dumps(value, ensure_ascii=False)}\n\n".encode())


def chunk(**delta: object) -> Raw:
    """A chat chunk with any delta."""
    return chunk_of({"index": 0, "delta": delta, "finish_reason": None})


def chunk_of(*choices: object, **fields: object) -> Raw:
    """A chat chunk with any choices."""
    base = {"id": "chatcmpl-testbed", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "testbed-1"}
    return data({**base, "choices": list(choices), **fields})


def refused(dialect: DialectName, status: int, kind: str = "", message: str = "refused", **fields: str) -> Script:
    """An answer with an error status and the vendor's JSON."""
    headers = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    body = Body(DIALECTS[dialect].error_body(status, kind, message))
    return script(dialect, body, head=Head(status, "application/json", headers, Framing.LENGTH))


def page(dialect: DialectName, status: int, body: str, content_type: str = "text/html; charset=utf-8") -> Script:
    """An answer that is no stream."""
    return script(dialect, Body(body), head=Head(status, content_type, framing=Framing.LENGTH))


def keepalives(count: int, every: float, step: Step | None = None) -> tuple[Step, ...]:
    """Signs of life and nothing else."""
    return tuple(one for _ in range(count) for one in (Pause(every), step or Ping()))


__all__ = [
    "ANTHROPIC",
    "CHAT",
    "CUT",
    "EVENTS",
    "FOR_EVER",
    "GEMINI",
    "MCP",
    "OLLAMA",
    "RESPONSES",
    "WORDS",
    "Comment",
    "Failure",
    "Message",
    "Told",
    "chunk",
    "chunk_of",
    "data",
    "keepalives",
    "page",
    "refused",
    "script",
    "stream",
    "told",
    "whole",
]
