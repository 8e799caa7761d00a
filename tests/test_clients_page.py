"""The page about published clients: whatever it accuses somebody of can be replayed, and was looked at."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from testbed import capsules
from testbed.adapters import KNOWN

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "docs"))

import clients  # noqa: E402

PAGE = clients.PAGE.read_text(encoding="utf-8")
FILES = sorted(clients.FOLDER.glob("*.toml"))

pytestmark = pytest.mark.once


def test_every_published_client_is_asked():
    """All that are wired in, but for our own."""
    assert set(clients.PUBLISHED) == set(KNOWN) - {"reference"}


def test_every_plan_stands_on_the_page_and_the_other_way_round():
    """No dead link, and no file that nobody would find."""
    assert set(re.findall(r"\]\(clients/([^)]+)\)", PAGE)) == {path.name for path in FILES}
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_plan_is_a_capsule_of_the_finding_that_it_stands_for(path: Path):
    """It names client, class and what was seen; and somebody has looked at just this."""
    capsule = capsules.read(str(path))
    found = capsule.found
    assert found is not None
    assert found.client in clients.PUBLISHED
    assert found.versions
    looked = clients.checked().looked
    assert any(
        look.failure is found.failure
        and found.client in (look.clients or (found.client,))
        and look.cause in ("", found.cause)
        for look in looked
    )
