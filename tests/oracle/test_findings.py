"""Roots and consequences, and the telling of two sequences apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed._values import decode, encode
from testbed.oracle import Finding, Judgement, Verdict
from testbed.oracle.findings import CONSEQUENCES, ROOT_FIRST, roots
from testbed.oracle.requirements import REQUIREMENTS
from testbed.oracle.sequences import common_prefix, common_suffix, contains, diagnose
from testbed.trace import Failure as F


def found(*failures: F) -> list[Finding]:
    """Findings of these classes."""
    return [Finding(failure, "It is wrong.", "It must be right.", ("a source",)) for failure in failures]


def test_every_class_has_a_rank() -> None:
    """A class without a rank would vanish from a judgement."""
    assert sorted(ROOT_FIRST) == sorted(F)


def test_a_root_stands_before_its_consequences() -> None:
    """What is explained is listed after what explains it, so one pass finds all roots."""
    rank = {failure: number for number, failure in enumerate(ROOT_FIRST)}
    wrong = [
        (root, consequence)
        for root, consequences in CONSEQUENCES.items()
        for consequence in consequences - {root}
        if rank[consequence] < rank[root]
    ]
    # The classes of wrong text exclude each other: the first that fits names it.
    assert all({root, consequence} <= CONSEQUENCES[F.DUPLICATED_TEXT] for root, consequence in wrong)


@given(st.lists(st.sampled_from(F)))
def test_the_first_class_found_is_never_explained_away(failures: list[F]) -> None:
    """Whatever was found, something stays: the highest ranked class; and no class stays twice."""
    kept = [finding.failure for finding in roots(found(*failures))]
    assert kept[:1] == sorted(set(failures), key=ROOT_FIRST.index)[:1]
    assert len(kept) == len(set(kept))
    assert set(kept) <= set(failures)


@pytest.mark.parametrize(
    ("failures", "kept"),
    [
        ([F.RETRY_AFTER_PARTIAL_OUTPUT, F.DUPLICATED_TEXT, F.RETRY_STORM], [F.DUPLICATED_TEXT]),
        ([F.LATE_TIMEOUT, F.HANG], [F.HANG]),
        ([F.WRONG_ERROR_CLASS, F.EARLY_TIMEOUT], [F.EARLY_TIMEOUT]),
        ([F.SILENT_TRUNCATION, F.CORRUPTED_TEXT], [F.CORRUPTED_TEXT, F.SILENT_TRUNCATION]),
        ([F.LOST_EVENT, F.UNWRAPPED_ERROR], [F.LOST_EVENT, F.UNWRAPPED_ERROR]),
        # What is explained explains nothing in its turn: two independent defects stay two.
        ([F.RETRY_STORM, F.CANCEL_IGNORED], [F.RETRY_STORM, F.CANCEL_IGNORED]),
    ],
)
def test_consequences_are_left_out(failures: list[F], kept: list[F]) -> None:
    """Of findings that explain each other the root stays; independent ones all stay, root first."""
    assert [finding.failure for finding in roots(found(*failures))] == kept


def test_requirements_are_sentences_with_sources() -> None:
    """What a client must do is a sentence, and somebody says so."""
    for requirement in REQUIREMENTS.values():
        assert requirement.sentence.endswith(".")
        assert requirement.sources


def test_a_judgement_survives_a_file() -> None:
    """Verdicts and findings are values."""
    judgement = Judgement(Verdict.FAIL, tuple(found(F.HANG)), "because", ("nothing",))
    assert decode(encode(judgement), Judgement) == judgement


# --- sequences --------------------------------------------------------------------------------------------------------

TEXT = ("One ", "fine ", "day ", "in May")
SENT = "".join(TEXT)
BOUNDS = [0, *itertools.accumulate(map(len, TEXT))]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("", None),
        ("One fi", None),
        (SENT, None),
        ("One day in May", F.LOST_EVENT),
        ("fine day in May", F.LOST_EVENT),
        ("One in May", F.LOST_EVENT),
        ("fine in May", F.LOST_EVENT),
        ("One fne day in May", F.CORRUPTED_TEXT),
        ("One f\ufffdne day in May", F.CORRUPTED_TEXT),
        ("One One fine day in May", F.DUPLICATED_TEXT),
        ("One fine One fine day in May", F.DUPLICATED_TEXT),
        (SENT + SENT, F.DUPLICATED_TEXT),
        ("One fine One fi", F.DUPLICATED_TEXT),
        ("One fine, day in May", F.PHANTOM_EVENT),
        (SENT + "!", F.PHANTOM_EVENT),
        ("fine One day in May", F.REORDERED_EVENT),
        ("in Mayday fine One ", F.REORDERED_EVENT),
        ("Something else", F.CORRUPTED_TEXT),
    ],
)
def test_the_simplest_mistake_is_named(seen: str, expected: F | None) -> None:
    """One lost, doubled, moved, invented or damaged piece is called what it is."""
    assert diagnose(seen, SENT, BOUNDS) is expected


letters = st.text("ab", max_size=12)


@given(letters, letters)
def test_only_a_prefix_is_right(seen: str, sent: str) -> None:
    """Nothing but a prefix is passed, and every prefix is; the same for tuples."""
    bounds = range(len(sent) + 1)
    assert (diagnose(seen, sent, bounds) is None) is sent.startswith(seen)
    assert (diagnose(tuple(seen), tuple(sent), bounds) is None) is sent.startswith(seen)


@given(letters, letters)
def test_prefix_and_suffix_are_what_they_say(one: str, other: str) -> None:
    """The halving search finds what a walk would find."""
    walk = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    assert common_prefix(one, other) == walk
    assert common_suffix(one[::-1], other[::-1]) == walk
    assert contains(one, other) is contains(tuple(one), tuple(other))


def test_text_that_repeats_itself_too_often_is_merely_corrupted() -> None:
    """Where a thousand explanations fit, none is claimed."""
    sent = "a" * 2000
    assert diagnose("a" * 1500 + "b", sent, range(2001)) is F.CORRUPTED_TEXT


def test_long_texts_are_compared_in_linear_time() -> None:
    """A megabyte that differs at its end costs a few comparisons of slices, not a walk in Python."""
    sent = "x" * 1_000_000
    assert diagnose(sent + "y", sent, [0, len(sent)]) is F.PHANTOM_EVENT
    assert common_prefix(sent + "y", sent + "z") == len(sent)
