"""Sealed connections, met by clients that know nothing of us: Python's own ssl, http.client and urllib."""

from __future__ import annotations

import http.client
import itertools
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from testbed.net.certificates import ca_file, server_context
from testbed.net.connections import memory_pair
from testbed.net.listener import accept_forever, endpoint_of, listen
from testbed.net.tls import Ledger, TlsConnection, seal
from testbed.plan import Attempt, Certificate, Handshake, Plan, Tls, TlsVersion
from testbed.ports import ByteConnection
from testbed.script import Ending, Framing, Head, Open, Script, Text
from testbed.server.app import make_serve
from testbed.trace import Farewell, PeerLeft, Presented, Secured, Sent, ServerEnd
from tests.net.support import BODY, HELLO, Log, chat, plan_of, post, read_all, wire_of

Connected = Callable[[], Any]
T = TypeVar("T")


def trusting(ca: str | None = None) -> ssl.SSLContext:
    """A client's settings as a tester would write them: our authority and nobody else."""
    return ssl.create_default_context(cafile=ca or ca_file())


# --- a client on any byte connection ----------------------------------------------------------------------------------


class Client:
    """TLS by OpenSSL's buffers; everything that goes wrong is what ssl raises."""

    def __init__(self, end: ByteConnection, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._end = end
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or trusting()).wrap_bio(self._in, self._out, server_hostname=host)
        self.received = 0

    async def do(self, step: Callable[..., T], *arguments: object) -> T:
        """Take one step, with all the reading and writing that it asks for."""
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:  # noqa: PERF203 - the loop is that of the network
                await self._flush()
                data = await self._end.receive()
                self.received += len(data)
                self._in.write(data) if data else self._in.write_eof()
            finally:
                await self._flush()

    async def _flush(self) -> None:
        if data := self._out.read():
            await self._end.send(data)

    async def handshake(self) -> None:
        """Come to terms with the server."""
        await self.do(self.tls.do_handshake)

    async def read_all(self) -> tuple[bytes, str]:
        """Everything up to the end, and which end it was."""
        seen = bytearray()
        try:
            while data := await self.do(self.tls.read, 65536):
                seen += data
        except ssl.SSLEOFError:
            return bytes(seen), "truncated"
        except ConnectionError:
            return bytes(seen), "reset"
        return bytes(seen), "farewell"


async def play(connected: Connected, plan: Plan) -> tuple[bytes, str, Log, Client]:
    """Ask for what the plan says, on a connection of that kind."""
    async with connected() as (far, near):
        log = Log()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_serve(plan, log), 0, near)
            client = Client(far)
            await client.handshake()
            await client.do(client.tls.write, post())
            seen, end = await client.read_all()
            far.close()
    return seen, end, log, client


@pytest.mark.parametrize("version", [None, *TlsVersion])
def test_a_clean_end_says_farewell(connected: Connected, version: TlsVersion | None) -> None:
    """The client reads every byte of the script, and close_notify behind them, in both versions."""

    async def main() -> None:
        seen, end, log, client = await play(connected, plan_of(Attempt(HELLO, tls=Tls(version=version))))
        assert seen == wire_of(HELLO)
        assert end == "farewell"
        assert client.tls.version() == {TlsVersion.TLS_1_2: "TLSv1.2"}.get(version or TlsVersion.TLS_1_3, "TLSv1.3")
        assert log.of(Secured)[0].problem == ""

    trio.run(main)


@pytest.mark.parametrize(
    ("how", "expected"),
    [(Ending.FIN, {"truncated"}), (Ending.RST, {"reset"}), (Ending.ABORT, {"reset", "truncated"})],
)
def test_an_end_without_farewell_is_seen_as_such(connected: Connected, how: Ending, expected: set[str]) -> None:
    """A FIN without close_notify is a truncation and never an end, a reset is a reset."""

    async def main() -> None:
        script = Script(HELLO.dialect, (Head(framing=Framing.CLOSE), Open(), Text("one")))
        cut = chat(Text("one"), how=how)
        seen, end, log, _ = await play(connected, plan_of(Attempt(cut, tls=Tls())))
        assert end in expected
        assert log.of(Farewell) == []
        if how is Ending.FIN:
            assert seen == wire_of(cut)
        seen, end, log, _ = await play(connected, plan_of(Attempt(script, tls=Tls())))
        assert (seen, end) == (wire_of(script), "farewell")

    trio.run(main)


