"""What parsers say to every form of the table; ``python docs/illegal_forms.py`` measures it: illegal_forms.json.

The law of this module: a verdict is measured, and stands beside the version that gave it. docs/generate.py prints the
page from the JSON; tests measure again what is installed in the same version.
"""

from __future__ import annotations

import base64
import enum
import http.client
import io
import json
import platform
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, get_args

import h11
import msgspec

from testbed.faults.forms import FORMS, Form, Group
from testbed.program import Close, Write, compile_script
from testbed.script import Coding, ContentFault, Ending
from testbed.sse import Parser

HERE = Path(__file__).parent
DATA = HERE / "illegal_forms.json"


class Verdict(str, enum.Enum):
    """What a parser made of an answer."""

    WHOLE = "whole"  # complete, with the status and the body that were meant
    SHORT = "short"  # complete, and only the beginning of the body that was meant
    OTHER = "other"  # complete, with another status or body
    REFUSED = "refused"  # an error: this is no HTTP, or too large
    CUT = "cut"  # an error: the connection ended too early
    WAITS = "waits"  # it wants more bytes
    CRASH = "crash"  # an exception that is no error of the protocol


class Answer(NamedTuple):
    """A form as it goes over the wire, and what was meant by it: the status, and the body as sent and uncompressed."""

    wire: bytes
    how: Ending
    status: int
    body: bytes
    plain: bytes


def answer(form: Form) -> Answer:
    """Compile a form."""
    script = form.script()
    program = compile_script(script)
    writes = [one for one in program if isinstance(one, Write)]
    close = program[-1]
    assert isinstance(close, Close)
    body = b"".join(one.data[slice(*one.payload)] for one in writes)
    plain = body
    if script.head.coding is Coding.GZIP:
        uncoded = uncompressed(form)
        plain = answer(uncoded).body
    return Answer(b"".join(one.data for one in writes), close.how, script.head.status, body, plain)


def uncompressed(form: Form) -> Form:
    """The form without its compression."""
    return form._replace(head=type(form.head)(status=form.head.status, framing=form.head.framing))


def judged(meant: Answer, status: int, body: bytes) -> Verdict:
    """The verdict on a message that a parser took as complete."""
    if status == meant.status and body in (meant.body, meant.plain):
        return Verdict.WHOLE
    return Verdict.SHORT if status == meant.status and meant.body.startswith(body) else Verdict.OTHER


# --- parsers of HTTP --------------------------------------------------------------------------------------------------


def by_h11(meant: Answer) -> Verdict:
    """H11, with the limit that httpx gives it."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=100 * 1024)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "testbed")]))
    reader.send(h11.EndOfMessage())
    if meant.wire:
        reader.receive_data(meant.wire)
    status, body, over = 0, bytearray(), False
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError:
            return Verdict.CUT if over else Verdict.REFUSED
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return judged(meant, status, bytes(body))
        elif event is h11.PAUSED or (isinstance(event, h11.InformationalResponse) and event.status_code == 101):
            return Verdict.OTHER
        elif isinstance(event, h11.ConnectionClosed):
            return Verdict.CUT
        elif event is h11.NEED_DATA:
            if meant.how is Ending.OPEN:
                return Verdict.WAITS
            if meant.how in {Ending.RST, Ending.ABORT}:
                return Verdict.CUT
            over = True
            reader.receive_data(b"")


class _Wire(io.RawIOBase):
    """The bytes of an answer, and then its end, as a file on a socket shows them."""

    def __init__(self, meant: Answer) -> None:
        self._rest = io.BytesIO(meant.wire)
        self._how = meant.how

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._rest.readinto(buffer)
        if count == 0 and self._how is Ending.OPEN:
            raise TimeoutError
        if count == 0 and self._how in {Ending.RST, Ending.ABORT}:
            raise ConnectionResetError
        return count


class _Socket:
    def __init__(self, meant: Answer) -> None:
        self._meant = meant

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks of a socket."""
        return io.BufferedReader(_Wire(self._meant))


