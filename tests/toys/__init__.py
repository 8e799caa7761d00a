"""Toy clients with known defects: the oracle's oracle.

`TOYS` maps a name to the client, to the failure that was planted in it (None: it is correct), and to the plan that
shows it. Every toy runs on trio and on asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple

from testbed.adapters.declare import FunctionClient, client
from testbed.plan import Plan
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Failure, Option
from tests.toys import defects, plans
from tests.toys.correct import ERRORS, Correct, CorrectPerRead, ToyError


class Toy(NamedTuple):
    """A client under test whose verdict is known."""

    adapter: FunctionClient
    planted: Failure | None
    plan: Callable[[], Plan]


def _adapter(name: str, kind: type[Correct]) -> FunctionClient:
    @client(
        name=f"toy-{name}",
        base=ToyError,
        errors=ERRORS,
        dialects=[DialectName.OPENAI_CHAT],
        options=list(Option),
    )
    async def toy(target: Target) -> AsyncGenerator[str, None]:
        async with aclosing(kind(target).call()) as texts:
            async for text in texts:
                yield text

    return toy


_CORRECT = {"per-character": Correct, "per-read": CorrectPerRead}

_DEFECTIVE: Mapping[str, tuple[type[Correct], Failure, Callable[[], Plan]]] = {
    "silent-truncation": (defects.SilentTruncation, Failure.SILENT_TRUNCATION, plans.cut_before_terminal),
    "corrupted-text": (defects.CorruptedText, Failure.CORRUPTED_TEXT, plans.byte_at_a_time),
    "duplicate-after-retry": (defects.DuplicateAfterRetry, Failure.DUPLICATED_TEXT, plans.reset_then_whole),
    "silent-retry": (defects.SilentRetry, Failure.RETRY_AFTER_PARTIAL_OUTPUT, plans.reset_then_whole),
    "raw-exception": (defects.RawException, Failure.UNWRAPPED_ERROR, plans.reset_mid_stream),
    "hang": (defects.Hang, Failure.HANG, plans.cut_before_terminal),
    "no-idle-timeout": (defects.NoIdleTimeout, Failure.HANG, plans.stalled),
    "late-timeout": (defects.LateTimeout, Failure.LATE_TIMEOUT, plans.stalled),
    "total-timeout": (defects.TotalTimeout, Failure.EARLY_TIMEOUT, plans.slow_and_steady),
    "retries-final": (defects.RetriesWhatIsFinal, Failure.RETRIED_NON_RETRYABLE, plans.unauthorized),
    "ignores-retry-after": (defects.IgnoresRetryAfter, Failure.RETRY_AFTER_IGNORED, plans.rate_limited),
    "drops-last-event": (defects.DropsLastEvent, Failure.LOST_EVENT, plans.whole),
    "leaks-on-cancel": (defects.LeaksOnCancel, Failure.CANCEL_IGNORED, plans.cancelled),
    "retry-storm": (defects.RetryStorm, Failure.RETRY_STORM, plans.overloaded),
    "wrong-error-class": (defects.WrongErrorClass, Failure.WRONG_ERROR_CLASS, plans.reset_mid_stream),
    "crash": (defects.Crash, Failure.CRASH, plans.server_fault),
    "late-delivery": (defects.LateDelivery, Failure.LATE_DELIVERY, plans.slow_and_steady),
    "false-failure": (defects.FalseFailure, Failure.FALSE_FAILURE, plans.open_after_done),
    "phantom-text": (defects.PhantomText, Failure.PHANTOM_EVENT, plans.commented),
}

# A correct client is asked every plan that shows somebody else's defect: `PLANS`. The one beside it here is just one
# of them.
PLANS: tuple[Callable[[], Plan], ...] = tuple(
    dict.fromkeys([plans.whole, *(show for _, _, show in _DEFECTIVE.values())])
)

TOYS: Mapping[str, Toy] = {
    **{name: Toy(_adapter(name, kind), None, plans.whole) for name, kind in _CORRECT.items()},
    **{name: Toy(_adapter(name, kind), planted, show) for name, (kind, planted, show) in _DEFECTIVE.items()},
}
