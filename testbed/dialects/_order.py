"""In which order the steps of an answer make sense, and the judge of it.

The laws of this module: order is judged, never enforced, since a script may say its steps in any order; the violations
of a prefix are a prefix of the violations, so a stream that merely stops breaks no order rule.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from testbed.script import (
    Arguments,
    Body,
    Citation,
    Comment,
    Failure,
    Head,
    Message,
    Ping,
    Raw,
    Refusal,
    Step,
    Text,
    Thinking,
    ToolCall,
)


class Phase(enum.Enum):
    """How far an answer has come, as its order rules see it."""

    START = "start"
    OPENED = "opened"
    CALLING = "calling"  # opened, and the last thing said was a tool call or a piece of its arguments
    FINISHED = "finished"
    OVER = "over"


ANYWHERE = frozenset(Phase)
NOWHERE: frozenset[Phase] = frozenset()
BEFORE_THE_END = ANYWHERE - {Phase.OVER}
TALKING = frozenset({Phase.OPENED, Phase.CALLING})


class Rule(NamedTuple):
    """Where a step may stand, the phase that it leads to (None: the same), and the rule as a sentence."""

    allowed: frozenset[Phase]
    then: Phase | None
    sentence: str


FOREIGN_RULES: Mapping[type, Rule] = MappingProxyType(
    {
        Comment: Rule(ANYWHERE, None, "a comment may stand anywhere"),
        Body: Rule(NOWHERE, None, "text that is no event stands in a stream of events"),
        Raw: Rule(NOWHERE, None, "raw bytes may mean anything, so their order cannot be judged"),
    }
)

_CONTENT = "content stands between the opening and the finish"

# Where blocks follow each other: what is no piece of arguments ends the tool call before it.
CONTENT_RULES: Mapping[type, Rule] = MappingProxyType(
    {
        Text: Rule(TALKING, Phase.OPENED, _CONTENT),
        Thinking: Rule(TALKING, Phase.OPENED, _CONTENT),
        Refusal: Rule(TALKING, Phase.OPENED, _CONTENT),
        Citation: Rule(TALKING, Phase.OPENED, _CONTENT),
        ToolCall: Rule(TALKING, Phase.CALLING, _CONTENT),
        Arguments: Rule(frozenset({Phase.CALLING}), None, "a piece of arguments follows its tool call"),
    }
)

# What every stream of chat has beside its opening and its terminals.
CHAT_RULES: Mapping[type, Rule] = MappingProxyType(
    {
        **FOREIGN_RULES,
        **CONTENT_RULES,
        Failure: Rule(BEFORE_THE_END, Phase.OVER, "an error ends the stream, and nothing follows the end"),
        Ping: Rule(BEFORE_THE_END, None, "nothing is kept alive after the end"),
        Message: Rule(NOWHERE, None, "a plain server-sent event is no part of a stream of chat"),
    }
)

# For dialects that carry events which mean nothing to them.
CHAT_ONLY_REFUSED: Mapping[type, str] = MappingProxyType(
    {
        Thinking: "reasoning is a word of chat; this dialect has no word for it",
        Refusal: "a refusal is a word of chat; this dialect has no word for it",
        Citation: "a citation is a word of chat; this dialect has no word for it",
        ToolCall: "a tool call is a word of chat; this dialect has no word for it",
        Arguments: "arguments are a word of chat; this dialect has no word for them",
    }
)


def step_name(step: Step) -> str:
    """Return the step's name in scenario files: ``text``, ``finish``."""
    return str(type(step).__struct_config__.tag)


class _Progress:
    """How far the answer and each of its choices have come."""

    def __init__(self) -> None:
        self._whole = Phase.START  # or OPENED, or OVER: what lies between is the affair of each choice
        self._choices: dict[int, Phase] = {}
        self._called = 0  # the choice of the latest tool call: arguments do not name theirs

    def choice(self, step: Step) -> int | None:
        """The choice that a step belongs to; None: to the whole answer."""
        if isinstance(step, Arguments):
            return self._called
        if isinstance(step, ToolCall):
            self._called = step.choice
        # What names no choice and is content belongs to the first.
        choice: int | None = getattr(step, "choice", 0 if type(step) in CONTENT_RULES else None)
        return choice

    def phase(self, choice: int | None) -> Phase:
        if self._whole is not Phase.OPENED:
            return self._whole
        if choice is not None:
            return self._choices.get(choice, Phase.OPENED)
        # Choices are opened in their order, so one that was said brings those before it.
        all_said = range(max(self._choices, default=0) + 1)
        finished = all(self._choices.get(one) is Phase.FINISHED for one in all_said)
        return Phase.FINISHED if finished else Phase.OPENED

    def move(self, choice: int | None, then: Phase) -> None:
        if choice is None:
            # That every choice has finished is read off the choices.
            self._whole = then if then in {Phase.START, Phase.OVER} else Phase.OPENED
        elif self._whole is not Phase.OVER:
            self._whole = Phase.OPENED
            self._choices[choice] = then


def violations(steps: Sequence[Step], order: Mapping[type, Rule], refused: Mapping[type, str]) -> Iterator[str]:
    """Judge the steps by a dialect's tables: one sentence for each step that is out of order or has no words."""
    progress = _Progress()
    status = 200
    for index, step in enumerate(steps):
        if isinstance(step, Head):
            status = step.status
        rule = order.get(type(step))
        if type(step) in refused:
            yield f"step {index} ({step_name(step)}): {refused[type(step)]}"
        elif rule is None:
            continue  # head, pause, end: no events
        elif 200 <= status < 300:
            yield from _judged(index, step, rule, progress)
        elif not isinstance(step, (Body, Raw)):
            # An error answer is one body of text, so the rules of a stream do not hold for it.
            yield f"step {index} ({step_name(step)}): an answer with status {status} has a body, not events"


def _judged(index: int, step: Step, rule: Rule, progress: _Progress) -> Iterator[str]:
    choice = progress.choice(step)
    phase = progress.phase(choice)
    if phase in rule.allowed:
        # A choice that says something begins with it, even where it leads nowhere.
        progress.move(choice, rule.then or phase)
        return
    yield f"step {index} ({step_name(step)}): {rule.sentence}"
    # A step out of order opens nothing; but an end is an end wherever it stands.
    if rule.then in {Phase.FINISHED, Phase.OVER}:
        progress.move(choice, rule.then)
