"""Every form of the table, byte for byte on a real socket, and what parsers say to it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import trio

from testbed import adapters, runner
from testbed._values import decode, encode
from testbed.dialects import DIALECTS
from testbed.engines.embedded import Embedded
from testbed.faults.forms import FORMS, Group
from testbed.faults.framing import Breaks, breaks
from testbed.net.connections import SocketConnection
from testbed.oracle import Verdict, judge
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.program import Close, Write, compile_script
from testbed.script import DialectName, Ending, Script
from testbed.server.app import make_serve
from testbed.trace import Sent, ServerEnd
from tests.conformance.illegal_bytes import WIRES
from tests.net.support import Log, plan_of

pytestmark = pytest.mark.once

DOCS = Path(__file__).parent.parent.parent / "docs"
ENDS = {Ending.CLEAN: "fin", Ending.FIN: "fin", Ending.RST: "reset", Ending.ABORT: "reset", Ending.OPEN: "open"}
HUGE = frozenset({"line-endless", "events-many", "event-large", "comment-large", "event-many-lines", "fields-endless"})

SLOW = HUGE | {"decompression-bomb", "interim-endless"}


def program_of(script: Script) -> tuple[list[Write], Close]:
    """The writes of a script, and its end."""
    program = compile_script(script)
    close = program[-1]
    assert isinstance(close, Close)
    return [one for one in program if isinstance(one, Write)], close


def wire_of(script: Script) -> bytes:
    """All bytes of a script."""
    return b"".join(write.data for write in program_of(script)[0])


# --- on a socket ------------------------------------------------------------------------------------------------------


class Heard(NamedTuple):
    """What a raw reader got: the bytes, how they ended, and the server's own notes."""

    data: bytes
    end: str
    sent: list[Sent]
    ended: list[ServerEnd]


def request_of(dialect: DialectName) -> bytes:
    """A request by hand."""
    return f"{DIALECTS[dialect].method} {DIALECTS[dialect].path} HTTP/1.1\r\nHost: testbed\r\n\r\n".encode()


async def read(stream: trio.SocketStream, script: Script) -> tuple[bytes, str]:
    """Read to the end; where none comes, as many bytes as there are."""
    most = len(wire_of(script)) if program_of(script)[1].how is Ending.OPEN else sys.maxsize
    seen = bytearray()
    try:
        while len(seen) < most:
            data = await stream.receive_some(65536)
            if not data:
                return bytes(seen), "fin"
            seen += data
    except trio.BrokenResourceError:
        return bytes(seen), "reset"
    return bytes(seen), "open"


async def ask(host: str, port: int, script: Script) -> tuple[bytes, str]:
    """One request, and everything that comes back."""
    async with await trio.open_tcp_stream(host, port) as stream:
        await stream.send_all(request_of(script.dialect))
        return await read(stream, script)


def through_the_engine(script: Script) -> Heard:
    """Over the engine `embedded`."""
    engine = Embedded()

    async def main() -> Heard:
        log, plan = Log(), plan_of(script)
        with trio.fail_after(20):
            async with engine.network(plan, make_serve(plan, log), log) as endpoint:
                data, end = await ask(endpoint.host, endpoint.port, script)
        return Heard(data, end, log.of(Sent), log.of(ServerEnd))

    return engine.run(main)


def without_an_engine(script: Script) -> Heard:
    """Over a socket that the server has for itself."""

    async def main() -> Heard:
        log = Log()
        serve = make_serve(plan_of(script), log)
        with trio.fail_after(20), trio.socket.socket() as listener:
            await listener.bind(("127.0.0.1", 0))
            listener.listen()

            async def accept() -> None:
                accepted, _ = await listener.accept()
                await serve(0, SocketConnection(accepted))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept)
                data, end = await ask(*listener.getsockname()[:2], script)
        return Heard(data, end, log.of(Sent), log.of(ServerEnd))

    return trio.run(main)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("hear", [through_the_engine, without_an_engine])
def test_every_form_is_byte_exact_on_a_socket(name: str, hear: Callable[[Script], Heard]) -> None:
    """A raw reader gets the program's bytes and its end; where the bytes are written down by hand, it gets those."""
    script = FORMS[name].script()
    writes, close = program_of(script)
    heard = hear(script)
    expected = WIRES.get(name, (b"".join(write.data for write in writes), ENDS[close.how]))
    assert heard.end == expected[1]
    assert heard.data == expected[0]
    # Every byte of the answer is annotated, once, and as what it is in the program.
    position = 0
    for sent, write in zip(heard.sent, writes, strict=True):
        assert sent.wire == (position, position + len(write.data))
        assert sent.payload == (position + write.payload[0], position + write.payload[1])
        assert (sent.step, sent.body, sent.ends_step) == (write.step, write.body, write.ends_step)
        position = sent.wire[1]
    assert position == len(heard.data)
    assert [ended.framed for ended in heard.ended] == [close.framed]


