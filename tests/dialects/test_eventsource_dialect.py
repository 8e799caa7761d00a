"""Plain server-sent events: what is resumed and what is refused, and what httpx-sse and Node's eventsource read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import httpx_sse
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.dialects import DIALECTS, Asked
from testbed.dialects.eventsource import Dispatched, events
from testbed.errors import UsageError
from testbed.program import Write, compile_script, layout
from testbed.script import (
    Arguments,
    Citation,
    Comment,
    CutBody,
    DialectName,
    End,
    Ending,
    Framing,
    Head,
    Message,
    Pause,
    Ping,
    Quirk,
    Refusal,
    Replace,
    Script,
    SplitAt,
    SplitEvery,
    Step,
    Text,
    Thinking,
    ToolCall,
)
from testbed.sse import Parser
from tests.dialects.drawing import drawn
from tests.dialects.speaking import BOUND, Speaker, speaking

SOURCE = DIALECTS[DialectName.EVENTSOURCE]


def clean(*steps: Step, **fields: Any) -> Script:
    """Make a script that sends its body whole and in the clear."""
    return Script(SOURCE.name, (Head(framing=Framing.CLOSE), *steps), **fields)


def body(script: Script) -> bytes:
    """Return the body of a script."""
    return b"".join(op.data[slice(*op.payload)] for op in compile_script(script) if isinstance(op, Write))


def asked(known: str | None = None) -> Asked:
    """Ask for the stream, or for the rest of it."""
    return Asked("GET", "/events", "", {} if known is None else {"last-event-id": known}, b"")


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", [Thinking("x"), Refusal("x"), Citation("x"), ToolCall("x"), Arguments("{}"), Text("x", choice=1)]
)
def test_the_words_of_chat_are_refused(step: Step) -> None:
    """An event means nothing here, so there is nothing for them to be spelled as."""
    with pytest.raises(UsageError, match=r"step 0 \(\w+\)"):
        SOURCE.encode((step,))


# --- resumption -------------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
names = st.text("abcxyz-", min_size=1, max_size=5).filter(lambda name: name not in {"error", "open"})
messages = st.builds(Message, words, event=st.none() | names, retry=st.none() | st.integers(0, 9999))
plain = st.one_of(messages, st.builds(Text, words), st.builds(Comment, words), st.just(Ping()), st.just(Pause(0.5)))


def numbered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Give each message an id of its own."""
    return tuple(
        Message(step.data, step.event, f"é{index}", step.retry) if isinstance(step, Message) else step
        for index, step in enumerate(steps)
    )


@settings(deadline=None)
@given(st.lists(plain, max_size=8).map(numbered), st.data())
def test_a_resumed_stream_is_the_rest(steps: tuple[Step, ...], data: st.DataObject) -> None:
    """Invariant: cut behind any message and resumed by its id, both parts together are the stream, byte by byte."""
    script = clean(*steps, resumes=True)
    ids = [index for index, step in enumerate(script.steps) if isinstance(step, Message)]
    if not ids:
        assert SOURCE.resume(script, asked("é1")) is script
        return
    index = data.draw(st.sampled_from(ids))
    known = script.steps[index].id  # type: ignore[union-attr]
    end = next(span.body[1] for span in layout(script).events if span.step == index)
    # As the field is read: its bytes are UTF-8 and are handed on as Latin-1.
    for name in (known, known.encode().decode("latin-1")):
        rest = SOURCE.resume(script, asked(name))
        assert body(script)[:end] + body(rest) == body(script)
        assert len(rest.steps) == len(script.steps)
        assert not any(isinstance(step, Pause) and step.seconds for step in rest.steps[1 : index + 1])


STREAM: tuple[Step, ...] = (Message("a", id="1"), Text("b"), Message("c", id="2"), Message("d", id="1"), Text("e"))


@pytest.mark.parametrize(
    ("script", "known"),
    [
        (clean(*STREAM, resumes=True), None),
        (clean(*STREAM, resumes=True), ""),
        (clean(*STREAM, resumes=True), "3"),
        (clean(*STREAM), "2"),
    ],
    ids=["no-id", "empty-id", "unknown-id", "does-not-resume"],
)
def test_what_is_not_resumed_is_said_from_the_start(script: Script, known: str | None) -> None:
    """No id, one that the script does not have, or a script that resumes nothing."""
    assert SOURCE.resume(script, asked(known)) is script


