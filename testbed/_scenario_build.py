"""From a scenario and a tape to one plan.

The law of this module: everything is resolved to constants in an order in which each part knows what it depends on:
what the client is told, then the weather, then silences, then the script, and last the bytes at which faults strike
it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import final

import msgspec

from testbed._scenario_extras import in_dialect, varies, with_inserts
from testbed._scenario_heads import head_of
from testbed._scenario_pace import Pace, lost_from, played, shares, with_heartbeats
from testbed._scenario_positions import FINENESS, KINDS, SPLIT_WORDS, Unplaceable, place
from testbed._scenario_spec import (
    NO_ERROR,
    NO_QUIRK,
    SAID,
    AttemptSpec,
    Before,
    Choice,
    Constant,
    Explicit,
    Fields,
    Generated,
    Insert,
    Range,
    Region,
    Scenario,
    Spec,
    Texts,
    ToxicSpec,
    Within,
)
from testbed._scenario_sweep import places, struck
from testbed._scenario_tape import Reading, Tape
from testbed._scenario_text import styles, words
from testbed._scenario_toxics import has_place, is_random, made, present
from testbed.dialects import DIALECTS
from testbed.errors import Unsupported, UsageError
from testbed.plan import Attempt, ClientSettings, Plan, Tls
from testbed.script import (
    Arguments,
    Body,
    ContentFault,
    CutBody,
    DialectName,
    Done,
    End,
    Ending,
    Failure,
    Finish,
    Message,
    Open,
    Pause,
    Quirk,
    Script,
    SplitAt,
    SplitEvery,
    Step,
    Terminal,
    Text,
    Thinking,
    ToolCall,
)
from testbed.script import Reading as ReadingOfBody
from testbed.timing import Weather, margin, upload, weather
from testbed.trace import Clock

_SEEDS = 2**16 - 1


def build(scenario: Scenario, dialect: DialectName, tape: Tape, *, stretch: float = 1.0) -> Plan:
    """Read one plan off the tape, of a sweep one place of it.

    Raises :class:`Unsupported` where no silence keeps clear of a time-out, and
    :class:`~testbed._scenario_positions.Unplaceable` where this draw has no byte to strike.
    """
    plan = base(scenario, dialect, tape, stretch=stretch)
    if scenario.sweep is None:
        return plan
    swept = places(plan.attempts[0].script, scenario.sweep.at)
    if not swept:
        raise Unplaceable
    return struck(plan, scenario.sweep, swept[tape.pick("sweep", FINENESS - 1) * len(swept) // FINENESS])


def base(scenario: Scenario, dialect: DialectName, tape: Tape, *, stretch: float = 1.0) -> Plan:
    """Read one plan off the tape, without the fault that a sweep would add to it; raises as :func:`build` does."""
    reading = Reading(tape, stretch)
    client = _client(scenario.client, reading)
    # The names of what is drawn are the file's own keys, so that a refusal can quote them.
    several = len(scenario.attempts) > 1

    def built(specs: tuple[AttemptSpec, ...], name: str) -> tuple[Attempt, ...]:
        return tuple(
            attempt
            for number, spec in enumerate(in_dialect(specs, dialect))
            for attempt in _Builder(name.format(number), dialect, reading, client).attempts(spec)
        )

    attempts = built(scenario.attempts, "attempt[{}].script" if several else "script")
    fallback = built(scenario.fallback, "fallback[{}].script")
    return Plan(
        scenario=scenario.name,
        attempts=attempts,
        client=client,
        expect=scenario.expect,
        seed=_seed(scenario, (*attempts, *fallback), tape),
        title=scenario.title,
        cause=scenario.cause,
        requirement=scenario.requirement,
        sources=scenario.sources,
        bugs=scenario.bugs,
        tested=scenario.tested,
        quota=scenario.quota,
        body_limit=scenario.body_limit,
        fallback=fallback,
    )


def is_constant(scenario: Scenario) -> bool:
    """Whether the family has one member: then it is the tester's word, and is neither stretched nor refused."""
    parts = (scenario.attempts, scenario.fallback, scenario.client)
    if scenario.sweep is not None:
        return False
    return len(scenario.dialects) == 1 and not any(varies(in_dialect(one, scenario.dialects[0])) for one in parts)


