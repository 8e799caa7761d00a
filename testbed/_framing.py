"""The HTTP around a body: interim answers, the head, and how the message says where it ends.

The law of this module: what it writes is legal HTTP; what HTTP forbids (a chunk in HTTP/1.0, a trailer without
chunks, a kept connection whose message ends with it) is refused with a sentence that names the step and the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from testbed import http1
from testbed.dialects import DIALECTS
from testbed.errors import UsageError
from testbed.script import Coding, CutBody, End, Ending, Framing, Interim, Script, Version

# The endings that complete the message before anything happens to the connection.
COMPLETING = frozenset({Ending.CLEAN, Ending.KEEP, Ending.STALE})
# Those of a connection that the client may believe it can use again.
KEEPING = frozenset({Ending.KEEP, Ending.STALE})

# The fields that the program writes itself; the same ones from a script would contradict them.
_OWN_FIELDS = frozenset({"connection", "content-length", "content-type", "transfer-encoding"})
# RFC 9110, section 6.5.1: what must be known before the body cannot stand behind it.
_NO_TRAILERS = _OWN_FIELDS | {"content-encoding", "host", "trailer"}
# RFC 9110, section 15.2: an interim answer ends with its head, so it must not speak of a body.
_NO_INTERIM = frozenset({"content-length", "transfer-encoding"})


class FramingRule(NamedTuple):
    """One way to say where a body ends (RFC 9112, section 6.3)."""

    fields: Callable[[int], tuple[http1.Field, ...]]  # from the declared length
    frame: Callable[[bytes], bytes]
    behind: bytes  # what `frame` puts behind the payload
    last: Callable[[Script], bytes]  # what a completed message has behind its body
    framed: Callable[[int, int, Ending], bool]  # from the bytes written and declared: whether the message is complete


_RULES: Mapping[Framing, FramingRule] = MappingProxyType(
    {
        Framing.CHUNKED: FramingRule(
            fields=lambda _declared: (http1.CHUNKED,),
            frame=http1.chunk,
            behind=http1.CHUNK_END,
            last=lambda script: http1.last_chunk(script.head.trailers),
            framed=lambda _written, _declared, how: how in COMPLETING,
        ),
        Framing.LENGTH: FramingRule(
            fields=lambda declared: (http1.content_length(declared),),
            frame=bytes,
            behind=b"",
            last=lambda _script: b"",
            # The declared bytes are all there or they are not; what the connection does then changes nothing of it.
            framed=lambda written, declared, _how: written == declared,
        ),
        Framing.CLOSE: FramingRule(
            fields=lambda _declared: (),
            frame=bytes,
            behind=b"",
            last=lambda _script: b"",
            # The FIN is the framing, so a FIN at any byte is a complete message.
            framed=lambda _written, _declared, how: how in {Ending.CLEAN, Ending.FIN},
        ),
    }
)

# A 204 or 304 ends with its head.
_BODYLESS = FramingRule(lambda _declared: (), bytes, b"", lambda _script: b"", lambda _written, _declared, _how: True)


def is_bodyless(script: Script) -> bool:
    """Whether the answer's status says that it has no body."""
    return script.head.status in http1.BODYLESS


def framing_of(script: Script) -> FramingRule:
    """The framing of the answer."""
    return _BODYLESS if is_bodyless(script) else _RULES[script.head.framing]


def write_interim(step: Interim) -> bytes:
    """Write an interim answer."""
    return http1.head(step.status, step.headers)


def write_head(script: Script, declared: int, ending: Ending) -> bytes:
    """Write the head: content type and coding, framing, connection, then the script's own fields in their order."""
    head = script.head
    fields = (
        *_content_type(script),
        *_content_encoding(script),
        *framing_of(script).fields(declared),
        *_connection(script, ending),
        *head.headers,
    )
    return http1.head(head.status, fields, head.version.value)


def _content_type(script: Script) -> tuple[http1.Field, ...]:
    # An empty content type stands for an answer without the field.
    default = "" if is_bodyless(script) else DIALECTS[script.dialect].content_type_of(script.quirks)
    value = default if script.head.content_type is None else script.head.content_type
    return (("Content-Type", value),) if value else ()


def _content_encoding(script: Script) -> tuple[http1.Field, ...]:
    coding = script.head.coding
    return () if coding is Coding.IDENTITY else (("Content-Encoding", coding.value),)


def _connection(script: Script, ending: Ending) -> tuple[http1.Field, ...]:
    if ending not in KEEPING:
        return (http1.CLOSE,)
    return (http1.KEEP_ALIVE,) if script.head.version is Version.HTTP_1_0 else ()


# --- what HTTP forbids ------------------------------------------------------------------------------------------------


def check_message(script: Script) -> None:
    """Raise :class:`UsageError` if the head, or what stands around it, is no legal HTTP."""
    _check_fields(script)
    _check_version(script)
    _check_body(script)
    _check_keeping(script)


def _check_fields(script: Script) -> None:
    head = script.head
    for name, _ in head.headers:
        if name.lower() in _OWN_FIELDS:
            raise UsageError(f"head: header {name} follows from content_type and framing; it cannot be set by hand")
        if name.lower() == "content-encoding" and head.coding is not Coding.IDENTITY:
            raise UsageError(f"head: header {name} follows from coding; set by hand it needs the coding identity")
    for name, _ in head.trailers:
        if name.lower() in _NO_TRAILERS:
            raise UsageError(f"head: trailer {name} must be known before the body, so it cannot stand behind it")
    for index, step in enumerate(script.steps):
        for name in (name for name, _ in step.headers) if isinstance(step, Interim) else ():
            if name.lower() in _NO_INTERIM:
                raise UsageError(f"step {index} (interim): header {name} speaks of a body, and there is none")


def _check_version(script: Script) -> None:
    if script.head.version is not Version.HTTP_1_0:
        return
    if script.head.framing is Framing.CHUNKED and not is_bodyless(script):
        raise UsageError(
            f"step {_place(script)} (head): HTTP/1.0 has no chunked framing (RFC 9112, section 6.1);"
            " choose content-length or close"
        )
    for index, step in enumerate(script.steps):
        if isinstance(step, Interim):
            raise UsageError(f"step {index} (interim): HTTP/1.0 has no interim answers (RFC 9110, section 15.2)")


def _check_body(script: Script) -> None:
    head, place = script.head, _place(script)
    if head.trailers and (head.framing is not Framing.CHUNKED or is_bodyless(script)):
        raise UsageError(
            f"step {place} (head): trailers stand behind the last chunk (RFC 9112, section 7.1.2), and the body is not"
            " chunked"
        )
    if head.coding is not Coding.IDENTITY and is_bodyless(script):
        raise UsageError(f"step {place} (head): an answer with status {head.status} has no body to code")


def _check_keeping(script: Script) -> None:
    last = script.steps[-1]
    for fault in script.faults:
        if isinstance(fault, CutBody) and fault.how in KEEPING:
            raise UsageError(f"cut_body: how is {fault.how.value}; nothing can follow a message that was cut")
    if not isinstance(last, End) or last.how not in KEEPING:
        return
    if script.head.framing is Framing.CLOSE and not is_bodyless(script):
        raise UsageError(
            f"step {len(script.steps) - 1} (end): {last.how.value} needs a framing that says where the body ends"
            " (RFC 9112, section 9.3); choose chunked or content-length"
        )


def _place(script: Script) -> int:
    return script.steps.index(script.head)
