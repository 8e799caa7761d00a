"""Call a shipped client once against a closed door, before anyone looks at the clock.

The law of this module: nothing is recorded and nothing depends on the outcome. Libraries put off many imports until
their first request; without this the first run of a process would show a client that is some 0.3 s slower than it is,
on a loaded machine a second.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from contextlib import aclosing, suppress
from typing import Any

from testbed.adapters.declare import FunctionClient
from testbed.dialects import DIALECTS
from testbed.ports import Runtime, Target

# Imports take as long as the disk does; a rehearsal that takes longer than this is left to itself.
_PATIENCE = 20.0


@functools.cache  # once a process
def rehearse(client: FunctionClient) -> None:
    """Let `client` fail to connect once, in a thread of its own (the caller may be inside an event loop)."""
    with socket.socket() as closed_door:
        # Bound and not listening: the port is ours, and refuses.
        closed_door.bind(("127.0.0.1", 0))
        dialect = client.profile.dialects[0]
        url = f"http://127.0.0.1:{closed_door.getsockname()[1]}"
        request = DIALECTS[dialect].request("testbed-1")
        target = Target(base_url=url, dialect=dialect, request=request, connect_timeout=1.0, idle_timeout=1.0)
        play = _play_async if Runtime.ASYNCIO in client.runtimes else _play_sync
        thread = threading.Thread(target=play, args=(client, target), name="testbed-rehearsal", daemon=True)
        thread.start()
        thread.join(_PATIENCE)


def _play_async(client: FunctionClient, target: Target) -> None:
    async def play() -> None:
        async with aclosing(client(target)) as items:
            async for _ in items:
                pass

    _quietly(lambda: asyncio.run(play()))


def _play_sync(client: FunctionClient, target: Target) -> None:
    _quietly(lambda: list(client(target)))


def _quietly(play: Any) -> None:
    with suppress(Exception):  # it fails by design, and every client in its own way
        play()
