"""The wishes of a shrinker: what each of them keeps, and where an address goes when the bytes before it are gone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from msgspec import structs

from testbed import loader
from testbed._shrink_aim import Keep, aimed
from testbed._shrink_size import size
from testbed._shrink_steps import PASSES, earlier_addresses, fewer_faults, fewer_steps, lower_numbers, shorter_texts
from testbed._shrink_times import keeps_the_rules, scaled
from testbed._shrink_words import higher, lower, shorter, simpler
from testbed.faults.toxics import Bandwidth, BandwidthAttributes, ResetAfter, ResetAfterAttributes
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.program import layout
from testbed.script import (
    Arguments,
    ChunkLine,
    ContentFault,
    CutBody,
    DialectName,
    Done,
    Finish,
    Head,
    Open,
    Pause,
    Script,
    SplitAt,
    SplitEvery,
    Step,
    Text,
    ToolCall,
)
from testbed.strategies import draw_many
from testbed.trace import Clock

TALK: tuple[Step, ...] = (Head(), Open(), Text("one "), Text("two "), Text("three"), Finish(), Done())


def plan(*steps: Step, faults: tuple[ContentFault, ...] = (), client: ClientSettings | None = None) -> Plan:
    script = Script(DialectName.OPENAI_CHAT, steps or TALK, faults)
    return Plan(scenario="of-a-test", attempts=(Attempt(script),), client=client or ClientSettings())


def drawn() -> Iterator[Plan]:
    """Plans of many kinds: two of each of these scenarios."""
    for name in ("vpn-latency", "packet-loss", "split-utf8", "stall-mid-stream", "rate-limited-then-ok", "abrupt-end"):
        yield from draw_many(loader.load(name), tuple(DialectName), Clock.VIRTUAL, 2, 11)


def spans(script: Script) -> list[tuple[int, int]]:
    return [span.body for span in layout(structs.replace(script, faults=())).events]


@pytest.mark.parametrize("number", range(len(PASSES)), ids=[one.__name__ for one in PASSES])
def test_a_wish_is_a_plan_that_can_be_said_and_the_list_is_the_same_twice(number: int) -> None:
    """Every wish compiles, keeps the dialect and what the plan is about, and comes in the same order again."""
    for one in drawn():
        wishes = list(itertools.islice(PASSES[number](one), 60))
        assert wishes == list(itertools.islice(PASSES[number](one), 60))
        for wish in wishes:
            assert (wish.dialect, wish.scenario, wish.requirement, wish.expect) == (
                one.dialect, one.scenario, one.requirement, one.expect,
            )  # fmt: skip
        for wish in wishes[:: len(wishes) // 10 + 1]:
            assert all(layout(attempt.script).head > 0 for attempt in wish.attempts)


def test_the_protocols_own_words_are_never_taken_away() -> None:
    """However many steps go, the head, the opening and both terminals stay: nothing else would be a legal answer."""
    one = plan(Head(), Open(), Text("a"), ToolCall("f"), Arguments("{"), Arguments("}"), Finish(), Done())
    for wish in fewer_steps(one):
        kinds = [type(step) for step in wish.attempts[0].script.steps]
        assert [kind for kind in kinds if kind not in (Text, ToolCall, Arguments)] == [Head, Open, Finish, Done]
        # A call without all of its arguments would be broken JSON.
        said = "".join(step.json for step in wish.attempts[0].script.steps if isinstance(step, Arguments))
        assert said in ("{}", "")
        assert (ToolCall in kinds) == (said == "{}")


@pytest.mark.parametrize("gone", [2, 3])
@pytest.mark.parametrize("keep", Keep)
def test_an_address_keeps_its_place_in_its_event(gone: int, keep: Keep) -> None:
    """A cut inside the third token stays so many bytes inside it when a token before it goes."""
    before = plan(faults=()).attempts[0]
    start, stop = spans(before.script)[3]
    inside = start + 7
    cut = Attempt(structs.replace(before.script, faults=(CutBody(inside),)))
    left = [place for place in range(len(TALK)) if place != gone]
    script = structs.replace(cut.script, steps=tuple(TALK[place] for place in left))
    after = aimed(cut, script, {place: new for new, place in enumerate(left)}, keep)
    new_start, new_stop = spans(after.script)[2]
    (fault,) = after.script.faults
    assert isinstance(fault, CutBody)
    assert fault.at - new_start == 7
    assert new_stop - fault.at == stop - inside


def test_an_address_follows_a_shorter_text_by_its_beginning_or_by_its_end() -> None:
    """Where an event gets shorter, a byte behind the text is kept from the end and one before it from the beginning."""
    steps = (Head(), Open(), Text("x" * 50), Finish(), Done())
    start, stop = spans(plan(*steps).attempts[0].script)[1]
    before = plan(*steps, faults=(CutBody(stop - 3),)).attempts[0]
    script = structs.replace(before.script, steps=(*steps[:2], Text("x"), *steps[3:]))
    same = {place: place for place in range(len(steps))}
    new_start, new_stop = spans(script)[1]
    by_end, by_beginning = (aimed(before, script, same, keep).script.faults[0] for keep in (Keep.END, Keep.BEGINNING))
    assert by_end == CutBody(new_stop - 3)
    assert by_beginning == CutBody(new_stop)  # the event is too short for the old distance: its end is nearest
    assert new_start == start


def test_the_address_of_an_event_that_is_gone_falls_on_a_boundary() -> None:
    """A split inside a token that goes away ends up between its neighbours, not somewhere inside one."""
    start, _ = spans(plan().attempts[0].script)[2]
    before = plan(faults=(SplitAt((start + 5,)),)).attempts[0]
    left = [place for place in range(len(TALK)) if place != 3]
    script = structs.replace(before.script, steps=tuple(TALK[place] for place in left))
    kept = {place: new for new, place in enumerate(left)}
    boundary = spans(script)[2][0]
    for keep in Keep:
        assert aimed(before, script, kept, keep).script.faults == (SplitAt((boundary,)),)


def test_a_toxic_follows_the_wire_and_a_chunk_its_number() -> None:
    """Toxics count wire bytes, so they follow framing too; the chunk of the third event becomes that of the second."""
    script = plan(faults=(ChunkLine("zz", chunk=3),)).attempts[0].script
    event = layout(script).events[3].wire
    before = Attempt(script, toxics=(ResetAfter(attributes=ResetAfterAttributes(bytes=event[1])),))
    left = [place for place in range(len(TALK)) if place != 2]
    shorter_script = structs.replace(script, steps=tuple(TALK[place] for place in left))
    after = aimed(before, shorter_script, {place: new for new, place in enumerate(left)}, Keep.END)
    assert after.script.faults == (ChunkLine("zz", chunk=2),)
    (toxic,) = after.toxics
    assert isinstance(toxic, ResetAfter)
    assert toxic.attributes.bytes == layout(after.script).events[2].wire[1]


def test_faults_go_all_at_once_and_one_by_one() -> None:
    """The boldest wish has no toxic at all; among the modest ones each is missing once."""
    one = plan()
    toxics = tuple(ResetAfter(attributes=ResetAfterAttributes(bytes=at)) for at in (1, 2, 3))
    many = structs.replace(one, attempts=(structs.replace(one.attempts[0], toxics=toxics),))
    found = [wish.attempts[0].toxics for wish in fewer_faults(many)]
    assert found[0] == ()
    assert set(found) == {(), toxics[1:], toxics[:2], (toxics[0], toxics[2])}


def test_one_split_is_wished_for_where_every_byte_is_split() -> None:
    """A body in single bytes can become a body with one cut, which is smaller though it is one fault as well."""
    one = plan(faults=(SplitEvery(1),))
    singles = [wish for wish in earlier_addresses(one) if isinstance(wish.attempts[0].script.faults[0], SplitAt)]
    assert len(singles) > 300
    assert all(size(wish) < size(one) for wish in singles)


def test_numbers_fall_and_pipes_grow_wider() -> None:
    """Lower is simpler, except where more is: a rate goes up."""
    toxic = Bandwidth(attributes=BandwidthAttributes(rate=5))
    one = plan()
    slow = structs.replace(one, attempts=(structs.replace(one.attempts[0], toxics=(toxic,)),))
    rates = [wish.attempts[0].toxics[0].attributes.rate for wish in lower_numbers(slow)]  # type: ignore[union-attr]
    assert rates
    assert min(rates) > 5, rates
    assert all(size(wish) < size(slow) for wish in lower_numbers(slow))


def test_no_wish_that_is_taken_brings_a_silence_near_a_time_out() -> None:
    """Times may shrink together, but what outlasts the time-out still does, by the margin of a real clock."""
    steps = (Head(), Open(), Text("a"), Pause(3.0), Text("b"), Pause(60.0), Finish(), Done())
    one = plan(*steps, client=ClientSettings(idle_timeout=30.0))
    wishes = list(scaled(one))
    assert wishes
    for wish in wishes:
        limit = wish.client.idle_timeout or 0
        short, long = (step.seconds for step in wish.attempts[0].script.steps if isinstance(step, Pause))
        assert long >= limit + 0.5
        assert short <= limit - 0.5
        assert keeps_the_rules(wish, one)
    near = plan(*TALK[:3], Pause(29.0), *TALK[3:], client=ClientSettings(idle_timeout=30.0))
    assert not keeps_the_rules(near, one)
    assert keeps_the_rules(near, near)  # a plan that was so from the start may stay so


def test_a_wish_that_breaks_the_order_of_an_answer_is_not_kept() -> None:
    """A text before the opening was nobody's fault before, so a shrinker must not bring it about."""
    assert not keeps_the_rules(plan(Head(), Text("a"), Open(), Finish(), Done()), plan())


