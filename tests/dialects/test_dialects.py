"""Each dialect spells its steps byte by byte, judges their order, and knows its terminals and requests."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.dialects import DIALECTS, GATEWAYS, QUIRKS, Asked, Dialect
from testbed.dialects.eventsource import events
from testbed.errors import UsageError
from testbed.script import (
    Arguments,
    Body,
    Citation,
    Comment,
    DialectName,
    Done,
    End,
    Failure,
    Finish,
    Head,
    Message,
    Open,
    Pause,
    Ping,
    Quirk,
    Raw,
    Refusal,
    Step,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)
from testbed.sse import Event, Parser

OPENAI = DIALECTS[DialectName.OPENAI_CHAT]
ANTHROPIC = DIALECTS[DialectName.ANTHROPIC_MESSAGES]
EVENTSOURCE = DIALECTS[DialectName.EVENTSOURCE]
LLM = [OPENAI, ANTHROPIC]

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name.value)
every_llm = pytest.mark.parametrize("dialect", LLM, ids=lambda dialect: dialect.name.value)

WHOLE: tuple[Step, ...] = (
    Head(),
    Open(),
    Text("a"),
    Ping(),
    Pause(1),
    Text("b"),
    Comment("c"),
    Finish(),
    Done(),
    End(),
)


def parsed(dialect: Dialect, *steps: Step) -> tuple[Event, ...]:
    """Parse what the dialect writes for `steps`."""
    return Parser().feed(b"".join(data for step in dialect.encode(steps) for data in step))


def payloads(dialect: Dialect, *steps: Step) -> list[Any]:
    """Parse the JSON of each event."""
    return [json.loads(event.data) for event in parsed(dialect, *steps)]


# --- spelling ---------------------------------------------------------------------------------------------------------


def test_openai_chat_is_spelled_as_chunks_and_done() -> None:
    """The bytes of a whole answer, one event a step: role, texts, keep-alive, comment, finish_reason, [DONE]."""
    frame = (
        '{"id":"chatcmpl-testbed","object":"chat.completion.chunk","created":1700000000,"model":"testbed-1",'
        '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}'
    )

    def chunk(delta: str, reason: str = "null") -> tuple[bytes]:
        return (f"data: {frame % (delta, reason)}\n\n".encode(),)

    assert OPENAI.encode(WHOLE) == (
        (),
        chunk('{"role":"assistant","content":""}'),
        chunk('{"content":"a"}'),
        (b": keep-alive\n\n",),
        (),
        chunk('{"content":"b"}'),
        (b": c\n\n",),
        chunk("{}", '"stop"'),
        (b"data: [DONE]\n\n",),
        (),
    )


def test_anthropic_messages_is_spelled_as_named_events() -> None:
    """Every event's name is its data's type; the first text and the finish are two events each."""
    seen = [(event.type, json.loads(event.data)) for event in parsed(ANTHROPIC, *WHOLE)]
    assert all(name == data["type"] for name, data in seen)
    assert [name for name, _ in seen] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [len(step) for step in ANTHROPIC.encode(WHOLE)] == [0, 1, 2, 1, 0, 1, 1, 2, 1, 0]
    assert seen[0][1]["message"]["content"] == []
    assert seen[0][1]["message"]["stop_reason"] is None
    assert {data["index"] for name, data in seen if name.startswith("content_block")} == {0}


def test_anthropic_counts_output_tokens_cumulatively() -> None:
    """message_delta counts the text steps that stand before it."""
    assert payloads(ANTHROPIC, *WHOLE)[-2]["usage"] == {"output_tokens": 2}


def test_eventsource_text_is_a_message() -> None:
    """A text step is a message event whose data is the text; an opening has no bytes."""
    assert EVENTSOURCE.encode((Open(), Text("a\nb"), Message("c", "x", "7", 9))) == (
        (),
        (b"data: a\ndata: b\n\n",),
        (b"event: x\nid: 7\nretry: 9\ndata: c\n\n",),
    )


@every_dialect
def test_body_and_raw_are_sent_as_they_are(dialect: Dialect) -> None:
    """A body is its UTF-8, raw bytes are themselves, and empty ones are no event at all."""
    assert dialect.encode((Body("é\n"), Raw(b"\xff"), Body(""), Raw(b""))) == ((b"\xc3\xa9\n",), (b"\xff",), (), ())


@every_llm
def test_finish_reasons_are_the_dialects_own_words(dialect: Dialect) -> None:
    """An empty reason is the normal one, another one is sent as it is."""
    key, normal = ("finish_reason", "stop") if dialect is OPENAI else ("stop_reason", "end_turn")
    for reason, sent in (("", normal), ("length", "length")):
        assert f'"{key}":"{sent}"' in parsed(dialect, Finish(reason))[-1].data


def test_failures_have_each_vendors_shape() -> None:
    """An in-band error is a plain chunk with an error for one vendor, a named event for the other."""
    failure = Failure("overloaded_error", "too much")
    (event,) = parsed(OPENAI, failure)
    error = {"message": "too much", "type": "overloaded_error", "param": None, "code": "overloaded_error"}
    assert (event.type, json.loads(event.data)) == ("message", {"error": error})
    (event,) = parsed(ANTHROPIC, failure)
    assert event.type == "error"
    assert json.loads(event.data)["error"] == {"type": "overloaded_error", "message": "too much"}


@every_llm
@settings(deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_deltas_join_to_the_text(dialect: Dialect, texts: list[str]) -> None:
    """Invariant: the deltas' texts are the steps' texts, and everything else is the same in every chunk."""
    data = [value for value in payloads(dialect, *map(Text, texts)) if value.get("type") != "content_block_start"]
    deltas = [value["choices"][0].pop("delta") if dialect is OPENAI else value.pop("delta") for value in data]
    assert texts == [delta["content" if dialect is OPENAI else "text"] for delta in deltas]
    assert all(value == data[0] for value in data)


@every_dialect
def test_text_is_sent_as_utf8_not_as_escapes(dialect: Dialect) -> None:
    """A character of several bytes is on the wire as these bytes, so that they can be split."""
    assert "é👩".encode() in b"".join(dialect.encode((Text("é👩"),))[0])


@every_dialect
def test_half_a_surrogate_pair_is_refused(dialect: Dialect) -> None:
    """Text that has no UTF-8 is a usage error that names the step."""
    with pytest.raises(UsageError, match=r"^step 1 \(text\): text: .* which UTF-8 cannot carry"):
        dialect.encode((Text("a"), Text("\ud83d")))


@pytest.mark.parametrize("step", [Finish(), Done(), Failure("x")])
def test_eventsource_refuses_what_it_has_no_words_for(step: Step) -> None:
    """No terminal and no error exist in the protocol: the error names the step and the rule."""
    with pytest.raises(UsageError) as raised:
        EVENTSOURCE.encode((Head(), Text("a"), step))
    assert str(raised.value).startswith(f"step 2 ({type(step).__name__.lower()}): eventsource has no ")
    assert EVENTSOURCE.violations((Head(), Text("a"), step)) == (str(raised.value),)


# --- terminals --------------------------------------------------------------------------------------------------------


@every_llm
def test_terminals_of_the_llm_dialects(dialect: Dialect) -> None:
    """Finish is soft, done is hard, nothing else is terminal."""
    terminal = [dialect.terminal(step) for step in WHOLE]
    assert terminal == [Terminal.NONE] * 7 + [Terminal.SOFT, Terminal.HARD, Terminal.NONE]


def test_eventsource_has_no_terminal() -> None:
    """No step of an event source says that it is over."""
    assert {EVENTSOURCE.terminal(step) for step in WHOLE} == {Terminal.NONE}


@every_llm
def test_the_soft_terminal_is_the_last_event_of_its_step(dialect: Dialect) -> None:
    """Only the last event of a finish step tells the reason."""
    *before, last = dialect.encode((Finish("why"),))[0]
    assert b'"why"' in last
    assert not any(b"why" in data for data in before)


# --- order ------------------------------------------------------------------------------------------------------------

WORST = (
    Text("a"),
    Finish(),
    Open(),
    Open(),
    Done(),
    Text("b"),
    Finish(),
    Finish(),
    Done(),
    Done(),
    Ping(),
    Failure("x"),
)


@every_llm
def test_a_clean_answer_and_its_prefixes_break_no_rule(dialect: Dialect) -> None:
    """A stream that merely stops is in order: what is missing is the terminal's affair."""
    for length in range(len(WHOLE) + 1):
        assert dialect.violations(WHOLE[:length]) == ()
    assert dialect.violations((Head(), Open(), Failure("x"))) == ()
    assert dialect.violations((Head(), Failure("x"))) == ()


