"""The desk: which rule decides, and what the trace is told of it."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import msgspec
import pytest

from testbed.dialects import DIALECTS, Asked
from testbed.plan import Plan, Purpose, Quota
from testbed.script import DialectName, Head, Message, Reading, Script, Text
from testbed.server.desk import Attempts, Desk, Found, Memory, Reply
from tests.net.support import BODY, HELLO, chat, plan_of
from tests.server.test_uploads import FORM, TYPE

FIRST, SECOND = chat(Text("first")), chat(Text("second"))
JSON = {"content-type": "application/json", "authorization": "Bearer sk"}
STREAM = Asked("POST", "/v1/chat/completions", "", JSON, BODY)
UPLOAD = Asked("POST", "/v1/files", "", {"content-type": TYPE}, FORM)


def desk_of(plan: Plan, memory: Memory | None = None) -> Desk:
    """The desk of a plan."""
    kept = memory or Memory(plan.quota)
    return Desk(plan, DIALECTS[plan.dialect], Attempts(plan), kept, lambda: datetime(2026, 1, 1, tzinfo=timezone.utc))


def with_(asked: Asked, **headers: str) -> Asked:
    """The same request with more in its head."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked._replace(headers={**asked.headers, **more})


def error(reply: Reply) -> tuple[int, str]:
    """The status and the message of a refusal."""
    assert reply.answer is not None
    return reply.answer.status, json.loads(reply.answer.body)["error"]["message"]


def test_scripted_requests_play_the_attempts_in_order_on_whatever_connection() -> None:
    """A kept connection plays the next attempt; the number is told where it is not the connection's own."""
    desk = desk_of(plan_of(FIRST, SECOND, HELLO))
    replies = [desk.ask(STREAM, conn, 0) for conn in (0, 0, 1, 2)]
    assert [reply.script for reply in replies] == [FIRST, SECOND, HELLO, HELLO]
    assert [reply.found.attempt for reply in replies] == [-1, 1, 2, 3]


def test_a_connection_without_a_request_was_an_attempt_all_the_same() -> None:
    """The network may have struck it before its request came, and its attempt is spent."""
    desk = desk_of(plan_of(FIRST, SECOND))
    assert desk.ask(STREAM, 1, 0).script == SECOND


def test_what_the_server_answers_by_itself_spends_no_attempt() -> None:
    """A refusal and an upload leave the first attempt to the first scripted request."""
    desk = desk_of(plan_of(FIRST, SECOND))
    assert desk.ask(STREAM._replace(body=b"{"), 0, 0).script is None
    assert desk.ask(UPLOAD, 1, 0).script is None
    reply = desk.ask(STREAM, 2, 0)
    assert (reply.script, reply.found) == (FIRST, Found(attempt=0))


def test_a_wrong_request_is_refused_with_a_sentence_for_the_trace() -> None:
    """The message of the vendor's error is the problem."""
    reply = desk_of(plan_of(HELLO)).ask(STREAM._replace(path="/v1/nothing"), 0, 0)
    status, message = error(reply)
    assert reply.found == Found(problem=message, status=status)
    assert status == 404


def test_every_answer_of_our_own_has_a_new_request_id() -> None:
    """No two are the same."""
    desk = desk_of(plan_of(HELLO))
    ids = []
    for _ in range(3):
        answer = desk.ask(STREAM._replace(body=b"{"), 0, 0).answer
        assert answer is not None
        ids.append(next(value for name, value in answer.headers if name == "x-request-id"))
    assert len(set(ids)) == 3


def test_a_long_body_is_refused_also_when_only_its_length_is_known() -> None:
    """What was read and what was announced both count."""
    plan = msgspec.structs.replace(plan_of(HELLO), body_limit=len(BODY))
    assert desk_of(plan).ask(STREAM, 0, 0).script == HELLO
    limited = desk_of(msgspec.structs.replace(plan, body_limit=len(BODY) - 1))
    assert error(limited.ask(STREAM, 0, 0)) == (
        413,
        f"the body has {len(BODY)} bytes; at most {len(BODY) - 1} are taken",
    )
    announced = with_(STREAM._replace(body=b""), content_length="99999999999")
    assert error(limited.ask(announced, 0, 0, whole=False))[0] == 413


