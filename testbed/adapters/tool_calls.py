"""Gather the pieces of tool calls, as the callers of streaming SDKs do.

The law of this module: a call is handed over once, when the protocol says that it is whole, and never because the
stream happened to end. What has no name is no call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from testbed.adapters.items import ToolCall


@final
class Calls:
    """The calls of one answer that are not whole yet, by what the protocol tells them apart by."""

    def __init__(self) -> None:
        self._begun: dict[int, ToolCall] = {}

    def grow(self, key: int, *, id: str = "", name: str = "", arguments: str = "") -> None:
        """Add what a piece says of call `key`: its id and name come with one of its pieces, its arguments with many."""
        call = self._begun.get(key, ToolCall())
        self._begun[key] = ToolCall(id or call.id, name or call.name, call.arguments + arguments)

    def whole(self, key: int) -> Iterator[ToolCall]:
        """Hand over call `key`, if there is one."""
        call = self._begun.pop(key, ToolCall())
        if call.name:
            yield call

    def all_whole(self) -> Iterator[ToolCall]:
        """Hand over every call, in the order of their numbers."""
        for key in sorted(self._begun):
            yield from self.whole(key)