@every_llm
@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ((Text("a"),), "step 0 (text)"),
        ((Open(), Open()), "step 1 (open)"),
        ((Open(), Done()), "step 1 (done)"),
        ((Open(), Finish(), Text("a")), "step 2 (text)"),
        ((Open(), Finish(), Finish()), "step 2 (finish)"),
        ((Open(), Finish(), Done(), Done()), "step 3 (done)"),
        ((Open(), Finish(), Done(), Failure("x")), "step 3 (failure)"),
        ((Open(), Failure("x"), Text("a")), "step 2 (text)"),
        ((Open(), Failure("x"), Ping()), "step 2 (ping)"),
        ((Open(), Message("a")), "step 1 (message)"),
        ((Open(), Body("a")), "step 1 (body)"),
        ((Open(), Raw(b"a")), "step 1 (raw)"),
    ],
)
def test_each_broken_rule_is_named_with_its_step(dialect: Dialect, steps: tuple[Step, ...], where: str) -> None:
    """One step out of order is one violation, which says where it is and what the rule is."""
    (violation,) = dialect.violations(steps)
    assert violation.startswith(where + ": ")
    sentences = {rule.sentence for rule in dialect.order.values()}
    assert violation.removeprefix(where + ": ") in sentences


@every_dialect
@settings(deadline=None)
@given(steps=st.lists(st.sampled_from((*WHOLE, *WORST, Body("x"), Raw(b"x"), Message("x"), Head(status=500)))))
def test_violations_of_a_prefix_are_a_prefix(dialect: Dialect, steps: list[Step]) -> None:
    """Invariant: each further step adds at most one violation and takes none away."""
    before: tuple[str, ...] = ()
    for length in range(len(steps) + 1):
        now = dialect.violations(steps[:length])
        assert now[: len(before)] == before
        assert len(now) - len(before) <= 1
        before = now


