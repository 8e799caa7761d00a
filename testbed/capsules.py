"""Capsules: a finding as one file, which anyone can replay, share and commit.

The laws of this module: a capsule is a scenario file with constants only and a ``[finding]`` table before them, and
needs nothing beside itself; a file that exists is never written over by another finding, and when one is made smaller
the old text stands until the new one is whole.
"""

from __future__ import annotations

import enum
import importlib.metadata
import itertools
import os
import platform
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from testbed import adapters, loader, runner, selection
from testbed._capsule_sign import is_ours
from testbed._values import Value, digest
from testbed.catalogue import single, to_toml
from testbed.errors import UsageError
from testbed.explore import Counterexample, Result
from testbed.oracle import Verdict
from testbed.plan import Plan
from testbed.selection import Named
from testbed.trace import Clock, Failure

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(".testbed") / "failures"

# Who is asked a file that names no client.
DEFAULT_CLIENT = "reference"

# A file's name stays well below what file systems take, whatever a client is called.
_LONGEST_NAME = 120
# What a summary may take of the first line; the whole of it stands in the table.
_LONGEST_SUMMARY = 300


class Found(Value):
    """The ``[finding]`` table: what was found, with whom, where, and with which versions of what.

    `plan` is the digest of the plan as it was saved. A client in another language has `command` and no `client`.
    """

    failure: Failure
    summary: str = ""
    cause: str = ""
    requirement: str = ""
    sources: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    also: tuple[Failure, ...] = ()
    client: str = ""
    command: str = ""
    isolated: bool = False  # the client ran in a process of its own
    engine: str = ""
    seed: int = 0
    confirmed: tuple[str, ...] = ()
    doubt: str = ""
    plan: str = ""
    versions: Mapping[str, str] = {}


class Capsule(Value):
    """A file that can be replayed. `found` is None for a plain scenario file with constants only."""

    path: str
    plan: Plan
    found: Found | None = None


class Standing(str, enum.Enum):
    """What a replay says of the finding that a file is about."""

    REPRODUCED = "reproduced"
    GONE = "gone"
    ANOTHER = "another finding"
    FOUND = "found"  # of a file that is about none
    NOTHING = "nothing found"  # the same
    UNKNOWN = "not judged"


# --- reading ----------------------------------------------------------------------------------------------------------


def read(given: str) -> Capsule:
    """Read a capsule or any scenario file with constants only: a path that ends in .toml, or a shipped name."""
    scenario = loader.load(given)
    plan = single(scenario)
    path = Path(given)
    if not given.endswith(loader.SUFFIX):
        return Capsule(given, plan)
    table = tomllib.loads(path.read_bytes().decode("utf-8")).get("finding")
    if table is None:
        return Capsule(given, plan)
    try:
        return Capsule(given, plan, msgspec.convert(table, Found))
    except msgspec.ValidationError as error:
        raise UsageError(f"{given}: finding: {error}") from None


def gather(given: Iterable[str]) -> tuple[Capsule, ...]:
    """Read everything that is named: files, and folders with all the files of ours below them."""
    return tuple(itertools.chain.from_iterable(_below(name) for name in dict.fromkeys(given)))


def _below(given: str) -> list[Capsule]:
    if not Path(given).is_dir():
        return [read(given)]
    paths = sorted(
        str(path) for path in Path(given).rglob(f"*{loader.SUFFIX}") if path.is_file() and is_ours(str(path))
    )
    if not paths:
        raise UsageError(f"{given}: there is no capsule and no scenario file in this folder or below it")
    return [read(path) for path in paths]


def standing(capsule: Capsule, result: Result) -> Standing:
    """Say what a replay means for the finding of its file."""
    if result.verdict not in (Verdict.FAIL, Verdict.PASS, Verdict.LENIENT):
        return Standing.UNKNOWN
    shown = {failure for one in result.findings for failure in one.classes}
    if capsule.found is None:
        return Standing.FOUND if shown else Standing.NOTHING
    if not shown:
        return Standing.GONE
    return Standing.REPRODUCED if capsule.found.failure in shown else Standing.ANOTHER


def asked(capsule: Capsule, named: Sequence[Named], engines: Sequence[str]) -> Iterator[tuple[Named, str]]:
    """Whom to ask over what: what was named, and else the client and the engine that the finding is about."""
    for one in named or _own(capsule):
        yield from ((one, engine) for engine in runner.resolve_engines(engines or _engine_of(capsule, one), one.client))


def _own(capsule: Capsule) -> tuple[Named, ...]:
    """The client that the finding is about, where it ran."""
    own = [client_of(capsule) or DEFAULT_CLIENT]
    isolated = capsule.found is not None and capsule.found.isolated
    return selection.clients([], isolated=own) if isolated else selection.clients(own)


def _engine_of(capsule: Capsule, named: Named) -> tuple[str, ...]:
    """The engine of the finding, where this client can run on it."""
    if capsule.found is None or not capsule.found.engine:
        return selection.AUTO
    clock = Clock.VIRTUAL if capsule.found.engine == "simulated" else Clock.REAL
    return (capsule.found.engine,) if runner.runtime_for(named.client, clock) else selection.AUTO


def client_of(capsule: Capsule) -> str | None:
    """The client that the finding is about, as it is typed; None if the file is about none.

    A command is never taken from a file: to run what somebody else's file says is for the tester to ask.
    """
    if capsule.found is None:
        return None
    if capsule.found.command:
        raise UsageError(
            f"{capsule.path}: its client was the command {capsule.found.command!r}, which is not run unasked;"
            f" name it with --command"
        )
    return capsule.found.client or None