def test_all_forms_of_length_chunk_and_head_are_written_down_by_hand() -> None:
    """The table of expected bytes has every form of these groups, and no form that is not there."""
    by_hand = {form.name for form in FORMS.values() if form.group in {Group.LENGTH, Group.CHUNK, Group.HEAD}}
    assert by_hand <= set(WIRES) <= set(FORMS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_form_is_a_script_of_every_dialect_that_can_say_it(dialect: DialectName) -> None:
    """A form compiles in each dialect, the plain ones in `eventsource`, and survives the way through JSON."""
    for form in FORMS.values():
        if form.plain and dialect is not DialectName.EVENTSOURCE:
            continue
        if form.quirks and any(dialect not in quirk_dialects(form.name) for _ in form.quirks):
            continue
        script = form.script(dialect)
        assert decode(encode(script), Script) == script
        if form.name not in HUGE and form.name != "decompression-bomb":
            assert program_of(script)[1].how is not None


def quirk_dialects(name: str) -> frozenset[DialectName]:
    """The dialects that have the quirk of a form."""
    from testbed.dialects.quirks import QUIRKS

    return next(note.dialects for quirk, note in QUIRKS.items() if quirk.value == name)


# --- what is said of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_framed_is_said_of_good_framing_alone(name: str) -> None:
    """A form that breaks head or framing is never called framed; one that breaks nothing and ends well always is."""
    script = FORMS[name].script()
    broken = breaks(script)
    _, close = program_of(script)
    if broken & (Breaks.HEAD | Breaks.FRAMING | Breaks.CUT):
        assert not close.framed
    elif close.how is Ending.CLEAN:
        assert close.framed


LEGAL_AND_STILL_UNSURE = frozenset(
    {
        "length-missing",  # framed otherwise than the script says
        *("version-1.9", "reason-empty", "reason-8-bit", "reason-large"),  # another status line is another head
        *("field-8-bit", "interim-endless", "content-coding-empty"),
    }
)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_broken_or_legal(name: str) -> None:
    """What is illegal around the body breaks something, and what is legal breaks nothing but limits."""
    form = FORMS[name]
    broken = breaks(form.script()) & ~Breaks.LIMITS
    if form.legal and name not in LEGAL_AND_STILL_UNSURE:
        assert broken is Breaks.NOTHING
    if not form.legal and form.faults:
        assert broken is not Breaks.NOTHING or name in {"trailer-length"}


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.name)
def test_every_form_says_what_is_wrong_and_where_it_stands(form: object) -> None:
    """The sentence is one, and the place names a section of a standard."""
    broken, section = form.broken, form.section  # type: ignore[attr-defined]
    assert broken.endswith(".")
    assert section.startswith(("RFC ", "HTML, "))
    assert section.rpartition(" ")[2].replace(".", "").isdigit()


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*sorted(HUGE), "decompression-bomb"])
def test_huge_forms_are_small_as_plans_and_bounded_as_bytes(name: str) -> None:
    """A huge form is a plan of a few kilobytes, and compiling it takes memory for some copies of its bytes alone."""
    script = FORMS[name].script()
    assert len(encode(plan_of(script))) < 8 * 1024
    compile_script.cache_clear()
    tracemalloc.start()
    try:
        compile_script(script)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    body = sum(len(data) for step in DIALECTS[script.dialect].encode(script.steps) for data in step)
    assert peak < 6 * (body + len(wire_of(script))) + 2**20


class CountingConnection:
    """A socket's connection that counts its sends."""

    def __init__(self, connection: SocketConnection) -> None:
        self._connection = connection
        self.sends: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    async def send(self, data: bytes) -> None:
        """Count, and send."""
        self.sends.append(len(data))
        await self._connection.send(data)


@pytest.mark.parametrize(("name", "most"), [("writes-joined", 1), ("events-in-one-chunk", 1), ("events-many", 5)])
def test_what_is_joined_leaves_in_one_send(name: str, most: int) -> None:
    """Joined writes are one call of the network, and so are 100,000 events of one step."""
    script = FORMS[name].script()
    counted: list[CountingConnection] = []

    async def main() -> None:
        serve = make_serve(plan_of(script), Log())
        with trio.fail_after(20), trio.socket.socket() as listener:
            await listener.bind(("127.0.0.1", 0))
            listener.listen()

            async def accept() -> None:
                accepted, _ = await listener.accept()
                counted.append(CountingConnection(SocketConnection(accepted)))
                await serve(0, counted[0])  # type: ignore[arg-type]

            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept)
                await ask(*listener.getsockname()[:2], script)

    trio.run(main)
    sends = [size for size in counted[0].sends if size]
    assert len(sends) <= most
    assert sum(sends) == len(wire_of(script))


