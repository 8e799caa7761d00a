"""The public surface: what ``import testbed`` offers, and that it is offered lazily."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import testbed


@pytest.mark.parametrize("name", testbed.__all__)
def test_every_public_name_is_the_object_that_its_home_defines(name: str) -> None:
    """A name of the façade is the very object that its own module has under that name."""
    home = importlib.import_module(testbed._HOME[name])
    assert getattr(home, name) is getattr(testbed, name)


def test_all_is_sorted_and_complete() -> None:
    """What is promised in ``__all__`` and what can be imported lazily are the same names, in order."""
    assert sorted(testbed._HOME) == testbed.__all__


def test_dir_shows_names_that_were_not_imported_yet() -> None:
    """Completion in a shell sees the whole surface."""
    assert set(testbed.__all__) <= set(dir(testbed))


def test_no_public_name_is_hidden_by_a_module_of_the_same_name() -> None:
    """Importing a submodule sets an attribute on the package, which would replace a function of that name."""
    modules = {module.name for module in pkgutil.iter_modules(testbed.__path__)}
    assert modules.isdisjoint(testbed.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Hasattr and friends work as on any module."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        testbed.nonsense  # noqa: B018


def test_the_explorer_is_a_module() -> None:
    """``testbed.explore.explore`` works whoever imported what first."""
    assert callable(testbed.explore.explore)
