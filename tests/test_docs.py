"""The documentation: printed pages are current, links lead somewhere, and everything public is named."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import testbed
from testbed import adapters, loader, runner
from testbed.cli import main
from testbed.trace import Failure

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def generated() -> dict[str, str]:
    """What docs/generate.py would write."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


def test_printed_pages_are_current() -> None:
    """Pages that are printed from code are what the code prints today; python docs/generate.py writes them."""
    stale = [path for path, text in generated().items() if (DOCS / path).read_text(encoding="utf-8") != text]
    assert stale == []


def links(page: Path) -> Iterator[str]:
    """The relative links of a page, without their anchors."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            yield target.partition("#")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """No page links to a file that is not there."""
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_every_failure_class_has_a_page() -> None:
    """The page of a class is named as its slug."""
    assert {one.value for one in Failure} <= {page.stem for page in (DOCS / "reference" / "failures").glob("*.md")}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/reference/cli.md", [f"testbed {name}" for name in main.list_commands(None)]),  # type: ignore[arg-type]
        ("docs/reference/scenarios.md", list(loader.names())),
        ("README.md", [*adapters.KNOWN, *runner.engine_names()]),
        ("docs/reference/python.md", [f"testbed.{name}" for name in testbed.__all__]),
    ],
)
def test_everything_that_can_be_typed_is_documented(page: str, names: list[str]) -> None:
    """Commands, scenarios, clients, engines and public names each stand on their page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in text and f"## {name}\n" not in text] == []


def test_the_readmes_example_fails_as_it_says(pytester: pytest.Pytester) -> None:
    """The first code block of the README, as it stands, finds the defect whose report stands below it."""
    blocks = re.findall(r"```(python|text)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (_, code), (_, shown) = blocks[:2]
    assert len([line for line in code.splitlines() if line.strip()]) == 10
    pytester.makepyfile(test_chat=code)
    result = pytester.runpytest_subprocess("--tb=short", timeout=120)
    result.assert_outcomes(failed=1)
    # Times and byte counts are those of one run; the words are those of every run.
    for line in shown.splitlines():
        pattern = re.sub(r"\d+(\.\d+)? (s\b|bytes)", "* \\2", line.replace("[", "[[]"))
        result.stdout.fnmatch_lines_random([re.sub(r"-[0-9a-f]{12}\.toml", "-*.toml", pattern)])