def by_http_client(meant: Answer) -> Verdict:
    """Python's own http.client, on which requests and urllib3 stand."""
    response = http.client.HTTPResponse(_Socket(meant), method="GET")  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read()
    except TimeoutError:
        return Verdict.WAITS
    except (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionError):
        return Verdict.CUT
    except http.client.HTTPException:
        return Verdict.REFUSED
    except (ValueError, ArithmeticError, MemoryError):
        return Verdict.CRASH
    return judged(meant, response.status, body)


def by_node(meant: list[Answer]) -> tuple[str, list[Verdict], list[Verdict]]:
    """Node's version, and the verdicts of its http and of its fetch."""
    asked = json.dumps([{"data": base64.b64encode(one.wire).decode(), "how": _END[one.how]} for one in meant])
    command = ["node", str(HERE / "parsers.mjs")]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=120, check=True)
    said = json.loads(done.stdout)
    pairs = list(zip(meant, said["results"], strict=True))
    via_http, via_fetch = ([_of_node(one, found[name]) for one, found in pairs] for name in ("http", "fetch"))
    return said["version"], via_http, via_fetch


_END = {Ending.CLEAN: "fin", Ending.FIN: "fin", Ending.RST: "rst", Ending.ABORT: "rst", Ending.OPEN: "open"}
_CUT = frozenset({"ECONNRESET", "UND_ERR_SOCKET", "ended early", "aborted"})


def _of_node(meant: Answer, found: Mapping[str, Any]) -> Verdict:
    if "error" not in found:
        return judged(meant, found["status"], base64.b64decode(found["body"]))
    if found["error"] == "silence":
        return Verdict.WAITS
    return Verdict.CUT if found["error"] in _CUT else Verdict.REFUSED


# --- parsers of server-sent events ------------------------------------------------------------------------------------

Events = list[tuple[str, str]]


def by_reference(_head: str, body: bytes) -> Events:
    """Ours, which is the standard's."""
    return [(event.type, event.data) for event in Parser().feed(body)]


def by_httpx_sse(content_type: str, body: bytes) -> Events:
    """httpx-sse."""
    import httpx
    from httpx_sse import EventSource

    headers = {"content-type": content_type} if content_type else {}
    found = EventSource(httpx.Response(200, headers=headers, content=body)).iter_sse()
    return [(event.event, event.data) for event in found]


def by_openai(_content_type: str, body: bytes) -> Events:
    """The decoder of the openai SDK."""
    from openai._streaming import SSEDecoder

    return [(event.event or "message", event.data) for event in SSEDecoder().iter_bytes(iter([body]))]


def by_anthropic(_content_type: str, body: bytes) -> Events:
    """The decoder of the anthropic SDK."""
    from anthropic._streaming import SSEDecoder

    return [(event.event or "message", event.data) for event in SSEDecoder().iter_bytes(iter([body]))]


READERS: Mapping[str, Callable[[str, bytes], Events]] = {
    "httpx-sse": by_httpx_sse,
    "openai": by_openai,
    "anthropic": by_anthropic,
}


class Reading(str, enum.Enum):
    """What a parser of events made of a body, beside the standard."""

    SAME = "same"  # the events that the standard says
    DIFFERS = "differs"  # other events
    REFUSED = "refused"  # an error


def reading(form: Form, read: Callable[[str, bytes], Events]) -> Reading:
    """Let one parser read the body of a form, as if HTTP had been content with it."""
    content_type = form.head.content_type
    body = answer(form).plain
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read("text/event-stream" if content_type is None else content_type, body)
    except Exception:  # whatever it raises, it did not read the stream
        return Reading.REFUSED
    return Reading.SAME if found == by_reference("", body) else Reading.DIFFERS


# --- measuring --------------------------------------------------------------------------------------------------------

HTTP_GROUPS = (Group.LENGTH, Group.CHUNK, Group.HEAD, Group.CONTENT)
EVENT_GROUPS = (Group.CONTENT, Group.BODY)


