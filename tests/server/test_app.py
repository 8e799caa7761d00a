"""The fake server: each attempt's bytes exactly as its script says, and clear words for requests that are wrong."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from testbed.cli._snippets import sample
from testbed.dialects import DIALECTS
from testbed.errors import UsageError
from testbed.net.connections import memory_pair
from testbed.plan import Plan
from testbed.script import (
    CutBody,
    DialectName,
    Done,
    End,
    Ending,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Pause,
    Script,
    SplitEvery,
    Text,
)
from testbed.server.app import make_serve
from testbed.trace import Request, Sent, ServerEnd
from tests.net.support import BODY, HELLO, Log, chat, plan_of, post, read_all, wire_of


async def ask(plan: Plan, request: bytes, log: Log, conn: int = 0) -> tuple[bytes, str]:
    """One connection of the plan's server: the whole answer, and how it ended."""
    client, server = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(make_serve(plan, log), conn, server)
        await client.send(request)
        answer = await read_all(client)
        client.close()
    return answer


@pytest.mark.parametrize(
    "script",
    [
        HELLO,
        chat(Text("x"), how=Ending.FIN),
        chat(Text("x"), Pause(3600), Text("y"), how=Ending.RST),
        Script(DialectName.OPENAI_CHAT, (Head(framing=Framing.LENGTH), Open(), Text("é"), Finish(), Done())),
        Script(DialectName.OPENAI_CHAT, (Head(framing=Framing.CLOSE), Open(), Text("é"), Finish(), Done())),
        Script(DialectName.OPENAI_CHAT, (Pause(5), Head(), Open(), Text("𝄞"), End()), (SplitEvery(1),)),
        Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("cut"), Done()), (CutBody(at=250, how=Ending.RST),)),
    ],
)
def test_the_wire_carries_the_program_byte_for_byte(script: Script, mock_time: trio.testing.MockClock) -> None:
    """What the client reads is the compiled script; the trace's ranges tile it, and name its end."""

    async def main() -> None:
        log = Log()
        answer, _ = await ask(plan_of(script), post(), log)
        assert answer == wire_of(script)
        position = 0
        for sent in log.of(Sent):
            assert sent.wire[0] == position
            assert sent.wire[0] <= sent.payload[0] <= sent.payload[1] <= sent.wire[1]
            assert sent.payload[1] - sent.payload[0] == sent.body[1] - sent.body[0]
            position = sent.wire[1]
        assert position == len(answer)
        assert len(log.of(ServerEnd)) == 1

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_every_dialect_is_served_at_its_path(dialect: DialectName, mock_time: trio.testing.MockClock) -> None:
    """Each dialect's own request is answered by its script."""
    spelled = DIALECTS[dialect]
    steps = [step for step in (Open(), Text("hi"), Finish(), Done(), Message("hi")) if type(step) in spelled.spelling]
    script = Script(dialect, (Head(), *[step for step in steps if type(step) not in spelled.refused]))
    asked = sample(dialect, "testbed-1")
    head = "".join(f"{name}: {value}\r\n" for name, value in (*asked.headers, ("content-length", str(len(asked.body)))))
    request = f"{asked.method} {asked.path} HTTP/1.1\r\nHost: t\r\n{head}\r\n{asked.body}".encode()

    async def main() -> None:
        log = Log()
        answer = await ask(plan_of(script), request, log)
        assert [seen.problem for seen in log.of(Request)] == [""]
        assert answer == (wire_of(script), "fin")

    trio.run(main, clock=mock_time)


def test_attempt_n_answers_connection_n_and_the_last_repeats(mock_time: trio.testing.MockClock) -> None:
    """The number of the connection alone chooses what is said."""

    async def main() -> None:
        first, second = chat(Text("first")), chat(Text("second"))
        plan = plan_of(first, second)
        answers = [(await ask(plan, post(), Log(), conn))[0] for conn in range(4)]
        assert answers == [wire_of(first), wire_of(second), wire_of(second), wire_of(second)]

    trio.run(main, clock=mock_time)


@pytest.mark.parametrize(
    ("request_bytes", "status", "problem"),
    [
        (post("/v1/completions"), 404, "the path is /v1/completions"),
        (post("/v1/chat/completions/"), 404, "the path is /v1/chat/completions/"),
        (post("/v1/messages"), 404, "the path is /v1/messages"),
        (b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", 404, "the path is *"),
        (b"GET /v1/chat/completions HTTP/1.1\r\nHost: t\r\n\r\n", 405, "the method is GET"),
        (post(content_type="text/plain"), 415, "the content type is 'text/plain'"),
        (post(body=b"{"), 400, "the body is not JSON"),
        (post(body=BODY.replace(b"true", b"false")), 400, "must be true"),
    ],
)
def test_a_wrong_request_is_answered_in_the_dialects_shape(
    request_bytes: bytes, status: int, problem: str, mock_time: trio.testing.MockClock
) -> None:
    """The client gets the vendor's kind of error, and the trace says what was wrong."""

    async def main() -> None:
        log = Log()
        answer, how = await ask(plan_of(HELLO), request_bytes, log)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert how == "fin"
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert problem in json.loads(body)["error"]["message"]
        (request,) = log.of(Request)
        assert problem in request.problem

    trio.run(main, clock=mock_time)


def test_a_query_does_not_hide_the_path(mock_time: trio.testing.MockClock) -> None:
    """SDKs of some clouds put a version into the query; the path is what counts."""

    async def main() -> None:
        answer, _ = await ask(plan_of(HELLO), post("/v1/chat/completions?api-version=1"), Log())
        assert answer == wire_of(HELLO)

    trio.run(main, clock=mock_time)


def test_a_script_that_cannot_be_said_is_refused_before_anything_runs() -> None:
    """The tester hears of it when the server is made, and no client ever connects."""

    async def main() -> None:
        plan = plan_of(Script(DialectName.EVENTSOURCE, (Head(), Open(), Done())))
        with pytest.raises(UsageError, match="step"):
            make_serve(plan, Log())

    trio.run(main)
