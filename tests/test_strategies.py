"""Drawing plans: what fits a clock, what keeps clear of a time-out, where faults strike, and how often the same."""

import itertools

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from testbed.catalogue import parse, single, to_toml
from testbed.corpus import CORPUS
from testbed.errors import Unsupported, UsageError
from testbed.program import layout
from testbed.script import CutBody, DialectName, Head, Pause, SplitAt, Text
from testbed.strategies import LONGEST, draw_many, plans, simplest
from testbed.timing import margin, nominal, silences
from testbed.trace import Clock

CHAT = DialectName.OPENAI_CHAT
ALL = tuple(DialectName)
SCENARIO = """
format = 1
[scenario]
[script]
dialect = "openai-chat"
"""


def read(text, head=SCENARIO):
    return parse(head + text, name="drawn", where="drawn.toml")


def drawn(text, count=60, clock=Clock.VIRTUAL, dialects=ALL):
    return draw_many(read(text), dialects, clock=clock, count=count, seed=0)


# --- dialects ---------------------------------------------------------------------------------------------------------


def test_plans_speak_what_the_scenario_and_the_client_share():
    """A plan is drawn only in a dialect of both sides."""
    scenario = parse(
        SCENARIO.replace('"openai-chat"', '{ one_of = ["openai-chat", "eventsource"] }'), name="x", where="x.toml"
    )
    assert {plan.dialect for plan in draw_many(scenario, ALL, Clock.VIRTUAL, 20, 0)} == {
        CHAT,
        DialectName.EVENTSOURCE,
    }
    only = (DialectName.ANTHROPIC_MESSAGES, DialectName.EVENTSOURCE)
    assert {plan.dialect for plan in draw_many(scenario, only, Clock.VIRTUAL, 20, 0)} == {DialectName.EVENTSOURCE}


def test_no_shared_dialect_is_unsupported():
    """A client that speaks none of the scenario's dialects cannot be asked."""
    with pytest.raises(Unsupported, match="drawn: it is about openai-chat, which this client does not speak"):
        plans(read(""), [DialectName.EVENTSOURCE], clock=Clock.VIRTUAL)