def test_of_an_id_that_is_used_twice_the_last_counts() -> None:
    """Nothing that the client may have is said again."""
    assert body(SOURCE.resume(clean(*STREAM, resumes=True), asked("1"))) == b"data: e\n\n"


def test_faults_strike_the_same_event_of_the_rest() -> None:
    """Their addresses are those of the whole body; what lies in the part that is left out does not happen."""
    whole = clean(*STREAM)
    start = layout(whole).events[2].body[1]
    faults = (
        SplitAt((3, start, start + 4)),
        Replace(start - 2, b"....X"),
        CutBody(start + 6, Ending.FIN),
        SplitEvery(100),
    )
    rest = SOURCE.resume(clean(*STREAM, resumes=True, faults=faults), asked("2"))
    assert rest.faults == (SplitAt((4,)), Replace(0, b"..X"), CutBody(6, Ending.FIN), SplitEvery(100))
    gone = SOURCE.resume(clean(*STREAM, resumes=True, faults=(CutBody(start), Replace(0, b"x"))), asked("2"))
    assert gone.faults == ()


# --- httpx-sse --------------------------------------------------------------------------------------------------------


def read_httpx(server: Speaker, known: str = "") -> list[Dispatched]:
    """Read one stream with the `httpx-sse` package; it leaves reconnecting to its user."""
    headers = {"Last-Event-ID": known} if known else {}
    with (
        httpx.Client(timeout=BOUND, trust_env=False) as http,
        httpx_sse.connect_sse(http, "GET", server.root + "/events", headers=headers) as source,
    ):
        return [(event.event, event.data, event.id) for event in source.iter_sse()]


QUIRKS = [(), *((quirk,) for quirk in (Quirk.CRLF, Quirk.MIXED_LINE_ENDS, Quirk.NO_SPACE, Quirk.NO_CHARSET))]


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("quirks", QUIRKS, ids=lambda quirks: "-".join(quirks) or "plain")
def test_httpx_sse_reads_a_clean_stream(framing: Framing, quirks: tuple[Quirk, ...]) -> None:
    """Every kind of event, byte by byte, in every framing and spelling."""
    # A comment behind an id is shown as an empty event: a defect of the package that scenarios have.
    steps = (Comment("x"), Ping(), Message("a\nb", "tick", "7", 9), Text("日本語 😀"), Message("c", id="8"))
    script = Script(SOURCE.name, (Head(framing=framing), *steps), (SplitEvery(1),), quirks)
    with speaking(script) as server:
        assert read_httpx(server) == list(events(steps))


# The package cuts lines as str.splitlines does, and shows an empty event wherever an id was seen: both are defects of
# its own, and scenarios have them.
tame = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=10)
streams = st.lists(
    st.one_of(
        st.builds(Message, tame, event=st.none() | names, id=st.none() | st.text("0123456789", min_size=1, max_size=3)),
        st.builds(Text, tame),
    ),
    min_size=1,
    max_size=8,
)


def test_httpx_sse_reads_drawn_streams() -> None:
    """Ten streams: each event with its type, data and id."""
    scripts = [clean(*steps) for steps in drawn(streams, 10)]
    with speaking(*scripts) as server:
        for script in scripts:
            assert read_httpx(server) == list(events(script.steps))
    assert len(server.played) == len(scripts) >= 10


def test_httpx_sse_resumes_when_its_user_does() -> None:
    """The header of the last event's id brings the rest."""
    with speaking(clean(*STREAM, resumes=True)) as server:
        first = read_httpx(server)[:3]
        assert read_httpx(server, known=first[-1][2]) == [("message", "d", "1"), ("message", "e", "1")]


# --- Node -------------------------------------------------------------------------------------------------------------

NODE = r"""
const { EventSource } = require('eventsource');
const streams = JSON.parse(require('fs').readFileSync(0, 'utf8'));
// Read each stream to its first error, which is what its end is, or until the source is closed for good.
const read = ({ url, types, reconnects }) => new Promise((done) => {
  const seen = [];
  const source = new EventSource(url);
  for (const type of types)
    source.addEventListener(type, (event) => seen.push([event.type, event.data, event.lastEventId]));
  source.addEventListener('error', () => {
    if (reconnects && source.readyState !== source.CLOSED) return;
    source.close();
    done(seen);
  });
});
// A source that was closed may leave a timer behind.
Promise.all(streams.map(read)).then((all) => process.stdout.write(JSON.stringify(all), () => process.exit(0)));
"""


