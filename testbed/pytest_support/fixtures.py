"""What stands behind the fixtures.

The law of this module: fixtures are sync and own a thread, never the user's event loop; leaving the test closes what
they opened.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import pytest

from testbed import adapters, capsules, selection, serving
from testbed.catalogue import Scenario
from testbed.engines.proxy_api import serve_proxy_api
from testbed.explore import Result
from testbed.net.portal import in_thread
from testbed.plan import Plan
from testbed.ports import ClientAdapter
from testbed.pytest_support.options import Options
from testbed.selection import Named, Question
from testbed.strategies import simplest
from testbed.trace import Clock


class RunScenario(Protocol):
    """The fixture `testbed_run`."""

    def __call__(self, what: str | Plan, client: str | ClientAdapter, engine: str = "embedded") -> Result:
        """Explore a scenario, or run one plan, and return what was found; a FAIL is a result, not an exception."""
        ...


class ServeScenario(Protocol):
    """The fixture `testbed_server`."""

    def __call__(self, what: str | Plan, dialect: str | None = None) -> str:
        """Serve until the test is over and return the base URL, as the dialect's SDK wants it."""
        ...


def make_run(config: pytest.Config) -> RunScenario:
    """Make `testbed_run`: the budget is that of the options, counterexamples are saved as for scenario items."""
    options = Options.read(config)

    def run(what: str | Plan, client: str | ClientAdapter, engine: str = "embedded") -> Result:
        named = _named(client)
        if isinstance(what, Plan):
            result = selection.replay(what, engine, named)
        else:
            (label, scenario) = _scenario(what)
            result = Question(label, scenario, named, engine).ask(options.settings)
        return capsules.save(result, named.words, root=config.rootpath, seed=options.settings.seed)

    return run


@contextmanager
def open_servers() -> Iterator[ServeScenario]:
    """Make `testbed_server`: every call opens one more server, all are closed at the end."""
    with ExitStack() as stack:

        def start(what: str | Plan, dialect: str | None = None) -> str:
            plan = what if isinstance(what, Plan) else _one_plan(what, dialect)
            root = stack.enter_context(in_thread(functools.partial(serving.serve, serving.repeat(plan))))
            return serving.base_url(root, plan.dialect)

        yield start


@contextmanager
def open_toxiproxy() -> Iterator[str]:
    """Make `testbed_toxiproxy`: an embedded Toxiproxy with an API port of its own."""
    with in_thread(functools.partial(serve_proxy_api, port=0)) as endpoint:
        yield endpoint.root


def _scenario(name: str) -> tuple[str, Scenario]:
    return next(iter(selection.scenarios([name]).items()))


def _one_plan(name: str, dialect: str | None) -> Plan:
    """The simplest plan of a scenario: connection n gets its attempt n, as in a run."""
    _, scenario = _scenario(name)
    return simplest(scenario, [serving.dialect_for(scenario, dialect)], clock=Clock.REAL)


def _named(client: str | ClientAdapter) -> Named:
    """A client with the words for `Reproduce with:`; one that is given as an object is named by where it is defined."""
    if isinstance(client, str):
        return Named(("--client", client), adapters.load(client))
    function = getattr(client, "function", client)
    where = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', client.profile.name)}"
    return Named(("--client", where), client)