def test_texts_become_one_letter_or_lose_letters() -> None:
    """The boldest wish is an 'a' everywhere; a letter that matters alone is among the modest ones."""
    one = plan(Head(), Open(), Text("x\u2028y"), Finish(), Done())
    said = [wish.attempts[0].script.text for wish in shorter_texts(one)]
    assert said[0] == "a"
    assert {"aaa", "x\u2028", "\u2028y", "a\u2028y"} <= set(said)


@pytest.mark.parametrize("text", ["a", "aaaa", "é", "x" * 1000, "日本語 text"])
def test_no_wish_for_a_text_is_empty_or_longer(text: str) -> None:
    """A text that is there stays there."""
    assert all(0 < len(wish) <= len(text) for wish in simpler(text))


def test_lists_of_numbers_end_next_to_where_they_began() -> None:
    """The boldest wish first, the neighbour among the last; all strictly lower, or higher."""
    assert list(lower(10)) == [0, 5, 8, 9, 1]
    assert list(lower(1)) == [0]
    assert list(lower(3, 3)) == []
    assert all(number > 7 for number in higher(7))
    assert min(higher(7)) <= 16
    times = list(shorter(12.5, 1.0))
    assert times[0] == 1.0
    assert max(times) == 12.499
    assert min(times) >= 1.0
