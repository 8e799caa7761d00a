"""Answers in good order, drawn: every kind of output, cut into pieces in every way."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from testbed.script import Arguments, Citation, Ping, Refusal, Step, Text, Thinking, ToolCall

# Without half surrogate pairs, which UTF-8 cannot carry; with what JSON and lines must escape.
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\r\n\u2028'), max_size=12)
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)


@st.composite
def calls(draw: st.DrawFn, text_of: st.SearchStrategy[str]) -> tuple[Step, ...]:
    """Draw a tool call whose arguments come in pieces, or, if there are none, perhaps not at all."""
    values = st.none() | st.integers() | text_of | st.lists(st.booleans(), max_size=2)
    arguments = draw(st.dictionaries(text_of, values, max_size=3))
    text = json.dumps(arguments, ensure_ascii=draw(st.booleans()))
    cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=4)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    if not arguments and draw(st.booleans()):
        pieces = []
    return (ToolCall(draw(NAMES), draw(st.just("") | NAMES)), *map(Arguments, pieces))


def contents(*, refusals: bool = True, text: st.SearchStrategy[str] = TEXT) -> st.SearchStrategy[tuple[Step, ...]]:
    """Draw what stands between the opening and the finish."""
    pieces: list[st.SearchStrategy[tuple[Step, ...]]] = [
        st.tuples(st.builds(Text, text)),
        st.tuples(st.builds(Thinking, text)),
        st.tuples(st.builds(Text, text), st.builds(Citation, text)),
        st.tuples(st.just(Ping())),
        calls(text),
    ]
    if refusals:
        pieces.append(st.tuples(st.builds(Refusal, text)))
    return st.lists(st.one_of(pieces), max_size=6).map(lambda parts: tuple(step for part in parts for step in part))


def made_calls(steps: tuple[Step, ...]) -> list[tuple[str, object]]:
    """The calls that the steps make: the name, and the arguments as a value."""
    found: list[tuple[str, list[str]]] = []
    for step in steps:
        if isinstance(step, ToolCall):
            found.append((step.name, []))
        elif isinstance(step, Arguments):
            found[-1][1].append(step.json)
    return [(name, json.loads("".join(pieces) or "{}")) for name, pieces in found]


def joined(steps: tuple[Step, ...], kind: type[Text] | type[Thinking] | type[Refusal]) -> str:
    """The texts of all steps of one kind, joined."""
    return "".join(step.text for step in steps if isinstance(step, kind))