@every_llm
def test_an_error_answer_has_a_body_and_no_events(dialect: Dialect) -> None:
    """With a status that is no success, a body is in order and an event is not."""
    assert dialect.violations((Head(status=429), Body("{}"))) == ()
    assert dialect.violations((Head(status=429), Text("a"))) == (
        "step 1 (text): an answer with status 429 has a body, not events",
    )


def test_events_may_stand_anywhere_in_an_event_source() -> None:
    """Order rules of an event source concern only what is no event."""
    assert EVENTSOURCE.violations((Head(), Ping(), Text("a"), Comment(), Message("b"), Text("c"))) == ()
    assert len(EVENTSOURCE.violations((Head(), Body("a"), Raw(b"b")))) == 2


@every_dialect
def test_every_step_is_spelled_or_refused_and_every_event_has_a_rule(dialect: Dialect) -> None:
    """The tables are complete: no step can fall between them."""
    assert set(dialect.spelling) | set(dialect.refused) == set(get_args(Step))
    assert set(dialect.spelling).isdisjoint(dialect.refused)
    assert set(dialect.spelling) - dialect.wordless <= set(dialect.order)


# --- what an event source dispatches ----------------------------------------------------------------------------------

WIRE_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n "), max_size=20)
ONE_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=8)
SOURCE_STEPS = st.lists(
    st.one_of(
        st.builds(Text, WIRE_TEXT),
        st.builds(Message, WIRE_TEXT, st.none() | ONE_LINE, st.none() | ONE_LINE, st.none() | st.integers(0, 10**6)),
        st.builds(Comment, WIRE_TEXT),
        st.sampled_from((Head(), Open(), Ping(), Pause(1))),
    )
)


