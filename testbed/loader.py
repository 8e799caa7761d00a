"""Finding and reading scenario files.

The laws of this module: a *name* is looked up in the one folder of shipped scenarios and can never lead out of it; a
*path* is recognised by its ``.toml`` and is read as it stands, because the tester named it; whatever is wrong with
either is a :class:`~testbed.errors.UsageError` of one sentence.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path

from testbed import catalogue
from testbed.catalogue import Scenario
from testbed.errors import HarnessError, UsageError, unknown_name

SUFFIX = ".toml"
ALL = "all"

_PACKAGE = Path(__file__).resolve().parent


def folder() -> Path:
    """The folder of the shipped scenarios: inside the package when installed, beside it in an editable install."""
    for candidate in (_PACKAGE / "_scenarios", _PACKAGE.parent / "scenarios"):
        if candidate.is_dir():
            return candidate
    raise HarnessError("the shipped scenarios are missing: neither in the package nor beside it; install it again")


def names() -> tuple[str, ...]:
    """The names of the shipped scenarios, sorted."""
    return tuple(sorted(path.stem for path in folder().glob(f"*{SUFFIX}") if catalogue.NAME.fullmatch(path.stem)))


def load(given: str) -> Scenario:
    """Load a shipped scenario by its name, or any file by a path that ends in ``.toml``."""
    if given.endswith(SUFFIX):
        return read(Path(given))
    if not catalogue.NAME.fullmatch(given):
        raise UsageError(
            f"{given!r} is no scenario name: names have 1 to 64 of the characters a-z, 0-9 and -; a path ends in .toml"
        )
    if given not in names():
        raise unknown_name("scenario", given, names())
    return read(folder() / f"{given}{SUFFIX}")


def read(path: Path) -> Scenario:
    """Read one scenario file."""
    where = path.name if path.parent == folder() else str(path)
    try:
        # Bytes and not text: line ends inside strings must come as they are.
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"{where}: it cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: it is not UTF-8 text (byte {error.start})") from None
    return catalogue.parse(text, name=path.name.removesuffix(SUFFIX), where=where)


def select(patterns: Iterable[str]) -> tuple[Scenario, ...]:
    """Load what the patterns name.

    Names, globs, paths, or ``all``; each once, in the order in which it was first named.
    """
    chosen: dict[str, None] = {}
    for pattern in patterns:
        chosen.update(dict.fromkeys(_matches(pattern)))
    return tuple(load(name) for name in chosen)


def _matches(pattern: str) -> Iterable[str]:
    if pattern == ALL:
        return names()
    if pattern.endswith(SUFFIX) or not any(sign in pattern for sign in "*?["):
        return (pattern,)
    found = fnmatch.filter(names(), pattern)
    if not found:
        raise unknown_name("scenario", pattern, names())
    return found
