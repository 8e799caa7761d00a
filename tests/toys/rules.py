"""A correct client of all seven dialects without a network: every decision is a method, and a defect overrides one.

The law of this module: a call is a generator of steps (connect, send, receive, sleep, show); who drives it does what it
says and gives back what came of it. So one defect can be planted in a client on trio, on asyncio and on plain blocking
sockets alike.
"""

from __future__ import annotations

import email.utils
import json
import random
import ssl
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, ClassVar, NamedTuple, Union

import h11

from testbed import sse
from testbed.adapters.items import Finish, Item
from testbed.plan import Keepalives
from testbed.ports import Target
from testbed.script import DialectName, Terminal
from tests.toys import readings, requests
from tests.toys.errors import (
    QUOTA_CODES,
    Broken,
    ConnectFailed,
    FirstByteTimeout,
    IdleTimeout,
    Incomplete,
    NotAStream,
    Provider,
    Reset,
    Status,
    ToyError,
    Undecodable,
)
from tests.toys.sealed import trusting

RETRYABLE = frozenset({408, 409, 429, *range(500, 600)})
RETRY_AFTER_MOST = 60.0
PAGE_MOST = 65_536
PIECES = 512
EVENT_MOST = 64 * 1024 * 1024


class Connect(NamedTuple):
    """Open a connection."""

    timeout: float | None


class Send(NamedTuple):
    """Send all of this."""

    data: bytes
    timeout: float | None


class Receive(NamedTuple):
    """Give back the next bytes, b"" at the end."""

    timeout: float | None


class HangUp(NamedTuple):
    """Close the connection."""


class Sleep(NamedTuple):
    """Wait."""

    seconds: float


class Show(NamedTuple):
    """Let the caller see this."""

    item: Item


Step = Union[Connect, Send, Receive, HangUp, Sleep, Show]
Steps = Generator[Step, Any, None]


