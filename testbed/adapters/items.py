"""What a client adapter may yield: text as `str`, or one of these values.

The law of this module: an item is what the *caller* of the client sees, never what the wire said. What an adapter
cannot show, it does not yield; that check is then UNSUPPORTED and never a finding.
"""

from __future__ import annotations

from typing import Union

from testbed._values import Value


class Finish(Value):
    """Why the model stopped, in the dialect's own word."""

    reason: str


class Event(Value):
    """A plain server-sent event, as an EventSource client shows it. Type ``message`` is the standard's default."""

    type: str
    data: str
    id: str = ""


class ToolCall(Value):
    """A tool that the model wants called, with its whole arguments: on this item a caller would run the tool.

    A client that hands on pieces of a call has its adapter do what a careful caller does: gather them, and yield the
    call when the protocol says that it is whole.
    """

    id: str = ""
    name: str = ""
    arguments: str = ""


class Usage(Value):
    """Token counts. Accepted and not yet judged."""

    input_tokens: int = 0
    output_tokens: int = 0


Item = Union[str, Finish, Event, ToolCall, Usage]