def test_the_trace_counts_what_the_network_sees(connected: Connected) -> None:
    """Behind the handshake each write has a range of sealed bytes, side by side, up to the last that was delivered."""

    async def main() -> None:
        _, _, log, client = await play(connected, plan_of(Attempt(HELLO, tls=Tls())))
        (secured,), (farewell,), sent = log.of(Secured), log.of(Farewell), log.of(Sent)
        edges = [secured.wire, *itertools.chain(*(one.wire for one in sent)), *farewell.wire, client.received]
        assert edges[0::2] == edges[1::2]
        assert log.of(Presented)[-1].wire == secured.wire
        # A sealed write can be read when it is whole, so its payload is all of it, or for a head nothing.
        assert {one.payload in (one.wire, (one.wire[1], one.wire[1])) for one in sent} == {True}
        assert [one.body[1] - one.body[0] > 0 for one in sent] == [one.payload[0] < one.payload[1] for one in sent]

    trio.run(main)


def test_writes_that_leave_together_keep_their_own_places() -> None:
    """Two writes in one send become two ranges; a note without bytes stands where it was made."""

    async def main() -> None:
        async with in_memory() as (far, near):
            log = Log()
            ledger = Ledger(0, log)
            server, client = TlsConnection(near, server_context(), ledger), Client(far)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.handshake)
                await client.handshake()
            for start, end in ((0, 5), (5, 5), (5, 12)):
                ledger.record(Sent(0, 0, start, (start, end), (start, end), (start, end), ends_step=True))
            assert log.of(Sent) == []
            await server.send(b"abcdefghijkl")
            first, note, second = log.of(Sent)
            assert first.wire[1] == note.wire[0] == note.wire[1] == second.wire[0]
            assert second.wire[1] == server.wire
            ledger.record(Sent(0, 0, 3, (12, 12), (12, 12), (12, 12), ends_step=True))
            assert log.of(Sent)[-1].wire == (server.wire, server.wire)
            assert await client.do(client.tls.read, 100) == b"abcde"

    trio.run(main)


@asynccontextmanager
async def in_memory() -> AsyncIterator[tuple[ByteConnection, ByteConnection]]:
    """Two ends in memory."""
    far, near = memory_pair()
    with trio.fail_after(10):
        yield far, near
    far.close()
    near.close()


def test_both_directions_can_be_busy_at_once(connected: Connected) -> None:
    """What several tasks have to send comes out as one readable stream, however small the windows are."""
    data = bytes(range(256)) * 2_000

    async def main() -> None:
        async with connected() as (far, near):
            server, client = TlsConnection(near, server_context(), Ledger(0, Log())), Client(far)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.handshake)
                await client.handshake()

            async def send() -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(server.send, data)
                    nursery.start_soon(server.send, data)
                await server.send_eof()

            async def echo() -> None:
                seen = bytearray()
                while len(seen) < 3000:
                    seen += await server.receive()
                assert bytes(seen) == b"x" * 3000

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                nursery.start_soon(echo)
                await client.do(client.tls.write, b"x" * 3000)
                assert await client.read_all() == (data + data, "farewell")

    trio.run(main)


def test_a_client_that_leaves_is_noticed(connected: Connected) -> None:
    """A farewell, a bare FIN and an RST of the client end the reading as the same in the clear would."""

    async def main(leave: Callable[[Client, ByteConnection], Any]) -> object:
        async with connected() as (far, near):
            server, client = TlsConnection(near, server_context(), Ledger(0, Log())), Client(far)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.handshake)
                await client.handshake()
            await leave(client, far)
            try:
                assert await server.receive() == b""
                return await server.receive()
            except ConnectionResetError as error:
                return type(error)

    async def farewell(client: Client, end: ByteConnection) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.unwrap()
        await client._flush()

    async def fin(client: Client, end: ByteConnection) -> None:
        await end.send_eof()

    async def rst(client: Client, end: ByteConnection) -> None:
        end.reset()

    assert trio.run(main, farewell) == b""
    assert trio.run(main, fin) == b""
    assert trio.run(main, rst) is ConnectionResetError


# --- certificates and handshakes --------------------------------------------------------------------------------------

