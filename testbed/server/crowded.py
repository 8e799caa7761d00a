"""Serving a plan to a crowd, in a program that runs trio.

The law of this module: only a plan that a crowd plays to the byte is served by one
(:func:`testbed.server.crowd.crowds`); any other is a usage error.
"""

from __future__ import annotations

import trio

from testbed.errors import UsageError
from testbed.net.crowd import Watch, nobody
from testbed.net.crowd_stream import USUAL, Limits
from testbed.net.crowd_task import run
from testbed.net.listener import endpoint_of, listen
from testbed.plan import Plan
from testbed.server.crowd import clock, crowds, host_of


async def serve_crowd(
    plan: Plan,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    watch: Watch = nobody,
    limits: Limits = USUAL,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Play a plan to any number of clients until cancelled. Started with the root of the URL.

    `watch` gives the recorder of a connection, by its number from 0. Raises :class:`UsageError` if the address cannot
    be had, or for a plan that needs a network.
    """
    if not crowds(plan):
        raise UsageError("plan: it has toxics, TLS or a script that keeps its connection; a crowd has no network to it")
    served = host_of(plan, clock)
    with await listen(host, port) as listener:
        task_status.started(endpoint_of(listener).root)
        await run(served, listener, watch=watch, limits=limits)
