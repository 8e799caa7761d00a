"""TLS on the server's side: a byte connection that seals what it is given, over any other one.

The law of this module: the network below sees sealed bytes and nothing else, so every toxic strikes them as it would on
the open road; and the trace says what the network sees: each `Sent` is recorded with the range that its bytes have once
they are sealed. In memory and on sockets it is the same code, for OpenSSL reads and writes buffers here, never a
socket.

::

    application ── Sent, plain ──► Ledger ─────── Sent, sealed ──► trace
        └───────── send(plain) ──► TlsConnection ─ send(sealed) ─► link, toxics ──► client
"""

from __future__ import annotations

import errno
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, final

import msgspec
import trio

from testbed.net.certificates import server_context
from testbed.net.http_inbox import MOST_TIME
from testbed.plan import Handshake, Tls
from testbed.ports import ByteConnection, Recorder
from testbed.script import Ending
from testbed.trace import Farewell, Observation, PeerLeft, Presented, Secured, Sent, ServerEnd

WINDOW = 65536
# After our FIN: how long the peer has for its own, in seconds.
LINGER = 5.0

# Fatal, handshake_failure, in a record of TLS 1.2, which is what such an alert looks like in every version.
_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
_REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
_CLEAR = _REFUSED + b"This address is http://, and the request came for https://.\n"
_SEALED = _REFUSED + b"This address is https://, and the request came for http://.\n"


class HandshakeFailed(Exception):
    """No sealed connection came about; why stands in the trace."""