# OpenSSL's own words for what is wrong, which every client built on it shows.
REFUSALS = {
    Certificate.EXPIRED: "certificate has expired",
    Certificate.NOT_YET_VALID: "certificate is not yet valid",
    Certificate.WRONG_HOST: "mismatch",
    Certificate.UNKNOWN_AUTHORITY: "unable to get local issuer certificate",
}


async def try_handshake(connected: Connected, tls: Tls, context: ssl.SSLContext | None = None) -> tuple[str, Log]:
    """Shake hands with a server that does as `tls` says; what became of it in one word or OpenSSL's sentence."""
    async with connected() as (far, near):
        log = Log()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(seal, tls, 0, near, log)
            try:
                await Client(far, context).handshake()
            except ssl.SSLEOFError:
                said = "end"
            except ssl.SSLError as error:
                said = str(error)
            except ConnectionError:
                said = "reset"
            else:
                said = "secured"
            far.close()
    return said, log


@pytest.mark.parametrize("certificate", REFUSALS)
def test_a_bad_certificate_is_bad_for_its_own_reason(connected: Connected, certificate: Certificate) -> None:
    """A client that verifies refuses with the reason that the plan names; one that does not goes on."""
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE

    async def main() -> None:
        said, log = await try_handshake(connected, Tls(certificate=certificate))
        assert REFUSALS[certificate] in said
        (secured,) = log.of(Secured)
        assert secured.refused
        assert secured.wire == log.of(Presented)[-1].wire
        said, _ = await try_handshake(connected, Tls(certificate=certificate), careless)
        assert said == "secured"

    trio.run(main)


@pytest.mark.parametrize(
    ("handshake", "said", "how"),
    [
        (Handshake.ALERT, "handshake failure", Ending.FIN),
        (Handshake.CLOSE, "end", Ending.FIN),
        (Handshake.RESET, "reset", Ending.ABORT),
        (Handshake.GARBAGE, "wrong version number", Ending.FIN),
    ],
)
def test_a_handshake_fails_as_planned(connected: Connected, handshake: Handshake, said: str, how: Ending) -> None:
    """An alert, an end, a reset or bytes that are no TLS: the client sees just that, and the trace tells it."""

    async def main() -> None:
        heard, log = await try_handshake(connected, Tls(handshake=handshake))
        assert said in heard.lower().replace("_", " ")
        assert log.of(Secured)[0].problem.endswith("as planned")
        assert [end.how for end in log.of(ServerEnd)] == [how]

    trio.run(main)


def test_a_silent_handshake_lasts_as_long_as_the_client_waits(mock_time: trio.testing.MockClock) -> None:
    """An hour, if need be; when the client goes the server is done."""

    async def main() -> None:
        log = Log()
        async with in_memory_for_ever() as (far, near), trio.open_nursery() as nursery:
            nursery.start_soon(seal, Tls(handshake=Handshake.SILENCE), 0, near, log)
            with trio.move_on_after(3600) as waited:
                await Client(far).handshake()
            assert waited.cancelled_caught
            far.close()
        assert log.kinds() == ["Secured", "ServerEnd", "PeerLeft"]
        assert log.of(PeerLeft)[0].t == 3600 * 1_000_000

    trio.run(main, clock=mock_time)


def test_a_client_that_never_ends_its_handshake_is_sent_away(mock_time: trio.testing.MockClock) -> None:
    """Half a handshake holds a connection no longer than half a request does."""

    async def main() -> None:
        log = Log()
        async with in_memory_for_ever() as (far, near), trio.open_nursery() as nursery:
            nursery.start_soon(seal, Tls(), 0, near, log, 20.0)
            await far.send(b"\x16\x03\x01\x02\x00\x01")
            assert await far.receive() == b""
            far.close()
        (secured,) = log.of(Secured)
        assert secured.t == 20_000_000
        assert "within 20 s" in secured.problem

    trio.run(main, clock=mock_time)


@asynccontextmanager
async def in_memory_for_ever() -> AsyncIterator[tuple[ByteConnection, ByteConnection]]:
    """Two ends in memory, on a clock on which waiting costs nothing."""
    with trio.fail_after(100_000):
        yield memory_pair()


def test_plain_http_on_the_sealed_port_is_told_so(connected: Connected) -> None:
    """A client that forgot the s of https gets a sentence that it can read."""

    async def main() -> None:
        async with connected() as (far, near):
            log = Log()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(seal, Tls(), 0, near, log)
                await far.send(post())
                answer, end = await read_all(far)
                far.close()
                assert b"This address is https://" in answer
                assert end == "fin"
        assert "http request" in log.of(Secured)[0].problem

    trio.run(main)


