"""A stage for a rehearsal: a server of a few lines that gives every request one whole answer.

The law of this module: it is gone, with every thread and socket, before anything is measured. It knows one answer and
no sessions; a client that needs more sees its rehearsal fail, which does no harm.
"""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from typing import final

from msgspec import structs

from testbed.dialects import DIALECTS
from testbed.ports import Target
from testbed.script import DialectName, Done, Finish, Message, Open, Step, Text

_WHOLE: tuple[Step, ...] = (Open(), Text("one "), Text("two"), Finish(), Done())
_EVENTS: tuple[Step, ...] = (Message("one"), Message("two"))
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_QUIET = 2.0  # seconds that a client may be silent


@final
class Stage:
    """Serves until the block ends; the value is the target of a rehearsal."""

    def __init__(self, target: Target) -> None:
        about = DIALECTS[target.dialect]
        steps = _EVENTS if target.dialect is DialectName.EVENTSOURCE else _WHOLE
        body = b"".join(event for step in about.encode(steps) for event in step)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {about.content_type}\r\nContent-Length: {len(body)}\r\n"
        self._answer = f"{head}Connection: close\r\n\r\n".encode() + body
        self._listener = socket.create_server(("127.0.0.1", 0))
        root = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        # Nothing of the plan's own settings: they are for its own trouble.
        self._target = structs.replace(
            target, base_url=root + about.base_path, ca=None, pace=None, max_retries=0, fallback_url=""
        )
        self._thread = threading.Thread(target=self._serve, name="testbed-stage", daemon=True)

    def __enter__(self) -> Target:
        self._thread.start()
        return self._target

    def __exit__(self, *_: object) -> None:
        # A thread in accept is woken by a shutdown on Linux alone, and by a caller everywhere.
        self._over = True
        with suppress(OSError), socket.create_connection(self._listener.getsockname(), timeout=_QUIET):
            pass
        self._thread.join(_QUIET)
        self._listener.close()

    _over = False

    def _serve(self) -> None:
        with suppress(OSError):
            while not self._over:
                caller, _ = self._listener.accept()
                with caller, suppress(OSError):
                    caller.settimeout(_QUIET)
                    if not self._over and _request(caller):
                        caller.sendall(self._answer)


def _request(caller: socket.socket) -> bool:
    """Read one request to its end, so that closing does not reset the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := caller.recv(65536)):
            return False
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    missing = int(length[1]) - len(rest) if length else 0
    while missing > 0:
        if not (piece := caller.recv(65536)):
            return False
        missing -= len(piece)
    return True
