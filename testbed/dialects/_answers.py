"""What a dialect is asked, and what it answers without playing a script: asides, and errors in its vendor's words.

The laws of this module: an error is data (:class:`Case`) until the dialect puts it into its vendor's JSON; the bytes of
a client never raise, they are described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from testbed.errors import UsageError
from testbed.script import Quirk


class Asked(NamedTuple):
    """A request as a dialect sees it: header names in lower case, `query` without its question mark.

    `quirks` are those of the script that the request would play: they say what kind of server is asked.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    quirks: frozenset[Quirk] = frozenset()


class Answer(NamedTuple):
    """What the server answers by itself, without playing an attempt: what SDKs ask at start, what a vendor refuses."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


class Case(NamedTuple):
    """One error that a vendor answers, before it is put into the vendor's shape.

    `kind` is the vendor's type and "" stands for its usual one for the status; `code` and `param` are for vendors that
    have them; `headers` come beside those of every error of the vendor.
    """

    status: int
    message: str
    kind: str = ""
    code: str | None = None
    param: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def to_json(value: object) -> str:
    r"""Encode as compact JSON in the order given; text stays UTF-8, as vendors send it, not ``\u`` escapes."""
    try:
        return msgspec.json.encode(value).decode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"text: it holds half a surrogate pair, which UTF-8 cannot carry ({error.reason})") from None


def read_object(body: bytes) -> dict[str, Any] | str:
    """Read a body that must be a JSON object, or say in a sentence why it is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The bytes are a client's: what the decoder does not call its own error is a wrong body all the same.
        return f"the body is not JSON: {error}"
    return value if isinstance(value, dict) else f"the body is a JSON {type(value).__name__}; it must be an object"