# --- judging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [DialectName.EVENTSOURCE, DialectName.OPENAI_CHAT])
def test_a_right_client_is_accused_of_nothing(dialect: DialectName) -> None:
    """The reference client, which takes of HTTP what h11 takes and keeps every promise, fails by no form."""
    client, engine = adapters.load("reference"), runner.engine("simulated")
    settings = ClientSettings(first_byte_timeout=2.0, idle_timeout=2.0)
    plans = [
        Plan(scenario=form.name, attempts=(Attempt(form.script(dialect)),), client=settings)
        for form in FORMS.values()
        if form.name not in SLOW and (dialect is DialectName.EVENTSOURCE or not form.plain)
    ]
    traces = runner.run_many(plans, engine, client)
    judged = {plan.scenario: judge(plan, trace) for plan, trace in zip(plans, traces, strict=True)}
    assert {name: one for name, one in judged.items() if one.verdict not in {Verdict.PASS, Verdict.LENIENT}} == {}


# --- what parsers say -------------------------------------------------------------------------------------------------


def measuring() -> ModuleType:
    """The module docs/illegal_forms.py."""
    spec = importlib.util.spec_from_file_location("illegal_forms", DOCS / "illegal_forms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MEASURING = measuring()
RECORDED = json.loads((DOCS / "illegal_forms.json").read_text(encoding="utf-8"))


def test_every_form_has_a_verdict_of_every_parser() -> None:
    """The data has a row for each form that the page shows, and none besides."""
    asked = {form.name for form in MEASURING.forms(MEASURING.HTTP_GROUPS)}
    assert {name: set(found) for name, found in RECORDED["http"].items()} == dict.fromkeys(RECORDED["http"], asked)
    read = {form.name for form in MEASURING.event_forms()}
    assert {name: set(found) for name, found in RECORDED["events"].items()} == dict.fromkeys(RECORDED["events"], read)


@pytest.mark.once
@pytest.mark.parametrize(
    ("parser", "here", "ask_it"),
    [
        ("h11", version("h11"), MEASURING.by_h11),
        ("http.client", MEASURING.python_version(), MEASURING.by_http_client),
    ],
)
def test_the_verdicts_of_parsers_in_python_are_current(parser: str, here: str, ask_it: Callable[..., object]) -> None:
    """Measured again in the version that is recorded, h11 and http.client say what stands in the docs."""
    if here != RECORDED["versions"][parser]:
        pytest.skip(f"measured with {parser} {RECORDED['versions'][parser]}; here is {here}")
    found = {form.name: ask_it(MEASURING.answer(form)) for form in MEASURING.forms(MEASURING.HTTP_GROUPS)}
    assert found == RECORDED["http"][parser]


@pytest.mark.once
@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_verdicts_of_node_are_current() -> None:
    """Measured again in the version that is recorded, Node's http and fetch say what stands in the docs."""
    # Those that wait wait a second and a half each; that Node waits for silence needs no second proof.
    asked = [
        form
        for form in MEASURING.forms(MEASURING.HTTP_GROUPS)
        if RECORDED["http"]["node http"][form.name] != "waits" and form.name not in HUGE
    ]
    here, by_http, by_fetch = MEASURING.by_node([MEASURING.answer(form) for form in asked])
    if here.partition(".")[0] != RECORDED["versions"]["node http"].partition(".")[0]:
        pytest.skip(f"measured with Node {RECORDED['versions']['node http']}; here is {here}")
    for parser, found in (("node http", by_http), ("node fetch", by_fetch)):
        named = {form.name: verdict.value for form, verdict in zip(asked, found, strict=True)}
        assert named == {form.name: RECORDED["http"][parser][form.name] for form in asked}


@pytest.mark.once
@pytest.mark.parametrize("reader", MEASURING.READERS)
def test_the_readings_of_event_parsers_are_current(reader: str) -> None:
    """Measured again in the version that is recorded, each reader of events makes of a body what stands in the docs."""
    pytest.importorskip(reader.replace("-", "_"))
    if version(reader) != RECORDED["versions"][reader]:
        pytest.skip(f"measured with {reader} {RECORDED['versions'][reader]}; here is {version(reader)}")
    small = [form for form in MEASURING.event_forms() if form.name not in HUGE]
    found = {form.name: MEASURING.reading(form, MEASURING.READERS[reader]).value for form in small}
    assert found == {form.name: RECORDED["events"][reader][form.name] for form in small}
