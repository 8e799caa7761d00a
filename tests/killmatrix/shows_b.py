"""Which toys must be caught on which scenario, at the least: a part of the table that `shows.py` merges.

Limits, filters in the browser, uploads, proxies and tunnels, misconfiguration; and the field bugs of parsing.
"""

from __future__ import annotations

from collections.abc import Mapping

SHOWS: Mapping[str, tuple[str, ...]] = {
    # --- token-limit
    "abrupt-end": ("silent-truncation", "hang"),
    "abrupt-end-at-limit": ("silent-truncation", "whole-events-are-whole"),
    "context-length-exceeded": ("retries-bad-requests", "status-is-provider"),
    "finish-length": ("hides-reason", "reasons", "stop-only"),
    "long-chat-history": ("impatient-upload",),
    # --- browser-interference
    "extension-buffers-stream": ("one-per-read", "late-timeout"),
    "extension-kills-stream": ("silent-truncation",),
    "stale-cache-replay": ("silent-truncation", "trusts-length"),
    "stripped-heartbeats": ("needs-heartbeat", "no-idle-timeout"),
    # --- file-upload
    "early-response-to-upload": ("early-is-broken",),
    "reset-during-upload": ("raw-exception", "wrong-error-class"),
    "slow-upload": ("impatient-upload",),
    "unparseable-file": ("retries-final",),
    "upload-too-large": ("retries-final", "crash"),
    # --- vpn-proxy-interference
    "corporate-proxy-buffering": ("one-per-read",),
    "isp-throttling": ("total-timeout",),
    "tiny-mtu": ("json-per-read",),
    "vpn-drop": ("no-idle-timeout", "late-timeout"),
    "vpn-latency": ("quarter-second",),
    "vpn-rekey-stall": ("quarter-second",),
    # --- api-misconfiguration
    "bad-api-key": ("retries-final",),
    "html-instead-of-sse": ("any-type",),
    "json-instead-of-sse": ("any-type",),
    "org-not-verified": ("retries-final",),
    "stream-unsupported": ("retries-bad-requests",),
    # --- the field corpus
    "choices-empty-and-usage-chunk": ("first-choice-needed",),
    "crlf-stream": ("blank-is-two-line-feeds",),
    "html-or-json-200-instead-of-sse": ("any-type",),
    "large-event-64k-1m": ("line-limit", "silent-limit"),
    "multi-line-data-and-no-space": ("needs-space", "event-per-line"),
    "no-charset-non-ascii": ("needs-charset",),
    "one-byte-segments-with-emoji": ("json-per-read", "corrupted-text"),
    "org-not-verified-400": ("retries-bad-requests",),
    "u2028-in-json": ("unicode-lines",),
}