# --- spread -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_every_choice_has_its_share_of_a_hundred_plans(seed):
    """Of ten statuses each is drawn about ten times: no plan is another one with a value copied to another place."""
    statuses = [400, 401, 403, 404, 409, 413, 422, 429, 500, 503]
    scenario = read(f"status = {{ one_of = {statuses} }}\ntime_to_first_byte = {{ min = 0.0, max = 9.0 }}\n")
    seen = []

    @hypothesis_seed(seed)
    @settings(max_examples=100, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @given(plans(scenario, ALL, clock=Clock.VIRTUAL))
    def collect(plan):
        seen.append(plan.attempts[0].script.head.status)

    collect()
    assert min(map(seen.count, statuses)) >= 3


@pytest.mark.parametrize("seed", range(4))
def test_both_ends_of_a_range_are_drawn_on_purpose(seed):
    """Of a hundred plans several have the fewest and several the most tokens that there can be."""
    scenario = read("tokens = { min = 0, max = 40 }\n")
    counts = []

    @hypothesis_seed(seed)
    @settings(max_examples=100, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @given(plans(scenario, ALL, clock=Clock.VIRTUAL))
    def collect(plan):
        counts.append(sum(isinstance(step, Text) for step in plan.attempts[0].script.steps))

    collect()
    assert counts.count(0) >= 3
    assert counts.count(40) >= 3


def test_places_are_spread_over_the_whole_of_a_stream():
    """Of a hundred cuts of a long stream every quarter has its share."""
    scenario = read('tokens = 40\ncut = { within = "body" }\n')
    shares = []

    @hypothesis_seed(0)
    @settings(max_examples=100, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @given(plans(scenario, ALL, clock=Clock.VIRTUAL))
    def collect(plan):
        script = plan.attempts[0].script
        shares.append(script.faults[0].at / layout(type(script)(script.dialect, script.steps)).body)

    collect()
    quarters = [sum(low <= share <= low + 0.25 for share in shares) for low in (0.0, 0.25, 0.5, 0.75)]
    assert min(quarters) >= 8, quarters


# --- time -------------------------------------------------------------------------------------------------------------

SLOW = """
tokens = { min = 1, max = 100 }
time_to_first_token = { min = 0.0, max = 600.0 }
inter_token = { min = 0.0, max = 30.0 }
[[toxics]]
type = "latency"
attributes = { latency = { min = 10, max = 60000 } }
[[toxics]]
type = "bandwidth"
attributes = { rate = { min = 1, max = 1000 } }
"""


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_plan_outlasts_a_real_clock(data):
    """Ranges that reach to hours are stretched only so far that a plan takes a right client three seconds."""
    plan = data.draw(plans(read(SLOW), ALL, clock=Clock.REAL))
    assert nominal(plan) <= LONGEST


def test_virtual_time_gets_the_whole_range():
    """Where time costs nothing, the long end is drawn, too."""
    assert max(map(nominal, drawn(SLOW))) > 600
    assert max(map(nominal, drawn(SLOW, clock=Clock.REAL))) > 1


def test_what_cannot_be_short_is_unsupported_on_a_real_clock():
    """A minimum over three seconds is a question for virtual time."""
    text = "time_to_first_token = { min = 5.0, max = 9.0 }"
    with pytest.raises(Unsupported, match="drawn: even its shortest plan takes 5 s; a real clock has 3 s"):
        drawn(text, clock=Clock.REAL)
    assert len(drawn(text)) == 60


def test_a_constant_is_the_testers_word():
    """A file of constants has one plan, on every clock, however long it takes."""
    text = 'text = "ab"\ntime_to_first_token = 3600.0\n'
    for clock in Clock:
        (plan,) = drawn(text, clock=clock)
        assert nominal(plan) == 3600.0


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize(
    "silence",
    [
        "{ min = 0.0, max = 60.0 }",
        '{ one_of = [{ shorter_than = "idle_timeout" }, { longer_than = "idle_timeout", max = 3600 }] }',
    ],
)
@pytest.mark.parametrize("key", ["time_to_first_byte", "time_to_first_token", "inter_token"])
def test_no_silence_comes_near_the_timeout(key, silence, clock):
    """Every silence, jitter counted, keeps half a second or a quarter of the time-out away from it."""
    text = f"""
        tokens = {{ min = 1, max = 5 }}
        {key} = {silence}
        [[toxics]]
        type = "latency"
        attributes = {{ latency = {{ min = 0, max = 100 }}, jitter = {{ min = 0, max = 50 }} }}
        [client]
        idle_timeout = {{ min = 1.0, max = 20.0 }}
        """
    sides = set()
    for plan in drawn(text, count=150, clock=clock):
        timeout = plan.client.idle_timeout
        clear = margin(timeout, Clock.REAL) - 1e-6
        for one in silences(plan.attempts[0]):
            assert one.longest <= timeout - clear or one.shortest >= timeout + clear
            sides.add(one.shortest > timeout)
    assert sides == {False, True}


def test_a_silence_that_fits_on_neither_side_is_unsupported():
    """If every value of a range is too near the time-out, the scenario cannot be asked."""
    text = "time_to_first_byte = { min = 0.9, max = 1.1 }\n[client]\nidle_timeout = 1.0\n"
    with pytest.raises(Unsupported, match=r"every silence from 0\.9 to 1\.1 s is too near the time-out of 1 s"):
        drawn(text)


def test_weather_that_fits_no_timeout_is_unsupported():
    """Toxics that alone reach the time-out leave no fair question."""
    toxic = '[[toxics]]\ntype = "latency"\nattributes = { latency = { min = 900, max = 1500 } }\n'
    text = toxic + "[client]\nidle_timeout = 1.0\n"
    with pytest.raises(Unsupported, match="its toxics alone come too near the client's time-out of 1 s"):
        drawn(text)


# --- places -----------------------------------------------------------------------------------------------------------


def cuts(region, count=400):
    """The cut bytes that are drawn in a region, each with the layout of its uncut script."""
    found = []
    for plan in drawn(f'tokens = {{ min = 1, max = 3 }}\ntext = "é→𝄞"\ncut = {{ within = "{region}" }}\n', count=count):
        script = plan.attempts[0].script
        (fault,) = script.faults
        assert isinstance(fault, CutBody)
        found.append((fault.at, layout(type(script)(script.dialect, script.steps))))
    return found


def test_a_cut_can_fall_anywhere_in_the_body():
    """Both ends of the body are reached, and bytes in between that are no boundary."""
    found = cuts("body", 2000)
    assert any(at == 0 for at, _ in found)
    assert any(at == whole.body for at, whole in found)
    edges = [{edge + near for span in whole.events for edge in span.body for near in (-1, 0, 1)} for _, whole in found]
    assert any(at not in boundaries for (at, _), boundaries in zip(found, edges, strict=True))


def test_a_cut_before_the_terminal_leaves_it_unfinished():
    """The terminal event is never whole, and sometimes it is begun."""
    begun = set()
    for at, whole in cuts("before-terminal"):
        (terminal,) = [span for span in whole.events if span.body[0] == whole.terminal_body]
        assert at <= terminal.body[1] - len("}\n\n")
        begun.add(at > terminal.body[0])
    assert begun == {False, True}


def test_event_places_are_event_edges():
    """`events` are the ends of events and nothing else."""
    for at, whole in cuts("events"):
        assert at in {edge for span in whole.events for edge in span.body}


def test_places_inside_characters_are_drawn_on_purpose():
    """A cut goes through a character far more often than its share of the bytes."""
    found = cuts("body")
    inside = 0
    for at, _ in found:
        inside += at > 0 and _splits_character(at)
    assert inside > len(found) / 20


def test_places_in_the_last_word_are_drawn_on_purpose():
    """The bytes of the terminal event are reached, and the last that may be cut off with certainty."""
    found = cuts("before-terminal", 600)
    behind = [terminal_end(whole) - at for at, whole in found]
    assert len(set(range(3, 40)) & set(behind)) > 25
    assert set(range(3, 7)) <= set(behind)


def terminal_end(whole):
    return next(span.body[1] for span in whole.events if span.body[0] == whole.terminal_body)


def test_places_between_the_lines_of_an_event_are_drawn_on_purpose():
    """A name that has come and data that has not is a place of its own."""
    text = 'tokens = { min = 1, max = 3 }\ncut = { within = "body" }\n'
    scenario = read(text, SCENARIO.replace("openai-chat", "anthropic-messages"))
    between = 0
    for plan in draw_many(scenario, ALL, Clock.VIRTUAL, 300, 0):
        script = plan.attempts[0].script
        (fault,) = script.faults
        body = b"".join(_bodies(type(script)(script.dialect, script.steps)))
        between += body[: fault.at].endswith(b"\n") and body[fault.at :].startswith(b"data:")
    assert between > 300 / 30


def _splits_character(at):
    for tokens in (1, 2, 3):
        (plan,) = draw_many(read(f'tokens = {tokens}\ntext = "é→𝄞"\n'), ALL, Clock.VIRTUAL, 1, 0)
        body = b"".join(_bodies(plan.attempts[0].script))
        if at < len(body) and 0x80 <= body[at] < 0xC0:
            return True
    return False


def _bodies(script):
    from testbed.program import Write, compile_script

    for action in compile_script(script):
        if isinstance(action, Write):
            yield action.data[slice(*action.payload)]


def test_a_reset_in_mid_stream_comes_after_a_token_and_before_the_terminal():
    """Wire bytes of a toxic are counted from the first byte of the head."""
    text = """
        tokens = { min = 1, max = 4 }
        framing = { one_of = ["chunked", "close", "content-length"] }
        [[toxics]]
        type = "reset_after"
        attributes = { bytes = { within = "mid-stream" } }
        """
    seen = set()
    for plan in drawn(text, count=200):
        script, (toxic,) = plan.attempts[0].script, plan.attempts[0].toxics
        whole = layout(script)
        first = next(span for span in whole.events if isinstance(script.steps[span.step], Text))
        assert first.wire[1] <= toxic.attributes.bytes <= whole.terminal_wire
        seen.add(toxic.attributes.bytes == first.wire[1])
    assert seen == {False, True}


def test_splits_inside_characters_split_one_or_all():
    """Every split goes through a character; sometimes one is split and sometimes all are."""
    text = 'text = { corpus = ["cjk", "astral"] }\nsplits = "inside-utf8"\n'
    sizes = set()
    for plan in drawn(text):
        script = plan.attempts[0].script
        (fault,) = script.faults
        assert isinstance(fault, SplitAt)
        body = b"".join(_bodies(script))
        assert all(0x80 <= body[at] < 0xC0 for at in fault.at)
        sizes.add(len(fault.at) == 1)
    assert sizes == {False, True}


def test_a_stall_takes_the_place_of_one_gap():
    """The stall stands behind any token, and adds to no other silence."""
    text = (
        'tokens = 4\ninter_token = { min = 0.1, max = 0.2 }\nstall = { seconds = 9.0, after = { within = "tokens" } }\n'
    )
    places = set()
    for plan in drawn(text):
        steps = plan.attempts[0].script.steps
        places.add(sum(isinstance(step, Text) for step in steps[: steps.index(Pause(9.0))]))
        pairs = itertools.pairwise(steps)
        assert not any(isinstance(one, Pause) and isinstance(two, Pause) for one, two in pairs)
    assert places == {1, 2, 3, 4}


def test_tokens_are_no_place_for_a_fault():
    """A region that counts tokens cannot say a byte."""
    with pytest.raises(UsageError, match=r"tokens are counted only by stall\.after"):
        read('cut = { within = "tokens" }\n')


# --- texts ------------------------------------------------------------------------------------------------------------


def test_texts_come_from_every_style():
    """Numbered words, our corpus, each locale, and mixes of all are drawn."""
    texts = [plan.attempts[0].script.text for plan in drawn('text = { faker = ["ja_JP", "ar_AA"] }\n', count=300)]
    for group in CORPUS.values():
        assert any(word in text for text in texts for word in group)
    assert any(text.startswith("w0 w1 ") for text in texts)
    assert any("\u3040" <= letter <= "\u30ff" for text in texts for letter in text)
    assert any("\u0600" <= letter <= "\u06ff" for text in texts for letter in text)


def test_an_unknown_locale_is_the_testers_mistake():
    """Faker's own list says which locales there are."""
    with pytest.raises(UsageError, match="unknown Faker locale 'xx_XX'"):
        drawn('text = { faker = ["xx_XX"], corpus = ["plain"] }\n')


# --- many at once -----------------------------------------------------------------------------------------------------

VARIED = 'tokens = { min = 1, max = 30 }\ntext = { faker = ["en_US"] }\ncut = { within = "body" }\n'


def test_many_plans_are_distinct_and_the_first_is_the_simplest():
    """No plan twice, and the first is the one that everything shrinks to."""
    many = drawn(VARIED, count=50)
    assert len({to_toml(plan) for plan in many}) == 50
    assert many[0] == simplest(read(VARIED), ALL, clock=Clock.VIRTUAL)
    assert many[0].attempts[0].script.steps[2:4] == (Text("w0 "), many[0].attempts[0].script.steps[3])


def test_the_same_seed_gives_the_same_plans():
    """A seed says everything, and another seed says something else."""
    scenario = read(VARIED)
    one, again, other = (draw_many(scenario, ALL, Clock.VIRTUAL, 8, seed) for seed in (1, 1, 2))
    assert one == again
    assert one[1:] != other[1:]


def test_a_small_family_gives_what_it_has():
    """Fewer plans than asked for, if there are no more."""
    assert len(drawn('text = "x"\nstatus = { one_of = [503, 529] }\n', count=20)) == 2


def test_an_optional_toxic_is_there_or_not():
    """Not is simpler."""
    many = drawn('text = "x"\n[[toxics]]\ntype = "noop"\noptional = true\n', count=20)
    assert [len(plan.attempts[0].toxics) for plan in many] == [0, 1]


def test_chance_is_seeded_only_where_a_toxic_rolls():
    """A plan whose toxics are exact has the seed 0; one with jitter has one of its own."""
    exact = '[[toxics]]\ntype = "latency"\nattributes = { latency = { min = 1, max = 50 } }\n'
    rolled = exact.replace("latency =", "jitter =")
    assert {plan.seed for plan in drawn(exact, count=30)} == {0}
    assert len({plan.seed for plan in drawn(rolled, count=30)}) > 10


def test_header_values_are_drawn_as_text():
    """A range of numbers becomes the text of a header field."""
    many = drawn('text = "x"\nstatus = 429\nheaders = { Retry-After = { min = 1, max = 9 } }\n', count=9)
    assert sorted(plan.attempts[0].script.head.headers for plan in many) == [
        (("Retry-After", str(n)),) for n in range(1, 10)
    ]


@settings(max_examples=100, deadline=None)
@given(plan=plans(read(VARIED), ALL, clock=Clock.VIRTUAL))
def test_drawn_plans_come_back_as_they_were_written(plan):
    """What Hypothesis finds can be saved, and is the same plan when it is read again."""
    assert single(parse(to_toml(plan), name="x", where="x.toml")) == plan


def test_hypothesis_finds_what_the_ranges_allow():
    """The strategy reaches a plan that needs several draws at once."""
    quiet = settings(max_examples=2000, database=None, deadline=None, phases=[Phase.generate, Phase.shrink])
    plan = find(
        plans(read(VARIED), ALL, clock=Clock.VIRTUAL),
        lambda plan: plan.attempts[0].script.steps.count(Text("[DONE]")) == 2,
        settings=quiet,
    )
    assert isinstance(plan.attempts[0].script.steps[0], Head)
