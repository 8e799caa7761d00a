"""The correct client with one planted defect each. A class here overrides what its defect is, and nothing else."""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterable, Iterator

import h11

from testbed import sse
from testbed.adapters.items import Item
from testbed.script import Terminal
from testbed.trace import Failure
from tests.toys import plans
from tests.toys.correct import Correct
from tests.toys.errors import Provider, Reset, Status, ToyError
from tests.toys.rows import CHAT, Toy
from tests.toys.rules import Rules, Sleep, Steps
from tests.toys.wire import Wire, leak


class SilentTruncation(Rules):
    """Takes the end of the body for the end of the answer."""

    def judge_end(self) -> None:
        if self.status != 200:
            super().judge_end()
        self.complete = True


class CorruptedText(Rules):
    """Decodes every piece by itself, so a character cut in two becomes two replacement characters."""

    def read(self, piece: bytes) -> Iterator[Item]:
        return super().read(piece.decode("utf-8", "replace").encode())


class DuplicateAfterRetry(Rules):
    """Retries although text was shown, and shows it again."""

    def may_retry(self, error: ToyError) -> bool:
        return isinstance(error, Reset) or super().may_retry(error)


class SilentRetry(DuplicateAfterRetry):
    """Retries although text was shown, and skips what the caller has: it hopes that the answer is the same."""

    skip = 0

    def pause(self, error: ToyError | None, retry: int) -> float:
        self.skip = len(self.shown)
        return super().pause(error, retry)

    def show(self, items: list[Item]) -> Iterable[Item]:
        for item in super().show(items):
            if isinstance(item, str) and item and self.skip:
                self.skip -= 1
            else:
                yield item


class RawException(Rules):
    """Lets the operating system's exception out."""

    def explain(self, error: OSError) -> Exception:
        return error


class Hang(Rules):
    """Waits for a terminal that can not come any more."""

    def end(self) -> Steps:
        if self.reading.terminal is Terminal.NONE and self.status == 200:
            yield Sleep(math.inf)
        yield from super().end()


class NoIdleTimeout(Rules):
    """Has a time-out for connecting and none for reading."""

    def patience(self) -> float | None:
        return None


class LateTimeout(Rules):
    """Adds up three time-outs where one was meant."""

    def patience(self) -> float | None:
        told = super().patience()
        return None if told is None else 3 * told


class TotalTimeout(Correct):
    """Takes the idle time-out for the time that the whole call may take."""

    def patience(self) -> float | None:
        if self.target.idle_timeout is None:
            return None
        return max(0.0, self.started + self.target.idle_timeout - self.now())


class RetriesWhatIsFinal(Rules):
    """Retries every error status."""

    def may_retry_status(self, error: Status) -> bool:
        return True


class IgnoresRetryAfter(Rules):
    """Waits as long as it thinks right."""

    def pause(self, error: ToyError | None, retry: int) -> float:
        return self.back_off(retry)


class DropsLastEvent(Rules):
    """Holds each text back until the next one comes, and forgets the last."""

    held = ""

    def items(self, event: sse.Event) -> Iterator[Item]:
        for item in super().items(event):
            if isinstance(item, str) and item:
                shown, self.held = self.held, item
                yield shown
            else:
                yield item


class LeaksOnCancel(Correct):
    """Closes its connection, unless it is cancelled."""

    def hang_up(self, wire: Wire, *, cancelled: bool) -> None:
        if cancelled:
            leak(wire)
        else:
            wire.close()


class RetryStorm(Rules):
    """Retries without a pause."""

    def pause(self, error: ToyError | None, retry: int) -> float:
        return 0.0


class WrongErrorClass(Rules):
    """Says of a reset that the provider had reported it."""

    def explain(self, error: OSError) -> Exception:
        return Provider(str(error))


class Crash(Rules):
    """Looks an unknown status up in a table that does not have it."""

    def check_head(self, head: h11.Response) -> None:
        _ = {200: "good", 202: "good", 204: "good", 401: "key", 429: "limit", 503: "busy"}[head.status_code]
        super().check_head(head)


