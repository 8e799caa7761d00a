"""What each failure class is, why it hurts, how it looks on the wire, and how a client is mended.

The law of this module: one lesson a class and no class without one; the requirement of a class stands in
:mod:`testbed.oracle.requirements` and in the table, and is not said again here. The pages of the docs, and
``testbed explain``, are printed from these values.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed._values import Value
from testbed.trace import Failure


class Lesson(Value):
    """One failure class for people: what it is, why it hurts, what a user sees of it, where it usually comes from, an
    example, and the cure.

    In `wire` a line begins with `>` for what the client sent, `<` for what it was given, `=` for what it told its
    caller.
    """

    what: str
    why: str
    seen: str
    cause: str
    wire: tuple[str, ...]
    fix: str


# The examples are in the shortest spelling that still shows the point; a real stream has more fields.
_ASKED = "> POST /v1/chat/completions"
_OK = "< HTTP/1.1 200 OK, text/event-stream"
_HALLO = '< data: {"choices":[{"delta":{"content":"Hallo"}}]}'
_FINISH = '< data: {"choices":[{"delta":{},"finish_reason":"stop"}]}'
_DONE = "< data: [DONE]"

LESSONS: Mapping[Failure, Lesson] = MappingProxyType(
    {
        # --- what the caller is told ------------------------------------------------------------------------------
        Failure.SILENT_TRUNCATION: Lesson(
            "The client reports success although the stream ended before its terminal event.",
            "Half an answer is shown, stored, billed and acted upon as if it were whole, and nobody is told. Of"
            " all failures this is the most frequent and the least visible.",
            "The answer stops in the middle, and the program goes on as if it were whole.",
            "The end of the body is taken for the end of the answer: nothing checks that the terminal event was seen.",
            (
                _ASKED,
                _OK,
                _HALLO,
                "< (the body ends well: last chunk, FIN; no finish_reason, no [DONE])",
                "= success: 'Hallo'",
            ),
            "Remember whether the terminal event of the protocol was seen (`[DONE]` or a finish reason,"
            " `message_stop`, `response.completed`, `done: true`). When the body ends without it, raise the"
            " library's error for an incomplete answer, with the text so far.",
        ),
        Failure.FALSE_FAILURE: Lesson(
            "The client reports an error although the whole answer was delivered intact.",
            "A good answer is thrown away, and a retry pays for it twice.",
            "An error although the answer was delivered whole.",
            "The client waits for something after the end, or reads an end that the protocol allows as a failure.",
            (_ASKED, _OK, _HALLO, _FINISH, _DONE, "< (RST)", "= ConnectionError"),
            "Stop reading at the terminal event. What the connection does behind it, and what is legal within a"
            " stream (comments, unknown fields and events, other line ends), is no trouble.",
        ),
        Failure.WRONG_ERROR_CLASS: Lesson(
            "The client reports trouble, but another one than it met.",
            "Callers decide by the class whether to wait, to ask again or to give up. With the wrong class they"
            " do the wrong thing, in good faith.",
            "The error names another cause than the true one.",
            "Exceptions of the libraries below are mapped too coarsely, so that retry policies act on the wrong cause.",
            (_ASKED, "< HTTP/1.1 429 Too Many Requests", "= ServerError"),
            "Map each cause to its own class where it is known best: status codes when the head is read, error"
            " events when they are parsed, resets and time-outs where the socket is read.",
        ),
        Failure.UNWRAPPED_ERROR: Lesson(
            "An exception of a library below (HTTP, JSON, TLS, sockets) reaches the caller as it is.",
            "Callers who catch the client's own base class are passed by, and the program stops on what it was"
            " prepared for.",
            "An exception of a library below reaches the caller, who catches the client's own only.",
            "The reading of the body, or the decoding of an event, stands outside the block that wraps errors.",
            (_ASKED, _OK, _HALLO, "< (RST)", "= httpx.ReadError"),
            "Wrap reading and parsing of the *stream*, not only the call that opens it: most clients translate"
            " exceptions of the request and forget those of the iteration.",
        ),
        Failure.CRASH: Lesson(
            "A programming error of the client surfaces (IndexError, KeyError, TypeError …), or its process dies.",
            "Nobody can handle it in a sensible way, and it often hides behind input that only a vendor's bad day"
            " brings.",
            "A programming error, or a dead process.",
            "The parser meets input that it did not expect.",
            (_ASKED, _OK, '< data: {"choices":[],"usage":{"total_tokens":9}}', "= IndexError: list index out of range"),
            "Treat everything on the wire as input: lists may be empty, fields missing or null, numbers strings."
            " What cannot be read is a decoding error of the client's own.",
        ),
        # --- what the caller sees ---------------------------------------------------------------------------------
        Failure.CORRUPTED_TEXT: Lesson(
            "Characters differ from those that were sent.",
            "Names, code and whole scripts are damaged, most of all outside ASCII, and only for some ways of"
            " cutting the stream.",
            "Replacement characters, or other characters than those that were sent.",
            "Bytes are decoded chunk by chunk instead of with an incremental decoder, or lines are split where"
            " the standard does not.",
            (
                _ASKED,
                _OK,
                '< data: {"choices":[{"delta":{"content":"na\\xc3',
                '< \\xafve"}}]}',
                "= 'na\\ufffd\\ufffdve'",
            ),
            "Decode with an incremental decoder, or decode whole lines: a read, a chunk or a segment may end"
            " inside a character. Do not guess the charset: an event stream is UTF-8.",
        ),
        Failure.DUPLICATED_TEXT: Lesson(
            "Text is shown twice.",
            "The user reads the beginning again in the middle of the answer; what was built on the stream"
            " (speech, tools, JSON) gets it twice.",
            "Words appear twice.",
            "A retry or a reconnection shows again what was already shown.",
            (_ASKED, _OK, _HALLO, "< (RST)", _ASKED, _OK, _HALLO, _FINISH, _DONE, "= 'HalloHallo'"),
            "Retry only as long as nothing was shown. Where the protocol can resume (Last-Event-ID,"
            " starting_after), go on behind the last event that was handed over; else report the trouble.",
        ),
        Failure.LOST_EVENT: Lesson(
            "An event that was delivered whole is not shown.",
            "Words are missing in the middle or at the end, and the answer still reads like one.",
            "A token, or the last one, is missing.",
            "The last event is not dispatched, or an event that is cut into two reads is thrown away.",
            (_ASKED, _OK, _HALLO, '< data: {"choices":[{"delta":{"content":" Welt"}}]}', _FINISH, _DONE, "= 'Hallo'"),
            "Hand over everything that was parsed before reporting the end, whatever the end is; keep the rest of"
            " a read that holds several events.",
        ),
        Failure.PHANTOM_EVENT: Lesson(
            "The client shows something that was never sent as an event.",
            "Keep-alives, comments and noise of the protocol become part of the answer.",
            "Text or an event that nobody sent.",
            "An empty event is dispatched, or a field that should be ignored is shown.",
            (_ASKED, _OK, "< : keep-alive", _HALLO, "= ' keep-aliveHallo'"),
            "Follow the parsing rules of the standard: a line that begins with a colon is a comment, an event"
            " without data is no event, an unknown field is ignored.",
        ),
        Failure.REORDERED_EVENT: Lesson(
            "Events are shown in another order than they were sent.",
            "The text is scrambled although every piece of it is right.",
            "Tokens in another order.",
            "Events are handled concurrently.",
            (_ASKED, _OK, "< data: one", "< data: two", "= 'two', 'one'"),
            "Hand events on in the order of the stream: no pool of workers, no task for each event, between"
            " parser and caller.",
        ),
        Failure.PARTIAL_EVENT_DELIVERED: Lesson(
            "An event is shown, or a tool call is handed over, that was never finished.",
            "A cut event is half a word at best; a tool call with cut arguments is an action that nobody asked for.",
            "Half an event is shown before the stream breaks off.",
            "What is left in the buffer at the end of the body is dispatched; the standard discards it.",
            (
                _ASKED,
                _OK,
                '< data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\\"path\\": \\"/ho"}}]}}]}',
                "< (the body ends)",
                '= tool call with \'{"path": "/ho\'',
            ),
            "Dispatch an event at its blank line and discard what is left at the end. Hand a tool call over when"
            " the answer says that it is finished, and never run it when the stream broke off.",
        ),
        # --- time -------------------------------------------------------------------------------------------------
        Failure.HANG: Lesson(
            "The client neither ends nor fails, although its stream is over or silent for longer than its time-out.",
            "A worker, a connection and a user wait for ever; in a pool a few of them stop everything.",
            "The call never ends.",
            "No time-out guards the wait that the server never ends.",
            (_ASKED, _OK, _HALLO, "< (silence; the connection stays open)", "= nothing, for ever"),
            "Put a time-out on every read, not only on connecting, and let it be told. End the call at the"
            " terminal event without waiting for the connection to close.",
        ),
        Failure.EARLY_TIMEOUT: Lesson(
            "The client gives up although the stream made progress, or before its time-out was over.",
            "Long answers and slow models fail every time, and always near the same second.",
            "A time-out although the stream was moving.",
            "A time-out for the whole answer is used where one for silence is meant.",
            (_ASKED, _OK, "< (a token each second, 90 of them)", "= TimeoutError after 60 s"),
            "Count silence, not duration: start the timer anew with every byte. A total deadline is the caller's"
            " to set, and has a name of its own.",
        ),
        Failure.LATE_TIMEOUT: Lesson(
            "The client gives up, but long after the time-out that it was told.",
            "Users wait several times as long as was promised, and time-outs further up strike first and hide the"
            " cause.",
            "The time-out comes much later than it was set to.",
            "Each small read, or each retry, starts the clock again without bound.",
            (_ASKED, _OK, _HALLO, "< (silence)", "= TimeoutError after 90 s, told 30 s"),
            "Pass the time-out down to the read itself. Look for timers that add up: one for each layer, one for"
            " each retry, or a new one for every poll.",
        ),
        Failure.LATE_DELIVERY: Lesson(
            "Text is held back and shown much later than it arrived.",
            "The stream is no stream: the user looks at an empty page until the whole answer is there.",
            "Nothing for a long time, then everything at once.",
            "The client, or its parser, buffers the stream.",
            (_ASKED, _OK, "< (a token each second, ten of them)", "= all ten at once, after 10 s"),
            "Yield as events are parsed. Do not read to a fixed size, do not wait for the next event to hand over"
            " this one, and flush decoders and pipes.",
        ),
        # --- asking again -----------------------------------------------------------------------------------------
        Failure.RETRY_STORM: Lesson(
            "The client asks again too often, or without waiting longer from one attempt to the next.",
            "A server that is in trouble gets more requests than before, from all its clients at the same time.",
            "Many requests in a short time.",
            "Retries without a bound or without a growing wait.",
            (
                _ASKED,
                "< HTTP/1.1 503 Service Unavailable",
                f"{_ASKED}  (2 ms later)",
                "< HTTP/1.1 503 Service Unavailable",
                f"{_ASKED}  (2 ms later)",
            ),
            "Bound the number of retries, double the wait each time up to a limit, and spread it by chance (jitter).",
        ),
        Failure.RETRY_AFTER_IGNORED: Lesson(
            "The client asks again before the time that the server named.",
            "The request is refused again, and a limit that would have passed is prolonged.",
            "A retry before the server said that it may come.",
            "The Retry-After field is not read.",
            (_ASKED, "< HTTP/1.1 429 Too Many Requests, Retry-After: 20", f"{_ASKED}  (0.5 s later)"),
            "Read Retry-After in all its forms (seconds, an HTTP date, the vendors' retry-after-ms) and wait at"
            " least so long; report the limit at once if that is longer than the caller can wait.",
        ),
        Failure.RETRIED_NON_RETRYABLE: Lesson(
            "The client repeats a request that cannot succeed, or one that has.",
            "Wrong keys, wrong input and empty accounts stay wrong; a success that is repeated is paid for twice.",
            "A request is repeated that can not succeed, or has succeeded.",
            "The retry policy looks at the kind of exception only.",
            (_ASKED, "< HTTP/1.1 401 Unauthorized", _ASKED, "< HTTP/1.1 401 Unauthorized"),
            "Retry what may pass (408, 409, 429, 5xx, a connection that failed before the answer) and nothing"
            " else; not 429 either when its code says that the quota is used up.",
        ),
        Failure.RETRY_AFTER_PARTIAL_OUTPUT: Lesson(
            "The client repeats a request after text of its answer was shown.",
            "The second answer is another one: a model does not say the same twice. What was shown does not fit"
            " what follows.",
            "The answer starts anew after a part of it was shown.",
            "The retry wraps the whole stream and not only its beginning.",
            (
                _ASKED,
                _OK,
                _HALLO,
                "< (RST)",
                _ASKED,
                _OK,
                '< data: {"choices":[{"delta":{"content":"Guten Tag"}}]}',
                "= 'Hallo', 'n Tag'",
            ),
            "Once something was handed over, leave the decision to the caller: report the trouble together with"
            " what came.",
        ),
        Failure.NO_RESUME: Lesson(
            "A client of a protocol that resumes does not go on after its connection ended.",
            "A feed that was meant to last stops at the first restart of a server, without a word.",
            "An EventSource client stops at a clean end.",
            "The end of the body is taken for the end of the source.",
            (
                "> GET /events",
                "< HTTP/1.1 200 OK, text/event-stream",
                "< data: one",
                "< (the body ends)",
                "= nothing more",
            ),
            "Reconnect after the reconnection time, send Last-Event-ID if an id was seen, and stop at 204 only.",
        ),
        Failure.RESUME_GAP: Lesson(
            "The client goes on at another place than where it had stopped.",
            "Events in between are lost although the protocol could have brought them.",
            "Events are missing after a reconnection.",
            "Last-Event-ID is not sent, or is sent too early.",
            ("< id: 7", "< data: seven", "< (RST)", "> GET /events, Last-Event-ID: 8", "= 'seven', 'nine'"),
            "Name the id of the last event that was *dispatched*: an id counts only with the blank line of its"
            " event, and stays until the next one.",
        ),
        # --- leaving ----------------------------------------------------------------------------------------------
        Failure.CANCEL_IGNORED: Lesson(
            "The caller stopped the call, and the connection stayed open.",
            "The server goes on producing tokens that nobody reads and somebody pays for.",
            "The connection stays busy after the caller lost interest.",
            "The response is not closed when the iterator is.",
            (
                _ASKED,
                _OK,
                _HALLO,
                "= the caller cancels",
                '< data: {"choices":[{"delta":{"content":"…"}}]}  (and so on)',
            ),
            "Close the response when the iteration is left, however it is left: `async with`, `finally`,"
            " `aclose`. Do not drain it first to save the connection.",
        ),
        Failure.RESOURCE_LEAK: Lesson(
            "After the call something is left over: a connection, a descriptor, a thread, a task.",
            "Each call costs a little more, until a limit of the system is reached far from the cause.",
            "Connections stay open after an error.",
            "The response is closed on the good path only.",
            (_ASKED, _OK, _HALLO, "< (RST)", "= ConnectionError; the socket stays open"),
            "Close in `finally` what was opened, on the paths of errors too, and await the tasks that were started.",
        ),
        Failure.UNBOUNDED_MEMORY: Lesson(
            "Memory grows with what the server sends instead of with what the caller reads.",
            "A fast server, a slow reader or one endless line takes the process with it, and everything else that"
            " it serves.",
            "Memory grows with the answer.",
            "An event without an end is buffered without a limit.",
            (_ASKED, _OK, "< data: xxxxxxxx… (no line end, for ever)", "= 4 GiB, then killed"),
            "Read when the caller asks for more, and set a limit for one event; report a longer one as a protocol"
            " error.",
        ),
        Failure.CERTIFICATE_IGNORED: Lesson(
            "The client sends its request to a server whose certificate it cannot trust.",
            "Key, prompt and answer are in the hands of whoever sits in between.",
            "Requests, keys in them, go to a server that could be anybody.",
            "The verification of certificates or of the host's name is switched off.",
            ("< TLS: certificate expired yesterday", _ASKED, _OK),
            "Verify chain, name and dates, always; let an authority be added instead of the check be switched off.",
        ),
    }
)
