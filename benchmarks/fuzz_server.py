"""Fuzz the server for long: random and mutated requests at ``testbed serve --all``, in a process of its own.

Usage: python benchmarks/fuzz_server.py [--bytes N] [--seed S] [--attackers N]

Prints what was sent and answered, how the memory of the server went, and how the streams of a client fared that behaved
all the while. Exit status 1 if the server died, if an error was its own, or if a stream of the good client was not
whole.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO

import trio

from testbed.dialects import DIALECTS

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.server.fuzzing import attack, right, seeds  # the generator is the test's

GOOD = b'{"model":"testbed/vpn-latency","messages":[{"role":"user","content":"x"}],"stream":true}'
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class Server:
    """The server's process, and what its log says."""

    def __init__(self) -> None:
        command = [
            sys.executable,
            "-c",
            "from testbed.cli import main; main()",
            "serve",
            "--all",
            "--json",
            "--port",
            "0",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        start = json.loads(self.process.stdout.readline())
        self.port = int(start["serving"].rpartition(":")[2])
        self.prefixes = (*dict.fromkeys("/" + stage["scenario"] for stage in start["stages"]), "")
        self.outcomes: Counter[str] = Counter()
        self.errors: list[str] = []
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, out: IO[str]) -> None:
        for text in out:
            line = json.loads(text)
            self.outcomes[line["outcome"]] += 1
            if line["outcome"] == "error":
                self.errors.append(line["said"])

    def memory(self) -> int:
        """Its resident memory in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0])


async def ask(port: int, request: bytes) -> bytes:
    """One answer, as far as it comes within ten seconds."""
    seen = b""
    with trio.move_on_after(10), suppress(trio.BrokenResourceError):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(request)
            async for data in stream:
                seen += data
    return seen


async def warm(server: Server) -> None:
    """Ask every scenario once in every dialect: what is made once is made before the memory is measured."""
    for prefix in server.prefixes:
        for method, path, headers, body in seeds(prefix)[: len(DIALECTS)]:
            with trio.move_on_after(2):
                await ask(server.port, right(method, path, headers, body))


async def behave(port: int, times: list[float], broken: list[bytes]) -> None:
    """Ask for a stream again and again, and keep how long each took and which was not whole."""
    while True:
        started = time.monotonic()
        seen = await ask(port, ASK % (len(GOOD), GOOD))
        times.append(time.monotonic() - started)
        if b"[DONE]" not in seen:
            broken.append(seen)
        await trio.sleep(0.05)


async def run(server: Server, total: int, seed: int, attackers: int) -> bool:
    """The storm, in tenths; after each the memory is printed."""
    answers: Counter[str] = Counter()
    times: list[float] = []
    broken: list[bytes] = []
    connect = functools.partial(trio.open_tcp_stream, "127.0.0.1", server.port)
    await warm(server)
    started = time.monotonic()
    memory = [server.memory()]
    storming = functools.partial(attack, patience=0.4)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(behave, server.port, times, broken)
        for part in range(10):
            budget = [total // 10]
            async with trio.open_nursery() as storm:
                for number in range(attackers):
                    draw = random.Random(f"{seed}/{part}/{number}")
                    storm.start_soon(storming, connect, draw, server.prefixes, budget, answers)
            memory.append(server.memory())
        nursery.cancel_scope.cancel()
    seconds = time.monotonic() - started
    alive = server.process.poll() is None
    print(f"{total} bytes in {answers.total()} requests, {seconds:.0f} s, seed {seed}")
    print(f"answers   {dict(answers.most_common())}")
    print(f"log       {dict(server.outcomes.most_common())}")
    print(f"memory    {' '.join(str(one) for one in memory)} KiB, at the start and after each tenth")
    print(f"streams   {len(times)} beside it, {len(broken)} not whole, {max(times):.2f} s the longest")
    print(f"server    {'alive' if alive else 'dead'}, {len(server.errors)} errors of its own {server.errors[:3]}")
    return alive and not server.errors and not broken


def main() -> None:
    """Read the options, run, and say by the exit status whether all was well."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bytes", type=int, default=10_000_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--attackers", type=int, default=40)
    given = options.parse_args()
    server = Server()
    try:
        well = trio.run(run, server, given.bytes, given.seed, given.attackers)
    finally:
        server.process.terminate()
        server.process.wait()
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
