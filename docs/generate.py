"""Write the pages of the documentation that are printed from the code: ``python docs/generate.py``.

``pages()`` is a mapping from a path below docs/ to its text; a test compares it with what stands there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from testbed import loader, pytest_plugin
from testbed.cli import main as testbed
from testbed.dialects import DIALECTS, QUIRKS
from testbed.oracle import TABLE
from testbed.oracle.cures import CURES
from testbed.oracle.lessons import LESSONS
from testbed.reports.lesson import page
from testbed.script import DialectName, Terminal
from testbed.trace import Failure, Outcome

DOCS = Path(__file__).parent
sys.path.append(str(DOCS))  # for those who load this file by its path

import illegal_forms  # noqa: E402

NOTE = "<!-- Printed from the code by docs/generate.py; change it there. -->\n\n"


def pages() -> dict[str, str]:
    """Every printed page by its path."""
    return {
        "reference/oracle.md": oracle(),
        "reference/cures.md": cures(),
        "reference/scenarios.md": scenarios(),
        "reference/dialects.md": dialects(),
        "reference/cli.md": cli(),
        "reference/pytest.md": plugin(),
        "reference/illegal-forms.md": illegal_forms.page(NOTE),
        "reference/failures/index.md": failures(),
        **{f"reference/failures/{one.value}.md": page(one, NOTE) for one in Failure},
    }


def oracle() -> str:
    """The table of right behaviour."""
    rows = [
        (row.given, words(row.preferred), words(row.lenient), row.requirement, "; ".join(row.sources))
        for row in TABLE.values()
    ]
    return (
        f"# What counts as right\n\n{NOTE}What the client was given, read off the wire, decides. *Preferred* passes, *tolerated* is\n"
        "LENIENT, anything else is a finding. A scenario can narrow this and never widens it.\n\n"
        + table(("the client was given", "preferred", "tolerated", "requirement", "source"), rows)
    )


def cures() -> str:
    """What clients claim to do about trouble, and how a run shows it."""
    rows = []
    for cure, note in CURES.items():
        found = ", ".join(f"[`{one.value}`](failures/{one.value}.md)" for one in note.failures) or "a remark (LENIENT)"
        rows.append((f"`{cure.value}`", note.claim, note.asked, note.disproven, found))
    return (
        f"# Cures\n\n{NOTE}What clients claim to do about trouble, each of which a run can prove or disprove; a run that does not ask for a\n"
        "cure says nothing of it. `testbed run` and the pytest plugin end with a line for each client, all its runs together, in which one\n"
        "disproof outweighs every proof: `cures shown: bounded retries, Retry-After (seconds, date); not shown: jitter`. The JSON document has\n"
        "them under `cures`, with a sentence of evidence each. What is a remark at most becomes a finding in a scenario that demands it:\n"
        "`[expect] cures = [\"jitter\"]`.\n\n"
        + table(("cure", "claim", "a run asks for it if", "it is disproven if", "the finding"), rows)
    )


def scenarios() -> str:
    """What there is to ask."""
    text = f"# Scenarios\n\n{NOTE}"
    for one in loader.select(["all"]):
        dialects = ", ".join(f"`{dialect.value}`" for dialect in one.dialects)
        text += f"## {one.name}\n\n{one.title}\n\n**Requirement.** {one.requirement}\n\nCause: `{one.cause}`. Dialects: {dialects}.\n\n"
        text += "".join(f"- {source}\n" for source in one.sources) + "\n"
    return text.rstrip("\n") + "\n"


def dialects() -> str:
    """What the server can say, and how."""
    ends = {Terminal.SOFT: "soft", Terminal.HARD: "hard"}
    rows = []
    for one in DIALECTS.values():
        terminals = ", ".join(f"`{step.__struct_config__.tag}` ({ends[sort]})" for step, sort in one.terminals.items())
        refused = ", ".join(f"`{step.__struct_config__.tag}`" for step in one.refused)
        rows.append(
            (
                f"`{one.name.value}`",
                f"`{one.method} {one.path}`",
                f"`{one.content_type}`",
                terminals or "–",
                refused or "–",
            )
        )
    quirks = [
        (
            f"`{quirk.value}`",
            note.sentence,
            ", ".join(f"`{name.value}`" for name in DialectName if name in note.dialects),
            note.source,
        )
        for quirk, note in QUIRKS.items()
    ]
    return (
        f"# Dialects\n\n{NOTE}A script says what the server means; a dialect spells it. The routes are the vendors' own, so that an SDK needs\n"
        "nothing but the base URL. What ends an answer: after a *hard* terminal only success is right, a *soft* one says that the\n"
        "answer is finished though the protocol's last event is still to come.\n\n"
        + table(("dialect", "request", "content type", "what ends an answer", "steps that it refuses"), rows)
        + '\n## Quirks\n\nVariants of spelling that real servers have: `quirk = "no-space"` in a scenario file.\n\n'
        + table(("quirk", "what it does", "dialects", "seen"), quirks)
    )


def cli() -> str:
    """The help of every command, as it is printed."""
    context = click.Context(testbed, info_name="testbed", **testbed.context_settings)
    text = f"# The command line\n\n{NOTE}Exit status: 0 all right, 1 findings, 2 usage or could not run, 130 interrupted.\n"
    text += (
        "A run in which something could not be judged, or in which nothing at all could be asked, could not run.\n\n"
    )
    for name in testbed.list_commands(context):
        command = testbed.get_command(context, name)
        assert command is not None
        shown = click.Context(command, parent=context, info_name=name, terminal_width=100, max_content_width=100)
        text += f"## testbed {name}\n\n```text\n{command.get_help(shown)}\n```\n\n"
    return text.rstrip("\n") + "\n"


def plugin() -> str:
    """Options, outcomes and fixtures of the pytest plugin."""
    options = [("`--scenario=NAME`", "", "run this scenario (repeatable; a name, a glob, a `.toml` file, or `all`)")]
    options += [(f"`{one.option}={one.metavar}`", f"`{one.ini}`", one.help) for one in pytest_plugin._SETTINGS]
    outcomes = [
        ("PASS", "passed"),
        ("LENIENT", "passed, and listed in the summary"),
        ("FAIL", "failed"),
        ("UNSUPPORTED", "skipped"),
        ("INCONCLUSIVE, ERROR", "error: nothing was said of the client"),
    ]
    fixtures = [
        (f"`{name}`", (getattr(pytest_plugin, name).__doc__ or "").strip().splitlines()[0])
        for name in ("testbed_run", "testbed_server", "testbed_toxiproxy")
    ]
    return (
        f"# The pytest plugin\n\n{NOTE}One item for each scenario, client and engine: `scenario/vpn-latency::openai-embedded`. The id can be\n"
        "pasted back as an argument. With `--scenario` and no path nothing else is collected.\n\n"
        + table(("option", "ini key", "meaning"), options)
        + "\n"
        + table(("verdict", "outcome"), outcomes)
        + "\nIf every scenario item was skipped the exit status is 5, as if nothing had been collected. A wrong name is pytest's own\n"
        "usage error, exit status 4.\n\n" + table(("fixture", "use"), fixtures)
    )


def failures() -> str:
    """All failure classes on a page."""
    rows = [(f"[{one.value}]({one.value}.md)", LESSONS[one].seen) for one in Failure]
    return f"# Failure classes\n\n{NOTE}" + table(("class", "what is seen"), rows)


def words(outcomes: Iterable[Outcome]) -> str:
    """A set of outcomes, in the order of the enum."""
    chosen = set(outcomes)
    return ", ".join(f"`{one.value}`" for one in Outcome if one in chosen) or "–"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    for path, text in pages().items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(text, encoding="utf-8")
