"""A user's project with two clients in it, and pytest started on it in a process of its own."""

from __future__ import annotations

from typing import Protocol

import pytest

# Four clients of openai-chat that differ in what they say of the end of a stream, and one adapter that breaks.
CLIENTS = '''
import json

import httpx

from testbed import HarnessError, client

TRANSPORT = {httpx.TimeoutException: {"idle_timeout", "first_byte_timeout"},
             httpx.TransportError: {"connect", "reset", "incomplete", "protocol"}}


class Incomplete(httpx.HTTPError):
    """The stream ended before its terminal event."""


async def events(target):
    buffered = b""
    async with httpx.AsyncClient(timeout=target.idle_timeout) as http:
        async with http.stream("POST", target.base_url + "/chat/completions", json=dict(target.request)) as answer:
            async for piece in answer.aiter_bytes():
                buffered += piece
                while b"\\n\\n" in buffered:
                    event, buffered = buffered.split(b"\\n\\n", 1)
                    yield event.removeprefix(b"data: ").decode()


async def text(target, at_the_end):
    async for event in events(target):
        if event == "[DONE]":
            return
        for choice in json.loads(event)["choices"]:
            yield choice["delta"].get("content") or ""
    at_the_end()


def forgive():
    """Take any end for a good one."""


def complain():
    raise Incomplete("no [DONE]")


@client(base=httpx.HTTPError, errors=TRANSPORT)
async def truncates(target):
    async for piece in text(target, forgive):
        yield piece


@client(base=httpx.HTTPError, errors={**TRANSPORT, Incomplete: {"incomplete"}})
async def right(target):
    async for piece in text(target, complain):
        yield piece


EVERYTHING = {"connect", "first_byte_timeout", "idle_timeout", "reset", "incomplete", "protocol", "decode", "provider",
              "http_status", "bad_request", "unauthorized", "permission_denied", "not_found", "conflict", "too_large",
              "rate_limited", "quota_exhausted", "overloaded", "server_error"}


@client(base=httpx.HTTPError, errors={httpx.HTTPError: EVERYTHING})
async def vague(target):
    async for piece in text(target, complain):
        yield piece


class Broken:
    """An adapter that fails by itself: that is our trouble and never the client's."""

    profile = right.profile
    runtimes = right.runtimes

    async def drive(self, target, runtime, recorder, cancel_at):
        raise HarnessError("the adapter lost its way")


broken = Broken()
'''


class Run(Protocol):
    """Start pytest in the user's project."""

    def __call__(self, *arguments: str) -> pytest.RunResult:
        """Return what it printed and its exit status."""
        ...


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """A project with `clients.py`, `test_user.py` and no ini file, and a way to start pytest on it."""
    pytester.makepyfile(clients=CLIENTS, test_user="def test_user():\n    pass\n")

    def start(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "no:randomly", *arguments, timeout=120)

    return start
