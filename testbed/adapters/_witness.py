"""The client's vantage point: what its caller sees, put into the trace.

The law of this module: one run is Started, then items, then exactly one of Ended, Raised and Cancelled, and nothing
after it; not even from a thread that was given up and still runs.
"""

from __future__ import annotations

import threading
from typing import final

from testbed.adapters.classify import Promises, classify
from testbed.adapters.items import Event, Finish, ToolCall, Usage
from testbed.errors import UsageError
from testbed.ports import Recorder
from testbed.trace import (
    Cancelled,
    Ended,
    Observation,
    Raised,
    Resources,
    SawEvent,
    SawFinish,
    SawText,
    SawTool,
    Started,
)


@final
class Witness:
    """Records one run of a client. Safe to call from any thread."""

    def __init__(self, recorder: Recorder, promises: Promises) -> None:
        self._recorder = recorder
        self._promises = promises
        self._lock = threading.Lock()
        self._over = False

    @property
    def over(self) -> bool:
        """Whether the run has its end, of whichever kind."""
        return self._over

    def started(self) -> None:
        """The client is about to be called."""
        self._recorder.record(Started(t=self._recorder.now()))

    def saw(self, item: object) -> None:
        """The client yielded `item`; raises :class:`UsageError` for what no adapter may yield."""
        if isinstance(item, str):
            if item:  # an empty delta is no progress, and nothing that a caller would see
                self._add(SawText(t=self._recorder.now(), text=item))
        elif isinstance(item, Finish):
            self._add(SawFinish(t=self._recorder.now(), reason=item.reason))
        elif isinstance(item, Event):
            self._add(SawEvent(t=self._recorder.now(), type=item.type, data=item.data, id=item.id))
        elif isinstance(item, ToolCall):
            self._add(SawTool(t=self._recorder.now(), id=item.id, name=item.name, arguments=item.arguments))
        elif not isinstance(item, Usage):
            raise UsageError(
                f"client: it yielded {item!r:.80}; yield the text as str, or Finish, Event, ToolCall or Usage"
            )

    def ended(self) -> None:
        """The client's iteration ended by itself: success."""
        self._close(Ended(t=self._recorder.now()))

    def raised(self, error: BaseException) -> None:
        """The client surfaced `error`."""
        self._close(classify(error, self._promises, self._recorder.now()))

    def died(self, report: Raised) -> None:
        """The client's process surfaced an error, or died."""
        self._close(report)

    def cancelled(self, *, planned: bool) -> None:
        """We are about to stop the client."""
        self._close(Cancelled(t=self._recorder.now(), planned=planned))

    def relay(self, observation: Observation) -> None:
        """What a witness in another process saw."""
        if isinstance(observation, (Ended, Raised, Cancelled)):
            self._close(observation)
        elif isinstance(observation, (Started, Resources)):
            # These stand before the first item and behind the end, too.
            self._recorder.record(observation)
        else:
            self._add(observation)

    def _add(self, observation: Observation) -> None:
        with self._lock:
            if not self._over:
                self._recorder.record(observation)

    def _close(self, last: Observation) -> None:
        with self._lock:
            if not self._over:
                self._over = True
                self._recorder.record(last)
