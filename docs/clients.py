"""Ask every published client the whole catalogue, and write the page about them: ``python docs/clients.py``.

The laws of this script: nothing is published that nobody has looked at on the wire (``clients-checked.toml`` says who saw
what); and a run that was broken off goes on where it stopped, for each answer is kept as it comes, in ``.testbed/clients``.

A client that needs an environment of its own is asked there, with the same folder: ``python docs/clients.py --ask litellm``.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from testbed import adapters, capsules, loader, runner
from testbed._values import Value, decode, encode
from testbed.adapters import KNOWN
from testbed.errors import UsageError
from testbed.explore import Counterexample, Result, Settings, check, counterexample, explore
from testbed.oracle import Verdict
from testbed.shrink import Budget, shrink_for
from testbed.trace import Failure

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXPLANATION = Path(__file__).parent / "explanation"
PAGE, CHECKED, FOLDER = EXPLANATION / "clients.md", EXPLANATION / "clients-checked.toml", EXPLANATION / "clients"
ANSWERS = Path(".testbed") / "clients"

SEED = 0
# One defect shows in many scenarios, so each search ends at its first failure; what is told is made small afterwards.
SETTINGS = Settings(examples=12, plans=3, seed=SEED, budget=10.0, shrink=False)
SMALL = Budget(runs=150, seconds=15.0)
# Most of the time of a client on a real clock is waiting.
WORKERS = int(os.environ.get("TESTBED_WORKERS", "6"))

# The published ones, with the distribution that each comes from.
PUBLISHED = {
    "openai": "openai",
    "openai-sync": "openai",
    "openai-responses": "openai",
    "anthropic": "anthropic",
    "anthropic-sync": "anthropic",
    "anthropic-stream": "anthropic",
    "anthropic-stream-sync": "anthropic",
    "google-genai": "google-genai",
    "ollama": "ollama",
    "mcp": "mcp",
    "litellm": "litellm",
    "langchain-openai": "langchain-openai",
    "httpx-sse": "httpx-sse",
    "sseclient-py": "sseclient-py",
    "aiohttp-sse-client2": "aiohttp-sse-client2",
}


class Answer(Value):
    """What is kept of one question."""

    result: Result
    version: str
    python: str
    date: str


# --- asking -----------------------------------------------------------------------------------------------------------


def kept(client: str, scenario: str) -> Path:
    """Where the answer of a client to a scenario is kept."""
    return ANSWERS / client / f"{scenario}.json"


def ask(client: str, scenario: str) -> str:
    """Ask one question and keep the answer."""
    under_test = adapters.load(client)
    engine = runner.resolve_engines(["auto"], under_test)[0]
    result = explore(loader.load(scenario), runner.engine(engine), under_test, SETTINGS)
    answer = Answer(
        result=result,
        version=importlib.metadata.version(PUBLISHED[client]),
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )
    path = kept(client, scenario)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(encode(answer))
    os.replace(beside, path)
    return f"{result.verdict.value:13}{client} {scenario} {result.duration:.1f} s {result.reason[:80]}"


def here(clients: Iterable[str]) -> list[str]:
    """Those of the clients whose package is installed here."""
    found = []
    for client in clients:
        try:
            importlib.metadata.version(PUBLISHED[client])
        except importlib.metadata.PackageNotFoundError:
            print(f"{client}: its package is not installed here", file=sys.stderr)
        else:
            found.append(client)
    return found


def ask_all(clients: Iterable[str], scenarios: Iterable[str], *, again: frozenset[str]) -> None:
    """Ask what has no answer yet, or one of those verdicts."""
    todo = [(client, scenario) for client in here(clients) for scenario in scenarios if open_(client, scenario, again)]
    in_parallel(ask, todo)


def in_parallel(work: Callable[..., str], todo: list[tuple[Any, ...]]) -> None:
    """Do it in processes of their own, and say of each what came of it."""
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(work, *question): question for question in todo}
        for number, future in enumerate(as_completed(futures), 1):
            error = future.exception()
            said = f"{futures[future]}: {type(error).__name__}: {error}" if error is not None else future.result()
            print(f"{number}/{len(todo)} {said}", flush=True)


def open_(client: str, scenario: str, again: frozenset[str]) -> bool:
    """Whether this question is still to be asked."""
    if not kept(client, scenario).exists():
        return True
    return answer_of(client, scenario).result.verdict.value in again


def answer_of(client: str, scenario: str) -> Answer:
    """The answer that is kept."""
    return decode(kept(client, scenario).read_bytes(), Answer)


# --- making small -----------------------------------------------------------------------------------------------------


class Small(Value):
    """The smallest plan of one distinct finding. `found` is None if it did not come back."""

    scenario: str
    engine: str
    found: Counterexample | None


def make_small(client: str, number: int) -> str:
    """Shrink one distinct finding and keep it."""
    result, found, _ = distinct(client)[number]
    under_test, over = adapters.load(client), runner.engine(result.engine)
    again = check(found.plan, over, under_test)
    small = None
    if again.verdict is Verdict.FAIL:
        shrunk = shrink_for(found.plan, again, over, under_test, SMALL)
        small = counterexample(shrunk.plan, shrunk.judgement.findings)
    path = small_of(client, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(Small(scenario=result.scenario, engine=result.engine, found=small)))
    return f"{client} {found.failure.value} {found.cause}: {'gone' if small is None else small.summary}"


def small_of(client: str, found: Counterexample) -> Path:
    """Where the smallest plan of a finding is kept."""
    return ANSWERS / client / "small" / f"{found.failure.value}-{found.cause}.json"


def distinct(client: str) -> list[tuple[Result, Counterexample, tuple[str, ...]]]:
    """The findings of a client by class and cause, each with the smallest of its plans and all its scenarios."""
    by_key: dict[tuple[str, str], list[tuple[Result, Counterexample]]] = {}
    for path in sorted((ANSWERS / client).glob("*.json")):
        result = decode(path.read_bytes(), Answer).result
        for found in result.findings:
            by_key.setdefault((found.failure.value, found.cause), []).append((result, found))
    return [
        (*min(seen, key=lambda one: len(encode(one[1].plan))), tuple(sorted({one.scenario for one, _ in seen})))
        for _, seen in sorted(by_key.items())
    ]


def make_all_small(clients: Iterable[str]) -> None:
    """Shrink what has not been shrunk yet."""
    todo = [
        (client, number)
        for client in here(clients)
        for number, (_, found, _) in enumerate(distinct(client))
        if not small_of(client, found).exists()
    ]
    in_parallel(make_small, todo)


# --- what was looked at by hand ---------------------------------------------------------------------------------------


class Look(Value):
    """One line of what was seen on the wire. Without `cause` it holds for every cause, without `clients` for every one."""

    failure: Failure
    seen: str
    clients: tuple[str, ...] = ()
    cause: str = ""
    scenario: str = ""

    def covers(self, client: str, scenario: str, found: Counterexample) -> bool:
        """Whether it was this accusation that was looked at."""
        return (
            self.failure is found.failure
            and client in (self.clients or (client,))
            and self.cause in ("", found.cause)
            and self.scenario in ("", scenario)
        )


class Ours(Value):
    """An accusation that turned out to be ours."""

    what: str
    mended: str


class Checked(Value):
    """The file of what was checked by hand."""

    looked: tuple[Look, ...] = ()
    ours: tuple[Ours, ...] = ()


def checked() -> Checked:
    """Read the file."""
    if not CHECKED.exists():
        return Checked()
    return msgspec.convert(tomllib.loads(CHECKED.read_text(encoding="utf-8")), Checked)


# --- what was found ---------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """One distinct finding of a client: its smallest plan, and every scenario that showed it."""

    result: Result
    found: Counterexample
    scenarios: tuple[str, ...]
    look: Look | None


def told(client: str, looks: tuple[Look, ...]) -> list[Told]:
    """The distinct findings that came back when they were made small."""
    found_of: list[Told] = []
    for result, found, scenarios in distinct(client):
        path = small_of(client, found)
        small = decode(path.read_bytes(), Small).found if path.exists() else None
        if small is None:
            continue  # seen once and not again: nothing is said of it
        # What is left of it is what is told: made small, one finding may turn out to be another.
        if any((one.found.failure, one.found.cause) == (small.failure, small.cause) for one in found_of):
            continue
        look = next((look for look in looks if look.covers(client, result.scenario, small)), None)
        found_of.append(Told(result, small, scenarios, look))
    return found_of


# --- the page ---------------------------------------------------------------------------------------------------------


def page(clients: Iterable[str], scenarios: tuple[str, ...]) -> str:
    """The page, and beside it a file for each plan."""
    looks = checked()
    # Others write docs there, too: only what this script makes is made anew.
    for old in FOLDER.glob("*.toml"):
        old.unlink()
    sections, overview = [], []
    for client in clients:
        answers = [answer_of(client, scenario) for scenario in scenarios if kept(client, scenario).exists()]
        if not answers:
            continue
        findings = told(client, looks.looked)
        overview.append(row(client, answers, findings))
        sections.append(section(client, answers, findings))
    date = max(answer_of(*place).date for place in places(clients, scenarios))
    return "\n".join([HEAD.format(date=date, seed=SEED, **figures()), *TABLE_HEAD, *overview, "", *sections, OURS, *ours(looks)]) + "\n"


def places(clients: Iterable[str], scenarios: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The questions that were answered."""
    return ((client, scenario) for client in clients for scenario in scenarios if kept(client, scenario).exists())


