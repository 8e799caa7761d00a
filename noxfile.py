"""All checks of this project: ``nox`` runs every one, ``nox -s lint`` one of them, ``nox -l`` lists them.

Nothing but Python 3.10 or later and the package index is needed. A Python that is not on this machine is skipped; the
one that runs nox never is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

CONSTRAINTS = ".ci/constraints.txt"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [version for version in ("3.10", "3.11", "3.12", "3.13", "3.14") if version != HERE]

# pyenv puts a program of every version on the path, which then refuses to run all but the chosen one. The real ones lie
# here; first on the path, they are found.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
FOUND = [str(folder) for version in OTHERS for folder in sorted(PYENV.glob(f"{version}.*/bin"))]
os.environ["PATH"] = os.pathsep.join([*FOUND, os.environ["PATH"]])

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
# What `nox` alone runs. The others take longer: `detection` asks each planted defect of thirty seeds, `mutation` breaks
# the oracle itself.
nox.options.sessions = ["lint", "types", "layers", "tests", "tests_on", "killmatrix"]
# A missing Python among OTHERS is no failure, in CI neither: `tests` always runs on the Python that is here.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

GROUPS = nox.project.dependency_groups
PYPROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, package: str = ".[sdks]") -> None:
    """Install the package with every client, and dependency groups, at the versions that were last seen to work."""
    session.install("-c", CONSTRAINTS, package, *GROUPS(PYPROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("-c", CONSTRAINTS, *GROUPS(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "lint", "tests")
    session.install("-c", CONSTRAINTS, "nox")
    session.run("mypy")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that every module imports only from lower layers."""
    install(session, "lint")
    session.run("lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests on the Python that runs nox."""
    run_tests(session)


@nox.session(python=OTHERS)
def tests_on(session: nox.Session) -> None:
    """Run the tests on every other supported Python that is found, but for those that no Python can change."""
    run_tests(session, "-m", "not once")


def run_tests(session: nox.Session, *chosen: str) -> None:
    """Install the wheel and run pytest; arguments after ``--`` go to pytest."""
    install(session, "tests")
    # Most of the time of these tests is waiting, not computing.
    session.run("python", "-m", "pytest", "-n", "auto", *chosen, *session.posargs)


@nox.session
def killmatrix(session: nox.Session) -> None:
    """Ask every scenario of clients with planted defects and of correct ones; arguments go to the matrix."""
    install(session, "tests")
    session.run("python", "-m", "tests.killmatrix", *session.posargs)


@nox.session
def detection(session: nox.Session) -> None:
    """Search for each planted defect with the default budget and thirty seeds."""
    install(session, "tests")
    session.run("python", "-m", "tests.killmatrix.detection", *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """Break the oracle in a sample of places, and list what no test notices (``--sample``, ``--seed``, ``--only``)."""
    # Editable: what is broken is the source that the tests import.
    session.install("-c", CONSTRAINTS, "-e", ".[sdks]", *GROUPS(PYPROJECT, "tests", "mutation"))
    session.run("python", "-m", "tests.mutation", *session.posargs)
