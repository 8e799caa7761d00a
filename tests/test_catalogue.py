"""Scenario files: what is read, what is refused and in which words, and that a plan comes back as it was written."""

import re
import textwrap

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from testbed.catalogue import parse, single, to_toml
from testbed.errors import UsageError
from testbed.faults.toxics import (
    CloseAfter,
    CloseAfterAttributes,
    Direction,
    Latency,
    LatencyAttributes,
    PacketLoss,
    PacketLossAttributes,
    ResetAfter,
    ResetAfterAttributes,
    ResetMode,
    Slicer,
    SlicerAttributes,
    Stall,
    StallAttributes,
)
from testbed.plan import Attempt, Certificate, ClientSettings, Expect, Handshake, Keepalives, Plan, Tls
from testbed.program import layout
from testbed.script import (
    Body,
    Comment,
    CutBody,
    DialectName,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Framing,
    Head,
    Message,
    Open,
    Pause,
    Ping,
    Quirk,
    Raw,
    Reading,
    Replace,
    Script,
    SplitAt,
    SplitEvery,
    Text,
)
from testbed.trace import Cure, Outcome

SMALLEST = """
format = 1
[scenario]
title = "Small"
[script]
dialect = "openai-chat"
tokens = 2
"""


def read(text, **replaced):
    return parse(textwrap.dedent(text).format(**replaced) if replaced else text, name="small", where="small.toml")


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_small_file_is_one_whole_stream():
    """What is not said has a default: tokens, a finish, the terminal, no faults."""
    plan = single(read(SMALLEST + 'text = "abcd"\n'))
    steps = (Head(), Open(), Text("ab"), Text("cd"), Finish(), Done())
    assert plan == Plan("small", (Attempt(Script(DialectName.OPENAI_CHAT, steps)),), title="Small")


def test_every_feature_of_a_generated_script_is_said():
    """Pauses, status line, header fields, framing, an unsaid terminal and an end each become a step."""
    plan = single(
        read(
            SMALLEST
            + """
text = "abcd"
time_to_first_byte = 0.5
time_to_first_token = 0.25
inter_token = 0.125
stall = { seconds = 2, after = 2 }
headers = { X-Trace = 7 }
content_type = "text/event-stream"
framing = "close"
terminal = "none"
end = "rst"
"""
        )
    )
    head = Head(200, "text/event-stream", (("X-Trace", "7"),), Framing.CLOSE)
    said = (Text("ab"), Pause(0.125), Text("cd"), Pause(2.0))
    assert plan.attempts[0].script.steps == (Pause(0.5), head, Pause(0.25), Open(), *said, End(Ending.RST))


def test_an_error_before_the_stream_has_the_dialects_body():
    """A status from 400 up is answered by the vendor's JSON, with its kind and message."""
    plan = single(read(SMALLEST + 'text = "x"\nstatus = 429\nerror = "slow_down"\nmessage = "wait"\n'))
    head, body = plan.attempts[0].script.steps
    assert head == Head(429, "application/json")
    assert isinstance(body, Body)
    assert '"slow_down"' in body.text
    assert '"wait"' in body.text


def test_an_error_inside_the_stream_takes_the_place_of_its_terminal():
    """With status 200 an error is an event behind the tokens."""
    plan = single(read(SMALLEST + 'text = "ab"\nerror = "overloaded"\nmessage = "busy"\n'))
    assert plan.attempts[0].script.steps[-1] == Failure("overloaded", "busy")


def test_content_faults_are_placed_in_the_script():
    """A cut takes its end from `end`; `splits` takes a size or a word."""
    cut = single(read(SMALLEST + 'text = "ab"\ncut = 7\nend = "fin"\n'))
    assert cut.attempts[0].script.faults == (CutBody(7, Ending.FIN),)
    assert single(read(SMALLEST + 'text = "ab"\nsplits = 3\n')).attempts[0].script.faults == (SplitEvery(3),)
    assert single(read(SMALLEST + 'text = "ab"\nsplits = "byte"\n')).attempts[0].script.faults == (SplitEvery(1),)


def test_attempts_share_the_dialect_of_the_first():
    """Only one attempt needs to name the dialect."""
    text = """
        format = 1
        scenario = { title = "Two" }
        [[attempt]]
        script = { dialect = "anthropic-messages", status = 503, text = "" }
        [[attempt]]
        script = { tokens = 1, text = "x" }
        toxics = [{ type = "latency", attributes = { latency = 5 } }]
        """
    plan = single(read(text))
    assert [attempt.script.dialect for attempt in plan.attempts] == [DialectName.ANTHROPIC_MESSAGES] * 2
    assert plan.attempts[1].toxics == (Latency(attributes=LatencyAttributes(latency=5)),)


