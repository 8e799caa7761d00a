"""The matrix as text: a line for each mutant × scenario, a grid for the correct clients, and what is wrong.

The law of this module: what is wrong is told last and in full, with the file that replays it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.killmatrix.cells import Answer

FOLDER = Path(".testbed") / "killmatrix"

_LETTERS = {
    "PASS": "+",
    "LENIENT": "~",
    "UNSUPPORTED": ".",
    "FAIL": "F",
    "INCONCLUSIVE": "I",
    "ERROR": "E",
}


def mutants(answers: Iterable[Answer], engines: Sequence[str]) -> Iterator[str]:
    """A line for each mutant × scenario: what each engine found."""
    cells: dict[tuple[str, str], dict[str, list[Answer]]] = {}
    for answer in answers:
        if answer.question.planted:
            row = cells.setdefault((answer.question.client, answer.question.scenario), {})
            row.setdefault(answer.engine, []).append(answer)
    yield f"{'mutant':28} {'scenario':34} {'planted':27} " + " ".join(f"{engine:26}" for engine in engines)
    for (client, scenario), row in sorted(cells.items()):
        planted = next(iter(row.values()))[0].question.planted
        shown = " ".join(f"{_found(row.get(engine, [])):26}" for engine in engines)
        yield f"{client:28} {scenario:34} {planted:27} {shown}".rstrip()


def _found(answers: Sequence[Answer]) -> str:
    asked = [answer for answer in answers if answer.asked]
    if not asked:
        return "."
    caught = sum(answer.right for answer in asked)
    if caught == len(asked):
        return "caught" if len(asked) == 1 else f"caught {caught}/{len(asked)}"
    others = sorted({slug for answer in asked for slug in answer.classes} - {asked[0].question.planted})
    return f"MISSED {len(asked) - caught}/{len(asked)} ({', '.join(others) or asked[0].verdict})"


def correct(answers: Iterable[Answer], engines: Sequence[str]) -> Iterator[str]:
    """A line for each scenario: the verdicts on each correct client, a letter for each engine."""
    cells: dict[str, dict[str, dict[str, str]]] = {}
    names: list[str] = []
    for answer in answers:
        if not answer.question.planted:
            client = answer.question.client
            names += [client] if client not in names else []
            row = cells.setdefault(answer.question.scenario, {}).setdefault(client, {})
            row[answer.engine] = _worse(row.get(answer.engine, "."), _LETTERS[answer.verdict])
    if not cells:
        return
    names.sort()
    yield f"{'scenario':34} " + " ".join(f"{name:17}" for name in names)
    for scenario, clients in sorted(cells.items()):
        shown = ("".join(clients.get(name, {}).get(engine, " ") for engine in engines) for name in names)
        yield f"{scenario:34} " + " ".join(f"{letters:17}" for letters in shown).rstrip()
    yield f"({', '.join(engines)}: + pass, ~ lenient, . nothing to ask, F fail, I inconclusive, E error)"


def _worse(one: str, other: str) -> str:
    order = ".+~IEF"
    return max(one, other, key=order.index)


def lenient(answers: Iterable[Answer]) -> Iterator[str]:
    """What is tolerated in a correct client, for whom it may concern."""
    for answer in answers:
        if answer.verdict == "LENIENT" and not answer.question.planted:
            yield f"lenient: {answer.question.client} × {answer.question.scenario} × {answer.engine}: {answer.reason}"


def wrong(answers: Iterable[Answer], folder: Path = FOLDER) -> Iterator[str]:
    """Every cell that is not as it must be, with a file for replay where there is a plan."""
    for answer in answers:
        if answer.right:
            continue
        client, scenario, planted, seed = answer.question
        classes = ", ".join(answer.classes) or "nothing"
        what = f"must be {planted}, found {classes}" if planted else f"{answer.verdict}: {classes}"
        yield f"{client} × {scenario} × {answer.engine} (seed {seed}): {what}"
        if answer.reason:
            yield f"    {answer.reason}"
        if answer.plan:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{client}-{scenario}-{answer.engine}-{seed}.toml"
            file.write_text(answer.plan, encoding="utf-8")
            yield f"    {file}"


def totals(answers: Sequence[Answer], gaps: Sequence[str], seconds: float) -> str:
    """The closing line."""
    asked = [answer for answer in answers if answer.asked]
    hunted = [answer for answer in asked if answer.question.planted]
    others = [answer for answer in asked if not answer.question.planted]
    caught, clean = sum(answer.right for answer in hunted), sum(answer.right for answer in others)
    lenient = sum(answer.verdict == "LENIENT" for answer in others)
    names = {answer.question.client for answer in hunted}
    known = {answer.question.client for answer in hunted if answer.right}
    return (
        f"{len(known)} of {len(names)} mutants caught, in {caught} of {len(hunted)} cells; "
        f"correct clients clean in {clean} of {len(others)} cells ({lenient} lenient); "
        f"{len(gaps)} gaps; {seconds:.0f} s"
    )
