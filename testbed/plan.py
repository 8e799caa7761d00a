"""A plan: one concrete run, complete enough to be the bug report.

The law of this module: a plan holds no range, no generator and no reference to anything outside it. The same plan gives
the same run on `simulated`, and the same faults at the same bytes on every other engine that can carry it.
"""

from __future__ import annotations

import enum

from testbed._values import Value
from testbed.errors import UsageError
from testbed.faults.toxics import Toxic
from testbed.script import DialectName, Script
from testbed.trace import Outcome

FORMAT = 1


class Keepalives(str, enum.Enum):
    """Whether comments and pings must re-arm the client's idle time-out."""

    PROGRESS = "progress"
    NO_PROGRESS = "no-progress"
    EITHER = "either"


class ClientSettings(Value):
    """What the client is told. Times in seconds; None leaves the client's own default and judges nothing by it."""

    connect_timeout: float | None = None
    first_byte_timeout: float | None = None
    idle_timeout: float | None = None
    max_retries: int = 0
    keepalives: Keepalives = Keepalives.EITHER
    cancel_at: float | None = None

    def __post_init__(self) -> None:
        for field in ("connect_timeout", "first_byte_timeout", "idle_timeout", "cancel_at"):
            value = getattr(self, field)
            if value is not None and not 0 < value <= 86_400:
                raise UsageError(f"client: {field} is {value}; it must be more than 0 and at most 86400 seconds")
        if not 0 <= self.max_retries <= 20:
            raise UsageError(f"client: max_retries is {self.max_retries}; it must lie between 0 and 20")

    @property
    def first_byte(self) -> float | None:
        """The time-out before the first token: its own, else the idle time-out (one read time-out serves both)."""
        return self.first_byte_timeout if self.first_byte_timeout is not None else self.idle_timeout


class Attempt(Value):
    """What happens to the client's n-th connection: what the server says and what the network does to it."""

    script: Script
    toxics: tuple[Toxic, ...] = ()


class Expect(Value):
    """What narrows the derived judgement. Empty `outcome`: whatever the table derives."""

    outcome: tuple[Outcome, ...] = ()
    may_miss: bool = False  # a fault that never fired is no reason to call the run inconclusive


class Plan(Value, omit_defaults=False):
    """The attempts, what the client is told, and why this is worth asking."""

    scenario: str
    attempts: tuple[Attempt, ...]
    client: ClientSettings = ClientSettings()
    expect: Expect = Expect()
    seed: int = 0  # feeds the toxics that are random by definition, and nothing else
    title: str = ""
    cause: str = ""
    requirement: str = ""
    sources: tuple[str, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise UsageError(f"plan: format is {self.format}; this version reads format {FORMAT}")
        if not self.attempts:
            raise UsageError("plan: it has no attempts; it needs at least one")
        if len({attempt.script.dialect for attempt in self.attempts}) != 1:
            raise UsageError("plan: its attempts speak different dialects; one client speaks one")

    @property
    def dialect(self) -> DialectName:
        """The one dialect of all attempts."""
        return self.attempts[0].script.dialect

    def attempt(self, conn: int) -> Attempt:
        """The attempt for connection number `conn` (from 0); the last one repeats."""
        return self.attempts[min(conn, len(self.attempts) - 1)]
