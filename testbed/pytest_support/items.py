"""Items that are judged: one for each scenario × client × engine, or capsule × client × engine.

The law of this module: the run is an item's *setup* and its verdict is the *call*. That gives each verdict
its place in pytest's own words: FAIL fails in the call; UNSUPPORTED skips and INCONCLUSIVE and ERROR are errors, both
in setup, where nothing was said about the client. Reports, --lf, --sw, xdist and JUnit then need no special case.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed import capsules, runner
from testbed.errors import TestbedError
from testbed.explore import Result
from testbed.oracle import Verdict
from testbed.ports import ClientAdapter, Engine
from testbed.pytest_support.options import Options
from testbed.reports.text import describe, headline
from testbed.selection import Question

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr


class ClientFailed(AssertionError):
    """The client under test was caught; the text is the whole report."""


class NotJudged(Exception):
    """INCONCLUSIVE or ERROR: nothing can be said of the client."""


# What is told as a sentence; any other exception is our bug and keeps its traceback.
TOLD = (ClientFailed, NotJudged, TestbedError)


class ScenarioCollector(pytest.Collector):
    """The items of one scenario."""

    questions: Sequence[Question]
    options: Options

    def collect(self) -> Iterable[pytest.Item]:
        """Make one item for each client and engine."""
        for question in self.questions:
            item: ScenarioItem = ScenarioItem.from_parent(self, name=question.item)
            item.question = question
            item.options = self.options
            yield item


class JudgedItem(pytest.Item):
    """A question whose answer is a result: asked in setup and told in the call."""

    options: Options
    result: Result | None = None

    @abc.abstractmethod
    def ask(self) -> Result:
        """Put the question, and save what there is to save."""

    @abc.abstractmethod
    def client_and_engine(self) -> tuple[ClientAdapter, Engine]:
        """Who is asked, over what."""

    def setup(self) -> None:
        """Ask; skip what is unsupported, and let what could not be judged be an error."""
        self.result = self.ask()
        if self.options.report is not None:
            self._keep_traces(self.result, Path(self.options.report) / "traces")
        if self.result.verdict is Verdict.UNSUPPORTED:
            pytest.skip(self.result.reason)
        if self.result.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR):
            msg = f"{self.result.verdict.name}: {self.result.reason}"
            raise NotJudged(msg)

    def _keep_traces(self, result: Result, folder: Path) -> None:
        """Run the smallest plan of every finding once more and keep what was seen."""
        client, engine = self.client_and_engine()
        for finding in result.findings:
            trace = runner.run(finding.plan, engine, client)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{Path(finding.file).stem}-{result.engine}.jsonl").write_bytes(trace.to_jsonl())

    def runtest(self) -> None:
        """Raise what was found."""
        if self.result is not None and self.result.verdict is Verdict.FAIL:
            raise ClientFailed("\n\n".join(filter(None, [self.remark(), describe(self.result)])))

    def remark(self) -> str:
        """What is to be said before the findings, or nothing."""
        return ""

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """Print our own outcomes as the sentences that they are."""
        if not isinstance(excinfo.value, TOLD):
            return super().repr_failure(excinfo, style)
        shown = excinfo.getrepr(style="value")
        if shown.reprcrash is not None:
            shown.reprcrash.message = self._in_a_line(excinfo.value)
        return shown

    def _in_a_line(self, error: BaseException) -> str:
        """What the short summary at the end says of this item."""
        if isinstance(error, ClientFailed) and self.result is not None:
            return "; ".join(headline(finding) for finding in self.result.findings)
        return str(error)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the item by its id; it stands in no source file."""
        return self.path, None, self.nodeid


class ScenarioItem(JudgedItem):
    """One question to one client: the exploration of a scenario."""

    question: Question

    def ask(self) -> Result:
        """Explore, and save every counterexample."""
        found, settings = self.question.ask(self.options.settings), self.options.settings
        return capsules.save(found, self.question.named.words, root=self.config.rootpath, seed=settings.seed)

    def client_and_engine(self) -> tuple[ClientAdapter, Engine]:
        """Those of the question."""
        return self.question.named.client, runner.engine(self.question.engine)
