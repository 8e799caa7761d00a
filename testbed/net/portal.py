"""The portal: a trio service in a thread of its own, for callers that are not trio.

The law of this module: what is started here is stopped here. Entering returns when the service is ready, leaving
returns when its thread has ended, and a failure of the service is raised in the caller, at whichever of the two it
meets first.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

import trio

from testbed.errors import HarnessError, alone

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

READY_WITHIN = 15.0
STOPPED_WITHIN = 10.0


class Service(Protocol[T_co]):
    """What runs in the thread: it calls ``task_status.started(value)`` when it is ready, and goes on until it is
    cancelled.
    """

    def __call__(self, *, task_status: trio.TaskStatus[T_co]) -> Awaitable[object]:
        """Run until cancelled."""
        ...


class _Handle(NamedTuple):
    """What the caller's thread needs of the service's: its value, and how to end it."""

    value: object
    stop: Callable[[], None]


@contextmanager
def in_thread(service: Service[T]) -> Iterator[T]:
    """Run `service` in a thread while the context is open; the value is the one that it was started with."""
    ready: Future[_Handle] = Future()
    over: Future[None] = Future()
    thread = threading.Thread(target=_run, args=(service, ready, over), name="testbed-portal", daemon=True)
    thread.start()
    try:
        handle = _wait(ready, READY_WITHIN, "start")
    except BaseException:  # Ctrl-C too: the thread is ours to end, whatever ended the wait for it
        thread.join(STOPPED_WITHIN)
        raise
    try:
        yield handle.value  # type: ignore[misc]  # the queue between two threads does not carry the type
    finally:
        handle.stop()
        _wait(over, STOPPED_WITHIN, "stop")
        thread.join(STOPPED_WITHIN)


def _run(service: Service[object], ready: Future[_Handle], over: Future[None]) -> None:
    """The thread: every way out of it settles both futures."""
    try:
        trio.run(_serve, service, ready)
    except BaseException as error:  # it is handed to the caller's thread, whatever it is
        cause = alone(error)
        (over if ready.done() else ready).set_exception(cause)
    else:
        over.set_result(None)


async def _serve(service: Service[object], ready: Future[_Handle]) -> None:
    async with trio.open_nursery() as nursery:
        value = await nursery.start(service)
        token = trio.lowlevel.current_trio_token()

        def stop() -> None:
            # The loop may have ended by itself, with a failure that `over` tells of.
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(nursery.cancel_scope.cancel)

        ready.set_result(_Handle(value, stop))


def _wait(future: Future[T], within: float, doing: str) -> T:
    try:
        return future.result(within)
    except FutureTimeoutError:
        if future.done():
            raise  # the service's own time-out, not ours
        raise HarnessError(f"a service in a thread did not {doing} within {within:g} s") from None
