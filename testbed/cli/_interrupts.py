"""Ctrl-C is heard, wherever it strikes.

The law of this module: an interrupt that Python could not raise is delivered again. Python raises KeyboardInterrupt
between any two instructions of the main thread; in a finalizer or in a callback of the garbage collector (Hypothesis
has one) it can only report it as unraisable, and the run would go on as if nobody had pressed a key.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# Long enough for the finalizer to be over, too short for a person to notice.
_AGAIN_AFTER = 0.02


@contextmanager
def heard() -> Iterator[None]:
    """Deliver interrupts again that were lost, as long as the context is open."""
    before = sys.unraisablehook

    def deliver_again(lost: UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            # A real signal: it also ends a wait of the main thread, as the key itself would have done.
            threading.Timer(_AGAIN_AFTER, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            before(lost)

    sys.unraisablehook = deliver_again
    try:
        yield
    finally:
        sys.unraisablehook = before