class LateDelivery(Rules):
    """Collects the answer and shows it at the end."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.collected: list[Item] = []

    def show(self, items: list[Item]) -> Iterable[Item]:
        self.collected += items
        return ()

    def flush(self) -> Iterable[Item]:
        return self.collected


class FalseFailure(Rules):
    """Reads on after the terminal, and complains of how the connection then ends."""

    def is_over(self) -> bool:
        return False

    def forgives(self, error: ToyError) -> bool:
        return self.status != 200 and super().forgives(error)


class PhantomText(Rules):
    """Shows comments."""

    def read(self, piece: bytes) -> Iterator[Item]:
        if piece.startswith(b":"):
            yield piece.decode()
        yield from super().read(piece)


class BelievesAnybody(Rules):
    """Has its checks of certificates switched off, as the first answer on every forum says."""

    def trust(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


DEFECTS: tuple[Toy, ...] = tuple(
    Toy(name, kind, planted, dialects=CHAT, scenarios=scenarios, plan=show)
    for name, kind, planted, show, scenarios in (
        ("silent-truncation", SilentTruncation, Failure.SILENT_TRUNCATION, plans.cut_before_terminal, ("abrupt-end",)),
        ("corrupted-text", CorruptedText, Failure.CORRUPTED_TEXT, plans.byte_at_a_time, ("split-utf8",)),
        ("duplicate-after-retry", DuplicateAfterRetry, Failure.DUPLICATED_TEXT, plans.reset_then_whole, ()),
        ("silent-retry", SilentRetry, Failure.RETRY_AFTER_PARTIAL_OUTPUT, plans.reset_then_whole, ()),
        ("raw-exception", RawException, Failure.UNWRAPPED_ERROR, plans.reset_mid_stream, ("mid-stream-reset",)),
        ("hang", Hang, Failure.HANG, plans.cut_before_terminal, ("abrupt-end",)),
        ("no-idle-timeout", NoIdleTimeout, Failure.HANG, plans.stalled, ("stall-mid-stream",)),
        ("late-timeout", LateTimeout, Failure.LATE_TIMEOUT, plans.stalled, ("stall-mid-stream",)),
        ("total-timeout", TotalTimeout, Failure.EARLY_TIMEOUT, plans.slow_and_steady, ()),
        ("retries-final", RetriesWhatIsFinal, Failure.RETRIED_NON_RETRYABLE, plans.unauthorized, ()),
        (
            "ignores-retry-after",
            IgnoresRetryAfter,
            Failure.RETRY_AFTER_IGNORED,
            plans.rate_limited,
            ("rate-limited-then-ok",),
        ),
        ("drops-last-event", DropsLastEvent, Failure.LOST_EVENT, plans.whole, ("missing-done",)),
        ("leaks-on-cancel", LeaksOnCancel, Failure.CANCEL_IGNORED, plans.cancelled, ("client-cancel-seen-by-server",)),
        ("retry-storm", RetryStorm, Failure.RETRY_STORM, plans.overloaded, ("overloaded-before-stream",)),
        (
            "wrong-error-class",
            WrongErrorClass,
            Failure.WRONG_ERROR_CLASS,
            plans.reset_mid_stream,
            ("mid-stream-reset",),
        ),
        ("crash", Crash, Failure.CRASH, plans.server_fault, ()),
        ("late-delivery", LateDelivery, Failure.LATE_DELIVERY, plans.slow_and_steady, ("vpn-latency",)),
        ("false-failure", FalseFailure, Failure.FALSE_FAILURE, plans.open_after_done, ()),
        ("believes-anybody", BelievesAnybody, Failure.CERTIFICATE_IGNORED, plans.expired, ()),
        ("phantom-text", PhantomText, Failure.PHANTOM_EVENT, plans.commented, ("comment-keepalive",)),
    )
)
