"""What pytest is told to do: note which test runs which line, or ask its tests about one mutant after another.

The law of this module: a mutant lives in a process of its own, and a mutant that no test notices is called a survivor
only after every test that runs its lines was asked.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import coverage
import pytest
from _pytest.main import pytest_runtestloop as ask_all

from tests.mutation.mutants import ROOT, Mutant
from tests.mutation.swap import put_in

KILLED, SURVIVED, TIMEOUT, APART = "killed", "survived", "timeout", "apart"
CODES = {0: SURVIVED, 1: KILLED, 3: APART}

# Which tests run a line, by their numbers: of names the store would be so large that every child is slowed by it.
Lines = dict[str, dict[int, list[int]]]


# What must notice: the tests of the oracle and the plan, the toys on virtual time, and whatever else asks for a
# judgement without a socket. A real clock would show no more, and take as long as it takes.
TESTS = (
    *("tests/oracle", "tests/test_oracles_oracle.py", "tests/test_cures.py", "tests/test_coding.py"),
    *("tests/test_plan.py", "tests/test_retrying.py", "tests/cli/test_explaining.py"),
    *("tests/field", "tests/test_scenario_quota.py"),
)
OPTIONS = (
    *("-q", "-k", "not embedded and not toxiproxy", "--capture=no", "-o", "faulthandler_timeout=0"),
    *(f"-pno:{plugin}" for plugin in ("cacheprovider", "logging")),
)


def pytest_with(plugin: object, *more: str) -> int:
    """Run these tests with a plugin."""
    return int(pytest.main([*OPTIONS, *more, *TESTS], plugins=[plugin]))


class Tracer:
    """Notes which tests run each line of the judge, and how long each test takes."""

    def __init__(self) -> None:
        include = [str(ROOT / "testbed" / "oracle" / "*"), str(ROOT / "testbed" / "plan.py")]
        self.coverage = coverage.Coverage(data_file=None, include=include, messages=False)
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.coverage.start()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Everything that runs now runs for this test."""
        self.coverage.switch_context(item.nodeid)
        started = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - started

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails without a mutant says nothing of one."""
        if report.failed:
            self.failed.add(report.nodeid)

    def told(self) -> dict[str, object]:
        """The tests with their seconds; file, line, and the numbers of the tests that run it."""
        self.coverage.stop()
        data = self.coverage.get_data()
        tests = [(name, seconds) for name, seconds in self.seconds.items() if name not in self.failed]
        number = {name: index for index, (name, _) in enumerate(tests)}
        lines: Lines = {
            os.path.relpath(path, ROOT): {
                line: [number[one] for one in contexts if one in number]
                for line, contexts in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        }
        return {"tests": tests, "lines": lines, "failed": sorted(self.failed)}


class Asker:
    """Asks the collected tests about mutants, each in a child of this process."""

    def __init__(
        self,
        mutants: Sequence[Mutant],
        tests_of: Callable[[Mutant], Sequence[str]],
        tell: Callable[[Mutant, str], None],
        processes: int,
        budget: Mapping[str, float],
    ) -> None:
        self.mutants, self.tests_of, self.tell, self.processes, self.budget = mutants, tests_of, tell, processes, budget
        self.running: dict[int, tuple[Mutant, float, float]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of running the tests: run them for each mutant."""
        items = {item.nodeid: item for item in session.items}
        gc.collect()
        gc.freeze()  # what every child has in common is not looked at again
        for mutant in self.mutants:
            chosen = [items[name] for name in self.tests_of(mutant) if name in items]
            if not chosen and mutant.owner:
                self.tell(mutant, SURVIVED)
                continue
            while len(self.running) >= self.processes:
                self._reap()
            # Twenty times what these tests took, for an endless loop is what is to be told from a slow machine.
            longest = 20 + 20 * sum(self.budget.get(item.nodeid, 0.1) for item in chosen)
            sys.stdout.flush()
            child = os.fork()
            if not child:
                _be_asked(session, mutant, chosen)
            self.running[child] = (mutant, time.monotonic(), longest)
        while self.running:
            self._reap()
        return True

    def _reap(self) -> None:
        for child, (mutant, started, longest) in list(self.running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            passed = time.monotonic() - started
            if not done and passed > longest:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                self.tell(mutant, TIMEOUT)
            elif done:
                code = os.waitstatus_to_exitcode(status)
                self.tell(mutant, CODES.get(code, KILLED))
            else:
                continue
            del self.running[child]
        time.sleep(0.005)


def _be_asked(session: pytest.Session, mutant: Mutant, chosen: list[pytest.Item]) -> None:
    """The child: put the mutant in, ask until the first test fails, and leave with the answer."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 1
    try:
        if not put_in(mutant):
            os._exit(3)
        session.items = chosen
        session.config.option.maxfail = 1
        ask_all(session)
        code = 1 if session.testsfailed else 0
    except BaseException:  # whatever a mutant raises, it was noticed
        code = 1
    os._exit(code)
