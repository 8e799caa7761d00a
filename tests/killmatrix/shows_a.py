"""Which toys must be caught on which scenario, at the least: overload, unstable networks, long prompts, time-outs."""

from __future__ import annotations

from collections.abc import Mapping

SHOWS: Mapping[str, tuple[str, ...]] = {
    # --- server-overload
    "server-outage": ("retry-storm", "one-more", "no-such-status", "armed-by-first-token"),
    "overloaded-before-stream": ("retry-storm", "one-more"),
    "overloaded-mid-stream": ("ignores-errors", "ignores-error-events", "error-line-ignored"),
    "peak-hours-crawl": ("own-number", "no-idle-timeout", "timeout-is-end"),
    "flapping-server": ("duplicate-after-retry", "second-error-raw", "retry-storm"),
    # --- unstable-connection
    "packet-loss": ("quarter-second",),
    "bursty-loss": ("quarter-second",),
    "wifi-dropout": ("quarter-second", "one-per-read"),
    "mobile-handover": ("no-idle-timeout", "timeout-is-end", "retries-stalls"),
    "mid-stream-reset": ("raw-exception", "reset-is-end", "wrong-error-class"),
    "lost-heartbeat": ("three-beats",),
    "reset-after-n-tokens": ("raw-exception", "reset-is-end"),
    "fin-inside-chunk": ("fin-is-end", "forgives-framing"),
    "retry-duplicates-prefix": ("duplicate-after-retry", "silent-retry", "retries-stalls"),
    "reconnect-on-clean-end": ("reconnects-anyway",),
    "reconnect-storm-empty-or-204": ("clean-ends-are-free", "no-content-reconnects"),
    "mcp-stream-ends-without-response": ("waits-for-response",),
    "resume-after-drop": ("no-last-id", "ends-for-good", "one-too-far", "skips-first-of-resumed"),
    # --- long-prompt
    "slow-first-token": ("armed-by-first-token", "endless-on-second"),
    "gateway-504": ("no-such-status", "retry-storm"),
    "gateway-idle-cut": ("silent-truncation", "trusts-close", "raw-exception"),
    "hour-long-stream": ("total-timeout", "own-number", "late-delivery"),
    "no-first-byte": ("armed-by-first-token", "no-idle-timeout"),
    "headers-then-silence": ("head-ends-the-wait", "armed-by-first-token"),
    "gateway-504-html": ("error-pages-are-json", "no-such-status"),
    # --- client-timeouts
    "stall-mid-stream": ("head-ends-the-wait", "late-timeout"),
    "thirty-second-gap": ("own-number", "half-patience"),
    "heartbeat-only": ("only-events-count",),
    "slow-drip": ("total-timeout",),
    "keepalive-only-livelock": ("every-byte-counts",),
    # --- what other causes bring along
    "terminal-then-open-socket": ("waits-for-end", "false-failure"),
    "retry-after-60": ("ignores-retry-after",),
}
