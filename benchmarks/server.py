"""How many streams a server can play, and how well in time: ours, and its peers in the same run.

Usage: python benchmarks/server.py [--rows a,b,c,d] [--quick] [--json] [--repeat N] [--python PATH] [--node FOLDER]

a  600 streams of 200 tokens, no delay: tokens a second
b  1,000 streams of 20 tokens, one each 50 ms: until the last token, and the gaps between tokens
c  10,000 streams opened within 3 s, ten tokens, one a second: the same, and memory a stream
d  from the start of the process to the first byte of the first answer, and memory then

Each server and the load run in processes of their own; `cpu` is what the server used, and `load` what the load did: a
row where that comes near the time on the wall measures the load. The peers come from the dependency group `bench`
(`pip install --group bench`; `--python` names another interpreter that has them) and from npm (installed into a
temporary folder; `--node` names one that holds node_modules). What is not there is one line in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from servers import HERE, PATH, SERVERS, Running, Server, Setup, Shape, install_aimock, running

Figures = dict[str, float]
_KIB = 1024


class Row(NamedTuple):
    """One measurement. `key` is the figure whose ratio to ours is shown; `more` of it is better, or less."""

    letter: str
    title: str
    key: str
    more: bool
    measure: Callable[[Server, Setup, int], Figures]
    columns: Mapping[str, str]  # figure -> how it is printed


def _load(server: Running, streams: int, shape: Shape, ramp: float, limit: float) -> Figures:
    command = [sys.executable, "-S", str(HERE / "load.py"), str(server.port), PATH]
    for name, value in (("streams", streams), ("tokens", shape.tokens), ("ramp", ramp), ("limit", limit)):
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=limit + 30)
    report = json.loads(done.stdout)
    errors: dict[str, int] = report.pop("errors")
    return {**{name: value or 0.0 for name, value in report.items()}, "lost": float(sum(errors.values()))}


def _streams(
    streams: int, shape: Shape, *, ramp: float = 0.0, limit: float = 60.0, warm: int = 0
) -> Callable[..., Figures]:
    def measure(server: Server, setup: Setup, divisor: int) -> Figures:
        count = streams // divisor
        with running(server, setup, shape) as process:
            if warm:
                _load(process, warm, shape, 0.0, limit)
            process.forget_peak()
            memory, cpu = process.memory(), process.cpu()
            figures = _load(process, count, shape, ramp / divisor, limit)
            figures |= {
                "streams": count,
                "rate": figures["tokens"] / figures["wall"],
                "server_cpu": process.cpu() - cpu,
                "a_stream": max(process.peak() - memory, 0) / count,
            }
            return figures

    return measure


def _start(server: Server, setup: Setup, divisor: int) -> Figures:
    starts: list[Figures] = []
    for _ in range(max(7 // divisor, 3)):
        with running(server, setup, Shape(20, 0.0)) as process:
            starts.append({"start": process.started, "memory": process.memory()})
    return {name: statistics.median(each[name] for each in starts) for name in ("start", "memory")}


_COMMON = {"server_cpu": "cpu {:.2f} s", "cpu": "load {:.2f} s"}
_SPREAD = {"gap_p50": "p50 {:.4f} s", "gap_p99": "p99 {:.4f} s"}
ROWS = (
    Row(
        "a",
        "600 streams x 200 tokens, no delay",
        "rate",
        more=True,
        measure=_streams(600, Shape(200, 0.0), warm=60),
        columns={"rate": "{:,.0f} tokens/s", "whole": "{:.0f} whole", **_COMMON},
    ),
    Row(
        "b",
        "1,000 streams x 20 tokens at 50 ms",
        "wall",
        more=False,
        measure=_streams(1000, Shape(20, 0.05)),
        columns={"wall": "{:.2f} s", "whole": "{:.0f} whole", **_SPREAD, **_COMMON},
    ),
    Row(
        "c",
        "10,000 streams within 3 s, ten tokens at 1 s",
        "wall",
        more=False,
        measure=_streams(10_000, Shape(10, 1.0), ramp=3.0, limit=90.0),
        columns={"wall": "{:.2f} s", "whole": "{:.0f} whole", **_SPREAD, "a_stream": "{:,.0f} B a stream", **_COMMON},
    ),
    Row(
        "d",
        "start to first answer",
        "start",
        more=False,
        measure=_start,
        columns={"start": "{:.3f} s", "memory": "{:,.0f} B"},
    ),
)


def measure(rows: str, setup: Setup, divisor: int, repeat: int) -> Iterator[dict[str, object]]:
    """Measure row by row, server by server; of several measurements the best counts."""
    why = {server.name: server.missing(setup) for server in SERVERS}
    for row in ROWS:
        if row.letter not in rows:
            continue
        ours: float | None = None
        for server in SERVERS:
            result: dict[str, object] = {"row": row.letter, "title": row.title, "server": server.name}
            if why[server.name]:
                yield {**result, "missing": why[server.name]}
                continue
            try:
                runs = [row.measure(server, setup, divisor) for _ in range(repeat)]
            except (RuntimeError, subprocess.SubprocessError, OSError) as error:
                yield {**result, "missing": str(error)}
                continue
            best = (max if row.more else min)(
                runs, key=lambda run: (run.get("whole", 0) * (1 if row.more else -1), run[row.key])
            )
            ours = best[row.key] if ours is None else ours
            yield {**result, "figures": best, "ratio": best[row.key] / ours}


def _line(result: dict[str, object]) -> str:
    row = next(row for row in ROWS if row.letter == result["row"])
    name = f"  {result['server']:<18}"
    if "missing" in result:
        return f"{name} - {result['missing']}"
    figures: Figures = result["figures"]  # type: ignore[assignment]
    cells = (form.format(figures[figure]) for figure, form in row.columns.items())
    return f"{name} {result['ratio']:7.2f} x ours   " + "   ".join(cells)


def main() -> None:
    """Measure what was asked for, and print it as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="a,b,c,d")
    parser.add_argument("--quick", action="store_true", help="a tenth of the streams")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--repeat", type=int, default=1, help="measure so often, and take the best")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument("--node", type=Path, help="a folder whose node_modules has @copilotkit/aimock")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the servers and the load inherit it
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        node = options.node or install_aimock(scratch)
        setup = Setup(options.python, node, scratch)
        if not options.json:
            print(f"{os.cpu_count()} processors, {hard} files, Python {sys.version.split()[0]}")
        title = ""
        for result in measure(options.rows, setup, 10 if options.quick else 1, options.repeat):
            if not options.json and result["title"] != title:
                title = str(result["title"])
                print(f"{result['row']}  {title}")
            print(json.dumps(result) if options.json else _line(result), flush=True)


if __name__ == "__main__":
    main()
