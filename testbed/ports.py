"""The ports: what an engine, a client adapter and a byte connection must be able to do.

The law of this module: protocols and the values that cross them, no behaviour. An implementation is chosen by name in
:mod:`testbed.runner` and lives in layer 6 or 7; nothing here knows which ones exist.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from testbed._values import Value
from testbed.plan import Keepalives, Plan
from testbed.script import DialectName
from testbed.trace import ClientProfile, Clock, Observation

T = TypeVar("T")


class Recorder(Protocol):
    """Where the three vantage points append what they see. Safe to call from any thread."""

    def now(self) -> int:
        """Microseconds since the run began."""
        ...

    def record(self, observation: Observation) -> None:
        """Append one observation; its `t` is `now()` at the moment of the fact."""
        ...


class ByteConnection(Protocol):
    """One end of a TCP connection, real or in memory, with the powers that trio's streams do not have.

    Every method but `reset` and `close` is a trio checkpoint. One task receives while another sends.
    """

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return the next bytes, b"" at the peer's FIN; raise :class:`ConnectionResetError` at its RST."""
        ...

    async def send(self, data: bytes) -> None:
        """Hand all of `data` to the network in one write where it fits.

        Raise :class:`ConnectionError` if the peer is gone.
        """
        ...

    async def send_eof(self, *, abrupt: bool = False) -> None:
        """Send FIN; receiving goes on. A sealed connection says farewell first (close_notify), unless `abrupt`."""
        ...

    async def drain(self) -> None:
        """Wait until the peer has acknowledged every byte sent (or is gone)."""
        ...

    def reset(self) -> None:
        """Send RST now and close; what is still queued is lost."""
        ...

    def close(self) -> None:
        """Close both directions (FIN). Closing twice is allowed."""
        ...


# `serve(conn, connection)`: play the attempt of connection number `conn` on this end, until the connection is over.
Serve = Callable[[int, ByteConnection], Awaitable[None]]


class Endpoint(Value):
    """Where the client must connect to."""

    host: str
    port: int
    scheme: str = "http"  # https where the plan seals its connections; a network does not look inside

    @property
    def root(self) -> str:
        """The URL without path or final slash."""
        return f"{self.scheme}://{self.host}:{self.port}"


class Engine(Protocol):
    """A network that carries plans."""

    name: str
    clock: Clock

    def unsupported(self, plan: Plan) -> str | None:
        """Say in a sentence why this engine cannot carry the plan exactly, or return None."""
        ...

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run `main` under trio with this engine's clock, and with whatever it needs started and stopped around it."""
        ...

    def network(self, plan: Plan, serve: Serve, recorder: Recorder) -> AbstractAsyncContextManager[Endpoint]:
        """Open a network for one run of `plan`, inside `run`; several may be open at once.

        Connection number n is carried with the toxics of ``plan.attempt(n)``. Leaving the context closes every
        connection and listener. The link observations of :mod:`testbed.trace` are recorded here.
        """
        ...


class Runtime(str, enum.Enum):
    """Where a client's code runs."""

    TRIO = "trio"  # in the engine's own trio loop: simulated
    ASYNCIO = "asyncio"  # an event loop in a thread of its own
    THREAD = "thread"  # blocking code in a thread of its own
    PROCESS = "process"


class Target(Value):
    """What a client under test is told. Times in seconds; `request` is the body of the call as keyword arguments."""

    # What the dialect's SDK wants: with /v1 for openai-chat, bare for anthropic-messages, all of it for eventsource.
    base_url: str
    dialect: DialectName
    model: str = "testbed-1"
    api_key: str = "sk-testbed"
    request: Mapping[str, object] = {}
    connect_timeout: float | None = None
    first_byte_timeout: float | None = None
    idle_timeout: float | None = None
    max_retries: int = 0
    ca: str | None = None  # for an https URL: a PEM file with the one authority to trust
    # Where to ask when this address fails, and for which model; empty: there is nowhere else.
    fallback_url: str = ""
    fallback_model: str = ""
    keepalives: Keepalives = Keepalives.EITHER  # whether signs of life are progress
    max_event_bytes: int | None = None  # a longer event is refused as soon as it is known to be longer
    pace: float | None = None  # how long the caller takes over each item; who drives the client sees to it


class ClientAdapter(Protocol):
    """A client under test, ready to be driven."""

    profile: ClientProfile
    runtimes: frozenset[Runtime]

    async def drive(self, target: Target, runtime: Runtime, recorder: Recorder, cancel_at: float | None) -> None:
        """Call the client and record what its caller sees, from Started to Ended, Raised or Cancelled.

        Runs under trio. Never raises for what the client does; when cancelled from outside (the run's deadline) it
        stops the client, records ``Cancelled(planned=False)`` and lets the cancellation pass. `cancel_at`: seconds
        after the start at which the caller loses interest; the adapter then cancels the client and records
        ``Cancelled(planned=True)``.
        """
        ...
