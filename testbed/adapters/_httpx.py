"""What ``httpx`` raises, for clients that leave HTTP to it and wrap nothing.

The law of this module: only the classes that httpx documents, each for what its documentation says.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from testbed.adapters._http import status_class
from testbed.adapters.classify import Meaning


def _status(error: BaseException) -> frozenset[str]:
    return status_class(error.response.status_code) if isinstance(error, httpx.HTTPStatusError) else frozenset()


# httpx has one class for a body that ends inside its framing and for framing that is broken.
HTTPX_ERRORS: Mapping[type[BaseException], Meaning] = {
    httpx.ConnectError: {"connect"},
    httpx.ConnectTimeout: {"connect"},
    httpx.ReadTimeout: {"first_byte_timeout", "idle_timeout"},
    httpx.ReadError: {"reset"},
    httpx.WriteError: {"reset"},
    httpx.RemoteProtocolError: {"incomplete", "protocol"},
    httpx.DecodingError: {"decode"},
    httpx.HTTPStatusError: _status,
}
