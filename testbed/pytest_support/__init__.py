"""What the pytest plugin needs once it is used.

The law of this package: it is imported only after one of our options, ids or fixtures was used, so it may import what
it likes.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from testbed.errors import TestbedError
from testbed.pytest_support.options import Options
from testbed.pytest_support.session import NAME, ScenarioSession
from testbed.selection import Question, clients, from_id, questions


def start(config: pytest.Config, ids: Sequence[str]) -> None:
    """Resolve every name that was given and register the session that runs them; a wrong name ends pytest with one
    sentence.
    """
    try:
        options = Options.read(config)
        config.pluginmanager.register(ScenarioSession(config, options, _chosen(options, ids)), NAME)
    except TestbedError as error:
        raise pytest.UsageError(str(error)) from None


def _chosen(options: Options, ids: Sequence[str]) -> tuple[Question, ...]:
    """The questions of --scenario and of the pasted ids, each once."""
    asked = clients(options.clients) if options.scenarios else ()
    found = list(questions(options.scenarios, asked, options.engines))
    for given in ids:
        found += from_id(given, options.clients, options.engines)
    return tuple({question.id: question for question in found}.values())
