"""Our server for the benchmark: the fake server as it is, requests checked and all, with one script for everybody.

Usage: python benchmarks/serve_ours.py PORT TOKENS SECONDS
"""

from __future__ import annotations

import sys

from marker import MARKER

from testbed.net.crowd import Crowd, run_alone
from testbed.net.listening import bind
from testbed.plan import Attempt, Plan
from testbed.script import DialectName, Done, Finish, Head, Open, Pause, Script, Text
from testbed.server.crowd import clock, host_of


def main(port: int, tokens: int, seconds: float) -> None:
    """Serve until killed."""
    token = (Pause(seconds), Text(f"{MARKER.decode()} "))
    steps = (Head(), Open(), *token * tokens, Finish(), Done())
    plan = Plan("benchmark", (Attempt(Script(DialectName.OPENAI_CHAT, steps)),))
    host = host_of(plan, clock)
    with bind(port=port) as listener:
        run_alone(Crowd(host), listener)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
