"""Sweeps: every place is struck and named, what is said of them is true, and it does not matter who runs them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from testbed import runner
from testbed._found import Result
from testbed._scenario_spec import Grain, Sweep, SweptFault
from testbed._scenario_sweep import Part, Phase, Place, Spot, places, struck
from testbed._sweep_team import Team, alone
from testbed._sweep_words import Cell, grid
from testbed.adapters import load
from testbed.catalogue import parse, single
from testbed.dialects import DIALECTS
from testbed.errors import UsageError
from testbed.explore import Settings, explore
from testbed.oracle import Verdict
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.program import Write, compile_script, layout
from testbed.reports.grid import lines
from testbed.script import DialectName, Done, Ending, Finish, Framing, Head, Open, Script, Text
from testbed.trace import Clock, Failure
from tests.toys import TOYS

CUT = Sweep(SweptFault.CUT)


def stream(dialect: DialectName, framing: Framing = Framing.CHUNKED) -> Script:
    """Two tokens, one of them with a character of several bytes, and the end."""
    refused = DIALECTS[dialect].refused
    steps = (Head(framing=framing), Open(), Text("one "), Text("zwölf"), Finish(), Done())
    return Script(dialect, tuple(step for step in steps if type(step) not in refused))


def plan(script: Script) -> Plan:
    """One attempt."""
    return Plan(scenario="swept", attempts=(Attempt(script),), client=ClientSettings(idle_timeout=2.0))


def family(sweep: str, *, tokens: int = 2) -> str:
    """A scenario file with a sweep."""
    script = f'[script]\ndialect = "openai-chat"\ntokens = {tokens}\n'
    return f'format = 1\n[scenario]\ntitle = "x"\n{script}[sweep]\n{sweep}\n[client]\nidle_timeout = 2.0\n'


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DialectName)
def test_every_byte_is_a_place_and_the_coarser_grains_are_among_them(dialect: DialectName):
    """Bytes are all of the body, edges are some of them, and events begin at event edges only."""
    script = stream(dialect)
    every, edges, events = (places(script, grain) for grain in (Grain.BYTES, Grain.EDGES, Grain.EVENTS))
    assert [place.at for place in every] == list(range(layout(script).body))
    assert set(events) < set(edges) < set(every)
    assert [place.at for place in events] == [span.body[0] for span in layout(script).events]


@pytest.mark.parametrize("dialect", DialectName)
def test_edges_leave_out_no_kind_of_place(dialect: DialectName):
    """Each step, phase and spot that the stream has is among the edges."""
    script = stream(dialect)
    kinds = [{(one.step, one.phase, one.spot) for one in places(script, grain)} for grain in (Grain.BYTES, Grain.EDGES)]
    assert kinds[0] == kinds[1]


def test_a_place_is_named_by_the_bytes_around_it():
    """The spots of a short event, byte by byte, and the phases of a stream, event by event."""
    script = Script(DialectName.EVENTSOURCE, (Head(), Text("é")))
    assert [place.spot.name for place in places(script, Grain.BYTES)] == [
        "EDGE", *["NAME"] * 4, "DATA", "DATA", "CHARACTER", "LINE", "BLANK",
    ]  # fmt: skip
    phases = [place.phase for place in places(stream(DialectName.OPENAI_CHAT), Grain.EVENTS)]
    assert phases == [Phase.NOTHING, Phase.OPENING, Phase.TOKENS, Phase.TOKENS, Phase.FINISHED]


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("fault", [SweptFault.STALL, SweptFault.RESET])
def test_a_toxic_strikes_behind_just_so_many_body_bytes(fault: SweptFault, framing: Framing):
    """The wire bytes that pass hold the place's bytes of the body, and none more."""
    whole = plan(stream(DialectName.ANTHROPIC_MESSAGES, framing))
    writes = [one for one in compile_script(whole.attempts[0].script) if isinstance(one, Write)]
    for place in places(whole.attempts[0].script, Grain.EDGES):
        (toxic,) = struck(whole, Sweep(fault), place).attempts[0].toxics
        assert passed(writes, toxic.attributes.bytes) == place.at


def passed(writes: list[Write], wire: int) -> int:
    """How many bytes of the body are among the first `wire` bytes."""
    count = 0
    for write in writes:
        start, stop = write.payload
        count += max(0, min(wire, stop) - start)
        wire -= len(write.data)
    return count


def test_a_cut_is_the_first_of_the_faults():
    """A place counts the bytes of the stream itself, whatever else happens to it."""
    joined = parse(family('fault = "cut"').replace("tokens", 'faults = [{fault="join"}]\ntokens'), name="x", where="x")
    found = explore(joined, runner.engine("simulated"), TOYS["silent-truncation"].adapter, Settings(shrink=False))
    assert found.findings[0].plan.attempts[0].script.faults[0].at == 0


NO_SENSE = {
    'fault = "stall"\nend = "fin"': "end belongs to a cut; a stall has one end",
    'fault = "cut"\nend = "rst"': "end is rst; a cut ends clean or fin (stall and reset are faults of their own)",
    'at = "bytes"': "Object missing required field `fault`",
}


@pytest.mark.parametrize(("sweep", "sentence"), NO_SENSE.items())
def test_a_sweep_that_makes_no_sense_is_refused(sweep: str, sentence: str):
    """One sentence with the file and the key."""
    with pytest.raises(UsageError) as refused:
        parse(family(sweep), name="x", where="x.toml")
    assert str(refused.value) == f"x.toml: sweep: {sentence}"


def test_a_sweep_is_many_plans():
    """It cannot be replayed as one."""
    with pytest.raises(UsageError, match="many plans"):
        single(parse(family('fault = "cut"'), name="x", where="x.toml"))


# --- words ------------------------------------------------------------------------------------------------------------


