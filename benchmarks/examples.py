"""Examples per second on `simulated`, each client as a ratio to `reference` in the same run.

Usage: python benchmarks/examples.py [SCENARIO [EXAMPLES [CLIENT ...]]]
"""

from __future__ import annotations

import sys

from testbed import adapters, explore, loader, runner


def main(scenario: str = "vpn-latency", examples: str = "300", *clients: str) -> None:
    """Explore one scenario with each client and print the rates."""
    family = loader.load(scenario)
    settings = explore.Settings(examples=int(examples))
    rates: dict[str, float] = {}
    print(f"{scenario}, {examples} examples each, engine simulated")
    for name in clients or ("reference", "openai", "anthropic"):
        client = adapters.load(name)
        explore.explore(family, runner.engine("simulated"), client, explore.Settings(examples=5))  # imports, caches
        result = explore.explore(family, runner.engine("simulated"), client, settings)
        rates[name] = result.examples / result.duration
        first = next(iter(rates))
        share = rates[name] / rates[first]
        print(f"{name:<14} {result.verdict.value:<8} {rates[name]:8.0f} examples/s   {share:5.2f} × {first}")


if __name__ == "__main__":
    main(*sys.argv[1:])
