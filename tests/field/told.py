"""Real bugs of real clients and servers, each as the script that makes its wire trigger.

The law of this module: one row a bug, by its number in the field corpus; a row says what the server says and what its
bytes are known by, and judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from testbed.script import (
    Arguments,
    Coding,
    Comment,
    Done,
    End,
    Ending,
    Expectation,
    Failure,
    Finish,
    Flush,
    Framing,
    Head,
    HeadField,
    Message,
    Open,
    Pause,
    Ping,
    Quirk,
    Raw,
    Reading,
    Script,
    Text,
    Thinking,
    ToolCall,
)
from tests.field.words import (
    ANTHROPIC,
    CHAT,
    CUT,
    EVENTS,
    FOR_EVER,
    GEMINI,
    MCP,
    OLLAMA,
    RESPONSES,
    WORDS,
    Told,
    chunk,
    chunk_of,
    data,
    keepalives,
    page,
    refused,
    script,
    stream,
    told,
    whole,
)

_DONE = b"data: [DONE]"
_REASON = b'"finish_reason":"'
_LENGTH = Head(framing=Framing.LENGTH)
_HTML = "<!DOCTYPE html>\n<html><body><h1>Blocked by policy</h1></body></html>\n"
_CALL = (ToolCall("get_weather"), Arguments('{"city": '), Arguments('"Paris"}'))
_HALF_CALL = (ToolCall("get_weather"), Arguments('{"city": "Pa'))
_BIG = "x" * 1024


def _tool(**fields: object) -> Raw:
    return chunk(tool_calls=[fields])


ENDS: Mapping[str, Told] = {
    "A01": told(stream(CHAT), has=[b"0\r\n\r\n"], lacks=[_DONE, _REASON]),
    "A02": told(script(ANTHROPIC, Open(), Ping(), *WORDS), has=[b"event: ping"], lacks=[b"message_stop"]),
    "A03": told(stream(ANTHROPIC), lacks=[b"message_stop", b"message_delta"]),
    "A04": told(stream(CHAT), lacks=[_DONE, _REASON]),
    "A06": told(stream(CHAT, Done()), stream(CHAT), has=[_DONE], lacks=[_REASON]),
    "A07": told(stream(CHAT), lacks=[_DONE, _REASON]),
    "A08": told(stream(CHAT, CUT), lacks=[_DONE, b"0\r\n\r\n"]),
    "A09": told(stream(CHAT), lacks=[_DONE, _REASON, b"tool_calls"]),
    "A10": told(stream(CHAT), lacks=[_DONE]),
    "A11": told(
        stream(ANTHROPIC, data({"type": "content_block_stop", "index": 0}, "content_block_stop")),
        has=[b"content_block_stop"],
        lacks=[b"message_delta", b"message_stop"],
    ),
    "A12": told(stream(CHAT, Finish("content_filter")), has=[b'"finish_reason":"content_filter"'], lacks=[_DONE]),
    "A13": told(stream(CHAT, Done()), has=[_DONE], lacks=[_REASON]),
    "A14": told(script(CHAT, Open(), *_HALF_CALL), has=[b"Pa"], lacks=[_DONE, _REASON]),
    "A15": told(
        script(RESPONSES, Open(), *_CALL, Finish()), has=[b"response.output_item.done"], lacks=[b"response.completed"]
    ),
    "A16": told(stream(RESPONSES, Finish()), lacks=[b"response.completed"]),
    "A17": told(stream(CHAT, Pause(300.0), CUT), lacks=[_REASON]),
    "A18": told(stream(CHAT), lacks=[_REASON]),
    "A19": told(script(CHAT), has=[b"text/event-stream", b"0\r\n\r\n"], lacks=[b"data:"]),
    "A20": told(stream(CHAT, Finish()), has=[_REASON], lacks=[_DONE]),
    "A26": told(script(GEMINI, Open(), Thinking("hm")), lacks=[b"finishReason"]),
}

TRANSPORT: Mapping[str, Told] = {
    "B07": told(stream(CHAT, CUT), lacks=[b"0\r\n\r\n"]),
    "B11": told(stream(CHAT, FOR_EVER)),
    "B15": told(refused(CHAT, 400), refused(CHAT, 503), script(CHAT, head=Head(204)), has=[b"HTTP/1.1 503", b" 204 "]),
    "B17": told(*(stream(CHAT, FOR_EVER) for _ in range(3))),
    "B19": told(stream(CHAT, End(Ending.ABORT)), lacks=[b"0\r\n\r\n"]),
}

IN_BAND: Mapping[str, Told] = {
    "C01": told(
        stream(ANTHROPIC, Failure("overloaded_error", "Overloaded")), has=[b"event: error", b"overloaded_error"]
    ),
    "C02": told(stream(ANTHROPIC, Failure("api_error", "Internal")), has=[b"event: error", b"Internal"]),
    "C03": told(script(CHAT, Failure("server_error"), quirks=[Quirk.DONE_AFTER_ERROR]), has=[b'data: {"error"', _DONE]),
    "C04": told(stream(CHAT, Failure("server_error")), has=[b'data: {"error"']),
    "C05": told(stream(CHAT, Done()), has=[_DONE], lacks=[_REASON]),
    "C06": told(stream(ANTHROPIC, Failure("api_error")), has=[b"event: error"], lacks=[b"message_stop"]),
    "C07": told(stream(RESPONSES, Failure("server_error")), has=[b"response.failed"], lacks=[b"response.completed"]),
    "C08": told(
        stream(RESPONSES, Finish("max_output_tokens"), Done()), has=[b"response.incomplete", b"max_output_tokens"]
    ),
    "C09": told(
        script(
            CHAT,
            Failure("400", "the request exceeds the available context size"),
            quirks=[Quirk.ERROR_FIELD, Quirk.DONE_AFTER_ERROR],
        ),
        has=[b"error: {", _DONE],
        lacks=[b'data: {"error"'],
    ),
    "C10": told(script(CHAT, Failure("context_length_exceeded")), has=[b'data: {"error"', b"HTTP/1.1 200"]),
    "C11": told(
        stream(CHAT, Raw(b'data:{"error":"Input is too long","error_type":"validation"}\n\n'), quirks=[Quirk.NO_SPACE]),
        has=[b'data:{"error":"'],
    ),
    "C12": told(
        stream(OLLAMA, Failure("", "an error was encountered while running the model: unexpected EOF")),
        has=[b'{"error":', b"HTTP/1.1 200"],
        lacks=[b'"done":true'],
    ),
    "C13": told(
        stream(
            RESPONSES,
            data({"type": "error", "sequence_number": 99, "code": "x", "message": "y", "param": None}, "error"),
        ),
        has=[b"event: error"],
    ),
    "C15": told(stream(CHAT, CUT), lacks=[b'"error"', _DONE, b"0\r\n\r\n"]),
    "C16": told(
        script(CHAT, Open(), Raw(b"data: Number of choices must be greater than 0.\n\n"), FOR_EVER),
        script(CHAT, Open(), Failure("server_error"), *keepalives(20, 15.0), FOR_EVER),
        has=[b"data: Number of", b'data: {"error"'],
    ),
    "C17": told(
        stream(GEMINI, Raw(b'{\n  "error": {\n    "code": 503,\n    "status": "UNAVAILABLE"\n  }\n}\n')),
        has=[b'{\n  "error": {'],
    ),
    "C18": told(*(refused(CHAT, status) for status in (401, 404, 429)), has=[b" 401 ", b" 404 ", b" 429 "]),
    "C19": told(script(ANTHROPIC, Failure("overloaded_error")), has=[b"event: error"], lacks=[b"message_start"]),
    "C20": told(stream(RESPONSES, Failure("server_error", "request req_123 failed")), has=[b"req_123"]),
    "C21": told(stream(ANTHROPIC, Failure("overloaded_error")), has=[b"overloaded_error"]),
    "C22": told(
        script(CHAT, data({"error": {"message": "no"}}, "message"), head=Head(500, "application/json")),
        has=[b"HTTP/1.1 500", b"event: message\ndata: {"],
    ),
    "C23": told(stream(CHAT, Finish("content_filter"), Done()), has=[b'"content_filter"']),
    "C25": told(
        script(RESPONSES, data({"error": {"type": "service_unavailable_error", "code": "server_is_overloaded"}})),
        has=[b"server_is_overloaded"],
    ),
}

DATA: Mapping[str, Told] = {
    "D01": told(script(CHAT, Open(), Text("a\u2028b"), Finish(), Done()), has=[b"\xe2\x80\xa8"]),
    "D02": told(
        script(CHAT, Open(), Text("\u2705"), Finish(), Done(), quirks=[Quirk.NO_CHARSET]),
        has=[b"\xe2\x9c\x85", b"Content-Type: text/event-stream\r\n"],
    ),
    "D03": told(
        script(CHAT, Open(), Text("déjà vu"), Finish(), Done(), quirks=[Quirk.NO_CHARSET]),
        has=["déjà".encode(), b"Content-Type: text/event-stream\r\n"],
    ),
    "D05": told(
        stream(
            OLLAMA, Raw(b'{"message":{"content":"\xff\xfe"},"done":false}\n'), Raw(b'{"message":{"content":"\xe2\x82')
        ),
        has=[b"\xff\xfe"],
    ),
    "D08": told(whole(CHAT, quirks=[Quirk.CRLF]), has=[b"\r\n\r\ndata: "], lacks=[b"}\n\n"]),
    "D09": told(script(EVENTS, Raw(b"event: x\r\ndata: y\n\n")), has=[b"event: x\r\ndata: y\n\n"]),
    "D14": told(
        script(
            CHAT,
            Ping(),
            Open(),
            *WORDS,
            Raw(b":\n"),
            Comment("ping"),
            Finish(),
            Done(),
            quirks=[Quirk.OPENROUTER_COMMENTS],
        ),
        has=[b": OPENROUTER PROCESSING\n\n", b":\n", b": ping\n\n"],
    ),
    "D15": told(
        script(EVENTS, Message("{}", id="1"), Comment("ping"), Message("end")), has=[b"id: 1\ndata: {}\n\n: ping\n\n"]
    ),
    "D16": told(
        script(CHAT, Raw(b"retry: 3000\n\n"), Raw(b"event: keepalive\n\n"), Open(), *WORDS, Finish(), Done()),
        has=[b"retry: 3000\n\n", b"event: keepalive\n\n"],
    ),
    "D17": told(
        script(CHAT, Open(), *keepalives(2, 14.0), *WORDS, Finish(), Done(), quirks=[Quirk.COLON_KEEPALIVE]),
        has=[b"data: : keepalive\n\n"],
    ),
    "D18": told(whole(CHAT, quirks=[Quirk.NO_SPACE]), has=[b"data:{"], lacks=[b"data: "]),
    "D19": told(
        stream(
            CHAT,
            Raw(b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",\ndata: "choices":[]}\n\n'),
            Finish(),
            Done(),
        ),
        has=[b',\ndata: "choices"'],
    ),
    "D20": told(whole(CHAT, quirks=[Quirk.NO_SPACE]), has=[b"data:[DONE]"]),
    "D23": told(script(EVENTS, Message("a", id="1"), Message("b", id="a\0b")), has=[b"id: a\0b"]),
    "D24": told(script(CHAT, Open(), Text(_BIG * 600), Finish(), Done()), has=[_BIG.encode() * 600]),
    "D25": told(script(CHAT, Open(), Text(_BIG * 65), Finish(), Done()), has=[_BIG.encode() * 65]),
    "D26": told(script(EVENTS, Raw(b"data: no blank line\n", times=100_000)), lacks=[b"\n\ndata"]),
    "D27": told(script(EVENTS, Message("A" * 4_000_000)), has=[b"A" * 4_000_000]),
    "D30": told(
        script(GEMINI, Raw(b'{"candidates":[]}{"candidates":[]}'), head=Head(content_type="application/json")),
        has=[b"application/json", b"}{"],
    ),
    "D31": told(
        script(CHAT, Open(), *WORDS, Finish(), Done(), head=Head(coding=Coding.GZIP)),
        has=[b"Content-Encoding: gzip", b"\x1f\x8b"],
    ),
    "D33": told(
        script(EVENTS, Comment("ping"), Raw(b"retry: 3000\n\n"), Message("a")), has=[b": ping\n\nretry: 3000\n\n"]
    ),
    "D34": told(stream(CHAT, Raw(b'data: {"x":')), has=[b'data: {"x":'], lacks=[_DONE]),
    "D35": told(
        whole(CHAT, quirks=[Quirk.AZURE]), whole(CHAT, quirks=[Quirk.USAGE_CHUNK]), has=[b'"choices":[]', b'"usage":{']
    ),
    "D36": told(
        stream(
            CHAT,
            chunk_of({"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}),
            Finish(),
            Done(),
        ),
        has=[b"content_filter_offsets"],
    ),
    "D37": told(
        page(CHAT, 200, _HTML),
        page(CHAT, 200, '{"error":{"message":"no"}}', "application/json"),
        has=[b"text/html", b"Blocked"],
    ),
    "D38": told(
        script(CHAT, Open(), *WORDS, Finish(), Done(), faults=[HeadField("Content-Length", ("5",))]),
        has=[b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    ),
    "D40": told(
        script(
            CHAT, Raw(b'{"message":{"content":"a"},"done":false}\n'), head=Head(content_type="application/x-ndjson")
        ),
        has=[b"application/x-ndjson"],
    ),
}

TIMES: Mapping[str, Told] = {
    "E01": told(script(CHAT, Open(), *WORDS, Finish(), Done(), head=Head(coding=Coding.GZIP, flush=Flush.END))),
    "E03": told(
        Script(CHAT, (Pause(100.0), *page(CHAT, 504, _HTML).steps)),
        Script(CHAT, (Pause(125.0), *page(CHAT, 524, _HTML).steps)),
        has=[b" 504 ", b" 524 "],
    ),
    "E04": told(
        script(CHAT, Open(), *(one for n in range(400) for one in (Text(f"{n} "), Pause(1.0))), Finish(), Done())
    ),
    "E05": told(stream(CHAT, Pause(301.0), Text("late"), Finish(), Done())),
    "E06": told(stream(CHAT, FOR_EVER)),
    "E07": told(script(ANTHROPIC, Open(), *WORDS, FOR_EVER), lacks=[b"message_stop"]),
    "E09": told(Script(CHAT, (Pause(86_400.0), Head(), End(Ending.OPEN)))),
    "E10": told(script(CHAT, Open(), *keepalives(40, 5.0, Comment("keep-alive"))), lacks=[b'content":"O']),
    "E11": told(
        script(CHAT, Open(), *(one for n in range(90) for one in (Text(f"{n} "), Pause(1.0))), Finish(), Done())
    ),
    "E12": told(script(CHAT, Open(), Thinking("a"), Thinking("b"), FOR_EVER), has=[b"reasoning_content"]),
    "E13": told(stream(CHAT, Pause(10.0), CUT), stream(CHAT, Pause(25.0), CUT), stream(CHAT, Pause(30.0), CUT)),
    "E14": told(
        stream(CHAT, Raw(b'data: {"id":'), Comment("keep-alive"), Raw(b'"x"}\n\n'), Finish(), Done()),
        has=[b'{"id":: keep-alive\n\n"x"}'],
    ),
    "E15": told(
        script(CHAT, Open(), *WORDS, Pause(30.0), Finish(), Done(), head=Head(coding=Coding.GZIP, flush=Flush.END)),
        has=[b"gzip"],
    ),
    "E16": told(
        stream(ANTHROPIC, Finish(), Done(), FOR_EVER),
        stream(RESPONSES, Finish(), Done(), FOR_EVER),
        stream(GEMINI, Finish(), FOR_EVER),
        stream(OLLAMA, Finish(), Done(), FOR_EVER),
        has=[b"message_stop", b"response.completed", b"finishReason", b'"done":true'],
    ),
    "E18": told(stream(CHAT, FOR_EVER)),
    "E19": told(script(MCP, Open(), Pause(301.0), Text("late"), Done())),
}

RETRIES: Mapping[str, Told] = {
    "F01": told(page(EVENTS, 200, _HTML), whole(EVENTS), has=[b"text/html"]),
    "F03": told(whole(EVENTS), whole(EVENTS), lacks=[b"id:"]),
    "F04": told(whole(EVENTS), script(EVENTS, head=Head(204)), has=[b" 204 "]),
    "F05": told(script(EVENTS), whole(EVENTS), lacks=[b"id:"]),
    "F06": told(script(EVENTS), script(EVENTS, CUT), script(EVENTS, End(Ending.RST))),
    "F07": told(script(MCP)),
    "F08": told(script(MCP, Open(), Text("a"), CUT), script(MCP, CUT), whole(MCP), has=[b"id: "]),
    "F09": told(script(MCP, Open(), Text("a"), CUT, quirks=[Quirk.STATELESS]), lacks=[b"id: "]),
    "F11": told(Script(CHAT, (Head(), Pause(120.0), End(Ending.OPEN))), whole(CHAT)),
    "F14": told(script(EVENTS, *WORDS, Pause(61.0), End(Ending.RST))),
    "F15": told(script(EVENTS), script(EVENTS), script(EVENTS)),
    "F16": told(refused(CHAT, 429, Retry_After="60"), has=[b"Retry-After: 60"]),
    "F17": told(script(EVENTS, *WORDS, CUT), refused(EVENTS, 429), whole(EVENTS), has=[b" 429 "]),
    "F18": told(refused(CHAT, 429, "insufficient_quota"), has=[b"insufficient_quota"]),
    "F21": told(whole(EVENTS)),
    "F22": told(
        stream(CHAT, FOR_EVER),
        stream(CHAT, End(Ending.RST)),
        stream(CHAT, Raw(b"data: {not json\n\n")),
        stream(CHAT, Failure("server_error")),
        stream(CHAT, Raw(b'data: {"x":"\xff"}\n\n')),
        has=[b"{not json", b"\xff", b'data: {"error"'],
    ),
}

HYGIENE: Mapping[str, Told] = {
    "H01": told(script(MCP), lacks=[b"id: ", b'"result"']),
    "H02": told(refused(MCP, 404), page(MCP, 200, _HTML), has=[b" 404 ", b"text/html"]),
    "H04": told(refused(CHAT, 429), has=[b" 429 "]),
    "H05": told(stream(CHAT, FOR_EVER)),
    "H07": told(script(CHAT, Open(), *(Text(f"{n} ") for n in range(50)), Finish(), Done()), has=[_DONE]),
    "H08": told(
        script(CHAT, Open(), *(one for n in range(50) for one in (Text(f"{n} "), Pause(0.2))), Finish(), Done())
    ),
    "H10": told(script(CHAT, Open(), Raw(b"data: " + b"y" * 1018 + b"\n\n", times=50_000), Done())),
    "H11": told(script(EVENTS, Raw(b"data: a\n", times=20), FOR_EVER), lacks=[b"\n\n"]),
}

ORDER: Mapping[str, Told] = {
    "I01": told(
        script(
            CHAT,
            Open(),
            _tool(id="call_1", type="function", function={"name": "f", "arguments": "{}"}),
            Finish("tool_calls"),
            Done(),
        ),
        lacks=[b'"index": 0, "id"'],
    ),
    "I03": told(
        script(
            CHAT,
            Open(),
            _tool(index=1, id="call_1", type="function", function={"name": "f", "arguments": "{}"}),
            Finish("tool_calls"),
            Done(),
        ),
        has=[b'"index": 1'],
    ),
    "I04": told(
        script(
            CHAT,
            Open(),
            _tool(index=0, type="function", function={"name": "f", "arguments": ""}),
            _tool(index=0, function={"arguments": "{}"}),
            Finish("tool_calls"),
            Done(),
        ),
        lacks=[b'"id": "call'],
    ),
    "I05": told(script(ANTHROPIC, Open(), Open(), *WORDS, Finish(), Done())),
    "I06": told(
        script(
            ANTHROPIC,
            data(
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                "content_block_start",
            ),
            Open(),
            *WORDS,
            Finish(),
            Done(),
        ),
    ),
    "I07": told(
        stream(
            ANTHROPIC,
            data(
                {"type": "content_block_start", "index": 7, "content_block": {"type": "text", "text": ""}},
                "content_block_start",
            ),
            Finish(),
            Done(),
        ),
        has=[b'"index": 7'],
    ),
    "I08": told(
        stream(ANTHROPIC, Finish("max_tokens"), Done()),
        stream(CHAT, Finish("length"), Done()),
        has=[b'"max_tokens"', b'"length"'],
    ),
    "I09": told(
        script(GEMINI, Open(), Finish("MALFORMED_FUNCTION_CALL")), has=[b"MALFORMED_FUNCTION_CALL"], lacks=[b'"text"']
    ),
    "I10": told(
        stream(
            CHAT,
            chunk_of(
                {"index": 0, "delta": {"content": " end"}, "finish_reason": "stop"},
                usage={"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5},
            ),
            Done(),
        ),
        has=[b'"content": " end"', b'"usage"'],
    ),
    "I11": told(
        script(CHAT, Open(), *_HALF_CALL, Finish("length"), Done()),
        script(RESPONSES, Open(), *_HALF_CALL, Finish("max_output_tokens"), Done()),
        has=[b'"length"', b"response.incomplete"],
    ),
    "I12": told(stream(CHAT, Finish(), CUT, quirks=[Quirk.USAGE_CHUNK]), lacks=[b'"choices":[]']),
}

SETUP: Mapping[str, Told] = {
    "J01": told(
        refused(CHAT, 400, "unsupported_value", "Your organization must be verified to stream this model."),
        has=[b" 400 ", b"must be verified"],
    ),
    "J02": told(
        page(
            CHAT,
            400,
            '{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\\n \\"error\\": {}}"}}}',
            "application/json",
        ),
        has=[b'"raw":"{\\n'],
    ),
    "J03": told(
        Script(CHAT, refused(CHAT, 413).steps, reading=Reading(most=1024, rest=False, expect=Expectation.CONTINUE)),
        has=[b" 413 ", b"Connection: close"],
    ),
    "J05": told(
        script(CHAT, data({"id": "x", "object": "chat.completion", "choices": []}), Done()),
        has=[b'"chat.completion"', _DONE],
    ),
    "J06": told(page(CHAT, 200, _HTML), has=[b"text/html"]),
}

TOLD: Mapping[str, Told] = {**ENDS, **TRANSPORT, **IN_BAND, **DATA, **TIMES, **RETRIES, **HYGIENE, **ORDER, **SETUP}

# What a script cannot say, and why.
UNTOLD: Mapping[str, str] = {
    "B16": "Bedrock's binary event stream is no dialect here; its bytes can be sent raw, but no client of it is asked",
    "F19": "whose events are replayed to whom is a fault of a server with several users; each plan here has one client",
}
