"""The crowd on real sockets: every ending, exact times, clients that are slow, dead, late, greedy or gone."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest
import trio
import trio.testing

from testbed.errors import HarnessError
from testbed.net import crowd_stream, http_inbox
from testbed.net.crowd_stream import Limits, Turn
from testbed.net.http_request import IncomingRequest, Malformed
from testbed.net.schedule import Schedule, schedule_of
from testbed.script import Comment, DialectName, End, Ending, Head, Message, Pause, Raw, Script, SplitEvery, Text
from testbed.trace import PeerLeft, Request, Sent, ServerEnd
from tests.net.crowds import Place, crowd_of, reset
from tests.net.support import HELLO, chat, post, read_socket, wire_of

LARGE = 4 * 1024 * 1024
NEVER = chat(Text("x"), how=Ending.OPEN)


def large(how: Ending = Ending.CLEAN) -> Script:
    """An answer that no socket buffer holds, and more behind it."""
    return Script(DialectName.EVENTSOURCE, (Head(), Raw(bytes(range(256)), LARGE // 256), Message("end"), End(how)))


@pytest.fixture
def jumping() -> trio.testing.MockClock:
    """A clock that jumps when nothing has happened for a moment: what is on its way between two sockets comes first."""
    return trio.testing.MockClock(autojump_threshold=0.02)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "seen"),
    [(Ending.CLEAN, "fin"), (Ending.FIN, "fin"), (Ending.RST, "reset"), (Ending.ABORT, "reset")],
)
def test_each_ending_is_what_the_client_sees(how: Ending, seen: str) -> None:
    """FIN or RST comes behind the answer, the trace names it, and nothing of the stream is left."""

    async def main() -> None:
        script = chat(Text("Hello"), how=how)
        async with crowd_of(script) as place:
            answer, end = await place.fetch()
            assert end == seen
            assert answer == wire_of(script) or (how is Ending.ABORT and wire_of(script).startswith(answer))
            await place.emptied()
            assert place.log.kinds() == ["Request", "Sent", "ServerEnd"]
            assert place.log.of(ServerEnd)[0].how is how

    trio.run(main)


def test_an_open_end_lasts_until_the_client_leaves() -> None:
    """The server says nothing more, and notes when the client has had enough."""

    async def main() -> None:
        async with crowd_of(NEVER) as place, await place.connect() as client:
            seen = b""
            while len(seen) < len(wire_of(NEVER)):
                seen += await client.receive_some()
            with trio.move_on_after(0.02) as patience:
                await client.receive_some()
            assert patience.cancelled_caught
            assert len(place.crowd) == 1
            await client.aclose()
            await place.emptied()
            assert [left.reset for left in place.log.of(PeerLeft)] == [False]

    trio.run(main)


def test_a_drained_reset_waits_for_a_slow_client(jumping: trio.testing.MockClock) -> None:
    """It gets every byte before the RST, although far more than fits between the two was sent."""

    async def main() -> None:
        async with crowd_of(large(Ending.RST)) as place, await place.connect(window=4096) as client:
            assert await read_socket(client) == (wire_of(large(Ending.RST)), "reset")
            await place.emptied()
            assert place.log.kinds()[-1] == "ServerEnd"

    trio.run(main, clock=jumping)


def test_a_drained_reset_does_not_wait_for_ever() -> None:
    """A client that reads nothing is reset after ten seconds."""

    async def main() -> None:
        script = Script(DialectName.EVENTSOURCE, (Head(), Raw(bytes(100_000)), End(Ending.RST)))
        async with crowd_of(script, seconds=3600) as place, await place.connect(window=4096):
            await place.emptied()
            assert place.log.now() - place.log.of(ServerEnd)[0].t > 10_000_000

    trio.run(main, clock=trio.testing.MockClock(rate=50))


def test_a_client_that_never_closes_is_closed_on() -> None:
    """After our FIN it has five seconds for its own; its leaving then is no news."""

    async def main() -> None:
        async with crowd_of(HELLO) as place, await place.connect() as client:
            await read_socket(client)
            start = trio.current_time()
            await place.emptied()
            assert trio.current_time() - start >= 4.5
            assert not place.log.of(PeerLeft)

    trio.run(main, clock=trio.testing.MockClock(rate=20))


# --- times ------------------------------------------------------------------------------------------------------------


def test_writes_come_in_their_time_counted_from_the_start(jumping: trio.testing.MockClock) -> None:
    """Each at the sum of the pauses before it, to the microsecond of the clock, on a stream that began at any time."""

    async def main() -> None:
        script = chat(*(step for n in range(5) for step in (Pause(0.1 * (n + 1)), Text(f"token {n}"))))
        async with crowd_of(script) as place:
            await trio.sleep(0.123)
            assert await place.fetch() == (wire_of(script), "fin")
            start = place.log.of(Request)[0].t
            due = [part.at for part in schedule_of(script).parts for _ in part.writes]
            assert [sent.t - start for sent in place.log.of(Sent)] == pytest.approx(due, abs=2)

    trio.run(main, clock=jumping)


def test_lateness_does_not_add_up() -> None:
    """After a standstill what is late leaves at once, in order, and what is not late leaves in its time."""

    async def main() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        script = chat(*(step for n in range(6) for step in (Pause(1), Text(f"token {n}"))))
        async with crowd_of(script) as place, await place.connect() as client:
            while not place.log.of(Sent):
                await trio.testing.wait_all_tasks_blocked(0.001)
            clock.jump(3.5)
            clock.autojump_threshold = 0.02
            assert await read_socket(client) == (wire_of(script), "fin")
            start = place.log.of(Request)[0].t
            tokens = [sent.t - start for sent in place.log.of(Sent)[2:-3]]
            assert tokens == pytest.approx([3.5e6, 3.5e6, 3.5e6, 4e6, 5e6, 6e6], abs=2)

    trio.run(main, clock=trio.testing.MockClock())


# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone_by_reset", [False, True], ids=["fin", "rst"])
def test_a_client_that_leaves_is_noticed_at_once(*, gone_by_reset: bool) -> None:
    """In the middle of an hour's silence the stream is freed, and the trace says how the client went."""

    async def main() -> None:
        async with crowd_of(chat(Text("x"), Pause(3600), Text("y"))) as place:
            client = await place.connect()
            await client.receive_some()
            if gone_by_reset:
                reset(client)
            else:
                await client.aclose()
            await place.emptied()
            assert [left.reset for left in place.log.of(PeerLeft)] == [gone_by_reset]
            assert not place.log.of(ServerEnd)
            assert len(place.crowd.timers) == 0

    trio.run(main)


