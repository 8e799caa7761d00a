"""What a plan does, as a time line: what the server says when, and what the network does to it.

The law of this module: it is drawn from the plan's own wire program, so it shows what the server will write and when it
lets go of it; what a toxic makes of that is said beside it and not computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from testbed.faults.toxics import Toxic, type_name
from testbed.plan import Attempt, Plan
from testbed.program import Close, Wait, Write, compile_script
from testbed.script import Ending, Head, Interim, Step, Text

_QUOTED = 32
_ENDINGS = {
    Ending.CLEAN: "the body ends well, then FIN",
    Ending.FIN: "FIN, the body unfinished",
    Ending.RST: "RST when all has arrived",
    Ending.ABORT: "RST at once; what is queued is lost",
    Ending.OPEN: "nothing more; the connection stays open",
    Ending.KEEP: "the body ends well; the connection waits for another request",
    Ending.STALE: "the body ends well; the next request on this connection meets an RST",
}


class _Said(NamedTuple):
    """One thing that the server says: when, from which step, in words, and how many bytes of the wire."""

    at: float
    step: int
    words: str
    size: int


def timeline(plan: Plan) -> list[str]:
    """The lines of every attempt, and a word on what repeats."""
    found: list[str] = []
    for number, attempt in enumerate(plan.attempts):
        last = number + 1 == len(plan.attempts)
        which = f"request {number + 1}" if not last else f"request {number + 1} and every later one"
        found += [which, *(f"  {line}" for line in _attempt(attempt))]
    return found


def _attempt(attempt: Attempt) -> Iterator[str]:
    for toxic in attempt.toxics:
        yield f"{'network':>10}  {_toxic(toxic)}"
    if attempt.tls is not None:
        yield f"{'TLS':>10}  certificate {attempt.tls.certificate.value}, handshake {attempt.tls.handshake.value}"
    said = list(_merged(_spoken(attempt)))
    for one in said:
        size = f"  ({one.size} bytes)" if one.size else ""
        yield f"{one.at:>8.3f} s  {one.words}{size}"


def _toxic(toxic: Toxic) -> str:
    """A toxic in its own words: ``reset_after (bytes 812, mode drained)``."""
    attributes = toxic.attributes
    set_ = [f"{name} {_plain(getattr(attributes, name))}" for name in attributes.__struct_fields__]
    chance = f", strikes {toxic.toxicity:.0%} of connections" if toxic.toxicity < 1 else ""
    return f"{type_name(toxic)} {toxic.stream.value} ({', '.join(set_)}{chance})"


def _plain(value: object) -> object:
    return getattr(value, "value", "–" if value is None else value)


def _spoken(attempt: Attempt) -> Iterator[_Said]:
    at, steps = 0.0, attempt.script.steps
    for action in compile_script(attempt.script):
        if isinstance(action, Wait):
            at += action.seconds
        elif isinstance(action, Close):
            yield _Said(at, len(steps), _ENDINGS[action.how], 0)
        elif isinstance(action, Write) and action.step >= 0:
            yield _Said(at, action.step, _words(steps[action.step], action), len(action.data))


def _words(step: Step, write: Write) -> str:
    tag = str(type(step).__struct_config__.tag)
    if isinstance(step, Head):
        return f"{step.status}, {step.content_type or 'content type of the dialect'}, {step.framing.value}"
    if isinstance(step, Interim):
        return f"interim answer {step.status}"
    if isinstance(step, Text):
        return f"text {_quoted(step.text)}" + ("" if write.ends_step else ", a part of it")
    return tag if write.ends_step else f"{tag}, a part of it"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1]}…")


def _merged(said: Iterator[_Said]) -> Iterator[_Said]:
    """Three and more of a kind in a row become the first, their number, and the last."""
    run: list[_Said] = []
    for one in said:
        if run and _kind(run[0]) != _kind(one):
            yield from _shortened(run)
            run = []
        run.append(one)
    yield from _shortened(run)


def _kind(one: _Said) -> str:
    return one.words.partition(" ")[0]


def _shortened(run: list[_Said]) -> Iterator[_Said]:
    if len(run) <= 3:
        yield from run
        return
    first, last, between = run[0], run[-1], run[1:-1]
    yield first
    yield _Said(between[0].at, first.step, f"… and {len(between)} more of them", sum(one.size for one in between))
    yield last
