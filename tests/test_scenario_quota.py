"""What a scenario file may say of the server beside its scripts: a quota, what is tested, how long a body may be."""

from __future__ import annotations

import pytest

from testbed.catalogue import parse, single, to_toml
from testbed.errors import UsageError
from testbed.plan import Plan, Purpose, Quota, Window

FILE = """
format = 1
[scenario]
tested = "upload"
body_limit = 1000
[script]
dialect = "openai-chat"
steps = [{ step = "head" }, { step = "open" }, { step = "finish" }, { step = "done" }]
[quota]
requests = 3
tokens = 500
seconds = 10.5
window = "fixed"
"""


def read(text: str) -> Plan:
    """The one plan of a file."""
    return single(parse(text, name="busy", where="busy.toml"))


def test_the_plan_has_what_the_file_says_and_is_written_back_as_it_is() -> None:
    """The quota, the request that is tested and the limit of a body are part of the plan, and survive a round trip."""
    plan = read(FILE)
    assert plan.quota == Quota(requests=3, tokens=500, seconds=10.5, window=Window.FIXED)
    assert (plan.tested, plan.body_limit) == (Purpose.UPLOAD, 1000)
    assert read(to_toml(plan)) == plan


def test_a_plan_without_them_writes_nothing_of_them() -> None:
    """A file says only what is not the default."""
    plain = FILE.partition("[quota]")[0].replace('tested = "upload"', "").replace("body_limit = 1000", "")
    written = to_toml(read(plain))
    assert not any(word in written for word in ("quota", "tested", "body_limit"))


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("requests = 0", "busy.toml: quota: requests is 0; it must be at least 1"),
        ("", "busy.toml: quota: it limits nothing; it needs requests, tokens or both"),
        ("requests = 1\nseconds = 0", "busy.toml: quota: seconds is 0.0; it must lie between 0.001 and 86400 (a day)"),
        ("requets = 1", "busy.toml: quota: unknown key 'requets'; did you mean 'requests'?"),
        ('window = "sliding"', "busy.toml: quota.window: "),
    ],
)
def test_a_mistake_in_a_quota_is_one_sentence_with_its_place(written: str, sentence: str) -> None:
    """The file and the key are named, and what is allowed."""
    with pytest.raises(UsageError) as refused:
        read(FILE.partition("[quota]")[0] + "[quota]\n" + written)
    assert str(refused.value).startswith(sentence)
