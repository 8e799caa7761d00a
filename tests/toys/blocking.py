"""The rules on a plain blocking socket, in a thread of its own.

The law of this module: every wait on the socket has the time-out that the rules gave it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from urllib.parse import urlsplit

from testbed.adapters.items import Item
from testbed.ports import Target
from tests.toys.rules import Connect, HangUp, Receive, Rules, Send, Show, Sleep, Step

READ = 4096
ENDLESS = 3600.0  # sleeping for ever would keep the process from ending


class Blocking(Rules):
    """One call in a thread."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.started = self.now()
        self.wire: socket.socket | None = None

    def now(self) -> float:
        return time.monotonic()

    def run(self) -> Generator[Item, None, None]:
        """Do what the rules say, step by step."""
        steps = self.call()
        answer: bytes | None = None
        trouble: OSError | None = None
        try:
            while True:
                try:
                    step = steps.send(answer) if trouble is None else steps.throw(trouble)
                except StopIteration:
                    return
                answer, trouble = None, None
                if isinstance(step, Show):
                    yield step.item
                    continue
                try:
                    answer = self.do(step)
                except OSError as error:  # the rules know what it means
                    trouble = error
        finally:
            if self.wire is not None:
                self.hang_up(self.wire, cancelled=True)

    def do(self, step: Step) -> bytes | None:
        """One step."""
        if isinstance(step, Sleep):
            time.sleep(min(step.seconds, ENDLESS))
        elif isinstance(step, Connect):
            self.wire = self.open(step.timeout)
        elif self.wire is not None and isinstance(step, HangUp):
            wire, self.wire = self.wire, None
            self.hang_up(wire, cancelled=False)
        elif self.wire is not None and isinstance(step, Send):
            self.wire.settimeout(step.timeout)
            self.wire.sendall(step.data)
        elif self.wire is not None and isinstance(step, Receive):
            self.wire.settimeout(step.timeout)
            return self.wire.recv(READ)
        return None

    def open(self, timeout: float | None) -> socket.socket:
        """Open a connection."""
        url = urlsplit(self.target.base_url)
        host = url.hostname or ""
        wire = socket.create_connection((host, url.port or 80), timeout)
        if url.scheme != "https":
            return wire
        try:
            return self.trust().wrap_socket(wire, server_hostname=host, suppress_ragged_eofs=False)
        except BaseException:
            wire.close()
            raise

    def hang_up(self, wire: socket.socket, *, cancelled: bool) -> None:
        """Close it. `cancelled`: the call is not over."""
        wire.close()