def test_a_client_that_leaves_while_the_server_is_held_back_is_noticed() -> None:
    """A stream that waits for room is freed when its client goes."""

    async def main() -> None:
        async with crowd_of(large()) as place:
            client = await place.connect(window=4096)
            await client.receive_some(1)
            reset(client)
            await place.emptied()
            assert [left.reset for left in place.log.of(PeerLeft)] == [True]

    trio.run(main)


@pytest.mark.parametrize("faults", [(), (SplitEvery(60_000),)], ids=["glued", "split"])
def test_what_does_not_fit_waits_in_order(faults: tuple[SplitEvery, ...]) -> None:
    """A client with a tiny window gets every byte in its place, and holds up nobody."""

    async def main() -> None:
        script = Script(DialectName.EVENTSOURCE, large().steps, faults)
        async with crowd_of(script) as place, await place.connect(window=4096) as slow:
            await slow.receive_some(1)
            assert await place.fetch() == (wire_of(script), "fin")
            answer, how = await read_socket(slow)
            assert (answer, how) == (wire_of(script)[1:], "fin")
            wires = [sent.wire for sent in place.log.of(Sent) if sent.conn == 0]
            assert [end for _, end in wires[:-1]] == [start for start, _ in wires[1:]]
            assert wires[-1][1] == len(wire_of(script))  # a write that waits is told of once

    trio.run(main)


def test_a_stuck_client_holds_up_nobody() -> None:
    """With one that reads nothing and one that sends half a request, a hundred others are served."""

    async def main() -> None:
        script = chat(*[Pause(0.002), Text("x")] * 10)

        class Host:
            def choose(self, request: IncomingRequest, _conn: int) -> Turn:
                return Turn(schedule_of(large() if request.path == "/large" else script))

            def refuse(self, malformed: Malformed, _conn: int) -> Turn:
                raise malformed

        async def fetch(place: Place) -> None:
            assert await place.fetch() == (wire_of(script), "fin")

        async with crowd_of(Host()) as place, await place.connect(post("/large")), await place.connect(b"POST / HT"):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(fetch, place)
            assert len(place.crowd) >= 2

    trio.run(main)


