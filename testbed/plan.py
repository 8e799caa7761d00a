"""A plan: one concrete run, complete enough to be the bug report.

The law of this module: a plan holds no range, no generator and no reference to anything outside it. The same plan gives
the same run on `simulated`, and the same faults at the same bytes on every other engine that can carry it.
"""

from __future__ import annotations

import enum

from msgspec import structs

from testbed._values import Value
from testbed.errors import UsageError
from testbed.faults.toxics import Toxic
from testbed.script import DialectName, Script
from testbed.trace import FALLBACK, Cure, Outcome

FORMAT = 1

# Messages and bytes that a request may have in it; the server takes bodies up to 16 MB.
MOST_HISTORY, MOST_ATTACHMENT = 20_000, 8_000_000

# A limit below what an ordinary event takes would refuse ordinary answers.
LEAST_LIMIT = 4096


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
    # How much it asks: earlier messages, and bytes of a file inside the prompt.
    history: int = 0
    attachment: int = 0
    # How long its caller takes over each item before it asks for the next, and how long one event may be.
    pace: float | None = None
    max_event_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in ("connect_timeout", "first_byte_timeout", "idle_timeout", "cancel_at", "pace"):
            value = getattr(self, field)
            if value is not None and not 0 < value <= 86_400:
                raise UsageError(f"client: {field} is {value}; it must be more than 0 and at most 86400 seconds")
        if not 0 <= self.max_retries <= 20:
            raise UsageError(f"client: max_retries is {self.max_retries}; it must lie between 0 and 20")
        if self.max_event_bytes is not None and self.max_event_bytes < LEAST_LIMIT:
            raise UsageError(f"client: max_event_bytes is {self.max_event_bytes}; it must be at least {LEAST_LIMIT}")
        for field, most in (("history", MOST_HISTORY), ("attachment", MOST_ATTACHMENT)):
            value = getattr(self, field)
            if not 0 <= value <= most:
                raise UsageError(f"client: {field} is {value}; it must lie between 0 and {most}")

    @property
    def first_byte(self) -> float | None:
        """The time-out before the first token: its own, else the idle time-out (one read time-out serves both)."""
        return self.first_byte_timeout if self.first_byte_timeout is not None else self.idle_timeout


class Certificate(str, enum.Enum):
    """What the server shows of itself under TLS. Only the first is one that a client may go on with."""

    VALID = "valid"  # for localhost, 127.0.0.1 and ::1, from the authority that the client is told to trust
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_HOST = "wrong-host"
    UNKNOWN_AUTHORITY = "unknown-authority"


class Handshake(str, enum.Enum):
    """What the server answers to the client's first TLS message (RFC 8446, section 4.1.2)."""

    COMPLETE = "complete"
    ALERT = "alert"  # the fatal alert handshake_failure, then FIN
    CLOSE = "close"  # FIN without a word
    RESET = "reset"  # RST without a word
    SILENCE = "silence"  # nothing, until the client leaves
    GARBAGE = "garbage"  # an HTTP answer in the clear, then FIN: a plain server behind a TLS port


class TlsVersion(str, enum.Enum):
    """The versions that a server of today speaks."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


class Tls(Value):
    """The connection is sealed by TLS, with a certificate made at run time. `version` None: the newest both speak."""

    certificate: Certificate = Certificate.VALID
    handshake: Handshake = Handshake.COMPLETE
    version: TlsVersion | None = None

    def __post_init__(self) -> None:
        if self.handshake is not Handshake.COMPLETE and self.certificate is not Certificate.VALID:
            raise UsageError(
                f"tls: certificate is {self.certificate.value}, but nobody sees it where handshake is"
                f" {self.handshake.value}; leave one of them out"
            )

    @property
    def works(self) -> bool:
        """Whether a right client comes through to the answer."""
        return self.handshake is Handshake.COMPLETE and self.certificate is Certificate.VALID


class Attempt(Value):
    """What happens to the client's n-th connection: what the server says and what the network does to it.

    `tls` seals what the server says; the network then sees, counts and strikes sealed bytes, the handshake included.
    """

    script: Script
    toxics: tuple[Toxic, ...] = ()
    tls: Tls | None = None


class Purpose(str, enum.Enum):
    """Which request a plan's attempts answer; the server answers the other kind by itself."""

    STREAM = "stream"  # the request for a stream of tokens; an upload gets a plain right answer
    UPLOAD = "upload"  # the upload of a file; a request for a stream is refused


