"""Ctrl-C in a place where Python cannot raise it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from testbed.cli._interrupts import heard


class Final:
    """An object in whose finalizer the interrupt strikes."""

    def __del__(self) -> None:
        """Do what the interpreter does there when Ctrl-C arrives."""
        raise KeyboardInterrupt


def finalize_and_wait() -> None:
    """Lose an interrupt, then wait."""
    Final()
    threading.Event().wait(10)
    pytest.fail("the interrupt was lost")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as a program in the foreground has it, however this run was started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_that_was_lost_in_a_finalizer_comes_again() -> None:
    """The wait ends with the interrupt, not with its time."""
    with pytest.raises(KeyboardInterrupt), heard():
        finalize_and_wait()


def test_other_unraisable_errors_are_reported_as_before() -> None:
    """Whoever listened before still hears of everything else."""
    heard_of: list[object] = []

    class Broken:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    before, sys.unraisablehook = sys.unraisablehook, lambda lost: heard_of.append(lost.exc_type)
    try:
        with heard():
            Broken()
    finally:
        sys.unraisablehook = before
    assert heard_of == [ValueError]