def test_the_name_is_the_files_unless_the_file_says_another():
    """A saved counterexample keeps the name of the scenario that it came from."""
    assert read(SMALLEST).name == "small"
    assert read(SMALLEST.replace("title", 'name = "other"\ntitle')).name == "other"


def test_a_family_is_no_single_plan():
    """What has a range can not be replayed as it stands."""
    with pytest.raises(UsageError, match="it describes many plans, not one"):
        single(read(SMALLEST.replace("tokens = 2", "tokens = { min = 1, max = 2 }")))


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSALS = {
    "not TOML": (
        "format = 1\n[scenario\n",
        "small.toml: line 2, column 10: not valid TOML: Expected ']' at the end of a table declaration",
    ),
    "another format": ("format = 2\n", "small.toml: format: it is 2; this version reads format 1"),
    "no format": ("[scenario]\n", "small.toml: the key 'format' is missing"),
    "no script": (
        "format = 1\n[scenario]\n",
        "small.toml: the key 'script' is missing; a scenario needs [script], or several [[attempt]]",
    ),
    "no dialect": (
        "format = 1\n[scenario]\n[script]\ntokens = 1\n",
        "small.toml: the key 'dialect' is missing in [script]",
    ),
    "unknown table": (
        SMALLEST + "[clients]\n",
        (
            "small.toml: unknown key 'clients'; did you mean 'client'? "
            "Known: attempt, client, expect, fallback, finding, format, quota, scenario, script, sweep, tls, toxics"
        ),
    ),
    "unknown key": (
        SMALLEST + "inter_tokens = 1\n",
        (
            "small.toml: script: unknown key 'inter_tokens'; did you mean 'inter_token'? "
            "Known: body, case, coding, content_type, cut, dialect, end, error, faults, finish, flush, framing, "
            "headers, heartbeat, ids, inserts, inter_token, lost_heartbeats, message, opening, pace, quirk, quirks, "
            "reading, recorded, resumes, retry_after, splits, stall, status, "
            "terminal, text, thinking, time_to_first_byte, time_to_first_token, times, tokens, "
            "tools, version"
        ),
    ),
    "wrong type": (
        SMALLEST.replace("tokens = 2", 'tokens = "two"'),
        "small.toml: script.tokens: it is 'two'; it must be a whole number or { one_of = [...] } or { min, max }",
    ),
    "a truth is no number": (
        SMALLEST.replace("tokens = 2", "tokens = true"),
        "small.toml: script.tokens: it is true; it must be a whole number or { one_of = [...] } or { min, max }",
    ),
    "too small": (
        SMALLEST.replace("tokens = 2", "tokens = -1"),
        "small.toml: script.tokens: it is -1; it must be at least 0",
    ),
    "half a range": (
        SMALLEST.replace("tokens = 2", "tokens = { min = 1 }"),
        "small.toml: script.tokens: the key 'max' is missing; a range has both min and max",
    ),
    "a range upside down": (
        SMALLEST.replace("tokens = 2", "tokens = { min = 5, max = 1 }"),
        "small.toml: script.tokens: min is 5, which is more than max, 1",
    ),
    "a range with a third end": (
        SMALLEST.replace("tokens = 2", "tokens = { min = 1, max = 5, mid = 3 }"),
        "small.toml: script.tokens: unknown key 'mid'; did you mean 'min'? Known: max, min",
    ),
    "an empty choice": (
        SMALLEST.replace("tokens = 2", "tokens = { one_of = [] }"),
        "small.toml: script.tokens: one_of is empty; it must name at least one value",
    ),
    "a wrong option": (
        SMALLEST.replace("tokens = 2", "tokens = { one_of = [1, 2.5] }"),
        (
            "small.toml: script.tokens.one_of[1]: it is 2.5; "
            "it must be a whole number or { one_of = [...] } or { min, max }"
        ),
    ),
    "an unknown word": (
        SMALLEST.replace("openai-chat", "openai"),
        (
            "small.toml: script.dialect: unknown value 'openai'; did you mean 'openai-chat'? "
            "Known: anthropic-messages, eventsource, gemini, mcp, ollama, openai-chat, openai-responses"
        ),
    ),
    "an unknown group": (
        SMALLEST + 'text = { corpus = ["emojis"] }\n',
        (
            "small.toml: script.text.corpus: unknown group 'emojis'; did you mean 'emoji'? Known: astral, bidi, blank, "
            "cjk, combining, emoji, greek-cyrillic, indic-thai, latin, newline, plain, protocol, quoting, separators"
        ),
    ),
    "an unknown toxic": (
        SMALLEST + '[[toxics]]\ntype = "latencey"\n',
        (
            "small.toml: toxics[0].type: unknown toxic 'latencey'; did you mean 'latency'? Known: bandwidth, "
            "close_after, latency, limit_data, noop, packet_loss, reset_after, reset_peer, slicer, slow_close, "
            "stall, timeout"
        ),
    ),
    "an unknown attribute": (
        SMALLEST + '[[toxics]]\ntype = "latency"\nattributes = { jiter = 1 }\n',
        "small.toml: toxics[0].attributes: unknown key 'jiter'; did you mean 'jitter'? Known: jitter, latency",
    ),
    "an unsayable toxic": (
        SMALLEST + '[[toxics]]\ntype = "bandwidth"\nattributes = { rate = -1 }\n',
        (
            "small.toml: its simplest plan for openai-chat cannot be said: bandwidth: rate is -1; "
            "it must not be negative (Toxiproxy 2.12 crashes on it)"
        ),
    ),
    "an unknown outcome": (
        SMALLEST + '[expect]\noutcome = ["completed"]\n',
        (
            "small.toml: expect.outcome[0]: unknown value 'completed'; did you mean 'complete'? "
            f"Known: {', '.join(sorted(outcome.value for outcome in Outcome))}"
        ),
    ),
    "an impossible time-out": (
        SMALLEST + "[client]\nidle_timeout = 0\n",
        (
            "small.toml: its simplest plan for openai-chat cannot be said: "
            "client: idle_timeout is 0.0; it must be more than 0 and at most 86400 seconds"
        ),
    ),
    "a silence against nothing": (
        SMALLEST + 'time_to_first_token = { longer_than = "idle_timeout" }\n',
        (
            "small.toml: its simplest plan for openai-chat cannot be said: script.time_to_first_token: "
            "it is measured against idle_timeout, which [client] does not set"
        ),
    ),
    "a bad name": (
        SMALLEST.replace("title", 'name = "../up"\ntitle'),
        "small.toml: scenario.name: it is '../up'; a name has 1 to 64 of the characters a-z, 0-9 and -",
    ),
    "short and long": (
        SMALLEST + '[[attempt]]\nscript = { dialect = "openai-chat" }\n',
        "small.toml: it has both [script] and [[attempt]]; the first is short for one [[attempt]]",
    ),
    "two dialects": (
        (
            "format = 1\n[scenario]\n"
            '[[attempt]]\nscript = { dialect = "openai-chat" }\n[[attempt]]\nscript = { dialect = "eventsource" }\n'
        ),
        "small.toml: attempt[1].script.dialect: it differs from the first attempt's; one client speaks one dialect",
    ),
    "a step that does not exist": (
        'format = 1\n[scenario]\n[script]\ndialect = "openai-chat"\nsteps = [{ step = "hed" }]\n',
        "small.toml: script.steps: Invalid value 'hed' at `[0].step`",
    ),
    "two heads": (
        'format = 1\n[scenario]\n[script]\ndialect = "openai-chat"\nsteps = [{ step = "head" }, { step = "head" }]\n',
        (
            "small.toml: its simplest plan for openai-chat cannot be said: script: it has 2 heads; it must "
            "have exactly one"
        ),
    ),
    "a step that the dialect refuses": (
        'format = 1\n[scenario]\n[script]\ndialect = "eventsource"\nsteps = [{ step = "head" }, { step = "done" }]\n',
        (
            "small.toml: its simplest plan for eventsource cannot be said: step 1 (done): "
            "eventsource has no terminal: the protocol never says that the stream is over"
        ),
    ),
    "a cut outside the body": (
        SMALLEST + 'text = "ab"\ncut = 100000\n',
        None,
    ),
    "an array that is none": (
        SMALLEST.replace('title = "Small"', "sources = 3"),
        "small.toml: scenario.sources: it is 3; it must be an array",
    ),
    "a table that is none": (
        "format = 1\nscenario = 3\n",
        "small.toml: scenario: it is 3; it must be a table",
    ),
    "scripts that are no tables": (
        "format = 1\nscript = 3\n[scenario]\n",
        "small.toml: script: it is 3; it must be a table",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_one_sentence_with_file_key_and_what_is_allowed(what):
    """Whatever is wrong with a file, the tester reads where it is and what would be right."""
    text, sentence = REFUSALS[what]
    with pytest.raises(UsageError) as raised:
        read(text)
    if sentence is not None:
        assert str(raised.value) == sentence
    assert str(raised.value).startswith("small.toml: ")
    assert "\n" not in str(raised.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_file_brings_the_parser_down(data):
    """Whatever values stand in whatever place, the answer is a scenario or a UsageError."""
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.floats(-1, 1))
    values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | _tables(inner), max_leaves=6)
    file = {"format": 1, "scenario": {"title": "x"}, "script": {"dialect": "openai-chat"}}
    place = data.draw(st.sampled_from(["scenario", "script", "toxics", "attempt", "client", "expect"]))
    drawn = data.draw(values)
    file[place] = {**file.get(place, {}), **drawn} if isinstance(drawn, dict) else drawn
    assert _refusal(_dumps(file)).startswith("any.toml: ")


def _refusal(text):
    try:
        parse(text, name="any", where="any.toml")
    except UsageError as refusal:
        return str(refusal)
    return "any.toml: "


_KEYS = ["tokens", "text", "stall", "cut", "splits", "headers", "type", "attributes", "latency", "min", "max", "one_of"]
_MORE = ["within", "longer_than", "faker", "steps", "step", "script", "outcome", "idle_timeout", "sources", "dialect"]


def _tables(inner):
    return st.dictionaries(st.sampled_from(_KEYS + _MORE), inner, max_size=4)


def _dumps(value):
    import tomli_w

    return tomli_w.dumps(_without_none(value))


def _without_none(value):
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value if item is not None] if isinstance(value, list) else value


