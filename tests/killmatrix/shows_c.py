"""Which toys must be caught on which scenario, at the least: a part of the table that `shows.py` merges.

Sentinels, rate limits and chunks; and the field bugs of ends, of errors inside a stream and of lines.
"""

from __future__ import annotations

from collections.abc import Mapping

SHOWS: Mapping[str, tuple[str, ...]] = {
    # --- sentinel-handling
    "missing-done": ("needs-done",),
    "finish-without-done": ("needs-done",),
    "finish-without-done-is-complete": ("needs-done", "reasons"),
    "done-then-open-socket": ("waits-for-end", "false-failure"),
    "data-after-done": ("reads-on",),
    "done-lookalike": ("done-prefix",),
    "done-with-null-finish": ("needs-finish",),
    # --- rate-limit
    "rate-limited-then-ok": ("ignores-retry-after",),
    "rate-limited-forever": ("one-more", "ignores-retry-after"),
    "quota-exhausted": ("retries-quota",),
    "rate-limit-mid-stream": ("ignores-errors",),
    "rate-limit-window": ("tenth-of-the-wait",),
    # --- chunk-handling
    "byte-at-a-time": ("corrupted-text", "json-per-read"),
    "split-utf8": ("corrupted-text", "decodes-pieces"),
    "split-crlf": ("split-pairs", "json-per-read"),
    "crlf-split-across-segments": ("split-pairs",),
    "coalesced-events": ("one-per-read",),
    "huge-event": ("line-limit", "silent-limit"),
    "endless-line": ("long-line-is-the-end",),
    "comment-keepalive": ("comment-is-data",),
    "comment-inside-event": ("comment-ends",),
    "comment-after-id": ("id-makes-an-event", "id-makes-a-message"),
    "retry-only-block": ("shows-empty", "name-makes-an-event"),
    "data-colon-keepalive": ("raw-json-errors", "shows-what-is-no-json"),
    "proxy-burst-16k": ("one-per-read",),
    # --- where an answer ends
    "eof-clean-no-terminal": ("silent-truncation", "whole-events-are-whole"),
    "eof-before-message-stop": ("whole-events-are-whole", "block-stop-is-the-end"),
    "eof-before-response-completed": ("item-done-is-the-end",),
    "cut-inside-tool-arguments": ("calls-at-cut", "first-piece-of-call"),
    "tool-call-at-limit": ("mends-arguments",),
    "empty-200-stream": ("empty-is-fine",),
    "max-tokens-visible": ("hides-reason", "reasons", "stop-only"),
    # --- errors inside the stream
    "inband-error-chat": ("ignores-errors", "errors-only-later"),
    "inband-overloaded-anthropic": ("ignores-error-events",),
    "responses-failed-error-incomplete": ("failed-is-fine", "incomplete-fails"),
    "llamacpp-error-field": ("silent-truncation",),
    "ollama-midstream-error-line": ("error-line-ignored", "errors-are-objects"),
    "error-event-then-open-socket": ("waits-with-the-error",),
    "duplicate-message-start": ("begins-again",),
    # --- stop means stop
    "client-cancel-seen-by-server": ("leaks-on-cancel",),
}
