"""A crowd and the ASGI application, asked the same: not a byte and not a word of the trace is different."""

from __future__ import annotations

import msgspec
import pytest
import trio

from testbed.dialects import DIALECTS, Answer, Asked
from testbed.errors import UsageError
from testbed.faults.forms import FORMS as ILLEGAL
from testbed.faults.toxics import Latency
from testbed.net.connections import SocketConnection
from testbed.net.crowd import Crowd
from testbed.net.crowd_task import drive
from testbed.net.http_request import IncomingRequest
from testbed.net.listener import accept_forever, listen
from testbed.net.schedule import plays, schedule_of
from testbed.plan import Attempt, Plan, Quota, Tls, Window
from testbed.script import Ending, Pause, Script, SplitEvery, Text
from testbed.server.app import make_serve
from testbed.server.crowd import DeskHost, crowds, host_of
from testbed.server.crowded import serve_crowd
from testbed.server.desk import Found, Reply
from testbed.trace import Observation, PeerLeft, Request
from tests.conformance.wire_forms import FORMS
from tests.net.support import HELLO, Log, chat, plan_of, post, read_socket, wire_of

Seen = tuple[list[tuple[bytes, str]], list[Observation]]

SCRIPTS: dict[str, Script] = {
    **FORMS,
    # Those that are unusual steps and nothing else are legal HTTP, of which there is enough above.
    **{f"illegal-{name}": form.script() for name, form in ILLEGAL.items() if form.script().faults},
    **{f"ends-{how.value}": chat(Text("x"), how=how) for how in (Ending.CLEAN, Ending.FIN, Ending.RST, Ending.ABORT)},
    "pauses": chat(Pause(0.01), Text("a"), Pause(0.01), Text("b")),
    "byte-by-byte": Script(HELLO.dialect, HELLO.steps, (SplitEvery(1),)),
}


def short(script: Script) -> bool:
    """Whether a test can wait for it."""
    schedule = schedule_of(script)
    return plays(script) and schedule.close.how is not Ending.OPEN and schedule.at < 200_000


async def ask(address: tuple[str, int], requests: list[bytes]) -> list[tuple[bytes, str]]:
    """Send each request over a connection of its own, one after the other."""
    answers = []
    for request in requests:
        sock = trio.socket.socket()
        await sock.connect(address)
        async with trio.SocketStream(sock) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, request)
            answers.append(await read_socket(stream))
    return answers


async def through_app(plan: Plan, requests: list[bytes]) -> Seen:
    """What the ASGI application does."""
    log = Log()
    serve = make_serve(plan, log)
    count = iter(range(1000))
    async with trio.open_nursery() as nursery:
        with await listen() as listener:

            def handle(connection: SocketConnection) -> None:
                nursery.start_soon(serve, next(count), connection)

            nursery.start_soon(accept_forever, listener, handle)
            answers = await ask(listener.getsockname(), requests)
            nursery.cancel_scope.cancel()
    return answers, facts(log)


async def through_crowd(plan: Plan, requests: list[bytes]) -> Seen:
    """What a crowd does."""
    log = Log()
    crowd = Crowd(host_of(plan, log.now), watch=lambda _conn: log, clock=trio.current_time)
    async with trio.open_nursery() as nursery:
        with await listen() as listener:
            nursery.start_soon(drive, crowd, listener)
            answers = await ask(listener.getsockname(), requests)
            nursery.cancel_scope.cancel()
    return answers, facts(log)


def facts(log: Log) -> list[Observation]:
    """The observations without their times; when a client that was reset is noticed is a matter of luck."""
    return [msgspec.structs.replace(seen, t=0) for seen in log.all() if not isinstance(seen, PeerLeft)]


@pytest.mark.parametrize("name", [name for name, script in SCRIPTS.items() if short(script)])
def test_a_crowd_says_what_the_application_says(name: str) -> None:
    """The script's bytes and its end, and the same observations, from either."""

    async def main() -> None:
        script = SCRIPTS[name]
        dialect = DIALECTS[script.dialect]
        request = post() if dialect.method == "POST" else b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % dialect.path.encode()
        with trio.fail_after(20):
            app = await through_app(plan_of(script), [request])
            crowd = await through_crowd(plan_of(script), [request])
        if script.steps[-1] == chat(how=Ending.ABORT).steps[-1]:  # how much an RST destroys is the kernel's affair
            assert all(wire_of(script).startswith(seen[0][0][0]) for seen in (app, crowd))
            assert (app[0][0][1], app[1]) == (crowd[0][0][1], crowd[1])
        else:
            assert crowd == app
            assert crowd[0][0][0] == wire_of(script)

    trio.run(main)


