"""From drawn integers to numbers, words and silences.

The laws of this module: all chance is in the integers that a :class:`Tape` hands out, and 0 always stands for the
simplest. Each integer is asked for under a name and with a bound that depends on nothing else that was drawn, so the
same tape can be read again with shorter times. That is how plans fit on a real clock: not by throwing the long ones
away, but by stretching every range less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

from testbed._scenario_spec import Choice, Constant, Number, Range, Scalar, Side, Spec, Versus
from testbed.errors import Unsupported, UsageError
from testbed.plan import ClientSettings
from testbed.timing import Weather, margin
from testbed.trace import Clock

# `source(top)`: an integer from 0 to `top`. The other is told what the integer is for.
Source = Callable[[int], int]
NamedSource = Callable[[str, int], int]

# A range is never finer than this: more would only make shrinking slower.
_FINEST = 1_000_000

# What gets simpler by growing. Everything else gets simpler by shrinking.
_MORE_IS_SIMPLER = frozenset({"bandwidth.rate", "slicer.average_size"})


@final
class Tape:
    """The integers of one plan, each drawn once and remembered by its name."""

    def __init__(self, source: Source) -> None:
        self._source: NamedSource = lambda _name, top: source(top)
        self._drawn: dict[str, int] = {}

    @classmethod
    def by_name(cls, source: NamedSource) -> Tape:
        """A tape whose source is told the name of each integer."""
        tape = cls(lambda _top: 0)
        tape._source = source
        return tape

    def pick(self, name: str, top: int) -> int:
        """The integer called `name`, from 0 to `top`."""
        if name not in self._drawn:
            self._drawn[name] = self._source(name, top) if top > 0 else 0
        return self._drawn[name]


@final
class Reading:
    """One reading of a tape, at one stretch: 0 keeps every range at its simplest end, 1 uses all of it."""

    def __init__(self, tape: Tape, stretch: float) -> None:
        self.tape = tape
        self.stretch = stretch

    def number(self, spec: Spec, name: str) -> Number:
        """A constant, a range or a choice of them, as a number."""
        if isinstance(spec, Range):
            return self._ranged(spec, name)
        value = self.constant(spec, name)
        if isinstance(value, (int, float)):
            return value
        raise UsageError(f"{name}: {value!r} is no number")

    def text(self, spec: Spec, name: str) -> str:
        """A constant or a choice of them, as text; a number is spelled, so that header fields may be numbers."""
        return str(self.number(spec, name) if isinstance(spec, Range) else self.constant(spec, name))

    def constant(self, spec: Spec, name: str) -> Scalar:
        """A constant, or what a choice chooses."""
        if isinstance(spec, Choice):
            chosen, its_name = self.chosen(spec, name)
            ranged = isinstance(chosen, Range)
            return self.number(chosen, its_name) if ranged else self.constant(chosen, its_name)
        if isinstance(spec, Constant):
            return spec.value
        raise UsageError(f"{name}: it has no value of its own")

    def chosen(self, spec: Choice, name: str) -> tuple[Spec, str]:
        """The option that was chosen, and the name under which its own integers are drawn."""
        index = self.tape.pick(name, len(spec.options) - 1)
        if all(isinstance(option, Constant) and isinstance(option.value, (int, float)) for option in spec.options):
            index = int(index * self.stretch)
        return spec.options[index], f"{name}[{index}]"

    def _ranged(self, spec: Range, name: str) -> Number:
        whole = isinstance(spec.low, int) and isinstance(spec.high, int)
        span = spec.high - spec.low
        top = max(1, min(_FINEST, round(span if whole else span * 1000)))
        share = self.tape.pick(name, top) / top * self.stretch
        if name.partition("toxic.")[2] in _MORE_IS_SIMPLER:
            share = 1 - share
        value = spec.low + share * span
        return round(value) if whole else min(round(value, 3), spec.high)

    # --- silences -----------------------------------------------------------------------------------------------------

    def silence(self, spec: Spec, name: str, client: ClientSettings, *, limit: float | None, air: Weather) -> float:
        """Seconds of silence, never so near the time-out `limit` that early and late could not be told apart.

        `air` is what the network may add to a silence or take from it.
        """
        if isinstance(spec, Choice):
            chosen, its_name = self.chosen(spec, name)
            return self.silence(chosen, its_name, client, limit=limit, air=air)
        if isinstance(spec, Versus):
            return self._against(spec, name, _timeout(client, spec, name), air)
        seconds = float(self.number(spec, name))
        if limit is None or isinstance(spec, Constant):
            return seconds  # a constant is the tester's word
        below, above = _forbidden(limit, air)
        if seconds <= below or seconds >= above:
            return seconds
        low, high = (spec.low, spec.high) if isinstance(spec, Range) else (seconds, seconds)
        if below >= low:
            return below
        if above <= high:
            return above
        raise Unsupported(f"{name}: every silence from {low:g} to {high:g} s is too near the time-out of {limit:g} s")

    def _against(self, spec: Versus, name: str, timeout: float, air: Weather) -> float:
        below, above = _forbidden(timeout, air)
        share = self.tape.pick(name, 10_000) / 10_000
        if spec.side is Side.LONGER:
            # Its cost is the time-out, however long the silence: there is nothing to stretch.
            return round(above + share * max(0.0, spec.bound - above), 3)
        if below < spec.bound:
            raise Unsupported(
                f"{name}: no silence from {spec.bound:g} s up stays clear of the time-out of {timeout:g} s"
            )
        return round(spec.bound + share * self.stretch * (below - spec.bound), 3)


def _timeout(client: ClientSettings, spec: Versus, name: str) -> float:
    timeout = client.first_byte if spec.timeout == "first_byte_timeout" else client.idle_timeout
    if timeout is None:
        raise UsageError(f"{name}: it is measured against {spec.timeout}, which [client] does not set")
    return timeout


def _forbidden(timeout: float, air: Weather) -> tuple[float, float]:
    """Return the ends of the silences that lie too near a time-out, in whole milliseconds.

    With the wider margin of a real clock, on every clock: a plan that was found in virtual time must mean the same on a
    real one.
    """
    clear = margin(timeout, Clock.REAL)
    below = math.floor((timeout - clear - max(air.first, air.wobble)) * 1000) / 1000
    return below, math.ceil((timeout + clear + air.wobble) * 1000) / 1000
