"""The correct client with one planted defect each. A class here overrides what its defect is, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import h11

from testbed import sse
from testbed.script import Terminal
from tests.toys.correct import Correct, Provider, Reset, Status, ToyError
from tests.toys.wire import Wire, leak


class SilentTruncation(Correct):
    """Takes the end of the body for the end of the answer."""

    async def judge_end(self) -> None:
        pass


class CorruptedText(Correct):
    """Decodes every piece by itself, so a character cut in two becomes two replacement characters."""

    def read(self, piece: bytes) -> str:
        return super().read(piece.decode("utf-8", "replace").encode())


class DuplicateAfterRetry(Correct):
    """Retries although text was shown, and shows it again."""

    def may_retry(self, error: ToyError) -> bool:
        return isinstance(error, Reset) or super().may_retry(error)


class SilentRetry(DuplicateAfterRetry):
    """Retries although text was shown, and skips what the caller has: it hopes that the answer is the same."""

    skip = 0

    def pause(self, error: ToyError, attempt: int) -> float:
        self.skip = len(self.shown)
        return super().pause(error, attempt)

    def show(self, text: str) -> Iterable[str]:
        skipped = min(self.skip, len(text))
        self.skip -= skipped
        return text[skipped:]


class RawException(Correct):
    """Lets the operating system's exception out."""

    def explain(self, error: OSError) -> Exception:
        return error


class Hang(Correct):
    """Waits for a terminal that can not come any more."""

    async def judge_end(self) -> None:
        if self.terminal is Terminal.NONE:
            await anyio.sleep_forever()


class NoIdleTimeout(Correct):
    """Has a time-out for connecting and none for reading."""

    def patience(self) -> float | None:
        return None


class LateTimeout(Correct):
    """Adds up three time-outs where one was meant."""

    def patience(self) -> float | None:
        return None if self.target.idle_timeout is None else 3 * self.target.idle_timeout


class TotalTimeout(Correct):
    """Takes the idle time-out for the time that the whole call may take."""

    def patience(self) -> float | None:
        if self.target.idle_timeout is None:
            return None
        return max(0.0, self.started + self.target.idle_timeout - anyio.current_time())


class RetriesWhatIsFinal(Correct):
    """Retries every error status."""

    def may_retry(self, error: ToyError) -> bool:
        return isinstance(error, Status) or super().may_retry(error)


class IgnoresRetryAfter(Correct):
    """Waits as long as it thinks right."""

    def pause(self, error: ToyError, attempt: int) -> float:
        return 0.5 * 2**attempt


class DropsLastEvent(Correct):
    """Holds each text back until the next one comes, and forgets the last."""

    held = ""

    def text(self, event: sse.Event) -> str:
        text = super().text(event)
        if not text:
            return ""
        shown, self.held = self.held, text
        return shown


class LeaksOnCancel(Correct):
    """Closes its connection, unless it is cancelled."""

    def hang_up(self, wire: Wire, *, cancelled: bool) -> None:
        if cancelled:
            leak(wire)
        else:
            wire.close()


class RetryStorm(Correct):
    """Retries without a pause."""

    def pause(self, error: ToyError, attempt: int) -> float:
        return 0.0


class WrongErrorClass(Correct):
    """Says of a reset that the provider had reported it."""

    def explain(self, error: OSError) -> Exception:
        return Provider(str(error))


class Crash(Correct):
    """Looks an unknown status up in a table that does not have it."""

    def check_head(self, head: h11.Response) -> None:
        if head.status_code != 200:
            raise {401: Status, 429: Status, 503: Status}[head.status_code](head.status_code)
        super().check_head(head)


class LateDelivery(Correct):
    """Collects the answer and shows it at the end."""

    collected = ""

    def show(self, text: str) -> Iterable[str]:
        self.collected += text
        return ()

    def flush(self) -> Iterable[str]:
        return (self.collected,)


class FalseFailure(Correct):
    """Reads on after the terminal, and complains of how the connection then ends."""

    def is_over(self) -> bool:
        return False


class PhantomText(Correct):
    """Shows comments."""

    def read(self, piece: bytes) -> str:
        return piece.decode() if piece.startswith(b":") else super().read(piece)