def figures() -> dict[str, object]:
    """The budget in figures."""
    return {"examples": SETTINGS.examples, "plans": SETTINGS.plans}


HEAD = """# Published clients over the catalogue

<!-- Written by docs/clients.py from a run; what was seen by hand stands in clients-checked.toml. -->

What the streaming clients that people use do with the faults of the catalogue. This is no ranking: a client that speaks
more dialects is asked more, and a finding can be a decision that its authors would defend. It is what was seen, with the
smallest stream that shows it, so that anyone can see it again:

```
testbed replay docs/explanation/clients/<file>.toml
```

Each client was asked over the best engine that can drive it: `simulated` with {examples} examples a scenario where it runs
on trio, else `embedded` with {plans} plans; seed {seed}. Run on {date}. Every accusation below was looked at once by hand
on the wire before it was written down; what was found and not yet looked at is counted and not told.

Two things to know when reading. A client that is a parser over somebody else's HTTP (`sseclient-py`, `httpx-sse`) is
judged together with the few lines that its README shows around it. And a stream without its last event is no success here:
most vendors' SDKs leave it to their caller to notice, and that is what `silent-truncation` says of them.
"""
TABLE_HEAD = ("| client | version | pass | lenient | fail | not asked | distinct findings |", "|---|---|---|---|---|---|---|")
OURS = """## What turned out to be ours

Accusations that the wire did not bear out: the mistake was in the testbed, and was mended.
"""


