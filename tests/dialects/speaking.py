"""A server on the loopback that speaks one dialect to a real client: asides, refusals, and scripts one after another.

It is small and has nothing of the testbed's own server but the dialect and the program, which are what is tested here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import h11

from testbed.dialects import DIALECTS, Answer, Asked
from testbed.http1 import CLOSE, content_length, head
from testbed.program import Close, Write, compile_script
from testbed.script import Ending, Script

BOUND = 20.0  # seconds: no wait of these tests is longer


@dataclass
class Speaker:
    """The server while it runs. Each list is in the order in which its requests came."""

    scripts: tuple[Script, ...]
    root: str = ""
    played: list[Asked] = field(default_factory=list)
    asides: list[Asked] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # the bodies of the answers
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, asked: Asked) -> Script | Answer:
        """Choose what to say; the last script repeats."""
        with self._lock:
            script = self.scripts[min(len(self.played), len(self.scripts) - 1)]
            dialect = DIALECTS[script.dialect]
            asked = asked._replace(quirks=frozenset(script.quirks))
            if (answer := dialect.aside(asked)) is not None:
                self.asides.append(asked)
                return answer
            if (answer := dialect.refuse(asked)) is not None:
                self.refused.append(answer.body)
                return answer
            self.played.append(asked)
            return dialect.resume(script, asked)


@contextlib.contextmanager
def speaking(*scripts: Script) -> Iterator[Speaker]:
    """Serve until the block ends, a thread a connection."""
    speaker = Speaker(scripts)
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        speaker.root = f"http://127.0.0.1:{listener.getsockname()[1]}"
        threads.append(threading.Thread(target=_accept, args=(listener, speaker, threads), daemon=True))
        threads[0].start()
        try:
            yield speaker
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(BOUND)
    assert not any(thread.is_alive() for thread in threads)


def _accept(listener: socket.socket, speaker: Speaker, threads: list[threading.Thread]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        thread = threading.Thread(target=_serve, args=(connection, speaker), daemon=True)
        threads.append(thread)
        thread.start()


def _serve(connection: socket.socket, speaker: Speaker) -> None:
    # A client may leave before the end; that is its right, and no failure of the server.
    with connection, contextlib.suppress(ConnectionError):
        connection.settimeout(BOUND)
        asked = _read(connection)
        if asked is None:
            return
        said = speaker.script(asked)
        if isinstance(said, Answer):
            connection.sendall(_plain(said))
        else:
            _play(connection, said)


def _play(connection: socket.socket, script: Script) -> None:
    for operation in compile_script(script):
        if isinstance(operation, Write):
            connection.sendall(operation.data)
        elif isinstance(operation, Close) and operation.how is Ending.RST:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif isinstance(operation, Close) and operation.how is Ending.OPEN:
            while connection.recv(65536):  # until the client leaves
                pass


def _plain(answer: Answer) -> bytes:
    body = answer.body.encode()
    fields = [*answer.headers, CLOSE]
    if body:
        fields.append(("Content-Type", answer.content_type))
    if answer.status != 204:
        fields.append(content_length(len(body)))
    return head(answer.status, fields) + body


def _read(connection: socket.socket) -> Asked | None:
    reader = h11.Connection(h11.SERVER)
    request, body = None, b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            data = connection.recv(65536)
            if not data and request is None:
                return None  # the client opened the connection for nothing
            reader.receive_data(data)
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
    assert request is not None
    headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
    path, _, query = request.target.decode().partition("?")
    return Asked(request.method.decode(), path, query, headers, body)