# --- writing ----------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=20)
WORDS = st.text("abcXYZ019-", min_size=1, max_size=8)
PAUSES = st.builds(Pause, st.floats(0, 86_400) | st.integers(0, 60))
ANYWHERE = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Comment, TEXTS),
    st.builds(Body, TEXTS),
    st.builds(Raw, st.binary(max_size=20)),
    st.just(Open()),
    st.just(Ping()),
    PAUSES,
)
CHAT = st.builds(Finish, WORDS) | st.just(Done()) | st.builds(Failure, WORDS, TEXTS)
NAMED = {
    **dict.fromkeys(DialectName, CHAT),
    DialectName.EVENTSOURCE: st.builds(
        Message, TEXTS, st.none() | WORDS, st.none() | WORDS, st.none() | st.integers(0, 10_000)
    ),
}
READINGS = st.builds(Reading, st.none() | st.integers(0, 99), st.none() | st.integers(1, 99), st.booleans())
HEADS = st.builds(
    Head,
    st.sampled_from([200, 206, 400, 429, 503, 529]),
    st.none() | WORDS,
    st.lists(st.tuples(WORDS, WORDS), max_size=2).map(tuple),
    st.sampled_from(Framing),
)
TOXICS = st.one_of(
    st.builds(Latency, attributes=st.builds(LatencyAttributes, st.integers(0, 9999), st.integers(0, 999))),
    st.builds(
        Slicer,
        name=st.none() | WORDS,
        stream=st.sampled_from(Direction),
        toxicity=st.floats(0, 1),
        attributes=st.builds(SlicerAttributes, st.integers(1, 99), st.integers(0, 9), st.integers(0, 999)),
    ),
    st.builds(PacketLoss, attributes=st.builds(PacketLossAttributes, st.floats(0, 0.99), st.floats(0, 0.99))),
    st.builds(ResetAfter, attributes=st.builds(ResetAfterAttributes, st.integers(0, 999), st.sampled_from(ResetMode))),
    st.builds(CloseAfter, attributes=st.builds(CloseAfterAttributes, st.none(), st.integers(0, 99))),
    st.builds(CloseAfter, attributes=st.builds(CloseAfterAttributes, st.integers(0, 99), st.none())),
    st.builds(Stall, attributes=st.builds(StallAttributes, st.integers(0, 999), st.none() | st.integers(0, 99))),
)
# An address is https for every attempt of a plan, or for none.
TLS = [st.none(), st.builds(Tls, st.sampled_from(Certificate)) | st.builds(Tls, handshake=st.sampled_from(Handshake))]
CLIENTS = st.builds(
    ClientSettings,
    connect_timeout=st.none() | st.floats(0.1, 60),
    first_byte_timeout=st.none() | st.floats(0.1, 60),
    idle_timeout=st.none() | st.floats(0.1, 60) | st.integers(1, 60),
    max_retries=st.integers(0, 20),
    keepalives=st.sampled_from(Keepalives),
    cancel_at=st.none() | st.floats(0.1, 60),
)


