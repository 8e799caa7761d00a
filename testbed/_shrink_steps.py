"""Simplifications of a plan: the steps that a shrinker takes.

The laws of this module: it is pure, and the same plan gives the same wishes in the same order. A wish keeps what makes
an answer legal: the protocol's own opening and end are never taken away, and no order rule of the dialect is broken
that was not broken before, so that a smaller plan fails because of its fault and not because of the shrinker. Nor is a
silence ever brought near a time-out of the client.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from testbed._shrink_aim import Keep, aimed, has_addresses
from testbed._shrink_size import ABOUT, ADDRESS, GROWS, SAID, defaults
from testbed._shrink_times import TIMEOUTS, scaled
from testbed._shrink_words import higher, letter_of, lower, shorter, simpler
from testbed.errors import UsageError
from testbed.plan import Attempt, ClientSettings, Plan
from testbed.program import layout
from testbed.script import (
    Arguments,
    Body,
    Citation,
    Comment,
    End,
    Finish,
    Head,
    Interim,
    Message,
    Pause,
    Ping,
    Raw,
    Refusal,
    Script,
    SplitAt,
    SplitEvery,
    Step,
    Text,
    Thinking,
    ToolCall,
)

# One way of making a plan simpler, as a list of wishes.
Pass = Callable[[Plan], Iterator[Plan]]

# The steps that an answer can do without. What opens and ends it is not here, and a piece of arguments goes with its
# tool call.
_SPARE = (Text, Thinking, Refusal, Citation, ToolCall, Message, Comment, Ping, Pause, Interim, Body, Raw, End)

# How many splits are asked for one by one, where a body is split everywhere.
_MOST_SPLITS = 400

# Numbers that name something: another one is another answer and not a smaller one.
NAMES = frozenset({(Head, "status"), (Interim, "status"), (Text, "choice"), (Finish, "choice"), (ToolCall, "choice")})

# Fields that are wished for in a pass of their own, or are no one's to change: what a step means, which dialect it is.
_STRUCTURE = ABOUT | {"attempts", "dialect", "steps", "toxics", "faults", "quirks"}


# --- whole parts ------------------------------------------------------------------------------------------------------


def fewer_attempts(plan: Plan) -> Iterator[Plan]:
    """One attempt alone, then all but one."""
    if len(plan.attempts) > 1:
        yield from (_with(plan, attempts=(one,)) for one in reversed(plan.attempts))
        yield from (_with(plan, attempts=rest) for rest in _all_but_one(plan.attempts))


def fewer_faults(plan: Plan) -> Iterator[Plan]:
    """Without toxics, content faults, quirks: all of a sort, then one at a time."""
    for number, attempt in enumerate(plan.attempts):
        for rest in _fewer(attempt.toxics):
            yield _placed(plan, number, _with(attempt, toxics=rest))
        for field in ("faults", "quirks"):
            for rest in _fewer(getattr(attempt.script, field)):
                yield from _aimed_again(plan, number, _with(attempt.script, **{field: rest}))


def fewer_steps(plan: Plan) -> Iterator[Plan]:
    """Without many steps, then without fewer and fewer of them, down to each alone; then with two said as one."""
    for number, attempt in enumerate(plan.attempts):
        steps = attempt.script.steps
        units = list(_units(steps))
        length = len(units)
        while length > 0:
            for start in range(0, len(units), length):
                gone = frozenset[int]().union(*units[start : start + length])
                left = [place for place in range(len(steps)) if place not in gone]
                script = _try(attempt.script, steps=tuple(steps[place] for place in left))
                yield from _aimed_again(plan, number, script, {place: new for new, place in enumerate(left)})
            length //= 2
        for place, both in _joined(steps):
            script = _try(attempt.script, steps=(*steps[:place], both, *steps[place + 2 :]))
            kept = {old: old - (old > place) for old in range(len(steps)) if old != place + 1}
            yield from _aimed_again(plan, number, script, kept)


def plainer_fields(plan: Plan) -> Iterator[Plan]:
    """Every field that may be left out is left out: of the plan, of what the client is told, of each part."""
    if plan.client != ClientSettings():
        yield _with(plan, client=ClientSettings())
    for wish in _variants(plan, _left_out):
        yield from _aimed_all(plan, wish)


def shorter_texts(plan: Plan) -> Iterator[Plan]:
    """All texts at once, then each: one letter, fewer letters, plainer letters."""
    for number, attempt in enumerate(plan.attempts):
        steps = attempt.script.steps
        for naming in (_letter_a, letter_of):
            yield from _reworded(plan, number, tuple(_all_said(steps, naming)))
        for place, step in enumerate(steps):
            field = _said_in(step)
            for text in simpler(getattr(step, field)) if field is not None else ():
                yield from _reworded(plan, number, _put(steps, place, _with(step, **{str(field): text})))


# --- numbers ----------------------------------------------------------------------------------------------------------


def earlier_addresses(plan: Plan) -> Iterator[Plan]:
    """Every address at an earlier byte, boundaries of events first; one split where there were many."""
    for number, attempt in enumerate(plan.attempts):
        for place, fault in enumerate(attempt.script.faults):
            for fewer in _fewer_splits(attempt.script, fault):
                script = _try(attempt.script, faults=_put(attempt.script.faults, place, fewer))
                yield from _aimed_again(plan, number, script)
        edges = sorted({edge for span in layout(attempt.script).events for edge in (*span.body, *span.wire)})
        one = _with(plan, attempts=(attempt,))
        for wish in _variants(one, functools.partial(_earlier, edges)):
            yield _placed(plan, number, wish.attempts[0])


def lower_numbers(plan: Plan) -> Iterator[Plan]:
    """Less of everything that is a number: shorter times, fewer retries, smaller toxics."""
    yield from scaled(plan)
    for wish in _variants(plan, _lowered):
        yield from _aimed_all(plan, wish)


PASSES: tuple[Pass, ...] = (
    fewer_attempts,
    fewer_faults,
    fewer_steps,
    plainer_fields,
    shorter_texts,
    earlier_addresses,
    lower_numbers,
)


# --- steps ------------------------------------------------------------------------------------------------------------


def _units(steps: Sequence[Step]) -> Iterator[frozenset[int]]:
    """The steps that go together, each unit by its places."""
    for place, step in enumerate(steps):
        if isinstance(step, ToolCall):
            yield frozenset([place, *_arguments(steps, place)])
        elif isinstance(step, _SPARE):
            yield frozenset([place])
    # Of several choices one can go as a whole, its end with it.
    for choice in sorted({getattr(step, "choice", 0) for step in steps} - {0}):
        yield frozenset(place for place, step in enumerate(steps) if getattr(step, "choice", 0) == choice)


def _arguments(steps: Sequence[Step], call: int) -> Iterator[int]:
    for place in range(call + 1, len(steps)):
        if isinstance(steps[place], (ToolCall, Finish)):
            return
        if isinstance(steps[place], Arguments):
            yield place


def _joined(steps: Sequence[Step]) -> Iterator[tuple[int, Step]]:
    """Neighbours that can be said as one: two texts, two pieces of arguments, two silences."""
    for place, (one, other) in enumerate(itertools.pairwise(steps)):
        if isinstance(one, Text) and isinstance(other, Text) and one.choice == other.choice:
            yield place, Text(one.said + other.said, one.choice)
        elif isinstance(one, Arguments) and isinstance(other, Arguments):
            yield place, Arguments(one.json + other.json)
        elif isinstance(one, Pause) and isinstance(other, Pause):
            yield place, Pause(min(86_400.0, round(one.seconds + other.seconds, 3)))


def _letter_a(_number: int) -> str:
    return "a"


def _all_said(steps: Sequence[Step], naming: Callable[[int], str]) -> Iterator[Step]:
    for number, step in enumerate(steps):
        field = _said_in(step)
        yield step if field is None or not getattr(step, field) else _with(step, **{field: naming(number)})


def _said_in(step: Step) -> str | None:
    return SAID.get(str(type(step).__struct_config__.tag))


def _reworded(plan: Plan, number: int, steps: tuple[Step, ...]) -> Iterator[Plan]:
    """The plan with other words in the same steps."""
    script = plan.attempts[number].script
    if steps != script.steps:
        yield from _aimed_again(plan, number, _try(script, steps=steps))


def _fewer_splits(script: Script, fault: object) -> Iterator[object]:
    """One split instead of many, where an event or a character is cut first; then fewer of them."""
    if isinstance(fault, SplitEvery):
        whole = layout(_with(script, faults=())).body
        yield from (SplitAt((at,)) for at in range(1, min(whole, _MOST_SPLITS)))
    elif isinstance(fault, SplitAt) and len(fault.at) > 1:
        yield from (SplitAt((at,)) for at in fault.at[:_MOST_SPLITS])
        half = len(fault.at) // 2
        yield from (SplitAt(fault.at[:half]), SplitAt(fault.at[half:]))
        yield from (SplitAt(rest) for rest in _all_but_one(fault.at[:_MOST_SPLITS]))


# --- fields -----------------------------------------------------------------------------------------------------------

# The wishes for one field of one value.
_Wishes = Callable[[Any, str], Iterator[object]]


def _variants(value: Any, wishes: _Wishes) -> Iterator[Any]:
    """The value with one field of it changed, wherever below it the field stands."""
    for name in value.__struct_fields__:
        found = getattr(value, name)
        if name not in _STRUCTURE:
            for wish in wishes(value, name):
                if (changed := _try(value, **{name: wish})) is not None and changed != value:
                    yield changed
        elif name in ABOUT:
            continue
        if isinstance(found, msgspec.Struct):
            yield from (_with(value, **{name: one}) for one in _variants(found, wishes))
        elif isinstance(found, tuple):
            for place, item in enumerate(found):
                for one in _variants(item, wishes) if isinstance(item, msgspec.Struct) else ():
                    if (changed := _try(value, **{name: _put(found, place, one)})) is not None:
                        yield changed


def _left_out(value: Any, name: str) -> Iterator[object]:
    """What stands for a field that is left out; of a list of fields, all but one."""
    usual, found = defaults(value), getattr(value, name)
    if (type(value), name) in ADDRESS | NAMES:
        return
    if name in usual:
        yield usual[name]
    if isinstance(found, tuple):
        yield from _all_but_one(found)


def _lowered(value: Any, name: str) -> Iterator[object]:
    found, where = getattr(value, name), (type(value), name)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or where in ADDRESS | NAMES:
        return
    if where in GROWS:
        yield from higher(int(found))
        return
    floor = defaults(value).get(name) or 0
    if isinstance(found, int):
        yield from lower(found, int(floor))
    else:
        # A client that gives up within a second would do so on a busy machine, too.
        yield from shorter(found, 1.0 if where in TIMEOUTS else float(floor))


def _earlier(edges: Sequence[int], value: Any, name: str) -> Iterator[object]:
    """Earlier places for an address: the beginning, the boundaries before it, the bytes right behind those."""
    found = getattr(value, name)
    if (type(value), name) not in ADDRESS or found is None:
        return
    places = found if isinstance(found, tuple) else (found,)
    for number, at in enumerate(places):
        near = [one for edge in edges for one in (edge, edge + 1) if one < at]
        for one in dict.fromkeys([*near, *lower(at)]):
            yield _put(places, number, one) if isinstance(found, tuple) else one


# --- putting a wish together ------------------------------------------------------------------------------------------


def _with(value: Any, **changes: object) -> Any:
    return msgspec.structs.replace(value, **changes)


def _try(value: Any, **changes: object) -> Any:
    """The value with these changes, or None where it refuses them."""
    try:
        return _with(value, **changes)
    except UsageError:
        return None


def _placed(plan: Plan, number: int, attempt: Attempt) -> Plan:
    return _with(plan, attempts=_put(plan.attempts, number, attempt))  # type: ignore[no-any-return]


def _aimed_all(plan: Plan, wish: Plan) -> Iterator[Plan]:
    """A wish that changed one script, with the addresses of its attempt aimed again."""
    for number, (old, new) in enumerate(zip(plan.attempts, wish.attempts, strict=True)):
        if old.script != new.script:
            beside = _placed(wish, number, _with(new, script=old.script))
            yield from _aimed_again(beside, number, new.script)
            return
    yield wish


def _aimed_again(
    plan: Plan, number: int, script: Script | None, kept: Mapping[int, int] | None = None
) -> Iterator[Plan]:
    """The plan with another script in one attempt, whose addresses are kept in one way and in the other."""
    if script is None:
        return
    attempt = plan.attempts[number]
    if not has_addresses(attempt):
        yield _placed(plan, number, _with(attempt, script=script))
        return
    same = {place: place for place in range(len(script.steps))} if kept is None else kept
    seen: list[Attempt] = []
    for keep in Keep:
        try:
            made = aimed(attempt, script, same, keep)
        except UsageError:
            continue  # a script that cannot be said
        if made not in seen:
            seen.append(made)
            yield _placed(plan, number, made)


def _fewer(items: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    if items:
        yield ()
    if len(items) > 1:
        yield from _all_but_one(items)


def _all_but_one(items: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    yield from ((*items[:place], *items[place + 1 :]) for place in range(len(items)))


def _put(items: Iterable[Any], place: int, item: Any) -> tuple[Any, ...]:
    listed = list(items)
    return (*listed[:place], item, *listed[place + 1 :])