def row(client: str, answers: list[Answer], findings: list[Told]) -> str:
    """A line of the overview."""
    counts = {verdict: sum(one.result.verdict is verdict for one in answers) for verdict in Verdict}
    rest = len(answers) - counts[Verdict.PASS] - counts[Verdict.LENIENT] - counts[Verdict.FAIL]
    held = sum(one.look is None for one in findings)
    count = f"{len(findings) - held}" + (f" ({held} not yet looked at)" if held else "")
    cells = (f"[{client}](#{client})", answers[0].version, counts[Verdict.PASS], counts[Verdict.LENIENT], counts[Verdict.FAIL], rest, count)
    return "| " + " | ".join(map(str, cells)) + " |"


def section(client: str, answers: list[Answer], findings: list[Told]) -> str:
    """What is said of one client."""
    engine = answers[0].result.engine
    dialects = ", ".join(dialect.value for dialect in KNOWN[client].dialects)
    head = f"## {client}\n\n{PUBLISHED[client]} {answers[0].version} on Python {answers[0].python}, over `{engine}`. Speaks {dialects}.\n"
    published = [finding(client, one) for one in findings if one.look is not None]
    if not published:
        published = ["Nothing was found.\n"] if not findings else ["What was found has not been looked at yet.\n"]
    return "\n".join([head, *published, verdicts(answers, findings)])


