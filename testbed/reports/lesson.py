"""The page of a failure class, as Markdown: for the docs and for a terminal alike.

The law of this module: everything on a page comes from the oracle's own values; nothing is said only here.
"""

from __future__ import annotations

from testbed.oracle.findings import CONSEQUENCES
from testbed.oracle.lessons import LESSONS
from testbed.oracle.requirements import REQUIREMENTS
from testbed.trace import Failure


def page(failure: Failure, note: str = "") -> str:
    """Print one class: what, why, sign and source, requirement, example, cure."""
    lesson = LESSONS[failure]
    parts = [
        f"# {failure.value}",
        note.strip(),
        lesson.what,
        f"**Why it hurts.** {lesson.why}",
        f"**What is seen.** {lesson.seen}",
        f"**Usual cause.** {lesson.cause}",
        _requirement(failure),
        "**On the wire** (`>` the client's, `<` what it was given, `=` what it told its caller):",
        "\n".join(("```text", *lesson.wire, "```")),
        f"**How to fix it.** {lesson.fix}",
        _consequences(failure),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _requirement(failure: Failure) -> str:
    if failure not in REQUIREMENTS:
        # Found by comparing how the run ended with the table, and not by a check of its own.
        return "**Requirement.** That of the row of [the table](../oracle.md) which says what the client was given."
    requirement = REQUIREMENTS[failure]
    sources = "\n".join(f"- {source}" for source in requirement.sources)
    return f"**Requirement.** {requirement.sentence}\n\n{sources}"


def _consequences(failure: Failure) -> str:
    hidden = CONSEQUENCES.get(failure)
    if not hidden:
        return ""
    listed = ", ".join(f"`{other.value}`" for other in sorted(hidden))
    return f"Where this is found, {listed} would only be its consequences and are left out."