def forms(groups: tuple[Group, ...]) -> Iterator[Form]:
    """The forms of some groups, in the table's order."""
    yield from (form for form in FORMS.values() if form.group in groups)


def event_forms() -> Iterator[Form]:
    """The forms that mean something to a parser of events: not those whose fault lies in the head's bytes."""
    yield from (form for form in forms(EVENT_GROUPS) if not form.faults or form.group is Group.BODY)


def measure() -> dict[str, Any]:
    """Ask every parser about every form. It takes Node."""
    http_forms = list(forms(HTTP_GROUPS))
    answers = [answer(form) for form in http_forms]
    verdicts = {"h11": list(map(by_h11, answers)), "http.client": list(map(by_http_client, answers))}
    node, verdicts["node http"], verdicts["node fetch"] = by_node(answers)
    versions = {"h11": version("h11"), "http.client": python_version(), "node http": node, "node fetch": node}
    return {
        "versions": versions | {name: version(name) for name in READERS},
        "http": {name: _named(http_forms, found) for name, found in verdicts.items()},
        "events": {
            name: {form.name: reading(form, read).value for form in event_forms()} for name, read in READERS.items()
        },
    }


def python_version() -> str:
    """The version of this Python without its last number."""
    return ".".join(platform.python_version_tuple()[:2])


def _named(asked: list[Form], found: list[Verdict]) -> dict[str, str]:
    return {form.name: verdict.value for form, verdict in zip(asked, found, strict=True)}


# --- the page ---------------------------------------------------------------------------------------------------------


def page(note: str) -> str:
    """The reference page."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    text = f"# Illegal, hostile and rare forms\n\n{note}{_INTRODUCTION}\n## The faults\n\n{_faults()}"
    for group in Group:
        text += f"\n## {group.value.capitalize()}\n\n"
        text += _table(data, group)
    versions = ", ".join(f"{name} {number}" for name, number in sorted(data["versions"].items()))
    return f"{text}\nMeasured with {versions}.\n"


def _faults() -> str:
    """Every fault of a script, its keys, and what it does, from its own words."""
    rows = [["fault", "keys", "what it does"], ["---"] * 3]
    for kind in get_args(ContentFault):
        keys = ", ".join(f"`{one.name}`" for one in msgspec.structs.fields(kind))
        words = " ".join((kind.__doc__ or "").replace("\n\n", "\n").split())
        rows.append([f"`{kind.__struct_config__.tag}`", keys, words])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _table(data: Mapping[str, Any], group: Group) -> str:
    columns = [
        *((name, data["http"][name]) for name in data["http"] if group in HTTP_GROUPS),
        *((name, data["events"][name]) for name in data["events"] if group in EVENT_GROUPS),
    ]
    head = ["form", "what is wrong", "standard", *(name for name, _ in columns)]
    rows = [
        [f"`{form.name}`", form.broken, f"{form.section}{' (legal)' if form.legal else ''}"]
        + [found.get(form.name, "") for _, found in columns]
        for form in forms((group,))
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_INTRODUCTION = """Each form is one thing that is wrong with an answer, or merely rare, ready to be played:
`testbed.faults.forms.FORMS[name].script(dialect)`. All of them are made of the faults `head_bytes`, `head_line`,
`head_field`, `head_ends`, `slow_head`, `chunk_line`, `chunk_end`, `after`, `cut_wire`, `join` and of raw steps, so a
scenario file can say each: in `faults`, each a table with its name under `fault`. `data` is Base64; other text goes out
as Latin-1, one byte a character.

What parsers say was measured. Of HTTP: *whole*, the message is complete as it was meant; *short*, it is complete for
the parser and only the beginning of what was meant; *other*, it is complete with another status or body; *refused*, an
error of the protocol; *cut*, an error because the connection ended too early; *waits*, it wants more bytes; *crash*, an
exception that is no error of the protocol. Of events: *same* as the standard says, or it *differs*, or is *refused*.
"""


if __name__ == "__main__":
    DATA.write_text(json.dumps(measure(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