def node_lacks_eventsource() -> bool:
    """Whether to skip; a machine that demands Node fails instead. Node looks for packages at NODE_PATH."""
    node = shutil.which("node")
    found = (
        node is not None
        and not subprocess.run(
            [node, "-e", "require.resolve('eventsource')"], capture_output=True, check=False, timeout=30
        ).returncode
    )
    demanded = os.environ.get("TESTBED_REQUIRE_NODE") == "1"
    assert found or not demanded, "TESTBED_REQUIRE_NODE=1, but there is no node with the eventsource package"
    return not found


@pytest.fixture(scope="module")
def _node() -> None:
    if node_lacks_eventsource():
        pytest.skip("needs node and its eventsource package (npm install eventsource, and NODE_PATH)")


def read_node(*servers: Speaker, scripts: Sequence[Script], reconnects: bool = False) -> list[list[Dispatched]]:
    """Read each server's stream with the npm package, all in one process."""
    streams = [
        {
            "url": f"{server.root}/events",
            "types": sorted({type_ for type_, _, _ in events(script.steps)} | {"message"}),
            "reconnects": reconnects,
        }
        for server, script in zip(servers, scripts, strict=True)
    ]
    ran = subprocess.run(
        ["node", "-e", NODE], input=json.dumps(streams).encode(), capture_output=True, check=False, timeout=BOUND
    )
    assert not ran.returncode, ran.stderr.decode()
    return [[(type_, data, id_) for type_, data, id_ in seen] for seen in json.loads(ran.stdout)]


@pytest.mark.usefixtures("_node")
def test_node_reads_clean_and_drawn_streams() -> None:
    """Every quirk of spelling, and ten drawn streams of any text, in one process: each event, in order."""
    wild = st.lists(st.one_of(messages, st.builds(Text, words)), max_size=8).map(numbered)
    event = Message("a\nb", "tick", "7", 9)
    # A comment stands last: a CR that ends the stream is held back, in case that a LF follows, and its event is lost.
    steps = (event, Comment("x"), Ping(), Text("日本語 😀\u2028\x85"), Message("", id="8"), Comment("y"))
    all_quirks = (*QUIRKS, (Quirk.CR,), (Quirk.BOM,))
    scripts = [clean(*steps, faults=(SplitEvery(1),), quirks=quirks) for quirks in all_quirks]
    scripts += [clean(*each) for each in drawn(wild, 10)]
    with ExitStack() as stack:
        servers = [stack.enter_context(speaking(script)) for script in scripts]
        seen = read_node(*servers, scripts=scripts)
    assert seen == [as_node_says(script.steps) for script in scripts]


def as_node_says(steps: Sequence[Step]) -> list[Dispatched]:
    """What is dispatched, but each event has its own id or none: the package does not let an id stay, as it should."""
    shown = [step for step in steps if isinstance(step, (Message, Text))]
    own = [(step.id or "") if isinstance(step, Message) else "" for step in shown]
    return [(type_, data, id_) for (type_, data, _), id_ in zip(events(shown), own, strict=True)]


@pytest.mark.usefixtures("_node")
def test_node_resumes_by_itself_until_it_is_told_to_stop() -> None:
    """After the time that `retry` gives, with the last id; what it has is left out, and 204 is the end for good."""
    steps = (Message("a", id="1", retry=20), Message("b", id="2"), Message("c", id="3"), Message("d", id="4"))
    at = layout(clean(*steps)).events[1].body[1]
    first = clean(*steps, faults=(CutBody(at, Ending.FIN),))
    over = Script(SOURCE.name, (Head(204), End()))
    with speaking(first, clean(*steps, resumes=True), over) as server:
        (seen,) = read_node(server, scripts=[first], reconnects=True)
    assert seen == list(events(steps))
    assert [request.headers.get("last-event-id") for request in server.played] == [None, "2", "4"]


def test_the_parser_agrees_with_what_is_derived() -> None:
    """The derivation that these tests compare with is what the reference parser says of the bytes."""
    for steps in drawn(st.lists(plain, max_size=8).map(numbered), 30):
        parsed = Parser().feed(body(clean(*steps)))
        assert [(event.type, event.data, event.id) for event in parsed] == list(events(steps))
