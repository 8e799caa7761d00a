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
from testbed.oracle.findings import CONSEQUENCES
from testbed.oracle.requirements import REQUIREMENTS
from testbed.script import DialectName, Terminal
from testbed.trace import Failure, Outcome

DOCS = Path(__file__).parent
sys.path.append(str(DOCS))  # for those who load this file by its path

import illegal_forms  # noqa: E402

NOTE = "<!-- Printed from the code by docs/generate.py; change it there. -->\n\n"

F = Failure

# What a user of the client notices, and where to look for the cause.
SYMPTOMS = {
    F.SILENT_TRUNCATION: ("The answer stops in the middle, and the program goes on as if it were whole.",
                          "The end of the body is taken for the end of the answer: nothing checks that the terminal event was seen."),
    F.FALSE_FAILURE: ("An error although the answer was delivered whole.",
                      "The client waits for something after the end, or reads an end that the protocol allows as a failure."),
    F.CORRUPTED_TEXT: ("Replacement characters, or other characters than those that were sent.",
                       "Bytes are decoded chunk by chunk instead of with an incremental decoder, or lines are split where the standard does not."),
    F.DUPLICATED_TEXT: ("Words appear twice.",
                        "A retry or a reconnection shows again what was already shown."),
    F.LOST_EVENT: ("A token, or the last one, is missing.",
                   "The last event is not dispatched, or an event that is cut into two reads is thrown away."),
    F.PHANTOM_EVENT: ("Text or an event that nobody sent.",
                      "An empty event is dispatched, or a field that should be ignored is shown."),
    F.REORDERED_EVENT: ("Tokens in another order.", "Events are handled concurrently."),
    F.PARTIAL_EVENT_DELIVERED: ("Half an event is shown before the stream breaks off.",
                                "What is left in the buffer at the end of the body is dispatched; the standard discards it."),
    F.WRONG_ERROR_CLASS: ("The error names another cause than the true one.",
                          "Exceptions of the libraries below are mapped too coarsely, so that retry policies act on the wrong cause."),
    F.UNWRAPPED_ERROR: ("An exception of a library below reaches the caller, who catches the client's own only.",
                        "The reading of the body, or the decoding of an event, stands outside the block that wraps errors."),
    F.HANG: ("The call never ends.", "No time-out guards the wait that the server never ends."),
    F.EARLY_TIMEOUT: ("A time-out although the stream was moving.",
                      "A time-out for the whole answer is used where one for silence is meant."),
    F.LATE_TIMEOUT: ("The time-out comes much later than it was set to.",
                     "Each small read, or each retry, starts the clock again without bound."),
    F.LATE_DELIVERY: ("Nothing for a long time, then everything at once.", "The client, or its parser, buffers the stream."),
    F.RETRY_STORM: ("Many requests in a short time.", "Retries without a bound or without a growing wait."),
    F.RETRY_AFTER_IGNORED: ("A retry before the server said that it may come.", "The Retry-After field is not read."),
    F.RETRIED_NON_RETRYABLE: ("A request is repeated that can not succeed, or has succeeded.",
                              "The retry policy looks at the kind of exception only."),
    F.RETRY_AFTER_PARTIAL_OUTPUT: ("The answer starts anew after a part of it was shown.",
                                   "The retry wraps the whole stream and not only its beginning."),
    F.CERTIFICATE_IGNORED: ("Requests, keys in them, go to a server that could be anybody.",
                            "The verification of certificates or of the host's name is switched off."),
    F.NO_RESUME: ("An EventSource client stops at a clean end.", "The end of the body is taken for the end of the source."),
    F.RESUME_GAP: ("Events are missing after a reconnection.", "Last-Event-ID is not sent, or is sent too early."),
    F.CANCEL_IGNORED: ("The connection stays busy after the caller lost interest.",
                       "The response is not closed when the iterator is."),
    F.RESOURCE_LEAK: ("Connections stay open after an error.", "The response is closed on the good path only."),
    F.UNBOUNDED_MEMORY: ("Memory grows with the answer.", "An event without an end is buffered without a limit."),
    F.CRASH: ("A programming error, or a dead process.", "The parser meets input that it did not expect."),
}


