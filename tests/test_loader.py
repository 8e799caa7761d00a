"""Finding scenario files: by name, by glob, by path, and never outside the folder by a name."""

import pytest

from testbed import loader
from testbed.errors import UsageError

SMALL = 'format = 1\n[scenario]\ntitle = "Mine"\n[script]\ndialect = "openai-chat"\n'


def test_a_name_finds_the_shipped_file():
    """The scenario has the name that it was asked by."""
    scenario = loader.load("vpn-latency")
    assert (scenario.name, scenario.where) == ("vpn-latency", "vpn-latency.toml")


def test_names_are_sorted_and_all_can_be_loaded():
    """`all` is every shipped scenario, in the order of names."""
    names = loader.names()
    assert list(names) == sorted(names)
    assert [scenario.name for scenario in loader.select(["all"])] == list(names)


def test_every_shipped_file_has_a_good_name():
    """No file lies in the folder that no name can find."""
    assert {path.name for path in loader.folder().iterdir()} == {f"{name}.toml" for name in loader.names()}


def test_globs_select_in_the_order_given_and_once():
    """A scenario that several patterns name is loaded once, where the first names it."""
    chosen = [scenario.name for scenario in loader.select(["*-utf8", "vpn-latency", "split-*", "vpn-*"])]
    assert chosen[:2] == ["split-utf8", "vpn-latency"]
    assert len(chosen) == len(set(chosen))


def test_a_path_is_read_wherever_it_leads(tmp_path):
    """A file of the tester's own is named after its file."""
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "my-own.toml"
    path.write_text(SMALL, encoding="utf-8")
    for given in (str(path), str(tmp_path / "deep" / ".." / "deep" / "my-own.toml")):
        scenario = loader.load(given)
        assert (scenario.name, scenario.title, scenario.where) == ("my-own", "Mine", given)
    assert [scenario.name for scenario in loader.select([str(path)])] == ["my-own"]


BAD = ["../vpn-latency", "scenarios/vpn-latency", "VPN", "", "a" * 65, "vpn latency", "..", "/etc/passwd"]


@pytest.mark.parametrize("given", BAD)
def test_a_name_cannot_lead_out_of_the_folder(given):
    """What is neither a name nor ends in .toml is refused before any file is looked for."""
    with pytest.raises(UsageError) as raised:
        loader.load(given)
    assert str(raised.value) == (
        f"{given!r} is no scenario name: names have 1 to 64 of the characters a-z, 0-9 and -; a path ends in .toml"
    )


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one():
    """Typing mistakes are common, so the nearest name is offered."""
    with pytest.raises(UsageError, match=r"unknown scenario 'vpn-latencey'; did you mean 'vpn-latency'\?"):
        loader.load("vpn-latencey")


def test_a_glob_that_matches_nothing_is_refused():
    """Running nothing by mistake must not look like success."""
    with pytest.raises(UsageError, match="unknown scenario 'zzz-\\*'"):
        loader.select(["zzz-*"])


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    """The operating system's reason is enough."""
    with pytest.raises(UsageError, match=r"gone\.toml: it cannot be read: No such file or directory"):
        loader.load(str(tmp_path / "gone.toml"))


def test_a_file_that_is_not_text_is_one_sentence(tmp_path):
    """TOML is UTF-8."""
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"format = 1\n\xff")
    with pytest.raises(UsageError, match=r"bytes\.toml: it is not UTF-8 text \(byte 11\)"):
        loader.load(str(path))