def test_one_long_answer_to_a_fast_reader_does_not_hold_the_others() -> None:
    """A stream that could send without end goes to the end of the queue after a few sends."""

    async def main() -> None:
        endless = Script(DialectName.EVENTSOURCE, (Head(), *[Comment("x" * 60)] * 20_000), (SplitEvery(32),))

        class Host:
            def choose(self, request: IncomingRequest, _conn: int) -> Turn:
                return Turn(schedule_of(endless if request.path == "/endless" else HELLO))

            def refuse(self, malformed: Malformed, _conn: int) -> Turn:
                raise malformed

        async with crowd_of(Host()) as place, await place.connect(post("/endless")):
            while not place.log.of(Sent):
                await trio.lowlevel.checkpoint()
            assert await place.fetch() == (wire_of(HELLO), "fin")
            assert not [end for end in place.log.of(ServerEnd) if end.conn == 0]

    trio.run(main)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_client_that_waits_for_100_continue_is_told_to_go_on() -> None:
    """The interim answer goes out first, and the wire ranges of the trace count its bytes."""

    async def main() -> None:
        async with crowd_of(HELLO) as place:
            head = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
            async with await place.connect(head) as client:
                interim = await client.receive_some()
                assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
                await client.send_all(b"{}")
                assert await read_socket(client) == (wire_of(HELLO), "fin")
            assert place.log.of(Sent)[0].wire[0] == len(interim)

    trio.run(main)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 300_000, 413),
        (
            b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"10000\r\n%b\r\n" % bytes(65536) * 257,
            413,
        ),
    ],
)
def test_what_is_no_request_gets_one_line(raw: bytes, status: int) -> None:
    """A status and a sentence, which also stands in the trace; bytes that follow do not destroy it."""

    async def main() -> None:
        async with crowd_of(HELLO) as place, await place.connect(b"") as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, raw)
                answer, how = await read_socket(client)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert (head[:12], how) == (b"HTTP/1.1 %d" % status, "fin")
            (request,) = place.log.of(Request)
            assert request.problem in body.decode()

    trio.run(main)


def test_a_request_that_never_ends_is_told_so(jumping: trio.testing.MockClock) -> None:
    """Half a request is answered with 408 when its time is over; a connection that says nothing is closed."""

    async def main() -> None:
        async with crowd_of(HELLO, Limits(seconds=30), seconds=60) as place:
            silent, half = await place.connect(b""), await place.connect(b"POST / HT")
            assert await read_socket(silent) == (b"", "fin")
            answer, _ = await read_socket(half)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert answer.endswith(b"the request was not whole after 30 seconds\n")
            assert trio.current_time() == pytest.approx(30, abs=0.5)
            for client in (silent, half):
                await client.aclose()
            assert not place.log.of(PeerLeft)

    trio.run(main, clock=jumping)


def test_both_servers_give_a_request_the_same_time() -> None:
    """A client cannot tell from its patience who serves it."""
    assert crowd_stream.MOST_TIME == http_inbox.MOST_TIME


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_request_may_come_in_pieces(size: int) -> None:
    """Cut anywhere, with bytes behind its end, a request is one request."""

    async def main() -> None:
        async with crowd_of(HELLO) as place, await place.connect(b"") as client:
            whole = post() + b"GET / HTTP/1.1\r\n"
            for start in range(0, len(whole), size):
                await client.send_all(whole[start : start + size])
            assert await read_socket(client) == (wire_of(HELLO), "fin")
            assert len(place.log.of(Request)) == 1

    trio.run(main)


def test_one_stream_too_many_is_closed_at_once() -> None:
    """The bound on streams is a bound; when one of them ends there is room again."""

    async def main() -> None:
        async with crowd_of(NEVER, Limits(streams=2)) as place:
            clients = [await place.connect(), await place.connect()]
            while len(place.crowd) < 2:
                await trio.testing.wait_all_tasks_blocked(0.001)
            answer, _ = await place.fetch(b"")
            assert answer == b""
            await clients[0].aclose()
            while len(place.crowd) > 1:
                await trio.testing.wait_all_tasks_blocked(0.001)
            async with await place.connect() as client:
                assert await client.receive_some()
            await clients[1].aclose()

    trio.run(main)


