"""Correct clients of different build: whoever accuses one of them is wrong, or has found a mistake in it.

The law of this package: each is written as a careful author would write it on that library, with what the library can
and cannot tell, and shares nothing with the others but the names of its errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from testbed.ports import ClientAdapter
from tests.builds.aiohttp_lenient import aiohttp_lenient
from tests.builds.asyncio_streams import asyncio_streams
from tests.builds.httpx_strict import httpx_strict
from tests.builds.raw_sockets import raw_sockets
from tests.builds.requests_sync import requests_sync
from tests.builds.trio_h11 import trio_h11

BUILDS: Mapping[str, ClientAdapter] = {
    "httpx": httpx_strict,
    "aiohttp": aiohttp_lenient,
    "requests": requests_sync,
    "sockets": raw_sockets,
    "trio": trio_h11,
    "streams": asyncio_streams,
}