class Rules:
    """One call."""

    readings: ClassVar[Mapping[DialectName, type[readings.Reading]]] = readings.READINGS

    def __init__(self, target: Target) -> None:
        self.target = target
        self.shown = ""  # what the caller has seen, over all attempts
        self.seen = False  # whether that, or an event, is anything at all
        self.complete = False
        self.session = ""  # of MCP
        self.retry = 0
        self.parser = self.make_parser()
        self.reading = self.readings[target.dialect]()
        self.http = h11.Connection(h11.CLIENT)
        self.status = 0
        self.fields: dict[str, str] = {}
        self.page = b""
        self.unfinished = 0  # bytes since the last event

    def now(self) -> float:
        """Seconds on the driver's clock."""
        raise AssertionError("every driver has its own")

    @property
    def is_eventsource(self) -> bool:
        """Whether the protocol knows no end."""
        return self.target.dialect is DialectName.EVENTSOURCE

    # --- the call -----------------------------------------------------------------------------------------------------

    def call(self) -> Steps:
        """The whole call, retries included."""
        for retry in range(self.target.max_retries + 1):
            trouble: ToyError | None = None
            self.retry, last = retry, retry == self.target.max_retries
            try:
                yield from self.attempt()
            except ToyError as error:
                yield HangUp()
                if last or not self.may_retry(error):
                    raise
                trouble = error
            else:
                yield HangUp()
            if self.complete or last:
                return
            yield Sleep(self.pause(trouble, retry))

    def attempt(self) -> Steps:
        """One request and its answer."""
        asked = self.asks()
        self.begin()
        yield from self.connect()
        if self.target.dialect is DialectName.MCP and not self.session:
            yield from self.shake_hands()
        yield from self.send(asked)
        try:
            yield from self.answer()
        except ToyError as error:
            if not self.forgives(error):
                raise
        for item in self.flush():
            yield from self.tell(item)
        yield from self.end()

    def answer(self) -> Steps:
        """Show the answer as it arrives."""
        over = False
        while not over:
            pieces, over = yield from self.pieces()
            items, trouble = self.digest(pieces)
            for item in self.show(items):
                yield from self.tell(item)
            if trouble is not None:
                raise trouble
            over = over or self.is_over()

    def end(self) -> Steps:
        """The body is over."""
        self.judge_end()
        return
        yield

    def tell(self, item: Item) -> Steps:
        """Show one item."""
        if isinstance(item, str):
            self.shown += item
        self.seen = self.seen or not (item == "" or isinstance(item, Finish))
        yield Show(item)

    # --- the connection -----------------------------------------------------------------------------------------------

    def connect(self) -> Steps:
        """Open a connection."""
        try:
            yield Connect(self.connect_timeout())
        except OSError as error:
            raise ConnectFailed(str(error)) from error

    def trust(self) -> ssl.SSLContext:
        """Whom to believe that it is the server."""
        return trusting(self.target.ca)

    def connect_timeout(self) -> float | None:
        """How long connecting may take."""
        told = self.target.connect_timeout
        return self.target.first_byte_timeout if told is None else told

    def asks(self) -> requests.Asked:
        """The request: for the answer, or for the rest of it."""
        known = self.parser.last_event_id
        if self.target.dialect is DialectName.MCP and self.session and known:
            return requests.resumed(self.target, known)
        if isinstance(self.reading, readings.Responses) and self.reading.id:
            return requests.retrieved(self.reading.id, self.reading.number)
        asked = requests.asks(self.target)
        if self.is_eventsource and known:
            asked = asked._replace(fields=(*asked.fields, ("Last-Event-ID", known)))
        return asked

    def begin(self) -> None:
        """Forget the attempt before, but for what a client resumes from."""
        if not self.can_resume():
            self.reading = self.readings[self.target.dialect]()
        self.parser.eof()
        self.heard_at = self.now()
        self.http = h11.Connection(h11.CLIENT)
        self.status, self.fields, self.page, self.unfinished = 0, {}, b"", 0

    def send(self, asked: requests.Asked) -> Steps:
        """Send a request; the last one of a connection says so."""
        close = self.target.dialect is not DialectName.MCP
        data = requests.write(self.http, self.target, asked, session=self.session, close=close)
        yield from self.explained(Send(data, self.patience()))

    def shake_hands(self) -> Steps:
        """What MCP asks before the first call."""
        for asked in (requests.initialize(), requests.initialized()):
            yield from self.send(asked)
            over = False
            while not over:
                pieces, over = yield from self.pieces()
                self.page += b"".join(pieces)
            if self.status not in {200, 202}:
                raise self.refusal()
            self.session = self.fields.get("mcp-session-id", self.session)
            self.status, self.page = 0, b""
            yield from self.next_request()

    def next_request(self) -> Steps:
        """Make ready for another request: on the same connection where that is kept."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return
        yield HangUp()
        self.http = h11.Connection(h11.CLIENT)
        yield from self.connect()

    def explained(self, step: Step) -> Generator[Step, Any, bytes]:
        """Do what the network is asked for, and say in our own classes what goes wrong."""
        try:
            received: bytes = yield step
        except TimeoutError as error:
            raise self.timed_out() from error
        except OSError as error:
            raise self.explain(error) from error
        return received

    def pieces(self) -> Generator[Step, Any, tuple[list[bytes], bool]]:
        """The pieces of the body in one read of the network, and whether they are the last."""
        data = yield from self.explained(Receive(self.patience()))
        self.http.receive_data(self.heard(data))
        pieces: list[bytes] = []
        while True:
            event = self.next_event()
            if isinstance(event, h11.Response):
                self.check_head(event)
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif not isinstance(event, h11.InformationalResponse):
                return pieces, isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed))

    def heard(self, data: bytes) -> bytes:
        """The bytes of one read."""
        return data

    def next_event(self) -> object:
        """What HTTP makes of the bytes."""
        try:
            return self.http.next_event()
        except h11.RemoteProtocolError as error:
            raise Broken(str(error)) from error

    def patience(self) -> float | None:
        """How long the next read may take."""
        limit = self.target.idle_timeout if self.seen else self.target.first_byte_timeout
        if limit is None or self.target.keepalives is not Keepalives.NO_PROGRESS:
            return limit
        return max(0.001, self.heard_at + limit - self.now())

    def timed_out(self) -> Exception:
        """Silence for longer than that."""
        return IdleTimeout() if self.seen else FirstByteTimeout()

    def explain(self, error: OSError) -> Exception:
        """What the operating system's word means, or that of TLS."""
        return Broken(str(error)) if isinstance(error, ssl.SSLError) else Reset(str(error))

    # --- the answer ---------------------------------------------------------------------------------------------------

    def check_head(self, head: h11.Response) -> None:
        """Look at status and fields; the page of an error status is read for its code."""
        self.heard_at = self.now()
        self.status = head.status_code
        self.fields = {bytes(name).decode(): bytes(value).decode("latin-1") for name, value in head.headers}
        if self.status == 200:
            self.check_type(self.fields.get("content-type", ""))

    def check_type(self, content_type: str) -> None:
        """Only a stream is a stream."""
        if self.target.dialect is DialectName.MCP and not self.session:
            return  # the handshake is answered in plain JSON
        wanted = "application/x-ndjson" if self.target.dialect is DialectName.OLLAMA else "text/event-stream"
        if content_type.partition(";")[0].strip().lower() != wanted:
            raise NotAStream(f"the content type is {content_type!r}")
        if self.fields.get("content-encoding", "identity") != "identity":
            raise NotAStream("the body has a coding that was not asked for")

    def make_parser(self) -> Any:
        """What cuts the body into events."""
        return readings.Lines() if self.target.dialect is DialectName.OLLAMA else sse.Parser()

    def digest(self, pieces: Iterable[bytes]) -> tuple[list[Item], ToyError | None]:
        """What one read of the network brings, and what is wrong behind that."""
        items: list[Item] = []
        try:
            for piece in pieces:
                if self.status == 200:
                    items.extend(self.read(piece))
                else:
                    self.page = (self.page + piece)[:PAGE_MOST]
        except ToyError as error:
            return items, error
        return items, None

    def read(self, piece: bytes) -> Iterator[Item]:
        """The items of the events that this piece completes."""
        events = self.parser.feed(piece)
        self.unfinished = 0 if events else self.unfinished + len(piece)
        if self.unfinished > (self.target.max_event_bytes or EVENT_MOST):
            raise Broken("an event has no end")
        for event in events:
            self.hear(event)
            yield from self.items(event)

    def hear(self, event: sse.Event) -> None:
        """Note when something came that is more than a sign of life."""
        if getattr(event, "type", "") not in {"ping", "keepalive"}:
            self.heard_at = self.now()

    def items(self, event: sse.Event) -> Iterator[Item]:
        """What the caller sees of one event. What stands behind the end is no part of the answer."""
        if self.reading.terminal is not Terminal.HARD:
            yield from self.reading.items(event)

    def show(self, items: list[Item]) -> Iterable[Item]:
        """The items of one network read, cut for the caller: text by character, where it is not very long."""
        for item in items:
            if isinstance(item, str):
                width = 1 + len(item) // PIECES
                yield from (item[start : start + width] for start in range(0, len(item), width))
            else:
                yield item

    def flush(self) -> Iterable[Item]:
        """What is still to be shown at the end."""
        return ()

    def is_over(self) -> bool:
        """Whether nothing more is to come, whatever the connection does."""
        return self.reading.terminal is Terminal.HARD

    def forgives(self, error: ToyError) -> bool:
        """Whether trouble does no harm: the status says more, or the model has finished."""
        if not isinstance(error, (Reset, Broken, IdleTimeout, FirstByteTimeout)):
            return False
        return self.status not in {0, 200} or self.reading.terminal is not Terminal.NONE

    def judge_end(self) -> None:
        """Tell a whole answer from half of one."""
        if self.is_eventsource and self.status == 204:
            self.complete = True
        elif self.status != 200:
            raise self.refusal()
        elif self.reading.terminal is not Terminal.NONE:
            self.complete = True
        elif not self.is_eventsource:
            raise Incomplete

    def refusal(self) -> Status:
        """The error of an error status."""
        return Status(self.status, self.retry_after(), self.code())

    def code(self) -> str | None:
        """The provider's code in the page of an error."""
        try:
            error = json.loads(self.page)["error"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return readings.provider(error).code

    # --- retries ------------------------------------------------------------------------------------------------------

    def can_resume(self) -> bool:
        """Whether another request would bring the rest and nothing twice."""
        if isinstance(self.reading, readings.Responses):
            return bool(self.reading.id)
        if self.target.dialect is DialectName.MCP:
            return bool(self.session and self.parser.last_event_id)
        return self.is_eventsource

    def may_retry(self, error: ToyError) -> bool:
        """Whether the same request may be sent again."""
        if self.seen and not self.can_resume():
            return False
        if isinstance(error, Status):
            return self.may_retry_status(error)
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return False
        return not isinstance(error, (Provider, NotAStream, Undecodable))

    def may_retry_status(self, error: Status) -> bool:
        """Whether a status may pass, and soon enough."""
        if error.code in QUOTA_CODES or (error.retry_after or 0.0) > RETRY_AFTER_MOST:
            return False
        return error.status_code in RETRYABLE

    def pause(self, error: ToyError | None, retry: int) -> float:
        """Seconds before retry number `retry`, from 0."""
        asked = getattr(error, "retry_after", None)
        if asked:
            return float(asked)
        if self.parser.retry is not None:
            return float(min(self.parser.retry / 1000, RETRY_AFTER_MOST))
        return self.back_off(retry)

    def back_off(self, retry: int) -> float:
        """Our own opinion: doubling, and a little chance so that not all clients come back at once."""
        return float(min(8.0, 0.5 * 2**retry) * (1 - random.random() / 4))

    def retry_after(self) -> float | None:
        """What the server asks, in any of its three forms."""
        for read in (self.asked_ms, self.asked_seconds, self.asked_date):
            if (wait := read()) is not None:
                return wait
        return None

    def asked_ms(self) -> float | None:
        """The finest form."""
        text = self.fields.get("retry-after-ms", "").strip()
        return int(text) / 1000 if text.isdigit() else None

    def asked_seconds(self) -> float | None:
        """The usual form."""
        text = self.fields.get("retry-after", "").strip()
        try:
            wait = float(text)
        except ValueError:
            return None
        return wait if wait >= 0 else None

    def asked_date(self) -> float | None:
        """A moment, compared with the server's own clock where it tells its time."""
        until = moment(self.fields.get("retry-after", ""))
        if until is None:
            return None
        now = moment(self.fields.get("date", "")) or datetime.now(timezone.utc)
        return max(0.0, (until - now).total_seconds())


def moment(text: str) -> datetime | None:
    """An HTTP date; None for anything else."""
    try:
        return email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
