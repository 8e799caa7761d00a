"""Ordinary ASGI responses, as our server writes them.

The law of this module: an application that says nothing of wires still gets an exact head, a length where one is known,
and never a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from testbed import http1


@final
class PlainAnswer:
    """An ordinary ASGI response: its head, and how far its body has come."""

    def __init__(self, start: Mapping[str, Any], method: str) -> None:
        self._status: int = start["status"]
        self._fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
        self._sent = 0
        self._has_length = any(name.lower() == "content-length" for name, _ in self._fields)
        self.bodyless = method == "HEAD" or self._status in http1.BODYLESS

    @property
    def framed(self) -> bool:
        """Whether the message says where its body ends; otherwise it ends with the connection."""
        return self._has_length or self.bodyless

    def head(self, length: int | None) -> bytes:
        """Write the head. A `length` that is known and not given by the application is put in."""
        if length is not None and not self._has_length and self._status not in http1.BODYLESS:
            self._fields.append(http1.content_length(length))
            self._has_length = True
        return http1.head(self._status, [*self._fields, http1.CLOSE])

    def count(self, data: bytes) -> tuple[int, int]:
        """Return the body range of the next bytes of the body."""
        start, self._sent = self._sent, self._sent + len(data)
        return start, self._sent
