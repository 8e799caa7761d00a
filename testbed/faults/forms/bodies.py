"""Forms of the body: what the standard of server-sent events allows or forbids, and parsers get wrong.

The law of this module: the HTTP around the body is good. Where the standard says what a parser makes of a form, it
makes just that; the reference parser of :mod:`testbed.sse` is the measure.
"""

from __future__ import annotations

from testbed.faults.forms._form import Form, Group
from testbed.script import ContentFault, Ending, Join, Joint, Quirk, Raw, Step, Text

_PARSING = "HTML, 9.2.6"
_GRAMMAR = "HTML, 9.2.5"
_UTF8 = "RFC 3629, 3"

_BOM = b"\xef\xbb\xbf"
_MEBIBYTE = Raw(b"x" * 1024, times=1024)


def _raw(
    name: str, broken: str, data: bytes, *, section: str = _PARSING, legal: bool = True, plain: bool = True
) -> Form:
    return Form(name, Group.BODY, broken, section, between=(Raw(data),), legal=legal, plain=plain)


# Raw bytes without an event in them: what every dialect's client must pass over.
def _silent(name: str, broken: str, data: bytes) -> Form:
    return _raw(name, broken, data, plain=False)


def _utf8(name: str, broken: str, data: bytes) -> Form:
    return _raw(f"utf-8-{name}", broken, b"data: a" + data + b"b\n\n", section=_UTF8, legal=False)


def _quirk(quirk: Quirk, broken: str) -> Form:
    return Form(quirk.value, Group.BODY, broken, _GRAMMAR, quirks=(quirk,), legal=True)


def _said(name: str, broken: str, *between: Step) -> Form:
    return Form(name, Group.BODY, broken, _PARSING, between=between, legal=True)


def _large(name: str, broken: str, *steps: Step, end: Ending = Ending.CLEAN, legal: bool = True) -> Form:
    steps = (Text("one"), *steps)
    return Form(name, Group.BODY, broken, _PARSING, steps=steps, end=end, legal=legal, plain=True)


def _joined(name: str, broken: str, *faults: ContentFault) -> Form:
    return Form(name, Group.BODY, broken, "RFC 9112, 7.1", faults, legal=True)


BODIES: tuple[Form, ...] = (
    # --- line ends and marks
    _quirk(Quirk.CRLF, "Every line ends with CR LF."),
    _quirk(Quirk.CR, "Every line ends with CR."),
    _quirk(Quirk.MIXED_LINE_ENDS, "Lines end with LF, CR LF and CR in turn."),
    _quirk(Quirk.BOM, "A byte order mark stands before the first event."),
    Form(
        "bom-twice",
        Group.BODY,
        "Two byte order marks stand before the first event; the second belongs to the field's name.",
        _PARSING,
        steps=(Raw(_BOM + _BOM + b"data: zero\n\n"), Text("one"), Text("two")),
        plain=True,
    ),
    _raw(
        "bom-inside",
        "A byte order mark stands before a later event, whose field then has another name.",
        _BOM + b"data: x\n\n",
    ),
    _said(
        "line-separators", "U+2028, U+2029 and U+0085 stand in a line, and end none.", Text("a\u2028b\u2029c\u0085d")
    ),
    _said(
        "control-characters",
        "Form feed, vertical tab and the separators U+001C to U+001E stand in a line, and end none.",
        Text("a\x0bb\x0cc\x1cd\x1de\x1ef"),
    ),
    # --- fields
    _raw("id-with-nul", "An id holds NUL, so it is passed over.", b"id: a\0b\ndata: x\n\n"),
    _raw("id-without-value", "An id has no value, so the last one is forgotten.", b"id: 7\ndata: x\n\nid\ndata: y\n\n"),
    _raw("event-without-name", "The name of an event is empty, so it is a message.", b"event:\ndata: x\n\n"),
    _raw("data-empty", "The data is empty, and that is an event.", b"data:\n\n"),
    _raw("data-without-colon", "The field `data` stands without a colon, and that is an event.", b"data\n\n"),
    _raw("data-tab", "A tab stands behind the colon, and belongs to the value.", b"data:\tx\n\n"),
    _raw("data-two-spaces", "Two spaces stand behind the colon; one belongs to the value.", b"data:  x\n\n"),
    _raw("data-space-before-colon", "A space stands before the colon, so the field has another name.", b"data : x\n\n"),
    _raw("data-upper-case", "The field is called `DATA`, which is another name.", b"DATA: x\n\n"),
    _raw("data-colons", "The data begins with a colon.", b"data::x:y\n\n"),
    _raw("data-many-lines", "The data has empty lines at its beginning and its end.", b"data:\ndata: x\ndata:\n\n"),
    _silent("retry-only", "An event has a reconnection time and nothing else, so it is none.", b"retry: 1000\n\n"),
    _silent("retry-not-a-number", "The reconnection time is no number, so it is passed over.", b"retry: 1.5s\n\n"),
    _silent("id-only", "An event has an id and nothing else, so it is none.", b"id: 7\n\n"),
    _silent("event-only", "An event has a name and nothing else, so it is none.", b"event: tick\n\n"),
    _silent("field-unknown", "A field has a name that nobody knows.", b"mood: fine\n\n"),
    _silent("field-indented", "A space stands before the field's name.", b" data: x\n\n"),
    _silent("colon-only", "A line is a colon alone, which is a comment.", b":\n\n"),
    _silent("comment-like-data", "A comment reads like data.", b": data: x\n\n"),
    _silent("empty-lines", "Five empty lines stand between two events.", b"\n\n\n\n\n"),
    _raw("comment-inside", "A comment stands between the data lines of one event.", b"data: x\n: comment\ndata: y\n\n"),
    # --- broken UTF-8
    _utf8("cut", "A character of three bytes lacks its last.", b"\xe2\x82"),
    _utf8("overlong", "A slash is written with two bytes.", b"\xc0\xaf"),
    _utf8("surrogate", "Half a surrogate pair is written as a character.", b"\xed\xa0\x80"),
    _utf8("continuation", "A continuation byte stands alone.", b"\x80"),
    _utf8("beyond", "A character is above U+10FFFF.", b"\xf4\x90\x80\x80"),
    _utf8("byte-ff", "A byte is 255, which UTF-8 never has.", b"\xff"),
    # --- sizes
    _large("event-large", "An event is 1 MiB long.", Raw(b"data: "), _MEBIBYTE, Raw(b"\n\n"), Text("two")),
    _large(
        "event-many-lines",
        "An event has 100,000 data lines.",
        Raw(b"data: x\n", times=100_000),
        Raw(b"\n"),
        Text("two"),
    ),
    _large("line-endless", "A line of 4 MiB has no end; FIN follows.", Raw(b"x" * 1024, times=4096), end=Ending.FIN),
    _large("comment-large", "A comment is 1 MiB long.", Raw(b":"), _MEBIBYTE, Raw(b"\n\n"), Text("two")),
    _large("events-many", "100,000 events leave in one write.", Raw(b"data: x\n\n", times=100_000), Text("two")),
    # --- how it is cut
    _joined("writes-joined", "The head, all events and the end leave in one write.", Join(Joint.WRITE)),
    _joined("events-in-one-chunk", "All events stand in one chunk.", Join(Joint.CHUNK)),
)
