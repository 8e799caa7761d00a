"""The head of a generated answer, and the body of an error that is a vendor's own.

The law of this module: a named error answer brings its status, its fields and its body; what the file says of framing
and of further fields is added to it, and what the file says of a wait stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from testbed._scenario_extras import named_answer, waiting
from testbed._scenario_spec import Generated, Spec
from testbed.script import Body, Coding, DialectName, Flush, Framing, Head, Version

# `text(spec, key)`: what is drawn for a key of the script, as text.
Text = Callable[[Spec, str], str]


def head_of(spec: Generated, dialect: DialectName, text: Text, status: int) -> tuple[Head, Body | None]:
    """Write the head, and the body that belongs to it if both are a vendor's own."""
    wait = "" if spec.retry_after is None else text(spec.retry_after, "retry_after")
    plain = _plain(spec, text, status)
    if spec.case is None:
        waits = waiting(wait) if wait else ()
        return msgspec.structs.replace(plain, headers=(*plain.headers, *waits)), None
    named, body = named_answer(dialect, text(spec.case, "case"), wait)
    content_type = named.content_type if spec.content_type is None else plain.content_type
    headers = (*named.headers, *plain.headers)
    return msgspec.structs.replace(plain, status=named.status, content_type=content_type, headers=headers), body


def _plain(spec: Generated, text: Text, status: int) -> Head:
    content_type = None if spec.content_type is None else text(spec.content_type, "content_type")
    if content_type is None and status >= 400 and spec.body is None:
        content_type = "application/json"
    return Head(
        status,
        content_type,
        tuple((field, text(value, f"headers.{field}")) for field, value in spec.headers),
        Framing(text(spec.framing, "framing")),
        Version(text(spec.version, "version")),
        Coding(text(spec.coding, "coding")),
        Flush(text(spec.flush, "flush")),
    )
