"""Clients for a process of their own. They ask nobody: what is tried is how what they do comes out of it."""

from __future__ import annotations

import asyncio
import os
import time

import trio

from testbed.adapters import Event, Finish, ToolCall, client
from testbed.trace import Option


class Refused(Exception):
    """An error with all that an error may have."""

    status_code = 503
    code = "overloaded_error"


class Known(Exception):
    """The base that nobody mapped."""


_DECLARED = {"base": (Refused, Known), "errors": {Refused: {"overloaded"}}}


@client(**_DECLARED)
async def everything(target):
    print("this is no line of ours")  # noqa: T201
    yield "naïve "
    yield ""
    yield "日本語\n\u2028\x00"
    yield Event("tick", "one\ntwo", "7")
    yield ToolCall("1", "weather", '{"city": "Köln"}')
    yield Finish("stop")
    raise Refused("no\nmore")


@client(**_DECLARED)
async def known(target):
    yield "a"
    raise Known("of its own")


@client(**_DECLARED)
def foreign(target):
    yield "a"
    raise OSError("of the system")


@client(**_DECLARED)
def mistaken(target):
    yield "a"
    raise IndexError


@client(options=[Option.CANCEL])
async def endless(target):
    yield "a"
    await asyncio.sleep(60)


async def wrong_kind(target):
    yield 7


@client(runtimes=["trio"], options=[Option.CANCEL])
async def on_trio(target):
    yield "a"
    await trio.sleep(60)


def dies(target):
    yield "a"
    if target.base_url == "http://127.0.0.1:9/v1":  # not yet in its rehearsal
        os._exit(3)


def sleepy(target):
    yield "a"
    time.sleep(0.02)
    yield "b"