def finding(client: str, one: Told) -> str:
    """One distinct finding, with the plan as a file."""
    single = msgspec.structs.replace(one.result, findings=(one.found,), grids=(), cures=())
    name = kept_plan(single, client)
    cause = f" ({one.found.cause})" if one.found.cause else ""
    assert one.look is not None
    return (
        f"**[{one.found.failure.value}](../reference/failures/{one.found.failure.value}.md)**{cause}: {one.found.summary}\n"
        f"Seen on the wire: {one.look.seen}\n"
        f"Smallest plan: [{name}](clients/{name}), `testbed replay docs/explanation/clients/{name} --client {client}`.\n"
        f"Shown by {', '.join(one.scenarios)}.\n"
    ).replace("\n", "  \n", 3)


def kept_plan(single: Result, client: str) -> str:
    """Save the plan of a finding as a capsule of its own, and say under which name."""
    with tempfile.TemporaryDirectory() as elsewhere:
        saved = capsules.save(single, ("--client", client), root=Path(elsewhere), seed=SEED).findings[0]
        stem = f"{client}-{saved.failure.value}-{single.scenario}"
        taken = sum(path.stem == stem or path.stem.startswith(f"{stem}-") for path in FOLDER.glob("*.toml"))
        name = f"{stem}-{taken + 1}.toml" if taken else f"{stem}.toml"
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / name).write_bytes(next(Path(elsewhere).rglob("*.toml")).read_bytes())
    return name


def verdicts(answers: list[Answer], findings: list[Told]) -> str:
    """The table of scenarios, folded up; a failure that nobody has looked at is said to be so."""
    looked = {(one.found.failure, one.found.cause) for one in findings if one.look is not None}
    lines = []
    for answer in answers:
        result = answer.result
        if result.verdict is Verdict.UNSUPPORTED:
            continue
        sure = any((found.failure, found.cause) in looked for found in result.findings)
        open_failure = result.verdict is Verdict.FAIL and not sure
        said = ", ".join(sorted({found.failure.value for found in result.findings})) if sure else "" if result.findings else result.reason
        cell = said.replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {result.scenario} | {'not yet looked at' if open_failure else result.verdict.value} | {cell} |")
    asked = len(lines)
    return "\n".join(
        [
            f"<details><summary>{asked} scenarios, {len(answers) - asked} more could not be asked of it</summary>\n",
            "| scenario | verdict | |",
            "|---|---|---|",
            *lines,
            "\n</details>\n",
        ]
    )


def ours(looks: Checked) -> list[str]:
    """The list of our own mistakes."""
    return [f"- {one.what} {one.mended}" for one in looks.ours] or ["None so far."]


def main() -> None:
    """Ask, then write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ask", action="append", metavar="CLIENT", help="ask only these, and write no page")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only these")
    parser.add_argument("--again", default="", metavar="VERDICTS", help="ask again what had these verdicts: fail,error")
    parser.add_argument("--page", action="store_true", help="ask nothing, write the page from what is kept")
    given = parser.parse_args()
    unknown = [client for client in given.ask or () if client not in PUBLISHED]
    if unknown:
        raise UsageError(f"{unknown[0]} is no published client; there are {', '.join(PUBLISHED)}")
    scenarios = tuple(given.scenario or loader.names())
    if not given.page:
        ask_all(given.ask or PUBLISHED, scenarios, again=frozenset(filter(None, given.again.split(","))))
        make_all_small(given.ask or PUBLISHED)
    if not given.ask:
        PAGE.write_text(page(PUBLISHED, scenarios), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(f"error: {error}")