@settings(deadline=None)
@given(SOURCE_STEPS)
def test_events_are_what_the_reference_parser_dispatches(steps: list[Step]) -> None:
    """Invariant: the events derived from the steps are those parsed from their bytes."""
    assert events(steps) == tuple((event.type, event.data, event.id) for event in parsed(EVENTSOURCE, *steps))


def test_events_continue_with_the_clients_id() -> None:
    """A client that reconnects brings its id; it stays until the stream sends another; one with NUL is none."""
    steps = (Text("a"), Message("b", id="2\0"), Message("c", id="3"), Text("d"), Message("e", id=""))
    assert [event[2] for event in events(steps, last_event_id="1")] == ["1", "1", "3", "3", ""]


# --- requests and errors ----------------------------------------------------------------------------------------------


def asked_of(dialect: Dialect, body: object, **changes: Any) -> Asked:
    """Build a request for the dialect's stream."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = Asked(dialect.method, dialect.path, "", {"content-type": "application/json"}, data)
    return asked._replace(**changes)


def refusal_of(dialect: Dialect, asked: Asked) -> tuple[int, dict[str, Any]]:
    """The status and the error of the answer to a request that is wrong."""
    answer = dialect.refuse(asked)
    assert answer is not None
    assert answer.content_type == "application/json"
    assert set(dialect.error_headers(answer.status)) <= set(answer.headers)
    return answer.status, json.loads(answer.body)["error"]


@every_llm
def test_the_request_that_a_dialect_builds_is_right(dialect: Dialect) -> None:
    """A dialect finds nothing wrong with its own request."""
    body = json.dumps(dialect.request("m")).encode()
    assert dialect.refuse(asked_of(dialect, body)) is None
    odd = {"content-type": "Application/JSON; charset=utf-8"}
    assert dialect.refuse(asked_of(dialect, body, query="beta=true", headers=odd)) is None
    assert dialect.request("m")["model"] == "m"


@every_llm
@pytest.mark.parametrize(
    "body",
    [b"{", b'{"model": "\xff"}', pytest.param(b"[" * 100_000, id="deep"), b"[]", b"", b"null", b"nan", b'"' * 3],
)
def test_a_body_that_is_no_object_is_described(dialect: Dialect, body: bytes) -> None:
    """Broken JSON and JSON of the wrong kind are a 400 with a sentence."""
    status, error = refusal_of(dialect, asked_of(dialect, body))
    assert status == 400
    assert error["message"].startswith(("the body is not JSON: ", "the body is a JSON "))


@every_llm
@settings(deadline=None)
@given(body=st.binary() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(repr).map(str.encode))
def test_no_body_breaks_the_check(dialect: Dialect, body: bytes) -> None:
    """Invariant: whatever a client sends is answered or played, and never raises."""
    answer = dialect.refuse(asked_of(dialect, body))
    assert answer is not None
    assert answer.status == 400


def test_path_method_and_content_type_are_checked_in_that_order() -> None:
    """The first thing wrong is the one that is said, each with its status."""
    wrong = asked_of(OPENAI, b"", method="GET", path="/chat", headers={})
    status, error = refusal_of(OPENAI, wrong)
    assert (status, error["code"]) == (404, "unknown_url")
    assert error["message"] == "the path is /chat; openai-chat is served at /v1/chat/completions"
    status, error = refusal_of(OPENAI, wrong._replace(path=OPENAI.path))
    assert (status, error["code"]) == (405, "method_not_supported")
    assert error["message"] == "the method is GET; /v1/chat/completions takes POST"
    answer = OPENAI.refuse(wrong._replace(path=OPENAI.path))
    assert answer is not None
    assert ("Allow", "POST") in answer.headers
    status, error = refusal_of(OPENAI, asked_of(OPENAI, b"", headers={"content-type": "text/plain"}))
    assert (status, error["code"]) == (415, "unsupported_content_type")
    assert error["message"] == "the content type is 'text/plain'; it must be application/json"
    status, error = refusal_of(ANTHROPIC, asked_of(ANTHROPIC, b"", path="/v1/complete"))
    assert (status, error["type"]) == (404, "not_found_error")


@every_dialect
def test_a_dialect_serves_its_own_path(dialect: Dialect) -> None:
    """The path that it names is one that it serves, and no other dialect's is."""
    assert dialect.serves(dialect.path.partition("?")[0])
    assert not dialect.serves("/")
    assert not dialect.serves("/v1/nowhere")


