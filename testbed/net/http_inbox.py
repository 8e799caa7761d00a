"""The requests of one connection: read one after the other, as slowly and as little as each script wants it.

The law of this module: a request begins where the one before it ended, however the bytes were cut; what a client sends
early waits here, and is bounded, and so is the time that a request may take.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, final

import trio

from testbed.net.http_request import IncomingRequest, Malformed, PeerGone, RequestParser
from testbed.ports import ByteConnection
from testbed.script import Expectation, Reading

# How long a request may take from its first byte to its last, and a connection may wait for a request, in seconds.
# Far more than any client takes; without an end, each that stops halfway would be held for ever.
MOST_TIME = 600.0
# So many bytes of further requests wait while an answer is under way.
MOST_AHEAD = 256 * 1024
_RECEIVE = 65536

# Asked with the head of a request, before its body is read.
Readings = Callable[[IncomingRequest], Reading]


def read_whole(_head: IncomingRequest) -> Reading:
    """The reading of a server that does nothing unusual."""
    return Reading()


class Idle(Exception):
    """No further request came for so long that none is waited for any more."""


class Taken(NamedTuple):
    """A request, as much as was read of it, and how the rest is to be read."""

    request: IncomingRequest
    reading: Reading

    @property
    def leaves_rest(self) -> bool:
        """Whether bytes of the body are left unread, which turns any close into an RST."""
        return not (self.reading.rest or self.request.whole)


@final
class Inbox:
    """What comes in over one connection."""

    def __init__(
        self, connection: ByteConnection, readings: Readings = read_whole, most_time: float = MOST_TIME
    ) -> None:
        self._connection = connection
        self._readings = readings
        self._most_time = most_time
        self._parser = RequestParser()
        self._rest = False  # the parser is still in the body of a request that was taken
        self._ahead = 0
        self._end: PeerGone | Malformed | None = None  # there is nothing more to read, and why
        self._closed = False  # the peer has sent its FIN
        self._deadline = math.inf

    @property
    def idle(self) -> bool:
        """Whether no byte of a further request has arrived."""
        return self._parser.idle or self._rest

    async def next(self) -> Taken:
        """Read the next request, up to where its reading lets the script begin.

        Raises :class:`Malformed`, after which there is nothing more to read, :class:`PeerGone` or :class:`Idle`.
        """
        self._deadline = math.inf
        try:
            while self._rest:
                await self._more()
            self._ahead = 0
            request = await self._head()
            head = self._parser.so_far() if request is None else request
            reading = self._readings(head._replace(body=b""))
            return Taken(await self._body(request, reading), reading)
        except Malformed as end:
            self._end = end
            raise

    async def first_byte(self) -> bool:
        """Wait for the first byte of a further request, or as long as one may take; False if the peer left instead."""
        self._deadline = math.inf
        try:
            while self.idle:
                await self._more()
        except (Malformed, Idle):
            return True
        except PeerGone:
            return False
        return True

    async def watch(self, rate: int | None = None) -> None:
        """Read on beside an answer; raises :class:`PeerGone` when the peer leaves, and never returns."""
        while data := await self._receive(rate):
            self._store(data)
            if rate is not None:
                await trio.sleep(len(data) / rate)
        raise PeerGone(reset=False)

    # --- one request --------------------------------------------------------------------------------------------------

    async def _head(self) -> IncomingRequest | None:
        """Read up to the end of the head, or of the whole request if that came with it."""
        while (request := self._take()) is None and self._parser.head is None:
            await self._more()
        return request

    async def _body(self, request: IncomingRequest | None, reading: Reading) -> IncomingRequest:
        begun, answered = trio.current_time(), 0
        most = math.inf if reading.most is None else reading.most
        while True:
            size = self._parser.received if request is None else len(request.body)
            if reading.rate is not None:
                # Whatever came in one piece was read at this rate, too.
                await trio.sleep_until(begun + min(size, most) / reading.rate)
            if size > most or (size == most and request is None):
                return self._early(request, reading.most)._replace(answered=answered)
            if request is not None:
                return request._replace(answered=answered)
            if self._parser.wants_continue:
                if reading.expect is Expectation.FINAL:
                    return self._early(None, None)
                answered += await self._tell_to_go_on(reading.expect)
            await self._more(reading.rate)
            request = self._take()

    def _early(self, request: IncomingRequest | None, most: int | None) -> IncomingRequest:
        """As much of the request as the script waits for; the parser goes on to its end."""
        if request is None:
            request = self._parser.so_far()
            self._parser.forget()
            self._rest = True
        return request._replace(body=request.body[:most], whole=False)

    async def _tell_to_go_on(self, expect: Expectation) -> int:
        word = self._parser.continued()
        if expect is Expectation.SILENCE:
            return 0
        try:
            await self._connection.send(word)
        except ConnectionError as error:
            raise PeerGone(reset=True) from error
        return len(word)

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _take(self) -> IncomingRequest | None:
        if self._end is not None:
            raise self._end
        return self._parser.take()

    async def _more(self, rate: int | None = None) -> None:
        """Wait for bytes, but no longer than a request may take."""
        if self._end is not None or self._closed:
            raise self._end or PeerGone(reset=False)
        idle = self._parser.idle
        if idle or math.isinf(self._deadline):
            self._deadline = trio.current_time() + self._most_time
        # A script that reads slowly takes the time that it takes.
        with trio.move_on_at(math.inf if rate else self._deadline):
            if data := await self._receive(rate):
                self._feed(data)
            if idle:
                self._deadline = trio.current_time() + self._most_time
            return
        if idle:
            raise Idle
        raise Malformed(408, f"the request was not whole after {self._most_time:g} seconds")

    async def _receive(self, rate: int | None) -> bytes:
        try:
            data = await self._connection.receive(max(1, min(_RECEIVE, rate // 10)) if rate else _RECEIVE)
        except ConnectionError as error:
            self._end = PeerGone(reset=True)
            raise self._end from error
        if not data:
            self._closed = True
            self._parser.eof()
        return data

    def _store(self, data: bytes) -> None:
        """Keep what came while nobody waits for it, unless it is too much."""
        if self._end is not None:
            return
        if not self._rest:
            self._ahead += len(data)
        if self._ahead > MOST_AHEAD:
            self._end = Malformed(413, f"more than {MOST_AHEAD} bytes came before the answer was over")
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._parser.feed(data)
        if self._rest:
            try:
                self._rest = self._parser.take() is None
            except Malformed as end:
                self._end, self._rest = end, False
