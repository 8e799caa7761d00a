"""The pytest plugin: options, ini keys, pasted ids and fixtures.

The law of this module: it is loaded into every pytest run of everyone who has the package installed, so it imports
pytest and nothing else until one of its options or fixtures is used. What they need lives in
:mod:`testbed.pytest_support`. Every option and ini key starts with ``scenario``, every fixture with ``testbed_``: a
name that a user's conftest already has would stop pytest at its start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

if TYPE_CHECKING:
    from testbed.pytest_support.fixtures import RunScenario, ServeScenario

# An item's id as it is printed: `scenario/<name>`, or `scenario/<name>::<client>-<engine>`. Below the rootdir pytest
# prints `../` before it.
_ID = re.compile(r"(?:\.\./)*(scenario/[A-Za-z0-9._-]{1,64}(?:::.+)?)\Z")


class _Setting(NamedTuple):
    """One option and its ini twin."""

    option: str
    metavar: str
    action: Literal["append", "store"]
    ini: str
    ini_type: Literal["args", "string"]
    help: str


_SETTINGS = (
    _Setting(
        "--scenario-client", "NAME", "append", "scenario_clients", "args",
        "the client under test: a known name or module:function (repeatable); default: reference and installed SDKs",
    ),
    _Setting(
        "--scenario-engine", "NAME", "append", "scenario_engines", "args",
        "the network: auto, simulated, embedded or toxiproxy (repeatable); default: auto",
    ),
    _Setting(
        "--scenario-examples", "N", "store", "scenario_examples", "string",
        "plans tried for each item on simulated (default: 100); real clocks try at most 8",
    ),
    _Setting(
        "--scenario-seed", "N", "store", "scenario_seed", "string",
        "where the plans are drawn from: a number, or random (default: 0)",
    ),
    _Setting(
        "--scenario-report", "DIR", "store", "scenario_report", "string",
        "write report.json, and a trace for every finding, into DIR",
    ),
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and their ini twins. Which scenarios are run is for the command line alone."""
    group = parser.getgroup("testbed", "stream fault-injection testbed")
    which = (
        "run this scenario (repeatable; a name, a glob, a .toml file, or all); other tests only if paths are given too"
    )
    group.addoption("--scenario", metavar="NAME", action="append", default=None, help=which)
    for one in _SETTINGS:
        group.addoption(one.option, metavar=one.metavar, action=one.action, default=None, help=one.help)
        parser.addini(
            one.ini, f"as {one.option}: {one.help}", type=one.ini_type, default=[] if one.ini_type == "args" else ""
        )


class _Remote:
    """Begins a session in the process that prints, when a worker of pytest-xdist reports on a capsule."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand the first of our reports to the session that was not there to hear it; it hears all others itself."""
        if hasattr(report, "testbed_result") and not self._config.pluginmanager.has_plugin("testbed-session"):
            from testbed.pytest_support.session import session_of  # noqa: PLC0415  # the law of this module

            session_of(self._config).pytest_runtest_logreport(report)


def pytest_configure(config: pytest.Config) -> None:
    """Take our ids out of the arguments before pytest looks for files of that name, and hand over to the heavy part."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Remote(config), "testbed-remote")
    ids = {argument: given for argument in config.args if (given := _id(config, argument))}
    if not ids and not config.getoption("scenario"):
        return
    # Without paths of the user's own, pytest has filled in testpaths or the current folder: scenarios stand in for it.
    given_by_user = config.args_source is config.ArgsSource.ARGS
    config.args[:] = [argument for argument in config.args if argument not in ids] if given_by_user else []
    config.args_source = config.ArgsSource.ARGS

    from testbed.pytest_support import start  # noqa: PLC0415  # the law of this module

    start(config, tuple(ids.values()))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a capsule, a file in which a finding was saved. Nobody else's TOML is touched, nor any other file."""
    if file_path.suffix != ".toml":
        return None
    from testbed._capsule_sign import is_capsule  # noqa: PLC0415  # the law of this module

    if not is_capsule(str(file_path)):
        return None
    from testbed.pytest_support.saved import CapsuleFile  # noqa: PLC0415

    return CapsuleFile.from_parent(parent, path=file_path)


def _id(config: pytest.Config, argument: str) -> str:
    """The id in an argument, or nothing; a file or folder that really has the name goes first."""
    match = _ID.match(argument)
    place = config.invocation_params.dir / argument.partition("::")[0]
    return match[1] if match is not None and not os.path.lexists(place) else ""


@pytest.fixture
def testbed_run(request: pytest.FixtureRequest) -> RunScenario:
    """Ask a scenario or a plan of a client.

    ``testbed_run("abrupt-end", my_client, engine="embedded")`` returns the result.
    """
    from testbed.pytest_support.fixtures import make_run  # noqa: PLC0415

    return make_run(request.config)


@pytest.fixture
def testbed_server() -> Iterator[ServeScenario]:
    """Serve a scenario or a plan, faults and all, until the test is over.

    ``testbed_server("abrupt-end")`` returns the base URL.
    """
    from testbed.pytest_support.fixtures import open_servers  # noqa: PLC0415

    with open_servers() as serve:
        yield serve


@pytest.fixture
def testbed_toxiproxy() -> Iterator[str]:
    """Run an embedded Toxiproxy; the value is the URL of its HTTP API, for any existing Toxiproxy client."""
    from testbed.pytest_support.fixtures import open_toxiproxy  # noqa: PLC0415

    with open_toxiproxy() as url:
        yield url
