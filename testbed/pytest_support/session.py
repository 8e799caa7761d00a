"""One pytest run with scenarios in it: what is collected, what is told at its start and its end, and its exit status.

The law of this module: everything it knows about results has come through pytest's reports, so it is the same with and
without xdist; the process that prints is not always the one that ran the item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import final

import pytest

from testbed._values import decode, encode
from testbed.explore import Result
from testbed.oracle import Verdict
from testbed.pytest_support.items import TOLD, JudgedItem, ScenarioCollector
from testbed.pytest_support.options import Options
from testbed.reports.cures import cure_lines
from testbed.reports.document import to_json
from testbed.selection import Question

# Under which the session is registered with pytest.
NAME = "testbed-session"

# The attribute of a setup report that carries the result, as JSON: xdist sends only simple types.
RESULT = "testbed_result"


@final
class ScenarioSession:
    """The plugin object that is registered when scenarios were asked for."""

    def __init__(self, config: pytest.Config, options: Options, questions: Sequence[Question]) -> None:
        self._config = config
        self._options = options
        self._questions = questions
        self._results: dict[str, Result] = {}
        self._outcomes: Counter[str] = Counter()

    def pytest_report_header(self) -> str:
        """Say what is asked, and where the plans are drawn from, so that a run can be repeated."""
        asked = (
            ("scenarios", [question.label for question in self._questions]),
            ("clients", [question.named.words[1] for question in self._questions]),
            ("engines", [question.engine for question in self._questions]),
        )
        said = (f"{what}: {', '.join(dict.fromkeys(names))}" for what, names in asked)
        return "; ".join([f"testbed: seed {self._options.settings.seed}", *said])

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Hang our collectors under the session, beside whatever the paths gave."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            report.result = [*report.result, *self._collectors(collector)]
        return report

    def _collectors(self, session: pytest.Session) -> list[pytest.Collector]:
        made: list[pytest.Collector] = []
        for name in dict.fromkeys(question.label for question in self._questions):
            identity = f"scenario/{name}"
            node: ScenarioCollector = ScenarioCollector.from_parent(session, name=identity, nodeid=identity)
            node.questions = [question for question in self._questions if question.label == name]
            node.options = self._options
            made.append(node)
        return made

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send the result along with the setup report, whose error or skip is told as the item would tell it."""
        report = yield
        if isinstance(item, JudgedItem) and call.when == "setup":
            if item.result is not None:
                setattr(report, RESULT, encode(item.result).decode())
            if call.excinfo is not None and isinstance(call.excinfo.value, TOLD):
                report.longrepr = item.repr_failure(call.excinfo)  # pytest asks the item for failures of the call only
            if report.skipped and isinstance(report.longrepr, tuple):
                report.longrepr = (str(item.config.rootpath / item.nodeid), None, report.longrepr[2])  # type: ignore[assignment]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect results and outcomes, in the process that prints."""
        if hasattr(report, RESULT):
            self._results[report.nodeid] = decode(getattr(report, RESULT), Result)
        if report.nodeid not in self._results and not report.nodeid.startswith("scenario/"):
            return
        if report.when == "call" or not report.passed:
            self._outcomes[report.outcome] += 1

    @property
    def _nothing_was_asked(self) -> bool:
        return set(self._outcomes) == {"skipped"}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the report, and do not call a run good in which every scenario was skipped."""
        if hasattr(self._config, "workerinput"):
            return
        if exitstatus == pytest.ExitCode.OK and self._nothing_was_asked:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        if self._options.report is not None:
            self._write_report(Path(self._options.report))

    def _write_report(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ids = dict.fromkeys([*(question.id for question in self._questions), *sorted(self._results)])
        results = [self._results[name] for name in ids if name in self._results]
        (folder / "report.json").write_text(to_json(results, self._options.settings.seed), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List what passed only with leniency, and the cures; and say so when nothing was asked at all."""
        lenient = [(name, seen) for name, seen in self._results.items() if seen.verdict is Verdict.LENIENT]
        if lenient:
            terminalreporter.section("lenient scenarios")
        for name, result in lenient:
            terminalreporter.line(f"LENIENT {name} - {result.reason}")
        if cures := cure_lines(self._results.values()):
            terminalreporter.section("cures")
        for line in cures:
            terminalreporter.line(line)
        if self._nothing_was_asked:
            terminalreporter.line("every scenario item was skipped: nothing was asked of any client", yellow=True)


def session_of(config: pytest.Config) -> ScenarioSession:
    """The one session of this process, begun without scenarios if none was asked for: capsules need it, too."""
    found = config.pluginmanager.get_plugin(NAME)
    if not isinstance(found, ScenarioSession):
        found = ScenarioSession(config, Options.read(config), ())
        config.pluginmanager.register(found, NAME)
    return found