def pages() -> dict[str, str]:
    """Every printed page by its path."""
    return {
        "reference/oracle.md": oracle(),
        "reference/scenarios.md": scenarios(),
        "reference/dialects.md": dialects(),
        "reference/cli.md": cli(),
        "reference/pytest.md": plugin(),
        "reference/illegal-forms.md": illegal_forms.page(NOTE),
        "reference/failures/index.md": failures(),
        **{f"reference/failures/{one.value}.md": failure(one) for one in Failure},
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
        rows.append((f"`{one.name.value}`", f"`{one.method} {one.path}`", f"`{one.content_type}`", terminals or "–", refused or "–"))
    quirks = [
        (f"`{quirk.value}`", note.sentence, ", ".join(f"`{name.value}`" for name in DialectName if name in note.dialects), note.source)
        for quirk, note in QUIRKS.items()
    ]
    return (
        f"# Dialects\n\n{NOTE}A script says what the server means; a dialect spells it. The routes are the vendors' own, so that an SDK needs\n"
        "nothing but the base URL. What ends an answer: after a *hard* terminal only success is right, a *soft* one says that the\n"
        "answer is finished though the protocol's last event is still to come.\n\n"
        + table(("dialect", "request", "content type", "what ends an answer", "steps that it refuses"), rows)
        + "\n## Quirks\n\nVariants of spelling that real servers have: `quirk = \"no-space\"` in a scenario file.\n\n"
        + table(("quirk", "what it does", "dialects", "seen"), quirks)
    )


def cli() -> str:
    """The help of every command, as it is printed."""
    context = click.Context(testbed, info_name="testbed", **testbed.context_settings)
    text = f"# The command line\n\n{NOTE}Exit status: 0 all right, 1 findings, 2 usage or could not run, 130 interrupted.\n"
    text += "A run in which something could not be judged, or in which nothing at all could be asked, could not run.\n\n"
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
        ("PASS", "passed"), ("LENIENT", "passed, and listed in the summary"), ("FAIL", "failed"),
        ("UNSUPPORTED", "skipped"), ("INCONCLUSIVE, ERROR", "error: nothing was said of the client"),
    ]
    fixtures = [
        (f"`{name}`", (getattr(pytest_plugin, name).__doc__ or "").strip().splitlines()[0])
        for name in ("testbed_run", "testbed_server", "testbed_toxiproxy")
    ]
    return (
        f"# The pytest plugin\n\n{NOTE}One item for each scenario, client and engine: `scenario/vpn-latency::openai-embedded`. The id can be\n"
        "pasted back as an argument. With `--scenario` and no path nothing else is collected.\n\n"
        + table(("option", "ini key", "meaning"), options) + "\n"
        + table(("verdict", "outcome"), outcomes)
        + "\nIf every scenario item was skipped the exit status is 5, as if nothing had been collected. A wrong name is pytest's own\n"
        "usage error, exit status 4.\n\n" + table(("fixture", "use"), fixtures)
    )


def failures() -> str:
    """All failure classes on a page."""
    rows = [(f"[{one.value}]({one.value}.md)", SYMPTOMS[one][0]) for one in Failure]
    return f"# Failure classes\n\n{NOTE}" + table(("class", "what is seen"), rows)


def failure(one: Failure) -> str:
    """The page of a failure class."""
    seen, cause = SYMPTOMS[one]
    text = f"# {one.value}\n\n{NOTE}{seen}\n\n**Usual cause.** {cause}\n\n"
    if one in REQUIREMENTS:
        text += f"**Requirement.** {REQUIREMENTS[one].sentence}\n\n" + "".join(f"- {source}\n" for source in REQUIREMENTS[one].sources) + "\n"
    elif one in OUTCOMES:
        text += "**Requirement.** That of the row of [the table](../oracle.md) which says what the client was given.\n\n"
    else:
        text += "The name is reserved; no check of this version finds it.\n\n"
    if hidden := CONSEQUENCES.get(one):
        listed = ", ".join(f"`{other.value}`" for other in sorted(hidden))
        text += f"Where this is found, {listed} would only be its consequences and are left out.\n\n"
    return text.rstrip("\n") + "\n"


# Found by comparing how the run ended with the table, and not by a check of their own.
OUTCOMES = {F.SILENT_TRUNCATION, F.FALSE_FAILURE, F.WRONG_ERROR_CLASS}


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
