"""Our server for the benchmark: one script for everybody, played by a crowd.

Usage: python benchmarks/serve_ours.py PORT TOKENS SECONDS
"""

from __future__ import annotations

import sys

import trio
from load import MARKER

from testbed.net.crowd import Crowd
from testbed.net.crowd_stream import Turn
from testbed.net.listener import listen
from testbed.net.schedule import schedule_of
from testbed.script import DialectName, Done, Finish, Head, Open, Pause, Script, Text


async def main(port: int, tokens: int, seconds: float) -> None:
    """Serve until killed."""
    token = (Pause(seconds), Text(f"{MARKER.decode()} "))
    steps = (Head(), Open(), *token * tokens, Finish(), Done())
    turn = Turn(schedule_of(Script(DialectName.OPENAI_CHAT, steps)))
    with await listen(port=port) as listener:
        await Crowd(lambda _request, _conn: turn).run(listener)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