# --- whole programs of others, on a socket ----------------------------------------------------------------------------


@asynccontextmanager
async def serving(plan: Plan) -> AsyncIterator[int]:
    """The port of a listener that plays the plan."""
    numbers = itertools.count()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            with await listen() as listener:
                serve = make_serve(plan, Log())

                def handle(connection: ByteConnection) -> None:
                    nursery.start_soon(serve, next(numbers), connection)

                nursery.start_soon(accept_forever, listener, handle)
                yield endpoint_of(listener).port
                nursery.cancel_scope.cancel()


def ask_by_http_client(port: int, host: str) -> tuple[int, bytes]:
    """The standard library's HTTPS client."""
    connection = http.client.HTTPSConnection(host, port, context=trusting(), timeout=5)
    connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    seen = answer.status, answer.read()
    connection.close()
    return seen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_https_client_of_the_standard_library_is_served(host: str) -> None:
    """Under both names of the machine, with nothing but the authority's file."""

    async def main() -> None:
        async with serving(plan_of(Attempt(HELLO, tls=Tls()))) as port:
            status, body = await trio.to_thread.run_sync(ask_by_http_client, port, host)
            assert status == 200
            assert body.endswith(b"data: [DONE]\n\n")

    trio.run(main)


def ask_by_socket(port: int, *, ragged: bool) -> tuple[bytes, str, str | None]:
    """A blocking TLS socket; `ragged`: bare FINs are taken for ends, as Python does unless it is told otherwise."""
    context = trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=ragged) as sealed,
    ):
        sealed.sendall(post())
        seen = bytearray()
        try:
            while data := sealed.recv(65536):
                seen += data
        except ssl.SSLEOFError:
            return bytes(seen), "truncated", sealed.selected_alpn_protocol()
        return bytes(seen), "end", sealed.selected_alpn_protocol()


def test_a_blocking_socket_can_tell_a_truncation_only_if_it_is_told_to() -> None:
    """`SSLEOFError` with ragged ends refused, and an end like any other without: the trap that the plan sets."""
    cut = chat(Text("one"), how=Ending.FIN)

    async def main() -> None:
        async with serving(plan_of(Attempt(cut, tls=Tls()))) as port:
            ask = lambda ragged: ask_by_socket(port, ragged=ragged)  # noqa: E731
            assert await trio.to_thread.run_sync(ask, False) == (wire_of(cut), "truncated", "http/1.1")
            assert await trio.to_thread.run_sync(ask, True) == (wire_of(cut), "end", "http/1.1")

    trio.run(main)


# --- what is made at run time -----------------------------------------------------------------------------------------

# How long the server's part of a handshake is, and where the authority stands.
MADE = """
import ssl
from testbed.net.certificates import ca_file, server_context
incoming, outgoing, hello = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
server = server_context().wrap_bio(incoming, outgoing, server_side=True)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
for side in (client, server):
    incoming.write(hello.read())
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        pass
print(outgoing.pending, ca_file())
"""


def run_elsewhere(code: str) -> str:
    """What the code prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def test_what_is_made_is_as_long_everywhere_and_gone_with_its_process() -> None:
    """Keys are drawn anew in every process, and still an answer begins at the same byte; no file outlives its maker."""
    here: list[tuple[int, str]] = []
    exec(MADE, {"print": lambda *found: here.append(found)})
    length, path = run_elsewhere(MADE).split()
    assert int(length) == here[0][0]
    assert not Path(path).parent.exists()
    authority = Path(here[0][1]).read_bytes()
    assert b"PRIVATE" not in authority
    # Elliptic signatures would agree in length by chance.
    assert isinstance(x509.load_pem_x509_certificate(authority).public_key(), rsa.RSAPublicKey)


WITHOUT = """
import sys
sys.modules["trustme"] = None
from testbed.errors import UsageError
from testbed.net.certificates import ca_file
try:
    ca_file()
except UsageError as error:
    print(error)
"""


def test_without_trustme_the_tester_is_told_what_to_install() -> None:
    """One sentence with the command, and not an ImportError."""
    assert "pip install 'stream-testbed[tls]'" in run_elsewhere(WITHOUT)