@every_dialect
def test_error_bodies_are_json_with_the_message(dialect: Dialect) -> None:
    """An HTTP error's body is the vendor's JSON, whatever its status is."""
    for status in (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504, 529):
        assert "é" in json.loads(dialect.error_body(status, "", "é")).__repr__()


def test_a_kind_that_is_given_is_the_one_that_is_sent() -> None:
    """An empty kind is the usual one for the status."""
    usual = {"openai-chat": "requests", "anthropic-messages": "rate_limit_error", "eventsource": "error"}
    for dialect in (*LLM, EVENTSOURCE):
        given_kind = json.loads(dialect.error_body(429, "my_kind", "é"))["error"]
        assert (given_kind["type"], given_kind["message"]) == ("my_kind", "é")
        assert json.loads(dialect.error_body(429, "", "x"))["error"]["type"] == usual[dialect.name.value]


@every_llm
def test_named_cases_are_answers_of_their_status(dialect: Dialect) -> None:
    """Every case that a script can be made from has the vendor's shape, its head, and a status that is an error."""
    names = {"context-length", "stream-unsupported", "invalid-key", "org-not-verified", "model-not-found", "timeout"}
    names |= {"conflict", "too-large", "content-type", "unprocessable", "rate-limit", "quota", "server-error"}
    names |= {"bad-gateway", "overloaded", "gateway-timeout"}
    assert names <= set(dialect.cases)
    for case in dialect.cases.values():
        answer = dialect.answer(case)
        assert 400 <= answer.status <= 599
        assert json.loads(answer.body)["error"]["message"] == case.message
        assert set(answer.headers) == {*dialect.error_headers(case.status), *case.headers}


# --- what every dialect shares ----------------------------------------------------------------------------------------


def test_a_step_without_a_word_is_a_usage_error_that_names_it() -> None:
    """A step that a dialect's table does not have is the tester's mistake, not a KeyError."""
    dumb = dataclasses.replace(OPENAI, spelling={Head: OPENAI.spelling[Head]})
    with pytest.raises(UsageError, match=r"^step 1 \(text\): openai-chat has no word for it$"):
        dumb.encode((Head(), Text("a")))


@pytest.mark.parametrize(
    ("dialect", "step", "sentence"),
    [
        (ANTHROPIC, Text("a", choice=1), "step 0 (text): choice is 1; anthropic-messages says at most 1"),
        (OPENAI, Finish(choice=128), "step 0 (finish): choice is 128; openai-chat says at most 128"),
        (OPENAI, Text("a", choice=-1), "step 0 (text): choice is -1; openai-chat says at most 128"),
    ],
)
def test_a_choice_that_cannot_be_is_a_usage_error(dialect: Dialect, step: Step, sentence: str) -> None:
    """A vendor gives so many answers to a request and no more."""
    with pytest.raises(UsageError) as raised:
        dialect.encode((step,))
    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize("step", [Thinking("a"), Refusal("a"), Citation("a"), ToolCall("a"), Arguments("a")])
def test_plain_events_have_no_words_of_chat(step: Step) -> None:
    """What only chat has is refused with its reason, in the bytes and in the order alike."""
    with pytest.raises(UsageError) as raised:
        EVENTSOURCE.encode((step,))
    assert EVENTSOURCE.violations((step,)) == (str(raised.value),)


