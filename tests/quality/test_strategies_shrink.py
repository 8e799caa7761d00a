"""What Hypothesis shrinks to: one event, one fault, no pause, plain letters, the earliest byte."""

from random import Random
from statistics import median

import pytest
from hypothesis import Phase, find, settings

from testbed import loader
from testbed.program import layout
from testbed.script import CutBody, DialectName, Head, Open, Pause, Text
from testbed.strategies import plans, simplest
from testbed.timing import silences
from testbed.trace import Clock

pytestmark = pytest.mark.once

QUIET = settings(max_examples=2000, database=None, deadline=None, phases=[Phase.generate, Phase.shrink])

# Whose plain letters have nothing to split, so that the simplest draw of all is no plan.
NO_SIMPLEST = frozenset({"split-utf8"})


def smallest(name, shows, clock=Clock.VIRTUAL, seed=0):
    """Find the smallest plan of a shipped scenario that shows something."""
    scenario = loader.load(name)
    return find(plans(scenario, tuple(DialectName), clock=clock), shows, settings=QUIET, random=Random(seed))


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("name", loader.names())
def test_without_a_reason_everything_is_as_simple_as_can_be(name, clock):
    """The smallest plan is the family's simplest: the first dialect, the fewest tokens, no pause, no seed."""
    scenario = loader.load(name)
    plan = smallest(name, lambda _plan: True, clock)
    assert plan.seed == (scenario.seed or 0)
    if name in NO_SIMPLEST:
        return
    assert plan == simplest(scenario, tuple(DialectName), clock=clock)
    assert plan.dialect in scenario.dialects[:1]


def test_an_end_that_is_not_noticed_shrinks_to_nothing_said():
    """A client that never looks for the terminal fails on the empty answer already."""
    plan = smallest("abrupt-end", lambda plan: True)
    (cut,) = plan.attempts[0].script.faults
    assert cut == CutBody(0)
    assert layout(plan.attempts[0].script).events == ()


def test_a_lost_tail_shrinks_to_one_event_before_the_cut():
    """A client that fails only once a token was shown needs one token and the earliest cut behind it."""

    def shows(plan):
        script = plan.attempts[0].script
        return any(span.body[1] == layout(script).body for span in layout(script).events if _is_text(script, span))

    # In one dialect: the bytes of another are others, so the search does not come back from it to the first.
    plan = smallest("abrupt-end", lambda plan: plan.dialect is DialectName.OPENAI_CHAT and shows(plan))
    script = plan.attempts[0].script
    assert [type(step) for step in script.steps[:3]] == [Head, Open, Text]
    assert len([span for span in layout(script).events if _is_text(script, span)]) == 1
    assert len(script.faults) == 1
    assert not any(isinstance(step, Pause) for step in script.steps)


def _is_text(script, span):
    return isinstance(script.steps[span.step], Text)


def test_a_reset_shrinks_to_the_byte_behind_the_first_token():
    """One token, one toxic, the earliest byte."""
    plan = smallest("mid-stream-reset", lambda plan: True)
    script, (toxic,) = plan.attempts[0].script, plan.attempts[0].toxics
    assert script.text == "w0 "
    assert toxic.attributes.bytes == layout(script).events[1].wire[1]


def test_a_text_that_matters_shrinks_to_itself():
    """If U+2028 is what breaks a client, the smallest plan is that letter, or the few words of the corpus up to it.

    Words hang together (they come from one seed), so some searches end at the second; most end at the first.
    """
    found = [smallest("split-utf8", lambda plan: "\u2028" in plan.attempts[0].script.text, seed=n) for n in range(9)]
    lengths = [len(plan.attempts[0].script.text) for plan in found]
    assert median(lengths) == len("a\u2028b")
    assert max(lengths) <= 20


def test_a_stall_shrinks_to_the_shortest_clear_one():
    """The time-out, and with it the silence that outlasts it, ends at its least."""
    plan = smallest("stall-mid-stream", lambda plan: True)
    assert plan.client.idle_timeout == 1.5
    # Two hours: whoever has no time-out is still there when anybody would have given up.
    assert max(one.longest for one in silences(plan.attempts[0])) == 7200.0


def test_toxics_that_do_not_matter_disappear():
    """An optional toxic is gone from the smallest plan, and one that matters stays."""
    assert len(smallest("packet-loss", lambda plan: True).attempts[0].toxics) == 1
    assert len(smallest("packet-loss", lambda plan: len(plan.attempts[0].toxics) > 1).attempts[0].toxics) == 2