@st.composite
def scripts(draw, dialect):
    """Any script that can be said: steps in any order, and content faults inside its body."""
    before = draw(st.lists(PAUSES, max_size=1))
    said = draw(st.lists(ANYWHERE | NAMED[dialect], max_size=6))
    end = draw(st.lists(st.builds(End, st.sampled_from(Ending)), max_size=1))
    quirks = tuple(draw(st.lists(st.sampled_from(Quirk), max_size=1)))
    script = Script(dialect, (*before, draw(HEADS), *said, *end), (), quirks, draw(READINGS), draw(st.booleans()))
    places = st.integers(0, sayable(script).body)
    faults = st.one_of(
        st.builds(CutBody, places, st.sampled_from(Ending)),
        st.builds(SplitAt, st.lists(places, max_size=3).map(tuple)),
        st.builds(SplitEvery, st.integers(1, 50)),
        places.map(lambda at: Replace(at, b"")),
    )
    faulty = msgspec.structs.replace(script, faults=tuple(draw(st.lists(faults, max_size=1))))
    sayable(faulty)
    return faulty


def sayable(script):
    """The layout of a script; what no dialect or framing can say is drawn anew."""
    try:
        return layout(script)
    except UsageError:
        reject()


@st.composite
def any_plan(draw):
    """Any plan that can be said."""
    dialect = draw(st.sampled_from(DialectName))
    attempts = st.builds(Attempt, scripts(dialect), st.lists(TOXICS, max_size=2).map(tuple), draw(st.sampled_from(TLS)))
    return Plan(
        scenario=draw(st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)),
        attempts=draw(st.lists(attempts, min_size=1, max_size=3).map(tuple)),
        client=draw(CLIENTS),
        fallback=draw(st.lists(attempts, max_size=1).map(tuple)),
        expect=Expect(
            draw(st.lists(st.sampled_from(Outcome), max_size=3).map(tuple)),
            draw(st.booleans()),
            draw(st.lists(st.sampled_from(Cure), max_size=2).map(tuple)),
        ),
        seed=draw(st.integers(0, 2**63 - 1)),
        title=draw(TEXTS),
        cause=draw(TEXTS),
        requirement=draw(TEXTS),
        sources=draw(st.lists(TEXTS, max_size=2).map(tuple)),
    )


