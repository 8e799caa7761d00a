"""The ``sseclient-py`` package: a parser of event streams over a response that somebody else has opened.

The law of this module: the package is used as its README shows, here with ``httpx``, whose response hands on every read
at once. Status, time-outs and asking again are its user's affair; the status is looked at, nothing is asked again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import httpx
import sseclient

from testbed.adapters._http import SYNC_OPTIONS, read_timeout, tls
from testbed.adapters._httpx import HTTPX_ERRORS
from testbed.adapters.declare import client
from testbed.adapters.items import Event
from testbed.ports import Target
from testbed.script import DialectName
from testbed.trace import Option


class _Pieces:
    """A response as the package wants it: pieces of bytes, and a way to close it."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_bytes()

    def close(self) -> None:
        """Leave."""
        self._response.close()


@client(
    name="sseclient-py",
    base=httpx.HTTPError,
    errors=HTTPX_ERRORS,
    status="response.status_code",
    dialects=[DialectName.EVENTSOURCE],
    options=[option for option in SYNC_OPTIONS if option is not Option.MAX_RETRIES],
)
def sync_client(target: Target) -> Generator[Event, None, None]:
    """``SSEClient`` over a streamed response, and its ``events``."""
    timeout = httpx.Timeout(None, connect=target.connect_timeout, read=read_timeout(target))
    headers = {"Accept": "text/event-stream"}
    with (
        httpx.Client(timeout=timeout, verify=tls(target), trust_env=False) as http,
        http.stream("GET", target.base_url, headers=headers) as response,
    ):
        response.raise_for_status()
        pieces: Any = _Pieces(response)  # its annotation asks for an iterator; it iterates once, and closes
        for event in sseclient.SSEClient(pieces).events():
            yield Event(type=event.event, data=event.data, id=event.id or "")
