"""A sealed connection for the toys: TLS over any wire, in memory, so that it is the same on every event loop.

The law of this module: an end of the connection without close_notify is an error and never an end; whom to trust is
decided by who calls.
"""

from __future__ import annotations

import functools
import ssl

from tests.toys.wire import Wire

READ = 16_384


@functools.lru_cache(maxsize=8)
def trusting(ca: str | None) -> ssl.SSLContext:
    """A context that trusts this one authority, and looks at names and dates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        context.load_verify_locations(ca)
    return context


class Sealed:
    """TLS over a wire."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, host: str) -> None:
        self._wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def shake_hands(self) -> None:
        """Agree with the server, or raise what is wrong with it."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:  # noqa: PERF203 - how TLS in memory says that it wants more
                await self._flush()
                await self._more()
            else:
                await self._flush()
                return

    async def receive(self, size: int) -> bytes:
        """The next bytes, b"" behind close_notify."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:  # noqa: PERF203 - how TLS in memory says that it wants more
                await self._flush()
                await self._more()
            except ssl.SSLZeroReturnError:
                return b""

    async def send(self, data: bytes) -> None:
        """Seal and send all of it."""
        self._tls.write(data)
        await self._flush()

    def close(self) -> None:
        """Close the connection below."""
        self._wire.close()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._wire.send(data)

    async def _more(self) -> None:
        data = await self._wire.receive(READ)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