@settings(max_examples=100, deadline=None)
@given(any_plan())
def test_a_plan_comes_back_as_it_was_written(plan):
    """parse(to_toml(plan)) has one member, and it is the plan."""
    assert single(parse(to_toml(plan), name="elsewhere", where="elsewhere.toml")) == plan


def test_one_tls_table_seals_every_attempt_that_has_none_of_its_own():
    """A handshake that fails once is an attempt's own; that all are sealed is said once."""
    scenario = read(
        """
        format = 1
        [scenario]
        [tls]
        [[attempt]]
        script = { dialect = "openai-chat" }
        tls = { handshake = "alert" }
        [[attempt]]
        script = { tokens = 2 }
        """
    )
    assert [attempt.tls for attempt in single(scenario).attempts] == [Tls(handshake=Handshake.ALERT), Tls()]


@pytest.mark.parametrize(
    ("tls", "sentence"),
    [
        ('handshake = "nope"', "tls.handshake: unknown value 'nope'"),
        ('cipher = "none"', "tls: unknown key 'cipher'"),
        ('certificate = "expired"\nhandshake = "close"', "nobody sees it where handshake is close"),
        ('[[toxics]]\ntype = "limit_data"\nattributes = { bytes = { within = "wire" } }', "give it a number of bytes"),
    ],
)
def test_what_tls_cannot_mean_is_refused(tls, sentence):
    """A wrong word, two things of which one hides the other, and a place that nobody knows before a handshake."""
    file = f'format = 1\n[scenario]\n[script]\ndialect = "openai-chat"\n[tls]\n{tls}\n'
    with pytest.raises(UsageError, match=re.escape(sentence)):
        read(file)


def test_a_written_plan_can_be_read_by_people():
    """The file names every step in the format's own words, with constants only."""
    script = Script(DialectName.OPENAI_CHAT, (Head(), Open(), Text("漢"), Finish(), Done()), (CutBody(9),))
    plan = Plan("abrupt-end", (Attempt(script),), client=ClientSettings(idle_timeout=30.0), title="Cut", seed=3)
    assert to_toml(plan) == textwrap.dedent(
        """\
        format = 1

        [scenario]
        name = "abrupt-end"
        title = "Cut"
        seed = 3

        [script]
        dialect = "openai-chat"
        steps = [
            { step = "head" },
            { step = "open" },
            { step = "text", text = "漢" },
            { step = "finish" },
            { step = "done" },
        ]
        faults = [
            { fault = "cut_body", at = 9 },
        ]

        [client]
        idle_timeout = 30.0
        """
    )