# --- the crowd itself -------------------------------------------------------------------------------------------------


def test_a_host_that_fails_is_our_own_failure() -> None:
    """It ends the crowd as a HarnessError, and is never taken for something that the client did."""

    class Host:
        def choose(self, _request: IncomingRequest, _conn: int) -> Turn:
            raise ZeroDivisionError("oh")

        refuse = choose  # type: ignore[assignment]

    async def main() -> None:
        async with crowd_of(Host()) as place, await place.connect() as client:
            await read_socket(client)

    with pytest.RaisesGroup(pytest.RaisesExc(HarnessError, match="ZeroDivisionError: oh"), flatten_subgroups=True):
        trio.run(main)


def test_many_streams_are_played_side_by_side() -> None:
    """Two hundred together take little longer than one, and each gets all of its bytes."""

    async def main() -> None:
        # Far longer than two hundred requests take to arrive, or it would say nothing of the crowd.
        script = chat(*[Pause(0.4), Text("token")] * 3)
        whole = []

        async def fetch(place: Place) -> None:
            whole.append(await place.fetch())

        async with crowd_of(script) as place:
            async with trio.open_nursery() as nursery:
                for _ in range(200):
                    nursery.start_soon(fetch, place)
            ends = [end.t for end in place.log.of(ServerEnd)]
            begins = [request.t for request in place.log.of(Request)]
            assert min(ends) > max(begins)
        assert whole == [(wire_of(script), "fin")] * 200

    trio.run(main)


OUT_OF_FILES = """
import resource, socket, trio, trio.testing
from tests.net.crowds import crowd_of
from tests.net.support import HELLO, post, wire_of

async def main():
    async with crowd_of(HELLO) as place:
        await trio.testing.wait_all_tasks_blocked(0.01)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        client, hoard = socket.socket(), []
        try:
            while True:
                hoard.append(open("/dev/null"))
        except OSError:
            pass  # now nothing is left to accept with
        client.connect(place.address)
        client.sendall(post())
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not len(place.crowd)
        for file in hoard:
            file.close()
        assert await trio.to_thread.run_sync(client.recv, 1_000_000) == wire_of(HELLO)
        client.close()

trio.run(main)
print("went on")
"""


def test_running_out_of_files_ends_nothing() -> None:
    """A crowd that cannot accept for want of files waits, and goes on when there are some again."""
    command = [sys.executable, "-c", OUT_OF_FILES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("went on\n", "")


ALONE = """
from testbed.net.crowd import Crowd, OneForAll, run_alone
from testbed.net.listening import bind
from testbed.net.schedule import schedule_of
from tests.net.support import HELLO

with bind() as listener:
    print(listener.getsockname()[1], flush=True)
    try:
        run_alone(Crowd(OneForAll(schedule_of(HELLO))), listener)
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_a_crowd_needs_no_trio() -> None:
    """A program that does nothing else plays the same, and ends when it is interrupted."""
    with subprocess.Popen([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", port), 20) as client:
                    client.sendall(post())
                    with client.makefile("rb") as file:
                        assert file.read() == wire_of(HELLO)
            process.send_signal(signal.SIGINT)
            assert process.stdout.read() == "interrupted\n"
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_nothing_of_a_stream_is_kept() -> None:
    """After a hundred streams selector, timers and set are as empty as before."""

    async def main() -> None:
        async with crowd_of(HELLO) as place:
            for _ in range(100):
                await place.fetch()
            await place.emptied()
            assert len(place.crowd.selector.get_map()) == 1  # the door
            assert len(place.crowd.timers) == 0

    trio.run(main)


def test_a_schedule_is_shared_and_never_changed() -> None:
    """Two streams of the same script at different places leave it as it was."""

    async def main() -> None:
        schedule = schedule_of(HELLO)
        before = Schedule(*schedule)
        async with crowd_of(HELLO) as place, await place.connect() as client:
            await client.receive_some(3)
            assert await place.fetch() == (wire_of(HELLO), "fin")
        assert schedule == before

    trio.run(main)