def test_an_upload_is_stored_unless_it_is_what_is_tested() -> None:
    """As an aside it is answered right; as what is tested it plays the attempt, and a broken one never does."""
    reply = desk_of(plan_of(HELLO)).ask(UPLOAD, 0, 0)
    assert reply.found == Found(aside=True, status=200)
    tested = desk_of(msgspec.structs.replace(plan_of(HELLO), tested=Purpose.UPLOAD))
    assert error(tested.ask(UPLOAD._replace(body=FORM[:50]), 0, 0))[0] == 400
    assert tested.ask(UPLOAD, 0, 0).script == HELLO
    assert error(tested.ask(STREAM, 0, 0)) == (
        404,
        "the path is /v1/chat/completions; the plan tests uploads, and in openai-chat that is POST /v1/files",
    )


def test_half_a_body_is_not_judged() -> None:
    """A script that begins while the client still sends plays, whatever the body will turn out to be."""
    tested = desk_of(msgspec.structs.replace(plan_of(HELLO), tested=Purpose.UPLOAD))
    assert tested.ask(UPLOAD._replace(body=FORM[:50]), 0, 0, whole=False).script == HELLO
    assert desk_of(plan_of(HELLO)).ask(STREAM._replace(body=BODY[:5]), 0, 0, whole=False).script == HELLO


def test_an_idempotency_key_belongs_to_one_request_of_one_caller() -> None:
    """The same again plays, another body is refused, another caller's key is another key; the trace has the key."""
    desk = desk_of(plan_of(HELLO))
    keyed = with_(STREAM, idempotency_key="k")
    assert desk.ask(keyed, 0, 0).found.key == "k"
    assert desk.ask(keyed, 1, 0).script == HELLO
    other = keyed._replace(body=BODY.replace(b'"x"', b'"y"'))
    refused = desk.ask(other, 2, 0)
    assert error(refused) == (400, "the idempotency key 'k' was used before, for another request")
    assert refused.found.key == "k"
    assert desk.ask(with_(other, authorization="Bearer other"), 3, 0).script == HELLO


def test_a_quota_is_shared_by_connections_and_ends_when_the_client_waits_as_told() -> None:
    """A 429 is an aside that tells its wait; the next request plays the attempt that it did not spend."""
    plan = msgspec.structs.replace(plan_of(FIRST, SECOND), quota=Quota(requests=1, seconds=10.0))
    desk = desk_of(plan)
    assert desk.ask(STREAM, 0, 0).script == FIRST
    reply = desk.ask(STREAM, 1, 4_000_000)
    assert reply.found == Found(aside=True, status=429, wait=6_000_000)
    assert desk.ask(STREAM, 2, 4_000_000 + reply.found.wait).script == SECOND


def test_desks_that_share_a_memory_share_quota_and_keys() -> None:
    """Plans that are served one after another on one address are one vendor."""
    memory = Memory(Quota(requests=1))
    one, other = desk_of(plan_of(FIRST), memory), desk_of(plan_of(SECOND), memory)
    assert one.ask(STREAM, 0, 0).script == FIRST
    assert other.ask(STREAM, 0, 0).found.status == 429


@pytest.mark.parametrize("tested", list(Purpose))
def test_only_the_request_that_plays_is_read_as_the_script_says(tested: Purpose) -> None:
    """An upload beside a stream that is read slowly comes as it comes, and the other way round."""
    slow = msgspec.structs.replace(HELLO, reading=Reading(rate=10))
    desk = desk_of(msgspec.structs.replace(plan_of(slow), tested=tested))
    readings = [desk.reading(0, asked.method, asked.path) for asked in (STREAM, UPLOAD)]
    assert readings == ([slow.reading, Reading()] if tested is Purpose.STREAM else [Reading(), slow.reading])


def test_the_trace_is_told_what_a_client_says_it_has() -> None:
    """A stream that is resumed is judged by where the client asks to go on."""
    events = Script(DialectName.EVENTSOURCE, (Head(), Message("a", id="1")))
    desk = desk_of(plan_of(events))
    asked = Asked("GET", "/events", "", {"accept": "text/event-stream", "last-event-id": "1"}, b"")
    assert [desk.ask(one, 0, 0).found.resumes for one in (asked._replace(headers={}), asked)] == ["", "1"]
