"""Where the embedded Toxiproxy differs from the real one on purpose.

The law of this module: a difference is a row here or it is a bug. The conformance tests read these rows, and so can
the docs.
"""

from __future__ import annotations

from testbed._values import Value


class Difference(Value):
    """One deliberate difference: what 2.12 does, what we do, and why."""

    name: str
    real: str
    ours: str
    why: str


DIFFERENCES = (
    Difference(
        name="listen-without-host",
        real="binds every interface",
        ours="binds 127.0.0.1; write 0.0.0.0 to have every interface",
        why="a test tool must not open a port to the network unasked",
    ),
    Difference(
        name="negative-rate",
        real="is taken; the first chunk crashes the server",
        ours="400",
        why="one bad request must not end everybody's proxies",
    ),
    Difference(
        name="slicer-crashes",
        real="average_size 0, or a variation not below it, can crash the server",
        ours="sizes are clamped to at least one byte",
        why="as above",
    ),
    Difference(
        name="partial-update",
        real="a toxic update that is refused may have changed some of its attributes",
        ours="a refused update changes nothing",
        why="an error must not leave a state that nobody asked for",
    ),
    Difference(
        name="same-address",
        real="/populate and updates replace a proxy on a wildcard address or port 0 each time",
        ours="the address as it was asked for counts as the same one",
        why="populate is there to be called again",
    ),
    Difference(
        name="serial-dialling",
        real="a slow dial to one upstream keeps all clients of the proxy, and its deletion, waiting",
        ours="each client's upstream is dialled on its own",
        why="a proxy must not add faults of its own",
    ),
    Difference(
        name="blocked-api",
        real="a toxic that is blocked hangs every call that lists its proxy",
        ours="no call waits for traffic",
        why="as above",
    ),
    Difference(
        name="seed",
        real="-seed is read and discarded",
        ours="connection n of a seeded server draws the same every time",
        why="a fault that cannot be repeated cannot be fixed",
    ),
    Difference(
        name="unknown-host",
        real="the error names the resolver that was asked",
        ours="`listen tcp: lookup NAME: no such host`",
        why="our resolver is the system's, which does not say whom it asks",
    ),
    Difference(
        name="api-port-taken",
        real="is logged, and the process stays without an API",
        ours="is an error, and nothing is left running",
        why="a server that cannot be reached is none",
    ),
)