@final
class Ledger:
    """The recorder that a server gets in place of its own: it holds each `Sent` back until its bytes are sealed."""

    def __init__(self, conn: int, recorder: Recorder) -> None:
        self._conn = conn
        self._recorder = recorder
        self._waiting: deque[Sent] = deque()
        self._place = 0

    def now(self) -> int:
        """Microseconds since the run began."""
        return self._recorder.now()

    def record(self, observation: Observation) -> None:
        """Append one observation; a write waits for its bytes, which follow at once."""
        if not isinstance(observation, Sent):
            self._recorder.record(observation)
            return
        self._waiting.append(observation)
        # A note about the bytes so far has none of its own to wait for, unless others are being held before it.
        if len(self._waiting) == 1 and observation.wire[0] == observation.wire[1]:
            self.sealed(self._place, self._place)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Cut what is to be sent into the writes that were announced, so that each becomes records of its own.

        Each piece must be followed by a call of `sealed`.
        """
        rest = memoryview(data)
        for sent in tuple(self._waiting):
            size = sent.wire[1] - sent.wire[0]
            yield bytes(rest[:size])
            rest = rest[size:]
        if rest:
            yield bytes(rest)

    def sealed(self, start: int, end: int) -> None:
        """The next piece has become this range of sealed bytes."""
        self._place = end
        if self._waiting:
            sent = self._waiting.popleft()
            # Nothing can be read of a record before it is whole; what holds no body has none after it either.
            payload = (start, end) if sent.payload[0] < sent.payload[1] else (end, end)
            self._recorder.record(msgspec.structs.replace(sent, wire=(start, end), payload=payload))

    def presented(self, wire: int) -> None:
        """A part of the handshake is about to be sent: it ends at this byte."""
        self._recorder.record(Presented(self.now(), self._conn, wire))

    def shook_hands(self, wire: int, problem: str = "", *, refused: bool = False) -> None:
        """The handshake is over, well or not."""
        self._place = wire
        self._recorder.record(Secured(self.now(), self._conn, wire, problem, refused))

    def said_farewell(self, start: int, end: int) -> None:
        """close_notify is about to be sent."""
        self._recorder.record(Farewell(self.now(), self._conn, (start, end)))


@final
class TlsConnection:
    """The server's end of a sealed connection; a :class:`testbed.ports.ByteConnection` over another, which it owns."""

    def __init__(self, inner: ByteConnection, context: ssl.SSLContext, ledger: Ledger) -> None:
        self._inner = inner
        self._ledger = ledger
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._handed_on = 0
        # Both tasks of a connection can have something to send: an answer, and what reading it asks for.
        self._handing_on = trio.Lock()

    @property
    def wire(self) -> int:
        """Sealed bytes so far, what is still to be handed on included."""
        return self._handed_on + self._outgoing.pending

    async def handshake(self) -> None:
        """Come to terms with the client; raises :class:`HandshakeFailed`. What was said of it stands in the trace."""
        said = 0
        try:
            while not self._step():
                if self.wire > said:
                    said = self.wire
                    self._ledger.presented(said)
                await self._hand_on()
                await self._take_in()
            with suppress(ConnectionError):  # who is gone now will be missed at the first read
                await self._hand_on()
            self._ledger.shook_hands(self.wire)
        except ssl.SSLError as error:
            refused = isinstance(error, ssl.SSLEOFError) or "ALERT" in (error.reason or "")
            self._ledger.shook_hands(said, f"the TLS handshake failed: {_reason(error)}", refused=refused)
            with suppress(ConnectionError):
                await self._hand_on()  # our own alert, if there is one
                if error.reason == "HTTP_REQUEST":
                    await self._inner.send(_SEALED)
            raise HandshakeFailed from error
        except ConnectionError as error:
            self._ledger.shook_hands(said, "the client reset the connection in the TLS handshake", refused=True)
            raise HandshakeFailed from error

    def _step(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    # --- the port -----------------------------------------------------------------------------------------------------

    async def receive(self, max_bytes: int = WINDOW) -> bytes:
        """Return the next bytes, b"" at the client's close_notify or FIN; raise :class:`ConnectionResetError` at its
        RST, and at what is no TLS.
        """
        await trio.lowlevel.checkpoint()
        while (data := self._read(max_bytes)) is None:
            await self._hand_on()
            await self._take_in()
        return data

    def _read(self, max_bytes: int) -> bytes | None:
        try:
            return self._tls.read(max_bytes)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""  # clients leave without a farewell every day; that takes nothing from a request that is whole
        except ssl.SSLError as error:
            raise ConnectionResetError(errno.ECONNRESET, f"TLS: {_reason(error)}") from error

    async def send(self, data: bytes) -> None:
        """Seal `data` and hand it on; raise :class:`ConnectionError` if the client is gone."""
        for piece in self._ledger.pieces(data):
            start = self.wire
            if piece:  # an empty record is a habit of the past that some clients take for an end
                self._write(piece)
            self._ledger.sealed(start, self.wire)
        await self._hand_on()

    def _write(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise BrokenPipeError(errno.EPIPE, f"TLS: {_reason(error)}") from error

    async def send_eof(self, *, abrupt: bool = False) -> None:
        """Say close_notify, unless `abrupt`, and send FIN; receiving goes on."""
        if not abrupt:
            start = self.wire
            # It would wait for the client's close_notify as well, and complain of what the client says in place of it.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            if start < self.wire:
                self._ledger.said_farewell(start, self.wire)
                with suppress(ConnectionError):
                    await self._hand_on()
        await self._inner.send_eof(abrupt=abrupt)

    async def drain(self) -> None:
        """Wait until every sealed byte was acknowledged, as the connection below does."""
        await self._inner.drain()

    def reset(self) -> None:
        """Send RST now and close; what is still queued is lost."""
        self._inner.reset()

    def close(self) -> None:
        """Close both directions, without a farewell. Closing twice is allowed."""
        self._inner.close()

    # --- between OpenSSL's buffers and the connection below -----------------------------------------------------------

    async def _hand_on(self) -> None:
        async with self._handing_on:
            while data := self._outgoing.read():
                self._handed_on += len(data)
                await self._inner.send(data)

    async def _take_in(self) -> None:
        data = await self._inner.receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's own word, without the place in its sources."""
    if isinstance(error, ssl.SSLEOFError):
        return "the client left"
    return (error.reason or str(error)).replace("_", " ").lower()


# --- a plan's TLS -----------------------------------------------------------------------------------------------------


async def seal(
    tls: Tls | None, conn: int, connection: ByteConnection, recorder: Recorder, within: float = MOST_TIME
) -> tuple[ByteConnection, Recorder] | None:
    """Shake hands on connection number `conn` as `tls` says, and return what a server needs to go on.

    None: the connection is over and closed, because the handshake failed, took the client longer than `within` seconds,
    or was planned to fail. Without `tls` both come back as they are. Records Presented, Secured, and ServerEnd and
    PeerLeft for a connection that is over.
    """
    if tls is None:
        return connection, recorder
    ledger = Ledger(conn, recorder)
    if tls.handshake is not Handshake.COMPLETE:
        await _decline(_REFUSALS[tls.handshake], conn, connection, ledger)
        return None
    sealed = TlsConnection(connection, server_context(tls.certificate, tls.version), ledger)
    try:
        with trio.move_on_after(within) as patience:
            await sealed.handshake()
    except HandshakeFailed:
        await _end(Ending.FIN, conn, connection, ledger)
        return None
    except BaseException:  # cancelled: the connection is ours as long as nobody else has it
        connection.close()
        raise
    if patience.cancelled_caught:
        ledger.shook_hands(sealed.wire, f"the client did not end the TLS handshake within {within:g} s")
        await _end(Ending.FIN, conn, connection, ledger)
        return None
    return sealed, ledger


class _Refusal(NamedTuple):
    """What becomes of a handshake that is not to be: what is said, and how the connection ends."""

    sentence: str
    said: bytes
    how: Ending


_REFUSALS = {
    Handshake.ALERT: _Refusal("the handshake was refused by an alert, as planned", _ALERT, Ending.FIN),
    Handshake.CLOSE: _Refusal("the connection was closed in the handshake, as planned", b"", Ending.FIN),
    Handshake.RESET: _Refusal("the connection was reset in the handshake, as planned", b"", Ending.ABORT),
    Handshake.SILENCE: _Refusal("the handshake was never answered, as planned", b"", Ending.OPEN),
    Handshake.GARBAGE: _Refusal("the handshake was answered in the clear, as planned", _CLEAR, Ending.FIN),
}


async def _decline(refusal: _Refusal, conn: int, connection: ByteConnection, ledger: Ledger) -> None:
    try:
        # Behind the client's first message: before it a refusal would be one of the connection, not of the handshake.
        left = not await connection.receive()
        ledger.shook_hands(0, refusal.sentence)
        if refusal.said and not left:
            await connection.send(refusal.said)
    except ConnectionError:
        ledger.record(PeerLeft(ledger.now(), conn, reset=True))
        connection.close()
    except BaseException:
        connection.close()
        raise
    else:
        await _end(refusal.how, conn, connection, ledger)


async def _end(how: Ending, conn: int, connection: ByteConnection, recorder: Recorder) -> None:
    """End a connection that nothing more is said on. Its input is read on, because closing over it would be an RST."""
    recorder.record(ServerEnd(recorder.now(), conn, how, framed=False))
    try:
        if how is Ending.ABORT:
            connection.reset()
            return
        limit = float("inf") if how is Ending.OPEN else LINGER
        with trio.move_on_after(limit):
            if how is Ending.FIN:
                await connection.send_eof()
            reset = await _read_on(connection)
            if how is Ending.OPEN:
                recorder.record(PeerLeft(recorder.now(), conn, reset=reset))
    finally:
        connection.close()


async def _read_on(connection: ByteConnection) -> bool:
    """Read until the client is gone; True if it went with an RST."""
    try:
        while await connection.receive():
            pass
    except ConnectionError:
        return True
    return False