def _client(fields: Fields, reading: Reading) -> ClientSettings:
    told = {
        name: reading.text(spec, name) if name == "keepalives" else reading.number(spec, f"client.{name}")
        for name, spec in fields
    }
    return msgspec.convert(told, ClientSettings)


def _seed(scenario: Scenario, attempts: tuple[Attempt, ...], tape: Tape) -> int:
    if scenario.seed is not None:
        return scenario.seed
    rolled = any(is_random(toxic) for attempt in attempts for toxic in attempt.toxics)
    return tape.pick("seed", _SEEDS) if rolled else 0


@final
class _Builder:
    """Builds one attempt; `name` is the first part of the name of every integer that it draws."""

    def __init__(self, name: str, dialect: DialectName, reading: Reading, client: ClientSettings) -> None:
        self.name = name
        self.dialect = dialect
        self.reading = reading
        self.client = client

    def attempts(self, spec: AttemptSpec) -> tuple[Attempt, ...]:
        """The same attempt, as often as the file says."""
        times = int(self.reading.number(spec.repeat, f"{self.name}.repeat"))
        return (self.attempt(spec),) * times if times else ()

    def attempt(self, spec: AttemptSpec) -> Attempt:
        """Build the script, then the toxics that strike at its bytes."""
        there = present(spec.toxics, self.name, self.reading.tape)
        steady = [made(toxic, name, self.reading, None) for name, toxic in there if not has_place(toxic)]
        sending = upload(self.dialect, self.client, self._reading(spec.script), steady)
        script = self._script(spec.script, weather(steady) + Weather(first=sending))

        def strike(spec: Within, name: str) -> int:
            return self._place(spec, name.removeprefix(f"{self.name}."), script, wire=True)

        toxics = tuple(made(toxic, name, self.reading, strike) for name, toxic in there)
        return Attempt(script, toxics, None if spec.tls is None else self._tls(spec.tls, spec.toxics))

    def _tls(self, fields: Fields, toxics: tuple[ToxicSpec, ...]) -> Tls:
        if any(map(has_place, toxics)):
            # Toxics count sealed bytes, of which nobody knows before a handshake how many stand before the answer.
            raise UsageError(f"{self.name}: under tls a toxic cannot strike within a region; give it a number of bytes")
        return msgspec.convert({field: self._text(value, f"tls.{field}") for field, value in fields}, Tls)

    def _script(self, spec: Generated | Explicit, air: Weather) -> Script:
        if isinstance(spec, Explicit):
            return Script(self.dialect, spec.steps, spec.faults, spec.quirks, spec.reading, spec.resumes)
        self._keep_clear(air)
        steps: Iterable[Step] = self._steps(spec, air)
        if spec.inserts:
            steps = with_inserts(steps, spec.inserts, self._before, self._pick)
        if spec.heartbeat is not None:
            count = int(self.reading.number(spec.lost_heartbeats, f"{self.name}.lost_heartbeats"))
            share = self._pick("lost_heartbeats.at", FINENESS - 1) / FINENESS if count else 0.0
            steps = tuple(steps)
            steps = with_heartbeats(steps, spec.heartbeat, lost_from(steps, spec.heartbeat, count, share))
        quirk = self._text(spec.quirk, "quirk")
        quirks = (*spec.quirks, *(() if quirk == NO_QUIRK else (Quirk(quirk),)))
        script = Script(self.dialect, tuple(steps), (), quirks, self._reading(spec), spec.resumes)
        return msgspec.structs.replace(script, faults=tuple(self._faults(spec, script)))

    def _reading(self, spec: Generated | Explicit) -> ReadingOfBody:
        if isinstance(spec, Explicit):
            return spec.reading
        return spec.reading.options[self._pick("reading", len(spec.reading.options) - 1)]

    def _keep_clear(self, air: Weather) -> None:
        """Refuse weather that alone comes too near a time-out."""
        for limit, added in ((self.client.first_byte, air.first), (self.client.idle_timeout, air.wobble)):
            if limit is not None and added > 0 and added > limit - margin(limit, Clock.REAL):
                raise Unsupported(f"{self.name}: its toxics alone come too near the client's time-out of {limit:g} s")

    # --- steps --------------------------------------------------------------------------------------------------------

    def _steps(self, spec: Generated, air: Weather) -> Iterator[Step]:
        yield from self._pause(spec.time_to_first_byte, "time_to_first_byte", air)
        status = int(self.reading.number(spec.status, f"{self.name}.status"))
        head, error = head_of(spec, self.dialect, self._text, status)
        yield head
        yield from self._pause(spec.time_to_first_token, "time_to_first_token", air)
        if error is not None:
            yield error
        elif spec.body is not None:
            yield Body(self._text(spec.body, "body"))
        elif head.status >= 400:
            yield Body(DIALECTS[self.dialect].error_body(head.status, *self._error(spec)))
        elif head.status == 200:
            yield from self._answer(spec, air)
        how = Ending(self._text(spec.end, "end"))
        if spec.stall is not None and spec.stall.end is not None:
            how = Ending(self._text(spec.stall.end, "stall.end"))
        if how is not Ending.CLEAN and spec.cut is None:
            yield End(how)

    def _before(self, insert: Insert, number: int) -> Before:
        return Before(self._text(insert.before, f"inserts[{number}].before"))

    def _pick(self, key: str, top: int) -> int:
        return self.reading.tape.pick(f"{self.name}.{key}", top)

    def _error(self, spec: Generated) -> tuple[str, str]:
        kind = "" if spec.error is None else self._text(spec.error, "error")
        message = "the server met an error" if spec.message is None else self._text(spec.message, "message")
        return kind, message

    def _answer(self, spec: Generated, air: Weather) -> Iterator[Step]:
        """The stream itself: opening, tokens at their pace, and the end that it says."""
        dialect = DIALECTS[self.dialect]
        if Open not in dialect.wordless and self._text(spec.opening, "opening") == SAID:
            yield Open()
        # What a dialect has no word for is left out, as its finish and its end are.
        if Thinking not in dialect.refused:
            yield from self._thoughts(spec)
        yield from self._tokens(spec, air)
        if spec.stall is not None and spec.stall.end is not None:
            return
        if ToolCall not in dialect.refused:
            yield from self._calls(spec)
        if spec.error is not None and (error := self._error(spec))[0] != NO_ERROR:
            yield Failure(*error)
            return
        terminal = Terminal[self._text(spec.terminal, "terminal").upper()]
        if Finish not in dialect.refused and terminal >= Terminal.SOFT:
            yield Finish(self._text(spec.finish, "finish"))
        if Done not in dialect.refused and terminal is Terminal.HARD:
            yield Done()

    def _thoughts(self, spec: Generated) -> Iterator[Step]:
        for number in range(int(self.reading.number(spec.thinking, f"{self.name}.thinking"))):
            yield Thinking(f"thought {number} ")

    def _calls(self, spec: Generated) -> Iterator[Step]:
        for number in range(int(self.reading.number(spec.tools, f"{self.name}.tools"))):
            yield ToolCall(f"tool_{number}")
            yield from map(Arguments, ('{"city": ', '"Paris", ', f'"number": {number}}}'))

    def _tokens(self, spec: Generated, air: Weather) -> Iterator[Step]:
        said, times = self._words(spec), int(self.reading.number(spec.times, f"{self.name}.times"))
        gaps = self._gaps(spec, len(said), air)
        if spec.stall is not None and said:
            # The stall takes the place of a gap: two silences in a row would be one that nobody measured.
            seconds = self._silence(spec.stall.seconds, "stall.seconds", air)
            after = self._stall_after(spec.stall.after, len(said))
            gaps[after - 1] = seconds
            if spec.stall.end is not None:
                said, gaps = said[:after], gaps[:after]
        elif spec.stall is not None:
            yield from self._pause(spec.stall.seconds, "stall.seconds", air)
        numbered = spec.ids and self.dialect is DialectName.EVENTSOURCE
        for number, (token, gap) in enumerate(zip(said, gaps, strict=True), 1):
            yield Message(token, id=str(number)) if numbered else Text(token, times=times)
            if gap > 0:
                yield Pause(gap)

    def _words(self, spec: Generated) -> tuple[str, ...]:
        count = int(self.reading.number(spec.tokens, f"{self.name}.tokens"))
        if isinstance(spec.text, Texts):
            style = self.reading.tape.pick(f"{self.name}.style", len(styles(spec.text)) - 1)
            seed = self.reading.tape.pick(f"{self.name}.words", _SEEDS)
            return words(spec.text, style=style, seed=seed, count=count)
        whole = self._text(spec.text, "text")
        cuts = [len(whole) * index // count for index in range(count + 1)] if count else []
        return tuple(whole[start:stop] for start, stop in itertools.pairwise(cuts) if stop > start)

    def _gaps(self, spec: Generated, count: int, air: Weather) -> list[float]:
        """The silence behind each token; behind the last there is none."""
        if count == 0:
            return []
        if spec.recorded:
            return played(spec.recorded, count)
        widest = self._silence(spec.inter_token, "inter_token", air)
        beyond = self.client.idle_timeout is not None and widest > self.client.idle_timeout
        if isinstance(spec.inter_token, Constant) or widest == 0 or beyond:
            return [*[widest] * (count - 1), 0.0]
        narrowest = min(widest, float(spec.inter_token.low)) if isinstance(spec.inter_token, Range) else widest
        pace = Pace(self._text(spec.pace, "pace.shape"))
        spread = shares(pace, self.reading.tape.pick(f"{self.name}.pace", _SEEDS), count - 1)
        return [*(round(narrowest + share * (widest - narrowest), 3) for share in spread), 0.0]

    def _stall_after(self, spec: Spec, count: int) -> int:
        if isinstance(spec, Within):
            return 1 + self.reading.tape.pick(f"{self.name}.stall.after", FINENESS - 1) * count // FINENESS
        return max(1, min(count, int(self.reading.number(spec, f"{self.name}.stall.after"))))

    def _pause(self, spec: Spec, name: str, air: Weather) -> Iterator[Step]:
        seconds = self._silence(spec, name, air)
        if seconds > 0:
            yield Pause(seconds)

    def _silence(self, spec: Spec, name: str, air: Weather) -> float:
        limit = self.client.first_byte if name.startswith("time_to") else self.client.idle_timeout
        return self.reading.silence(spec, f"{self.name}.{name}", self.client, limit=limit, air=air)

    def _text(self, spec: Spec, name: str) -> str:
        return self.reading.text(spec, f"{self.name}.{name}")

    # --- places -------------------------------------------------------------------------------------------------------

    def _faults(self, spec: Generated, script: Script) -> Iterator[ContentFault]:
        if spec.cut is not None:
            yield CutBody(self._place(spec.cut, "cut", script), Ending(self._text(spec.end, "end")))
        if spec.splits is not None:
            yield self._splits(spec.splits, script)
        options = spec.faults.options
        yield from options[self._pick("faults", len(options) - 1)]

    def _splits(self, spec: Spec, script: Script) -> ContentFault:
        if isinstance(spec, Choice):
            return self._splits(spec.options[self._pick("splits", len(spec.options) - 1)], script)
        if isinstance(spec, Within):
            return SplitAt((self._place(spec, "splits", script),))
        word = self._text(spec, "splits")
        if word in SPLIT_WORDS:
            return self._split_at(SPLIT_WORDS[word](script))
        return SplitEvery(1 if word == "byte" else int(word))

    def _split_at(self, places: tuple[int, ...]) -> SplitAt:
        """Split at one of these places, or at each of them."""
        if not places:
            raise Unplaceable
        if self._pick("splits.all", 1):
            return SplitAt(places)
        return SplitAt((places[self._pick("splits.at", FINENESS - 1) * len(places) // FINENESS],))

    def _place(self, spec: Spec, name: str, script: Script, *, wire: bool = False) -> int:
        if not isinstance(spec, Within):
            return int(self.reading.number(spec, f"{self.name}.{name}"))
        if spec.region is Region.TOKENS:
            raise UsageError(f"{self.name}.{name}: tokens are counted only by stall.after; name a region of bytes")
        kind = self.reading.tape.pick(f"{self.name}.{name}.kind", KINDS - 1)
        fine = self.reading.tape.pick(f"{self.name}.{name}.at", FINENESS - 1)
        return place(script, spec.region, wire=wire, kind=kind, fine=fine)