def test_a_dialect_has_just_the_quirks_of_the_table() -> None:
    """A quirk that a dialect does not have is a usage error that names both."""
    for dialect in DIALECTS.values():
        for quirk, note in QUIRKS.items():
            if dialect.name in note.dialects:
                dialect.encode((Head(),), (quirk,))
            else:
                with pytest.raises(UsageError, match=f"^quirk {quirk.value}: {dialect.name.value} does not have it"):
                    dialect.encode((Head(),), (quirk,))


SHOWN = (Open(), Text("a\nb"), Ping(), Comment("c"), Text("ü"), Finish(), Done())


@pytest.mark.parametrize("name", DialectName)
def test_what_stands_behind_the_data_of_an_event_is_no_more_than_it_says(name: DialectName) -> None:
    """Without so many of its last bytes the data of an event is whole, and with one less it is not."""
    known = DIALECTS[name]
    for quirks in ((), *((quirk,) for quirk in Quirk if name in QUIRKS[quirk].dialects)):
        event = known.encode((Head(), Text("abc")), quirks)[1][-1]
        ends = len(event) - len(event.rstrip(b",\r\n"))
        assert ends <= known.line_ends_of(quirks) <= ends + 6, quirks


def test_which_answers_are_server_sent_events() -> None:
    """All but lines of JSON and an array of it."""
    others = {name for name, known in DIALECTS.items() if not known.is_event_stream()}
    assert others == {DialectName.OLLAMA}
    assert not DIALECTS[DialectName.GEMINI].is_event_stream((Quirk.JSON_ARRAY,))
    assert DIALECTS[DialectName.GEMINI].is_event_stream((Quirk.NO_CHARSET,))


LINES = [Quirk.CRLF, Quirk.CR, Quirk.MIXED_LINE_ENDS, Quirk.BOM, Quirk.NO_SPACE]


@every_llm
@pytest.mark.parametrize("quirk", LINES)
def test_quirks_of_lines_change_the_bytes_and_not_the_events(dialect: Dialect, quirk: Quirk) -> None:
    """The reference parser reads the same events; the bytes are as the quirk says."""
    plain = b"".join(data for step in dialect.encode(SHOWN) for data in step)
    odd = b"".join(data for step in dialect.encode(SHOWN, (quirk,)) for data in step)
    assert Parser().feed(odd) == Parser().feed(plain)
    expected = {
        Quirk.CRLF: plain.replace(b"\n", b"\r\n"),
        Quirk.CR: plain.replace(b"\n", b"\r"),
        Quirk.BOM: b"\xef\xbb\xbf" + plain,
        Quirk.NO_SPACE: re.sub(rb"(?m)^(data|event): ", rb"\1:", plain),
    }
    if quirk in expected:
        assert odd == expected[quirk]
    else:
        assert {b"\n", b"\r\n", b"\r"} <= set(re.findall(rb"\r\n|\r|\n", odd))


@every_llm
def test_the_keepalive_that_looks_like_a_comment(dialect: Dialect) -> None:
    """Some gateways send their comment as data."""
    assert dialect.encode((Ping(),), (Quirk.COLON_KEEPALIVE,)) == ((b"data: : keepalive\n\n",),)


@every_dialect
def test_a_head_can_leave_its_charset_out(dialect: Dialect) -> None:
    """The content type names no charset; without the quirk it is the dialect's own."""
    assert dialect.content_type_of() == dialect.content_type
    assert "charset" not in dialect.content_type_of((Quirk.NO_CHARSET,))
    assert dialect.content_type.startswith(dialect.content_type_of((Quirk.NO_CHARSET,)))


# --- gateways ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateways_page_says_its_status_and_is_no_vendors_error(name: str) -> None:
    """HTML where the name says so, and never the shape in which a vendor says an error."""
    answer = GATEWAYS[name]
    assert name.endswith(str(answer.status))
    if name.startswith("json-"):
        assert "error" not in json.loads(answer.body)
    else:
        assert answer.content_type.startswith("text/html")
        assert answer.body.lstrip().lower().startswith(("<html", "<!doctype html"))