# --- writing ----------------------------------------------------------------------------------------------------------


def remember(result: Result, client: Sequence[str], file: str) -> Result:
    """Fill in the commands of a result that came from a file: replaying that same file."""
    command = _command(file, client, result.engine)
    return _with(result, (msgspec.structs.replace(one, reproduce=command, file=file) for one in result.findings))


def save(result: Result, client: Sequence[str], *, root: Path | None = None, seed: int = 0) -> Result:
    """Write every counterexample below `root` (the current folder) and return the result with its commands filled in.

    `client` is how the tester named the client: ``("--client", "openai")`` or ``("--command", "node client.mjs")``.
    """
    folder = (root or Path.cwd()) / FOLDER
    return _with(result, (_saved(result, one, client, folder, seed) for one in result.findings))


def rewrite(capsule: Capsule, result: Result, client: Sequence[str]) -> None:
    """Write a smaller plan in the place of the one in a capsule's file, all at once."""
    (finding,) = result.findings
    path = Path(capsule.path)
    seed = capsule.found.seed if capsule.found is not None else 0
    comments = _comments(path.read_text(encoding="utf-8"))
    text = _text(result, finding, client, seed, comments)
    beside = tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115
    try:
        with beside:
            beside.write(text.encode())
            beside.flush()
            os.fsync(beside.fileno())
        os.chmod(beside.name, path.stat().st_mode & 0o777)
        os.replace(beside.name, path)
    except BaseException:
        os.unlink(beside.name)
        raise


def slug(scenario: str, client: str, failure: Failure) -> str:
    """Name a counterexample by what it shows: ``silent-truncation-abrupt-end-openai``."""
    plain = re.sub(r"[^a-z0-9]+", "-", client.lower()).strip("-")
    return f"{failure.value}-{scenario}-{plain}"[:_LONGEST_NAME].rstrip("-")


def _saved(result: Result, finding: Counterexample, client: Sequence[str], folder: Path, seed: int) -> Counterexample:
    folder.mkdir(parents=True, exist_ok=True)
    text = _text(result, finding, client, seed)
    stem = slug(result.scenario, result.client, finding.failure)
    path = next(one for one in _paths(folder, stem) if _created(one, text) or _holds(one, finding.plan))
    command = _command(shown(path), client, result.engine)
    return msgspec.structs.replace(finding, reproduce=command, file=shown(path))


def _paths(folder: Path, stem: str) -> Iterator[Path]:
    """The names that a capsule may have, the plainest first. The same plan found once more is the same file."""
    for number in itertools.count(1):
        yield folder / f"{stem}{'' if number == 1 else f'-{number}'}{loader.SUFFIX}"


def _created(path: Path, text: str) -> bool:
    """Create the file, whole or not at all, and only if there is none; other processes may be doing the same."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as beside:
            beside.write(text.encode())
        os.chmod(name, 0o644)
        os.link(name, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(name)
    return True


def _holds(path: Path, plan: Plan) -> bool:
    try:
        return read(str(path)).plan == plan
    except UsageError:
        return False


def _text(
    result: Result, finding: Counterexample, client: Sequence[str], seed: int, comments: Sequence[str] = ()
) -> str:
    summary = " ".join(finding.summary.split())[:_LONGEST_SUMMARY]
    lines = [f"# {finding.failure.value}: {summary}", f"# found with {result.client} on {result.engine}", *comments]
    option, named = client
    found = Found(
        failure=finding.failure,
        summary=finding.summary,
        cause=finding.cause,
        requirement=finding.requirement,
        sources=finding.sources,
        evidence=finding.evidence,
        also=tuple(one.failure for one in finding.also),
        client=named if option != "--command" else "",
        command=named if option == "--command" else "",
        isolated=option == "--isolate",
        engine=result.engine,
        seed=seed,
        confirmed=finding.confirmed,
        doubt=finding.doubt,
        plan=digest(finding.plan),
        versions=_versions(named if option == "--client" else ""),
    )
    return "\n".join([*lines, "", to_toml(finding.plan, finding=msgspec.to_builtins(found))])


def _comments(text: str) -> list[str]:
    """The comments that somebody put before the first line, without the two that are ours."""
    leading = itertools.takewhile(lambda line: line.startswith("#") or not line.strip(), text.splitlines())
    slugs = tuple(f"# {failure.value}: " for failure in Failure)
    return [line for line in leading if line.strip() and not line.startswith((*slugs, "# found with "))]


def _versions(client: str) -> dict[str, str]:
    """The versions on which a finding may depend, as far as they are known."""
    library = adapters.KNOWN[client].extra if client in adapters.KNOWN else client.partition(":")[0].partition(".")[0]
    known = {"testbed": _version("stream-testbed"), "python": platform.python_version(), library: _version(library)}
    return {name: version for name, version in known.items() if version}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution) if distribution else ""
    except importlib.metadata.PackageNotFoundError:
        return ""  # a module of the tester's own, or a copy of ours that nobody installed


def _with(result: Result, findings: Iterable[Counterexample]) -> Result:
    return msgspec.structs.replace(result, findings=tuple(findings))


def _command(file: str, client: Sequence[str], engine: str) -> str:
    return shlex.join(["testbed", "replay", file, *client, "--engine", engine])


def shown(path: Path) -> str:
    """The path as a person would type it here: relative where it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
