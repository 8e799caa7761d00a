"""Capsules as tests: ``pytest path/to/failures/`` is red while a finding is there and green when it is mended.

The law of this module: a file is one item for each client and engine, and its plan is run just as it stands; nothing is
drawn, shrunk or saved.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from testbed import capsules, runner, selection
from testbed.capsules import Capsule, Standing
from testbed.errors import TestbedError
from testbed.explore import Result
from testbed.ports import ClientAdapter, Engine
from testbed.pytest_support.items import JudgedItem
from testbed.pytest_support.options import Options
from testbed.pytest_support.session import session_of
from testbed.selection import Named


class CapsuleFile(pytest.File):
    """One saved finding."""

    def collect(self) -> Iterable[pytest.Item]:
        """Make an item for each client and engine: those of the command line, else those of the capsule."""
        session_of(self.config)
        options = Options.read(self.config)
        # An ini file says whom to ask scenarios; a capsule knows its own, and only a word on the command line is newer.
        clients = tuple(self.config.getoption("scenario_client") or ())
        engines = tuple(self.config.getoption("scenario_engine") or ())
        try:
            capsule = capsules.read(str(self.path))
            asked = list(capsules.asked(capsule, selection.clients(clients), engines))
        except TestbedError as error:
            raise self.CollectError(str(error)) from None
        for named, engine in asked:
            item: CapsuleItem = CapsuleItem.from_parent(self, name=f"{named.words[1]}-{engine}")
            item.capsule, item.named, item.engine, item.options = capsule, named, engine, options
            yield item


class CapsuleItem(JudgedItem):
    """One saved finding, asked of one client."""

    capsule: Capsule
    named: Named
    engine: str

    def ask(self) -> Result:
        """Run the plan once."""
        result = selection.replay(self.capsule.plan, self.engine, self.named)
        return capsules.remember(result, self.named.words, capsules.shown(self.path))

    def client_and_engine(self) -> tuple[ClientAdapter, Engine]:
        """Those that this item stands for."""
        return self.named.client, runner.engine(self.engine)

    def remark(self) -> str:
        """Say where what was found is not what the file is about."""
        if self.result is None or self.capsule.found is None:
            return ""
        if capsules.standing(self.capsule, self.result) is not Standing.ANOTHER:
            return ""
        return f"This is another finding: the capsule is about {self.capsule.found.failure.value}."
