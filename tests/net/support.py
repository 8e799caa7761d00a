"""What the tests of network and server share: a recorder that can be asked, and raw requests."""

from __future__ import annotations

from typing import TypeVar

import trio

from testbed.dialects import DIALECTS
from testbed.plan import Attempt, Plan
from testbed.ports import ByteConnection
from testbed.program import Write, compile_script
from testbed.runner import TraceRecorder
from testbed.script import DialectName, Done, End, Ending, Finish, Head, Open, Script, Step, Text
from testbed.trace import ClientProfile, Clock, Header, Observation

Seen = TypeVar("Seen", bound=Observation)


class Log:
    """A recorder that answers questions. Times are trio's, so it serves real and virtual clocks."""

    def __init__(self) -> None:
        self._recorder = TraceRecorder(Clock.VIRTUAL)

    def now(self) -> int:
        """Microseconds since the log was made."""
        return self._recorder.now()

    def record(self, observation: Observation) -> None:
        """Append one observation."""
        self._recorder.record(observation)

    def all(self) -> tuple[Observation, ...]:
        """Everything so far, by time."""
        profile = ClientProfile(name="raw", dialects=())
        return self._recorder.trace(Header(plan="", engine="", clock=Clock.VIRTUAL, client=profile)).observations

    def of(self, kind: type[Seen]) -> list[Seen]:
        """All observations of one kind."""
        return [seen for seen in self.all() if isinstance(seen, kind)]

    def kinds(self) -> list[str]:
        """The names of all kinds in order, repetitions left out."""
        names = [type(seen).__name__ for seen in self.all()]
        return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


BODY = b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}'


def post(path: str = "/v1/chat/completions", body: bytes = BODY, content_type: str = "application/json") -> bytes:
    """A raw request as an SDK would send it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: testbed\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def chat(*middle: Step, how: Ending = Ending.CLEAN) -> Script:
    """A whole answer of openai-chat with `middle` between its opening and its end."""
    return Script(DialectName.OPENAI_CHAT, (Head(), Open(), *middle, Finish(), Done(), End(how)))


def plan_of(*attempts: Attempt | Script) -> Plan:
    """A plan of these attempts."""
    return Plan(scenario="test", attempts=tuple(a if isinstance(a, Attempt) else Attempt(script=a) for a in attempts))


def wire_of(script: Script) -> bytes:
    """Every byte that the script puts on the wire."""
    return b"".join(operation.data for operation in compile_script(script) if isinstance(operation, Write))


HELLO = chat(Text("Hello"), Text(", wörld"))
PATHS = {name: dialect.path for name, dialect in DIALECTS.items()}


async def read_all(end: ByteConnection) -> tuple[bytes, str]:
    """Everything up to the end of the stream, and which end it was."""
    seen = bytearray()
    try:
        while data := await end.receive():
            seen += data
    except ConnectionError:
        return bytes(seen), "reset"
    return bytes(seen), "fin"


async def read_socket(stream: trio.SocketStream) -> tuple[bytes, str]:
    """As `read_all`, for a client that is nothing but a socket."""
    seen = bytearray()
    try:
        async for data in stream:
            seen += data
    except trio.BrokenResourceError:
        return bytes(seen), "reset"
    return bytes(seen), "fin"
