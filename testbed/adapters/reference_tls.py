"""Whether a body that ends with its sealed connection was ended by the server, or by anybody on the way.

The law of this module: only close_notify ends such a body (RFC 9112, section 9.8). httpx does not say whether it came:
Python's TLS streams take a bare FIN for an end, as most of the web does. But the TLS object behind a response, which
httpx hands out as an extension, knows.
"""

from __future__ import annotations

import ssl

import httpx


def was_cut(response: httpx.Response) -> bool:
    """Whether the connection of this response, read to its end, ended without the word that it is the end."""
    if response.url.scheme != "https" or _has_length(response):
        return False
    stream = response.extensions.get("network_stream")
    sealed = stream.get_extra_info("ssl_object") if stream is not None else None
    if sealed is None:
        return False
    try:
        # Behind close_notify there is nothing, and that for ever; behind a bare FIN reading is an error.
        return bool(sealed.read(1))
    except ssl.SSLZeroReturnError:
        return False
    except (ssl.SSLError, ValueError):
        return True


def _has_length(response: httpx.Response) -> bool:
    """Whether the message says itself where its body ends."""
    return "content-length" in response.headers or "transfer-encoding" in response.headers