def said_of(script: Script, wrong: set[Place], grain: Grain = Grain.BYTES) -> tuple[str, ...]:
    """What a grid says in which these places are truncations that nobody noticed."""
    cells = [
        Cell(place, Verdict.FAIL, "complete", Failure.SILENT_TRUNCATION)
        if place in wrong
        else Cell(place, Verdict.PASS, "Incomplete")
        for place in places(script, grain)
    ]
    return grid(script.dialect, CUT, cells, {cell.place.step: "step" for cell in cells}).sentences


CHAT = stream(DialectName.OPENAI_CHAT)
EVERY = places(CHAT, Grain.BYTES)


FALLS = "only where the cut falls"
WHERE = (
    (lambda _: True, "wherever the cut falls"),
    (lambda place: place.spot is Spot.EDGE, f"{FALLS} between two events"),
    (lambda place: place.phase is Phase.FINISHED, f"{FALLS} between the finish and the terminal event"),
    (lambda place: place.phase in (Phase.NOTHING, Phase.OPENING), f"{FALLS} before the first token is whole"),
    (
        lambda place: place.spot is Spot.BLANK and place.phase in {Phase.OPENING, Phase.FINISHED},
        f"{FALLS} between the last line and the blank line, {Phase.OPENING.value} or {Phase.FINISHED.value}",
    ),
)


@pytest.mark.parametrize(("wrong", "where"), WHERE)
def test_a_sentence_names_the_places_exactly(wrong: Callable[[Place], bool], where: str):
    """Whether all or those of a kind."""
    found = {place for place in EVERY if wrong(place)}
    (sentence,) = said_of(CHAT, found)
    count = f"({len(found)} of {len(EVERY)} places)"
    assert sentence == f"A truncation goes unnoticed (silent-truncation) {where} {count}."


def test_places_that_no_words_fit_are_counted():
    """With the bytes at which they are."""
    (sentence,) = said_of(CHAT, {EVERY[3], EVERY[4], EVERY[9]})
    assert sentence.endswith(f"at 3 of {len(EVERY)} places: body bytes 3 to 4, 9.")


def test_nothing_found_is_said_too():
    """A client that is right everywhere is called so."""
    assert said_of(CHAT, set()) == (f"No truncation at any of {len(EVERY)} places makes the client fail.",)


SQUARES = sorted({(place.phase, place.spot) for place in EVERY})


@given(st.sets(st.sampled_from(SQUARES), min_size=1), st.sets(st.sampled_from(EVERY), max_size=2))
def test_only_where_is_said_only_where_it_is_so(squares: set[tuple[Phase, Spot]], odd: set[Place]):
    """Words are used for whole kinds of places; as soon as one place of a kind differs, places are counted."""
    wrong = {place for place in EVERY if (place.phase, place.spot) in squares} ^ odd
    mixed = {(one.phase, one.spot) for one in wrong} & {(one.phase, one.spot) for one in EVERY if one not in wrong}
    (sentence,) = said_of(CHAT, wrong)
    if mixed:
        assert "body bytes" in sentence
    if "only where" in sentence or "wherever" in sentence:
        assert not mixed


# --- runs -------------------------------------------------------------------------------------------------------------


def swept(client: str, sweep: str) -> Result:
    """Run a sweep of a toy."""
    return explore(
        parse(family(sweep), name="x", where="x.toml"),
        runner.engine("simulated"),
        TOYS[client].adapter if client in TOYS else load(client),
        Settings(examples=1),
    )


@pytest.mark.parametrize("sweep", ['fault = "cut"', 'fault = "cut"\nend = "fin"', 'fault = "stall"', 'fault = "reset"'])
def test_a_correct_client_is_right_at_every_edge(sweep: str):
    """No fault of a sweep makes the reference client fail anywhere."""
    found = swept("reference", sweep)
    assert found.verdict in (Verdict.PASS, Verdict.LENIENT)
    assert found.grids[0].sentences[0].startswith("No ")


def test_a_defect_is_found_at_its_earliest_place_and_told_in_words():
    """The plan is that of the first place, and the sentence names them all."""
    found = swept("silent-truncation", 'fault = "cut"\nat = "bytes"')
    (finding,) = found.findings
    assert finding.failure is Failure.SILENT_TRUNCATION
    assert finding.plan.attempts[0].script.faults[0].at == 0
    assert "before the finish" in found.grids[0].sentences[0]
    shown = lines(found.grids[0])
    assert shown[0] == f"cut at {found.grids[0].places} places of openai-chat"
    assert any(line.strip() == "A = FAIL silent-truncation: the client reports complete" for line in shown)


def test_a_team_says_what_one_alone_says():
    """Places shared out among processes become the same outcomes in the same order."""
    whole = plan(CHAT)
    part = Part(whole, CUT, places(CHAT, Grain.EVENTS))
    reference, done = load("reference"), []
    here = alone(part, runner.engine("simulated"), reference, done.append)
    with Team("reference", "simulated") as team:
        there = team.run(part, done.append)
    assert there == here
    assert done[-1] == len(part.places)


def test_real_clocks_take_some_of_the_places():
    """Plans drawn for a real clock strike at different places, all of the sweep."""
    from testbed.strategies import draw_many

    scenario = parse(family('fault = "cut"'), name="x", where="x.toml")
    drawn = draw_many(scenario, [DialectName.OPENAI_CHAT], Clock.REAL, 8, 0)
    cuts = {one.attempts[0].script.faults[0] for one in drawn}
    assert len(cuts) == 8
    assert {cut.how for cut in cuts} == {Ending.CLEAN}
    base = structs.replace(drawn[0].attempts[0].script, faults=())
    assert {cut.at for cut in cuts} <= {place.at for place in places(base, Grain.EDGES)}