class Window(str, enum.Enum):
    """How what was used of a quota comes back."""

    BUCKET = "bucket"  # evenly, all the time: a token bucket that is full at first
    FIXED = "fixed"  # all at once, when the window that began with the first request is over


class Quota(Value):
    """What one API key may use within `seconds`, on all its connections together; None is without a limit.

    A request that does not fit is answered by 429 and told how long to wait; it plays no attempt.
    """

    requests: int | None = None
    tokens: int | None = None
    seconds: float = 60.0
    window: Window = Window.BUCKET

    def __post_init__(self) -> None:
        if self.requests is None and self.tokens is None:
            raise UsageError("quota: it limits nothing; it needs requests, tokens or both")
        for field in ("requests", "tokens"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise UsageError(f"quota: {field} is {value}; it must be at least 1")
        if not 0.001 <= self.seconds <= 86_400:
            raise UsageError(f"quota: seconds is {self.seconds}; it must lie between 0.001 and 86400 (a day)")


class Expect(Value):
    """What narrows the derived judgement. Empty `outcome`: whatever the table derives.

    `cures`: what a client must show that is otherwise no more than a remark, such as chance in its back-off.
    """

    outcome: tuple[Outcome, ...] = ()
    may_miss: bool = False  # a fault that never fired is no reason to call the run inconclusive
    cures: tuple[Cure, ...] = ()


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
    bugs: tuple[str, ...] = ()  # entries of the corpus of field bugs, by their number
    tested: Purpose = Purpose.STREAM
    quota: Quota | None = None
    body_limit: int | None = None  # bytes; a longer request body is answered by 413 (None: the server's own bound)
    fallback: tuple[Attempt, ...] = ()  # what answers at a second address, of which the client is told; none: no such
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise UsageError(f"plan: format is {self.format}; this version reads format {FORMAT}")
        if self.body_limit is not None and self.body_limit < 0:
            raise UsageError(f"plan: body_limit is {self.body_limit}; it must be at least 0 bytes")
        if not self.attempts:
            raise UsageError("plan: it has no attempts; it needs at least one")
        every = (*self.attempts, *self.fallback)
        if len({attempt.script.dialect for attempt in every}) != 1:
            raise UsageError("plan: its attempts speak different dialects; one client speaks one")
        if self.dialect is DialectName.EVENTSOURCE and (self.client.history or self.client.attachment):
            raise UsageError("client: an eventsource is asked without a body; leave out history and attachment")
        if len({attempt.tls is None for attempt in every}) != 1:
            raise UsageError("plan: only some of its attempts have tls; one address is https for all or for none")

    @property
    def dialect(self) -> DialectName:
        """The one dialect of all attempts."""
        return self.attempts[0].script.dialect

    def sealed_by(self, tls: Tls) -> Plan:
        """The same plan at an https address: what is said in the clear is sealed by `tls`."""
        return structs.replace(self, attempts=_sealed(self.attempts, tls), fallback=_sealed(self.fallback, tls))

    @property
    def sealed(self) -> bool:
        """Whether the client is given an https address."""
        return self.attempts[0].tls is not None

    def attempt(self, conn: int) -> Attempt:
        """The attempt for connection number `conn` (from 0, and from FALLBACK at the second address).

        The last one repeats.
        """
        if conn >= FALLBACK and self.fallback:
            return self.fallback[min(conn - FALLBACK, len(self.fallback) - 1)]
        return self.attempts[min(conn, len(self.attempts) - 1)]

    @property
    def second(self) -> Plan | None:
        """What is played at the second address, as a plan of its own whose connections are counted from 0."""
        if not self.fallback:
            return None
        # A quota is kept by one server for its own callers.
        return structs.replace(self, attempts=self.fallback, fallback=(), quota=None)


def _sealed(attempts: tuple[Attempt, ...], tls: Tls) -> tuple[Attempt, ...]:
    return tuple(one if one.tls is not None else structs.replace(one, tls=tls) for one in attempts)
