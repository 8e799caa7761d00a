"""What is asked: which scenario, of which client, over which engine, with which budget. Names in, questions out.

The law of this module: the same names give the same questions in the same order, in every process (pytest-xdist
compares them); a name that does not exist and a number that is none are a :class:`~testbed.errors.UsageError` before
anything is run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from testbed import adapters, loader, runner
from testbed.catalogue import Scenario
from testbed.errors import HarnessError, Unsupported, UsageError
from testbed.explore import Result, Settings, check, counterexample, explore
from testbed.oracle import Judgement, Verdict
from testbed.plan import Plan
from testbed.ports import ClientAdapter

AUTO = ("auto",)

# The SDKs that are asked when no client is named and they are installed: name of the client -> the package it needs.
SDKS = {"openai": "openai", "anthropic": "anthropic"}


class Named(NamedTuple):
    """A client, and the words with which a command line names it: ``("--client", "openai")``."""

    words: tuple[str, str]
    client: ClientAdapter


class Question(NamedTuple):
    """One scenario × client × engine. `label` is the scenario's name, or that of its file if it is not in the
    catalogue.
    """

    label: str
    scenario: Scenario
    named: Named
    engine: str

    @property
    def item(self) -> str:
        """Its short name, the end of a pytest id: ``openai-embedded``."""
        return f"{self.named.words[1]}-{self.engine}"

    @property
    def id(self) -> str:
        """Its full name: ``scenario/vpn-latency::openai-embedded``."""
        return f"scenario/{self.label}::{self.item}"

    def ask(self, settings: Settings, on_progress: Callable[[int, int], None] | None = None) -> Result:
        """Explore. Our own failure is a result too, with the verdict ERROR: the questions after it are still asked."""
        option, name = self.named.words
        if option == "--client":
            settings = structs.replace(settings, named=name)
        try:
            return explore(
                self.scenario, runner.engine(self.engine), self.named.client, settings, on_progress=on_progress
            )
        except HarnessError as error:
            return Result(
                scenario=self.scenario.name,
                client=self.named.client.profile.name,
                engine=self.engine,
                verdict=Verdict.ERROR,
                examples=0,
                duration=0.0,
                reason=str(error),
            )


def default_clients() -> tuple[str, ...]:
    """Each SDK that is installed here, and our own reference client."""
    return (*(name for name, package in SDKS.items() if find_spec(package) is not None), "reference")


def clients(names: Iterable[str], commands: Iterable[str] = (), isolated: Iterable[str] = ()) -> tuple[Named, ...]:
    """Load the clients of these names, wrap these command lines as clients, and load the clients that are to run in a
    process of their own; each once.
    """
    known = [Named(("--client", name), adapters.load(name)) for name in dict.fromkeys(names)]
    alone = [
        Named(("--isolate", name), adapters.isolated(name, adapters.load(name))) for name in dict.fromkeys(isolated)
    ]
    wrapped = [Named(("--command", line), adapters.command_adapter(line)) for line in dict.fromkeys(commands)]
    return (*known, *wrapped, *alone)


def scenarios(patterns: Iterable[str]) -> dict[str, Scenario]:
    """Load what the patterns name (names, globs, ``all``, or paths of files), each once, in the order given, by its
    label.
    """
    found: dict[str, Scenario] = {}
    for pattern in patterns:
        for label, scenario in _matching(pattern):
            if found.setdefault(label, scenario).where != scenario.where:
                raise UsageError(
                    f"two scenarios are called {label!r}: {found[label].where} and {scenario.where}; rename one file"
                )
    return found


def _matching(pattern: str) -> list[tuple[str, Scenario]]:
    if pattern.endswith(loader.SUFFIX):
        return [(Path(pattern).stem, loader.load(pattern))]
    return [(scenario.name, scenario) for scenario in loader.select((pattern,))]


def questions(patterns: Iterable[str], asked: Sequence[Named], engines: Sequence[str] = AUTO) -> tuple[Question, ...]:
    """Multiply scenarios by clients by engines; ``auto`` is expanded for each client."""
    return tuple(
        Question(label, scenario, named, engine)
        for label, scenario in scenarios(patterns).items()
        for named in asked
        for engine in runner.resolve_engines(engines, named.client)
    )


def from_id(given: str, names: Sequence[str], engines: Sequence[str]) -> tuple[Question, ...]:
    """Read an id back: ``scenario/vpn-latency`` is all its questions, ``scenario/vpn-latency::openai-embedded`` is
    one.
    """
    place, _, item = given.partition("::")
    scenario = place.removeprefix("scenario/")
    if not item:
        return questions([scenario], clients(names), engines)
    client, dash, engine = item.rpartition("-")
    if not (client and dash):
        raise UsageError(
            f"{given!r} is not the id of a scenario item; an id reads scenario/vpn-latency::openai-embedded"
        )
    return questions([scenario], clients([client]), [engine])


def settings(examples: str | None, seed: str | None, *, prefix: str = "--") -> Settings:
    """Read the budget as it is typed; real clocks are never asked for more plans than their default."""
    drawn = seed_of(seed, prefix=prefix)
    if not examples:
        return Settings(seed=drawn)
    wanted = _number(f"{prefix}examples", examples, least=1)
    return Settings(examples=wanted, plans=min(wanted, Settings().plans), seed=drawn)


def seed_of(given: str | None, *, prefix: str = "--") -> int:
    """Read a seed as it is typed: a number, or ``random`` for one that the machine draws."""
    if given == "random":
        return random.SystemRandom().randrange(2**32)
    return _number(f"{prefix}seed", given, least=0, otherwise=" or the word random") if given else 0


def _number(option: str, given: str, *, least: int, otherwise: str = "") -> int:
    if given.isascii() and given.isdigit() and int(given) >= least:
        return int(given)
    raise UsageError(f"{option} is {given!r}; it must be a whole number of at least {least}{otherwise}")


def replay(plan: Plan, engine: str, named: Named) -> Result:
    """Run one plan, once, and say what is found now; nothing is drawn and nothing is shrunk."""
    started = time.monotonic()
    try:
        judgement = check(plan, runner.engine(engine), named.client)
    except Unsupported as reason:
        judgement = Judgement(verdict=Verdict.UNSUPPORTED, reason=str(reason))
    except HarnessError as error:
        judgement = Judgement(verdict=Verdict.ERROR, reason=str(error))
    found = (counterexample(plan, judgement.findings),) if judgement.findings else ()
    return Result(
        scenario=plan.scenario,
        client=named.client.profile.name,
        engine=engine,
        verdict=judgement.verdict,
        examples=1,
        duration=round(time.monotonic() - started, 3),
        reason=", ".join(failure.value for one in found for failure in one.classes) or judgement.reason,
        findings=found,
        cures=judgement.cures,
    )