REQUESTS = {
    "no-path": post("/nowhere"),
    "no-json": post(body=b"{"),
    "no-model": post(body=b"{}"),
    "content-type": post(content_type="text/plain"),
    "get": b"GET /v1/chat/completions HTTP/1.1\r\nHost: t\r\n\r\n",
    "models": b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n",
    "head": b"HEAD /v1/models HTTP/1.1\r\nHost: t\r\n\r\n",
    "query": post("/v1/chat/completions?a=b&c=%20"),
    "twice": b"GET /v1/models HTTP/1.1\r\nHost: t\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
    "absolute": b"GET http://t/v1/models?x HTTP/1.1\r\nHost: t\r\n\r\n",
    "no-http": b"hello\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\n\r\n",
    "coding": b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n",
    "too-long-a-head": b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
    "key": post().replace(b"Host: testbed\r\n", b"Host: testbed\r\nIdempotency-Key: k\r\n"),
    "key-again": post(body=post()[-60:]).replace(b"Host: testbed\r\n", b"Host: testbed\r\nIdempotency-Key: k\r\n"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_crowd_refuses_and_helps_as_the_application_does(name: str) -> None:
    """What is wrong with a request is said in the same bytes, and stands in the trace in the same words."""

    async def main() -> None:
        with trio.fail_after(20):
            app = await through_app(plan_of(HELLO), [REQUESTS[name]])
            crowd = await through_crowd(plan_of(HELLO), [REQUESTS[name]])
        assert crowd == app

    trio.run(main)


def test_attempts_quota_and_keys_are_counted_alike() -> None:
    """Attempts in their order, asides between them, a key used twice, and a quota that runs out."""

    async def main() -> None:
        plan = msgspec.structs.replace(
            plan_of(chat(Text("one")), chat(Text("two"))), quota=Quota(requests=3, window=Window.FIXED)
        )
        order = ["key", "models", "no-path", "key-again", "query", "query", "query", "query"]
        requests = [REQUESTS[name] for name in order]
        with trio.fail_after(20):
            app, crowd = await through_app(plan, requests), await through_crowd(plan, requests)
        statuses = [seen.status for seen in crowd[1] if isinstance(seen, Request)]
        assert 429 in statuses
        # How long to wait is counted in microseconds, and the two did not begin in the same one.
        assert statuses == [seen.status for seen in app[1] if isinstance(seen, Request)]
        assert [answer[:12] for answer, _ in crowd[0]] == [answer[:12] for answer, _ in app[0]]
        assert crowd[0][0] == app[0][0]

    trio.run(main)


def test_the_clerk_sees_the_request_as_the_vendor_would() -> None:
    """Path decoded and without the address's own prefix, the query as it was sent, fields of one name joined."""
    seen: list[Asked] = []

    class Clerk:
        def explain(self, status: int, sentence: str) -> Answer:
            return Answer(status, sentence)

        def ask(self, asked: Asked, conn: int, now: int) -> Reply:
            seen.append(asked)
            return Reply(Answer(200, f"{conn} {now}"), None, Found(problem="none", status=200))

    fields = ((b"host", b"t"), (b"x-a", b"1"), (b"x-a", b"2"))
    request = IncomingRequest("PUT", "/here/caf%C3%A9?a=%20", "1.1", fields, b"body")
    turn = DeskHost(Clerk(), lambda: 5, prefix="/here").choose(request, 3)
    assert seen == [Asked("PUT", "/café", "a=%20", {"host": "t", "x-a": "1, 2"}, b"body")]
    assert (turn.problem, turn.status) == ("none", 200)
    assert turn.schedule.parts[0].data.endswith(b"\r\n\r\n3 5")


def test_a_plan_with_a_network_is_not_for_a_crowd() -> None:
    """Toxics and TLS need a connection of their own, and so does a script that keeps it."""
    assert crowds(plan_of(HELLO))
    assert not crowds(plan_of(Attempt(HELLO, toxics=(Latency(),))))
    assert not crowds(plan_of(Attempt(HELLO, tls=Tls())))
    assert not crowds(plan_of(chat(how=Ending.KEEP)))


def test_a_plan_is_served_to_a_crowd() -> None:
    """With nothing but the plan: the URL is known when it is started, and each request plays the next attempt."""

    async def main() -> None:
        one, two = chat(Text("one")), chat(Text("two"))
        async with trio.open_nursery() as nursery:
            root: str = await nursery.start(serve_crowd, plan_of(one, two))
            with trio.fail_after(20):
                answers = await ask(("127.0.0.1", int(root.rpartition(":")[2])), [post()] * 3)
            nursery.cancel_scope.cancel()
        assert answers == [(wire_of(one), "fin"), (wire_of(two), "fin"), (wire_of(two), "fin")]

    trio.run(main)


def test_a_plan_that_needs_a_network_is_a_usage_error() -> None:
    """It would be served without its faults, so it is not served."""
    with pytest.raises(UsageError, match="toxics, TLS"):
        trio.run(serve_crowd, plan_of(Attempt(HELLO, toxics=(Latency(),))))
