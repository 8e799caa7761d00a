"""Keep a client's traffic to the testbed away from the proxies of the environment.

The law of this module: the environment is as it was once the last run is over. HTTP libraries follow HTTP_PROXY even
for 127.0.0.1, and a proxy between the client and our network would be a fault that nobody asked for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

_NAMES = ("NO_PROXY", "no_proxy")
_LOOPBACK = ("127.0.0.1", "localhost")

# The environment belongs to the process, so the bookkeeping of who changed it has to as well.
_lock = threading.Lock()
_depth = 0
_before: dict[str, str | None] = {}


def without_proxy(environment: Mapping[str, str], base_url: str) -> dict[str, str]:
    """Return the two variables that keep `base_url` (and loopback) unproxied, what was already exempt included."""
    host = urlsplit(base_url).hostname
    ours = [*_LOOPBACK, *([host] if host and host not in _LOOPBACK else [])]
    return {name: ",".join([*filter(None, [environment.get(name)]), *ours]) for name in _NAMES}


@contextmanager
def unproxied(base_url: str) -> Iterator[None]:
    """Exempt the testbed's address from every proxy while at least one run is inside."""
    global _depth  # noqa: PLW0603 - see above: the environment is global too
    with _lock:
        if _depth == 0:
            _before.update({name: os.environ.get(name) for name in _NAMES})
            os.environ.update(without_proxy(os.environ, base_url))
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                for name, value in _before.items():
                    _restore(name, value)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
