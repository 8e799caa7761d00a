"""The portal: a trio service in a thread, started, stopped, and never silently lost."""

from __future__ import annotations

import threading

import pytest
import trio

from testbed.errors import UsageError
from testbed.net.portal import in_thread


def portal_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "testbed-portal"]


async def answer(*, task_status: trio.TaskStatus[str]) -> None:
    task_status.started("ready")
    await trio.sleep_forever()


def test_the_value_is_the_one_that_the_service_was_started_with() -> None:
    """Entering returns when the service is ready, with what it said then."""
    with in_thread(answer) as value:
        assert value == "ready"


def test_leaving_ends_the_thread() -> None:
    """Nothing that was started here outlives the context."""
    with in_thread(answer):
        assert len(portal_threads()) == 1
    assert portal_threads() == []


def test_leaving_lets_the_service_clean_up() -> None:
    """The service is cancelled as trio cancels: its finally blocks run before leaving returns."""
    cleaned = threading.Event()

    async def careful(*, task_status: trio.TaskStatus[None]) -> None:
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            cleaned.set()

    with in_thread(careful):
        assert not cleaned.is_set()
    assert cleaned.is_set()


def test_a_service_that_cannot_start_raises_its_own_error_on_entering() -> None:
    """The caller gets the sentence itself, not a group and not a time-out."""

    async def refuses(*, task_status: trio.TaskStatus[None]) -> None:
        raise UsageError("the port is in use")

    with pytest.raises(UsageError, match="the port is in use"), in_thread(refuses):
        pytest.fail("it must not be entered")
    assert portal_threads() == []


def test_a_service_that_fails_later_is_heard_of_on_leaving() -> None:
    """A crash in the thread is never silent, even where nobody waited for it."""
    go = threading.Event()

    async def crashes(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.to_thread.run_sync(go.wait, 10)
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"), in_thread(crashes):
        go.set()


def test_two_portals_are_independent() -> None:
    """Each has a thread and a loop of its own."""
    with in_thread(answer) as first, in_thread(answer) as second:
        assert (first, second) == ("ready", "ready")
        assert len(portal_threads()) == 2
